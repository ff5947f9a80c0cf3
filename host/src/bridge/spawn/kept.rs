//! Keeps a server there: one that ends untold is started again, and it is told to end with whoever keeps it.

use super::super::BridgeError;
use super::TIME_MAX;
use crate::clock;
use crate::text;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::io;
use std::os::unix::net::UnixStream;
use std::process::Child;
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// One that has lived for so long is started again at once.
const LIVES: Duration = Duration::from_secs(10);

/// Before one is started again that has not, the first time and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// A process that is there.
#[derive(Debug)]
pub(super) struct Server {
    process: OwnedFd,
    /// Where it is this host's: one that has ended is to be taken note of.
    child: Option<Child>,
}

/// A server, and the thread that looks after it.
#[derive(Debug)]
pub(super) struct Kept {
    /// Whose end tells the thread to end.
    stop: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, PartialEq, Eq)]
enum Happening {
    Ended,
    Told,
    Late,
}

impl Server {
    pub(super) fn started(child: Child) -> io::Result<Self> {
        let process = pidfd_open(Pid::from_child(&child), PidfdFlags::empty())?;
        Ok(Server {
            process,
            child: Some(child),
        })
    }

    /// One that another process has started.
    pub(super) fn adopted(pid: Pid) -> io::Result<Self> {
        let process = pidfd_open(pid, PidfdFlags::empty())?;
        Ok(Server {
            process,
            child: None,
        })
    }

    /// Ends it in order, so that what it has is on disk; by force where that takes too long.
    pub(super) fn end(mut self) {
        for signal in [Signal::TERM, Signal::KILL] {
            let _ = pidfd_send_signal(&self.process, signal);
            if happening(Some(&self.process), None, Some(TIME_MAX)) == Happening::Ended {
                break;
            }
        }
        self.bury();
    }

    fn bury(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.wait();
        }
    }
}

impl Kept {
    /// `again` starts it anew; `None` where it has ended at once, or is told to end.
    pub(super) fn new(
        server: Server,
        again: impl FnMut(&dyn Fn() -> bool) -> Result<Option<Server>, BridgeError> + Send + 'static,
    ) -> io::Result<Self> {
        let (stop, stopped) = UnixStream::pair()?;
        let keep = move || keep(server, &stopped.into(), again);
        let thread = thread::Builder::new()
            .name("broker".to_owned())
            .spawn(keep)?;
        Ok(Kept {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn keep(
    mut server: Server,
    stopped: &OwnedFd,
    mut again: impl FnMut(&dyn Fn() -> bool) -> Result<Option<Server>, BridgeError>,
) {
    let is_told = || happening(None, Some(stopped), Some(Duration::ZERO)) == Happening::Told;
    let mut pause = None;
    loop {
        let began = clock::monotonic();
        if happening(Some(&server.process), Some(stopped), None) == Happening::Told {
            return server.end();
        }
        server.bury();
        tracing::warn!("the nats-server has ended, and is started again");
        if clock::monotonic().saturating_sub(began) >= LIVES {
            pause = None;
        }
        server = loop {
            if pause.is_some() && happening(None, Some(stopped), pause) == Happening::Told {
                return;
            }
            pause = Some(pause.map_or(PAUSES.0, |last| (last * 2).min(PAUSES.1)));
            match again(&is_told) {
                Ok(Some(server)) => break server,
                Ok(None) if is_told() => return,
                Ok(None) => tracing::warn!("the nats-server has ended at once"),
                Err(error) => {
                    tracing::warn!(error = %text::chain(&error), "the nats-server cannot be started");
                }
            }
        };
    }
}

/// What comes first: the end of the process, the word to stop, or that time.
fn happening(
    process: Option<&OwnedFd>,
    stopped: Option<&OwnedFd>,
    time: Option<Duration>,
) -> Happening {
    let time = time.map(|time| Timespec::try_from(time).expect("it is short"));
    loop {
        let watched = [stopped, process].into_iter().flatten();
        let mut watched: Vec<_> = watched.map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
        match poll(&mut watched, time.as_ref()) {
            Err(Errno::INTR) => continue,
            Err(_) | Ok(0) => return Happening::Late,
            Ok(_) => {}
        }
        let is_told =
            stopped.is_some() && watched.first().is_some_and(|fd| !fd.revents().is_empty());
        return match is_told {
            true => Happening::Told,
            false => Happening::Ended,
        };
    }
}
