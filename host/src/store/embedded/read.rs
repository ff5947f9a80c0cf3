//! Reading: keys and places are looked up under the lock, values are read without it.

use std::path::PathBuf;
use std::sync::Arc;

use super::super::{Order, Record, Revision, StoreError};
use super::Embedded;
use super::damage::Damage;
use super::index::Slot;
use super::recover::Access;
use super::segment::Segment;

/// Where a record is.
pub(super) struct Place {
    pub(super) key: String,
    pub(super) slot: Slot,
    pub(super) segment: Arc<Segment>,
    pub(super) path: PathBuf,
}

/// What was found there.
enum Read {
    Whole(Record),
    Damaged(Vec<Damage>),
    /// The log has been read anew since the place was looked up.
    Stale,
}

impl Embedded {
    pub(super) fn get_now(&self, key: &str) -> Result<Option<Record>, StoreError> {
        loop {
            let mut state = self.state();
            state.log.mend()?;
            let generation = state.log.generation;
            let Some(found) = state.log.index.get(key).copied() else {
                return Ok(None);
            };
            let place = state.log.place(key, found)?;
            drop(state);
            match self.read(&place, generation)? {
                Read::Whole(record) => return Ok(Some(record)),
                Read::Damaged(damage) => return Err(StoreError::Damaged(damage)),
                Read::Stale => {}
            }
        }
    }

    pub(super) fn scan_now(
        &self,
        prefix: &str,
        after: Option<&str>,
        order: Order,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        'again: loop {
            let mut state = self.state();
            state.log.mend()?;
            let generation = state.log.generation;
            let slots = state.log.index.scan(prefix, after, order).take(limit);
            let places = slots.map(|(key, slot)| state.log.place(key, *slot));
            let places = places.collect::<Result<Vec<_>, _>>()?;
            drop(state);
            let mut records = Vec::with_capacity(places.len());
            for place in &places {
                match self.read(place, generation)? {
                    Read::Whole(record) => records.push(record),
                    Read::Damaged(damage) => return Err(StoreError::Damaged(damage)),
                    Read::Stale => continue 'again,
                }
            }
            return Ok(records);
        }
    }

    pub(super) fn keys_now(
        &self,
        prefix: &str,
        after: Option<&str>,
        order: Order,
        limit: usize,
    ) -> Result<Vec<String>, StoreError> {
        let mut state = self.state();
        state.log.mend()?;
        let slots = state.log.index.scan(prefix, after, order).take(limit);
        Ok(slots.map(|(key, _)| key.to_owned()).collect())
    }

    /// Reads a value, without holding the state.
    fn read(&self, place: &Place, generation: u64) -> Result<Read, StoreError> {
        match place
            .segment
            .read_value(&place.path, &place.key, &place.slot)
        {
            Ok(value) => {
                let (key, revision) = (place.key.clone(), Revision::new(place.slot.revision));
                Ok(Read::Whole(Record {
                    key,
                    value,
                    revision,
                }))
            }
            Err(StoreError::Damaged(damage)) => {
                let mut state = self.state();
                if state.log.generation != generation {
                    return Ok(Read::Stale);
                }
                if self.access == Access::Read {
                    let new = damage.iter().filter(|one| !state.damage.contains(one));
                    let new: Vec<Damage> = new.cloned().collect();
                    state.damage.extend(new);
                }
                Ok(Read::Damaged(damage))
            }
            Err(error) => Err(error),
        }
    }
}
