//! How many messages to ask for: never more than there is room for.
//!
//! Each request to the broker is for one message, so that what is asked for is a number: a message or a refusal ends one
//! request, whichever. A request that neither ends, because the connection or the broker went, is given up when it must have
//! run out. Should it be served after all, the message waits for room.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// So long the broker keeps a request.
pub(crate) const KEPT: Duration = Duration::from_secs(30);

/// So long its end may be under way.
const LATE_MAX: Duration = Duration::from_secs(5);

pub(crate) struct Pulls {
    room: usize,
    busy: usize,
    /// When each request that is open was made.
    asked: VecDeque<Instant>,
}

impl Pulls {
    pub(crate) fn new(room: usize) -> Pulls {
        Pulls {
            room,
            busy: 0,
            asked: VecDeque::new(),
        }
    }

    /// How many requests to make now; they count as made.
    pub(crate) fn due(&mut self, now: Instant) -> usize {
        while let Some(&at) = self.asked.front()
            && now.saturating_duration_since(at) >= KEPT + LATE_MAX
        {
            self.asked.pop_front();
        }
        let due = self.room.saturating_sub(self.busy + self.asked.len());
        self.asked.extend(std::iter::repeat_n(now, due));
        due
    }

    /// A message has come.
    pub(crate) fn arrived(&mut self) {
        self.asked.pop_front();
        self.busy += 1;
    }

    /// A request has come to nothing.
    pub(crate) fn ended(&mut self) {
        self.asked.pop_front();
    }

    /// What was asked for is asked for no more: the connection is another.
    pub(crate) fn forget(&mut self) {
        self.asked.clear();
    }

    /// A message is done with.
    pub(crate) fn finished(&mut self) {
        self.busy -= 1;
    }

    /// How many messages are in hand.
    pub(crate) fn busy(&self) -> usize {
        self.busy
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn what_is_asked_for_and_what_is_in_hand_fill_the_room() {
        let now = clock::monotonic();
        let mut pulls = Pulls::new(3);
        assert_eq!(pulls.due(now), 3);
        pulls.arrived();
        assert_eq!((pulls.due(now), pulls.busy()), (0, 1));
        pulls.ended();
        assert_eq!(pulls.due(now), 1);
        pulls.finished();
        assert_eq!(pulls.due(now), 1);
    }

    #[test]
    fn a_request_without_an_end_is_made_again() {
        let now = clock::monotonic();
        let mut pulls = Pulls::new(2);
        assert_eq!(pulls.due(now), 2);
        assert_eq!(pulls.due(now + KEPT), 0);
        assert_eq!(pulls.due(now + KEPT + LATE_MAX), 2);
        pulls.forget();
        assert_eq!(pulls.due(now), 2);
    }

    #[test]
    fn more_than_was_asked_for_leaves_no_room() {
        let now = clock::monotonic();
        let mut pulls = Pulls::new(1);
        pulls.arrived();
        pulls.arrived();
        assert_eq!(pulls.due(now), 0);
        pulls.finished();
        assert_eq!(pulls.due(now), 0);
    }
}
