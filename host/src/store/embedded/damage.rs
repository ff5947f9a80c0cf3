//! Damage, named: which file, where in it, and which keys it touches.

use std::fmt;
use std::path::PathBuf;

/// Stored bytes that are not what was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The file.
    pub file: PathBuf,
    /// Where in it, in bytes from its start.
    pub offset: u64,
    /// What is wrong there.
    pub flaw: Flaw,
    /// The keys concerned, as far as the bytes around still tell them. Empty: it cannot be told.
    pub keys: Vec<String>,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// The file's own header does not match its checksum, or its name.
    Header,
    /// A value does not match its checksum: that record is lost.
    Value,
    /// One of the two copies of a frame's head does not match; the other is whole, so nothing is lost.
    HeadCopy,
    /// No frame can be read up to that byte: commits are lost.
    Unreadable {
        /// The end of it.
        to: u64,
    },
    /// A frame names another predecessor than the one that precedes it: commits are lost.
    Gap {
        /// The revision that precedes it.
        found: u64,
        /// The revision that it names.
        named: u64,
    },
    /// The file ends before what has been synced: commits are lost.
    Short {
        /// Where what has been synced ends.
        synced: u64,
    },
    /// The file ends without its seal although a newer one exists: commits may be lost.
    Unsealed,
    /// Bytes follow the seal.
    BehindSeal,
    /// The marker does not match its checksum.
    Marker,
    /// The marker names a revision that the log does not have at that place.
    MarkerRevision {
        /// The revision that it names.
        named: u64,
    },
    /// The marker names a file of the log that is gone: its commits are lost.
    Missing,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} at byte {}: {}",
            self.file.display(),
            self.offset,
            self.flaw
        )?;
        if !self.keys.is_empty() {
            write!(f, " (`{}`)", self.keys.join("`, `"))?;
        }
        Ok(())
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header => f.write_str("the file's header is damaged"),
            Self::Value => f.write_str("a value is damaged"),
            Self::HeadCopy => f.write_str("a head is damaged, its copy is whole"),
            Self::Unreadable { to } => write!(f, "nothing can be read up to byte {to}"),
            Self::Gap { found, named } => {
                write!(f, "follows revision {found} but was written after {named}")
            }
            Self::Short { synced } => write!(f, "ends, yet was synced up to byte {synced}"),
            Self::Unsealed => f.write_str("ends without its seal, yet is not the newest"),
            Self::BehindSeal => f.write_str("bytes follow the seal"),
            Self::Marker => {
                f.write_str("the marker is damaged; remove it to open the log without it")
            }
            Self::MarkerRevision { named } => {
                write!(
                    f,
                    "was synced here up to revision {named}, which is not found"
                )
            }
            Self::Missing => f.write_str("the file is gone"),
        }
    }
}
