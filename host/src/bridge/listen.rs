//! Hearing what is published: listened to anew where that ends, for as long as the host is there.

use super::consumers::is_missing;
use super::outs::Place;
use super::streams::stamp_ms;
use super::{Bridge, BridgeError, request};
use crate::owner::Owner;
use crate::text;
use async_nats::datetime;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, Info, pull};
use async_nats::{Message, jetstream};
use beltline_wire::subjects::{LOGS_STREAM, RESULTS_STREAM};
use futures::StreamExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Between two tries to listen.
const PAUSE: Duration = Duration::from_secs(1);

/// Messages that are asked for at once.
pub(super) const BATCH: usize = 512;

/// A host that has not been there for so long is forgotten by the broker.
const FORGOTTEN: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// How long the broker waits for an acknowledgement before it delivers once more.
const ACK_WAIT: Duration = Duration::from_secs(30);

/// So much earlier than this host itself what is published may concern it: its clock is not the broker's.
const CLOCKS_APART: Duration = Duration::from_secs(60);

/// How a stream is read.
struct Reader {
    /// When the stream was made.
    stream_ms: i64,
    /// The last of those messages that were all taken before.
    taken: u64,
    messages: pull::Stream,
}

impl Bridge {
    /// Hears what is published there, one after the other; what comes while nobody listens is not heard.
    pub(super) async fn listen<F: Future<Output = ()>>(
        &self,
        subject: &'static str,
        hear: impl Fn(Arc<Owner>, Message) -> F,
    ) {
        loop {
            if let Ok(mut told) = self.connection.client.subscribe(subject).await {
                while let Some(message) = told.next().await {
                    let Some(owner) = self.owner() else { return };
                    hear(owner, message).await;
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Takes each message of a stream that every host has a durable consumer of its own on, in order; to be acknowledged. Told
    /// first which message is the last of those that were taken before.
    pub(super) async fn take_each<F: Future<Output = ()>>(
        &self,
        stream: &'static str,
        filter: &'static str,
        taken_before: impl Fn(u64),
        take: impl Fn(Arc<Owner>, jetstream::Message) -> F,
    ) {
        let mut heard: Option<Place> = None;
        let mut trouble = None;
        loop {
            match self.reader_of(stream, filter, heard).await {
                Ok(None) => return,
                Ok(Some(mut reader)) => {
                    trouble = None;
                    let made_ms = reader.stream_ms;
                    if heard.is_none_or(|(stream_ms, _)| stream_ms != made_ms) {
                        taken_before(reader.taken);
                    }
                    while let Some(Ok(message)) = reader.messages.next().await {
                        let Some(owner) = self.owner() else { return };
                        if let Ok(info) = message.info() {
                            heard = Some((made_ms, info.stream_sequence));
                        }
                        take(owner, message).await;
                    }
                }
                Err(error) => {
                    let error = Some(text::chain(&error));
                    if trouble != error {
                        tracing::warn!(stream, error, "a stream cannot be read");
                        trouble = error;
                    }
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Of this host's consumers, one on each stream that it reads.
    fn consumer_name(&self) -> String {
        format!("belt-{}", self.identity.host)
    }

    pub(super) async fn read_no_more(&self) {
        let _own = self.own_consumers.lock().await;
        let name = self.consumer_name();
        for stream in [RESULTS_STREAM, LOGS_STREAM] {
            let left = self.jetstream.delete_consumer_from_stream(&name, stream);
            // One that stays is forgotten by the broker in its time.
            let _ = left.await;
        }
    }

    /// What is still to be heard of a stream; nothing by a host that has left. Where this host's consumer is there no more, it is
    /// made to go on after the last message that was heard of this same stream.
    async fn reader_of(
        &self,
        stream: &str,
        filter: &str,
        heard: Option<Place>,
    ) -> Result<Option<Reader>, BridgeError> {
        let own = self.own_consumers.lock().await;
        if self.has_left.load(Ordering::Acquire) {
            return Ok(None);
        }
        let name = self.consumer_name();
        let found = self.jetstream.get_stream(stream).await;
        let found = found.map_err(|error| request(format!("show stream `{stream}`"))(&error))?;
        let stream_ms = stamp_ms(found.cached_info().created);
        let consumer = match found.consumer_info(&name).await {
            Ok(info) => {
                check(stream, &name, filter, &info)?;
                let consumer = found.get_consumer::<pull::Config>(&name).await;
                consumer.map_err(|why| request(format!("show consumer `{name}`"))(&*why))?
            }
            Err(error) if !is_missing(&error) => {
                return Err(request(format!("show consumer `{name}`"))(&error));
            }
            Err(_) => {
                let after = heard.filter(|(heard_ms, _)| *heard_ms == stream_ms);
                let made = found.create_consumer(pull::Config {
                    durable_name: Some(name.clone()),
                    deliver_policy: self.beginning(after),
                    ack_policy: AckPolicy::Explicit,
                    ack_wait: ACK_WAIT,
                    max_ack_pending: 10_000,
                    filter_subject: filter.to_owned(),
                    inactive_threshold: FORGOTTEN,
                    ..pull::Config::default()
                });
                let made = made.await;
                made.map_err(|error| {
                    request(format!("make consumer `{name}` of `{stream}`"))(&error)
                })?
            }
        };
        drop(own);
        let taken = consumer.cached_info().ack_floor.stream_sequence;
        let messages = consumer
            .stream()
            .max_messages_per_batch(BATCH)
            .heartbeat(Duration::from_secs(5))
            .messages()
            .await;
        let messages =
            messages.map_err(|error| request(format!("deliver from `{stream}`"))(&error))?;
        Ok(Some(Reader {
            stream_ms,
            taken,
            messages,
        }))
    }

    /// Where a new consumer begins: what was published before there was this host is others'.
    fn beginning(&self, after: Option<Place>) -> DeliverPolicy {
        if let Some((_, sequence)) = after {
            let start_sequence = sequence + 1;
            return DeliverPolicy::ByStartSequence { start_sequence };
        }
        let since_ms = self
            .identity
            .since_ms
            .saturating_sub(crate::clock::millis(CLOCKS_APART));
        let since = datetime::from_nanos(i128::from(since_ms) * 1_000_000);
        since.map_or(DeliverPolicy::All, |start_time| {
            DeliverPolicy::ByStartTime { start_time }
        })
    }
}

/// Whether this host's own consumer hands over all that is asked of it until that was acknowledged. How long it waits for that is
/// the operator's.
fn check(stream: &str, name: &str, filter: &str, info: &Info) -> Result<(), BridgeError> {
    let config = &info.config;
    let skips = match config.deliver_policy {
        DeliverPolicy::All
        | DeliverPolicy::ByStartTime { .. }
        | DeliverPolicy::ByStartSequence { .. } => false,
        DeliverPolicy::Last | DeliverPolicy::New | DeliverPolicy::LastPerSubject => true,
    };
    let reasons = [
        (
            config.deliver_subject.is_some(),
            "pushes, and has to be pulled from",
        ),
        (config.filter_subject != filter, "takes other messages"),
        (skips, "passes messages over (`deliver_policy`)"),
        (
            config.ack_policy != AckPolicy::Explicit,
            "does not wait for each acknowledgement",
        ),
        (
            config.max_deliver > 0,
            "gives up what it has delivered often enough (`max_deliver`)",
        ),
        (config.headers_only, "delivers headers alone"),
    ];
    let removal = format!("consumer rm {stream} {name}");
    super::check("consumer", name, &reasons, &removal)
}
