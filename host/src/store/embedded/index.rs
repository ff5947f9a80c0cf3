//! The index: every key in memory, in order, with the place of its value.
//!
//! It also counts how much of each segment is still alive, for compaction to judge by.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Bound;

use super::super::Order;
use super::frame::row_weight;
use super::segment::Name;

/// The place of a key's present value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) segment: Name,
    /// Of the value, in bytes from the start of the segment.
    pub(super) offset: u64,
    pub(super) value_bytes: u32,
    pub(super) value_checksum: u64,
    pub(super) revision: u64,
}

impl Slot {
    /// What it costs to keep, in bytes of log.
    fn weight(&self, key: &str) -> u64 {
        row_weight(key.len()) + u64::from(self.value_bytes)
    }
}

/// All keys.
#[derive(Debug, Default)]
pub(super) struct Index {
    slots: BTreeMap<Box<str>, Slot>,
    live_bytes: BTreeMap<Name, u64>,
}

impl Index {
    pub(super) fn get(&self, key: &str) -> Option<&Slot> {
        self.slots.get(key)
    }

    pub(super) fn put(&mut self, key: Box<str>, slot: Slot) {
        *self.live_bytes.entry(slot.segment).or_default() += slot.weight(&key);
        match self.slots.entry(key) {
            Entry::Vacant(place) => _ = place.insert(slot),
            Entry::Occupied(mut place) => {
                let old = place.insert(slot);
                Self::forget(&mut self.live_bytes, place.key(), old);
            }
        }
    }

    pub(super) fn delete(&mut self, key: &str) {
        if let Some(old) = self.slots.remove(key) {
            Self::forget(&mut self.live_bytes, key, old);
        }
    }

    fn forget(live_bytes: &mut BTreeMap<Name, u64>, key: &str, old: Slot) {
        if let Some(live) = live_bytes.get_mut(&old.segment) {
            *live = live.saturating_sub(old.weight(key));
        }
    }

    /// Bytes of that segment that are still needed.
    pub(super) fn live_bytes(&self, segment: Name) -> u64 {
        self.live_bytes.get(&segment).copied().unwrap_or_default()
    }

    /// All keys and places, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Slot)> {
        self.slots.iter().map(|(key, slot)| (&**key, slot))
    }

    /// Keys that begin with `prefix`, strictly after `after` in that order.
    pub(super) fn scan<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&str>,
        order: Order,
    ) -> Box<dyn Iterator<Item = (&'a str, &'a Slot)> + 'a> {
        let within = move |(key, _): &(&str, &Slot)| key.starts_with(prefix);
        match order {
            Order::Ascending => {
                let from = match after {
                    Some(after) if after >= prefix => Bound::Excluded(after),
                    Some(_) | None => Bound::Included(prefix),
                };
                let keys = self.slots.range::<str, _>((from, Bound::Unbounded));
                Box::new(keys.map(|(key, slot)| (&**key, slot)).take_while(within))
            }
            Order::Descending => {
                let end = successor(prefix);
                let to = match (after, end.as_deref()) {
                    (Some(after), Some(end)) => Bound::Excluded(after.min(end)),
                    (Some(key), None) | (None, Some(key)) => Bound::Excluded(key),
                    (None, None) => Bound::Unbounded,
                };
                let keys = self.slots.range::<str, _>((Bound::Unbounded, to)).rev();
                Box::new(keys.map(|(key, slot)| (&**key, slot)).take_while(within))
            }
        }
    }
}

/// The smallest text that is greater than all that begin with `prefix`; UTF-8 sorts as its
/// characters do.
fn successor(prefix: &str) -> Option<String> {
    let mut rest = prefix.chars();
    while let Some(last) = rest.next_back() {
        let next = (last..=char::MAX).nth(1);
        if let Some(next) = next {
            let mut end = rest.as_str().to_owned();
            end.push(next);
            return Some(end);
        }
    }
    None
}
