//! The folder: every file operation of the store goes through here.
//!
//! It names failures by file and deed. Tests put a `Probe` in its way to fail an operation, cut a
//! write short, or look at the folder between two operations.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
#[cfg(test)]
use std::sync::Arc;

use super::super::StoreError;

/// The store's folder.
#[derive(Clone)]
pub(super) struct Disk {
    dir: PathBuf,
    #[cfg(test)]
    probe: Option<Arc<dyn Probe>>,
}

/// What is about to happen to the folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    Create,
    Write,
    Sync,
    Truncate,
    Rename,
    Remove,
    SyncFolder,
}

impl Deed {
    const fn doing(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Write => "write to",
            Self::Sync => "sync",
            Self::Truncate => "truncate",
            Self::Rename => "rename",
            Self::Remove => "remove",
            Self::SyncFolder => "sync the folder",
        }
    }
}

/// Stands between the store and its folder in tests.
#[cfg(test)]
pub(super) trait Probe: Send + Sync {
    /// Called before each deed; an error is returned in its place. Of a write only the first
    /// `usize` bytes are made before the error.
    fn before(&self, deed: Deed, name: &str) -> Result<(), (usize, io::Error)>;
}

impl Disk {
    pub(super) fn new(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            #[cfg(test)]
            probe: None,
        }
    }

    #[cfg(test)]
    pub(super) fn with_probe(dir: &Path, probe: Arc<dyn Probe>) -> Self {
        Self {
            dir: dir.to_owned(),
            probe: Some(probe),
        }
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Makes the folder if there is none, durably.
    pub(super) fn make_dir(&self) -> Result<(), StoreError> {
        if self.dir.is_dir() {
            return Ok(());
        }
        let made = fs::create_dir_all(&self.dir).and_then(|()| match self.dir.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
            Some(_) | None => Ok(()),
        });
        made.map_err(|source| StoreError::io("make", &self.dir, source))
    }

    /// Names of the files in the folder, sorted.
    pub(super) fn names(&self) -> Result<Vec<String>, StoreError> {
        let list = || -> io::Result<Vec<String>> {
            let names = fs::read_dir(&self.dir)?.map(|entry| Ok(entry?.file_name()));
            let names = names.collect::<io::Result<Vec<_>>>()?;
            Ok(names
                .into_iter()
                .filter_map(|name| name.into_string().ok())
                .collect())
        };
        let mut names = list().map_err(|source| StoreError::io("list", &self.dir, source))?;
        names.sort_unstable();
        Ok(names)
    }

    /// Makes an empty file, in the place of one that has that name.
    pub(super) fn create(&self, name: &str) -> Result<File, StoreError> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true);
        self.act(Deed::Create, name, || options.open(self.path(name)))
    }

    /// Opens a file that is there.
    pub(super) fn open(&self, name: &str, writable: bool) -> Result<File, StoreError> {
        let path = self.path(name);
        OpenOptions::new()
            .read(true)
            .write(writable)
            .open(&path)
            .map_err(|source| StoreError::io("open", &path, source))
    }

    /// The whole of a small file; `None` if there is none.
    pub(super) fn read(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let path = self.path(name);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(StoreError::io("read", &path, source)),
        }
    }

    pub(super) fn write_at(
        &self,
        file: &File,
        name: &str,
        bytes: &[u8],
        offset: u64,
    ) -> Result<(), StoreError> {
        #[cfg(test)]
        if let Some(Err((part, error))) = self.probe.as_ref().map(|p| p.before(Deed::Write, name)) {
            let part = bytes.get(..part).unwrap_or(bytes);
            file.write_all_at(part, offset)
                .expect("the part that the test lets through");
            return Err(self.error(Deed::Write, name, error));
        }
        file.write_all_at(bytes, offset)
            .map_err(|error| self.error(Deed::Write, name, error))
    }

    /// Waits until the file's bytes and its length are on the disk.
    pub(super) fn sync(&self, file: &File, name: &str) -> Result<(), StoreError> {
        self.act(Deed::Sync, name, || file.sync_data())
    }

    pub(super) fn truncate(&self, file: &File, name: &str, len: u64) -> Result<(), StoreError> {
        self.act(Deed::Truncate, name, || file.set_len(len))
    }

    /// Renames, durably.
    pub(super) fn rename(&self, from: &str, to: &str) -> Result<(), StoreError> {
        self.act(Deed::Rename, to, || {
            fs::rename(self.path(from), self.path(to))
        })?;
        self.sync_folder()
    }

    /// Removes a file, if it is there.
    pub(super) fn remove(&self, name: &str) -> Result<(), StoreError> {
        self.act(Deed::Remove, name, || {
            match fs::remove_file(self.path(name)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                done => done,
            }
        })
    }

    pub(super) fn sync_folder(&self) -> Result<(), StoreError> {
        self.act(Deed::SyncFolder, "", || File::open(&self.dir)?.sync_all())
    }

    fn act<T>(
        &self,
        deed: Deed,
        name: &str,
        act: impl FnOnce() -> io::Result<T>,
    ) -> Result<T, StoreError> {
        #[cfg(test)]
        if let Some(Err((_, error))) = self.probe.as_ref().map(|p| p.before(deed, name)) {
            return Err(self.error(deed, name, error));
        }
        act().map_err(|error| self.error(deed, name, error))
    }

    fn error(&self, deed: Deed, name: &str, source: io::Error) -> StoreError {
        StoreError::io(deed.doing(), &self.path(name), source)
    }
}
