//! The room of all guests of a host together: their memory and the pool's slots. It admits attempts, first come
//! first served; the rest wait.
//!
//! An attempt has its whole limit set aside, for it may use it: what is admitted never runs short because of others.

mod machine;

use super::engine::MEMORIES_AT_ONCE;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The least that memory is set aside by.
const UNIT_BYTES: u64 = 1 << 20;

/// The room of a host.
#[derive(Debug)]
pub(super) struct Budget {
    units: u32,
    memory: Arc<Semaphore>,
    slots: Arc<Semaphore>,
}

/// What an attempt needs of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Room {
    units: u32,
    slots: u32,
}

/// Room that is set aside for an attempt, until this is dropped.
#[derive(Debug)]
pub struct Admission {
    _memory: OwnedSemaphorePermit,
    _slots: OwnedSemaphorePermit,
}

impl Budget {
    /// Of that many bytes of guest memory; half of the machine's where nothing is said.
    pub(super) fn new(guest_memory: Option<u64>) -> Self {
        let bytes = guest_memory.unwrap_or_else(|| machine::memory_bytes() / 2);
        let units = units(bytes).max(1);
        Budget {
            units,
            memory: Arc::new(Semaphore::new(units as usize)),
            slots: Arc::new(Semaphore::new(MEMORIES_AT_ONCE as usize)),
        }
    }

    pub(super) fn bytes(&self) -> u64 {
        u64::from(self.units) * UNIT_BYTES
    }

    /// What an attempt with that limit, of a component with so many memories, needs; `None` where there will never be
    /// so much.
    pub(super) fn room(&self, memory_bytes: u64, memories: u32) -> Option<Room> {
        let units = units(memory_bytes).max(1);
        let slots = memories.max(1);
        (units <= self.units && slots <= MEMORIES_AT_ONCE).then_some(Room { units, slots })
    }

    /// Waits until there is room.
    pub(super) fn admit(&self, room: Room) -> impl Future<Output = Admission> + Send + use<> {
        let (memory, slots) = (Arc::clone(&self.memory), Arc::clone(&self.slots));
        async move {
            let open = "a budget is never closed";
            // Always in this order, so that no two wait for each other.
            let memory = memory.acquire_many_owned(room.units).await.expect(open);
            let slots = slots.acquire_many_owned(room.slots).await.expect(open);
            Admission {
                _memory: memory,
                _slots: slots,
            }
        }
    }
}

fn units(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[test]
    fn what_is_over_the_budget_waits_for_what_was_admitted_before() {
        let budget = Budget::new(Some(128 << 20));
        let room = budget.room(64 << 20, 1).expect("it fits");
        let first = budget.admit(room).now_or_never().expect("there is room");
        let second = budget.admit(room).now_or_never().expect("there is room");
        let mut third = Box::pin(budget.admit(room));
        assert!(third.as_mut().now_or_never().is_none());
        drop(first);
        let third = third.now_or_never().expect("room was given back");
        drop((second, third));
        let whole = budget.room(128 << 20, 1).expect("it fits");
        assert!(budget.admit(whole).now_or_never().is_some());
    }

    #[test]
    fn the_slots_of_the_pool_are_part_of_it() {
        let budget = Budget::new(None);
        let room = budget.room(0, MEMORIES_AT_ONCE - 1).expect("it fits");
        let most = budget.admit(room).now_or_never().expect("there is room");
        let two = budget.room(0, 2).expect("it fits");
        assert!(budget.admit(two).now_or_never().is_none());
        drop(most);
        assert!(budget.admit(two).now_or_never().is_some());
    }

    #[test]
    fn more_than_all_is_never_admitted() {
        let budget = Budget::new(Some(100 << 20));
        assert_eq!(budget.bytes(), 100 << 20);
        assert_eq!(budget.room((100 << 20) + 1, 1), None);
        assert_eq!(budget.room(1, MEMORIES_AT_ONCE + 1), None);
    }
}
