//! Why an owner does not do what it is asked to, and whose fault that is.

use crate::documents::{Diagnostics, Misfit, OverrideError};
use crate::drivers::InspectError;
use crate::launch::LaunchError;
use crate::logs::LogError;
use crate::runner::RunnerError;
use crate::runs::RunsError;
use crate::state::StateError;
use crate::store::StoreError;
use crate::workspaces::WorkspaceError;
use beltline_engine::RunId;
use std::io;

/// What was asked of an owner cannot be done.
#[derive(Debug, thiserror::Error)]
pub enum OwnerError {
    /// A resource is not what its kind or its pipeline asks for: pointers into the resource.
    #[error("{}", .0.iter().map(|one| one.why.as_str()).collect::<Vec<_>>().join("\n"))]
    Resource(Vec<Misfit>),
    /// An operator's file is not what it should be; its mistakes are named with their places.
    #[error("{0}")]
    Config(Diagnostics),
    /// A key of the context that the pipeline lacks.
    #[error(transparent)]
    Override(#[from] OverrideError),
    /// A value that cannot be used.
    #[error("{why}")]
    Field {
        /// Which, as a JSON pointer.
        field: &'static str,
        /// What is wrong with it, and the next move.
        why: String,
    },
    /// A pipeline that cannot be run as it is.
    #[error("{why}")]
    Pipeline {
        /// Of the pipeline, as a JSON pointer.
        field: String,
        /// What is wrong with it, and the next move.
        why: String,
    },
    /// A driver is being compiled for the first time, or may be about to go.
    #[error("a driver of the pipeline is still being compiled or removed; try again in a moment")]
    Unready,
    /// There is no such thing.
    #[error("there is no {what} `{name}`")]
    NotFound {
        /// What was looked for.
        what: &'static str,
        /// By which name.
        name: String,
    },
    /// There is no run of that id.
    #[error("there is no run {0}; `belt runs list` names those there are")]
    NoRun(RunId),
    /// There is one of that name.
    #[error("there is a {what} `{name}` already; PUT changes it")]
    Exists {
        /// What should be made.
        what: &'static str,
        /// Under which name.
        name: String,
    },
    /// It is not in a state in which that can be done.
    #[error("{0}")]
    Conflict(String),
    /// Somebody else changed the same thing, again and again.
    #[error("others keep changing the same thing; try again")]
    Contended,
    /// A resource was to be changed, and is what it was to become.
    #[error("the resource is what it was to become already")]
    Unchanged,
    /// A request was repeated while it was being carried out.
    #[error("the same request is being carried out; try again")]
    Repeated,
    /// As many runs as may be have not ended.
    #[error("{open} runs have not ended, which is the limit; try again when some have")]
    Full {
        /// How many.
        open: usize,
    },
    /// The owner is about to end.
    #[error("this host is shutting down; try again in a moment")]
    Closed,
    /// Something of a run cannot be had.
    #[error(transparent)]
    Launch(#[from] LaunchError),
    /// A file that is no driver.
    #[error("the driver {0}")]
    Inspect(#[from] InspectError),
    /// The state folder refuses.
    #[error(transparent)]
    State(#[from] StateError),
    /// The store refuses, or a record is damaged.
    #[error(transparent)]
    Runs(#[from] RunsError),
    /// A run could not be begun.
    #[error(transparent)]
    Runner(#[from] RunnerError),
    /// A workspace cannot be had.
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
    /// A log cannot be used.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The file system refuses.
    #[error("cannot {doing}")]
    Io {
        /// What was tried.
        doing: String,
        /// The file system's error.
        #[source]
        source: io::Error,
    },
    /// The host panicked.
    #[error("the host panicked; the run can be resumed")]
    Panicked,
}

impl OwnerError {
    /// There is no such thing of that name.
    pub fn not_found(what: &'static str, name: impl Into<String>) -> Self {
        OwnerError::NotFound {
            what,
            name: name.into(),
        }
    }

    /// A part of the resource that is not what it should be, by a pointer into the resource.
    pub fn resource(pointer: &str, why: String) -> Self {
        let pointer = pointer.to_owned();
        OwnerError::Resource(vec![Misfit { pointer, why }])
    }

    /// Whether it stays as it is until somebody changes something.
    pub(super) fn is_lasting(&self) -> bool {
        match self {
            OwnerError::Resource(_)
            | OwnerError::Config(_)
            | OwnerError::Override(_)
            | OwnerError::Field { .. }
            | OwnerError::Pipeline { .. }
            | OwnerError::NotFound { .. }
            | OwnerError::NoRun(_)
            | OwnerError::Exists { .. }
            | OwnerError::Conflict(_)
            | OwnerError::Inspect(_) => true,
            OwnerError::Launch(error) => !error.is_fault(),
            OwnerError::Unready
            | OwnerError::Contended
            | OwnerError::Unchanged
            | OwnerError::Repeated
            | OwnerError::Full { .. }
            | OwnerError::Closed
            | OwnerError::State(_)
            | OwnerError::Runs(_)
            | OwnerError::Runner(_)
            | OwnerError::Workspace(_)
            | OwnerError::Log(_)
            | OwnerError::Io { .. }
            | OwnerError::Panicked => false,
        }
    }

    /// The key that somebody else wrote first, where that is why: then it may be tried again from the start.
    pub fn lost_race(&self) -> Option<&str> {
        let (OwnerError::Runs(RunsError::Store(error))
        | OwnerError::Runner(RunnerError::Runs(RunsError::Store(error)))) = self
        else {
            return None;
        };
        if let StoreError::Conflict { key, .. } = error {
            return Some(key);
        }
        None
    }
}

impl From<StoreError> for OwnerError {
    fn from(error: StoreError) -> Self {
        OwnerError::Runs(error.into())
    }
}
