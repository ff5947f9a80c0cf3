//! The keys of a sealed segment, in a file beside it, so that opening need not read the values.
//!
//! ```text
//! <segment>.keys = magic 8 | format version 4 | zero 4 | salt of the segment 8 | its length 8 | rows 8
//!                  | row… | checksum 8
//! row            = change 1 | bytes of the key 2 | bytes of the value 4 | checksum of the value 8
//!                  | revision 8 | offset of the value 8 | key
//! ```
//!
//! It repeats what the segment's heads say. Where it is missing, torn or damaged, the segment is read
//! instead and the file written anew: it may be removed at any moment.

use std::sync::Arc;

use super::super::StoreError;
use super::bytes::{Bytes, checked, checksum};
use super::disk::Disk;
use super::frame::Change;
use super::index::{Index, Slot};
use super::segment::{FORMAT_VERSION, Name};

const MAGIC: [u8; 8] = *b"BELTKEY\n";

/// A changed key and where its value stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeyRow {
    pub(super) change: Change,
    pub(super) key: Arc<str>,
    pub(super) slot: Slot,
}

impl KeyRow {
    /// Makes the change in the index.
    pub(super) fn apply(&self, index: &mut Index) {
        match self.change {
            Change::Put => index.put(&self.key, self.slot),
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

/// Writes the rows of a sealed segment.
pub(super) fn write(disk: &Disk, of: Of, rows: &[KeyRow]) -> Result<(), StoreError> {
    let mut bytes = Vec::new();
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
    bytes.extend_from_slice(&[0; 4]);
    for number in [of.salt, of.len, rows.len() as u64] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    for KeyRow { change, key, slot } in rows {
        bytes.push(change.code());
        bytes.extend_from_slice(&(key.len() as u16).to_le_bytes());
        bytes.extend_from_slice(&slot.value_bytes.to_le_bytes());
        for number in [slot.value_checksum, slot.revision, slot.offset] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(key.as_bytes());
    }
    bytes.extend_from_slice(&checksum(&bytes, of.salt).to_le_bytes());
    let name = of.name.keys();
    let file = disk.create(&name)?;
    disk.write_at(&file, &name, &bytes, 0)
}

/// The rows of that segment, if a whole file of them is there.
pub(super) fn read(disk: &Disk, of: Of) -> Result<Option<Vec<KeyRow>>, StoreError> {
    Ok(disk
        .read(&of.name.keys())?
        .and_then(|bytes| parse(&bytes, of)))
}

fn parse(bytes: &[u8], of: Of) -> Option<Vec<KeyRow>> {
    let mut bytes = Bytes(checked(bytes, of.salt)?);
    let known = bytes.array()? == MAGIC && bytes.u32()? == FORMAT_VERSION && bytes.u32()? == 0;
    if !known || bytes.u64()? != of.salt || bytes.u64()? != of.len {
        return None;
    }
    let count = bytes.u64()?;
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
