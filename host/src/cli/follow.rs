//! Following a run to its end: the terminal shows how it goes, and Ctrl-C asks it to stop.
//!
//! The first Ctrl-C asks the run to stop, the second ends it at once, one more leaves it behind. Where the run's owner
//! dies, this command takes its place and the run goes on.

use super::connection::{Connection, block_on};
use super::progress::Progress;
use super::runs::is_open;
use super::signals::Signals;
use super::stop::Stop;
use super::{Format, output};
use crate::client::{self, Client, ClientError, Payload, Stream};
use crate::clock;
use crate::logs::LogLine;
use crate::view::{EventView, RunView, SinceView};
use axum::http::{Method, StatusCode};
use serde_json::{Value, json};
use std::time::Duration;

/// How often an owner looks whether a run's thread is held up.
const LOOK: Duration = Duration::from_secs(1);

/// How long the answer to a wish to stop is waited for.
const ASK_TIME_MAX: Duration = Duration::from_secs(1);

/// The Ctrl-C that ends a run at once. One more leaves it behind.
const FORCED: u32 = 2;

/// Follows a run to its end and returns all that is known of it.
pub(super) fn follow(
    connection: &mut Connection,
    run: &RunView,
    format: Format,
) -> Result<RunView, Stop> {
    let progress = Progress::new(run, format);
    // The id of the last that was told, so that nothing is told twice after the way to the run has changed.
    let mut last = run.since.map(SinceView::id);
    loop {
        match block_on(watch(connection, &run.run, &progress, &mut last)) {
            Ok(()) => break,
            Err(stop)
                if stop.is_unreachable() && connection.is_local() && connection.owned.is_none() =>
            {
                take_over(connection, &run.run, format)?;
            }
            Err(stop) => {
                progress.finish();
                return Err(stop);
            }
        }
    }
    progress.finish();
    connection.see(&format!("/runs/{}", run.run))
}

/// The owner is gone: somebody takes the folder, and the run goes on.
fn take_over(connection: &mut Connection, run: &str, format: Format) -> Result<(), Stop> {
    connection.again(format)?;
    go_on(connection, run, format)
}

/// Has a run go on whose owner has died, if nobody carries it yet, and says so; nothing where it had ended.
pub(super) fn go_on(connection: &mut Connection, run: &str, format: Format) -> Result<(), Stop> {
    let path = format!("/runs/{run}/resume");
    loop {
        let nothing = Payload::Json(client::json(&json!({})));
        let client = connection.client.clone();
        let resumed = block_on(async {
            let answer = client.send(Method::POST, &path, &[], nothing).await?;
            answer.successful().await
        });
        match resumed {
            Ok(answer) => {
                if answer.status != StatusCode::OK {
                    output::note(&format!(
                        "the owner of the state is gone; run {run} goes on"
                    ));
                }
                return Ok(());
            }
            // The one that came after is gone as well.
            Err(ClientError::Unreachable { .. }) if connection.owned.is_none() => {
                connection.again(format)?;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

async fn watch(
    connection: &Connection,
    run: &str,
    progress: &Progress,
    last: &mut Option<String>,
) -> Result<(), Stop> {
    let mut signals = Signals::new()?;
    let client = &connection.client;
    let path = format!("/runs/{run}/progress");
    let mut stream = client.stream(&path, last.as_deref()).await?;
    let mut look = tokio::time::interval(LOOK);
    let mut asked = 0_u32;
    let mut has_ended = false;
    loop {
        tokio::select! {
            event = next(&mut stream) => match event? {
                Some(Now::Fault(why)) => return Err(Stop::fault(anyhow::Error::msg(why))),
                Some(now) => {
                    has_ended |= show(&now, progress);
                    *last = stream.last().map(str::to_owned);
                }
                None if has_ended || is_over(client, run).await? => return Ok(()),
                // The owner has left the run: it is shutting down.
                None => stream.again(ClientError::left(client.place())).await?,
            },
            () = signals.next() => {
                asked += 1;
                if asked > FORCED {
                    leave("left the run as it is");
                }
                let ask = json!({"force": asked > 1});
                let path = format!("/runs/{run}/cancel");
                let asked_for = client.post::<Value>(&path, &ask);
                match tokio::time::timeout(ASK_TIME_MAX, asked_for).await {
                    // It may have ended meanwhile: then there is nobody left to ask. Or nobody looks up: then one more
                    // Ctrl-C leaves it behind.
                    Ok(Ok(_) | Err(ClientError::Problem(_))) | Err(_) => {}
                    Ok(Err(error)) => return Err(error.into()),
                }
                // Once it is said, it is so.
                progress.cancelling(asked > 1);
            }
            _ = look.tick() => {
                let owned = connection.owned.as_ref();
                if owned.is_some_and(|owned| !owned.owner.held_up(clock::now_ms()).is_empty()) {
                    leave("a step is past its deadline in a file call that does not return (a network file system?)");
                }
            }
        }
    }
}

/// Whether a run has ended, also before the first event that was waited for.
async fn is_over(client: &Client, run: &str) -> Result<bool, Stop> {
    let view: RunView = client.get(&format!("/runs/{run}")).await?;
    Ok(!is_open(view.status))
}

/// Ends the process beside a run whose thread cannot be ended: it would hold us up as well. The next start of that
/// attempt is its second, and a third makes it `lost`.
fn leave(why: &str) -> ! {
    Stop::fault(anyhow::anyhow!("{why}; `belt runs resume` goes on with it")).leave()
}

enum Now {
    Fault(String),
    Event(Box<EventView>),
    Line(LogLine),
    Other,
}

async fn next(stream: &mut Stream) -> Result<Option<Now>, Stop> {
    let Some(event) = stream.next().await? else {
        return Ok(None);
    };
    Ok(Some(match event.name.as_str() {
        "event" => {
            serde_json::from_str(&event.data).map_or(Now::Other, |view| Now::Event(Box::new(view)))
        }
        "fault" => Now::Fault(event.data),
        "log" => serde_json::from_str(&event.data).map_or(Now::Other, Now::Line),
        _ => Now::Other,
    }))
}

/// Shows it, and says whether it was the run's end.
fn show(now: &Now, progress: &Progress) -> bool {
    match now {
        Now::Event(event) => {
            progress.event(event);
            event.event == "run_ended"
        }
        Now::Line(line) => {
            progress.line(line);
            false
        }
        Now::Fault(_) | Now::Other => false,
    }
}
