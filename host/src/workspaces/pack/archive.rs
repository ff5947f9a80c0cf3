//! The bytes of an archive: a tar in GNU's form, within gzip.
//!
//! Owns the form alone: no times, no owners, modes 0644 and 0755. Who calls sees to it that paths are good and that a
//! file's content is as long as was said.

use crate::workspaces::hashed::Hashed;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::{self, Write};
use tar::{EntryType, Header};

/// Of a tar: headers and contents fill whole ones.
const BLOCK_BYTES: usize = 512;

/// The name of headers that hold a path too long for a header, as GNU tar writes it.
const LONG: &[u8] = b"././@LongLink";

/// An archive that is being written.
pub(super) struct Archive<W: Write> {
    out: GzEncoder<Hashed<W>>,
}

impl<W: Write> Archive<W> {
    pub(super) fn new(out: W) -> Self {
        Archive {
            out: GzEncoder::new(Hashed::new(out), Compression::default()),
        }
    }

    /// Bytes written so far, compressed. Some more are on their way.
    pub(super) fn bytes(&self) -> u64 {
        self.out.get_ref().bytes()
    }

    pub(super) fn folder(&mut self, path: &[u8]) -> io::Result<()> {
        self.entry(EntryType::Directory, path, b"", 0, 0o755)
    }

    pub(super) fn link(&mut self, path: &[u8], target: &[u8]) -> io::Result<()> {
        self.entry(EntryType::Symlink, path, target, 0, 0o777)
    }

    /// Begins a file. Its content follows, then [`Archive::pad`].
    pub(super) fn file(&mut self, path: &[u8], bytes: u64, is_executable: bool) -> io::Result<()> {
        let mode = if is_executable { 0o755 } else { 0o644 };
        self.entry(EntryType::Regular, path, b"", bytes, mode)
    }

    pub(super) fn content(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)
    }

    /// Fills the last block of a content of so many bytes.
    pub(super) fn pad(&mut self, bytes: u64) -> io::Result<()> {
        let block = BLOCK_BYTES as u64;
        let zeros = (block - bytes % block) % block;
        io::copy(&mut io::Read::take(io::repeat(0), zeros), &mut self.out)?;
        Ok(())
    }

    /// Ends the archive.
    pub(super) fn end(mut self) -> io::Result<Hashed<W>> {
        self.out.write_all(&[0; 2 * BLOCK_BYTES])?;
        let mut written = self.out.finish()?;
        written.flush()?;
        Ok(written)
    }

    fn entry(
        &mut self,
        kind: EntryType,
        path: &[u8],
        target: &[u8],
        bytes: u64,
        mode: u32,
    ) -> io::Result<()> {
        let mut header = Header::new_gnu();
        let old = header.as_old_mut();
        let is_long = !fill(&mut old.name, path);
        let is_long_target = !fill(&mut old.linkname, target);
        if is_long_target {
            self.long(EntryType::GNULongLink, target)?;
        }
        if is_long {
            self.long(EntryType::GNULongName, path)?;
        }
        self.header(header, kind, bytes, mode)
    }

    /// Writes what does not fit into the next header, with a NUL at its end.
    fn long(&mut self, kind: EntryType, text: &[u8]) -> io::Result<()> {
        let mut header = Header::new_gnu();
        fill(&mut header.as_old_mut().name, LONG);
        let bytes = text.len() as u64 + 1;
        self.header(header, kind, bytes, 0o644)?;
        self.out.write_all(text)?;
        self.out.write_all(&[0])?;
        self.pad(bytes)
    }

    fn header(
        &mut self,
        mut header: Header,
        kind: EntryType,
        bytes: u64,
        mode: u32,
    ) -> io::Result<()> {
        header.set_entry_type(kind);
        header.set_size(bytes);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_cksum();
        self.out.write_all(header.as_bytes())
    }
}

/// Puts a text in a field; says whether all of it fits.
fn fill(field: &mut [u8], text: &[u8]) -> bool {
    for (slot, byte) in field.iter_mut().zip(text) {
        *slot = *byte;
    }
    text.len() <= field.len()
}
