//! How long a server is waited for that has answered before and is gone: it is being started again.

use super::ClientError;
use crate::{clock, text};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// From the first request that failed on. A machine has started again by then.
const ABSENCE_MAX: Duration = Duration::from_secs(120);

/// Before the second try; twice as long before each further one.
const PAUSE: Duration = Duration::from_millis(50);

/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Hears once of each absence what is waited for.
pub type Say = Arc<dyn Fn(&str) + Send + Sync>;

/// Waits for a server.
#[derive(Clone)]
pub(super) struct Patience {
    say: Say,
    /// Whether it has been there: one that never was is no server, and not waited for.
    was_there: Arc<AtomicBool>,
}

impl Patience {
    pub(super) fn new(say: Say) -> Self {
        Patience {
            say,
            was_there: Arc::default(),
        }
    }

    /// The server took a connection.
    pub(super) fn is_there(&self) {
        self.was_there.store(true, Ordering::Relaxed);
    }

    /// What a request comes to that may be repeated.
    pub(super) async fn repeat<T>(
        &self,
        mut ask: impl AsyncFnMut() -> Result<T, ClientError>,
    ) -> Result<T, ClientError> {
        let (mut give_up_ms, mut pause) = (None, PAUSE);
        loop {
            let error = match ask().await {
                Err(error) if error.is_absence() && self.was_there.load(Ordering::Relaxed) => error,
                done => return done,
            };
            let now_ms = clock::now_ms();
            let until_ms = *give_up_ms.get_or_insert_with(|| {
                self.told(&error);
                now_ms.saturating_add(clock::millis(ABSENCE_MAX))
            });
            if now_ms >= until_ms || is_interrupted_in(pause).await {
                return Err(error);
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Before what has just come about and broken at once is tried again.
    pub(super) async fn rest(&self) -> bool {
        !is_interrupted_in(PAUSE_MAX).await
    }

    fn told(&self, error: &ClientError) {
        let wait = text::duration(clock::millis(ABSENCE_MAX));
        (self.say)(&format!(
            "{error}; waiting up to {wait} for it to come back"
        ));
    }
}

/// Pauses. Says whether somebody wanted a stop meanwhile: whoever listens for signals elsewhere does not do so now.
async fn is_interrupted_in(pause: Duration) -> bool {
    let interrupted = async {
        let signals = (
            signal(SignalKind::interrupt()),
            signal(SignalKind::terminate()),
        );
        match signals {
            (Ok(mut interrupts), Ok(mut terminations)) => tokio::select! {
                _ = interrupts.recv() => {}
                _ = terminations.recv() => {}
            },
            _ => std::future::pending().await,
        }
    };
    tokio::select! {
        () = tokio::time::sleep(pause) => false,
        () = interrupted => true,
    }
}
