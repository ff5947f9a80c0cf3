//! How an attempt ended, told apart: the driver's own answer, a trap, a limit. A fault of the host is none of
//! these; it is an error.
//!
//! Owns the reading of wasmtime's errors. Never decides what is retried: that is the engine's.

use super::bindings::beltline::driver::types::Failure as GuestFailure;
use super::guest::Guest;
use super::limits::{
    HOST_CALL_BYTES, HTTP_FIELD_BYTES, LIVE_RESOURCES, MESSAGE_BYTES, OverLimit, RANDOM_BYTES,
    STACK_BYTES,
};
use crate::text;
use std::sync::Arc;
use wasmtime::component::ResourceTableError;
use wasmtime::{Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

/// Frames of a trap's backtrace that are kept.
const FRAMES: usize = 12;

/// The end of an attempt that the host carried out as it should.
#[derive(Debug)]
pub enum Ended {
    /// The driver says that the world matches.
    Outcome {
        /// Its message, cut to the limit.
        message: String,
        /// What it leaves for later steps: valid JSON within the limit.
        output: Option<Arc<str>>,
        /// When it wants to look again, in milliseconds.
        requeue_after_ms: Option<u64>,
    },
    /// The driver says why the world does not match: data, not a fault.
    Failure(GuestFailure),
    /// The driver trapped, panicked, or answered what is no answer. The reason, with function names.
    Trap(String),
    /// The driver ran into a limit. The reason, with function names where it trapped.
    Limit(OverLimit, String),
}

/// Reads an error of a guest's call. `None`: the fault is the host's.
pub(super) fn from_error(error: &wasmtime::Error, guest: &Guest) -> Option<Ended> {
    if guest.fault.is_some() {
        return None;
    }
    let said = guest.log.panic_message();
    // A guest that panics says itself what it died of. One that an allocation fails for is told of no panic.
    let denied = guest.memory.denied().filter(|_| said.is_none());
    let limit = over(error).or_else(|| denied.cloned());
    let cause = said.unwrap_or_else(|| cause(error));
    let reason = text::cut(&format!("{cause}{}", backtrace(error)), MESSAGE_BYTES);
    Some(match limit {
        Some(limit) => Ended::Limit(limit, reason),
        None => Ended::Trap(reason),
    })
}

/// What an error says by itself, without the guest's own words and functions.
fn cause(error: &wasmtime::Error) -> String {
    if let Some(trap) = error.downcast_ref::<Trap>() {
        return trap.to_string();
    }
    match error.downcast_ref::<I32Exit>() {
        Some(I32Exit(status)) => format!("it exited with status {status} instead of answering"),
        None => format!("{:#}", error.root_cause()),
    }
}

/// The limit that a call of the guest ran into, where the error is of one.
fn over(error: &wasmtime::Error) -> Option<OverLimit> {
    if let Some(Trap::StackOverflow) = error.downcast_ref::<Trap>() {
        return Some(OverLimit::bytes("stack", STACK_BYTES as u64));
    }
    if let Some(over) = error.downcast_ref::<OverLimit>() {
        return Some(over.clone());
    }
    if let Some(ResourceTableError::Full) = error.downcast_ref::<ResourceTableError>() {
        return Some(OverLimit::at_once("handles", LIVE_RESOURCES));
    }
    // wasmtime gives these no type. Its words are pinned with its version, and by the tests.
    let words = error.root_cause().to_string();
    if words.contains("fuel allocated for hostcalls has been exhausted") {
        return Some(OverLimit::bytes("host-call data", HOST_CALL_BYTES as u64));
    }
    if words.contains("total size of fields exceeds limit") {
        return Some(OverLimit::bytes("http fields", HTTP_FIELD_BYTES as u64));
    }
    let is_random = words.starts_with("requested len ") && words.contains(" exceeds limit ");
    is_random.then(|| OverLimit::bytes("random data", RANDOM_BYTES))
}

/// The guest's functions, innermost first, one a line; empty where there are none.
fn backtrace(error: &wasmtime::Error) -> String {
    let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() else {
        return String::new();
    };
    let names = backtrace
        .frames()
        .iter()
        .filter_map(|frame| frame.func_name());
    let names = names.map(|name| format!("{:#}", rustc_demangle::demangle(name)));
    let told = names.filter(|name| !is_panic_machinery(name)).take(FRAMES);
    told.map(|name| format!("\n  at {name}")).collect()
}

/// Frames that every Rust panic, exit or allocation failure has, and that tell nothing.
fn is_panic_machinery(name: &str) -> bool {
    const PREFIXES: [&str; 12] = [
        "std::panicking",
        "core::panicking",
        "std::sys",
        "std::process",
        "std::alloc",
        "alloc::alloc::handle_alloc_error",
        "__rust",
        "abort",
        "rust_",
        "wasi_snapshot_preview1::",
        "proc_exit",
        "__wasi_",
    ];
    PREFIXES.iter().any(|prefix| name.starts_with(prefix)) || name.contains("__rust_")
}
