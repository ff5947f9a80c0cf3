//! The one place that reads a clock.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Milliseconds since the Unix epoch.
#[allow(clippy::disallowed_methods, reason = "this is the clock")]
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A moment that only compares with others of this process.
#[allow(clippy::disallowed_methods, reason = "this is the clock")]
pub(crate) fn monotonic() -> Instant {
    Instant::now()
}

/// How long it is until then; nothing where it is past.
pub(crate) fn until(ms: u64) -> Duration {
    Duration::from_millis(ms.saturating_sub(now_ms()))
}
