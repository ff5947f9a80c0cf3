//! Whose turn it is: the attempts of a step work one after another.
//!
//! An attempt whose answer counts no more may still work, and a later one must not find it in its workspace. So a turn is
//! held until the thread that works has ended. It is this process's alone: replicas know nothing of each other's.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::hand::Id;

/// The right to work on a step, until it is dropped.
pub(crate) type Turn = OwnedMutexGuard<()>;

/// By run and step; what nobody holds or waits for is forgotten.
type Steps = HashMap<(String, String), Weak<Mutex<()>>>;

#[derive(Default)]
pub(crate) struct Turns {
    steps: parking_lot::Mutex<Steps>,
}

impl Turns {
    /// Waits for its turn, in the order of arrival; `on_wait` is called where that is not at once.
    pub(crate) async fn turn(&self, id: &Id, on_wait: impl FnOnce()) -> Turn {
        let step = self.step(id);
        match step.clone().try_lock_owned() {
            Ok(turn) => turn,
            Err(_) => {
                on_wait();
                step.lock_owned().await
            }
        }
    }

    fn step(&self, id: &Id) -> Arc<Mutex<()>> {
        let mut steps = self.steps.lock();
        steps.retain(|_, step| step.strong_count() > 0);
        let slot = steps.entry((id.run.clone(), id.step.clone())).or_default();
        slot.upgrade().unwrap_or_else(|| {
            let step = Arc::default();
            *slot = Arc::downgrade(&step);
            step
        })
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;
    use crate::hand::tests::id;

    #[test]
    fn a_step_has_one_turn_at_a_time_and_another_step_its_own() {
        let turns = Turns::default();
        let first = turns.turn(&id("a", 1), || panic!("waits")).now_or_never();
        assert!(first.is_some());
        let mut has_waited = false;
        let second = turns.turn(&id("a", 2), || has_waited = true).now_or_never();
        assert!(second.is_none() && has_waited);
        let other = turns.turn(&id("b", 1), || panic!("waits")).now_or_never();
        assert!(other.is_some());
        drop(first);
        let second = turns.turn(&id("a", 2), || panic!("waits")).now_or_never();
        assert!(second.is_some());
    }

    #[test]
    fn what_nobody_holds_is_forgotten() {
        let turns = Turns::default();
        for step in ["a", "b", "c"] {
            drop(turns.turn(&id(step, 1), || ()).now_or_never());
        }
        let _held = turns.turn(&id("d", 1), || ()).now_or_never();
        assert_eq!(turns.steps.lock().len(), 1);
    }
}
