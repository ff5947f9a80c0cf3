//! The loop of the program: asks for messages, hands them to attempts, hears cancels and signals.
//!
//! One signal: nothing more is asked for, what is in hand is finished, what was not begun is given back. A second: what is in
//! hand is told to stop. A third, or the end of its grace: the program ends, and the broker hands on what was left.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_nats::jetstream::{AckKind, Message};
use async_nats::{StatusCode, Subscriber};
use beltline_sdk::native::Driver;
use beltline_wire::{Cancel, subjects};
use futures::{FutureExt as _, StreamExt as _};
use log::LevelFilter;
use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tokio::task::JoinSet;

use crate::attempt::attempt;
use crate::connect::{self, Broker, ConnectError};
use crate::consumer::{self, ConsumerError};
use crate::hand::Hand;
use crate::pulls::{KEPT, Pulls};
use crate::signals::Signals;
use crate::turns::Turns;
use crate::{Options, clock, console, present};

/// So often a message is said to be in hand, at least; three times in the consumer's wait where that is shorter.
const PROGRESS_MAX: Duration = Duration::from_secs(10);

/// After what the broker refused, before it is asked again.
const HOLD: Duration = Duration::from_secs(1);

/// How long attempts have to stop after the second signal.
const STOP_GRACE: Duration = Duration::from_secs(10);

/// How long messages that were under way when nothing more is wanted are waited for.
const DRAIN: Duration = Duration::from_secs(2);

/// Where the program stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It takes messages.
    Listening,
    /// It finishes what it has begun.
    Finishing,
    /// It has told what it has begun to stop.
    Stopping,
}

/// What all attempts share.
pub(crate) struct Shop {
    driver: Driver,
    name: String,
    broker: Broker,
    level: LevelFilter,
    hand: parking_lot::Mutex<Hand>,
    room: Semaphore,
    turns: Turns,
    progress_ms: AtomicU64,
    stage: watch::Sender<Stage>,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum ListenError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    Consumer(#[from] ConsumerError),
    #[error("signals cannot be heard: {0}")]
    Signals(#[from] std::io::Error),
    #[error("the connection to the broker has ended: {0}")]
    Ended(String),
}

impl Shop {
    pub(crate) fn driver(&self) -> Driver {
        self.driver
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn broker(&self) -> &Broker {
        &self.broker
    }

    pub(crate) fn level(&self) -> LevelFilter {
        self.level
    }

    pub(crate) fn hand(&self) -> parking_lot::MutexGuard<'_, Hand> {
        self.hand.lock()
    }

    pub(crate) async fn room(&self) -> SemaphorePermit<'_> {
        self.room.acquire().await.expect("it is never closed")
    }

    pub(crate) fn turns(&self) -> &Turns {
        &self.turns
    }

    pub(crate) fn progress(&self) -> Duration {
        Duration::from_millis(self.progress_ms.load(Ordering::Relaxed))
    }

    pub(crate) fn stage(&self) -> watch::Receiver<Stage> {
        self.stage.subscribe()
    }
}

/// Listens until it is told to stop; says how many attempts it left.
pub(crate) async fn listen(
    driver: Driver,
    name: String,
    options: Options,
) -> Result<usize, ListenError> {
    let mut signals = Signals::new()?;
    let broker = tokio::select! {
        broker = connect::connect(&options, &name) => broker?,
        () = signals.next() => return Ok(0),
    };
    let shop = Arc::new(Shop {
        driver,
        name,
        broker,
        level: options.log_level,
        hand: parking_lot::Mutex::default(),
        room: Semaphore::new(options.room()),
        turns: Turns::default(),
        progress_ms: AtomicU64::new(1000),
        stage: watch::channel(Stage::Listening).0,
    });
    tokio::spawn(present::answer(Arc::clone(&shop)));
    let cancels = subscribe(&shop, subjects::cancel_subject("*")).await?;
    let (inbox, inbox_subject) = inbox(&shop).await?;
    let mut listener = Listener {
        connected: shop.broker.connected.clone(),
        pulls: Pulls::new(options.room()),
        shop,
        inbox,
        inbox_subject,
        attempts: JoinSet::new(),
        place: Place::Unsure { told: false },
        looking: JoinSet::new(),
        hold_until: None,
        end_by: None,
        room: options.room(),
    };
    listener.run(cancels, signals).await
}

async fn subscribe(shop: &Shop, subject: String) -> Result<Subscriber, ListenError> {
    let subscribed = shop.broker.client.subscribe(subject).await;
    subscribed.map_err(|error| ListenError::Ended(error.to_string()))
}

async fn inbox(shop: &Shop) -> Result<(Subscriber, String), ListenError> {
    let subject = shop.broker.client.new_inbox();
    Ok((subscribe(shop, subject.clone()).await?, subject))
}

/// Whether the consumer is there.
enum Place {
    Unsure { told: bool },
    Sure,
}

struct Listener {
    shop: Arc<Shop>,
    connected: watch::Receiver<u64>,
    pulls: Pulls,
    inbox: Subscriber,
    inbox_subject: String,
    attempts: JoinSet<()>,
    place: Place,
    looking: JoinSet<Result<Duration, ConsumerError>>,
    /// The broker is asked for nothing before.
    hold_until: Option<Instant>,
    /// When the program ends, finished or not.
    end_by: Option<Instant>,
    room: usize,
}

enum Event {
    Inbox(Option<async_nats::Message>),
    Cancel(Option<async_nats::Message>),
    Finished,
    Looked(Result<Duration, ConsumerError>),
    Connected,
    Signal,
    Tick,
}

impl Listener {
    async fn run(
        &mut self,
        mut cancels: Subscriber,
        mut signals: Signals,
    ) -> Result<usize, ListenError> {
        let mut ticks = tokio::time::interval(HOLD);
        let mut drained = false;
        loop {
            self.ask().await?;
            let event = tokio::select! {
                () = signals.next() => Event::Signal,
                message = cancels.next() => Event::Cancel(message),
                Some(_) = self.attempts.join_next() => Event::Finished,
                Some(Ok(looked)) = self.looking.join_next() => Event::Looked(looked),
                Ok(()) = self.connected.changed() => Event::Connected,
                message = self.inbox.next(), if !drained => Event::Inbox(message),
                _ = ticks.tick() => Event::Tick,
            };
            match event {
                Event::Inbox(Some(message)) => self.take(message),
                Event::Inbox(None) if self.stage() != Stage::Listening => drained = true,
                Event::Inbox(None) | Event::Cancel(None) => {
                    return Err(ListenError::Ended(
                        "its subscriptions are closed".to_owned(),
                    ));
                }
                Event::Cancel(Some(message)) => self.cancel(&message),
                Event::Finished => self.pulls.finished(),
                Event::Looked(looked) => self.looked(looked)?,
                Event::Connected => self.reconnected().await?,
                Event::Signal => self.signal().await,
                Event::Tick => {}
            }
            let late = self.end_by.is_some_and(|at| clock::monotonic() >= at);
            match self.stage() {
                Stage::Listening => {}
                Stage::Finishing => {
                    drained |= late;
                    if drained && self.attempts.is_empty() {
                        break;
                    }
                }
                Stage::Stopping if late || self.attempts.is_empty() => break,
                Stage::Stopping => {}
            }
        }
        let _ = tokio::time::timeout(DRAIN, self.shop.broker.client.flush()).await;
        Ok(self.attempts.len())
    }

    fn stage(&self) -> Stage {
        *self.shop.stage.borrow()
    }

    /// Makes sure of the consumer, and asks for as many messages as there is room for.
    async fn ask(&mut self) -> Result<(), ListenError> {
        let now = clock::monotonic();
        if self.stage() != Stage::Listening || self.hold_until.is_some_and(|until| now < until) {
            return Ok(());
        }
        self.hold_until = None;
        if matches!(self.place, Place::Unsure { .. }) {
            if self.looking.is_empty() {
                let shop = self.shop.clone();
                let look =
                    async move { consumer::ensure(&shop.broker.jetstream, &shop.name).await };
                self.looking.spawn(look);
            }
            return Ok(());
        }
        let subject = format!(
            "$JS.API.CONSUMER.MSG.NEXT.{}.{}",
            subjects::MESSAGES_STREAM,
            self.shop.name
        );
        let request = format!(r#"{{"batch":1,"expires":{}}}"#, KEPT.as_nanos());
        for _ in 0..self.pulls.due(now) {
            let client = &self.shop.broker.client;
            let inbox = self.inbox_subject.clone();
            let sent = client.publish_with_reply(subject.clone(), inbox, request.clone().into());
            sent.await
                .map_err(|error| ListenError::Ended(error.to_string()))?;
        }
        Ok(())
    }

    fn looked(&mut self, looked: Result<Duration, ConsumerError>) -> Result<(), ListenError> {
        match looked {
            Ok(ack_wait) => {
                let every = (ack_wait / 3)
                    .min(PROGRESS_MAX)
                    .max(Duration::from_millis(10));
                let ms = u64::try_from(every.as_millis()).unwrap_or(u64::MAX);
                self.shop.progress_ms.store(ms, Ordering::Relaxed);
                self.place = Place::Sure;
                let subject = subjects::driver_subjects(&self.shop.name);
                console::info(
                    "listens",
                    &[("subject", &subject), ("concurrency", &self.room)],
                );
            }
            Err(error) if !error.may_pass() => return Err(error.into()),
            Err(error) => {
                if !matches!(self.place, Place::Unsure { told: true }) {
                    console::warn("waits for its consumer", &[("error", &error)]);
                }
                self.place = Place::Unsure { told: true };
                self.hold();
            }
        }
        Ok(())
    }

    fn hold(&mut self) {
        self.hold_until = Some(clock::monotonic() + HOLD);
    }

    /// A message, or word that a request came to nothing.
    fn take(&mut self, message: async_nats::Message) {
        match message.status {
            None => {}
            Some(StatusCode::IDLE_HEARTBEAT) => return,
            Some(StatusCode::TIMEOUT | StatusCode::NOT_FOUND) => return self.pulls.ended(),
            Some(status) => {
                let what = message.description.unwrap_or_default();
                console::warn(
                    "the broker gives nothing",
                    &[("status", &status), ("what", &what)],
                );
                self.pulls.ended();
                self.place = Place::Unsure { told: true };
                return self.hold();
            }
        }
        let shop = self.shop.clone();
        let message = Message {
            message,
            context: shop.broker.jetstream.clone(),
        };
        self.pulls.arrived();
        if self.stage() == Stage::Listening {
            self.attempts.spawn(attempt(shop, message));
        } else {
            let back = async move { drop(message.double_ack_with(AckKind::Nak(None)).await) };
            self.attempts.spawn(back);
        }
    }

    fn cancel(&mut self, message: &async_nats::Message) {
        match serde_json::from_slice::<Cancel>(&message.payload) {
            Ok(cancel) => {
                let run = cancel.run_id.clone();
                if self.shop.hand().cancel(cancel) > 0 {
                    console::info("is cancelled", &[("run", &run)]);
                }
            }
            Err(error) => console::warn("a cancel cannot be read", &[("error", &error)]),
        }
    }

    /// What the broker was asked for over the old connection would be sent to the old inbox.
    async fn reconnected(&mut self) -> Result<(), ListenError> {
        console::info("connected again", &[]);
        if self.stage() != Stage::Listening {
            return Ok(());
        }
        let (inbox, subject) = inbox(&self.shop).await?;
        let mut old = std::mem::replace(&mut self.inbox, inbox);
        self.inbox_subject = subject;
        while let Some(Some(message)) = old.next().now_or_never() {
            self.take(message);
        }
        self.pulls.forget();
        self.looking = JoinSet::new();
        self.place = Place::Unsure { told: false };
        Ok(())
    }

    async fn signal(&mut self) {
        let now = clock::monotonic();
        let (stage, grace) = match self.stage() {
            Stage::Listening => {
                console::info(
                    "finishes what it has in hand",
                    &[("attempts", &self.pulls.busy())],
                );
                // What the broker has sent already comes before the end of the subscription.
                let _ = self.inbox.drain().await;
                (Stage::Finishing, DRAIN)
            }
            Stage::Finishing => {
                console::warn(
                    "tells what it has in hand to stop",
                    &[("attempts", &self.pulls.busy())],
                );
                self.shop.hand().stop();
                (Stage::Stopping, STOP_GRACE)
            }
            Stage::Stopping => (Stage::Stopping, Duration::ZERO),
        };
        self.end_by = Some(now + grace);
        self.shop.stage.send_replace(stage);
    }
}
