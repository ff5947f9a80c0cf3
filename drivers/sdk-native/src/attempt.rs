//! One message, from its arrival to its acknowledgement.
//!
//! From the first moment on the broker is told that it is in hand; so is what waits for room. It is acknowledged when its
//! result is on the broker's disk, or when no answer to it counts any more: past its deadline, or cancelled with force.

use std::cell::RefCell;
use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::{AckKind, Message};
use beltline_sdk::native::Call;
use beltline_sdk::{Failure, Outcome};
use beltline_wire::{Dispatch, DispatchedAttempt, subjects};
use serde_json::Value;
use tokio::runtime::Handle;
use tokio::sync::{SemaphorePermit, watch};
use tokio::task::JoinHandle;

use crate::hand::{Id, Taken, Why, Wish, raise};
use crate::host::AttemptHost;
use crate::lines::{self, Heading, Lines};
use crate::listener::{Shop, Stage};
use crate::turns::Turn;
use crate::{answer, clock, console, publish};

/// How long lines are tried to be kept after the driver has ended; then its answer goes without them.
const LINES_WAIT: Duration = Duration::from_secs(10);

/// How long an answer to a message that names no deadline is tried.
const REFUSAL_WAIT: Duration = Duration::from_secs(60);

/// How often an acknowledgement is tried.
const ACK_TRIES: usize = 3;

type Said = Result<Outcome<Value>, Failure>;

/// What became of a message.
enum End {
    /// Its answer is on the broker's disk, or none counts any more.
    Done,
    /// Another should have it, at once.
    GiveBack,
    /// It was not answered in time.
    Unanswered,
}

/// Takes a message through. Never fails: what goes wrong is on the console, and the message comes again.
pub(crate) async fn attempt(shop: Arc<Shop>, message: Message) {
    let sequence = message.info().map_or(0, |info| info.stream_sequence);
    let dispatch: Dispatch = match serde_json::from_slice(&message.payload) {
        Ok(dispatch) => dispatch,
        Err(error) => {
            console::error(
                "a message is no dispatch; it is dropped",
                &[("sequence", &sequence), ("error", &error)],
            );
            return acknowledge(&message, AckKind::Term).await;
        }
    };
    let told = dispatch.attempt.clone().unwrap_or_default();
    let id = Id::of(&dispatch, &told);
    let wish = loop {
        let taken = shop.hand().take(sequence, &id);
        match taken {
            Taken::New(wish) => break wish,
            // The one that works on it says so to the broker, and acknowledges it.
            Taken::InHand => return,
            Taken::Over => return acknowledge(&message, AckKind::Ack).await,
            Taken::Twice(mut wish) => {
                let gone = async { while wish.changed().await.is_ok() {} };
                in_progress(&message, shop.progress(), gone).await;
                if shop.hand().has_answered(&id) {
                    return acknowledge(&message, AckKind::Ack).await;
                }
            }
        }
    };
    let work = handled(&shop, &dispatch, &id, &wish, &message.payload);
    let (end, still) = in_progress(&message, shop.progress(), work).await;
    let done = matches!(end, End::Done);
    match end {
        End::Done => acknowledge(&message, AckKind::Ack).await,
        End::GiveBack => acknowledge(&message, AckKind::Nak(None)).await,
        End::Unanswered => {}
    }
    shop.hand().let_go(sequence, &id, done);
    drop(wish);
    // A driver that goes on although nothing that it says counts takes up its place.
    if let Some((thread, _place)) = still {
        let _ = thread.await;
    }
}

/// Says at once, and again and again, that a message is in hand, while that is so.
async fn in_progress<T>(message: &Message, every: Duration, work: impl Future<Output = T>) -> T {
    let mut ticks = tokio::time::interval(every);
    let mut work = std::pin::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return done,
            // One that is lost is made up for by the next.
            _ = ticks.tick() => drop(message.ack_with(AckKind::Progress).await),
        }
    }
}

/// Confirmed by the broker, or told on the console.
async fn acknowledge(message: &Message, kind: AckKind) {
    for _ in 0..ACK_TRIES {
        match message.double_ack_with(kind).await {
            Ok(()) => return,
            Err(error) => {
                console::warn("a message could not be acknowledged", &[("error", &error)])
            }
        }
    }
}

/// What an attempt holds as long as its driver's thread works.
struct Place<'shop> {
    _turn: Turn,
    _room: SemaphorePermit<'shop>,
}

/// Waits for the end of earlier attempts of the step, and then for room: what waits for a turn takes no room from others.
async fn place<'shop>(shop: &'shop Shop, id: &Id) -> Place<'shop> {
    let waits = || {
        console::warn(
            "waits until an earlier attempt of its step has ended",
            &[
                ("run", &id.run),
                ("step", &id.step),
                ("attempt", &id.attempt),
            ],
        );
    };
    Place {
        _turn: shop.turns().turn(id, waits).await,
        _room: shop.room().await,
    }
}

/// What becomes of a message, and the driver's thread where that is left working.
async fn handled<'shop>(
    shop: &'shop Arc<Shop>,
    dispatch: &Dispatch,
    id: &Id,
    wish: &watch::Sender<Wish>,
    text: &[u8],
) -> (End, Option<(JoinHandle<Said>, Place<'shop>)>) {
    let Some(told) = &dispatch.attempt else {
        let why = Failure::permanent(unreadable(text));
        return (answered(shop, id, Err(why), None, REFUSAL_WAIT).await, None);
    };
    let mut stage = shop.stage();
    let place = tokio::select! {
        biased;
        place = place(shop, id) => place,
        () = over(wish, told.deadline_ms) => return (End::Done, None),
        _ = stage.wait_for(|stage| *stage != Stage::Listening) => return (End::GiveBack, None),
    };
    let began = clock::now_ms();
    if began >= told.deadline_ms {
        console::warn(
            "a message is past its deadline; it is dropped",
            &[("run", &id.run), ("step", &id.step)],
        );
        return (End::Done, None);
    }
    if *wish.borrow() > Wish::Work {
        return (End::Done, None);
    }
    console::info(
        "begins",
        &[
            ("run", &id.run),
            ("step", &id.step),
            ("attempt", &id.attempt),
        ],
    );
    let soft = told.deadline_ms.min(began.saturating_add(told.timeout_ms));
    let mut work = Work::begin(shop, dispatch, told, id, wish, soft);
    let said = tokio::select! {
        said = work.end(wish, soft) => said,
        () = over(wish, told.deadline_ms) => {
            console::warn("no answer counts any more", &[("run", &id.run), ("step", &id.step)]);
            return (End::Done, Some((work.thread, place)));
        }
    };
    let said = answer::settled(said, *wish.borrow(), told.timeout_ms);
    let rest = async {
        let kept = work.keep_lines().await;
        answered(shop, id, said, kept, clock::until(told.deadline_ms)).await
    };
    let end = tokio::select! {
        end = rest => end,
        () = over(wish, told.deadline_ms) => End::Done,
    };
    (end, None)
}

/// Why there is no attempt in a message.
fn unreadable(text: &[u8]) -> String {
    let why = match serde_json::from_slice::<DispatchedAttempt>(text) {
        Ok(_) => "it names none".to_owned(),
        Err(error) => error.to_string(),
    };
    format!(
        "the message's attempt cannot be read ({why}): host and driver speak different versions"
    )
}

/// Waits until nothing counts any more.
async fn over(wish: &watch::Sender<Wish>, deadline_ms: u64) {
    let mut wishes = wish.subscribe();
    tokio::select! {
        _ = wishes.wait_for(|wish| *wish == Wish::Over) => {}
        () = tokio::time::sleep(clock::until(deadline_ms)) => raise(wish, Wish::Over),
    }
}

/// Publishes the answer; within the time that it counts.
async fn answered(
    shop: &Arc<Shop>,
    id: &Id,
    said: Said,
    lines_kept: Option<u64>,
    within: Duration,
) -> End {
    let how = match &said {
        Ok(_) => "succeeded",
        Err(Failure::Permanent(_)) => "failed for good",
        Err(Failure::Retryable { .. }) => "failed, may be tried again",
        Err(Failure::Cancelled) => "cancelled",
        Err(Failure::Other(_)) => "failed",
    };
    let bytes_max = shop.broker().client.max_payload();
    let bytes = answer::encoded(shop.name(), id, said, lines_kept, bytes_max);
    // Of this answer alone: sent twice, it is there once.
    let message = PublishMessage::build()
        .payload(bytes.into())
        .message_id(shop.broker().client.new_inbox());
    let mut told = false;
    let broker = shop.broker();
    let (context, connected) = (&broker.jetstream, &broker.connected);
    let published = publish::confirmed(
        context,
        connected,
        subjects::RESULT_SUBJECT,
        &message,
        |error| {
            if !std::mem::replace(&mut told, true) {
                console::warn(
                    "a result is not taken; trying on",
                    &[("run", &id.run), ("error", error)],
                );
            }
        },
    );
    let in_time = tokio::time::timeout(within, published).await.is_ok();
    let fields: console::Fields<'_> = &[
        ("run", &id.run),
        ("step", &id.step),
        ("attempt", &id.attempt),
    ];
    if in_time {
        console::info(how, fields);
        End::Done
    } else {
        console::error("a result was not taken before its deadline", fields);
        End::Unanswered
    }
}

/// A driver at work on a thread of its own, and its lines on their way.
struct Work {
    thread: JoinHandle<Said>,
    lines: Sending,
}

/// The task that sends lines; none outlives its attempt.
struct Sending(JoinHandle<Option<u64>>);

impl Drop for Sending {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Work {
    fn begin(
        shop: &Arc<Shop>,
        dispatch: &Dispatch,
        told: &DispatchedAttempt,
        id: &Id,
        wish: &watch::Sender<Wish>,
        soft: u64,
    ) -> Work {
        let broker = shop.broker();
        let heading = Heading {
            run: id.run.clone(),
            driver: shop.name().to_owned(),
            pipeline: told.pipeline.clone().unwrap_or_default(),
            step: id.step.clone(),
            attempt: id.attempt,
        };
        let (queue, mut sender) = lines::lines(heading, broker);
        let lines = tokio::spawn(async move { sender.run().await });
        let call = call(dispatch, told, soft);
        let driver = shop.driver();
        let host = parts(shop, told, &id.run, wish, queue);
        let thread = tokio::task::spawn_blocking(move || {
            let host = Rc::new(host());
            let called = || driver.call(host.clone(), call);
            std::panic::catch_unwind(AssertUnwindSafe(called)).unwrap_or_else(|panic| {
                let reason = format!("the driver panicked: {}", text_of(&*panic));
                host.lines.push(log::Level::Error, &reason, &[]);
                Err(Failure::Other(reason))
            })
        });
        Work {
            thread,
            lines: Sending(lines),
        }
    }

    /// What the driver says; asked to stop when its time is over.
    async fn end(&mut self, wish: &watch::Sender<Wish>, soft: u64) -> Said {
        let in_time = tokio::time::timeout(clock::until(soft), &mut self.thread).await;
        let said = match in_time {
            Ok(said) => said,
            Err(_) => {
                raise(wish, Wish::Stop(Why::Timeout));
                (&mut self.thread).await
            }
        };
        said.unwrap_or_else(|error| {
            Err(Failure::Other(format!(
                "the driver's thread ended: {error}"
            )))
        })
    }

    /// Waits until the lines are kept, and returns the place of the last one in its stream.
    async fn keep_lines(&mut self) -> Option<u64> {
        match tokio::time::timeout(LINES_WAIT, &mut self.lines.0).await {
            Ok(kept) => kept.ok().flatten(),
            Err(_) => {
                self.lines.0.abort();
                console::error(
                    "the last lines of an attempt are not kept: the broker does not take them",
                    &[],
                );
                None
            }
        }
    }
}

/// What makes the host of the driver's thread, on that thread.
fn parts(
    shop: &Arc<Shop>,
    told: &DispatchedAttempt,
    run: &str,
    wish: &watch::Sender<Wish>,
    lines: Lines,
) -> impl FnOnce() -> AttemptHost + Send + 'static {
    let (run, attempt, wish) = (run.to_owned(), told.clone(), wish.subscribe());
    let (client, runtime, level) = (
        shop.broker().client.clone(),
        Handle::current(),
        shop.level(),
    );
    move || AttemptHost {
        run,
        attempt,
        lines,
        wish,
        client,
        runtime,
        level,
        fetched: RefCell::new(HashMap::new()),
    }
}

fn call(dispatch: &Dispatch, told: &DispatchedAttempt, soft: u64) -> Call {
    Call {
        event: dispatch.event.clone(),
        kind: told.kind.clone(),
        resource: dispatch.payload.clone(),
        with: Value::Object(told.with.clone()).to_string(),
        run_id: dispatch.run_id.clone(),
        pipeline: told.pipeline.clone(),
        step_id: told.step_id.clone(),
        attempt: told.attempt,
        key: told.key.clone(),
        deadline_ms: Some(soft),
        traceparent: told.traceparent.clone(),
    }
}

/// What a panic said.
fn text_of(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("something that is no text")
}
