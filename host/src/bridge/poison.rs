//! A message that was delivered as often as it may be and never acknowledged: its driver dies of it, and its step fails.
//!
//! The broker tells of it once, to whoever listens. What was told while this host was away is found by what is left: the
//! message is in the stream, was delivered again, and nobody has anything of that driver in hand. Where somebody always has, the
//! step's timeout ends it.

use super::consumers::{LOOK, Seen};
use super::outs::{Busy, Out, Place};
use super::results::failed;
use super::{Bridge, BridgeError, request};
use crate::clock;
use crate::owner::Owner;
use crate::runner::Answered;
use async_nats::jetstream::stream::RawMessageErrorKind;
use beltline_engine::{Failure, FailureKind, RunId};
use beltline_wire::subjects::MESSAGES_STREAM;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// Messages of a driver that are asked for in one look.
const ASKED_MAX: usize = 16;

/// Messages that nobody had in hand at the last look, by driver, and since when, in milliseconds since the Unix epoch. One that is
/// being acknowledged is gone a moment later.
#[derive(Debug, Default)]
pub(super) struct Suspects {
    drivers: Mutex<HashMap<Arc<str>, BTreeMap<Place, u64>>>,
}

impl Suspects {
    /// At a look, these were found of a driver. Returns those of them that have been found since a whole look ago.
    fn found(&self, driver: &Arc<str>, places: &[Place], now_ms: u64) -> BTreeSet<Place> {
        let mut drivers = self.drivers.lock();
        if places.is_empty() {
            drivers.remove(driver);
            return BTreeSet::new();
        }
        let before = drivers.entry(Arc::clone(driver)).or_default();
        let since = |place: &Place| (*place, *before.get(place).unwrap_or(&now_ms));
        let now: BTreeMap<_, _> = places.iter().map(since).collect();
        let enough_ms = now_ms.saturating_sub(clock::millis(LOOK));
        let long = now.iter().filter(|(_, since)| **since <= enough_ms);
        let long = long.map(|(place, _)| *place).collect();
        *before = now;
        long
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
        let mut found = Vec::new();
        if seen.given_up > 0 {
            let taken = self.outs.lock().taken(&busy.driver, stream_ms, ASKED_MAX);
            for (run, out) in taken {
                if let Some(sent) = out.sent
                    && !out.is_answered
                    && sent.is_there(stream_ms, seen)
                    && sent.sequence <= seen.delivered
                    && self.is_in_stream(sent.sequence).await?
                {
                    found.push((sent.place(), run, out));
                }
            }
        }
        // Where there are more, some are there for another reason, and it cannot be told which.
        if found.len() > seen.given_up {
            found.clear();
        }
        let places: Vec<_> = found.iter().map(|(place, _, _)| *place).collect();
        let long = self.suspects.found(&busy.driver, &places, seen.asked_ms);
        for (_, run, out) in found.iter().filter(|(place, _, _)| long.contains(place)) {
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
    fn what_is_found_at_each_look_for_long_enough_is_told() {
        let suspects = Suspects::default();
        let (one, two, driver) = ((1, 1), (1, 2), Arc::from("d"));
        let found = |places: &[Place], at_ms| suspects.found(&driver, places, at_ms);
        assert!(found(&[one], 1_000).is_empty());
        // Two looks may come one upon the other.
        assert!(found(&[one], 1_001).is_empty());
        assert_eq!(found(&[one, two], 1_500), [one].into());
        assert_eq!(found(&[two], 2_000), [two].into());
        // What was not found in between is found for the first time.
        assert!(found(&[], 2_500).is_empty());
        assert!(found(&[two], 3_000).is_empty());
        assert!(suspects.found(&Arc::from("e"), &[two], 9_000).is_empty());
    }
}
