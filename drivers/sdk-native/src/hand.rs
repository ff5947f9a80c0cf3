//! The attempts that this process has in hand, what is wished of each, and which are over already.

use std::collections::{HashMap, VecDeque};

use beltline_wire::{Cancel, Dispatch, DispatchedAttempt};
use tokio::sync::watch;

/// How many ended messages, and how many cancels, are remembered.
const REMEMBERED_MAX: usize = 1024;

/// What is wished of an attempt; it never goes back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Wish {
    /// Work.
    #[default]
    Work,
    /// Stop, and answer.
    Stop(Why),
    /// Nothing that it answers counts any more.
    Over,
}

/// Why an attempt is to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Why {
    /// The program ends.
    Shutdown,
    /// Its time is over.
    Timeout,
    /// The run is cancelled.
    Cancelled,
}

/// What tells an attempt from all others.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Id {
    pub(crate) run: String,
    pub(crate) step: String,
    pub(crate) attempt: u32,
    pub(crate) token: String,
}

impl Id {
    pub(crate) fn of(dispatch: &Dispatch, attempt: &DispatchedAttempt) -> Id {
        Id {
            run: dispatch.run_id.clone(),
            step: attempt.step_id.clone(),
            attempt: attempt.attempt,
            token: attempt.token.clone(),
        }
    }

    fn is_meant(&self, cancel: &Cancel) -> bool {
        let step = cancel.step_id.as_ref();
        self.run == cancel.run_id
            && step.is_none_or(|step| *step == self.step)
            && cancel.attempt.is_none_or(|attempt| attempt == self.attempt)
    }

    fn is_followed_by(&self, later: &Id) -> bool {
        self.run == later.run && self.step == later.step && self.attempt < later.attempt
    }
}

/// What to do with a message.
pub(crate) enum Taken {
    /// Work on it; this is what is wished meanwhile.
    New(watch::Sender<Wish>),
    /// It is being worked on, and has come again.
    InHand,
    /// Its attempt is being worked on for another message: wait until this is closed, and look again.
    Twice(watch::Receiver<Wish>),
    /// It needs no more than an acknowledgement.
    Over,
}

#[derive(Default)]
pub(crate) struct Hand {
    /// With the sequence of the message.
    attempts: HashMap<Id, (u64, watch::Sender<Wish>)>,
    /// Messages that were answered, by their sequence in the stream: one that comes again does because its acknowledgement was
    /// lost. The same attempt under another sequence was sent again, and is worked on again.
    ended: VecDeque<(u64, Id)>,
    /// Cancels that name an attempt: its message may come later.
    cancels: VecDeque<Cancel>,
}

impl Hand {
    /// Takes a message up. Earlier attempts of its step are over: the host makes a later one when none of them counts.
    pub(crate) fn take(&mut self, sequence: u64, id: &Id) -> Taken {
        match self.attempts.get(id) {
            Some((at, _)) if *at == sequence => return Taken::InHand,
            Some((_, wish)) => return Taken::Twice(wish.subscribe()),
            None => {}
        }
        let is_same = |(at, ended): &(u64, Id)| *at == sequence && ended == id;
        if self.ended.iter().any(is_same) || self.cancels.iter().any(|cancel| id.is_meant(cancel)) {
            return Taken::Over;
        }
        for (_, (_, earlier)) in self.attempts.iter().filter(|(at, _)| at.is_followed_by(id)) {
            raise(earlier, Wish::Over);
        }
        let (wish, _) = watch::channel(Wish::Work);
        self.attempts.insert(id.clone(), (sequence, wish.clone()));
        Taken::New(wish)
    }

    /// Lets an attempt go; `answered` where its message needs no second look.
    pub(crate) fn let_go(&mut self, sequence: u64, id: &Id, answered: bool) {
        self.attempts.remove(id);
        if answered {
            self.ended.push_back((sequence, id.clone()));
            bound(&mut self.ended);
        }
    }

    /// Whether an attempt was answered, for whichever message.
    pub(crate) fn has_answered(&self, id: &Id) -> bool {
        self.ended.iter().any(|(_, ended)| ended == id)
    }

    /// Someone cancels; says how many attempts here are meant.
    pub(crate) fn cancel(&mut self, cancel: Cancel) -> usize {
        let wish = if cancel.force {
            Wish::Over
        } else {
            Wish::Stop(Why::Cancelled)
        };
        let mut meant = 0;
        for (_, (_, sender)) in self.attempts.iter().filter(|(id, _)| id.is_meant(&cancel)) {
            raise(sender, wish);
            meant += 1;
        }
        if cancel.step_id.is_some() && cancel.attempt.is_some() {
            self.cancels.push_back(cancel);
            bound(&mut self.cancels);
        }
        meant
    }

    /// The program ends: everything in hand is to stop.
    pub(crate) fn stop(&self) {
        for (_, sender) in self.attempts.values() {
            raise(sender, Wish::Stop(Why::Shutdown));
        }
    }
}

fn bound<T>(remembered: &mut VecDeque<T>) {
    if remembered.len() > REMEMBERED_MAX {
        remembered.pop_front();
    }
}

/// Wishes that, unless more is wished already.
pub(crate) fn raise(sender: &watch::Sender<Wish>, wish: Wish) {
    sender.send_if_modified(|wished| {
        let more = wish > *wished;
        if more {
            *wished = wish;
        }
        more
    });
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// An attempt of one run.
    pub(crate) fn id(step: &str, attempt: u32) -> Id {
        Id {
            run: "r".to_owned(),
            step: step.to_owned(),
            attempt,
            token: "t".to_owned(),
        }
    }

    fn cancel(step: Option<&str>, attempt: Option<u32>, force: bool) -> Cancel {
        Cancel {
            run_id: "r".to_owned(),
            step_id: step.map(str::to_owned),
            attempt,
            force,
        }
    }

    fn wish_of(taken: Taken) -> watch::Sender<Wish> {
        match taken {
            Taken::New(wish) => wish,
            Taken::InHand | Taken::Twice(_) => panic!("in hand"),
            Taken::Over => panic!("over"),
        }
    }

    #[test]
    fn one_attempt_is_worked_on_once_at_a_time() {
        let mut hand = Hand::default();
        wish_of(hand.take(7, &id("a", 1)));
        assert!(matches!(hand.take(7, &id("a", 1)), Taken::InHand));
        assert!(matches!(hand.take(8, &id("a", 1)), Taken::Twice(_)));
        assert!(!hand.has_answered(&id("a", 1)));
        hand.let_go(7, &id("a", 1), true);
        assert!(matches!(hand.take(7, &id("a", 1)), Taken::Over));
        assert!(hand.has_answered(&id("a", 1)));
        assert!(matches!(hand.take(8, &id("a", 1)), Taken::New(_)));
    }

    #[test]
    fn what_was_not_answered_is_worked_on_again() {
        let mut hand = Hand::default();
        wish_of(hand.take(7, &id("a", 1)));
        hand.let_go(7, &id("a", 1), false);
        assert!(matches!(hand.take(7, &id("a", 1)), Taken::New(_)));
    }

    #[test]
    fn a_later_attempt_of_a_step_ends_the_earlier_one() {
        let mut hand = Hand::default();
        let earlier = wish_of(hand.take(1, &id("a", 1)));
        let other = wish_of(hand.take(2, &id("b", 1)));
        let later = wish_of(hand.take(3, &id("a", 2)));
        assert_eq!(*earlier.borrow(), Wish::Over);
        assert_eq!((*other.borrow(), *later.borrow()), (Wish::Work, Wish::Work));
    }

    #[test]
    fn a_cancel_reaches_what_it_names() {
        let mut hand = Hand::default();
        let a = wish_of(hand.take(1, &id("a", 1)));
        let b = wish_of(hand.take(2, &id("b", 1)));
        assert_eq!(hand.cancel(cancel(Some("a"), Some(2), false)), 0);
        assert_eq!(hand.cancel(cancel(Some("a"), Some(1), true)), 1);
        assert_eq!(hand.cancel(cancel(None, None, false)), 2);
        assert_eq!(*a.borrow(), Wish::Over);
        assert_eq!(*b.borrow(), Wish::Stop(Why::Cancelled));
    }

    #[test]
    fn a_cancel_may_come_before_its_message_and_says_nothing_of_later_attempts() {
        let mut hand = Hand::default();
        hand.cancel(cancel(Some("a"), Some(1), false));
        hand.cancel(cancel(None, None, false));
        assert!(matches!(hand.take(1, &id("a", 1)), Taken::Over));
        assert!(matches!(hand.take(2, &id("a", 2)), Taken::New(_)));
    }
}
