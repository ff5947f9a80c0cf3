//! An answer that has come, from there to its acknowledgement.
//!
//! A run that is under way takes it and says what became of it. One that is not, or that is left at that moment, is asked
//! with patience. Neither is waited for by a task where that can be had without.

use super::super::Bridge;
use super::super::streams::stamp_ms;
use super::{About, Found};
use crate::owner::{Owner, OwnerError};
use crate::runner::Answered;
use crate::text;
use async_nats::jetstream::{AckKind, Message};
use beltline_engine::RunId;
use futures::FutureExt;
use futures::future::BoxFuture;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::OwnedSemaphorePermit;

/// After so long an answer comes again that could not be taken.
const PAUSE: Duration = Duration::from_secs(1);

/// A message, and the room that it takes among those in hand.
pub(super) struct Arrived {
    bridge: Arc<Bridge>,
    message: Message,
    _permit: OwnedSemaphorePermit,
}

/// One that a run is to take.
struct Taking {
    arrived: Arrived,
    run: RunId,
    about: About,
    answered: Answered,
}

/// One in the hands of its run. Dropped before the run has said what became of it, it is taken with patience.
struct HandedIn(Option<Taking>);

impl Arrived {
    pub(super) fn new(bridge: Arc<Bridge>, message: Message, permit: OwnedSemaphorePermit) -> Self {
        Arrived {
            bridge,
            message,
            _permit: permit,
        }
    }

    pub(super) async fn take(self, owner: &Owner) {
        let (sequence, _) = self.place();
        let found = self.bridge.chosen(owner, &self.message.payload, sequence);
        match found.await {
            Ok(Found::Nothing) => self.acknowledge().await,
            Ok(Found::Ignored(run, about, why)) => self.ignore(run, about, why).await,
            Ok(Found::Answer(run, about, answered)) => {
                let taking = Taking {
                    arrived: self,
                    run,
                    about,
                    answered: answered.clone(),
                };
                let handed_in = HandedIn(Some(taking));
                let reply = Box::new(move |counts| handed_in.reply(counts));
                owner.hand_in(run, answered, reply);
            }
            Err(error) => self.again(&error).await,
        }
    }

    /// Its place in the stream, and when it came there.
    fn place(&self) -> (u64, i64) {
        self.message.info().map_or((0, 0), |info| {
            (info.stream_sequence, stamp_ms(info.published))
        })
    }

    async fn ignore(self, run: Option<RunId>, about: About, why: String) {
        match self.bridge.ignore(run, self.place(), about, why).await {
            Ok(()) => self.acknowledge().await,
            Err(error) => self.again(&error).await,
        }
    }

    /// What could not be acknowledged comes again, and is found out to have been taken.
    async fn acknowledge(self) {
        let _ = self.message.ack().await;
    }

    async fn again(self, error: &OwnerError) {
        tracing::warn!(error = %text::chain(error), "an answer could not be taken, and will come again");
        let _ = self.message.ack_with(AckKind::Nak(Some(PAUSE))).await;
    }
}

impl Taking {
    /// What became of it is durable.
    async fn settle(self, counts: bool) {
        let Answered { step, attempt, .. } = self.answered;
        if counts {
            self.arrived.bridge.is_out_no_more(self.run, step, attempt);
            self.arrived.acknowledge().await;
        } else {
            let why = "its attempt has ended".to_owned();
            self.arrived.ignore(Some(self.run), self.about, why).await;
        }
    }

    async fn ask(self) {
        // Without its owner the host is about to end; the message comes again.
        let Some(owner) = self.arrived.bridge.owner() else {
            return;
        };
        match owner.answered(self.run, self.answered.clone()).await {
            Ok(counts) => self.settle(counts).await,
            Err(error) => self.arrived.again(&error).await,
        }
    }
}

impl HandedIn {
    fn reply(mut self, counts: bool) {
        if let Some(taking) = self.0.take() {
            at_once(taking.settle(counts).boxed());
        }
    }
}

impl Drop for HandedIn {
    fn drop(&mut self) {
        if let Some((taking, runtime)) = self.0.take().zip(Handle::try_current().ok()) {
            runtime.spawn(taking.ask());
        }
    }
}

/// Does it here as far as it needs not wait, and the rest as a task.
pub(super) fn at_once(mut future: BoxFuture<'static, ()>) {
    if future.as_mut().now_or_never().is_none() {
        tokio::spawn(future);
    }
}
