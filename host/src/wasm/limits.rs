//! What one attempt may use, and the limiter that holds it to its memory.
//!
//! Owns the defaults of the sandbox, each a constant with its reason, and counts linear memory and tables.
//! Never decides what the operator may raise: that is the driver's entry in `belt.yaml`.

use super::meter::Meter;
use crate::documents;
use std::sync::Arc;
use std::time::Duration;
use wasmtime::ResourceLimiter;

/// Linear memory of an attempt, all memories of all its core instances together: an SBOM of a large lockfile
/// fits in a quarter of it, and 200 attempts at once in half of a 24 GiB machine.
pub const MEMORY_BYTES: u64 = 64 << 20;

/// What a pool slot must be able to hold: the most that `limits.memory` can ask for, all that 32 bits address.
pub const MEMORY_BYTES_MAX: u64 = documents::limits::MEMORY_BYTES_MAX;

/// Table elements of an attempt, all tables together: twice what a component made from Python or JavaScript has.
pub const TABLE_ELEMENTS: u64 = 20_000;

/// Bytes that one call of a driver may hand to the host: a resource, its output and room to spare.
pub const HOST_CALL_BYTES: usize = 4 << 20;

/// Resource handles (files, streams, pollables) alive at once: the usual limit of open files of a process.
pub const LIVE_RESOURCES: usize = 1024;

/// Files and folders open at once: a quarter of what one process is usually allowed.
pub const OPEN_FILES: usize = 256;

/// Folders that are being listed, by their own size on the disk, all together: a listing is read whole, into some ten
/// times of that. One listing is always allowed.
pub const LISTED_BYTES: u64 = 8 << 20;

/// Header fields that a guest builds for HTTP, of one set of them: it can send none, and has a thousand handles.
pub const HTTP_FIELD_BYTES: usize = 8 << 10;

/// Random bytes of one call: the host makes them before the guest sees them.
pub const RANDOM_BYTES: u64 = 64 << 10;

/// Bytes that an attempt writes to files, all together: an artifact of a large build and room to spare.
pub const WRITTEN_BYTES: u64 = 1 << 30;

/// Files, folders and links that an attempt makes: a large tree of sources, unpacked.
pub const FILES: u64 = 100_000;

/// Bytes of log lines that an attempt keeps; what follows is dropped and counted.
pub const LOG_BYTES: u64 = 4 << 20;

/// Log lines that an attempt keeps; what follows is dropped and counted.
pub const LOG_LINES: u64 = 10_000;

/// A longer line of stdout or stderr is split, a longer message of the `log` import cut: nothing that reads a log
/// needs to hold more of it at once.
pub const LOG_LINE_BYTES: usize = 16 << 10;

/// What a step may leave for later ones: see the one set of limits for every store and placement.
pub const OUTPUT_BYTES: u64 = beltline_wire::OUTPUT_BYTES_MAX as u64;

/// An outcome's message or a failure's reason.
pub const MESSAGE_BYTES: usize = beltline_wire::MESSAGE_BYTES_MAX;

/// A guest's own stack: wasmtime's default, named here so that a failure can name it.
pub const STACK_BYTES: usize = 512 << 10;

/// CPU time of an attempt: no stock driver needs a second, and a step's timeout bounds the rest.
pub const CPU: Duration = Duration::from_secs(60);

/// What an operator may set for a driver; the rest is the same for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Linear memory, all memories together.
    pub memory_bytes: u64,
    /// Table elements, all tables together.
    pub table_elements: u64,
    /// CPU time.
    pub cpu: Duration,
    /// What a step may leave for later ones.
    pub output_bytes: u64,
    /// Bytes written to files.
    pub written_bytes: u64,
    /// Files, folders and links made.
    pub files: u64,
    /// Bytes of log lines.
    pub log_bytes: u64,
    /// Log lines.
    pub log_lines: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            memory_bytes: MEMORY_BYTES,
            table_elements: TABLE_ELEMENTS,
            cpu: CPU,
            output_bytes: OUTPUT_BYTES,
            written_bytes: WRITTEN_BYTES,
            files: FILES,
            log_bytes: LOG_BYTES,
            log_lines: LOG_LINES,
        }
    }
}

impl From<documents::Limits> for Limits {
    /// The operator's, and the defaults where he says nothing.
    fn from(set: documents::Limits) -> Self {
        let default = Limits::default();
        Limits {
            memory_bytes: set.memory.unwrap_or(default.memory_bytes),
            table_elements: set.tables.unwrap_or(default.table_elements),
            cpu: set.cpu.unwrap_or(default.cpu),
            output_bytes: set.output.unwrap_or(default.output_bytes),
            written_bytes: set.written.unwrap_or(default.written_bytes),
            files: set.files.unwrap_or(default.files),
            log_bytes: set.log.unwrap_or(default.log_bytes),
            log_lines: set.log_lines.unwrap_or(default.log_lines),
        }
    }
}

/// Which limit an attempt ran into, and its value. As an error it traps the guest, and is found again in the trap.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("over its {limit} limit of {value}")]
pub struct OverLimit {
    /// The limit's name, as in the table of the sandbox.
    pub limit: &'static str,
    /// Its value, with the unit.
    pub value: String,
}

impl OverLimit {
    /// Of a limit of how many there may be at once.
    pub fn at_once(limit: &'static str, count: usize) -> Self {
        let value = format!("{count} at once");
        OverLimit { limit, value }
    }

    /// Of a limit in bytes.
    pub fn bytes(limit: &'static str, bytes: u64) -> Self {
        OverLimit {
            limit,
            value: crate::text::size(bytes),
        }
    }
}

/// Counts the memory and tables of one attempt. A growth over the limit is denied, as the specification of
/// wasm has it, and remembered: a guest that dies of it is then told apart from one that merely trapped.
#[derive(Debug)]
pub struct Memory {
    limits: Limits,
    meter: Arc<Meter>,
    elements: u64,
    denied: Option<OverLimit>,
}

impl Memory {
    /// Nothing used yet.
    pub fn new(limits: Limits, meter: Arc<Meter>) -> Self {
        Memory {
            limits,
            meter,
            elements: 0,
            denied: None,
        }
    }

    /// The limit that a denied growth ran into, if one was.
    pub fn denied(&self) -> Option<&OverLimit> {
        self.denied.as_ref()
    }
}

impl ResourceLimiter for Memory {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        let (held, more) = (&self.meter.memory_bytes, desired.saturating_sub(current));
        if held.get().saturating_add(more as u64) > self.limits.memory_bytes {
            self.denied = Some(OverLimit::bytes("memory", self.limits.memory_bytes));
            return Ok(false);
        }
        held.add(more as u64);
        Ok(true)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        let elements = self
            .elements
            .saturating_add(desired.saturating_sub(current) as u64);
        if elements > self.limits.table_elements {
            let value = format!("{} elements", self.limits.table_elements);
            self.denied = Some(OverLimit {
                limit: "tables",
                value,
            });
            return Ok(false);
        }
        self.elements = elements;
        Ok(true)
    }
}
