//! The members of an archive, one after the other.
//!
//! Owns the form: gzip, blocks, headers and what stands in several of them. Holds one header and what it says about
//! the next in memory, both bounded. Never touches the file system.

use super::fault::{Fault, UnpackError};
use super::pax::{self, Pax};
use crate::workspaces::limits::{Exceeded, Limits, Tally};
use crate::workspaces::paths::Inside;
use flate2::bufread::GzDecoder;
use std::io::{BufRead, BufReader, ErrorKind, Read};
use tar::Header;

const BLOCK_BYTES: usize = 512;

/// What a header of PAX may hold: two of the longest paths, and something beside them. Each member may have one, so
/// that this bounds how much has to be read that makes nothing.
pub(super) const PAX_BYTES_MAX: u64 = 16 << 10;

/// Zeros after the end mark: as many as the largest record that tar programs fill up.
const PADDING_BYTES_MAX: u64 = 1 << 20;

/// Something that is to be made.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) path: Inside,
    pub(super) kind: Kind,
}

/// What it is.
#[derive(Debug)]
pub(super) enum Kind {
    Folder,
    /// Its content is next in the archive.
    File {
        bytes: u64,
        is_executable: bool,
    },
    Link {
        target: Vec<u8>,
    },
}

/// What headers said about the member that follows them.
#[derive(Default)]
struct Ahead {
    path: Option<Vec<u8>>,
    target: Option<Vec<u8>>,
    pax: Option<Pax>,
}

/// An archive that is being read.
pub(super) struct Members<R: Read> {
    tar: GzDecoder<BufReader<R>>,
    /// In the tar.
    at: u64,
    limits: Limits,
}

impl<R: Read> Members<R> {
    pub(super) fn new(archive: R, limits: Limits) -> Self {
        Members {
            tar: GzDecoder::new(BufReader::new(archive)),
            at: 0,
            limits,
        }
    }

    /// The next member, or none at the end, when all of the archive has been read and its checksum is right. The
    /// content of a file has to be taken before.
    pub(super) fn next(&mut self, tally: &mut Tally) -> Result<Option<Member>, UnpackError> {
        let mut ahead = Ahead::default();
        loop {
            let start = self.at;
            let damaged = |_| UnpackError::Header { at: start };
            let Some(header) = self.header()? else {
                return match ahead.is_empty() {
                    true => self.end().map(|()| None),
                    false => Err(UnpackError::Header { at: start }),
                };
            };
            let size = header.entry_size().map_err(damaged)?;
            match header.entry_type().as_byte() {
                b'L' => only_one(&mut ahead.path, self.long(size)?, start)?,
                b'K' => only_one(&mut ahead.target, self.long(size)?, start)?,
                b'x' => {
                    let content = self.pax(size)?;
                    let pax = Pax::read(&content).map_err(|_| UnpackError::Header { at: start })?;
                    only_one(&mut ahead.pax, pax, start)?;
                }
                b'g' => {
                    // Nothing bounds how many there are but this.
                    let counted = tally.entry();
                    counted.map_err(|limit| UnpackError::over(&header.path_bytes(), limit))?;
                    self.global(size, start)?;
                }
                _ => return self.member(&header, ahead, size, start).map(Some),
            }
        }
    }

    /// Takes a content of so many bytes piece by piece, and what fills its last block.
    pub(super) fn content(
        &mut self,
        bytes: u64,
        mut take: impl FnMut(&[u8]) -> Result<(), UnpackError>,
    ) -> Result<(), UnpackError> {
        let mut buffer = [0; 1 << 16];
        let mut left = bytes;
        while left > 0 {
            let count = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
            let piece = buffer.get_mut(..count).unwrap_or_default();
            self.read_exact(piece)?;
            take(piece)?;
            left -= count as u64;
        }
        let block = BLOCK_BYTES as u64;
        let filling = usize::try_from((block - bytes % block) % block).unwrap_or_default();
        self.read_exact(buffer.get_mut(..filling).unwrap_or_default())
    }

    fn member(
        &self,
        header: &Header,
        ahead: Ahead,
        size: u64,
        start: u64,
    ) -> Result<Member, UnpackError> {
        let pax = ahead.pax.unwrap_or_default();
        let in_header = header.path_bytes();
        let path = ahead.path.as_ref().or(pax.path.as_ref());
        let path = path.map_or(&*in_header, Vec::as_slice);
        let refused = |fault: Fault| UnpackError::member(path, fault);
        if ahead.path.is_some() && pax.path.is_some() {
            return Err(refused(Fault::Disagree("path")));
        }
        if ahead.target.is_some() && pax.target.is_some() {
            return Err(refused(Fault::Disagree("target")));
        }
        pax.check(size).map_err(refused)?;
        let inside = Inside::read(path, &self.limits).map_err(|fault| refused(fault.into()))?;
        let mode = header.mode();
        let mode = mode.map_err(|_| UnpackError::Header { at: start })?;
        let kind = match header.entry_type().as_byte() {
            b'0' if path.ends_with(b"/") => return Err(refused(Fault::Slash)),
            b'0' => Kind::File {
                bytes: size,
                is_executable: mode & 0o100 != 0,
            },
            other if size > 0 && [b'2', b'5'].contains(&other) => {
                return Err(refused(Fault::Content(size)));
            }
            b'5' => Kind::Folder,
            b'2' => {
                let in_header = || header.link_name_bytes().unwrap_or_default().into_owned();
                let target = ahead.target.or(pax.target).unwrap_or_else(in_header);
                let allowed = inside.may_point_to(&target, &self.limits);
                allowed.map_err(|fault| refused(fault.into()))?;
                Kind::Link { target }
            }
            other => return Err(refused(no_member(other))),
        };
        Ok(Member { path: inside, kind })
    }

    /// The next header, checked; none where the end mark begins.
    fn header(&mut self) -> Result<Option<Header>, UnpackError> {
        let start = self.at;
        let mut header = Header::new_old();
        self.read_exact(header.as_mut_bytes())?;
        if header.as_bytes().iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let said = header.cksum();
        // As it is while the checksum itself is filled with blanks.
        let bytes = header.as_bytes().iter().enumerate();
        let sum = bytes.map(|(at, byte)| match (148..156).contains(&at) {
            true => u32::from(b' '),
            false => u32::from(*byte),
        });
        match said {
            Ok(said) if said == sum.sum::<u32>() => Ok(Some(header)),
            Ok(_) | Err(_) => Err(UnpackError::Header { at: start }),
        }
    }

    /// A path or target too long for a header, without the NUL at its end.
    fn long(&mut self, size: u64) -> Result<Vec<u8>, UnpackError> {
        let limit = self.limits.path_bytes;
        if size > limit as u64 + 1 {
            return Err(UnpackError::over(
                b"././@LongLink",
                Exceeded::PathBytes(limit),
            ));
        }
        let mut text = self.whole(size)?;
        if text.last() == Some(&0) {
            text.pop();
        }
        Ok(text)
    }

    fn pax(&mut self, size: u64) -> Result<Vec<u8>, UnpackError> {
        if size > PAX_BYTES_MAX {
            return Err(UnpackError::LongHeader { at: self.at });
        }
        self.whole(size)
    }

    fn global(&mut self, size: u64, start: u64) -> Result<(), UnpackError> {
        let content = self.pax(size)?;
        let key = pax::global(&content).map_err(|_| UnpackError::Header { at: start })?;
        match key {
            Some(key) => Err(UnpackError::Global {
                key: String::from_utf8_lossy(key).into_owned(),
            }),
            None => Ok(()),
        }
    }

    fn whole(&mut self, size: u64) -> Result<Vec<u8>, UnpackError> {
        let mut all = Vec::new();
        self.content(size, |piece| {
            all.extend_from_slice(piece);
            Ok(())
        })?;
        Ok(all)
    }

    /// Reads on to the very end: zeros, the checksum, and nothing after it.
    fn end(&mut self) -> Result<(), UnpackError> {
        let mut buffer = [0; 4 << 10];
        let mut zeros = 0;
        loop {
            let count = match self.tar.read(&mut buffer) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                read => read.map_err(UnpackError::Gzip)?,
            };
            if count == 0 {
                break;
            }
            zeros += count as u64;
            let is_zero = buffer.iter().take(count).all(|byte| *byte == 0);
            if !is_zero || zeros > PADDING_BYTES_MAX {
                return Err(UnpackError::Trailing);
            }
        }
        match self.tar.get_mut().fill_buf() {
            Ok([]) => Ok(()),
            Ok(_) => Err(UnpackError::Trailing),
            Err(error) => Err(UnpackError::Gzip(error)),
        }
    }

    fn read_exact(&mut self, buffer: &mut [u8]) -> Result<(), UnpackError> {
        let mut left = buffer;
        while !left.is_empty() {
            let count = match self.tar.read(left) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                read => read.map_err(UnpackError::Gzip)?,
            };
            if count == 0 {
                return Err(UnpackError::CutShort { at: self.at });
            }
            self.at += count as u64;
            left = left.get_mut(count..).unwrap_or_default();
        }
        Ok(())
    }
}

impl Ahead {
    fn is_empty(&self) -> bool {
        self.path.is_none() && self.target.is_none() && self.pax.is_none()
    }
}

/// Two headers that say the same thing about one member are one too many: readers differ in which counts.
fn only_one<T>(place: &mut Option<T>, value: T, at: u64) -> Result<(), UnpackError> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(UnpackError::Header { at }),
    }
}

/// Why a member of that type is refused.
fn no_member(byte: u8) -> Fault {
    match byte {
        b'1' => Fault::Kind("a hard link"),
        b'3' | b'4' => Fault::Kind("a device"),
        b'6' => Fault::Kind("a FIFO"),
        b'7' => Fault::Kind("a contiguous file"),
        b'S' => Fault::Kind("a sparse file"),
        other => Fault::Type(other),
    }
}
