//! The compiler's side: a process that limits itself, reads a component, and answers with its code.
//!
//! It decides nothing: what it was asked for, and what its answer is worth, is the host's.

use super::limits::own;
use super::order::Order;
use crate::wasm::engine::{self, Allocation};
use rustix::io::Errno;
use rustix::process::{
    Resource, Rlimit, Signal, getppid, nice, set_parent_process_death_signal, setrlimit,
};
use std::error::Error;
use std::io::{self, ErrorKind, Read, Write};
use std::process::ExitCode;
use wasmtime::OutOfMemory;

/// Exit code: stdout has wasmtime's words on why it does not compile.
pub(super) const REFUSED: u8 = 3;

/// Exit code: memory was not to be had, and it was said so in time.
pub(super) const NO_MEMORY: u8 = 4;

/// Exit code: something of this machine is in the way; stderr has what.
const FAULT: u8 = 1;

/// How much it gives way to whoever else wants the processor: it is never what a run under way waits for.
const NICENESS: i32 = 5;

/// Where memory is short, the kernel ends the compiler before its host.
const OUT_OF_MEMORY_SCORE: &str = "1000";

/// Compiles the component on stdin, and gives its code on stdout.
pub fn compile_driver(order: Order) -> ExitCode {
    let done = obey(order).and_then(|()| answer(order.allocation));
    done.unwrap_or_else(|error| {
        // Where nobody listens any more, nobody is there to be told.
        let _ = writeln!(io::stderr(), "{error}");
        ExitCode::from(FAULT)
    })
}

/// Ends with its host, and holds itself to its limits.
fn obey(order: Order) -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // One that ended before that was noted has left this process to another parent.
    let parent = getppid().map(|parent| parent.as_raw_nonzero().get());
    if parent.and_then(|parent| u32::try_from(parent).ok()) != Some(order.parent) {
        return Err(io::Error::other("the host that asked for this is gone"));
    }
    // Neither is needed, and a system may refuse both.
    let _ = nice(NICENESS);
    let _ = std::fs::write("/proc/self/oom_score_adj", OUT_OF_MEMORY_SCORE);
    limit(Resource::Core, 0, 0)?;
    limit(Resource::Data, order.memory_bytes, order.memory_bytes)?;
    // A second later it would be killed; the signal before says what for.
    limit(Resource::Cpu, order.cpu_seconds, order.cpu_seconds + 1)
}

fn limit(resource: Resource, current: u64, maximum: u64) -> io::Result<()> {
    let current = Some(current.min(own(resource)));
    let maximum = Some(
        maximum.min(
            rustix::process::getrlimit(resource)
                .maximum
                .unwrap_or(u64::MAX),
        ),
    );
    Ok(setrlimit(resource, Rlimit { current, maximum })?)
}

fn answer(allocation: Allocation) -> io::Result<ExitCode> {
    let mut component = Vec::new();
    io::stdin().lock().read_to_end(&mut component)?;
    let compiled =
        engine::compiling(allocation).and_then(|engine| engine::code(&engine, &component));
    let mut stdout = io::stdout().lock();
    match compiled {
        Ok(code) => {
            stdout.write_all(&code)?;
            stdout.flush()?;
            Ok(ExitCode::SUCCESS)
        }
        Err(error) if is_out_of_memory(&error) => Ok(ExitCode::from(NO_MEMORY)),
        Err(error) => {
            write!(stdout, "{error:#}")?;
            stdout.flush()?;
            Ok(ExitCode::from(REFUSED))
        }
    }
}

fn is_out_of_memory(error: &wasmtime::Error) -> bool {
    error.chain().any(|cause: &(dyn Error + 'static)| {
        let io = cause.downcast_ref::<io::Error>();
        cause.is::<OutOfMemory>()
            || cause.downcast_ref::<Errno>() == Some(&Errno::NOMEM)
            || io.is_some_and(|error| error.kind() == ErrorKind::OutOfMemory)
    })
}
