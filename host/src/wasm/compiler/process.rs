//! The host's side of a compilation: a child, its pipes, and the time that it has.
//!
//! Everything is done on the thread that asks. Whatever happens, the child has ended and is reaped when it returns.

use super::child::{NO_MEMORY, REFUSED};
use super::limits::{CompileLimit, CompileLimits};
use super::order::Order;
use crate::wasm::loader::{Cause, LoadError, cause};
use crate::{clock, text};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open};
use rustix::time::Timespec;
use std::io::{self, ErrorKind, Read, Write};
use std::num::NonZero;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

/// Threads of a compiler. Each holds memory that it does not use just now: on a machine with many processors they alone
/// would be over the limit.
const THREADS_MAX: usize = 4;

/// Its allocator takes memory as it is needed: a gigabyte in advance, as is its way, would be half of the limit.
const MEMORY_IN_ADVANCE: &str = "0";

/// Last words that are kept: the rest is read and dropped.
const WORDS_BYTES_MAX: usize = 16 << 10;

/// Of them, what an error shows.
const WORDS_SHOWN_BYTES_MAX: usize = 512;

/// What is read at once: all that a pipe holds.
const PART_BYTES: usize = 64 << 10;

/// Exit code of a Rust program that panics; where panics abort, it is a signal.
const PANICKED: i32 = 101;

/// Has a child compile.
pub(super) fn code(
    executable: &Path,
    order: &Order,
    limits: &CompileLimits,
    component: &[u8],
) -> Result<Vec<u8>, LoadError> {
    let deadline = clock::monotonic() + limits.wall;
    let started = Compilation::start(executable, order, limits);
    let mut compilation = started.map_err(|error| LoadError::Compiler(cause(error)))?;
    let status = compilation.attend(component, deadline)?;
    let code = std::mem::take(&mut compilation.code.bytes);
    let words = String::from_utf8_lossy(&compilation.words.bytes);
    let over = |limit| Err(LoadError::CompileLimit(limit));
    let is_signal = |signal: Signal| status.signal() == Some(signal.as_raw());
    let has_given_up = status.code() == Some(PANICKED) || is_signal(Signal::ABORT);
    let lacks_memory = has_given_up && words.lines().any(is_for_want_of_memory);
    match status.code().map(u8::try_from) {
        Some(Ok(0)) => Ok(code),
        Some(Ok(REFUSED)) => {
            let why = String::from_utf8_lossy(&code).into_owned();
            Err(LoadError::Compile(cause(why)))
        }
        Some(Ok(NO_MEMORY)) => over(CompileLimit::Memory(order.memory_bytes)),
        None if is_signal(Signal::XCPU) => over(CompileLimit::Cpu(order.cpu_seconds)),
        Some(_) | None if lacks_memory => over(CompileLimit::Memory(order.memory_bytes)),
        Some(_) | None => Err(LoadError::CompilerEnded {
            status,
            words: last_words(&words),
        }),
    }
}

/// Whether a line is what is said for want of memory by Rust's library, which aborts, or by cranelift's arenas, which panic.
fn is_for_want_of_memory(line: &str) -> bool {
    line.starts_with("memory allocation of ") || line == "out of memory"
}

fn last_words(words: &str) -> Option<Cause> {
    let words = words.trim();
    let shown = || cause(text::cut(&text::shown(words), WORDS_SHOWN_BYTES_MAX));
    (!words.is_empty()).then(shown)
}

/// A child under way. Dropping it ends the child.
struct Compilation {
    child: Child,
    /// Readable when the child has ended.
    ended: OwnedFd,
    component: Option<ChildStdin>,
    code: Intake<ChildStdout>,
    words: Intake<ChildStderr>,
    limits: CompileLimits,
}

impl Compilation {
    fn start(executable: &Path, order: &Order, limits: &CompileLimits) -> io::Result<Self> {
        let processors = thread::available_parallelism().map_or(1, NonZero::get);
        let mut child = Command::new(executable)
            .arg0("belt")
            .args(order.args())
            .env_clear()
            .env("RAYON_NUM_THREADS", processors.min(THREADS_MAX).to_string())
            .env("MIMALLOC_ARENA_RESERVE", MEMORY_IN_ADVANCE)
            .current_dir("/")
            // Ctrl-C is for the host, and the host's end is the compiler's.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let ended = pidfd_open(Pid::from_child(&child), PidfdFlags::empty());
        let (component, code, words) = pipes;
        let compilation = Compilation {
            ended: ended.inspect_err(|_| end(&mut child))?,
            child,
            component,
            code: Intake::new(
                code,
                usize::try_from(limits.code_bytes).unwrap_or(usize::MAX),
            ),
            words: Intake::new(words, WORDS_BYTES_MAX),
            limits: limits.clone(),
        };
        compilation
            .component
            .as_ref()
            .map_or(Ok(()), do_not_block)?;
        compilation
            .code
            .pipe
            .as_ref()
            .map_or(Ok(()), do_not_block)?;
        compilation
            .words
            .pipe
            .as_ref()
            .map_or(Ok(()), do_not_block)?;
        Ok(compilation)
    }

    /// Feeds it and listens to it until it has ended.
    fn attend(
        &mut self,
        mut component: &[u8],
        deadline: Duration,
    ) -> Result<ExitStatus, LoadError> {
        let failed = |error: io::Error| LoadError::Compiler(cause(error));
        loop {
            let left = deadline.saturating_sub(clock::monotonic());
            if left.is_zero() {
                let limit = CompileLimit::Wall(self.limits.wall);
                return Err(LoadError::CompileLimit(limit));
            }
            let has_ended = self.wait(left).map_err(failed)?;
            self.feed(&mut component).map_err(failed)?;
            // Of one that has ended, all that it left in the pipes.
            while self.code.take().map_err(failed)? && has_ended {}
            while self.words.take().map_err(failed)? && has_ended {}
            if self.code.is_over {
                let limit = CompileLimit::Code(self.limits.code_bytes);
                return Err(LoadError::CompileLimit(limit));
            }
            if has_ended {
                return self.child.wait().map_err(failed);
            }
        }
    }

    /// Waits until a pipe can be used, or the child has ended, and gives which.
    fn wait(&self, at_most: Duration) -> io::Result<bool> {
        let mut waiting = vec![PollFd::new(&self.ended, PollFlags::IN)];
        let component = self.component.as_ref();
        waiting.extend(component.map(|pipe| PollFd::new(pipe, PollFlags::OUT)));
        let code = self.code.pipe.as_ref();
        waiting.extend(code.map(|pipe| PollFd::new(pipe, PollFlags::IN)));
        let words = self.words.pipe.as_ref();
        waiting.extend(words.map(|pipe| PollFd::new(pipe, PollFlags::IN)));
        let at_most = Timespec {
            tv_sec: i64::try_from(at_most.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: at_most.subsec_nanos().into(),
        };
        match poll(&mut waiting, Some(&at_most)) {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        let ended = waiting.first().map(PollFd::revents);
        Ok(ended.is_some_and(|events| !events.is_empty()))
    }

    /// Gives it more of the component, and closes its stdin behind the last byte.
    fn feed(&mut self, component: &mut &[u8]) -> io::Result<()> {
        let Some(pipe) = &mut self.component else {
            return Ok(());
        };
        match pipe.write(component) {
            Ok(written) => *component = component.get(written..).unwrap_or_default(),
            // It reads no more: its end says why.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => *component = &[],
            Err(error) if is_for_later(&error) => return Ok(()),
            Err(error) => return Err(error),
        }
        if component.is_empty() {
            self.component = None;
        }
        Ok(())
    }
}

impl Drop for Compilation {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// By its handle: one that has been waited for is left alone.
fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

/// What comes through a pipe, up to a bound.
struct Intake<R> {
    pipe: Option<R>,
    bytes: Vec<u8>,
    bytes_max: usize,
    /// Whether more came.
    is_over: bool,
}

impl<R: Read> Intake<R> {
    fn new(pipe: Option<R>, bytes_max: usize) -> Self {
        Intake {
            pipe,
            bytes: Vec::new(),
            bytes_max,
            is_over: false,
        }
    }

    /// Takes what is there now, at most a part, and gives whether there was anything.
    fn take(&mut self) -> io::Result<bool> {
        let Some(pipe) = &mut self.pipe else {
            return Ok(false);
        };
        let mut part = [0; PART_BYTES];
        let taken = match pipe.read(&mut part) {
            Ok(taken) => taken,
            Err(error) if is_for_later(&error) => return Ok(false),
            Err(error) => return Err(error),
        };
        if taken == 0 {
            self.pipe = None;
        }
        let kept = taken.min(self.bytes_max.saturating_sub(self.bytes.len()));
        self.is_over |= kept < taken;
        self.bytes.extend(part.iter().take(kept));
        Ok(taken > 0)
    }
}

fn is_for_later(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

fn do_not_block(pipe: &impl AsFd) -> io::Result<()> {
    let flags = fcntl_getfl(pipe)?;
    Ok(fcntl_setfl(pipe, flags | OFlags::NONBLOCK)?)
}
