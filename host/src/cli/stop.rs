//! The one place where errors become exit codes.
//!
//! 0 succeeded, 1 the run failed, 2 usage or invalid input, 3 cancelled or timed out, 4 a fault of server, store
//! or file system.

use super::output;
use crate::client::ClientError;
use crate::documents::Diagnostics;
use crate::launch::LaunchError;
use crate::owner::OwnerError;
use crate::state::StateError;
use crate::store::StoreError;
use beltline_engine::RunStatus;
use std::process::ExitCode;

const FAILED: u8 = 1;
const INVALID: u8 = 2;
const STOPPED: u8 = 3;
const FAULT: u8 = 4;

/// What a command that ends early may be asked about.
#[derive(Debug)]
enum Cause {
    /// Whoever was asked is gone.
    Unreachable,
    /// There is nothing to look at.
    NoRuns,
    Other,
}

/// Why a command ends early.
#[derive(Debug)]
pub(super) struct Stop {
    code: u8,
    cause: Cause,
    error: anyhow::Error,
}

impl Stop {
    /// Of what was asked for and is invalid, where that has been said.
    pub(super) const INVALID: u8 = INVALID;

    /// What was asked for cannot be done as it was asked.
    pub(super) fn invalid(error: impl Into<anyhow::Error>) -> Self {
        Stop {
            code: INVALID,
            cause: Cause::Other,
            error: error.into(),
        }
    }

    /// This machine, its files or its store refuse.
    pub(super) fn fault(error: impl Into<anyhow::Error>) -> Self {
        Stop {
            code: FAULT,
            cause: Cause::Other,
            error: error.into(),
        }
    }

    /// There is nothing to look at.
    pub(super) fn no_runs() -> Self {
        Stop {
            cause: Cause::NoRuns,
            ..Stop::invalid(anyhow::anyhow!("there are no runs yet"))
        }
    }

    /// Whether there is nothing to look at.
    pub(super) fn is_no_runs(&self) -> bool {
        matches!(self.cause, Cause::NoRuns)
    }

    /// Whether whoever was asked is gone.
    pub(super) fn is_unreachable(&self) -> bool {
        matches!(self.cause, Cause::Unreachable)
    }

    /// What was asked for may be invalid only because something is lost: then that is why.
    pub(super) fn because(self, lost: &'static str) -> Self {
        match self.code {
            INVALID => Stop::fault(self.error.context(lost)),
            _ => self,
        }
    }

    /// Says why, and ends the process here and now.
    pub(super) fn leave(self) -> ! {
        let code = i32::from(self.code);
        let _ = self.report();
        std::process::exit(code)
    }

    /// Says why on stderr, causes and all, and gives the exit code.
    pub(super) fn report(self) -> ExitCode {
        match self.error.downcast_ref::<Diagnostics>() {
            Some(diagnostics) => output::invalid(diagnostics),
            None => output::error(&format!("{:#}", self.error)),
        }
        ExitCode::from(self.code)
    }
}

/// The exit code of a run that is as it is.
pub(super) fn exit_code(status: RunStatus) -> ExitCode {
    match status {
        RunStatus::Succeeded => ExitCode::SUCCESS,
        RunStatus::Failed => ExitCode::from(FAILED),
        RunStatus::Cancelled | RunStatus::TimedOut => ExitCode::from(STOPPED),
        RunStatus::Pending | RunStatus::Running | RunStatus::Waiting => ExitCode::from(FAULT),
    }
}

impl From<Diagnostics> for Stop {
    fn from(diagnostics: Diagnostics) -> Self {
        Stop::invalid(diagnostics)
    }
}

impl From<LaunchError> for Stop {
    fn from(error: LaunchError) -> Self {
        if error.is_fault() {
            Stop::fault(error)
        } else {
            Stop::invalid(error)
        }
    }
}

impl From<StateError> for Stop {
    fn from(error: StateError) -> Self {
        match error {
            StateError::NotFound | StateError::Missing(_) => Stop::invalid(error),
            StateError::Io { .. } | StateError::DamagedDriver { .. } => Stop::fault(error),
        }
    }
}

impl From<ClientError> for Stop {
    fn from(error: ClientError) -> Self {
        match &error {
            ClientError::Problem(problem) if problem.status < 500 => Stop::invalid(error),
            ClientError::Address(_) => Stop::invalid(error),
            ClientError::Unreachable { .. } => Stop {
                cause: Cause::Unreachable,
                ..Stop::fault(error)
            },
            ClientError::Problem(_) | ClientError::Foreign { .. } => Stop::fault(error),
        }
    }
}

impl From<OwnerError> for Stop {
    fn from(error: OwnerError) -> Self {
        ClientError::Problem(Box::new(error.into())).into()
    }
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Stop::fault(error)
    }
}
