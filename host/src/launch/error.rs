//! Why a run cannot be made or go on, and whose fault that is.

use crate::drivers::DriverError;
use crate::plan;
use crate::state::StateError;
use crate::wasm::LoadError;
use beltline_engine::PlanError;
use std::io;
use std::path::PathBuf;

/// A run that cannot be made or go on.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// A driver that cannot be used.
    #[error(transparent)]
    Driver(#[from] DriverError),
    /// The operator's file lacks a driver that a run names.
    #[error("`{}` has no driver `{name}`, which the run names; add it again", config.display())]
    Unregistered {
        /// The driver.
        name: String,
        /// The operator's file.
        config: PathBuf,
    },
    /// A driver that does not take the pipeline's kind.
    #[error(
        "driver `{name}` takes resources of kind {takes}, and the pipeline carries `{kind}`; use another driver"
    )]
    Kind {
        /// The driver.
        name: String,
        /// The kinds that its manifest names.
        takes: String,
        /// The pipeline's.
        kind: String,
    },
    /// A native driver, and no broker.
    #[error(
        "driver `{name}` is native, and this host has no broker to reach it over; name one with --nats URL, or --nats spawn"
    )]
    NoBroker {
        /// The driver.
        name: String,
    },
    /// A component that does not load.
    #[error("driver `{name}` cannot be loaded")]
    Load {
        /// The driver.
        name: String,
        /// Why.
        #[source]
        source: LoadError,
    },
    /// The sandbox does not start.
    #[error("the sandbox cannot start")]
    Sandbox(#[from] LoadError),
    /// Steps that cannot be planned.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// Over a record's size.
    #[error("the pipeline has {found} as canonical JSON; at most {max} fit a record", max = crate::text::size(plan::PIPELINE_BYTES_MAX as u64))]
    PipelineTooLarge {
        /// Its size.
        found: String,
    },
    /// A grant that this run cannot give.
    #[error(
        "step `{step}`: driver `{driver}` is granted the workspace, and this run has none; name one with --workspace DIR"
    )]
    NoWorkspace {
        /// The step.
        step: String,
        /// Its driver.
        driver: String,
    },
    /// A grant that would hand over the host itself.
    #[error("driver `{driver}` is granted `{grant}`, and `{}` holds `{}` or lies in it; {instead}", folder.display(), own.display())]
    OwnFiles {
        /// The driver.
        driver: String,
        /// The grant.
        grant: &'static str,
        /// What of ours is in there.
        own: PathBuf,
        /// The folder that is granted.
        folder: PathBuf,
        /// What the operator can do instead.
        instead: &'static str,
    },
    /// A folder of the operating system's.
    #[error("{what} `{}` has folders of the system, which tell of the host and all its processes; name another", path.display())]
    System {
        /// What it is to be.
        what: &'static str,
        /// Which.
        path: PathBuf,
    },
    /// A folder that is not there.
    #[error("{what} `{}` is no folder that can be used", path.display())]
    Folder {
        /// Which of the run's folders.
        what: &'static str,
        /// Where it should be.
        path: PathBuf,
        /// The file system's error.
        #[source]
        source: io::Error,
    },
    /// A driver could not be kept.
    #[error(transparent)]
    State(#[from] StateError),
}

impl LaunchError {
    /// Whether it is this machine that refuses, and not what was asked for.
    pub fn is_fault(&self) -> bool {
        match self {
            LaunchError::State(_) => true,
            LaunchError::Load { source, .. } | LaunchError::Sandbox(source) => source.is_fault(),
            LaunchError::Folder { source, .. } => matches!(
                source.kind(),
                io::ErrorKind::StorageFull
                    | io::ErrorKind::QuotaExceeded
                    | io::ErrorKind::ReadOnlyFilesystem
            ),
            LaunchError::Driver(_)
            | LaunchError::Unregistered { .. }
            | LaunchError::Kind { .. }
            | LaunchError::NoBroker { .. }
            | LaunchError::Plan(_)
            | LaunchError::PipelineTooLarge { .. }
            | LaunchError::NoWorkspace { .. }
            | LaunchError::OwnFiles { .. }
            | LaunchError::System { .. } => false,
        }
    }
}
