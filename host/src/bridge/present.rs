//! How native drivers stand: asked for when somebody wants to know.

use super::{Bridge, BridgeError, request};
use crate::documents::NativeDriver;
use async_nats::StatusCode;
use beltline_wire::subjects::{MESSAGES_STREAM, present_subject};
use futures::StreamExt;
use std::time::Duration;

/// How long programs of a driver may take to answer that they are there.
const ANSWER_TIME_MAX: Duration = Duration::from_millis(100);

/// A native driver, as the broker and the book have it.
#[derive(Debug, Clone, Default)]
pub struct NativeState {
    /// Its programs that are there.
    pub connected: usize,
    /// Attempts that are out.
    pub pending: usize,
    /// Of these, those that nobody has taken.
    pub waiting: usize,
    /// Messages that the broker has delivered more than once.
    pub redelivered: usize,
    /// When it last answered or said something, in milliseconds since the Unix epoch.
    pub seen_ms: Option<u64>,
    /// What is wrong with its consumer.
    pub trouble: Option<String>,
}

impl Bridge {
    /// How a native driver stands.
    pub(crate) async fn state_of(&self, driver: &str, entry: &NativeDriver) -> NativeState {
        if self.connection.is_there()
            && self.consumers.is_stale(driver)
            && let Some(owner) = self.owner()
        {
            self.consumers.forget_one(driver);
            self.keep_ready(&owner, driver, entry).await;
        }
        let seen = self.consumers.state_of(driver);
        let there = self.programs_of(driver).await;
        let (pending, waiting) = self.outs.lock().of_driver(driver);
        NativeState {
            // Those that do not answer, as Conveyor's, have one request for messages each.
            connected: if there > 0 { there } else { seen.connected },
            pending,
            waiting,
            seen_ms: self.seen.lock().get(driver).copied(),
            ..seen
        }
    }

    /// How many programs of a driver answer that they are there.
    async fn programs_of(&self, driver: &str) -> usize {
        let client = &self.connection.client;
        if !self.connection.is_there() {
            return 0;
        }
        let inbox = client.new_inbox();
        let Ok(answers) = client.subscribe(inbox.clone()).await else {
            return 0;
        };
        let asked = client.publish_with_reply(present_subject(driver), inbox, "".into());
        if asked.await.is_err() {
            return 0;
        }
        // The broker says at once where nobody listens.
        let is_one = |answer: &async_nats::Message| {
            let is_nobody = answer.status == Some(StatusCode::NO_RESPONDERS);
            std::future::ready(!is_nobody)
        };
        let mut there = 0;
        let count = answers.take_while(is_one).for_each(|_| {
            there += 1;
            std::future::ready(())
        });
        let _ = tokio::time::timeout(ANSWER_TIME_MAX, count).await;
        there
    }

    /// A driver is registered no more: nothing is kept for it, unless there are programs that wait for it.
    ///
    /// # Errors
    /// The broker's.
    pub(crate) async fn retire(&self, driver: &str) -> Result<(), BridgeError> {
        let _registered = self.consumers.registered.write().await;
        self.consumers.drop_one(driver);
        let stream = self.jetstream.get_stream_no_info(MESSAGES_STREAM).await;
        let stream = stream.map_err(|error| request("name its streams")(&error))?;
        let Ok(info) = stream.consumer_info(driver).await else {
            return Ok(());
        };
        if info.num_waiting > 0 || self.programs_of(driver).await > 0 {
            return Ok(());
        }
        let deleted = stream.delete_consumer(driver).await;
        deleted.map_err(|error| request(format!("delete consumer `{driver}`"))(&error))?;
        Ok(())
    }
}
