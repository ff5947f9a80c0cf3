//! What an observer outside writes down, and the invariants that it checks. It knows everything that
//! happened and uses nothing of the machine but its states.

use std::collections::BTreeMap;

use beltline_engine::{Input, OnLost, Placement, Plan, Run};

use crate::counts::Counts;
use crate::host::SYNC_AFTER_MS;
use crate::scenario::origin;
use crate::states::{deadlines, ends_well, enforced, order, succeeded_before};
use crate::store::Store;
use crate::violation::{Violation, must};

/// A begin of an attempt in the world.
#[derive(Clone, Copy, Default)]
struct Begins {
    all: u64,
    with_effects: u64,
}

#[derive(Default)]
pub(crate) struct Ledger {
    pub(crate) counts: Counts,
    /// States that somebody outside was told of, by place.
    acknowledged: BTreeMap<usize, Run>,
    /// States that an effect in the world was built on, by place.
    built_on: BTreeMap<usize, Run>,
    /// The key that each (step, round) was dispatched with.
    keys: BTreeMap<(u32, u32), String>,
    /// How often each (step, attempt) began in a host's process.
    begins: BTreeMap<(u32, u32), Begins>,
    round_opened_ms: u64,
    downtime_ms: u64,
}

impl Ledger {
    /// A new run was saved.
    pub(crate) fn made(&mut self, run: &Run, time_ms: u64) -> Result<(), Violation> {
        self.round_opened_ms = time_ms;
        self.counts.count_end(run);
        deadlines(run, run.head.updated_ms)
    }

    /// A host saved `next`, folded from `before`, which it took for the last state.
    pub(crate) fn saved(&mut self, save: &Save<'_>) -> Result<(), Violation> {
        let (before, next) = (save.before, save.next);
        self.counts.saves += 1;
        must(save.place == save.before_place + 1, "D", || {
            format!(
                "the state at {} replaced one that was folded from {}",
                save.place, save.before_place
            )
        })?;
        must(next.head.revision == before.head.revision + 1, "D", || {
            format!(
                "revision {} followed {}",
                next.head.revision, before.head.revision
            )
        })?;
        if before.is_ended() && !next.is_ended() {
            self.round_opened_ms = save.time_ms;
            self.counts.rounds += 1;
        }
        if !before.is_ended() && next.is_ended() {
            self.counts.count_end(next);
            ends_well(next)?;
        }
        for step in 0..next.steps.len() {
            self.outcome(save, step)?;
            order(before, next, step)?;
        }
        deadlines(next, save.now_ms)?;
        if *save.input == Input::Tick {
            enforced(next, save.now_ms)?;
        }
        self.in_time(next, save.time_ms)
    }

    /// B: an outcome stays, and comes from an answer of the attempt that was open.
    fn outcome(&mut self, save: &Save<'_>, step: usize) -> Result<(), Violation> {
        let (old, new) = (&save.before.steps[step], &save.next.steps[step]);
        if old.round == new.round && old.state.is_ended() {
            return must(old.state == new.state, "B", || {
                format!(
                    "step {step} had an outcome in round {}: {:?}, now {:?}",
                    old.round, old.state, new.state
                )
            });
        }
        if let (Input::Answer { answer, .. }, false) = (save.input, old.state == new.state) {
            let (of_step, of_attempt) = origin(answer);
            let counted = (u32::try_from(step).unwrap(), old.open_attempt());
            // An answer may end other steps: those that wait for its own, and, where it stops the run,
            // those that rest or have not begun.
            if of_step == counted.0 || counted.1.is_some() {
                must((of_step, Some(of_attempt)) == counted, "B", || {
                    format!(
                        "the answer of step {of_step} attempt {of_attempt} counted for step {step}, open {:?}",
                        counted.1
                    )
                })?;
            }
        }
        self.counts.count_step(&old.state, &new.state);
        must(
            new.attempts <= old.attempts + 1 && new.attempts >= old.attempts,
            "B",
            || {
                format!(
                    "step {step} went from {} attempts to {}",
                    old.attempts, new.attempts
                )
            },
        )
    }

    /// F: a round ends in its time, time without a host, jumps of the clock and what a power failure has
    /// taken back aside.
    fn in_time(&self, run: &Run, time_ms: u64) -> Result<(), Violation> {
        let jumps = self.counts.backward_jumps;
        let taken_back_ms = self.counts.power_failures * SYNC_AFTER_MS;
        let bound_ms = run.plan.timeout_ms * (1 + jumps) + self.downtime_ms + taken_back_ms;
        let took_ms = time_ms - self.round_opened_ms;
        must(run.is_ended() || took_ms <= bound_ms, "F", || {
            format!(
                "a round is open after {took_ms} ms, {jumps} backward jumps; allowed are {bound_ms}"
            )
        })
    }

    /// An attempt begins in the world. `real` is where it really runs, whatever the state says.
    pub(crate) fn begun(
        &mut self,
        store: &Store,
        run: &Run,
        place: usize,
        (step, attempt): (u32, u32),
        real: Placement,
        key: String,
    ) -> Result<(), Violation> {
        must(run.is_open(step, attempt), "B", || {
            format!("step {step} began unasked")
        })?;
        self.keyed(step, run.steps[step as usize].round, key)?;
        let has_effects = real != Placement::Wasm { effects: false };
        if has_effects {
            must(store.is_synced(place), "C", || {
                format!("step {step} attempt {attempt} began on a state that is not synced")
            })?;
            let synced = store.last_synced();
            let ready = synced.is_some_and(|run| {
                run.is_open(step, attempt) && succeeded_before(run, step as usize)
            });
            must(ready, "C", || {
                format!("step {step} attempt {attempt} is not open on disk")
            })?;
            self.built_on.insert(place, run.clone());
        }
        match real {
            Placement::Native => {
                self.counts.native_dispatches += 1;
                Ok(())
            }
            Placement::Wasm { effects } => self.begun_here(&run.plan, (step, attempt), effects),
        }
    }

    /// H: one key for a step and round, and for nothing else.
    fn keyed(&mut self, step: u32, round: u32, key: String) -> Result<(), Violation> {
        let known = self
            .keys
            .entry((step, round))
            .or_insert_with(|| key.clone());
        must(*known == key, "H", || {
            format!("step {step} round {round} was dispatched with {known}, and now with {key}")
        })?;
        let uses = self.keys.values().filter(|known| **known == key).count();
        must(uses == 1, "H", || {
            format!("{key} is the key of {uses} steps or rounds")
        })
    }

    /// An attempt is started twice at most, and under `on_lost: fail` once if it has effects. A start
    /// without effects need not be on disk: each power failure may take two of them back.
    fn begun_here(
        &mut self,
        plan: &Plan,
        attempt: (u32, u32),
        effects: bool,
    ) -> Result<(), Violation> {
        let begins = self.begins.entry(attempt).or_default();
        let fails = plan.steps[attempt.0 as usize].on_lost == OnLost::Fail;
        must(!(fails && begins.with_effects > 0), "lost", || {
            format!(
                "step {} attempt {} began again after it had effects",
                attempt.0, attempt.1
            )
        })?;
        begins.all += 1;
        begins.with_effects += u64::from(effects);
        self.counts.wasm_starts += 1;
        self.counts.second_starts += u64::from(begins.all == 2);
        let times = 1 + self.counts.power_failures;
        must(
            begins.all <= 2 * times && begins.with_effects <= 2,
            "lost",
            || {
                format!(
                    "step {} attempt {} began {} times",
                    attempt.0, attempt.1, begins.all
                )
            },
        )
    }

    /// Somebody outside is told of the state at this place.
    pub(crate) fn acknowledged(&mut self, place: usize, run: &Run) {
        self.acknowledged.insert(place, run.clone());
    }

    /// A and C: what was acknowledged or built on is still there.
    pub(crate) fn power_failed(&mut self, store: &Store, lost: usize) -> Result<(), Violation> {
        self.counts.power_failures += 1;
        self.counts.states_lost += lost as u64;
        for (invariant, told) in [("A", &self.acknowledged), ("C", &self.built_on)] {
            for (place, run) in told {
                must(store.at(*place) == Some(run), invariant, || {
                    format!(
                        "the state at {place}, revision {}, is lost",
                        run.head.revision
                    )
                })?;
            }
        }
        Ok(())
    }

    pub(crate) fn down_for(&mut self, downtime_ms: u64) {
        self.downtime_ms += downtime_ms;
    }

    /// F: when nothing more will happen, the run has ended and somebody was told.
    pub(crate) fn at_rest(&self, store: &Store) -> Result<(), Violation> {
        let Some((place, run)) = store.load() else {
            return must(false, "A", || "the run is gone".to_owned());
        };
        must(run.is_ended(), "F", || {
            format!("the run is {} for ever", run.status())
        })?;
        must(self.acknowledged.contains_key(&place), "F", || {
            "nobody was told of the end".to_owned()
        })
    }
}

/// A save, as the observer sees it.
pub(crate) struct Save<'a> {
    pub(crate) before: &'a Run,
    pub(crate) next: &'a Run,
    pub(crate) input: &'a Input,
    /// Where the host found `before`.
    pub(crate) before_place: usize,
    /// Where `next` went.
    pub(crate) place: usize,
    /// What the host's clock says.
    pub(crate) now_ms: u64,
    /// What time it is.
    pub(crate) time_ms: u64,
}
