//! The folder of compiled code: whose it is, its key, its entries, and how much of them there may be.

use super::CacheError;
use crate::clock;
use rustix::fs::{OFlags, Timestamps, UTIME_NOW, UTIME_OMIT};
use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// What the names of entries end with.
pub(super) const ENTRY: &str = "code";

const KEY: &str = "key";
const UNFINISHED: &str = "new";

/// What was not finished by then was left by a process that is no more.
const UNFINISHED_MAX: Duration = Duration::from_secs(3_600);

#[derive(Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    /// Opens it, or makes it with access for this user alone.
    pub(super) fn open(path: &Path) -> Result<Self, CacheError> {
        let mut folders = DirBuilder::new();
        let made = folders.recursive(true).mode(0o700).create(path);
        made.map_err(failed("make", path))?;
        let found = fs::symlink_metadata(path).map_err(failed("look at", path))?;
        if !found.is_dir() {
            return Err(foreign(path, "is no folder"));
        }
        check(path, &found)?;
        Ok(Folder(path.to_owned()))
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The key of this cache; a new one where there is none.
    pub(super) fn key<const N: usize>(&self) -> Result<[u8; N], CacheError> {
        if self.read(KEY)?.is_none() {
            let mut key = [0; N];
            let path = self.path(KEY);
            random(&mut key).map_err(failed("make", &path))?;
            let unfinished = self.unfinished(&[&key])?;
            // Of two that make one at once, both use that of the first.
            let linked = fs::hard_link(&unfinished, &path);
            let _ = fs::remove_file(&unfinished);
            match linked {
                Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                    return Err(failed("make", &path)(error));
                }
                Err(_) | Ok(()) => {}
            }
        }
        let mut key = Vec::new();
        if let Some((file, _)) = self.read(KEY)? {
            let read = file.take(N as u64 + 1).read_to_end(&mut key);
            read.map_err(failed("read", &self.path(KEY)))?;
        }
        // Another length is damage, and all that was hashed with it is lost. It is small loss: remove it.
        key.try_into().map_err(|_| {
            let path = self.path(KEY);
            let _ = fs::remove_file(&path);
            CacheError::Wrong(path)
        })
    }

    /// An entry that this user alone can have written, and its length; `None` where there is none.
    pub(super) fn entry(&self, name: &str) -> Result<Option<(File, u64)>, CacheError> {
        self.read(name)
    }

    fn read(&self, name: &str) -> Result<Option<(File, u64)>, CacheError> {
        let path = self.path(name);
        // No link, and no waiting for whoever writes into a pipe.
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let flags = i32::try_from(flags.bits()).unwrap_or_default();
        let file = match OpenOptions::new()
            .read(true)
            .custom_flags(flags)
            .open(&path)
        {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed("open", &path)(error)),
        };
        let found = file.metadata().map_err(failed("look at", &path))?;
        if !found.is_file() {
            return Err(foreign(&path, "is no file"));
        }
        check(&path, &found)?;
        Ok(Some((file, found.len())))
    }

    /// Notes that an entry was of use just now: it is the last to go. Where that cannot be noted it goes earlier.
    pub(super) fn touch(&self, file: &File) {
        let at = |nanoseconds| rustix::fs::Timespec {
            tv_sec: 0,
            tv_nsec: nanoseconds,
        };
        let times = Timestamps {
            last_access: at(UTIME_OMIT),
            last_modification: at(UTIME_NOW),
        };
        let _ = rustix::fs::futimens(file, &times);
    }

    /// Writes an entry: whole under its name, or not at all. It is not synced, for a torn one is found by its hash.
    pub(super) fn write(&self, name: &str, parts: &[&[u8]]) -> Result<(), CacheError> {
        let unfinished = self.unfinished(parts)?;
        let path = self.path(name);
        fs::rename(&unfinished, &path).map_err(|error| {
            let _ = fs::remove_file(&unfinished);
            failed("write", &path)(error)
        })
    }

    fn unfinished(&self, parts: &[&[u8]]) -> Result<PathBuf, CacheError> {
        let mut number = [0; 8];
        random(&mut number).map_err(failed("write", &self.0))?;
        let number = u64::from_le_bytes(number);
        let path = self.path(&format!("{number:016x}.{UNFINISHED}"));
        let write = || -> io::Result<()> {
            let mut options = OpenOptions::new();
            options.write(true).create_new(true).mode(0o600);
            let mut file = options.open(&path)?;
            parts.iter().try_for_each(|part| file.write_all(part))
        };
        write().map_err(|error| {
            let _ = fs::remove_file(&path);
            failed("write", &path)(error)
        })?;
        Ok(path)
    }

    /// Removes what was of use longest ago until there is room for that many bytes more, and what others left
    /// unfinished long ago.
    pub(super) fn make_room(&self, more: u64, bytes_max: u64) -> Result<(), CacheError> {
        let mut entries = self.entries().map_err(failed("list", &self.0))?;
        entries.sort_by_key(|entry| entry.used);
        let mut sum: u64 = entries.iter().map(|entry| entry.bytes).sum();
        let now = clock::system_time(clock::now_ms());
        for entry in entries {
            let age = now.duration_since(entry.used).unwrap_or_default();
            let is_left = !entry.is_finished && age > UNFINISHED_MAX;
            if !is_left && sum.saturating_add(more) <= bytes_max {
                continue;
            }
            // Somebody else may have removed it; and who has it mapped keeps it.
            let _ = fs::remove_file(&entry.path);
            sum = sum.saturating_sub(entry.bytes);
        }
        Ok(())
    }

    fn entries(&self) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for found in fs::read_dir(&self.0)? {
            let found = found?;
            let path = found.path();
            let extension = path.extension().and_then(|extension| extension.to_str());
            if !matches!(extension, Some(ENTRY | UNFINISHED)) {
                continue;
            }
            let is_finished = extension == Some(ENTRY);
            // One that is gone meanwhile takes no room.
            if let Ok(metadata) = found.metadata() {
                entries.push(Entry {
                    path,
                    is_finished,
                    bytes: metadata.len(),
                    used: metadata.modified()?,
                });
            }
        }
        Ok(entries)
    }
}

struct Entry {
    path: PathBuf,
    is_finished: bool,
    bytes: u64,
    used: SystemTime,
}

fn random(bytes: &mut [u8]) -> io::Result<()> {
    let filled = rustix::rand::getrandom(&mut *bytes, rustix::rand::GetRandomFlags::empty())?;
    match filled == bytes.len() {
        true => Ok(()),
        false => Err(ErrorKind::UnexpectedEof.into()),
    }
}

/// Refuses what another user could have written.
fn check(path: &Path, found: &Metadata) -> Result<(), CacheError> {
    if found.uid() != rustix::process::geteuid().as_raw() {
        return Err(foreign(path, "belongs to another user"));
    }
    if found.mode() & 0o077 != 0 {
        return Err(foreign(path, "is open to other users (`chmod go= ` it)"));
    }
    Ok(())
}

fn foreign(path: &Path, why: &'static str) -> CacheError {
    let path = path.to_owned();
    CacheError::Foreign { path, why }
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> CacheError {
    let path = path.to_owned();
    move |source| CacheError::Io {
        doing,
        path,
        source,
    }
}
