//! Wasm drivers: loading components, and calling them in a sandbox.
//!
//! Owns wasmtime: no other module names it. An attempt gets a fresh store, the folders that were granted, and
//! nothing else; what it breaks is its own. The caller decides when an attempt begins and when it has had its
//! time; it stops one by dropping its future.

mod budget;
mod cache;
mod compiler;
mod engine;
mod loader;
mod once;

mod attempt;
mod context;
mod ended;
mod files;
mod guest;
mod imports;
mod limits;
mod meter;
mod network;
mod step_log;

#[allow(missing_docs)]
mod bindings;

pub use attempt::Attempt;
pub use bindings::beltline::driver::types::{Failure as GuestFailure, Request, RetryHint, RunInfo};
pub use budget::Admission;
pub use cache::{CACHE_BYTES_MAX, Cache, CacheError};
pub use compiler::{CompileLimit, CompileLimits, Compiler, Order, VERB, compile_driver};
pub use context::{RunContext, StepSummary};
pub use ended::Ended;
pub use limits::{Limits, MESSAGE_BYTES, OverLimit};
pub use loader::{HostSettings, LoadError, Loaded, Notice, Tell, WasmHost};
pub use meter::Meter;
pub use once::Whose;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Set once, when a run is asked to stop.
pub type CancelFlag = Arc<AtomicBool>;

/// What a guest calls the directory that its run works on.
pub const WORKSPACE: &str = "/workspace";

/// What a guest calls its run's own folder.
pub const OUT: &str = "/out";

/// A folder of the host that a guest sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder {
    /// Where it is.
    pub host: PathBuf,
    /// What the guest calls it.
    pub guest: &'static str,
    /// Whether it may be changed.
    pub writable: bool,
}

/// wasmtime has an error type of its own; outside this module it is everybody's.
fn fault(error: wasmtime::Error) -> anyhow::Error {
    anyhow::Error::from_boxed(error.into_boxed_dyn_error())
}
