//! What a run knows of one step: its round, how often it was tried, and its state. Nothing here
//! grows with what happened before; older rounds live in the shell's event log.

use serde::{Deserialize, Serialize};

use crate::Failure;

/// One step of a run. A step that a transition does not touch stays the same `Arc`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The round that this state belongs to. Rounds count from 1.
    pub round: u32,
    /// Attempts begun so far, over all rounds: also the number of the last one.
    pub attempts: u32,
    /// The number that the first attempt of this round has or will have.
    pub first_attempt: u32,
    /// When the first attempt of this round began, in Unix milliseconds.
    pub first_started_ms: Option<u64>,
    /// Where it stands.
    pub state: StepState,
}

/// Where a step stands. Times are Unix milliseconds. Those of the past (`started_ms`, `at_ms` of an
/// end) never go backwards within a run, even where the clock did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StepState {
    /// No attempt is under way; one is wanted as soon as all the steps that it waits for succeeded.
    Pending,
    /// Handed to a native driver that has not taken it yet.
    Waiting {
        /// The number of the attempt.
        attempt: u32,
        /// When it was handed over.
        since_ms: u64,
        /// When it fails unless the driver has it, or has answered, by then.
        deadline_ms: u64,
    },
    /// An attempt is under way.
    Running {
        /// The number of the attempt.
        attempt: u32,
        /// How often this very attempt was started. More than once only after a crash of the host.
        starts: u32,
        /// When it was last started.
        started_ms: u64,
        /// When it fails unless it has answered by then.
        deadline_ms: u64,
        /// Where it runs.
        placement: Placement,
    },
    /// The last attempt failed and there will be another.
    Retrying {
        /// When it becomes pending again.
        at_ms: u64,
        /// How the last attempt failed.
        failure: Failure,
    },
    /// It succeeded.
    Succeeded {
        /// When.
        at_ms: u64,
        /// The driver's words.
        message: String,
        /// Whether it left an output.
        output: bool,
    },
    /// It failed.
    Failed {
        /// When.
        at_ms: u64,
        /// How.
        failure: Failure,
    },
    /// It never began, because of how an earlier step or the run ended.
    Skipped {
        /// When that was known.
        at_ms: u64,
    },
    /// The run was cancelled before it ended.
    Cancelled {
        /// When.
        at_ms: u64,
        /// The driver's words, where it was the driver that stopped.
        reason: Option<String>,
    },
    /// A timeout passed.
    TimedOut {
        /// When that was seen.
        at_ms: u64,
        /// Which: `AttemptTimeout`, `QueueTimeout` or `RunTimeout`.
        failure: Failure,
    },
}

/// Where an attempt runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "PlacementWord", into = "PlacementWord")]
pub enum Placement {
    /// In the host's process: it dies with the host.
    Wasm {
        /// Whether it has a grant that reaches the outside world.
        effects: bool,
    },
    /// In a program of its own: it outlives the host.
    Native,
}

/// A placement in one word, for it is stored with every start.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum PlacementWord {
    Wasm,
    WasmWithEffects,
    Native,
}

impl From<PlacementWord> for Placement {
    fn from(word: PlacementWord) -> Self {
        match word {
            PlacementWord::Wasm => Placement::Wasm { effects: false },
            PlacementWord::WasmWithEffects => Placement::Wasm { effects: true },
            PlacementWord::Native => Placement::Native,
        }
    }
}

impl From<Placement> for PlacementWord {
    fn from(placement: Placement) -> Self {
        match placement {
            Placement::Wasm { effects: false } => PlacementWord::Wasm,
            Placement::Wasm { effects: true } => PlacementWord::WasmWithEffects,
            Placement::Native => PlacementWord::Native,
        }
    }
}

impl Placement {
    /// Whether an attempt placed here can touch the outside world, so that everything before it must
    /// be on disk when it starts.
    pub fn has_effects(self) -> bool {
        match self {
            Placement::Wasm { effects } => effects,
            Placement::Native => true,
        }
    }
}

impl Step {
    /// A step at the begin of a round, with this many attempts behind it.
    pub(crate) fn begin(round: u32, attempts: u32) -> Step {
        Step {
            round,
            attempts,
            first_attempt: attempts.saturating_add(1),
            first_started_ms: None,
            state: StepState::Pending,
        }
    }

    /// The same step in another state.
    pub(crate) fn with(&self, state: StepState) -> Step {
        Step { state, ..*self }
    }

    /// Attempts begun in this round.
    pub fn tries(&self) -> u32 {
        self.attempts
            .saturating_add(1)
            .saturating_sub(self.first_attempt)
    }

    /// Whether this attempt waits for its native driver.
    pub(crate) fn waits_in(&self, attempt: u32) -> bool {
        matches!(self.state, StepState::Waiting { attempt: open, .. } if open == attempt)
    }

    /// When the attempt under way, waiting or running, fails unless it has answered by then.
    pub fn deadline_ms(&self) -> Option<u64> {
        match self.state {
            StepState::Waiting { deadline_ms, .. } | StepState::Running { deadline_ms, .. } => {
                Some(deadline_ms)
            }
            StepState::Pending
            | StepState::Retrying { .. }
            | StepState::Succeeded { .. }
            | StepState::Failed { .. }
            | StepState::Skipped { .. }
            | StepState::Cancelled { .. }
            | StepState::TimedOut { .. } => None,
        }
    }

    /// The attempt under way that is, or is to be, in a program of its own.
    pub fn native_attempt(&self) -> Option<u32> {
        let is_here = matches!(
            self.state,
            StepState::Running {
                placement: Placement::Wasm { .. },
                ..
            }
        );
        self.open_attempt().filter(|_| !is_here)
    }

    /// The attempt under way, waiting or running.
    pub fn open_attempt(&self) -> Option<u32> {
        match self.state {
            StepState::Waiting { attempt, .. } | StepState::Running { attempt, .. } => {
                Some(attempt)
            }
            StepState::Pending
            | StepState::Retrying { .. }
            | StepState::Succeeded { .. }
            | StepState::Failed { .. }
            | StepState::Skipped { .. }
            | StepState::Cancelled { .. }
            | StepState::TimedOut { .. } => None,
        }
    }
}

impl StepState {
    /// Whether this round has nothing more to expect of the step.
    pub fn is_ended(&self) -> bool {
        match self {
            StepState::Pending
            | StepState::Waiting { .. }
            | StepState::Running { .. }
            | StepState::Retrying { .. } => false,
            StepState::Succeeded { .. }
            | StepState::Failed { .. }
            | StepState::Skipped { .. }
            | StepState::Cancelled { .. }
            | StepState::TimedOut { .. } => true,
        }
    }

    /// Whether the step succeeded.
    pub fn is_succeeded(&self) -> bool {
        matches!(self, StepState::Succeeded { .. })
    }
}
