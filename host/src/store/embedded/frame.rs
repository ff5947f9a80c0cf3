//! The frame: one commit as it stands in a segment.
//!
//! ```text
//! frame = head, values, head again
//! head  = magic 4 | version 1 | kind 1 | rows 2 | bytes of the head 4 | bytes of the values 4
//!         | revision 8 | revision before 8 | revision synced 8 | row… | checksum 8
//! row   = change 1 | bytes of the key 2 | bytes of the value 4 | checksum of the value 8 | key
//! ```
//!
//! The head stands twice, so that no single damage hides which keys a commit changed; the two differ
//! in their magic alone. Their checksums are seeded with the segment's salt and the frame's place in
//! it: bytes of elsewhere, such as a value that is a copy of a frame, never pass for one. Each frame
//! names the revision before its own, so that a missing one is noticed, and the revision known as
//! synced when it was written.
//!
//! This module knows bytes only; where frames lie and what follows from a bad one is `scan`'s.

use super::super::{BATCH_BYTES_MAX, BATCH_KEYS_MAX, KEY_BYTES_MAX, VALUE_BYTES_MAX};
use super::bytes::{Bytes, checked, checksum};

/// Version of frames; part of each, checked with its segment's header.
const VERSION: u8 = 1;
const FIXED_BYTES: usize = 40;
const ROW_BYTES: usize = 15;
const CHECKSUM_BYTES: usize = 8;
/// Longest head: as many rows as a batch may have, with the longest keys.
const HEAD_BYTES_MAX: usize =
    FIXED_BYTES + BATCH_KEYS_MAX * (ROW_BYTES + KEY_BYTES_MAX) + CHECKSUM_BYTES;
/// Longest frame.
pub(super) const FRAME_BYTES_MAX: usize = 2 * HEAD_BYTES_MAX + BATCH_BYTES_MAX;
/// A frame without rows: the seal.
pub(super) const SEAL_BYTES: usize = 2 * (FIXED_BYTES + CHECKSUM_BYTES);

/// Which of a frame's two heads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Front,
    Back,
}

pub(super) const MAGIC_BYTES: usize = 4;
const FRONT_MAGIC: [u8; MAGIC_BYTES] = *b"BLT<";
const BACK_MAGIC: [u8; MAGIC_BYTES] = *b"BLT>";

impl Side {
    const fn magic(self) -> [u8; MAGIC_BYTES] {
        match self {
            Self::Front => FRONT_MAGIC,
            Self::Back => BACK_MAGIC,
        }
    }

    /// The side whose magic stands at the start of `bytes`.
    pub(super) fn of(bytes: &[u8]) -> Option<Self> {
        match bytes.first_chunk::<MAGIC_BYTES>() {
            Some(&FRONT_MAGIC) => Some(Self::Front),
            Some(&BACK_MAGIC) => Some(Self::Back),
            Some(_) | None => None,
        }
    }
}

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// One commit.
    Commit,
    /// The end of a segment; its revision is the last one that the segment stands for.
    Seal,
}

/// What becomes of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Put,
    Delete,
}

impl Change {
    pub(super) const fn code(self) -> u8 {
        match self {
            Self::Put => 1,
            Self::Delete => 2,
        }
    }

    pub(super) const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Put),
            2 => Some(Self::Delete),
            _ => None,
        }
    }
}

/// One changed key. The value's bytes stand elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) change: Change,
    pub(super) key: Box<str>,
    pub(super) value_bytes: u32,
    pub(super) value_checksum: u64,
}

/// A frame but for its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) kind: Kind,
    pub(super) revision: u64,
    /// Of the frame before this one, in this segment or the one before it.
    pub(super) previous: u64,
    /// Durable when this frame was written.
    pub(super) synced: u64,
    pub(super) rows: Vec<Row>,
}

/// Of the checksums of a frame's heads.
const fn seed(salt: u64, place: u64) -> u64 {
    salt.wrapping_add(place)
}

/// The checksum of a value: of that revision, in that segment.
pub(super) fn value_checksum(value: &[u8], salt: u64, revision: u64) -> u64 {
    checksum(value, salt ^ revision)
}

/// The bytes of a row with that key, both copies.
pub(super) const fn row_weight(key_bytes: usize) -> u64 {
    2 * (ROW_BYTES + key_bytes) as u64
}

impl Head {
    /// Bytes of one head.
    pub(super) fn head_bytes(&self) -> usize {
        let rows: usize = self.rows.iter().map(|row| ROW_BYTES + row.key.len()).sum();
        FIXED_BYTES + rows + CHECKSUM_BYTES
    }

    /// Bytes of all values.
    pub(super) fn values_bytes(&self) -> usize {
        self.rows.iter().map(|row| row.value_bytes as usize).sum()
    }

    /// Bytes of the whole frame.
    pub(super) fn frame_bytes(&self) -> usize {
        2 * self.head_bytes() + self.values_bytes()
    }

    /// Appends the frame to `out`; `values` in the order of the rows, nothing for a delete. `place` is
    /// where it will begin in its segment.
    pub(super) fn encode<'a>(
        &self,
        values: impl Iterator<Item = &'a [u8]>,
        salt: u64,
        place: u64,
        out: &mut Vec<u8>,
    ) {
        out.reserve(self.frame_bytes());
        let start = out.len();
        self.encode_head(seed(salt, place), out);
        let end = out.len();
        for value in values {
            out.extend_from_slice(value);
        }
        let back = out.len();
        out.extend_from_within(start..end);
        if let Some(magic) = out.get_mut(back..back + MAGIC_BYTES) {
            magic.copy_from_slice(&Side::Back.magic());
        }
    }

    fn encode_head(&self, seed: u64, out: &mut Vec<u8>) {
        let start = out.len();
        let kind = match self.kind {
            Kind::Commit => 1,
            Kind::Seal => 2,
        };
        out.extend_from_slice(&Side::Front.magic());
        out.extend_from_slice(&[VERSION, kind]);
        out.extend_from_slice(&(self.rows.len() as u16).to_le_bytes());
        out.extend_from_slice(&(self.head_bytes() as u32).to_le_bytes());
        out.extend_from_slice(&(self.values_bytes() as u32).to_le_bytes());
        for number in [self.revision, self.previous, self.synced] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        for row in &self.rows {
            out.push(row.change.code());
            out.extend_from_slice(&(row.key.len() as u16).to_le_bytes());
            out.extend_from_slice(&row.value_bytes.to_le_bytes());
            out.extend_from_slice(&row.value_checksum.to_le_bytes());
            out.extend_from_slice(row.key.as_bytes());
        }
        let sum = checksum(out.get(start + MAGIC_BYTES..).unwrap_or_default(), seed);
        out.extend_from_slice(&sum.to_le_bytes());
    }

    /// The head of that side at the start of `bytes`, if a whole one stands there, and the place in
    /// the segment where its frame begins; `place` is that of `bytes`.
    pub(super) fn decode(bytes: &[u8], side: Side, salt: u64, place: u64) -> Option<(Self, u64)> {
        if Side::of(bytes) != Some(side) {
            return None;
        }
        let mut sizes = Bytes(bytes.get(MAGIC_BYTES + 4..)?);
        let (head_bytes, values_bytes) = (sizes.u32()?, sizes.u32()?);
        let start = match side {
            Side::Front => place,
            Side::Back => place.checked_sub(u64::from(head_bytes) + u64::from(values_bytes))?,
        };
        if head_bytes as usize > HEAD_BYTES_MAX {
            return None;
        }
        let head = bytes.get(MAGIC_BYTES..head_bytes as usize)?;
        Some((Self::parse(checked(head, seed(salt, start))?)?, start))
    }

    /// Bytes whose checksum has been compared; what is still wrong is not ours.
    fn parse(body: &[u8]) -> Option<Self> {
        let mut bytes = Bytes(body);
        if bytes.u8()? != VERSION {
            return None;
        }
        let kind = match bytes.u8()? {
            1 => Kind::Commit,
            2 => Kind::Seal,
            _ => return None,
        };
        let count = bytes.u16()?;
        let (_head_bytes, values_bytes) = (bytes.u32()?, bytes.u32()?);
        let (revision, previous, synced) = (bytes.u64()?, bytes.u64()?, bytes.u64()?);
        let rows = (0..count)
            .map(|_| Row::parse(&mut bytes))
            .collect::<Option<Vec<_>>>()?;
        let head = Self {
            kind,
            revision,
            previous,
            synced,
            rows,
        };
        (bytes.0.is_empty() && head.values_bytes() == values_bytes as usize).then_some(head)
    }
}

impl Row {
    fn parse(bytes: &mut Bytes<'_>) -> Option<Self> {
        let change = Change::from_code(bytes.u8()?)?;
        let key_bytes = bytes.u16()? as usize;
        let (value_bytes, value_checksum) = (bytes.u32()?, bytes.u64()?);
        let key = std::str::from_utf8(bytes.slice(key_bytes)?).ok()?.into();
        let fits = value_bytes as usize <= VALUE_BYTES_MAX && key_bytes <= KEY_BYTES_MAX;
        fits.then_some(Self {
            change,
            key,
            value_bytes,
            value_checksum,
        })
    }
}
