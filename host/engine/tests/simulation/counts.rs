//! How often things happened.

use beltline_engine::{Run, RunStatus, StepState};

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

impl Counts {
    /// A round of the run ended.
    pub(crate) fn count_end(&mut self, run: &Run) {
        match run.status() {
            RunStatus::Succeeded => self.ends_succeeded += 1,
            RunStatus::Failed => self.ends_failed += 1,
            RunStatus::Cancelled => self.ends_cancelled += 1,
            RunStatus::TimedOut => self.ends_timed_out += 1,
            RunStatus::Pending | RunStatus::Running | RunStatus::Waiting => {}
        }
    }

    /// A step went from one state to another.
    pub(crate) fn count_step(&mut self, old: &StepState, new: &StepState) {
        if old == new {
            return;
        }
        let failure = match new {
            StepState::Retrying { failure, .. } => {
                self.retries += 1;
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
        self.attempts_lost += u64::from(failure.kind.as_str() == "lost");
        self.attempt_timeouts += u64::from(failure.kind.as_str() == "attempt_timeout");
        self.queue_timeouts += u64::from(failure.kind.as_str() == "queue_timeout");
    }
}
