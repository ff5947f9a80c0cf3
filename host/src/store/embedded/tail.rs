//! The tail: the segment that grows.

use std::sync::Arc;

use super::super::StoreError;
use super::disk::Disk;
use super::keys::Growing;
use super::segment::Segment;

/// The segment that grows.
pub(super) struct Tail {
    pub(super) segment: Arc<Segment>,
    /// Of its file.
    pub(super) name: String,
    /// The end of its last frame.
    pub(super) end: u64,
    /// The end of the file; between the two are zeros.
    pub(super) reserved: u64,
    /// The file of its keys, which grows with it.
    pub(super) keys: Growing,
}

impl Tail {
    /// Appends the frame, or leaves the tail as it was.
    ///
    /// Where the file must grow it grows by `reserve` bytes of zeros at once: syncing bytes that the
    /// file has already spares the file system a commit of its own journal, which costs as much again.
    pub(super) fn append(
        &mut self,
        disk: &Disk,
        frame: &mut Vec<u8>,
        reserve: u64,
    ) -> Result<(), StoreError> {
        let end = self.end + frame.len() as u64;
        let grown = match end <= self.reserved {
            true => end,
            false => end.next_multiple_of(reserve),
        };
        let len = frame.len();
        frame.resize(len + (grown - end) as usize, 0);
        let mut written = disk.write_at(&self.segment.file, &self.name, frame, self.end);
        if matches!(written, Err(StoreError::Full { .. })) && grown > end {
            // What is left of the disk is for commits first.
            frame.truncate(len);
            written = disk.write_at(&self.segment.file, &self.name, frame, self.end);
        }
        if let Err(error) = written {
            // A part that cannot be cut off now is overwritten by the next frame, or is cut as a torn
            // tail when the store opens.
            self.cut(disk).ok();
            return Err(error);
        }
        self.reserved = self.reserved.max(self.end + frame.len() as u64);
        self.end = end;
        Ok(())
    }

    /// Cuts the file where its last frame ends.
    pub(super) fn cut(&mut self, disk: &Disk) -> Result<(), StoreError> {
        disk.truncate(&self.segment.file, &self.name, self.end)?;
        self.reserved = self.end;
        Ok(())
    }
}
