//! A segment: one file of the log, its name and its header.
//!
//! ```text
//! <first revision>.log    commits as they came; the newest one grows, the others end with a seal
//! <last revision>.base    what compaction kept of all segments up to that revision; sealed
//! segment = header, header again, frame…
//! header  = magic 8 | format version 4 | kind 4 | first revision 8 | revision before 8 | salt 8
//!           | checksum 8
//! ```

use std::fmt;
use std::fs::File;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::super::StoreError;
use super::bytes::{Bytes, checked, checksum};
use super::damage::{Damage, Flaw};
use super::disk::Disk;
use super::frame::value_checksum;
use super::index::Slot;

/// Version of the format of the whole folder. Another one is refused by name.
pub(super) const FORMAT_VERSION: u32 = 1;
const HEADER_COPY_BYTES: usize = 48;
/// Both copies of the header; the first frame follows.
pub(super) const HEADER_BYTES: usize = 2 * HEADER_COPY_BYTES;
const MAGIC: [u8; 8] = *b"BELTLOG\n";
/// Ending of files that are not finished; removed when the store opens.
pub(super) const UNFINISHED: &str = ".new";

/// Which segment; in the order of the log, as there is never more than one base.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Name {
    /// Up to and including that revision, compacted.
    Base(u64),
    /// From that revision on.
    Log(u64),
}

impl Name {
    /// The name of that file, if it is one of a segment.
    pub(super) fn parse(file_name: &str) -> Option<Self> {
        let (number, ending) = file_name.split_once('.')?;
        let name = match ending {
            "base" => Self::Base(number.parse().ok()?),
            "log" => Self::Log(number.parse().ok()?),
            _ => return None,
        };
        (name.to_string() == file_name).then_some(name)
    }

    /// The file beside it with its keys.
    pub(super) fn keys(self) -> String {
        format!("{self}.keys")
    }

    const fn kind(self) -> u32 {
        match self {
            Self::Log(_) => 1,
            Self::Base(_) => 2,
        }
    }

    /// The first revision it may hold.
    const fn first(self) -> u64 {
        match self {
            Self::Log(first) => first,
            Self::Base(_) => 1,
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Base(last) => write!(f, "{last:020}.base"),
            Self::Log(first) => write!(f, "{first:020}.log"),
        }
    }
}

/// What a header says.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Header {
    kind: u32,
    first: u64,
    previous: u64,
    salt: u64,
}

/// What the bytes of a header turn out to be.
#[derive(Clone, Copy)]
enum Parsed {
    Whole(Header),
    /// Of another format version, whose layout is not known.
    Version(u32),
    Damaged,
}

impl Header {
    fn parse(copy: &[u8]) -> Parsed {
        let mut bytes = Bytes(copy);
        if bytes.array() != Some(MAGIC) {
            return Parsed::Damaged;
        }
        match bytes.u32() {
            Some(FORMAT_VERSION) => {}
            Some(other) => return Parsed::Version(other),
            None => return Parsed::Damaged,
        }
        let whole = checked(copy, 0).and_then(|_| Self::numbers(bytes));
        whole.map_or(Parsed::Damaged, Parsed::Whole)
    }

    fn numbers(mut bytes: Bytes<'_>) -> Option<Self> {
        let (kind, first) = (bytes.u32()?, bytes.u64()?);
        Some(Self {
            kind,
            first,
            previous: bytes.u64()?,
            salt: bytes.u64()?,
        })
    }
}

/// An open segment.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) name: Name,
    pub(super) file: File,
    /// Of the frame before its first.
    pub(super) previous: u64,
    /// Seed of its checksums; differs in every segment.
    pub(super) salt: u64,
}

impl Segment {
    /// Makes the file `as_file` with nothing but the header.
    pub(super) fn create(
        disk: &Disk,
        name: Name,
        as_file: &str,
        previous: u64,
    ) -> Result<Self, StoreError> {
        // The standard library's source of random numbers without a dependency.
        let salt = RandomState::new().build_hasher().finish();
        let file = disk.create(as_file)?;
        let mut header = Vec::with_capacity(HEADER_BYTES);
        header.extend_from_slice(&MAGIC);
        header.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        header.extend_from_slice(&name.kind().to_le_bytes());
        for number in [name.first(), previous, salt] {
            header.extend_from_slice(&number.to_le_bytes());
        }
        header.extend_from_slice(&checksum(&header, 0).to_le_bytes());
        header.extend_from_within(..);
        disk.write_at(&file, as_file, &header, 0)?;
        Ok(Self {
            name,
            file,
            previous,
            salt,
        })
    }

    /// Opens a segment that is there; with damage to its header, which where a copy is whole leaves
    /// the segment readable.
    pub(super) fn open(
        disk: &Disk,
        name: Name,
        writable: bool,
    ) -> Result<(Option<Self>, Option<Damage>), StoreError> {
        let path = disk.path(&name.to_string());
        let file = disk.open(&name.to_string(), writable)?;
        let mut bytes = [0; HEADER_BYTES];
        match file.read_exact_at(&mut bytes, 0) {
            Err(error) if error.kind() != ErrorKind::UnexpectedEof => {
                return Err(StoreError::io("read", &path, error));
            }
            Ok(()) | Err(_) => {}
        }
        let (one, other) = bytes.split_at(HEADER_COPY_BYTES);
        let copies = [Header::parse(one), Header::parse(other)];
        if let [Parsed::Version(found), Parsed::Version(again)] = copies
            && found == again
        {
            let known = FORMAT_VERSION;
            return Err(StoreError::Version { path, found, known });
        }
        let damage = |flaw, offset| {
            let keys = Vec::new();
            Some(Damage {
                file: path.clone(),
                offset,
                flaw,
                keys,
            })
        };
        let copy = HEADER_COPY_BYTES as u64;
        let (header, damage) = match copies {
            [Parsed::Whole(header), Parsed::Whole(other)] if header == other => (header, None),
            [_, Parsed::Whole(header)] => (header, damage(Flaw::HeadCopy, 0)),
            [Parsed::Whole(header), _] => (header, damage(Flaw::HeadCopy, copy)),
            [_, _] => return Ok((None, damage(Flaw::Header, 0))),
        };
        let Header {
            kind,
            first,
            previous,
            salt,
        } = header;
        if kind != name.kind() || first != name.first() {
            let flaw = Flaw::Header;
            return Ok((
                None,
                Some(Damage {
                    file: path,
                    offset: 0,
                    flaw,
                    keys: Vec::new(),
                }),
            ));
        }
        Ok((
            Some(Self {
                name,
                file,
                previous,
                salt,
            }),
            damage,
        ))
    }

    /// Its length now.
    pub(super) fn len(&self, disk: &Disk) -> Result<u64, StoreError> {
        let path = || disk.path(&self.name.to_string());
        let meta = self.file.metadata();
        Ok(meta
            .map_err(|source| StoreError::io("read", &path(), source))?
            .len())
    }

    /// The value in that place, compared with its checksum. `path` names the segment in errors.
    pub(super) fn read_value(
        &self,
        path: &Path,
        key: &str,
        slot: &Slot,
    ) -> Result<Vec<u8>, StoreError> {
        let mut value = vec![0; slot.value_bytes as usize];
        let whole = match self.file.read_exact_at(&mut value, slot.offset) {
            Ok(()) => value_checksum(&value, self.salt, slot.revision) == slot.value_checksum,
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => false,
            Err(source) => return Err(StoreError::io("read", path, source)),
        };
        if whole {
            return Ok(value);
        }
        Err(StoreError::Damaged(vec![Damage {
            file: path.to_owned(),
            offset: slot.offset,
            flaw: Flaw::Value,
            keys: vec![key.to_owned()],
        }]))
    }
}
