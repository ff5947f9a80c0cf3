//! The cache of compiled code: what one process compiled, every later one only loads.
//!
//! A file of it is native code, so it owns who may have written it: the folder is this user's alone, and every entry
//! bears a keyed hash of its bytes, of the component's digest and of the engine that compiled it. The hash is taken
//! in the memory that is then run. An entry that is not right in every point is compiled again, and why is said;
//! nothing in here is ever needed, so all of it may be removed at any moment.
//!
//! ```text
//! key                      32 random bytes, made by whoever comes first
//! <digest>-<engine>.code   the keyed hash, and the compiled code behind it
//! *.new                    unfinished
//! ```

mod folder;
mod memory;

use super::compiler::CODE_BYTES_MAX;
use crate::digest::Digest;
use folder::Folder;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use wasmtime::Engine;
use wasmtime::component::Component;

pub(super) use memory::{Publisher, load_new};

/// Bytes of all entries together. When one more would be over it, those go that were loaded longest ago.
pub const CACHE_BYTES_MAX: u64 = 1 << 30;

/// One entry: no code that is larger was ever made.
const ENTRY_BYTES_MAX: u64 = CODE_BYTES_MAX;

const TAG_BYTES: usize = blake3::OUT_LEN;

/// The compiled code of this user.
#[derive(Debug)]
pub struct Cache {
    folder: Folder,
    key: [u8; blake3::KEY_LEN],
    bytes_max: u64,
}

/// Why compiled code was not had from the cache, or did not go into it.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// Neither variable says where caches are.
    #[error("neither XDG_CACHE_HOME nor HOME says where it could be")]
    Nowhere,
    /// The file system refuses.
    #[error("cannot {doing} `{}`", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Somebody else could have written it.
    #[error("`{}` {why}", path.display())]
    Foreign {
        /// The folder or the entry.
        path: PathBuf,
        /// What makes it so.
        why: &'static str,
    },
    /// Its bytes are not those that this host wrote for this component.
    #[error("`{}` is damaged, or is not what this host wrote for this driver", .0.display())]
    Wrong(PathBuf),
    /// wasmtime does not take it, though this host wrote it.
    #[error("`{}` cannot be loaded", path.display())]
    Refused {
        /// The entry.
        path: PathBuf,
        /// Why.
        #[source]
        source: wasmtime::Error,
    },
}

impl Cache {
    /// Where this user's cache is: `belt` in `XDG_CACHE_HOME`, else in `~/.cache`.
    ///
    /// # Errors
    /// [`CacheError::Nowhere`].
    pub fn default_path() -> Result<PathBuf, CacheError> {
        let absolute = |name: &str| {
            let value = std::env::var_os(name).map(PathBuf::from);
            value.filter(|path| path.is_absolute())
        };
        let caches = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")));
        Ok(caches.ok_or(CacheError::Nowhere)?.join("belt"))
    }

    /// Opens the cache in that folder; makes what is not there.
    ///
    /// # Errors
    /// [`CacheError::Foreign`], where the folder or the key is not this user's alone; [`CacheError::Io`].
    pub fn open(path: &Path) -> Result<Self, CacheError> {
        Self::open_sized(path, CACHE_BYTES_MAX)
    }

    fn open_sized(path: &Path, bytes_max: u64) -> Result<Self, CacheError> {
        let folder = Folder::open(path)?;
        let key = folder.key()?;
        Ok(Cache {
            folder,
            key,
            bytes_max,
        })
    }

    /// The component of that digest as this engine compiled it before; `None` where it did not.
    ///
    /// # Errors
    /// An entry that is there and must not be used.
    pub(super) fn load(
        &self,
        engine: &Engine,
        digest: Digest,
    ) -> Result<Option<Component>, CacheError> {
        let name = entry_name(engine, digest);
        let Some((mut file, len)) = self.folder.entry(&name)? else {
            return Ok(None);
        };
        let path = self.folder.path(&name);
        let code_bytes = len.checked_sub(TAG_BYTES as u64);
        let Some(code_bytes) = code_bytes.filter(|bytes| (1..=ENTRY_BYTES_MAX).contains(bytes))
        else {
            return Err(CacheError::Wrong(path));
        };
        let (mut tag, mut hasher) = ([0; TAG_BYTES], self.hasher(engine, digest));
        let read = file.read_exact(&mut tag).and_then(|()| {
            memory::read(&mut file, code_bytes as usize, |part| {
                hasher.update(part);
            })
        });
        let memory = read.map_err(|source| CacheError::Io {
            doing: "read",
            path: path.clone(),
            source,
        })?;
        // In constant time, as blake3 compares its hashes.
        if hasher.finalize() != tag {
            return Err(CacheError::Wrong(path));
        }
        self.folder.touch(&file);
        let loaded = memory::load(engine, memory);
        let component = loaded.map_err(|source| CacheError::Refused { path, source })?;
        Ok(Some(component))
    }

    /// Keeps what was compiled, where nothing is in the way.
    ///
    /// # Errors
    /// [`CacheError::Io`], mostly for want of room.
    pub(super) fn keep(
        &self,
        engine: &Engine,
        digest: Digest,
        code: &[u8],
    ) -> Result<(), CacheError> {
        let name = entry_name(engine, digest);
        let tag = self.hasher(engine, digest).update(code).finalize();
        let bytes = (code.len() + TAG_BYTES) as u64;
        self.folder.make_room(bytes, self.bytes_max)?;
        self.folder.write(&name, &[tag.as_bytes(), code])
    }

    /// Of the keyed hash of an entry: what its code must fit, and then the code.
    fn hasher(&self, engine: &Engine, digest: Digest) -> blake3::Hasher {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(digest.bytes());
        hasher.update(&engine_hash(engine).to_le_bytes());
        hasher
    }
}

fn entry_name(engine: &Engine, digest: Digest) -> String {
    let engine = engine_hash(engine);
    format!("{}-{engine:016x}.{}", digest.hex(), folder::ENTRY)
}

/// Names the version and settings of the engine, and with the processor's features all that compiled code depends on.
fn engine_hash(engine: &Engine) -> u64 {
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests;
