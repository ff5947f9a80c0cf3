//! The one place that reads a clock; and the wait of those who can only look again.
//!
//! Time is Unix milliseconds: the wall clock read once, when the process starts, plus monotonic time since.
//! So a clock that is set back or forward is seen only across restarts, never inside a run that goes on.

use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

struct Start {
    wall_ms: u64,
    at: Instant,
}

static START: OnceLock<Start> = OnceLock::new();

#[allow(clippy::disallowed_methods, reason = "this is the clock")]
fn start() -> &'static Start {
    START.get_or_init(|| {
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Start {
            wall_ms: millis(since_epoch),
            at: Instant::now(),
        }
    })
}

/// Milliseconds since the Unix epoch; never goes back within a process.
pub fn now_ms() -> u64 {
    start().wall_ms.saturating_add(millis(start().at.elapsed()))
}

/// Time since the process read its clock first: for measuring how long things take.
pub fn monotonic() -> Duration {
    start().at.elapsed()
}

/// Between two looks at something that nobody tells of, where there is no runtime to wait on.
#[allow(
    clippy::disallowed_methods,
    reason = "whoever looks again has a deadline"
)]
pub(crate) fn pause(duration: Duration) {
    std::thread::sleep(duration);
}

/// The CPU time that this thread spends from here on.
#[derive(Debug)]
pub struct CpuWatch {
    cpu: Duration,
    at: Duration,
}

/// So short a time is taken for CPU time as a whole: reading the thread's clock costs as much as what happens in it.
const ALL_OF_IT: Duration = Duration::from_micros(200);

impl CpuWatch {
    /// Begins now.
    pub fn start() -> Self {
        CpuWatch {
            cpu: thread_cpu(),
            at: monotonic(),
        }
    }

    /// What was spent since; of less than 200 µs, all that went by.
    pub fn spent(&self) -> Duration {
        let went_by = monotonic().saturating_sub(self.at);
        match went_by < ALL_OF_IT {
            true => went_by,
            false => thread_cpu().saturating_sub(self.cpu),
        }
    }
}

fn thread_cpu() -> Duration {
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(spent).unwrap_or_default()
}

/// The system's notation of a time.
pub fn system_time(at_ms: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(at_ms)
}

/// How long until `at_ms`, zero when it has passed.
pub fn until(at_ms: u64) -> Duration {
    Duration::from_millis(at_ms.saturating_sub(now_ms()))
}

/// `at_ms` as RFC 3339 in UTC, to the millisecond.
pub fn rfc3339(at_ms: u64) -> String {
    let at = i64::try_from(at_ms)
        .ok()
        .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    at.unwrap_or_default()
        .strftime("%Y-%m-%dT%H:%M:%S%.3fZ")
        .to_string()
}

/// A duration in whole milliseconds.
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_time_is_shown_to_the_millisecond_in_utc() {
        assert_eq!(
            super::rfc3339(1_764_000_000_007),
            "2025-11-24T16:00:00.007Z"
        );
    }
}
