//! Taking back what is out: its message leaves the stream, and whoever has it is told that its time is over.
//!
//! What cannot be taken back while the broker is away is owed, and taken back when it is there again: a message of an attempt
//! that has ended would keep a driver busy for nothing.

use super::outs::{Out, Place};
use super::results::failed;
use super::streams::stamp_ms;
use super::{Bridge, BridgeError, Silent, request};
use crate::owner::{Owner, OwnerError};
use crate::runner::Answered;
use crate::runs::StoredRun;
use async_nats::jetstream::stream::{DeleteMessageError, DeleteMessageErrorKind};
use beltline_engine::{Failure, FailureKind, RunId};
use beltline_wire::subjects::MESSAGES_STREAM;
use futures::FutureExt;
use parking_lot::Mutex;
use std::collections::BTreeSet;

/// Messages that may be owed; one more stays where it is, and its driver finds its answer worth nothing.
const OWED_MAX: usize = 100_000;

/// Messages that are still to be taken back.
#[derive(Debug, Default)]
pub(super) struct Owed {
    places: Mutex<BTreeSet<Place>>,
    /// Held by whoever takes all of them back.
    paying: tokio::sync::Mutex<()>,
}

impl Owed {
    pub(super) fn is_empty(&self) -> bool {
        self.places.lock().is_empty()
    }

    fn put(&self, place: Place) {
        let mut places = self.places.lock();
        if places.len() < OWED_MAX {
            places.insert(place);
        }
    }

    fn first(&self) -> Option<Place> {
        self.places.lock().first().copied()
    }

    fn is_paid(&self, place: Place) {
        self.places.lock().remove(&place);
    }
}

impl Bridge {
    /// Takes a message off the stream, and tells whoever has it that its time is over.
    pub(super) async fn take_back(&self, run: RunId, out: &Out) {
        if let Some(place) = self.call_off(run, out) {
            self.delete_or_owe(place).await;
        }
    }

    /// Tells whoever has an attempt that its time is over. Returns the place of its message, where that is nobody else's.
    fn call_off(&self, run: RunId, out: &Out) -> Option<Place> {
        self.tell_to_stop(run, &out.step_id, out.attempt, true);
        let sent = out.sent?;
        if sent.is_shared {
            // It is the others' too, until the run is over.
            *self.shared_of(run).withdrawn.lock() = Some(sent.place());
            return None;
        }
        Some(sent.place())
    }

    /// It is owed until it is gone: whoever waits for this may give that up.
    pub(super) async fn delete_or_owe(&self, place: Place) {
        self.owed.put(place);
        match self.delete(place).await {
            Ok(()) => self.owed.is_paid(place),
            Err(error) => {
                let error = crate::text::chain(&error);
                tracing::debug!(error, "a message is taken back later");
            }
        }
    }

    /// Takes back what could not be taken back before.
    pub(super) async fn pay_owed(&self) {
        let _paying = self.owed.paying.lock().await;
        while let Some(place) = self.owed.first() {
            if self.delete(place).await.is_err() {
                return;
            }
            self.owed.is_paid(place);
        }
    }

    async fn delete(&self, place: Place) -> Result<(), BridgeError> {
        let (stream_ms, sequence) = place;
        let doing = || request("take a message back");
        if !self.connection.is_there() {
            return Err(doing()(&Silent("it is not there")));
        }
        let stream = self.jetstream.get_stream(MESSAGES_STREAM).await;
        let stream = stream.map_err(|error| doing()(&error))?;
        // In a stream that was made anew, its place is another's.
        if stamp_ms(stream.cached_info().created) != stream_ms {
            return Ok(());
        }
        match stream.delete_message(sequence).await {
            Ok(_) => Ok(()),
            Err(error) if is_answer(&error) => Ok(()),
            Err(error) => Err(doing()(&error)),
        }
    }

    /// Whether anything of a run is out, or may still be with the broker.
    pub(crate) fn has_out(&self, run: RunId) -> bool {
        !self.outs.lock().of_run(run).is_empty() || self.shared.lock().contains_key(&run)
    }

    /// A run is over: whatever of it is out is taken back, soon.
    pub(crate) fn let_go(&self, run: RunId) {
        let outs = self.outs.lock().remove_run(run);
        let own = outs.iter().filter_map(|out| self.call_off(run, out));
        own.for_each(|place| self.owed.put(place));
        let shared = self.shared.lock().remove(&run);
        if let Some(place) = shared.and_then(|shared| *shared.withdrawn.lock()) {
            self.owed.put(place);
        }
        self.look.notify_one();
    }

    /// What was out of a run when its host ended is out again before the run moves: it may move past it.
    pub(crate) async fn recall(&self, owner: &Owner, stored: &StoredRun) -> Result<(), OwnerError> {
        let run = stored.run.id;
        if self.has_out(run) {
            return Ok(());
        }
        let open = self.open_in(owner, stored).await?;
        let mut outs = self.outs.lock();
        for out in open.into_iter().filter(|out| out.sent.is_some()) {
            if outs.get(run, out.step).is_none() {
                outs.put(run, out);
            }
        }
        Ok(())
    }

    /// Asks whoever has an attempt to stop. Where nobody has had it, it is answered here: its run need not wait.
    pub(super) async fn stop(&self, run: RunId, step: u32, attempt: u32) {
        let out = {
            let mut outs = self.outs.lock();
            let is_it = |out: &Out| out.attempt == attempt;
            outs.change(run, step, |out| out.is_stopping = is_it(out));
            outs.get(run, step).filter(|out| is_it(out)).cloned()
        };
        let Some(out) = out else { return };
        self.tell_to_stop(run, &out.step_id, attempt, false);
        if let Some(owner) = self.owner()
            && let Ok(true) = self.is_taken_back_in_time(&out).await
        {
            let answered = Answered {
                step,
                attempt,
                told: failed(Failure::new(
                    FailureKind::Cancelled,
                    "no driver had taken it",
                )),
                is_fenced: true,
            };
            // Where that fails, the run ends when its time to stop is over.
            if owner.answered(run, answered).await.is_ok() {
                self.is_out_no_more(run, step, attempt);
            }
        }
    }

    /// Takes a message off the stream, and says whether it was delivered to nobody.
    async fn is_taken_back_in_time(&self, out: &Out) -> Result<bool, BridgeError> {
        let Some(sent) = out.sent.filter(|sent| !sent.is_shared && !out.is_taken) else {
            return Ok(false);
        };
        self.delete(sent.place()).await?;
        // It could have been delivered up to this moment.
        self.consumers.forget_one(&out.driver);
        let kinds = BTreeSet::from([out.kind.to_string()]);
        let seen = self
            .make_sure_of_consumer(&out.driver, &out.entry, &kinds)
            .await?;
        Ok(seen.made_ms == sent.consumer_ms && seen.delivered < sent.sequence)
    }

    /// Tells those once more that are to stop: nobody acknowledges that he has heard it.
    pub(super) fn tell_again(&self) {
        let stopping = self.outs.lock().stopping();
        for (run, out) in stopping {
            self.tell_to_stop(run, &out.step_id, out.attempt, false);
        }
    }

    pub(super) fn tell_to_stop(&self, run: RunId, step_id: &str, attempt: u32, force: bool) {
        let run_id = run.to_string();
        let cancel = beltline_wire::Cancel {
            step_id: Some(step_id.to_owned()),
            attempt: Some(attempt),
            force,
            run_id: run_id.clone(),
        };
        let client = self.connection.client.clone();
        let body = serde_json::to_vec(&cancel).expect("it has string keys");
        let subject = beltline_wire::subjects::cancel_subject(&run_id);
        let mut tell = async move { client.publish(subject, body.into()).await }.boxed();
        // Who is not there to hear it finds his answer worth nothing.
        if tell.as_mut().now_or_never().is_none() {
            self.runtime.spawn(tell);
        }
    }
}

/// Whether the broker has answered that there is nothing to delete: the message may have been acknowledged, and be gone.
fn is_answer(error: &DeleteMessageError) -> bool {
    matches!(error.kind(), DeleteMessageErrorKind::JetStream(_))
}
