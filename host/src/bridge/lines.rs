//! How far the lines of native drivers are in the logs of runs: an answer waits for those that came before it.

use std::time::Duration;
use tokio::sync::{Semaphore, watch};

/// How long an answer waits.
const TIME_MAX: Duration = Duration::from_secs(2);

/// How many answers may wait at once. A driver may name any line, and those of others are not to wait for it.
const WAITING_MAX: usize = 256;

#[derive(Debug)]
pub(super) struct Lines {
    /// The last line that is in a log, by its place in the stream.
    logged: watch::Sender<u64>,
    room: Semaphore,
}

impl Default for Lines {
    fn default() -> Self {
        Lines {
            logged: watch::Sender::new(0),
            room: Semaphore::new(WAITING_MAX),
        }
    }
}

impl Lines {
    /// What is known counts no more: the stream is another, or is read for the first time. All up to this line are in their logs.
    pub(super) fn begin_after(&self, sequence: u64) {
        self.logged.send_replace(sequence);
    }

    /// That line is in its log, as are all before it.
    pub(super) fn is_logged(&self, sequence: u64) {
        self.logged
            .send_modify(|logged| *logged = sequence.max(*logged));
    }

    /// Waits until that line is in its log, for a while, and where there is room to wait.
    pub(super) async fn until(&self, sequence: u64) {
        if *self.logged.borrow() >= sequence {
            return;
        }
        if let Ok(_room) = self.room.try_acquire() {
            let mut logged = self.logged.subscribe();
            let until = logged.wait_for(|logged| *logged >= sequence);
            let _ = tokio::time::timeout(TIME_MAX, until).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[tokio::test(start_paused = true)]
    async fn an_answer_waits_for_its_line_and_not_for_ever() {
        let lines = Lines::default();
        lines.until(0).await;
        let mut waits = Box::pin(lines.until(2));
        assert!(waits.as_mut().now_or_never().is_none());
        lines.is_logged(1);
        assert!(waits.as_mut().now_or_never().is_none());
        lines.is_logged(2);
        waits.await;
        // One that came once more takes nothing back.
        lines.is_logged(1);
        assert!(lines.until(2).now_or_never().is_some());
        lines.until(9).await;
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_logged_before_the_host_was_here_is_waited_for_by_nobody() {
        let lines = Lines::default();
        lines.begin_after(7);
        assert!(lines.until(7).now_or_never().is_some());
        // Another stream counts from 1 again.
        lines.begin_after(0);
        assert!(lines.until(1).now_or_never().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn those_that_wait_for_nothing_hold_up_no_others() {
        let lines = Lines::default();
        let mut waiting: Vec<_> = (0..WAITING_MAX)
            .map(|_| Box::pin(lines.until(u64::MAX)))
            .collect();
        for one in &mut waiting {
            assert!(one.as_mut().now_or_never().is_none());
        }
        assert!(lines.until(1).now_or_never().is_some());
    }
}
