//! What an observer outside writes down, and the invariants that it checks. It knows everything that
//! happened and uses nothing of the machine but its states.

use std::collections::BTreeMap;
use std::fmt;

use beltline_engine::{
    CANCEL_GRACE_MS, Effect, End, FailureKind, Input, OnLost, Phase, Placement, Plan, Run,
    RunStatus, StepState,
};

use crate::host::SYNC_AFTER_MS;
use crate::scenario::origin;
use crate::store::Store;

/// An invariant that did not hold.
#[derive(Debug)]
pub(crate) struct Violation {
    /// Its letter in the design.
    pub(crate) invariant: &'static str,
    what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} does not hold: {}", self.invariant, self.what)
    }
}

/// Holds, or is a violation.
pub(crate) fn must(
    holds: bool,
    invariant: &'static str,
    what: impl FnOnce() -> String,
) -> Result<(), Violation> {
    if holds {
        Ok(())
    } else {
        Err(Violation {
            invariant,
            what: what(),
        })
    }
}

macro_rules! counts {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// How often things happened: a simulation in which something never does proves nothing of it.
        #[derive(Clone, Copy, Debug, Default)]
        pub(crate) struct Counts { $($(#[$doc])* pub(crate) $name: u64),* }

        impl std::iter::Sum for Counts {
            fn sum<I: Iterator<Item = Counts>>(all: I) -> Counts {
                all.fold(Counts::default(), |a, b| Counts { $($name: a.$name + b.$name),* })
            }
        }

        impl Counts {
            pub(crate) fn assert_everything_happened(&self) {
                $(assert!(self.$name > 0, "{} never happened", stringify!($name));)*
            }
        }
    };
}

counts! {
    saves, stale_saves, syncs, kills, power_failures, states_lost, backward_jumps, takeovers,
    wasm_starts, second_starts, native_dispatches, repeated_dispatches, late_answers, lost_answers,
    repeated_answers, lost_deliveries, cancels, forced_cancels, refusals, rounds, retries,
    attempts_lost, attempt_timeouts, queue_timeouts, ends_succeeded, ends_failed, ends_cancelled,
    ends_timed_out,
}

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
        self.count_end(run);
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
            self.count_end(next);
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
        self.count_step(&old.state, &new.state);
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

    fn count_end(&mut self, run: &Run) {
        match run.status() {
            RunStatus::Succeeded => self.counts.ends_succeeded += 1,
            RunStatus::Failed => self.counts.ends_failed += 1,
            RunStatus::Cancelled => self.counts.ends_cancelled += 1,
            RunStatus::TimedOut => self.counts.ends_timed_out += 1,
            RunStatus::Pending | RunStatus::Running | RunStatus::Waiting => {}
        }
    }

    fn count_step(&mut self, old: &StepState, new: &StepState) {
        if old == new {
            return;
        }
        let failure = match new {
            StepState::Retrying { failure, .. } => {
                self.counts.retries += 1;
                failure
            }
            StepState::Failed { failure, .. } | StepState::TimedOut { failure, .. } => failure,
            StepState::Pending
            | StepState::Waiting { .. }
            | StepState::Running { .. }
            | StepState::Succeeded { .. }
            | StepState::Skipped { .. }
            | StepState::Cancelled { .. } => return,
        };
        self.counts.attempts_lost += u64::from(failure.kind.as_str() == "lost");
        self.counts.attempt_timeouts += u64::from(failure.kind.as_str() == "attempt_timeout");
        self.counts.queue_timeouts += u64::from(failure.kind.as_str() == "queue_timeout");
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

fn succeeded_before(run: &Run, step: usize) -> bool {
    run.plan.steps[step]
        .after
        .iter()
        .all(|after| run.steps[*after as usize].state.is_succeeded())
}

/// A step begins only in a run that goes on, and after all that it waits for.
fn order(before: &Run, next: &Run, step: usize) -> Result<(), Violation> {
    let began = next.steps[step].attempts > before.steps[step].attempts;
    let may = succeeded_before(before, step) && matches!(before.head.phase, Phase::Running { .. });
    must(!began || may, "order", || {
        format!("step {step} began too early")
    })
}

/// The end of a run says what its steps say.
fn ends_well(run: &Run) -> Result<(), Violation> {
    let Phase::Ended { end, .. } = &run.head.phase else {
        return Ok(());
    };
    let all_succeeded = run.steps.iter().all(|step| step.state.is_succeeded());
    let holds = match end {
        End::Succeeded => all_succeeded,
        End::Failed { step, failure } => match &run.steps[*step as usize].state {
            StepState::Failed { failure: own, .. } | StepState::TimedOut { failure: own, .. } => {
                own == failure
            }
            StepState::Pending
            | StepState::Waiting { .. }
            | StepState::Running { .. }
            | StepState::Retrying { .. }
            | StepState::Succeeded { .. }
            | StepState::Skipped { .. }
            | StepState::Cancelled { .. } => false,
        },
        End::Cancelled => true,
        End::TimedOut => !all_succeeded,
    };
    let over = run.steps.iter().all(|step| step.state.is_ended()) && run.wanted().is_empty();
    must(holds && over, "end", || {
        format!("{end:?} with {:?}", run.steps)
    })
}

/// F: every open state has a deadline, none gives more than its allowance, and the earliest is known.
fn deadlines(run: &Run, now_ms: u64) -> Result<(), Violation> {
    let of_run = match run.head.phase {
        Phase::Running { deadline_ms } => (deadline_ms, run.plan.timeout_ms),
        Phase::Cancelling { until_ms } => (until_ms, CANCEL_GRACE_MS),
        Phase::Ended { .. } => {
            return must(run.wanted().is_empty(), "F", || "wants more".to_owned());
        }
    };
    let of_steps = run
        .steps
        .iter()
        .zip(&run.plan.steps)
        .filter_map(|(step, plan)| match &step.state {
            StepState::Waiting { deadline_ms, .. } => Some((*deadline_ms, plan.queue_timeout_ms)),
            StepState::Running { deadline_ms, .. } => Some((*deadline_ms, plan.timeout_ms)),
            StepState::Retrying { at_ms, failure } => {
                let asked_ms = asked_ms(failure.kind);
                Some((*at_ms, plan.retry.max_backoff_ms.max(asked_ms).max(1)))
            }
            StepState::Pending
            | StepState::Succeeded { .. }
            | StepState::Failed { .. }
            | StepState::Skipped { .. }
            | StepState::Cancelled { .. }
            | StepState::TimedOut { .. } => None,
        });
    let all: Vec<(u64, u64)> = of_steps.chain([of_run]).collect();
    for (deadline_ms, allowance_ms) in &all {
        must(*deadline_ms <= now_ms + allowance_ms, "F", || {
            format!(
                "a deadline lies {} ms ahead, {allowance_ms} are allowed",
                deadline_ms - now_ms
            )
        })?;
    }
    let earliest = all.iter().map(|(deadline_ms, _)| *deadline_ms).min();
    let wake = run.wanted().last().copied();
    must(
        wake == earliest.map(|at_ms| Effect::Wake { at_ms }),
        "F",
        || format!("the earliest deadline is {earliest:?}, wanted is {wake:?}"),
    )
}

fn asked_ms(kind: FailureKind) -> u64 {
    if let FailureKind::Retryable { after_ms } = kind {
        after_ms.unwrap_or(0)
    } else {
        0
    }
}

/// F: after a tick nothing is due.
fn enforced(run: &Run, now_ms: u64) -> Result<(), Violation> {
    let due = run
        .wanted()
        .iter()
        .any(|effect| matches!(effect, Effect::Wake { at_ms } if *at_ms <= now_ms));
    must(!due, "F", || {
        format!(
            "a deadline has passed and nothing came of it: {:?}",
            run.steps
        )
    })
}
