//! What can happen to a run. Inputs carry no time: it comes beside them.

use crate::{Answer, Placement};

/// What can happen to a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Time passed: what is due happens. To come when [`crate::Effect::Wake`] says.
    Tick,
    /// The shell is about to perform this attempt, or, where a wasm attempt was started before and died
    /// with the host, to perform it again. To be saved before anything runs; and it runs only if
    /// [`crate::Run::is_open`] then says so: it may have been the start too many, or the run's own
    /// timeout may have passed, which ends the run.
    ///
    /// After a crash these come before the first [`Input::Tick`]: a wasm attempt did not run while
    /// the host was down, and starting it again renews its deadline.
    Start {
        /// The step, by index.
        step: u32,
        /// The number of the attempt, as [`crate::Effect::Attempt`] has it.
        attempt: u32,
        /// Where it runs.
        placement: Placement,
    },
    /// The native driver has taken the attempt.
    Delivered {
        /// The step, by index.
        step: u32,
        /// The number of the attempt.
        attempt: u32,
    },
    /// An attempt ended.
    Answer {
        /// The step, by index.
        step: u32,
        /// The number of the attempt.
        attempt: u32,
        /// How it ended.
        answer: Answer,
    },
    /// A person wants the run to stop.
    Cancel {
        /// At once, rather than after the attempts under way have had their time to stop.
        force: bool,
    },
    /// A person wants the ended run to go on with a new round.
    Retry {
        /// From this step, by index; else from the first one that did not succeed.
        from: Option<u32>,
    },
    /// An owner with a higher epoch takes the run.
    Claim {
        /// Its epoch.
        epoch: u64,
    },
}
