//! A segment's bytes, a part of them in memory at a time.

use std::os::unix::fs::FileExt;

use super::super::StoreError;
use super::disk::Disk;
use super::frame::{FRAME_BYTES_MAX, Head, MAGIC_BYTES, Side};
use super::segment::Segment;

/// A head somewhere behind bytes that are none.
pub(super) struct Next {
    pub(super) place: u64,
    /// Where its frame begins.
    pub(super) start: u64,
    pub(super) side: Side,
    pub(super) head: Head,
}

/// How much of a segment is in memory at a time; at least one longest frame.
const WINDOW_BYTES: usize = 16 * 1024 * 1024;
/// The unit in which the system brings a file to the disk.
const PAGE_BYTES: u64 = 4096;

/// The part of the segment that is in memory.
pub(super) struct Window<'a> {
    disk: &'a Disk,
    segment: &'a Segment,
    file_bytes: u64,
    start: u64,
    bytes: Vec<u8>,
}

impl<'a> Window<'a> {
    pub(super) fn new(disk: &'a Disk, segment: &'a Segment, file_bytes: u64) -> Self {
        Self {
            disk,
            segment,
            file_bytes,
            start: 0,
            bytes: Vec::new(),
        }
    }

    /// The bytes from `offset` on: at least as many as the longest frame has, or all up to the end.
    pub(super) fn at(&mut self, offset: u64) -> Result<&[u8], StoreError> {
        let wanted = (offset + FRAME_BYTES_MAX as u64).min(self.file_bytes);
        let held = self.start + self.bytes.len() as u64;
        if offset < self.start || wanted > held {
            self.load(offset)?;
        }
        Ok(self
            .bytes
            .get((offset - self.start) as usize..)
            .unwrap_or_default())
    }

    fn load(&mut self, offset: u64) -> Result<(), StoreError> {
        let end = (offset + WINDOW_BYTES as u64).min(self.file_bytes);
        self.bytes.clear();
        self.bytes.resize(end.saturating_sub(offset) as usize, 0);
        self.start = offset;
        self.segment
            .file
            .read_exact_at(&mut self.bytes, offset)
            .map_err(|source| {
                StoreError::io(
                    "read",
                    &self.disk.path(&self.segment.name.to_string()),
                    source,
                )
            })
    }

    /// The first whole head at or behind `from`.
    pub(super) fn next_head(&mut self, mut from: u64) -> Result<Option<Next>, StoreError> {
        let salt = self.segment.salt;
        while from < self.file_bytes {
            let bytes = self.at(from)?;
            let found = bytes
                .windows(MAGIC_BYTES)
                .position(|four| Side::of(four).is_some());
            let Some(skipped) = found else {
                // A magic may stand across the end of the window, not of the file.
                from += (bytes.len() as u64)
                    .saturating_sub(MAGIC_BYTES as u64 - 1)
                    .max(1);
                continue;
            };
            let place = from + skipped as u64;
            let bytes = self.at(place)?;
            if let Some(side) = Side::of(bytes)
                && let Some((head, start)) = Head::decode(bytes, side, salt, place)
            {
                return Ok(Some(Next {
                    place,
                    start,
                    side,
                    head,
                }));
            }
            from = place + 1;
        }
        Ok(None)
    }

    /// Whether a whole page within these bytes is zero.
    pub(super) fn zero_page(&mut self, from: u64, to: u64) -> Result<bool, StoreError> {
        let mut page = from.next_multiple_of(PAGE_BYTES);
        while page + PAGE_BYTES <= to {
            if self.zeros(page, page + PAGE_BYTES)? {
                return Ok(true);
            }
            page += PAGE_BYTES;
        }
        Ok(false)
    }

    /// Whether all of these bytes are zero.
    pub(super) fn zeros(&mut self, mut from: u64, to: u64) -> Result<bool, StoreError> {
        while from < to {
            let bytes = self.at(from)?;
            let count = bytes.len().min((to - from) as usize);
            if bytes.iter().take(count).any(|byte| *byte != 0) {
                return Ok(false);
            }
            from += count as u64;
        }
        Ok(true)
    }
}

const _: () = assert!(WINDOW_BYTES >= FRAME_BYTES_MAX);
