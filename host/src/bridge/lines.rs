//! How far the lines of native drivers are in the logs of runs: an answer waits for those that came before it.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How long an answer waits.
const TIME_MAX: Duration = Duration::from_secs(2);

/// How many answers of a driver may wait at once. It may name any line, and those of others are not to wait for it.
const WAITING_MAX: usize = 64;

#[derive(Debug)]
pub(super) struct Lines {
    /// The last line that is in a log, by its place in the stream.
    logged: watch::Sender<u64>,
    /// How many answers wait, by driver.
    waiting: Mutex<HashMap<Arc<str>, usize>>,
}

impl Default for Lines {
    fn default() -> Self {
        Lines {
            logged: watch::Sender::new(0),
            waiting: Mutex::default(),
        }
    }
}

/// The room that an answer takes among those that wait.
struct Room<'a> {
    lines: &'a Lines,
    driver: &'a Arc<str>,
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        let mut waiting = self.lines.waiting.lock();
        if let Some(count) = waiting.get_mut(self.driver) {
            *count -= 1;
            if *count == 0 {
                waiting.remove(self.driver);
            }
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

    fn room<'a>(&'a self, driver: &'a Arc<str>) -> Option<Room<'a>> {
        let mut waiting = self.waiting.lock();
        let count = waiting.entry(Arc::clone(driver)).or_default();
        (*count < WAITING_MAX).then(|| {
            *count += 1;
            Room {
                lines: self,
                driver,
            }
        })
    }

    /// Waits until that line is in its log, for a while, and where the driver has room to wait.
    pub(super) async fn until(&self, sequence: u64, driver: &Arc<str>) {
        if *self.logged.borrow() >= sequence {
            return;
        }
        if let Some(_room) = self.room(driver) {
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
        let (lines, driver) = (Lines::default(), Arc::from("d"));
        lines.until(0, &driver).await;
        let mut waits = Box::pin(lines.until(2, &driver));
        assert!(waits.as_mut().now_or_never().is_none());
        lines.is_logged(1);
        assert!(waits.as_mut().now_or_never().is_none());
        lines.is_logged(2);
        waits.await;
        // One that came once more takes nothing back.
        lines.is_logged(1);
        assert!(lines.until(2, &driver).now_or_never().is_some());
        lines.until(9, &driver).await;
        assert!(lines.waiting.lock().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_logged_before_the_host_was_here_is_waited_for_by_nobody() {
        let (lines, driver) = (Lines::default(), Arc::from("d"));
        lines.begin_after(7);
        assert!(lines.until(7, &driver).now_or_never().is_some());
        // Another stream counts from 1 again.
        lines.begin_after(0);
        assert!(lines.until(1, &driver).now_or_never().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_driver_that_waits_for_nothing_holds_up_no_other() {
        let lines = Lines::default();
        let [bad, good] = ["bad", "good"].map(Arc::from);
        let mut waiting: Vec<_> = (0..WAITING_MAX)
            .map(|_| Box::pin(lines.until(u64::MAX, &bad)))
            .collect();
        for one in &mut waiting {
            assert!(one.as_mut().now_or_never().is_none());
        }
        assert!(lines.until(1, &bad).now_or_never().is_some());
        assert!(lines.until(1, &good).now_or_never().is_none());
    }
}
