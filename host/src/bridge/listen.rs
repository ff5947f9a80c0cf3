//! Hearing what is published: listened to anew where that ends, for as long as the host is there.

use super::{Bridge, BridgeError, request};
use crate::owner::Owner;
use crate::text;
use async_nats::jetstream::consumer::{AckPolicy, pull};
use async_nats::{Message, jetstream};
use futures::StreamExt;
use std::sync::Arc;
use std::time::Duration;

/// Between two tries to listen.
const PAUSE: Duration = Duration::from_secs(1);

/// Messages that are asked for at once.
pub(super) const BATCH: usize = 512;

/// A host that has not been there for so long is forgotten by the broker.
const FORGOTTEN: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// How long the broker waits for an acknowledgement before it delivers once more.
const ACK_WAIT: Duration = Duration::from_secs(30);

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

    /// Takes each message of a stream that every host has a durable consumer of its own on, in order; to be acknowledged.
    pub(super) async fn take_each<F: Future<Output = ()>>(
        &self,
        stream: &'static str,
        filter: &'static str,
        take: impl Fn(Arc<Owner>, jetstream::Message) -> F,
    ) {
        loop {
            match self.messages_of(stream, filter).await {
                Ok(mut messages) => {
                    while let Some(Ok(message)) = messages.next().await {
                        let Some(owner) = self.owner() else { return };
                        take(owner, message).await;
                    }
                }
                Err(error) => {
                    tracing::warn!(stream, error = %text::chain(&error), "a stream cannot be read");
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn messages_of(&self, stream: &str, filter: &str) -> Result<pull::Stream, BridgeError> {
        let name = format!("belt-{}", self.host);
        let config = pull::Config {
            durable_name: Some(name.clone()),
            ack_policy: AckPolicy::Explicit,
            ack_wait: ACK_WAIT,
            max_ack_pending: 10_000,
            filter_subject: filter.to_owned(),
            inactive_threshold: FORGOTTEN,
            ..pull::Config::default()
        };
        let consumer = self
            .jetstream
            .create_consumer_on_stream(config, stream)
            .await;
        let consumer = consumer
            .map_err(|error| request(format!("make consumer `{name}` of `{stream}`"))(&error))?;
        let messages = consumer
            .stream()
            .max_messages_per_batch(BATCH)
            .heartbeat(Duration::from_secs(5))
            .messages()
            .await;
        messages.map_err(|error| request(format!("deliver from `{stream}`"))(&error))
    }
}
