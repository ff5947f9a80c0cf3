//! A `belt` that is under way: what it says on stderr, line by line, and the signals that it is sent.
//!
//! Nothing here sleeps. A line that does not come within [`PATIENCE`] fails the test with all that was said.

use crate::belt::{Bench, Said};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::File;
use std::io::{BufRead, BufReader, PipeReader, Read, Seek};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

/// How long a busy machine may take for the next line.
const PATIENCE: Duration = Duration::from_secs(120);

pub struct Live {
    child: Child,
    stdout: File,
    lines: Receiver<String>,
    said: String,
}

impl Live {
    /// `belt run` of the bench's files.
    pub fn run(bench: &Bench, more: &[&str]) -> Live {
        std::fs::create_dir_all(bench.path("work")).unwrap();
        let mut args = vec!["run", "-f", "pipeline.yaml", "-r", "resource.yaml"];
        args.extend(["--state", "state", "--workspace", "work"]);
        args.extend(more);
        Live::start(bench.command(&args))
    }

    /// `belt runs VERB` on the bench's state.
    pub fn runs(bench: &Bench, verb: &str, more: &[&str]) -> Live {
        let mut args = vec!["runs", verb, "--state", "state"];
        args.extend(more);
        Live::start(bench.command(&args))
    }

    /// stdout goes to a file, so that nobody waits for it to be read.
    pub fn start(mut command: Command) -> Live {
        let stdout = tempfile::tempfile().unwrap();
        command.stdout(stdout.try_clone().unwrap());
        let (stderr, write) = std::io::pipe().unwrap();
        command.stderr(write);
        Live::reading(stderr, stdout, command)
    }

    /// What it prints comes among its lines.
    pub fn aloud(mut command: Command) -> Live {
        let (both, write) = std::io::pipe().unwrap();
        command.stdout(write.try_clone().unwrap()).stderr(write);
        Live::reading(both, tempfile::tempfile().unwrap(), command)
    }

    fn reading(stderr: PipeReader, stdout: File, mut command: Command) -> Live {
        let child = command.spawn().unwrap();
        // The command holds the pipe's other end: without it the lines have an end.
        drop(command);
        let (send, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines() {
                if send.send(line.unwrap()).is_err() {
                    return;
                }
            }
        });
        Live {
            child,
            stdout,
            lines,
            said: String::new(),
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next line on stderr; `None` when it has ended.
    #[track_caller]
    pub fn line(&mut self) -> Option<String> {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => {
                self.said.push_str(&line);
                self.said.push('\n');
                Some(line)
            }
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("no more came after:\n{}", self.said),
        }
    }

    /// Waits for a line that has this in it.
    #[track_caller]
    pub fn until(&mut self, part: &str) -> String {
        while let Some(line) = self.line() {
            if line.contains(part) {
                return line;
            }
        }
        panic!("it ended without `{part}`:\n{}", self.said);
    }

    /// The same, also where it was read before.
    #[track_caller]
    pub fn has_said(&mut self, part: &str) -> String {
        let mut lines = self.said.lines();
        match lines.find(|line| line.contains(part)) {
            Some(line) => line.to_owned(),
            None => self.until(part),
        }
    }

    /// Ctrl-C.
    pub fn interrupt(&self) {
        self.signal(Signal::INT);
    }

    /// What a service manager sends.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.pid()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// `kill -9`, and what it had said by then.
    pub fn kill(mut self) -> Said {
        self.child.kill().unwrap();
        self.end()
    }

    /// Waits for its end.
    #[track_caller]
    pub fn end(mut self) -> Said {
        while self.line().is_some() {}
        let status = self.child.wait().unwrap();
        let mut stdout = String::new();
        self.stdout.rewind().unwrap();
        self.stdout.read_to_string(&mut stdout).unwrap();
        let code = status.code().or(status.signal().map(|signal| -signal));
        Said {
            code: code.unwrap(),
            stdout,
            stderr: std::mem::take(&mut self.said),
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        // It has ended, or the test has failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
