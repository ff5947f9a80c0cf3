//! What compiling one driver may use, and the limit that it hit.

use crate::{clock, documents, text};
use rustix::process::{Resource, getrlimit};
use std::fmt;
use std::time::Duration;

/// Memory that the child can write to, its threads' stacks included. A component of 12 MB made from JavaScript takes
/// 0.6 GiB with four threads, one of 3.5 MB made from Rust 0.3 GiB; one of 200 KB that is made to can take all there is.
const MEMORY_BYTES_MAX: u64 = 2 << 30;

/// CPU time of all its threads together. That component of 12 MB takes 14 s.
const CPU_MAX: Duration = Duration::from_secs(120);

/// From its start to its end: with less than half a processor to itself, a child is ended before its CPU time is up.
const WALL_MAX: Duration = Duration::from_secs(300);

/// Code of the largest driver file, several times over.
pub(in crate::wasm) const CODE_BYTES_MAX: u64 = 512 << 20;

/// What compiling one driver may use.
///
/// Every driver gets the same: the default, but for what the operator's file says. Where the host itself was given less
/// memory or CPU time (`ulimit`), the child gets that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompileLimits {
    /// Memory that it can write to, in bytes.
    pub memory_bytes: u64,
    /// CPU time; held to the second.
    pub cpu: Duration,
    /// Wall time.
    pub wall: Duration,
    /// Bytes of compiled code.
    pub code_bytes: u64,
}

impl Default for CompileLimits {
    fn default() -> Self {
        CompileLimits {
            memory_bytes: MEMORY_BYTES_MAX,
            cpu: CPU_MAX,
            wall: WALL_MAX,
            code_bytes: CODE_BYTES_MAX,
        }
    }
}

impl From<documents::Compile> for CompileLimits {
    /// What the operator set, and the default for the rest.
    fn from(set: documents::Compile) -> Self {
        let default = CompileLimits::default();
        CompileLimits {
            memory_bytes: set.memory.unwrap_or(default.memory_bytes),
            cpu: set.cpu.unwrap_or(default.cpu),
            wall: set.time.unwrap_or(default.wall),
            ..default
        }
    }
}

impl CompileLimits {
    /// Memory that the child can be given.
    pub(super) fn memory_bytes(&self) -> u64 {
        self.memory_bytes
            .min(own(Resource::Data))
            .min(own(Resource::As))
    }

    /// CPU time that it can be given, in whole seconds and at least one.
    pub(super) fn cpu_seconds(&self) -> u64 {
        self.cpu.as_secs().max(1).min(own(Resource::Cpu))
    }
}

/// What this process may use itself, and its children can be given.
pub(super) fn own(resource: Resource) -> u64 {
    getrlimit(resource).current.unwrap_or(u64::MAX)
}

/// A limit that compiling a driver hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompileLimit {
    /// Memory, in bytes.
    Memory(u64),
    /// CPU time, in seconds.
    Cpu(u64),
    /// Wall time.
    Wall(Duration),
    /// Bytes of compiled code.
    Code(u64),
}

impl fmt::Display for CompileLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CompileLimit::Memory(bytes) => write!(f, "memory limit of {}", text::size(*bytes)),
            CompileLimit::Cpu(seconds) => {
                let cpu = text::duration(seconds.saturating_mul(1_000));
                write!(f, "CPU time limit of {cpu}")
            }
            CompileLimit::Wall(wall) => {
                let wall = text::duration(clock::millis(*wall));
                write!(f, "time limit of {wall}")
            }
            CompileLimit::Code(bytes) => {
                write!(f, "limit of {} of compiled code", text::size(*bytes))
            }
        }
    }
}
