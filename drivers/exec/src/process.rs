//! A command at work: its lines, its end, and the end of all that it started.
//!
//! It is in a process group of its own. Whatever is left of the group when the command has ended, or when it is to stop, is
//! killed; what has left the group by itself is not found.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{self, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use beltline_sdk::{Explain as _, Failure, cancel};
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

use crate::command::{Command, Retryable};
use crate::config::Config;
use crate::environment::Environment;
use crate::group::Group;

/// The longest line of the log; what follows in it is left out.
const LINE_BYTES_MAX: usize = 16 << 10;

/// Lines between the command and the log: more make the command wait.
const LINES_MAX: usize = 256;

/// The last lines of standard error that a failure tells, and their bytes.
const TOLD: (usize, usize) = (10, 2 << 10);

/// From SIGTERM to SIGKILL, unless the config says otherwise.
const GRACE: Duration = Duration::from_secs(5);

/// How often the wish to stop is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// How long output is waited for that something outside the group holds open.
const HELD_OPEN: Duration = Duration::from_secs(1);

enum Event {
    Out(Vec<u8>),
    Err(Vec<u8>),
    Closed,
    Ended,
}

/// What was done to end a command.
enum Stop {
    /// Nothing: it may work.
    No,
    /// SIGTERM; SIGKILL comes then.
    Asked { kill_at: Instant },
    /// SIGKILL.
    Forced,
}

/// A command that has ended by itself.
pub struct Ended {
    status: ExitStatus,
    /// The last lines of its standard error.
    last: VecDeque<String>,
}

/// Runs it to its end.
///
/// # Errors
/// Permanent where it cannot be started; cancelled where it was told to stop.
pub fn run(
    program: &Path,
    command: &Command,
    folder: &Path,
    environment: &Environment,
    config: &Config,
) -> Result<Ended, Failure> {
    let group = Group::new().explain("a process group for the command")?;
    let mut program = process::Command::new(program);
    program
        .args(command.arguments())
        .current_dir(folder)
        .env_clear()
        .envs(
            environment
                .variables
                .iter()
                .map(|(name, value)| (name, value)),
        )
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = group.spawn(&mut program).explain(command)?;
    let number = Pid::from_child(&child);
    let (sender, events) = sync_channel(LINES_MAX);
    let bytes_max = LINE_BYTES_MAX + config.masks.longest();
    let (out, err) = (child.stdout.take(), child.stderr.take());
    read(out, bytes_max, Event::Out, sender.clone());
    read(err, bytes_max, Event::Err, sender.clone());
    thread::spawn(move || {
        // Left to be waited for: until then its number is nobody else's.
        let _ = waitid(
            WaitId::Pid(number),
            WaitIdOptions::EXITED | WaitIdOptions::NOWAIT,
        );
        let _ = sender.send(Event::Ended);
    });
    let mut watch = Watch::new(config);
    watch.until_ended(&group, &events);
    drop(group);
    let status = child.wait().explain(command)?;
    watch.rest(&events);
    match watch.stop {
        Stop::No => Ok(Ended {
            status,
            last: watch.last,
        }),
        Stop::Asked { .. } | Stop::Forced => Err(Failure::Cancelled),
    }
}

struct Watch<'config> {
    config: &'config Config,
    stop: Stop,
    open: usize,
    last: VecDeque<String>,
}

impl<'config> Watch<'config> {
    fn new(config: &'config Config) -> Watch<'config> {
        Watch {
            config,
            stop: Stop::No,
            open: 2,
            last: VecDeque::new(),
        }
    }

    /// Waits for the command's end, and sees to it where that is wished.
    fn until_ended(&mut self, group: &Group, events: &Receiver<Event>) {
        loop {
            match events.recv_timeout(LOOK) {
                Ok(Event::Ended) | Err(RecvTimeoutError::Disconnected) => return,
                Ok(event) => self.take(event),
                Err(RecvTimeoutError::Timeout) => {}
            }
            self.stop_if_wished(group);
        }
    }

    /// With a grace as long as its answer counts: after that another attempt waits for the workspace.
    fn stop_if_wished(&mut self, group: &Group) {
        match self.stop {
            Stop::Forced => {}
            Stop::No | Stop::Asked { .. } if cancel::is_over() => {
                group.kill();
                self.stop = Stop::Forced;
            }
            Stop::No if cancel::requested() => {
                group.terminate();
                log::warn!("told to stop");
                let kill_at = now() + self.config.grace.unwrap_or(GRACE);
                self.stop = Stop::Asked { kill_at };
            }
            Stop::Asked { kill_at } if now() >= kill_at => {
                log::warn!("did not stop in time; killed");
                group.kill();
                self.stop = Stop::Forced;
            }
            Stop::No | Stop::Asked { .. } => {}
        }
    }

    /// What is still in the pipes.
    fn rest(&mut self, events: &Receiver<Event>) {
        let until = now() + HELD_OPEN;
        while self.open > 0 {
            let left = until.saturating_duration_since(now());
            match events.recv_timeout(left) {
                Ok(event) => self.take(event),
                Err(_) => return,
            }
        }
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Out(line) => log::info!("{}", self.line(&line)),
            Event::Err(line) => {
                let line = self.line(&line);
                log::warn!("{line}");
                self.last.push_back(line);
                if self.last.len() > TOLD.0 {
                    self.last.pop_front();
                }
            }
            Event::Closed => self.open -= 1,
            Event::Ended => {}
        }
    }

    fn line(&self, bytes: &[u8]) -> String {
        self.config.masks.line(bytes, LINE_BYTES_MAX)
    }
}

impl Ended {
    /// # Errors
    /// Where it exited with another code than 0, or died of a signal: retryable where the step says so, else permanent.
    pub fn checked(&self, command: &Command, retryable: Option<&Retryable>) -> Result<(), Failure> {
        if self.status.success() {
            return Ok(());
        }
        let reason = self.reason(command);
        Err(match retryable {
            Some(retryable) if retryable.has(self.status.code()) => Failure::retryable(reason),
            Some(_) | None => Failure::permanent(reason),
        })
    }

    fn reason(&self, command: &Command) -> String {
        let how = match (self.status.code(), self.status.signal()) {
            (Some(code), _) => format!("{command} exited with {code}"),
            (None, Some(signal)) => format!("{command} was killed by signal {signal}"),
            (None, None) => format!("{command} ended: {}", self.status),
        };
        let last: Vec<&str> = self.last.iter().map(String::as_str).collect();
        let last = last.join("\n");
        let start = last.ceil_char_boundary(last.len().saturating_sub(TOLD.1));
        match last.get(start..) {
            Some("") | None => how,
            Some(last) => format!("{how}: {last}"),
        }
    }
}

/// Reads lines on a thread until the pipe is closed.
fn read(
    pipe: Option<impl Read + Send + 'static>,
    bytes_max: usize,
    event: fn(Vec<u8>) -> Event,
    sender: SyncSender<Event>,
) {
    thread::spawn(move || {
        let mut pipe = pipe.map(BufReader::new);
        while let Some(line) = pipe.as_mut().and_then(|pipe| next(pipe, bytes_max)) {
            if sender.send(event(line)).is_err() {
                return;
            }
        }
        let _ = sender.send(Event::Closed);
    });
}

/// The next line, without its end; of a longer one the beginning.
fn next(pipe: &mut BufReader<impl Read>, bytes_max: usize) -> Option<Vec<u8>> {
    let mut line = Vec::new();
    loop {
        let chunk = match pipe.fill_buf() {
            Ok([]) => return Some(line).filter(|line| !line.is_empty()),
            Ok(chunk) => chunk,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(_) => return None,
        };
        let end = chunk.iter().position(|byte| *byte == b'\n');
        let part = chunk.get(..end.unwrap_or(chunk.len())).unwrap_or_default();
        let room = bytes_max.saturating_sub(line.len());
        line.extend(part.iter().take(room));
        let used = part.len() + usize::from(end.is_some());
        pipe.consume(used);
        if end.is_some() {
            if line.last() == Some(&b'\r') {
                line.pop();
            }
            return Some(line);
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "this process's own time limits")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_bounded_and_the_last_needs_no_end() {
        let mut pipe = BufReader::with_capacity(3, &b"one\r\n\nlonger than that\nend"[..]);
        let lines: Vec<_> = std::iter::from_fn(|| next(&mut pipe, 6)).collect();
        assert_eq!(lines, [&b"one"[..], b"", b"longer", b"end"]);
    }

    #[test]
    fn a_secret_at_the_limit_is_not_cut_in_half() {
        let config = Config {
            masks: crate::mask::Masks::new(["hunter2"].into_iter()),
            ..Config::default()
        };
        let watch = Watch::new(&config);
        let mut line = vec![b'x'; LINE_BYTES_MAX - 3];
        line.extend(b"hunter2");
        assert!(!watch.line(&line).contains("hun"));
    }
}
