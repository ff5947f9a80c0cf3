//! Compiling one driver at a time of each sort, and no driver twice.
//!
//! Owns who waits for whom. Keeps nothing: who comes when a driver has been compiled, or could not be, asks anew.

use crate::digest::Digest;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// What is being compiled, or waits for its turn.
#[derive(Debug)]
pub(super) struct UnderWay<T> {
    by_digest: Mutex<HashMap<Digest, Arc<OnceLock<T>>>>,
    operators: Turn,
    clients: Turn,
}

/// Held by who compiles: processors are few, and each compiler may use all of its memory limit.
type Turn = Mutex<()>;

/// Whose driver it is: what clients bring keeps no driver of the operator's waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// Named in an operator's file.
    Operators,
    /// Put by a client.
    Clients,
}

impl<T> Default for UnderWay<T> {
    fn default() -> Self {
        UnderWay {
            by_digest: Mutex::default(),
            operators: Turn::default(),
            clients: Turn::default(),
        }
    }
}

impl<T: Clone> UnderWay<T> {
    /// What `make` gives, or what it gave to whoever asked first for that digest and has not been answered yet.
    /// Blocks until then, and until those of the same sort are done that came before.
    pub(super) fn once(&self, whose: Whose, digest: Digest, make: impl FnOnce() -> T) -> T {
        let turn = match whose {
            Whose::Operators => &self.operators,
            Whose::Clients => &self.clients,
        };
        let one = Arc::clone(locked(&self.by_digest).entry(digest).or_default());
        let made = one.get_or_init(|| {
            let _turn = locked(turn);
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
            let all =
                [(); 3].map(|()| scope.spawn(|| under_way.once(Whose::Operators, digest(1), make)));
            for one in all {
                assert_eq!(one.join().unwrap(), 0);
            }
        });
        assert_eq!(
            under_way.once(Whose::Operators, digest(1), || 7),
            7,
            "nothing is kept"
        );
        assert!(locked(&under_way.by_digest).is_empty());
    }

    /// While one of the one sort is made.
    #[test]
    fn the_other_sort_has_turns_of_its_own() {
        let under_way = UnderWay::default();
        let made = under_way.once(Whose::Clients, digest(1), || {
            under_way.once(Whose::Operators, digest(2), || 7)
        });
        assert_eq!(made, 7);
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
                    move || under_way.once(Whose::Operators, digest(number), make)
                })
            };
            for one in [1, 2, 3, 4].map(ask) {
                assert_eq!(one.join().unwrap(), 0);
            }
        });
    }
}
