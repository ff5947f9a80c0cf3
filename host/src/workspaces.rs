//! Workspaces as archives: a folder is packed where it is, and unpacked where it is worked on.

mod hashed;
mod limits;
mod pack;
mod paths;
mod removal;
mod unpack;

pub use limits::{
    ARCHIVE_BYTES_MAX, ARCHIVE_DEPTH_MAX, ARCHIVE_ENTRIES_MAX, ARCHIVE_GZIP_BYTES_MAX,
    ARCHIVE_PATH_BYTES_MAX, Exceeded, Limits,
};
pub use pack::{BELTIGNORE, PackError, Packed, pack, pack_within};
pub use paths::{PathFault, TargetFault};
pub use unpack::{Fault, UnpackError, Unpacked, unpack, unpack_within};

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests;
