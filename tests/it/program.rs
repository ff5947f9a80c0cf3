//! Native drivers as programs: the SDK's own `tester`, which does what its step's `with` says, and `belt-exec`.

use crate::belt::Bench;
use crate::nats::PATIENCE;
use beltline::clock;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

/// What cargo has built beside these tests.
fn built(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test.ancestors().nth(2).unwrap().join(name);
    assert!(
        path.is_file(),
        "{} is not there; `cargo test --workspace` builds it",
        path.display()
    );
    path
}

pub struct Program {
    child: Child,
    log: PathBuf,
}

impl Program {
    /// The tester, under this name.
    pub fn tester(bench: &Bench, name: &str, args: &[&str]) -> Program {
        let args = [&["--name", name], args].concat();
        Program::start(bench, "examples/tester", &args)
    }

    /// `belt-exec`, which may run whatever it is asked to.
    pub fn exec(bench: &Bench, args: &[&str]) -> Program {
        bench.write(
            "exec.yaml",
            "allow: {commands: \"*\", shell: true, pipelines: \"*\"}\n",
        );
        Program::start(bench, "belt-exec", args)
    }

    fn start(bench: &Bench, file: &str, args: &[&str]) -> Program {
        let mut command = Command::new(built(file));
        command.args(args);
        Program::of(bench, command)
    }

    /// Any other; what it prints is its log.
    pub fn of(bench: &Bench, mut command: Command) -> Program {
        static STARTED: AtomicU64 = AtomicU64::new(0);
        let nth = STARTED.fetch_add(1, Ordering::Relaxed);
        let log = bench.write(&format!("driver-{nth}.log"), "");
        let written = fs::File::options().append(true).open(&log).unwrap();
        command.current_dir(bench.path("")).stdin(Stdio::null());
        command.stdout(written.try_clone().unwrap()).stderr(written);
        let child = command.spawn().unwrap();
        Program { child, log }
    }

    /// Waits until it has said this.
    #[track_caller]
    pub fn says(&self, part: &str) {
        until(&format!("`{part}` from a driver"), || {
            self.said().contains(part)
        });
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn terminate(&self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
    }

    /// It is there and does nothing.
    pub fn stop(&self) {
        kill_process(Pid::from_child(&self.child), Signal::STOP).unwrap();
    }

    /// `kill -9`.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Its exit code and what it said, once it has ended by itself.
    #[track_caller]
    pub fn end(mut self) -> (i32, String) {
        until("a driver's end", || {
            self.child.try_wait().unwrap().is_some()
        });
        let code = self.child.wait().unwrap().code();
        (code.unwrap(), self.said())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("{}", self.said());
        }
    }
}

#[track_caller]
fn until(what: &str, is_so: impl FnMut() -> bool) {
    let mut is_so = is_so;
    let give_up = clock::monotonic() + PATIENCE;
    while !is_so() {
        assert!(clock::monotonic() < give_up, "there is no {what}");
        std::thread::yield_now();
    }
}

/// What attempts of the tester leave in a bench, and where they wait.
pub struct Traces<'b>(pub &'b Bench);

impl Traces<'_> {
    /// An attempt that leaves a line when it begins and one when it has its effect, and waits for [`Traces::release`] before and
    /// after.
    pub fn with(&self) -> Value {
        let path = |name: &str| self.0.path(name).display().to_string();
        json!({"begun": path("begun"), "until": path("before"), "effect": path("effect"), "then": path("after")})
    }

    /// What waits `before` or `after` its effect goes on.
    pub fn release(&self, place: &str) {
        self.0.write(place, "");
    }

    /// The processes and attempts that have begun.
    pub fn begun(&self) -> Vec<String> {
        self.lines("begun")
    }

    /// The keys of the effects.
    pub fn effects(&self) -> Vec<String> {
        self.lines("effect")
    }

    fn lines(&self, name: &str) -> Vec<String> {
        let text = fs::read_to_string(self.0.path(name)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Waits until so many have begun.
    #[track_caller]
    pub fn until_begun(&self, count: usize) {
        until("attempt that begins", || self.begun().len() == count);
    }

    /// Waits until there were so many effects.
    #[track_caller]
    pub fn until_effects(&self, count: usize) {
        until("effect", || self.effects().len() == count);
    }
}
