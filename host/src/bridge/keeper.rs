//! Looks after what is out: that the broker still has it, and whether drivers have taken it.

use super::consumers::LOOK;
use super::outs::{Busy, Out, Outs};
use super::{Bridge, BridgeError};
use crate::clock;
use crate::owner::Owner;
use beltline_engine::{Input, RunId};
use futures::StreamExt;
use futures::stream;
use serde::Deserialize;
use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

/// Runs that are told of at once that drivers have taken their attempts.
const TOLD_AT_ONCE: usize = 64;

/// So long before an attempt's time to be taken is over it is looked at once more.
const AHEAD: Duration = Duration::from_millis(150);

/// The shortest pause between two looks.
const AT_LEAST: Duration = Duration::from_millis(50);

/// Where a consumer of the stream `messages` is made, or made otherwise.
const CONSUMER_MADE: &str = "$JS.API.CONSUMER.CREATE.messages.";

/// What the broker tells of itself.
#[derive(Debug, Deserialize)]
struct Advisory {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    consumer: String,
    #[serde(default)]
    stream_seq: u64,
    #[serde(default)]
    deliveries: u64,
}

/// A request that somebody has made.
#[derive(Debug, Deserialize)]
struct Asked {
    #[serde(default)]
    subject: String,
    #[serde(default)]
    client: Asker,
}

#[derive(Debug, Default, Deserialize)]
struct Asker {
    #[serde(default)]
    id: u64,
}

impl Bridge {
    /// Looks after it for as long as the host is there.
    pub(super) async fn keep(self: Arc<Self>) {
        let mut made = self.connection.made();
        let mut taken = Vec::new();
        self.look.notify_one();
        let Some(mut served) = self.owner().map(|owner| owner.registry().changes()) else {
            return;
        };
        loop {
            tokio::select! {
                _ = made.changed() => self.consumers.forget(),
                Ok(()) = served.changed() => {}
                () = self.look.notified() => {}
                () = tokio::time::sleep(self.until_look()) => {}
            }
            let Some(owner) = self.owner() else { return };
            if !self.connection.is_there() {
                continue;
            }
            // Whoever answers within a look is never told of as running: most do.
            self.tell_taken(&owner, std::mem::take(&mut taken)).await;
            let natives = owner.registry().natives();
            let busy = self.outs.lock().busy();
            if busy.is_empty()
                && self.owed.is_empty()
                && natives
                    .iter()
                    .all(|(name, _)| self.consumers.is_known(name))
            {
                continue;
            }
            let names: Vec<_> = natives.iter().map(|(name, _)| name.clone()).collect();
            if let Err(error) = self.make_sure_of_streams(&names).await {
                tracing::warn!(error = %crate::text::chain(&error), "the streams cannot be used");
                continue;
            }
            self.pay_owed().await;
            // A driver finds its consumer there before there is anything for it.
            for (name, entry) in natives {
                if !self.consumers.is_known(&name) {
                    self.keep_ready(&owner, &name, &entry).await;
                }
            }
            for one in busy {
                if let Ok(found) = self.look_at(&owner, &one).await {
                    let soon_ms = clock::now_ms() + 2 * clock::millis(LOOK);
                    let (urgent, others) = found
                        .into_iter()
                        .partition(|(_, out)| out.until_ms < soon_ms);
                    self.tell_taken(&owner, urgent).await;
                    taken.extend::<Vec<_>>(others);
                }
            }
            self.tell_again();
        }
    }

    /// How long nothing is looked at: not until somebody's time to take an attempt is over who may have it.
    fn until_look(&self) -> Duration {
        match self.outs.lock().soonest_ms() {
            Some(at_ms) => {
                clock::until(at_ms.saturating_sub(clock::millis(AHEAD))).clamp(AT_LEAST, LOOK)
            }
            None => LOOK,
        }
    }

    /// Looks at one driver's consumer. Returns what it has taken since the last look.
    async fn look_at(
        &self,
        owner: &Arc<Owner>,
        busy: &Busy,
    ) -> Result<Vec<(RunId, Out)>, BridgeError> {
        self.consumers.forget_one(&busy.driver);
        let seen = self
            .make_sure_of_consumer(&busy.driver, &busy.entry, &busy.kinds)
            .await?;
        let stream_ms = self.streams.lock().messages_ms;
        let lost = self.outs.lock().lost(&busy.driver, stream_ms, seen);
        for (run, out) in lost {
            owner.again(run, out.step, out.attempt);
        }
        let taken = self.outs.lock().take_up_to(&busy.driver, stream_ms, seen);
        // What cannot be seen now is looked for again.
        let _ = self.look_for_poison(owner, busy, stream_ms, seen).await;
        Ok(taken)
    }

    async fn tell_taken(&self, owner: &Arc<Owner>, taken: Vec<(RunId, Out)>) {
        let still_out = |(run, out): &(RunId, Out)| {
            let outs = self.outs.lock();
            outs.get(*run, out.step)
                .is_some_and(|now| now.attempt == out.attempt)
        };
        let taken = taken.into_iter().filter(still_out).map(|(run, out)| {
            let delivered = Input::Delivered {
                step: out.step,
                attempt: out.attempt,
            };
            async move { owner.ask(run, delivered).await }
        });
        // Where one cannot be told, its time to be taken goes on, and the answer counts all the same.
        let told = stream::iter(taken).buffer_unordered(TOLD_AT_ONCE);
        told.for_each(|_| ready(())).await;
    }

    /// Hears when a driver changes its consumer, of which the broker tells as of any request.
    pub(super) async fn listen_to_requests(self: Arc<Self>) {
        self.listen("$JS.EVENT.ADVISORY.API", |_, message| {
            if let Ok(asked) = serde_json::from_slice::<Asked>(&message.payload)
                && asked.client.id != self.client_id()
                && let Some(consumer) = asked.subject.strip_prefix(CONSUMER_MADE)
            {
                let driver = consumer.split('.').next().unwrap_or_default();
                self.consumers.forget_one(driver);
                self.look.notify_one();
            }
            ready(())
        })
        .await;
    }

    fn client_id(&self) -> u64 {
        self.connection.client.server_info().client_id
    }

    /// Hears when a consumer is made or deleted, and when a message was delivered as often as it may be.
    pub(super) async fn listen_to_advisories(self: Arc<Self>) {
        let subject = "$JS.EVENT.ADVISORY.CONSUMER.*.messages.>";
        self.listen(subject, |owner, message| {
            let bridge = Arc::clone(&self);
            async move {
                if let Ok(advisory) = serde_json::from_slice(&message.payload) {
                    bridge.hear(&owner, &advisory).await;
                }
            }
        })
        .await;
    }

    async fn hear(&self, owner: &Arc<Owner>, advisory: &Advisory) {
        self.consumers.forget_one(&advisory.consumer);
        if !advisory.kind.ends_with("max_deliver") {
            self.look.notify_one();
            return;
        }
        let stream_ms = self.streams.lock().messages_ms;
        let find = |outs: &Outs| outs.at(&advisory.consumer, stream_ms, advisory.stream_seq);
        let found = find(&self.outs.lock());
        if let Some((run, out)) = found {
            let often = format!("{} times", advisory.deliveries);
            self.is_poison(owner, run, &out, &often).await;
        }
    }
}
