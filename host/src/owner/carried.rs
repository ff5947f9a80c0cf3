//! Which runs are carried, and in which order they get their turn.
//!
//! Owns three rules: at most so many runs are under way, runs of one resource never overlap, and whoever came first goes
//! first. Pure: it starts nothing.

use crate::runner::Ask;
use beltline_engine::RunId;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use tokio::sync::mpsc::UnboundedSender;

/// Where runs ask of runs that are under way.
pub(super) type Inbox = UnboundedSender<Ask>;

#[derive(Default)]
pub(super) struct Carried {
    runs: HashMap<RunId, One>,
    /// Those that may begin as soon as there is a slot.
    ready: VecDeque<RunId>,
    /// The runs of each resource, in the order in which they came; the first may be under way.
    lines: HashMap<Arc<str>, VecDeque<RunId>>,
    under_way: usize,
    closed: bool,
}

struct One {
    resource: Arc<str>,
    stand: Stand,
    /// How often in a row it could not be moved on.
    failures: u32,
    /// Whether this process has had it before.
    is_known: bool,
}

enum Stand {
    /// It is about to be written.
    Making,
    /// It waits for a slot, or for the run before it.
    Waiting,
    UnderWay(Inbox),
    /// It waits for a time.
    Resting,
}

/// What becomes of a run that wants to begin.
pub(super) enum Turn {
    Now,
    Later,
}

/// Why a run is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    Full,
    Closed,
    /// It is carried already.
    Known,
}

/// Where a run stands, for whoever asks something of it.
pub(super) enum Place {
    UnderWay(Inbox),
    /// It waits; it is under way from now on, whatever the order is, for what was asked comes first.
    Promoted,
    Unknown,
}

impl Carried {
    /// Takes a run. `Turn::Now`: it is under way, and there is a slot for it.
    pub(super) fn take(
        &mut self,
        id: RunId,
        resource: &str,
        inbox: Inbox,
        slots: usize,
        open_max: usize,
    ) -> Result<Turn, Refused> {
        if self.closed {
            return Err(Refused::Closed);
        }
        if self.runs.contains_key(&id) {
            return Err(Refused::Known);
        }
        if self.runs.len() >= open_max {
            return Err(Refused::Full);
        }
        let resource = match self.lines.get_key_value(resource) {
            Some((known, _)) => Arc::clone(known),
            None => resource.into(),
        };
        let line = self.lines.entry(Arc::clone(&resource)).or_default();
        line.push_back(id);
        let begins = line.len() == 1 && self.under_way < slots && self.ready.is_empty();
        let stand = match begins {
            true => {
                self.under_way += 1;
                Stand::UnderWay(inbox)
            }
            false => Stand::Making,
        };
        let one = One {
            resource,
            stand,
            failures: 0,
            is_known: begins,
        };
        self.runs.insert(id, one);
        Ok(if begins { Turn::Now } else { Turn::Later })
    }

    /// One that was taken to begin later is in the store now.
    pub(super) fn made(&mut self, id: RunId, is_known: bool) {
        let Some(one) = self.runs.get_mut(&id) else {
            return;
        };
        one.stand = Stand::Waiting;
        one.is_known = is_known;
        let line = self.lines.get(&one.resource);
        if line.and_then(VecDeque::front) == Some(&id) {
            self.ready.push_back(id);
        }
    }

    /// The next run to begin, if there is one and a slot for it.
    pub(super) fn next(&mut self, slots: usize, inbox: impl FnOnce() -> Inbox) -> Option<RunId> {
        if self.closed || self.under_way >= slots {
            return None;
        }
        let id = self.ready.pop_front()?;
        if let Some(one) = self.runs.get_mut(&id) {
            one.stand = Stand::UnderWay(inbox());
            self.under_way += 1;
        }
        Some(id)
    }

    /// Where a run stands. One that waits is under way from now on.
    pub(super) fn place(&mut self, id: RunId, inbox: &Inbox) -> Place {
        let Some(one) = self.runs.get_mut(&id) else {
            return Place::Unknown;
        };
        match &one.stand {
            Stand::UnderWay(inbox) => Place::UnderWay(inbox.clone()),
            Stand::Making => Place::Unknown,
            Stand::Waiting | Stand::Resting => {
                one.stand = Stand::UnderWay(inbox.clone());
                self.under_way += 1;
                self.ready.retain(|ready| *ready != id);
                Place::Promoted
            }
        }
    }

    /// The inbox of a run that is under way.
    pub(super) fn inbox(&self, id: RunId) -> Option<Inbox> {
        match &self.runs.get(&id)?.stand {
            Stand::UnderWay(inbox) => Some(inbox.clone()),
            Stand::Making | Stand::Waiting | Stand::Resting => None,
        }
    }

    /// The inbox of a run that is under way; one that rests has its turn again.
    pub(super) fn inbox_or_wake(&mut self, id: RunId) -> Option<Inbox> {
        self.wakes(id);
        self.inbox(id)
    }

    /// Whether runs wait for a slot.
    pub(super) fn is_crowded(&self) -> bool {
        !self.ready.is_empty()
    }

    /// A run is no longer under way, and is not carried any more. Returns the line that it stood in.
    pub(super) fn ended(&mut self, id: RunId) -> Option<Arc<str>> {
        let one = self.runs.remove(&id)?;
        if matches!(one.stand, Stand::UnderWay(_)) {
            self.under_way -= 1;
        }
        let line = self.lines.get_mut(&one.resource)?;
        line.retain(|waiting| *waiting != id);
        match line.front().copied() {
            None => _ = self.lines.remove(&one.resource),
            Some(next) => {
                let waits = |one: &One| matches!(one.stand, Stand::Waiting);
                if self.runs.get(&next).is_some_and(waits) && !self.ready.contains(&next) {
                    self.ready.push_back(next);
                }
            }
        }
        Some(one.resource)
    }

    /// A run is no longer under way, and waits for a time. Says how often in a row it could not be moved on.
    pub(super) fn rests(&mut self, id: RunId, has_failed: bool) -> u32 {
        let Some(one) = self.runs.get_mut(&id) else {
            return 0;
        };
        if matches!(one.stand, Stand::UnderWay(_)) {
            self.under_way -= 1;
        }
        one.stand = Stand::Resting;
        one.failures = if has_failed { one.failures + 1 } else { 0 };
        one.failures
    }

    /// The time of a run that rests has come.
    pub(super) fn wakes(&mut self, id: RunId) {
        if let Some(one) = self.runs.get_mut(&id)
            && matches!(one.stand, Stand::Resting)
        {
            one.stand = Stand::Waiting;
            let line = self.lines.get(&one.resource);
            // One that was asked something before its turn waits for it.
            if line.and_then(VecDeque::front) == Some(&id) {
                self.ready.push_back(id);
            }
        }
    }

    /// Whether this process has moved the run before; from now on it has.
    pub(super) fn know(&mut self, id: RunId) -> bool {
        self.runs
            .get_mut(&id)
            .is_some_and(|one| std::mem::replace(&mut one.is_known, true))
    }

    /// Takes no more and begins no more. Returns those that are under way.
    pub(super) fn close(&mut self) -> Vec<Inbox> {
        self.closed = true;
        let under_way = self.runs.values().filter_map(|one| match &one.stand {
            Stand::UnderWay(inbox) => Some(inbox.clone()),
            Stand::Making | Stand::Waiting | Stand::Resting => None,
        });
        under_way.collect()
    }

    /// Takes no more where nothing is carried.
    pub(super) fn close_if_idle(&mut self) -> bool {
        self.closed |= self.runs.is_empty();
        self.closed
    }

    pub(super) fn is_carried(&self, id: RunId) -> bool {
        self.runs.contains_key(&id)
    }

    pub(super) fn len(&self) -> usize {
        self.runs.len()
    }

    pub(super) fn under_way(&self) -> usize {
        self.under_way
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::launch::new_id;
    use tokio::sync::mpsc::unbounded_channel;

    fn inbox() -> Inbox {
        unbounded_channel().0
    }

    #[test]
    fn one_that_was_asked_something_before_its_turn_still_waits_for_it() {
        let mut carried = Carried::default();
        let (first, second) = (new_id(), new_id());
        let mut take = |id| carried.take(id, "app/one", inbox(), 2, 2);
        assert!(matches!(take(first), Ok(Turn::Now)));
        assert!(matches!(take(second), Ok(Turn::Later)));
        carried.made(second, true);
        assert!(matches!(carried.place(second, &inbox()), Place::Promoted));
        carried.rests(second, true);
        carried.wakes(second);
        assert_eq!(carried.next(2, inbox), None);
        carried.ended(first);
        assert_eq!(carried.next(2, inbox), Some(second));
    }
}
