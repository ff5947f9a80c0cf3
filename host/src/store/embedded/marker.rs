//! The marker: how far the log is known to be synced.
//!
//! ```text
//! synced = magic 8 | format version 4 | zero 4 | revision 8 | first revision of the segment 8 | offset 8 | checksum 8
//! ```
//!
//! It tells a torn tail from damage in the very last frames. Written in place after each sync of the
//! log and not synced itself, it may lag behind and never runs ahead: a lower bound, which is always
//! safe. Where it is missing, the log is taken by itself.

use std::fs::File;

use super::super::StoreError;
use super::bytes::{Bytes, checked, checksum};
use super::damage::{Damage, Flaw};
use super::disk::Disk;
use super::segment::{FORMAT_VERSION, UNFINISHED};

const NAME: &str = "synced";
const MAGIC: [u8; 8] = *b"BELTSYN\n";
const BYTES: usize = 48;

/// A place in the log that is known to be durable, with all before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) revision: u64,
    /// First revision of the segment that was the newest; zero: there was none.
    pub(super) segment: u64,
    /// The end of the synced part of that segment.
    pub(super) offset: u64,
}

/// The open marker.
pub(super) struct Marker {
    file: File,
}

impl Marker {
    /// Makes the marker of an empty store, durably and all at once: from here on a log has one.
    pub(super) fn create(disk: &Disk) -> Result<Self, StoreError> {
        let unfinished = format!("{NAME}{UNFINISHED}");
        let marker = Self {
            file: disk.create(&unfinished)?,
        };
        marker.write(disk, Mark::default())?;
        disk.sync(&marker.file, &unfinished)?;
        disk.rename(&unfinished, NAME)?;
        Ok(marker)
    }

    /// Opens the one that is there to write on.
    pub(super) fn open(disk: &Disk) -> Result<Self, StoreError> {
        Ok(Self {
            file: disk.open(NAME, true)?,
        })
    }

    /// Replaces the mark.
    pub(super) fn write(&self, disk: &Disk, mark: Mark) -> Result<(), StoreError> {
        let mut bytes = Vec::with_capacity(BYTES);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        for number in [mark.revision, mark.segment, mark.offset] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&checksum(&bytes, 0).to_le_bytes());
        disk.write_at(&self.file, NAME, &bytes, 0)
    }
}

/// The mark in the folder. `None`: there is no marker; the inner error is damage to it.
pub(super) fn read(disk: &Disk) -> Result<Option<Result<Mark, Damage>>, StoreError> {
    let Some(bytes) = disk.read(NAME)? else {
        return Ok(None);
    };
    let file = disk.path(NAME);
    let mut rest = Bytes(&bytes);
    let (magic, version) = (rest.array::<8>(), rest.u32());
    if let (Some(MAGIC), Some(found)) = (magic, version.filter(|v| *v != FORMAT_VERSION)) {
        return Err(StoreError::Version {
            path: file,
            found,
            known: FORMAT_VERSION,
        });
    }
    let mark = (|| {
        checked(&bytes, 0).filter(|_| bytes.len() == BYTES && magic == Some(MAGIC))?;
        rest.u32()?;
        Some(Mark {
            revision: rest.u64()?,
            segment: rest.u64()?,
            offset: rest.u64()?,
        })
    })();
    let damage = Damage {
        file,
        offset: 0,
        flaw: Flaw::Marker,
        keys: Vec::new(),
    };
    Ok(Some(mark.ok_or(damage)))
}
