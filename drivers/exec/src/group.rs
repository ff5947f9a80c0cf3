//! The process group of a command, which ends with this process, whatever ends that.
//!
//! It is led by a keeper: this program once more, which waits until this process closes a pipe, and that the kernel does too
//! where it is killed. Then the keeper kills the group, and itself with it. It is there before the command, so no command is
//! without one, and it is waited for at the very end, so that the group's number is nobody else's meanwhile.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitCode, Stdio};

use rustix::process::{
    Pid, Signal, getpgrp, getpid, kill_current_process_group, kill_process_group,
};
use tokio::runtime;
use tokio::signal::unix::{SignalKind, signal};

/// The argument that makes a keeper of this program; nobody else's to use.
pub const KEEP: &str = "--keep-group";

/// This program, also where its file was replaced meanwhile.
const OWN_PROGRAM: &str = "/proc/self/exe";

/// A group that is killed when this is dropped.
pub struct Group {
    /// The pipe is its standard input.
    keeper: Child,
    number: Pid,
}

impl Group {
    pub fn new() -> io::Result<Group> {
        let keeper = Command::new(OWN_PROGRAM)
            .arg0("belt-exec")
            .arg(KEEP)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        let number = Pid::from_child(&keeper);
        Ok(Group { keeper, number })
    }

    /// Starts a command in the group.
    pub fn spawn(&self, command: &mut Command) -> io::Result<Child> {
        let number = self.number.as_raw_nonzero().get();
        command.process_group(number).spawn()
    }

    /// Asks all of it to end.
    pub fn terminate(&self) {
        let _ = kill_process_group(self.number, Signal::TERM);
    }

    /// Ends all of it.
    pub fn kill(&self) {
        let _ = kill_process_group(self.number, Signal::KILL);
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
        let _ = self.keeper.wait();
    }
}

/// The keeper: waits for the end of whoever started it, and kills the group that it leads.
pub fn keep() -> ExitCode {
    // Started by hand it leads none, and the group is not its own to kill.
    if getpgrp() != getpid() {
        eprintln!("belt-exec: {KEEP} is its own to use");
        return ExitCode::from(2);
    }
    // Where that fails, a signal to the group ends its keeper too, and only then.
    let _ = outlive_signals();
    let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
    let _ = kill_current_process_group(Signal::KILL);
    ExitCode::FAILURE
}

/// What the group is told is meant for the command: the keeper is there until the command has ended.
fn outlive_signals() -> io::Result<()> {
    let runtime = runtime::Builder::new_current_thread().enable_io().build()?;
    let _entered = runtime.enter();
    // Heard once, a signal ends a process no more, also where nobody listens.
    for kind in [
        SignalKind::terminate(),
        SignalKind::interrupt(),
        SignalKind::hangup(),
        SignalKind::quit(),
        SignalKind::user_defined1(),
        SignalKind::user_defined2(),
    ] {
        drop(signal(kind)?);
    }
    Ok(())
}
