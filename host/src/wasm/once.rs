//! Compiling one driver at a time, and no driver twice.
//!
//! Owns who waits for whom. Keeps nothing: who comes when a driver has been compiled, or could not be, asks anew.

use crate::digest::Digest;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// What is being compiled, or waits for its turn.
#[derive(Debug)]
pub(super) struct UnderWay<T> {
    by_digest: Mutex<HashMap<Digest, Arc<OnceLock<T>>>>,
    /// Held by who compiles: processors are few, and each compiler may use all of its memory limit.
    turn: Mutex<()>,
}

impl<T> Default for UnderWay<T> {
    fn default() -> Self {
        UnderWay {
            by_digest: Mutex::default(),
            turn: Mutex::default(),
        }
    }
}

impl<T: Clone> UnderWay<T> {
    /// What `make` gives, or what it gave to whoever asked first for that digest and has not been answered yet.
    /// Blocks until then, and until those are done that came before.
    pub(super) fn once(&self, digest: Digest, make: impl FnOnce() -> T) -> T {
        let one = Arc::clone(locked(&self.by_digest).entry(digest).or_default());
        let made = one.get_or_init(|| {
            let _turn = locked(&self.turn);
            let made = make();
            // Nobody joins from here on; those who wait already have it through their own handle.
            locked(&self.by_digest).remove(&digest);
            made
        });
        made.clone()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    fn digest(number: u8) -> Digest {
        Digest::of(&[number])
    }

    /// Failures as well: who waited for one does not try it again, with all others behind him.
    #[test]
    fn who_waits_is_given_what_was_made() {
        let under_way = UnderWay::default();
        let made = AtomicUsize::new(0);
        let handles = || Arc::strong_count(&locked(&under_way.by_digest)[&digest(1)]);
        let make = || {
            // The map, and three that ask.
            while handles() < 4 {
                thread::yield_now();
            }
            made.fetch_add(1, Ordering::SeqCst)
        };
        thread::scope(|scope| {
            let all = [(); 3].map(|()| scope.spawn(|| under_way.once(digest(1), make)));
            for one in all {
                assert_eq!(one.join().unwrap(), 0);
            }
        });
        assert_eq!(under_way.once(digest(1), || 7), 7, "nothing is kept");
        assert!(locked(&under_way.by_digest).is_empty());
    }

    #[test]
    fn one_is_made_at_a_time() {
        let (under_way, at_once) = (UnderWay::default(), AtomicUsize::new(0));
        let make = || {
            let before = at_once.fetch_add(1, Ordering::SeqCst);
            for _ in 0..1_000 {
                thread::yield_now();
            }
            at_once.fetch_sub(1, Ordering::SeqCst);
            before
        };
        thread::scope(|scope| {
            let ask = |number| {
                scope.spawn({
                    let (under_way, make) = (&under_way, &make);
                    move || under_way.once(digest(number), make)
                })
            };
            for one in [1, 2, 3, 4].map(ask) {
                assert_eq!(one.join().unwrap(), 0);
            }
        });
    }
}
