//! A message that was delivered as often as it may be and never acknowledged: its driver dies of it, and its step fails.
//!
//! The broker tells of it once, to whoever listens. What was told while this host was away is found by what is left: the
//! message is in the stream and no consumer has it in hand.

use super::consumers::Seen;
use super::outs::{Busy, Out, Place};
use super::results::failed;
use super::{Bridge, BridgeError, request};
use crate::documents::Wire;
use crate::owner::Owner;
use crate::runner::Answered;
use async_nats::jetstream::stream::RawMessageErrorKind;
use beltline_engine::{Failure, FailureKind, RunId};
use beltline_wire::subjects::MESSAGES_STREAM;
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Messages of a driver that are asked for in one look.
const ASKED_MAX: usize = 16;

/// Messages that nobody had in hand at the last look. One that is being acknowledged is gone by the next.
#[derive(Debug, Default)]
pub(super) struct Suspects {
    places: Mutex<BTreeSet<Place>>,
}

impl Suspects {
    /// Those of a look at which these were found; returns which of them were found before.
    fn again(&self, found: &[Place]) -> BTreeSet<Place> {
        let mut places = self.places.lock();
        let (again, new): (BTreeSet<_>, BTreeSet<_>) =
            found.iter().partition(|place| places.remove(place));
        places.extend(new);
        again
    }

    /// Nothing is suspected of these any more.
    fn clear(&self, cleared: &[(RunId, Out)]) {
        let mut places = self.places.lock();
        if !places.is_empty() {
            let sent = cleared.iter().filter_map(|(_, out)| out.sent);
            sent.for_each(|sent| _ = places.remove(&sent.place()));
        }
    }
}

impl Bridge {
    /// Looks for what a driver has taken, and neither answered nor has in hand.
    pub(super) async fn look_for_poison(
        &self,
        owner: &Arc<Owner>,
        busy: &Busy,
        stream_ms: i64,
        seen: Seen,
    ) -> Result<(), BridgeError> {
        // Conveyor's acknowledge before they work.
        if busy.entry.wire == Wire::Conveyor {
            return Ok(());
        }
        let taken = self.outs.lock().taken(&busy.driver, stream_ms, ASKED_MAX);
        if seen.is_in_hand {
            self.suspects.clear(&taken);
            return Ok(());
        }
        let mut found = Vec::new();
        for (run, out) in taken {
            if let Some(sent) = out.sent
                && self.is_in_stream(sent.sequence).await?
            {
                found.push((sent.place(), run, out));
            }
        }
        let places: Vec<_> = found.iter().map(|(place, _, _)| *place).collect();
        let again = self.suspects.again(&places);
        for (_, run, out) in found.iter().filter(|(place, _, _)| again.contains(place)) {
            self.is_poison(owner, *run, out, "as often as it may be")
                .await;
        }
        Ok(())
    }

    async fn is_in_stream(&self, sequence: u64) -> Result<bool, BridgeError> {
        let stream = self.jetstream.get_stream_no_info(MESSAGES_STREAM).await;
        let stream = stream.map_err(|error| request("name its streams")(&error))?;
        match stream.get_raw_message(sequence).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => Ok(false),
            Err(error) => Err(request("show a message")(&error)),
        }
    }

    /// An attempt's message was delivered so often for nothing.
    pub(super) async fn is_poison(&self, owner: &Arc<Owner>, run: RunId, out: &Out, often: &str) {
        let reason = format!(
            "its message was delivered {often} and never acknowledged: the driver dies of it, or does not acknowledge"
        );
        let answered = Answered {
            step: out.step,
            attempt: out.attempt,
            told: failed(Failure::new(FailureKind::Limit, reason)),
            is_fenced: true,
        };
        match owner.answered(run, answered).await {
            Ok(_) => {
                self.is_out_no_more(run, out.step, out.attempt);
                self.take_back(run, out).await;
            }
            Err(error) => {
                tracing::warn!(%run, error = %crate::text::chain(&error), "a message that kills its driver could not be told of");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_found_twice_in_a_row_is_told_once() {
        let suspects = Suspects::default();
        let (one, two) = ((1, 1), (1, 2));
        assert!(suspects.again(&[one]).is_empty());
        assert_eq!(suspects.again(&[one, two]), [one].into());
        assert_eq!(suspects.again(&[two]), [two].into());
        assert!(suspects.again(&[two]).is_empty());
    }
}
