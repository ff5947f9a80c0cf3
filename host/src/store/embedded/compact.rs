//! Compaction: what is still needed of all sealed segments, rewritten into one.
//!
//! It is due when more than half of the sealed bytes are dead, and is looked at whenever a segment is
//! sealed. The caller that sealed it pays, and only it: the copy is made without the log's lock, from
//! segments that no longer change. So a byte is copied at most once for each byte that died.
//!
//! At each point a crash leaves a whole log: the base is written and synced under an unfinished name,
//! gets its name by a rename, and only then do the segments that it stands for go; those that are
//! still there when the store opens next are passed over and removed. Records keep their revisions,
//! and the base's seal bears the last revision that it stands for, so that the next segment follows it
//! as it followed the last of the old ones. Deletes need not be kept: nothing older is left.

use std::collections::HashMap;
use std::sync::Arc;

use super::super::StoreError;
use super::disk::Disk;
use super::frame::{Change, Head, Kind, Row, value_checksum};
use super::index::Slot;
use super::keys::{self, KeyRow, Of};
use super::log::Log;
use super::recover::{Sealed, remove};
use super::segment::{HEADER_BYTES, Name, Segment, UNFINISHED};

/// Written at a time.
const CHUNK_BYTES: usize = 1024 * 1024;

/// What is to be kept, as of one moment.
pub(super) struct Plan {
    disk: Disk,
    base: Name,
    last: u64,
    segments: HashMap<Name, Arc<Segment>>,
    /// In the order of the log.
    kept: Vec<(Box<str>, Slot)>,
}

/// The base, whole and synced, not yet under its name.
pub(super) struct Built {
    plan: Plan,
    segment: Segment,
    len: u64,
    rows: Vec<KeyRow>,
}

/// A plan, if compaction is due. Only between a seal and the next commit: what a commit in the tail
/// has replaced is still needed, for that commit may yet be taken back.
pub(super) fn plan(log: &Log) -> Option<Plan> {
    assert!(
        log.tail.is_none(),
        "compaction is planned when all is sealed"
    );
    let (all, live) = log.sealed_bytes();
    if live * 2 >= all {
        return None;
    }
    let last = log.last;
    let segments: HashMap<Name, Arc<Segment>> = log
        .sealed
        .iter()
        .map(|(name, sealed)| (*name, sealed.segment.clone()))
        .collect();
    let kept = log
        .index
        .iter()
        .filter(|(_, slot)| segments.contains_key(&slot.segment));
    let mut kept: Vec<(Box<str>, Slot)> = kept.map(|(key, slot)| (key.into(), *slot)).collect();
    kept.sort_unstable_by_key(|(_, slot)| (slot.revision, slot.offset));
    let (disk, base) = (log.disk.clone(), Name::Base(last));
    Some(Plan {
        disk,
        base,
        last,
        segments,
        kept,
    })
}

impl Plan {
    /// Writes the base. Done without the log's lock.
    pub(super) fn build(self) -> Result<Built, StoreError> {
        let name = self.unfinished();
        let segment = Segment::create(&self.disk, self.base, &name, 0)?;
        let len = HEADER_BYTES as u64;
        let mut built = Built {
            plan: self,
            segment,
            len,
            rows: Vec::new(),
        };
        match built.write(&name) {
            Ok(()) => Ok(built),
            Err(error) => {
                built.discard();
                Err(error)
            }
        }
    }

    fn unfinished(&self) -> String {
        format!("{}{UNFINISHED}", self.base)
    }
}

impl Built {
    fn write(&mut self, name: &str) -> Result<(), StoreError> {
        let mut chunk = Vec::with_capacity(2 * CHUNK_BYTES);
        let mut previous = 0;
        let kept = std::mem::take(&mut self.plan.kept);
        for records in kept.chunk_by(|(_, one), (_, other)| one.revision == other.revision) {
            let revision = records.first().map_or(0, |(_, slot)| slot.revision);
            self.frame(revision, previous, records, &mut chunk)?;
            previous = revision;
            if chunk.len() >= CHUNK_BYTES {
                self.flush(name, &mut chunk)?;
            }
        }
        let (kind, last) = (Kind::Seal, self.plan.last);
        let seal = Head {
            kind,
            revision: last,
            previous,
            synced: last,
            rows: Vec::new(),
        };
        let place = self.len + chunk.len() as u64;
        seal.encode(std::iter::empty(), self.segment.salt, place, &mut chunk);
        self.flush(name, &mut chunk)?;
        self.plan.disk.sync(&self.segment.file, name)
    }

    /// One commit's records that are still needed.
    fn frame(
        &mut self,
        revision: u64,
        previous: u64,
        records: &[(Box<str>, Slot)],
        chunk: &mut Vec<u8>,
    ) -> Result<(), StoreError> {
        let salt = self.segment.salt;
        let (mut rows, mut values) = (Vec::new(), Vec::new());
        for (key, slot) in records {
            let Some(segment) = self.plan.segments.get(&slot.segment) else {
                continue;
            };
            let path = self.plan.disk.path(&segment.name.to_string());
            let value = segment.read_value(&path, key, slot)?;
            rows.push(Row {
                change: Change::Put,
                key: key.clone(),
                value_bytes: slot.value_bytes,
                value_checksum: value_checksum(&value, salt, revision),
            });
            values.push(value);
        }
        let head = Head {
            kind: Kind::Commit,
            revision,
            previous,
            synced: self.plan.last,
            rows,
        };
        let place = self.len + chunk.len() as u64;
        let mut offset = place + head.head_bytes() as u64;
        head.encode(values.iter().map(Vec::as_slice), salt, place, chunk);
        for Row {
            change,
            key,
            value_bytes,
            value_checksum,
        } in head.rows
        {
            let segment = self.plan.base;
            let slot = Slot {
                segment,
                offset,
                value_bytes,
                value_checksum,
                revision,
            };
            offset += u64::from(value_bytes);
            self.rows.push(KeyRow { change, key, slot });
        }
        Ok(())
    }

    fn flush(&mut self, name: &str, chunk: &mut Vec<u8>) -> Result<(), StoreError> {
        self.plan
            .disk
            .write_at(&self.segment.file, name, chunk, self.len)?;
        self.len += chunk.len() as u64;
        chunk.clear();
        Ok(())
    }

    /// Puts the base in the place of the segments that it stands for.
    pub(super) fn install(self, log: &mut Log) -> Result<(), StoreError> {
        let Self {
            plan,
            segment,
            len,
            rows,
        } = self;
        let unfinished = plan.unfinished();
        plan.disk.rename(&unfinished, &plan.base.to_string())?;
        let of = Of {
            name: plan.base,
            salt: segment.salt,
            len,
        };
        keys::write(&plan.disk, of, &rows);
        for KeyRow { key, slot, .. } in rows {
            // Unless it was written again meanwhile.
            let now = log.index.get(&key);
            if now.is_some_and(|now| plan.segments.contains_key(&now.segment)) {
                log.index.put(key, slot);
            }
        }
        log.sealed
            .retain(|name, _| !plan.segments.contains_key(name));
        log.sealed.insert(
            plan.base,
            Sealed {
                segment: Arc::new(segment),
                len,
            },
        );
        log.counters.compactions += 1;
        plan.segments
            .keys()
            .try_for_each(|name| remove(&plan.disk, *name))
    }

    /// Gives up what has been written; the next open removes what cannot be removed now.
    fn discard(&self) {
        self.plan.disk.remove(&self.plan.unfinished()).ok();
    }
}
