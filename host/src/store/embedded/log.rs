//! The log: what one thread at a time does with it. Who waits for whom is `embedded`'s.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::{Batch, Counters, Revision, StoreError};
use super::damage::{Damage, Flaw};
use super::disk::Disk;
use super::frame::{Change, Head, Kind, Row, value_checksum};
use super::index::{Index, Slot};
use super::keys::{Growing, KeyRow};
use super::marker::{Mark, Marker};
use super::read::Place;
use super::recover::{Access, Recovered, Sealed, recover};
use super::segment::{HEADER_BYTES, Name, Segment, UNFINISHED};
use super::tail::Tail;

/// How the log's files grow, in bytes.
#[derive(Clone, Copy)]
pub(super) struct Sizes {
    /// A segment of this length is sealed at the next commit.
    pub(super) segment: u64,
    /// The newest one grows by this much at a time.
    pub(super) reserve: u64,
}

/// Opening reads the newest segment whole (16 MiB in about 10 ms) and of the others the keys only; a
/// seal costs one sync. The reserve is some two hundred commits long, and written in less time than
/// one sync takes.
pub(super) const SIZES: Sizes = Sizes {
    segment: 16 * 1024 * 1024,
    reserve: 256 * 1024,
};

/// The log and its index.
pub(super) struct Log {
    pub(super) disk: Disk,
    /// Only of a log that is open to write.
    marker: Option<Marker>,
    pub(super) index: Index,
    pub(super) sealed: BTreeMap<Name, Sealed>,
    pub(super) tail: Option<Tail>,
    /// The last revision that stands.
    pub(super) last: u64,
    /// The next one to give. Further than one from `last` after some were taken back.
    pub(super) next: u64,
    /// What is durable.
    pub(super) synced: Mark,
    pub(super) counters: Counters,
    sizes: Sizes,
    /// Counts how often all was read anew; places of before are not places of now.
    pub(super) generation: u64,
    /// Taking back what could not be synced has failed; nothing in memory may be believed.
    broken: bool,
    frame: Vec<u8>,
}

impl Log {
    /// Opens the log to write. All that it holds then is durable.
    pub(super) fn open(disk: Disk, sizes: Sizes) -> Result<Self, StoreError> {
        let found = recover(&disk, Access::Write)?;
        let marker = match found.mark {
            Some(_) => Marker::open(&disk)?,
            None => Marker::create(&disk)?,
        };
        let mut log = Self::of(disk, Some(marker), found, sizes);
        // Of what the marker does not vouch for nobody knows whether it reached the disk.
        if let Some((segment, mark)) = log.newest().filter(|(_, mark)| *mark != log.synced) {
            log.disk.sync(&segment.file, &segment.name.to_string())?;
            log.mark(mark);
        }
        Ok(log)
    }

    /// Opens the log to read what is whole of it; with what is not.
    pub(super) fn open_read_only(disk: Disk) -> Result<(Self, Vec<Damage>), StoreError> {
        let mut found = recover(&disk, Access::Read)?;
        let damage = std::mem::take(&mut found.damage);
        let mut log = Self::of(disk, None, found, SIZES);
        log.synced.revision = log.last;
        Ok((log, damage))
    }

    fn of(disk: Disk, marker: Option<Marker>, found: Recovered, sizes: Sizes) -> Self {
        Self {
            disk,
            marker,
            index: found.index,
            sealed: found.sealed,
            tail: found.tail,
            last: found.last,
            next: found.last + 1,
            synced: found.mark.unwrap_or_default(),
            counters: Counters::default(),
            sizes,
            generation: 0,
            broken: false,
            frame: Vec::new(),
        }
    }

    /// Makes the batch's changes, if all it expects holds and it changes anything.
    pub(super) fn commit(&mut self, batch: &Batch) -> Result<Revision, StoreError> {
        let Some(mut head) = self.head(batch)? else {
            return Ok(Revision::new(self.last));
        };
        let values = batch.puts().iter().map(|(_, value)| value.as_slice());
        let tail = match self.tail.take() {
            Some(tail) => tail,
            None => self.begin()?,
        };
        let tail = self.tail.insert(tail);
        let salt = tail.segment.salt;
        for (row, value) in head.rows.iter_mut().zip(values.clone()) {
            row.value_checksum = value_checksum(value, salt, head.revision);
        }
        for row in head
            .rows
            .iter_mut()
            .filter(|row| row.change == Change::Delete)
        {
            row.value_checksum = value_checksum(&[], salt, head.revision);
        }
        self.frame.clear();
        head.encode(values, salt, tail.end, &mut self.frame);
        tail.append(&self.disk, &mut self.frame, self.sizes.reserve)?;
        self.take(head);
        self.counters.commits += 1;
        self.counters.bytes += batch.bytes() as u64;
        Ok(Revision::new(self.last))
    }

    /// Compares what the batch expects; what it would write, if anything.
    fn head(&self, batch: &Batch) -> Result<Option<Head>, StoreError> {
        for (key, expected) in batch.expectations() {
            let found = self.index.get(key).map(|slot| Revision::new(slot.revision));
            if found != *expected {
                return Err(StoreError::Conflict { key: key.clone() });
            }
        }
        let puts = batch
            .puts()
            .iter()
            .map(|(key, value)| (Change::Put, key, value.len()));
        let gone = batch
            .deletes()
            .iter()
            .filter(|key| self.index.get(key).is_some());
        let changes = puts.chain(gone.map(|key| (Change::Delete, key, 0)));
        let rows: Vec<Row> = changes
            .map(|(change, key, len)| Row {
                change,
                key: key.as_str().into(),
                value_bytes: len as u32,
                value_checksum: 0,
            })
            .collect();
        let (kind, synced) = (Kind::Commit, self.synced.revision);
        let head = Head {
            kind,
            revision: self.next,
            previous: self.last,
            synced,
            rows,
        };
        Ok((!head.rows.is_empty()).then_some(head))
    }

    /// The frame stands in the tail: so it does in the index.
    fn take(&mut self, head: Head) {
        let Some(tail) = &mut self.tail else { return };
        let back = head.head_bytes() + head.values_bytes();
        let mut offset = tail.end - back as u64;
        for Row {
            change,
            key,
            value_bytes,
            value_checksum,
        } in head.rows
        {
            let (segment, revision) = (tail.segment.name, head.revision);
            let slot = Slot {
                segment,
                offset,
                value_bytes,
                value_checksum,
                revision,
            };
            let row = KeyRow { change, key, slot };
            tail.keys.add(&self.disk, &row);
            row.apply(&mut self.index);
            offset += u64::from(value_bytes);
        }
        self.last = head.revision;
        self.next = head.revision + 1;
    }

    /// Whether the next commit should go to a new segment. Then [`Log::seal`] comes first.
    pub(super) fn is_full(&self) -> bool {
        self.tail
            .as_ref()
            .is_some_and(|tail| tail.end >= self.sizes.segment)
    }

    /// Ends the tail, durably. The next commit begins a new one.
    ///
    /// An error of the sync leaves it to the caller to [`Log::take_back`].
    pub(super) fn seal(&mut self) -> Result<(), SealError> {
        let Some(tail) = &mut self.tail else {
            return Ok(());
        };
        let (kind, synced) = (Kind::Seal, self.synced.revision);
        let seal = Head {
            kind,
            revision: self.last,
            previous: self.last,
            synced,
            rows: Vec::new(),
        };
        self.frame.clear();
        let (salt, end) = (tail.segment.salt, tail.end);
        seal.encode(std::iter::empty(), salt, end, &mut self.frame);
        tail.cut(&self.disk).map_err(SealError::Write)?;
        tail.append(&self.disk, &mut self.frame, 1)
            .map_err(SealError::Write)?;
        let name = tail.segment.name;
        self.disk
            .sync(&tail.segment.file, &name.to_string())
            .map_err(SealError::Sync)?;
        if let Some((_, mark)) = self.written() {
            self.mark(mark);
        }
        if let Some(Tail {
            segment,
            end: len,
            keys,
            ..
        }) = self.tail.take()
        {
            keys.end(&self.disk, len);
            self.sealed.insert(name, Sealed { segment, len });
        }
        Ok(())
    }

    /// Begins a segment, durably: it appears under its name with a whole header or not at all.
    fn begin(&mut self) -> Result<Tail, StoreError> {
        let name = Name::Log(self.next);
        let unfinished = format!("{name}{UNFINISHED}");
        let segment = Segment::create(&self.disk, name, &unfinished, self.last)?;
        self.disk.sync(&segment.file, &unfinished)?;
        self.disk.rename(&unfinished, &name.to_string())?;
        let (end, revision) = (HEADER_BYTES as u64, self.last);
        self.mark(Mark {
            revision,
            segment: self.next,
            offset: end,
        });
        Ok(Tail {
            keys: Growing::begin(&self.disk, name, segment.salt),
            segment: Arc::new(segment),
            name: name.to_string(),
            end,
            reserved: end,
        })
    }

    /// The tail and all that is written; nothing where all of it is sealed and so durable.
    pub(super) fn written(&self) -> Option<(Arc<Segment>, Mark)> {
        let tail = self.tail.as_ref()?;
        self.newest_at(&tail.segment, tail.end)
    }

    /// As [`Log::written`], but for a log whose newest segment is sealed, that one.
    fn newest(&self) -> Option<(Arc<Segment>, Mark)> {
        let sealed = || {
            self.sealed
                .values()
                .next_back()
                .map(|last| (&last.segment, last.len))
        };
        let (segment, end) = self
            .tail
            .as_ref()
            .map(|t| (&t.segment, t.end))
            .or_else(sealed)?;
        self.newest_at(segment, end)
    }

    fn newest_at(&self, segment: &Arc<Segment>, offset: u64) -> Option<(Arc<Segment>, Mark)> {
        match segment.name {
            Name::Log(first) => {
                let mark = Mark {
                    revision: self.last,
                    segment: first,
                    offset,
                };
                Some((segment.clone(), mark))
            }
            // A base is synced before it has its name.
            Name::Base(_) => None,
        }
    }

    /// All up to there is durable.
    pub(super) fn mark(&mut self, mark: Mark) {
        self.synced = mark;
        if let Some(marker) = &self.marker {
            // The marker is a lower bound: one that could not be written still tells no lie.
            marker.write(&self.disk, mark).ok();
        }
    }

    /// The first and last revision that is not durable; the first is greater where all is.
    pub(super) fn unsynced(&self) -> (Revision, Revision) {
        (
            Revision::new(self.synced.revision + 1),
            Revision::new(self.next - 1),
        )
    }

    /// Takes back all that is not durable and reads the folder anew.
    pub(super) fn take_back(&mut self) -> Result<(), StoreError> {
        self.broken = true;
        if let Some(tail) = &self.tail {
            let name = tail.segment.name.to_string();
            self.disk
                .truncate(&tail.segment.file, &name, self.synced.offset)?;
        }
        let found = recover(&self.disk, Access::Write)?;
        self.index = found.index;
        self.sealed = found.sealed;
        self.tail = found.tail;
        self.last = found.last;
        self.generation += 1;
        self.broken = false;
        Ok(())
    }

    /// Takes back once more what could not be taken back before.
    pub(super) fn mend(&mut self) -> Result<(), StoreError> {
        match self.broken {
            true => self.take_back(),
            false => Ok(()),
        }
    }

    /// Bytes of sealed segments, and how many of them are still needed.
    pub(super) fn sealed_bytes(&self) -> (u64, u64) {
        let all = self.sealed.values().map(|sealed| sealed.len).sum();
        let live = self
            .sealed
            .keys()
            .map(|name| self.index.live_bytes(*name))
            .sum();
        (all, live)
    }

    /// Where the record is, in a form that outlasts the lock.
    pub(super) fn place(&self, key: &str, slot: Slot) -> Result<Place, StoreError> {
        let path = self.disk.path(&slot.segment.to_string());
        let damage = || Damage {
            file: path.clone(),
            offset: slot.offset,
            flaw: Flaw::Missing,
            keys: vec![key.to_owned()],
        };
        let segment = self.segment(slot.segment);
        let segment = segment.ok_or_else(|| StoreError::Damaged(vec![damage()]))?;
        Ok(Place {
            key: key.to_owned(),
            slot,
            segment,
            path,
        })
    }

    /// The segment of that name.
    fn segment(&self, name: Name) -> Option<Arc<Segment>> {
        let tail = self.tail.as_ref().map(|tail| &tail.segment);
        let sealed = self.sealed.get(&name).map(|sealed| &sealed.segment);
        tail.filter(|tail| tail.name == name).or(sealed).cloned()
    }
}

/// Why a segment could not be sealed.
pub(super) enum SealError {
    /// The seal could not be written; all is as before.
    Write(StoreError),
    /// The disk refused to sync.
    Sync(StoreError),
}
