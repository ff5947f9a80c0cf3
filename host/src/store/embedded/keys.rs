//! The keys of a sealed segment, in a file beside it, so that opening need not read the values.
//!
//! ```text
//! <segment>.keys = magic 8 | format version 4 | zero 4 | salt of the segment 8 | row…
//!                  | rows 8 | length of the segment 8 | checksum 8
//! row            = change 1 | bytes of the key 2 | bytes of the value 4 | checksum of the value 8
//!                  | revision 8 | offset of the value 8 | key
//! ```
//!
//! It grows with its segment, so that no row is kept for it, and is whole once that is sealed.
//! It repeats what the segment's heads say. Where it is missing, torn or damaged, the segment is read
//! instead and the file written anew: it may be removed at any moment.

use std::fs::File;

use super::super::StoreError;
use super::bytes::{Bytes, Checksum, checked};
use super::disk::Disk;
use super::frame::Change;
use super::index::{Index, Slot};
use super::segment::{FORMAT_VERSION, Name};

const MAGIC: [u8; 8] = *b"BELTKEYS";

/// Written at a time.
const CHUNK_BYTES: usize = 64 * 1024;

/// A changed key and where its value stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeyRow {
    pub(super) change: Change,
    pub(super) key: Box<str>,
    pub(super) slot: Slot,
}

impl KeyRow {
    /// Makes the change in the index.
    pub(super) fn apply(self, index: &mut Index) {
        match self.change {
            Change::Put => index.put(self.key, self.slot),
            Change::Delete => index.delete(&self.key),
        }
    }
}

/// Which bytes of which segment the rows are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Of {
    pub(super) name: Name,
    pub(super) salt: u64,
    pub(super) len: u64,
}

/// A file that is being written, row by row. It is a shortcut for the next open: where it cannot be written it is given up.
pub(super) struct Growing {
    name: String,
    file: Option<File>,
    rows: u64,
    /// Of all that the file has.
    checksum: Checksum,
    written: u64,
    /// What follows in it.
    chunk: Vec<u8>,
}

impl Growing {
    /// Of a segment, from its first row on.
    pub(super) fn begin(disk: &Disk, segment: Name, salt: u64) -> Self {
        let name = segment.keys();
        let file = disk.create(&name).ok();
        let mut growing = Self {
            name,
            file,
            ..Self::nowhere(salt)
        };
        growing.chunk.extend_from_slice(&MAGIC);
        growing
            .chunk
            .extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        growing.chunk.extend_from_slice(&[0; 4]);
        growing.chunk.extend_from_slice(&salt.to_le_bytes());
        growing
    }

    /// Of a folder that is only read.
    pub(super) fn nowhere(salt: u64) -> Self {
        Self {
            name: String::new(),
            file: None,
            rows: 0,
            checksum: Checksum::new(salt),
            written: 0,
            chunk: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, disk: &Disk, KeyRow { change, key, slot }: &KeyRow) {
        if self.file.is_none() {
            return;
        }
        self.rows += 1;
        let chunk = &mut self.chunk;
        chunk.push(change.code());
        chunk.extend_from_slice(&(key.len() as u16).to_le_bytes());
        chunk.extend_from_slice(&slot.value_bytes.to_le_bytes());
        for number in [slot.value_checksum, slot.revision, slot.offset] {
            chunk.extend_from_slice(&number.to_le_bytes());
        }
        chunk.extend_from_slice(key.as_bytes());
        if chunk.len() >= CHUNK_BYTES {
            self.checksum.add(chunk);
            self.flush(disk);
        }
    }

    /// The segment is sealed, and has this length.
    pub(super) fn end(mut self, disk: &Disk, len: u64) {
        for number in [self.rows, len] {
            self.chunk.extend_from_slice(&number.to_le_bytes());
        }
        self.checksum.add(&self.chunk);
        let sum = self.checksum.sum();
        self.chunk.extend_from_slice(&sum.to_le_bytes());
        self.flush(disk);
    }

    fn flush(&mut self, disk: &Disk) {
        let Some(file) = &self.file else { return };
        match disk.write_at(file, &self.name, &self.chunk, self.written) {
            Ok(()) => self.written += self.chunk.len() as u64,
            Err(_) => {
                self.file = None;
                // A part of it is as good as none.
                disk.remove(&self.name).ok();
            }
        }
        self.chunk.clear();
    }
}

/// Writes the rows of a sealed segment.
pub(super) fn write(disk: &Disk, of: Of, rows: &[KeyRow]) {
    let mut growing = Growing::begin(disk, of.name, of.salt);
    rows.iter().for_each(|row| growing.add(disk, row));
    growing.end(disk, of.len);
}

/// The rows of that segment, if a whole file of them is there.
pub(super) fn read(disk: &Disk, of: Of) -> Result<Option<Vec<KeyRow>>, StoreError> {
    Ok(disk
        .read(&of.name.keys())?
        .and_then(|bytes| parse(&bytes, of)))
}

fn parse(bytes: &[u8], of: Of) -> Option<Vec<KeyRow>> {
    let (rest, len) = checked(bytes, of.salt)?.split_last_chunk()?;
    let (rest, count) = rest.split_last_chunk()?;
    let (len, count) = (u64::from_le_bytes(*len), u64::from_le_bytes(*count));
    let mut bytes = Bytes(rest);
    let known = bytes.array()? == MAGIC && bytes.u32()? == FORMAT_VERSION && bytes.u32()? == 0;
    if !known || bytes.u64()? != of.salt || len != of.len {
        return None;
    }
    let rows = (0..count)
        .map(|_| row(&mut bytes, of.name))
        .collect::<Option<Vec<_>>>()?;
    bytes.0.is_empty().then_some(rows)
}

fn row(bytes: &mut Bytes<'_>, segment: Name) -> Option<KeyRow> {
    let change = Change::from_code(bytes.u8()?)?;
    let key_bytes = bytes.u16()? as usize;
    let (value_bytes, value_checksum) = (bytes.u32()?, bytes.u64()?);
    let (revision, offset) = (bytes.u64()?, bytes.u64()?);
    let key = std::str::from_utf8(bytes.slice(key_bytes)?).ok()?.into();
    Some(KeyRow {
        change,
        key,
        slot: Slot {
            segment,
            offset,
            value_bytes,
            value_checksum,
            revision,
        },
    })
}
