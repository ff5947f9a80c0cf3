//! The state folder: what lies where in `.belt`.
//!
//! Owns its layout, how it is found and made, and the driver files kept by digest. Never opens the store: that
//! is the store's own folder, `store/`.

use crate::digest::Digest;
use crate::durable;
use parking_lot::Mutex;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The folder's name, as `.git` is git's.
pub const STATE_FOLDER: &str = ".belt";

/// A state folder.
#[derive(Debug, Clone)]
pub struct StateFolder {
    root: PathBuf,
}

/// Held while a driver is written: the partial file has one name.
static KEEPING: Mutex<()> = Mutex::new(());

/// A state folder that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// No folder was named and none was found.
    #[error(
        "no `{STATE_FOLDER}` here or in a folder above; run something first, or name one with --state DIR"
    )]
    NotFound,
    /// The folder that was named is not there.
    #[error("there is no state folder `{}`; `belt run --state` makes one", .0.display())]
    Missing(PathBuf),
    /// The file system refuses.
    #[error("cannot {doing} `{}`", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// With which file or folder.
        path: PathBuf,
        /// The file system's error.
        #[source]
        source: io::Error,
    },
    /// A kept driver is not what its name says.
    #[error("the kept driver `{}` is damaged: its bytes are {found}", path.display())]
    DamagedDriver {
        /// The file.
        path: PathBuf,
        /// What it is.
        found: Digest,
    },
}

impl StateFolder {
    /// The folder to write to: the one named, else the nearest `.belt` upwards, else a new one here. Writes
    /// nothing: [`StateFolder::make`] does, once it is known that there is something to keep.
    ///
    /// # Errors
    /// The file system's, with the folder's name.
    pub fn locate(named: Option<&Path>) -> Result<Self, StateError> {
        let root = match named {
            Some(root) => root.to_owned(),
            None => nearest().unwrap_or_else(|| PathBuf::from(STATE_FOLDER)),
        };
        let root = std::path::absolute(&root).map_err(io("find", &root))?;
        Ok(StateFolder { root })
    }

    /// Makes the folder, with a `.gitignore` of its own, if it is not there.
    ///
    /// # Errors
    /// The file system's, with the folder's name.
    pub fn make(&self) -> Result<(), StateError> {
        durable::make_folder(&self.root).map_err(io("make", &self.root))?;
        self.ignore()
    }

    /// The folder to read from: the one named, else the nearest upwards.
    ///
    /// # Errors
    /// [`StateError::NotFound`], [`StateError::Missing`], or the file system's with the folder's name.
    pub fn find(named: Option<&Path>) -> Result<Self, StateError> {
        let root = match named {
            Some(root) => root.to_owned(),
            None => nearest().ok_or(StateError::NotFound)?,
        };
        match fs::canonicalize(&root) {
            Ok(root) => Ok(StateFolder { root }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(StateError::Missing(root)),
            Err(error) => Err(io("find", &root)(error)),
        }
    }

    /// Where it is, absolute.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The store's folder.
    pub fn store(&self) -> PathBuf {
        self.root.join("store")
    }

    /// Whether a store was ever made in it. It is not where a first run was cut off early.
    pub fn has_store(&self) -> bool {
        self.store().is_dir()
    }

    /// The folder of the runs' logs.
    pub fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }

    /// The out folder of a run that was not given another.
    pub fn out(&self, run: &str) -> PathBuf {
        self.outs().join(run)
    }

    /// The out folders of runs: the one place in here that drivers may write to.
    pub fn outs(&self) -> PathBuf {
        self.root.join("out")
    }

    /// The archives that workspaces are filled from, by digest.
    pub fn archives(&self) -> PathBuf {
        self.root.join("archives")
    }

    /// The workspaces of runs that were sent an archive.
    pub fn workspaces(&self) -> PathBuf {
        self.root.join("workspaces")
    }

    /// Keeps the bytes of a driver, durably, before a run names them. A damaged copy is mended. For whoever has the
    /// store open to write.
    ///
    /// # Errors
    /// The file system's, with the file's name.
    pub fn keep_driver(&self, digest: Digest, bytes: &[u8]) -> Result<(), StateError> {
        let path = self.driver(digest);
        // Several runs of a new driver may begin at the same time.
        let _keeping = KEEPING.lock();
        if fs::read(&path).is_ok_and(|kept| kept == bytes) {
            // No run may name it yet: from here on it is as fresh as one that has just come.
            return durable::touch(&path).map_err(io("touch", &path));
        }
        let folder = self.root.join("drivers");
        durable::make_folder(&folder).map_err(io("make", &folder))?;
        // Under one name, as the caller has the store to itself: what a crash leaves half written is written anew.
        let partial = folder.join(format!("{}.partial", digest.hex()));
        durable::write(&partial, bytes).map_err(io("write", &partial))?;
        fs::rename(&partial, &path).map_err(io("write", &path))?;
        durable::sync_folder(&folder).map_err(io("sync", &folder))
    }

    /// The bytes of a kept driver, checked against their digest.
    ///
    /// # Errors
    /// [`StateError::DamagedDriver`], or the file system's with the file's name.
    pub fn driver_bytes(&self, digest: Digest) -> Result<Vec<u8>, StateError> {
        let path = self.driver(digest);
        let bytes = fs::read(&path).map_err(io("read", &path))?;
        match Digest::of(&bytes) {
            found if found == digest => Ok(bytes),
            found => Err(StateError::DamagedDriver { path, found }),
        }
    }

    /// Where the driver of that digest is kept.
    pub fn driver(&self, digest: Digest) -> PathBuf {
        self.root
            .join("drivers")
            .join(format!("{}.wasm", digest.hex()))
    }

    fn ignore(&self) -> Result<(), StateError> {
        let path = self.root.join(".gitignore");
        if path.exists() {
            return Ok(());
        }
        durable::write(&path, b"*\n").map_err(io("write", &path))
    }
}

fn nearest() -> Option<PathBuf> {
    let here = std::env::current_dir().ok()?;
    here.ancestors()
        .map(|folder| folder.join(STATE_FOLDER))
        .find(|state| state.is_dir())
}

fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StateError {
    let path = path.to_owned();
    move |source| StateError::Io {
        doing,
        path,
        source,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn a_driver_is_kept_by_digest_and_damage_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFolder::locate(Some(&folder.path().join("a/b"))).unwrap();
        assert!(!state.root().exists());
        state.make().unwrap();
        assert_eq!(
            fs::read_to_string(state.root().join(".gitignore")).unwrap(),
            "*\n"
        );
        let digest = Digest::of(b"wasm");
        state.keep_driver(digest, b"wasm").unwrap();
        state.keep_driver(digest, b"wasm").unwrap();
        assert_eq!(state.driver_bytes(digest).unwrap(), b"wasm");
        // One that is kept again is fresh again: the sweep leaves it alone.
        let long_ago = clock::system_time(1_000);
        let file = fs::File::open(state.driver(digest)).unwrap();
        file.set_modified(long_ago).unwrap();
        state.keep_driver(digest, b"wasm").unwrap();
        assert!(file.metadata().unwrap().modified().unwrap() > long_ago);
        fs::write(state.driver(digest), b"rasm").unwrap();
        let error = state.driver_bytes(digest).unwrap_err().to_string();
        assert!(
            error.contains("is damaged") && error.contains(&digest.hex()),
            "{error}"
        );
        state.keep_driver(digest, b"wasm").unwrap();
        assert_eq!(state.driver_bytes(digest).unwrap(), b"wasm");
    }
}
