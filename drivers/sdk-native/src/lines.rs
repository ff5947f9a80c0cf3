//! The lines of an attempt on their way to the run's log.
//!
//! The driver's thread never waits for the broker: it puts lines into a bounded queue, and what does not fit is counted.
//! A task sends them on in order, with some confirmations under way at a time, and once more in order what was not
//! confirmed. Each line has an id, so that one that is sent twice is there once.

use std::collections::VecDeque;
use std::future::IntoFuture as _;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use async_nats::Client;
use async_nats::jetstream::Context;
use async_nats::jetstream::context::PublishError;
use async_nats::jetstream::message::PublishMessage;
use beltline_wire::{DriverLog, subjects};
use log::Level;
use serde_json::{Map, Value};
use tokio::sync::{mpsc, watch};

use crate::connect::Broker;
use crate::{clock, console, publish};

/// Lines that wait to be sent; more are left out.
const QUEUE_LINES_MAX: usize = 4096;

/// Lines sent and not confirmed.
const UNCONFIRMED_MAX: usize = 256;

/// The longest message, and the longest fields, of a line.
const LINE_BYTES_MAX: usize = 16 << 10;

/// What stands on every line of an attempt.
#[derive(Clone, Debug)]
pub(crate) struct Heading {
    pub(crate) run: String,
    pub(crate) driver: String,
    pub(crate) pipeline: String,
    pub(crate) step: String,
    pub(crate) attempt: u32,
}

/// Where the driver's thread puts its lines.
pub(crate) struct Lines {
    heading: Heading,
    queue: mpsc::Sender<DriverLog>,
    left_out: Arc<AtomicU64>,
}

/// The other end: sends until all [`Lines`] are gone and the queue is empty.
pub(crate) struct Sender {
    heading: Heading,
    queue: mpsc::Receiver<DriverLog>,
    left_out: Arc<AtomicU64>,
    client: Client,
    context: Context,
    connected: watch::Receiver<u64>,
    /// Of this sender alone; the ids of its lines begin with it.
    id: String,
    sent: u64,
    /// The place of the last line that is kept.
    kept: Option<u64>,
    unconfirmed: VecDeque<(Confirmation, PublishMessage)>,
    told: OnceLock<()>,
}

/// The place of a line in its stream.
type Confirmation = Pin<Box<dyn Future<Output = Result<u64, PublishError>> + Send>>;

/// Both ends for one attempt.
pub(crate) fn lines(heading: Heading, broker: &Broker) -> (Lines, Sender) {
    let (queue, taken) = mpsc::channel(QUEUE_LINES_MAX);
    let left_out = Arc::new(AtomicU64::new(0));
    let sender = Sender {
        heading: heading.clone(),
        queue: taken,
        left_out: left_out.clone(),
        client: broker.client.clone(),
        context: broker.jetstream.clone(),
        connected: broker.connected.clone(),
        id: broker.client.new_inbox(),
        sent: 0,
        kept: None,
        unconfirmed: VecDeque::new(),
        told: OnceLock::new(),
    };
    let lines = Lines {
        heading,
        queue,
        left_out,
    };
    (lines, sender)
}

impl Lines {
    pub(crate) fn push(&self, level: Level, message: &str, fields: &[(String, String)]) {
        let line = self.heading.line(level, message, fields);
        if self.queue.try_send(line).is_err() {
            self.left_out.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Sender {
    /// Sends all there is, and returns the place of the last line in its stream; to be bounded in time by the caller.
    pub(crate) async fn run(&mut self) -> Option<u64> {
        loop {
            let room = self.unconfirmed.len() < UNCONFIRMED_MAX;
            tokio::select! {
                biased;
                confirmed = first(&mut self.unconfirmed), if !self.unconfirmed.is_empty() => self.confirmed(confirmed).await,
                line = self.queue.recv(), if room => match line {
                    Some(line) => {
                        self.send(&line).await;
                        self.say_what_is_left_out().await;
                    }
                    None => break,
                },
            }
        }
        self.say_what_is_left_out().await;
        while !self.unconfirmed.is_empty() {
            let confirmed = first(&mut self.unconfirmed).await;
            self.confirmed(confirmed).await;
        }
        self.kept
    }

    async fn say_what_is_left_out(&mut self) {
        let count = self.left_out.swap(0, Ordering::Relaxed);
        if count > 0 {
            let message = format!("{count} lines left out: the broker took them too slowly");
            let line = self.heading.line(Level::Warn, &message, &[]);
            self.send(&line).await;
        }
    }

    async fn send(&mut self, line: &DriverLog) {
        let bytes = serde_json::to_vec(line).expect("it is made of strings, numbers and JSON");
        let live = subjects::live_log_subject(&self.heading.run, &self.heading.driver);
        // Nobody keeps these; while the connection is away they wait with the rest.
        let _ = self.client.publish(live, bytes.clone().into()).await;
        self.sent += 1;
        let message = PublishMessage::build()
            .payload(bytes.into())
            .message_id(format!("{}.{}", self.id, self.sent));
        let subject = subjects::log_subject(&self.heading.run);
        let sent = self.context.send_publish(subject, message.clone()).await;
        let confirmation: Confirmation = match sent {
            Ok(confirmation) => {
                let confirmation = confirmation.into_future();
                Box::pin(async move { confirmation.await.map(|kept| kept.sequence) })
            }
            Err(error) => Box::pin(std::future::ready(Err(error))),
        };
        self.unconfirmed.push_back((confirmation, message));
    }

    /// The oldest line is kept; or it and what follows it is sent again, one after the other.
    async fn confirmed(&mut self, confirmed: Result<u64, PublishError>) {
        if let Ok(sequence) = confirmed {
            self.kept = Some(sequence);
            self.unconfirmed.pop_front();
            return;
        }
        let subject = subjects::log_subject(&self.heading.run);
        while let Some((_, message)) = self.unconfirmed.front() {
            let kept =
                publish::confirmed(&self.context, &self.connected, &subject, message, |error| {
                    self.told.get_or_init(|| {
                        let run = &self.heading.run;
                        console::warn(
                            "lines are not kept; trying on",
                            &[("run", run), ("error", error)],
                        );
                    });
                })
                .await;
            self.kept = Some(kept);
            self.unconfirmed.pop_front();
        }
    }
}

/// The confirmation of the oldest line.
async fn first(
    unconfirmed: &mut VecDeque<(Confirmation, PublishMessage)>,
) -> Result<u64, PublishError> {
    match unconfirmed.front_mut() {
        Some((confirmation, _)) => confirmation.await,
        None => std::future::pending().await,
    }
}

impl Heading {
    fn line(&self, level: Level, message: &str, fields: &[(String, String)]) -> DriverLog {
        let at_ms = clock::now_ms();
        DriverLog {
            runid: self.run.clone(),
            driver: self.driver.clone(),
            pipeline: self.pipeline.clone(),
            timestamp: (at_ms / 1000).to_string(),
            message: cut(message),
            step_id: Some(self.step.clone()),
            attempt: Some(self.attempt),
            level: Some(level.as_str().to_ascii_lowercase()),
            at_ms: Some(at_ms),
            fields: bounded(fields),
        }
    }
}

fn cut(message: &str) -> String {
    if message.len() <= LINE_BYTES_MAX {
        return message.to_owned();
    }
    let end = message.floor_char_boundary(LINE_BYTES_MAX - '…'.len_utf8());
    format!("{}…", message.get(..end).unwrap_or_default())
}

/// The fields as JSON; only their number where they are too long.
fn bounded(fields: &[(String, String)]) -> Map<String, Value> {
    let bytes: usize = fields
        .iter()
        .map(|(key, json)| key.len() + json.len())
        .sum();
    if bytes > LINE_BYTES_MAX {
        let count = Value::from(fields.len());
        return Map::from_iter([("fields_left_out".to_owned(), count)]);
    }
    let value =
        |json: &String| serde_json::from_str(json).unwrap_or_else(|_| Value::String(json.clone()));
    fields
        .iter()
        .map(|(key, json)| (key.clone(), value(json)))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_is_bounded() {
        assert_eq!(cut("short"), "short");
        let long = cut(&"ä".repeat(LINE_BYTES_MAX));
        assert!(long.len() <= LINE_BYTES_MAX && long.ends_with("ä…"));
        let field = |value: String| [("k".to_owned(), value)];
        assert_eq!(json!(bounded(&field("1".to_owned()))), json!({"k": 1}));
        assert_eq!(
            json!(bounded(&field("x".repeat(LINE_BYTES_MAX)))),
            json!({"fields_left_out": 1})
        );
    }

    #[test]
    fn a_full_queue_counts_what_it_leaves_out() {
        let (queue, _taken) = mpsc::channel(1);
        let heading = Heading {
            run: "r".to_owned(),
            driver: "d".to_owned(),
            pipeline: String::new(),
            step: "s".to_owned(),
            attempt: 1,
        };
        let left_out = Arc::new(AtomicU64::new(0));
        let lines = Lines {
            heading,
            queue,
            left_out: left_out.clone(),
        };
        for _ in 0..3 {
            lines.push(Level::Info, "line", &[]);
        }
        assert_eq!(left_out.load(Ordering::Relaxed), 2);
    }
}
