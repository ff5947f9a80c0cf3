//! How large a workspace's archive may be.
//!
//! Owns the limits and the counting against them. The same hold for who packs and for who unpacks, so that what could
//! be packed can be unpacked.

/// Bytes of all files together, unpacked: the sources that a build works on are a hundredth of it, and a server with a
/// few dozen runs still has room. It also bounds what a small archive can blow up to.
pub const ARCHIVE_BYTES_MAX: u64 = 1 << 30;

/// Bytes of the archive itself, compressed. Files that do not compress come to as many bytes as they have.
pub const ARCHIVE_GZIP_BYTES_MAX: u64 = 1 << 30;

/// Files, folders and links, those counted that are only in others' paths. Each costs an inode and a block whatever is
/// in it: with 100,000 empty ones a run takes 400 MB. The largest repositories in wide use have about as many files.
pub const ARCHIVE_ENTRIES_MAX: u64 = 100_000;

/// Bytes of a path within the workspace, and of what a link points to: no system call takes a longer one.
pub const ARCHIVE_PATH_BYTES_MAX: usize = 4_096;

/// Names in a path. Tools keep well below a hundred, and whoever walks down a tree keeps a folder open for each.
pub const ARCHIVE_DEPTH_MAX: usize = 256;

/// The limits in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// [`ARCHIVE_BYTES_MAX`].
    pub bytes: u64,
    /// [`ARCHIVE_GZIP_BYTES_MAX`].
    pub gzip_bytes: u64,
    /// [`ARCHIVE_ENTRIES_MAX`].
    pub entries: u64,
    /// [`ARCHIVE_PATH_BYTES_MAX`].
    pub path_bytes: usize,
    /// [`ARCHIVE_DEPTH_MAX`].
    pub depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            bytes: ARCHIVE_BYTES_MAX,
            gzip_bytes: ARCHIVE_GZIP_BYTES_MAX,
            entries: ARCHIVE_ENTRIES_MAX,
            path_bytes: ARCHIVE_PATH_BYTES_MAX,
            depth: ARCHIVE_DEPTH_MAX,
        }
    }
}

/// A limit that was hit, with its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Exceeded {
    /// Too much in the files.
    #[error("ARCHIVE_BYTES_MAX, {0} bytes of files")]
    Bytes(u64),
    /// Too large an archive.
    #[error("ARCHIVE_GZIP_BYTES_MAX, {0} bytes of archive")]
    GzipBytes(u64),
    /// Too many files, folders and links.
    #[error("ARCHIVE_ENTRIES_MAX, {0} files, folders and links")]
    Entries(u64),
    /// Too long a path.
    #[error("ARCHIVE_PATH_BYTES_MAX, {0} bytes of path")]
    PathBytes(usize),
    /// Too deep a path.
    #[error("ARCHIVE_DEPTH_MAX, {0} names in a path")]
    Depth(usize),
}

/// What was counted so far.
#[derive(Debug)]
pub(super) struct Tally {
    limits: Limits,
    pub(super) entries: u64,
    pub(super) bytes: u64,
}

impl Tally {
    pub(super) fn new(limits: Limits) -> Self {
        Tally {
            limits,
            entries: 0,
            bytes: 0,
        }
    }

    /// Counts one entry before it is made.
    pub(super) fn entry(&mut self) -> Result<(), Exceeded> {
        if self.entries >= self.limits.entries {
            return Err(Exceeded::Entries(self.limits.entries));
        }
        self.entries += 1;
        Ok(())
    }

    /// Counts the bytes of a file before they are read.
    pub(super) fn file(&mut self, bytes: u64) -> Result<(), Exceeded> {
        let sum = self.bytes.checked_add(bytes);
        match sum.filter(|sum| *sum <= self.limits.bytes) {
            Some(sum) => self.bytes = sum,
            None => return Err(Exceeded::Bytes(self.limits.bytes)),
        }
        Ok(())
    }
}
