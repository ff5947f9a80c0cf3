//! Which attempts are out: handed to a native driver and not answered yet. Pure.
//!
//! Owns what has to be at hand when an answer comes or the broker has lost something. It is made anew after a restart, as
//! the runs are taken up: the store has what must not be lost.

use super::consumers::Seen;
use crate::documents::{NativeDriver, Wire};
use beltline_engine::RunId;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// More answers than there can be: one that names no attempt may be to an earlier one.
pub(super) const UNNAMED: u64 = u64::MAX;

/// An attempt that is out.
#[derive(Debug, Clone)]
pub(super) struct Out {
    pub(super) step: u32,
    pub(super) step_id: Arc<str>,
    pub(super) attempt: u32,
    pub(super) driver: Arc<str>,
    pub(super) entry: Arc<NativeDriver>,
    pub(super) kind: Arc<str>,
    /// Its message; none where it could not be published yet.
    pub(super) sent: Option<Sent>,
    /// Answers that were on the broker before it, among which one that names no attempt may be to an earlier one.
    pub(super) answers_before: u64,
    /// Until when it is to be taken, in milliseconds since the Unix epoch.
    pub(super) until_ms: u64,
    /// Whether the driver has it.
    pub(super) is_taken: bool,
    /// Whether an answer to it has come, which its run may not have taken yet.
    pub(super) is_answered: bool,
    /// Whether the driver is asked to stop.
    pub(super) is_stopping: bool,
    /// Why it is not with the broker, as its run's log says.
    pub(super) trouble: Option<Arc<str>>,
}

/// A message that is on the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sent {
    /// Its place in the stream.
    pub(super) sequence: u64,
    /// When its stream was made.
    pub(super) stream_ms: i64,
    /// When its consumer was made.
    pub(super) consumer_ms: i64,
    /// When the broker had taken it, by this host's clock.
    pub(super) at_ms: u64,
    /// Whether other drivers share it.
    pub(super) is_shared: bool,
}

/// What is out.
#[derive(Debug, Default)]
pub(super) struct Outs {
    runs: HashMap<RunId, Vec<Out>>,
    drivers: HashMap<Arc<str>, OfDriver>,
}

/// A message's: when its stream was made, and where in it. A stream that is made anew counts from 1 again.
pub(super) type Place = (i64, u64);

/// What one driver has.
#[derive(Debug, Default)]
struct OfDriver {
    pending: usize,
    /// Those that it has not taken, by the place of their messages.
    waiting: BTreeMap<Place, (RunId, u32)>,
    taken: BTreeMap<Place, (RunId, u32)>,
    unsent: BTreeSet<(RunId, u32)>,
}

/// A driver with something out, for whoever looks after it.
#[derive(Debug, Clone)]
pub(super) struct Busy {
    pub(super) driver: Arc<str>,
    pub(super) entry: Arc<NativeDriver>,
    pub(super) kinds: BTreeSet<String>,
}

impl Outs {
    /// One is out, in the place of what was of its step.
    pub(super) fn put(&mut self, run: RunId, out: Out) {
        self.remove(run, out.step);
        let of = self.drivers.entry(Arc::clone(&out.driver)).or_default();
        of.pending += 1;
        let place = (run, out.step);
        match (out.sent, out.is_taken) {
            (None, _) => _ = of.unsent.insert(place),
            (Some(sent), false) => _ = of.waiting.insert(sent.place(), place),
            (Some(sent), true) => _ = of.taken.insert(sent.place(), place),
        }
        // As a rule a run has one: room for more is made when there are more.
        let outs = self.runs.entry(run);
        outs.or_insert_with(|| Vec::with_capacity(1)).push(out);
    }

    /// One is about to be out. It stands for what was of its step; that is returned where it is of an earlier attempt.
    pub(super) fn stand_for(&mut self, run: RunId, out: &mut Out) -> Option<Out> {
        let earlier = self.remove(run, out.step);
        if let Some(same) = earlier.as_ref().filter(|one| one.attempt == out.attempt) {
            out.is_stopping = same.is_stopping;
            out.trouble.clone_from(&same.trouble);
        }
        self.put(run, out.clone());
        earlier.filter(|earlier| earlier.attempt < out.attempt)
    }

    /// One is out no more.
    pub(super) fn remove(&mut self, run: RunId, step: u32) -> Option<Out> {
        let outs = self.runs.get_mut(&run)?;
        let index = outs.iter().position(|out| out.step == step)?;
        let out = outs.swap_remove(index);
        if outs.is_empty() {
            self.runs.remove(&run);
        }
        if let Some(of) = self.drivers.get_mut(&out.driver) {
            of.pending -= 1;
            let place = (run, step);
            of.unsent.remove(&place);
            if let Some(sent) = out.sent {
                for book in [&mut of.waiting, &mut of.taken] {
                    if book.get(&sent.place()) == Some(&place) {
                        book.remove(&sent.place());
                    }
                }
            }
            if of.pending == 0 {
                self.drivers.remove(&out.driver);
            }
        }
        Some(out)
    }

    /// All of a run are out no more.
    pub(super) fn remove_run(&mut self, run: RunId) -> Vec<Out> {
        let steps = self.of_run(run).iter().map(|out| out.step);
        let steps: Vec<_> = steps.collect();
        let removed = steps.into_iter().filter_map(|step| self.remove(run, step));
        removed.collect()
    }

    /// What is out of a run.
    pub(super) fn of_run(&self, run: RunId) -> &[Out] {
        self.runs.get(&run).map_or(&[], Vec::as_slice)
    }

    /// What is out of a step.
    pub(super) fn get(&self, run: RunId, step: u32) -> Option<&Out> {
        self.of_run(run).iter().find(|out| out.step == step)
    }

    /// How many a driver has, and how many of these it has not taken.
    pub(super) fn of_driver(&self, driver: &str) -> (usize, usize) {
        self.drivers.get(driver).map_or((0, 0), |of| {
            (of.pending, of.waiting.len() + of.unsent.len())
        })
    }

    /// How many nobody has taken.
    pub(super) fn waiting(&self) -> usize {
        let all = self.drivers.values();
        all.map(|of| of.waiting.len() + of.unsent.len()).sum()
    }

    /// The drivers that have something.
    pub(super) fn busy(&self) -> Vec<Busy> {
        let busy = self.drivers.iter().filter_map(|(driver, of)| {
            let places = of.waiting.values().chain(of.taken.values());
            let mut places = places.chain(&of.unsent);
            let entry = places.find_map(|(run, step)| self.get(*run, *step))?;
            let kinds = match entry.entry.wire {
                // One subject takes all kinds.
                Wire::Default => BTreeSet::new(),
                Wire::Conveyor => self.kinds_of(driver),
            };
            Some(Busy {
                driver: Arc::clone(driver),
                entry: Arc::clone(&entry.entry),
                kinds,
            })
        });
        busy.collect()
    }

    fn kinds_of(&self, driver: &str) -> BTreeSet<String> {
        let all = self.runs.values().flatten();
        let own = all.filter(|out| &*out.driver == driver);
        own.map(|out| out.kind.to_string()).collect()
    }

    /// Those of a driver that were delivered and were not known to be; from now on they are.
    ///
    /// A consumer that was made anew begins where its stream ends, and has delivered nothing of what was before.
    pub(super) fn take_up_to(
        &mut self,
        driver: &str,
        stream_ms: i64,
        seen: Seen,
    ) -> Vec<(RunId, Out)> {
        let Some(of) = self.drivers.get_mut(driver) else {
            return Vec::new();
        };
        let delivered = of
            .waiting
            .range((stream_ms, 0)..=(stream_ms, seen.delivered));
        let delivered: Vec<_> = delivered.map(|(at, place)| (*at, *place)).collect();
        let mut found = Vec::new();
        for (at, (run, step)) in delivered {
            let outs = self.runs.get_mut(&run);
            let out = outs.and_then(|outs| outs.iter_mut().find(|out| out.step == step));
            let Some(out) = out else { continue };
            if out.sent.is_some_and(|sent| sent.is_there(stream_ms, seen)) {
                out.is_taken = true;
                of.waiting.remove(&at);
                of.taken.insert(at, (run, step));
                found.push((run, out.clone()));
            }
        }
        found
    }

    /// The first of those that a driver has taken out of this stream.
    pub(super) fn taken(&self, driver: &str, stream_ms: i64, most: usize) -> Vec<(RunId, Out)> {
        let of = self.drivers.get(driver);
        let taken = of.map(|of| of.taken.range((stream_ms, 0)..=(stream_ms, u64::MAX)));
        let taken = taken.into_iter().flatten().take(most);
        let outs =
            taken.filter_map(|(_, (run, step))| Some((*run, self.get(*run, *step)?.clone())));
        outs.collect()
    }

    /// Those of a driver whose message is not there any more, or never was: its stream or its consumer is younger.
    pub(super) fn lost(&self, driver: &str, stream_ms: i64, seen: Seen) -> Vec<(RunId, Out)> {
        let Some(of) = self.drivers.get(driver) else {
            return Vec::new();
        };
        let sent = of.waiting.values().chain(of.taken.values());
        let lost = sent.chain(&of.unsent).filter_map(|(run, step)| {
            let out = self.get(*run, *step)?;
            let is_there = |sent: Sent| sent.is_there(stream_ms, seen);
            (!out.sent.is_some_and(is_there)).then(|| (*run, out.clone()))
        });
        lost.collect()
    }

    /// Until when the first of those is to be taken that nobody has taken.
    pub(super) fn soonest_ms(&self) -> Option<u64> {
        let all = self.drivers.values();
        let places = all.flat_map(|of| of.waiting.values().chain(&of.unsent));
        let until = places.filter_map(|(run, step)| Some(self.get(*run, *step)?.until_ms));
        until.min()
    }

    /// Those whose drivers are asked to stop.
    pub(super) fn stopping(&self) -> Vec<(RunId, Out)> {
        let all = self.runs.iter();
        let all = all.flat_map(|(run, outs)| outs.iter().map(|out| (*run, out)));
        let stopping = all.filter(|(_, out)| out.is_stopping);
        stopping.map(|(run, out)| (run, out.clone())).collect()
    }

    /// Changes one that is out.
    pub(super) fn change(&mut self, run: RunId, step: u32, change: impl FnOnce(&mut Out)) {
        let outs = self.runs.get_mut(&run);
        if let Some(out) = outs.and_then(|outs| outs.iter_mut().find(|out| out.step == step)) {
            change(out);
        }
    }

    /// The attempt whose message has this place.
    pub(super) fn at(&self, driver: &str, stream_ms: i64, sequence: u64) -> Option<(RunId, Out)> {
        let of = self.drivers.get(driver)?;
        let place = (stream_ms, sequence);
        let place = of.waiting.get(&place).or(of.taken.get(&place))?;
        let out = self.get(place.0, place.1)?;
        Some((place.0, out.clone()))
    }
}

impl Sent {
    pub(super) fn place(self) -> Place {
        (self.stream_ms, self.sequence)
    }

    /// Whether the driver's consumer will deliver it, or has.
    pub(super) fn is_there(self, stream_ms: i64, seen: Seen) -> bool {
        let is_passed_over =
            seen.is_drained && seen.delivered < self.sequence && self.at_ms < seen.asked_ms;
        self.stream_ms == stream_ms && self.consumer_ms == seen.made_ms && !is_passed_over
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::documents::Token;

    fn out(step: u32, attempt: u32, sequence: Option<u64>) -> Out {
        Out {
            step,
            step_id: format!("s{step}").into(),
            attempt,
            driver: "d".into(),
            entry: Arc::new(NativeDriver {
                wire: Wire::Default,
                token: Token::Optional,
                kinds: Vec::new(),
                config: serde_json::Map::new(),
            }),
            kind: "app".into(),
            sent: sequence.map(|sequence| Sent {
                sequence,
                stream_ms: 1,
                consumer_ms: 2,
                at_ms: 3,
                is_shared: false,
            }),
            answers_before: 0,
            until_ms: 100 + u64::from(step),
            is_stopping: false,
            trouble: None,
            is_taken: false,
            is_answered: false,
        }
    }

    const SEEN: Seen = Seen {
        made_ms: 2,
        delivered: 0,
        is_drained: false,
        given_up: 0,
        asked_ms: 4,
    };

    #[test]
    fn one_is_out_until_it_is_removed_and_once_for_a_step() {
        let mut outs = Outs::default();
        let run = RunId(1);
        outs.put(run, out(0, 1, Some(5)));
        outs.put(run, out(0, 2, Some(6)));
        outs.put(run, out(1, 1, None));
        assert_eq!(outs.of_driver("d"), (2, 2));
        assert_eq!(outs.at("d", 1, 5).map(|(_, out)| out.attempt), None);
        assert_eq!(outs.at("d", 1, 6).map(|(_, out)| out.attempt), Some(2));
        outs.remove(run, 0);
        assert_eq!(outs.remove_run(run).len(), 1);
        assert!(outs.busy().is_empty() && outs.of_run(run).is_empty());
        assert_eq!((outs.of_driver("d"), outs.waiting()), ((0, 0), 0));
    }

    #[test]
    fn what_was_delivered_is_told_once() {
        let mut outs = Outs::default();
        for (run, sequence) in [(1, 5), (2, 7), (3, 9)] {
            outs.put(RunId(run), out(0, 1, Some(sequence)));
        }
        let seen = |delivered| Seen { delivered, ..SEEN };
        assert!(
            outs.take_up_to(
                "d",
                1,
                Seen {
                    made_ms: 3,
                    ..seen(7)
                }
            )
            .is_empty()
        );
        let taken = outs.take_up_to("d", 1, seen(7));
        assert_eq!(
            taken.iter().map(|(run, _)| run.0).collect::<Vec<_>>(),
            [1, 2]
        );
        assert!(outs.take_up_to("d", 1, seen(8)).is_empty());
        assert_eq!(outs.of_driver("d"), (3, 1));
        assert!(outs.at("d", 1, 5).is_some());
    }

    #[test]
    fn a_stream_that_is_made_anew_counts_from_one_and_hides_nothing() {
        let mut outs = Outs::default();
        outs.put(RunId(1), out(0, 1, Some(1)));
        let mut again = out(0, 1, Some(1));
        again.sent.as_mut().unwrap().stream_ms = 9;
        outs.put(RunId(2), again);
        let lost = outs.lost("d", 9, SEEN);
        assert_eq!(lost.iter().map(|(run, _)| run.0).collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn what_the_broker_has_lost_is_found() {
        let mut outs = Outs::default();
        outs.put(RunId(1), out(0, 1, Some(5)));
        outs.put(RunId(2), out(0, 1, None));
        let runs = |lost: Vec<(RunId, Out)>| lost.iter().map(|(run, _)| run.0).collect::<Vec<_>>();
        assert_eq!(runs(outs.lost("d", 1, SEEN)), [2]);
        assert_eq!(runs(outs.lost("d", 3, SEEN)), [1, 2]);
        let younger = Seen { made_ms: 4, ..SEEN };
        assert_eq!(runs(outs.lost("d", 1, younger)), [1, 2]);
        // Nothing waits, and it was never delivered: somebody has deleted it.
        let drained = Seen {
            is_drained: true,
            ..SEEN
        };
        assert_eq!(runs(outs.lost("d", 1, drained)), [1, 2]);
        let delivered = Seen {
            delivered: 5,
            ..drained
        };
        assert_eq!(runs(outs.lost("d", 1, delivered)), [2]);
        // Seen before the message was there.
        let earlier = Seen {
            asked_ms: 3,
            ..drained
        };
        assert_eq!(runs(outs.lost("d", 1, earlier)), [2]);
    }

    #[test]
    fn who_is_to_be_taken_first_is_looked_for_among_those_that_wait() {
        let mut outs = Outs::default();
        assert_eq!(outs.soonest_ms(), None);
        outs.put(RunId(1), out(7, 1, Some(5)));
        outs.put(RunId(1), out(3, 1, Some(6)));
        outs.put(RunId(2), out(5, 1, None));
        assert_eq!(outs.soonest_ms(), Some(103));
        let seen = Seen {
            delivered: 6,
            ..SEEN
        };
        outs.take_up_to("d", 1, seen);
        assert_eq!(outs.soonest_ms(), Some(105));
    }
}
