//! The words that people see for the state of a run and of a step. They are derived: nothing is
//! decided by a status.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{End, Phase, Run, StepState};

/// The state of a run in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// Nothing of this round has begun.
    Pending,
    /// A step runs, or the next is about to.
    Running,
    /// No step runs: one waits for its driver or for its next attempt.
    Waiting,
    /// Every step succeeded.
    Succeeded,
    /// A step failed.
    Failed,
    /// It was cancelled.
    Cancelled,
    /// Its own timeout passed.
    TimedOut,
}

/// The state of a step in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepStatus {
    /// It has not begun.
    Pending,
    /// An attempt runs.
    Running,
    /// Its native driver has not taken it yet.
    WaitingForDriver,
    /// An attempt failed; the next comes when its rest is over.
    Retrying,
    /// It succeeded.
    Succeeded,
    /// It failed.
    Failed,
    /// It never began, because of how an earlier step or the run ended.
    Skipped,
    /// The run was cancelled before it ended.
    Cancelled,
    /// A timeout passed: of the attempt, of the queue or of the run.
    TimedOut,
}

impl RunStatus {
    /// Its word in records and for people.
    pub fn as_str(self) -> &'static str {
        match self {
            RunStatus::Pending => "pending",
            RunStatus::Running => "running",
            RunStatus::Waiting => "waiting",
            RunStatus::Succeeded => "succeeded",
            RunStatus::Failed => "failed",
            RunStatus::Cancelled => "cancelled",
            RunStatus::TimedOut => "timed_out",
        }
    }
}

impl StepStatus {
    /// Its word in records and for people.
    pub fn as_str(self) -> &'static str {
        match self {
            StepStatus::Pending => "pending",
            StepStatus::Running => "running",
            StepStatus::WaitingForDriver => "waiting_for_driver",
            StepStatus::Retrying => "retrying",
            StepStatus::Succeeded => "succeeded",
            StepStatus::Failed => "failed",
            StepStatus::Skipped => "skipped",
            StepStatus::Cancelled => "cancelled",
            StepStatus::TimedOut => "timed_out",
        }
    }
}

impl fmt::Display for RunStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Display for StepStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl End {
    /// The run's word for this end.
    pub fn status(&self) -> RunStatus {
        match self {
            End::Succeeded => RunStatus::Succeeded,
            End::Failed { .. } => RunStatus::Failed,
            End::Cancelled => RunStatus::Cancelled,
            End::TimedOut => RunStatus::TimedOut,
        }
    }
}

impl StepState {
    /// The step's word for this state.
    pub fn status(&self) -> StepStatus {
        match self {
            StepState::Pending => StepStatus::Pending,
            StepState::Waiting { .. } => StepStatus::WaitingForDriver,
            StepState::Running { .. } => StepStatus::Running,
            StepState::Retrying { .. } => StepStatus::Retrying,
            StepState::Succeeded { .. } => StepStatus::Succeeded,
            StepState::Failed { .. } => StepStatus::Failed,
            StepState::Skipped { .. } => StepStatus::Skipped,
            StepState::Cancelled { .. } => StepStatus::Cancelled,
            StepState::TimedOut { .. } => StepStatus::TimedOut,
        }
    }
}

impl Run {
    /// The run's state in one word. A run that is being cancelled is still `running` or `waiting`.
    pub fn status(&self) -> RunStatus {
        match &self.head.phase {
            Phase::Ended { end, .. } => end.status(),
            Phase::Running { .. } | Phase::Cancelling { .. } => self.open_status(),
        }
    }

    /// The word of one step; `None` where the run has no such step.
    pub fn step_status(&self, step: u32) -> Option<StepStatus> {
        self.step(step).map(|step| step.state.status())
    }

    fn open_status(&self) -> RunStatus {
        let (mut begun, mut waits) = (false, false);
        for step in &self.steps {
            match &step.state {
                StepState::Running { .. } => return RunStatus::Running,
                StepState::Waiting { .. } | StepState::Retrying { .. } => waits = true,
                StepState::Pending
                | StepState::Succeeded { .. }
                | StepState::Failed { .. }
                | StepState::Skipped { .. }
                | StepState::Cancelled { .. }
                | StepState::TimedOut { .. } => {}
            }
            begun |= step.round == self.head.round && step.tries() > 0;
        }
        if waits {
            RunStatus::Waiting
        } else if begun {
            RunStatus::Running
        } else {
            RunStatus::Pending
        }
    }
}
