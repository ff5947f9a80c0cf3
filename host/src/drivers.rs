//! Drivers as the operator gives them: a file, its digest, what it wants and what it is granted.
//!
//! Owns the way from an entry of `belt.yaml` to a driver that a run can name. A driver gets the intersection of
//! what it wants and what it is granted, never more. Never compiles and never runs one.

mod inspect;

pub use inspect::{DRIVER_BYTES_MAX, InspectError, Inspection, inspect};

use crate::digest::Digest;
use crate::documents::{DriverEntry, Grants, NativeDriver, WasmDriver};
use crate::records::DriverRecord;
use crate::wasm::Limits;
use beltline_engine::Placement;
use beltline_wire::{Manifest, WorkspaceAccess};
use serde_json::{Map, Value};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

impl Grants {
    /// What both allow.
    pub fn intersect(self, other: Grants) -> Grants {
        Grants {
            workspace: self.workspace.min(other.workspace),
            out: self.out.min(other.out),
        }
    }

    /// Where an attempt with these grants runs, and whether it can touch the outside world. A read-only workspace
    /// and the run's own out folder are no effects.
    pub fn placement(self) -> Placement {
        Placement::Wasm {
            effects: self.workspace == WorkspaceAccess::Rw,
        }
    }
}

/// What an entry of `belt.yaml` comes to.
#[derive(Debug, Clone)]
pub enum Resolved {
    /// Runs here.
    Wasm(Driver),
    /// Is a program of its own.
    Native(NativeDriver),
}

impl Resolved {
    /// The driver, where it runs here.
    pub fn wasm(&self) -> Option<&Driver> {
        match self {
            Resolved::Wasm(driver) => Some(driver),
            Resolved::Native(_) => None,
        }
    }

    /// The kinds that it takes; none for any.
    pub fn kinds(&self) -> &[String] {
        match self {
            Resolved::Wasm(driver) => &driver.kinds,
            Resolved::Native(driver) => &driver.kinds,
        }
    }

    /// What a run keeps of it.
    pub fn record(&self) -> DriverRecord {
        match self {
            Resolved::Wasm(driver) => DriverRecord {
                digest: Some(driver.digest),
                version: driver.version.clone(),
                grants: driver.grants,
            },
            Resolved::Native(_) => DriverRecord {
                digest: None,
                version: None,
                grants: Grants::default(),
            },
        }
    }
}

/// A driver that is ready to be loaded.
#[derive(Debug, Clone)]
pub struct Driver {
    /// The operator's name for it: what steps call it by.
    pub name: String,
    /// The sha256 of its bytes.
    pub digest: Digest,
    /// Its own version, where its manifest has one.
    pub version: Option<String>,
    /// The kinds that it takes; none for any.
    pub kinds: Vec<String>,
    /// What it wants and is granted.
    pub grants: Grants,
    /// What it wants beyond what it is granted: it may fail for the lack of it.
    pub lacks: Vec<&'static str>,
    /// Its limits.
    pub limits: Limits,
    /// The operator's settings for it.
    pub config: Arc<Map<String, Value>>,
    /// The component.
    pub bytes: Arc<[u8]>,
}

/// A driver that cannot be used as `belt.yaml` has it.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// Its file cannot be read.
    #[error("driver `{name}`: its `path` in belt.yaml, `{}`, cannot be read", path.display())]
    Read {
        /// The driver.
        name: String,
        /// Its file.
        path: PathBuf,
        /// The file system's error.
        #[source]
        source: io::Error,
    },
    /// Its file is no driver for this host.
    #[error("driver `{name}`: `{}` {why}", path.display())]
    Inspect {
        /// The driver.
        name: String,
        /// Its file.
        path: PathBuf,
        /// Why. No source: its text is part of ours.
        why: InspectError,
    },
    /// Its bytes are not those that `belt.yaml` pins.
    #[error("driver `{name}`: `{}` is {found}, but belt.yaml pins {pinned}; check where the file comes from, or pin what it is now", path.display())]
    Digest {
        /// The driver.
        name: String,
        /// Its file.
        path: PathBuf,
        /// What it is.
        found: Digest,
        /// What it should be.
        pinned: Digest,
    },
    /// No digest, where only pinned drivers are allowed.
    #[error(
        "driver `{name}` has no `digest` in belt.yaml and `--locked` refuses that; add `digest: \"{found}\"`"
    )]
    Unlocked {
        /// The driver.
        name: String,
        /// What its file is now.
        found: Digest,
    },
    /// The operator's settings are not what the driver takes.
    #[error(
        "driver `{name}`: `config{place}` in belt.yaml does not fit the driver's own schema: {why}"
    )]
    Config {
        /// The driver.
        name: String,
        /// Where in the settings, as a JSON pointer.
        place: String,
        /// What is wrong there.
        why: String,
    },
    /// It is placed elsewhere than when the run was made.
    #[error(
        "driver `{name}` is {} in belt.yaml and was {} when the run was made; a run keeps its drivers: place it as it was, or begin a new run", places(*.is_native).0, places(*.is_native).1
    )]
    Moved {
        /// The driver.
        name: String,
        /// Whether it is native today.
        is_native: bool,
    },
}

/// Where a driver is placed, and where it was.
fn places(is_native: bool) -> (&'static str, &'static str) {
    match is_native {
        true => ("native", "wasm"),
        false => ("wasm", "native"),
    }
}

/// What an entry of `belt.yaml` comes to, `folder` being where that lies: the file of one that runs here is read and
/// checked.
///
/// # Errors
/// Every [`DriverError`].
pub fn resolve(
    name: &str,
    entry: &DriverEntry,
    folder: &Path,
    locked: bool,
) -> Result<Resolved, DriverError> {
    match entry {
        DriverEntry::Wasm(entry) => read_wasm(name, entry, folder, locked).map(Resolved::Wasm),
        DriverEntry::Native(entry) => Ok(Resolved::Native(entry.clone())),
    }
}

/// Reads and checks the file of a driver that runs here.
///
/// # Errors
/// Every [`DriverError`].
pub fn read_wasm(
    name: &str,
    entry: &WasmDriver,
    folder: &Path,
    locked: bool,
) -> Result<Driver, DriverError> {
    let path = folder.join(&entry.path);
    let bytes = read(name, &path)?;
    let inspection = look(name, &path, &bytes)?;
    check_digest(name, entry, &path, inspection.digest, locked)?;
    driver(name, entry, inspection, bytes)
}

/// A driver from bytes that a run has kept at `path`, with the operator's grants of today.
///
/// # Errors
/// [`DriverError::Inspect`], where this host no longer takes it; [`DriverError::Moved`], where it is native today.
pub fn kept(
    name: &str,
    entry: &DriverEntry,
    path: &Path,
    bytes: Vec<u8>,
) -> Result<Driver, DriverError> {
    let entry = wasm(name, entry)?;
    let inspection = look(name, path, &bytes)?;
    driver(name, entry, inspection, bytes)
}

/// Whether the operator pins a driver to the bytes that it has, or to none.
///
/// # Errors
/// [`DriverError::Digest`], with `path` as the place of its bytes.
pub fn check_pin(entry: &DriverEntry, driver: &Driver, path: &Path) -> Result<(), DriverError> {
    let entry = wasm(&driver.name, entry)?;
    check_digest(&driver.name, entry, path, driver.digest, false)
}

fn wasm<'entry>(name: &str, entry: &'entry DriverEntry) -> Result<&'entry WasmDriver, DriverError> {
    match entry {
        DriverEntry::Wasm(entry) => Ok(entry),
        DriverEntry::Native(_) => Err(moved(name, true)),
    }
}

/// The entry of a driver that is native, where it still is.
///
/// # Errors
/// [`DriverError::Moved`].
pub fn native<'entry>(
    name: &str,
    entry: &'entry DriverEntry,
) -> Result<&'entry NativeDriver, DriverError> {
    match entry {
        DriverEntry::Native(entry) => Ok(entry),
        DriverEntry::Wasm(_) => Err(moved(name, false)),
    }
}

fn moved(name: &str, is_native: bool) -> DriverError {
    let name = name.to_owned();
    DriverError::Moved { name, is_native }
}

fn look(name: &str, path: &Path, bytes: &[u8]) -> Result<Inspection, DriverError> {
    inspect(bytes).map_err(|why| DriverError::Inspect {
        name: name.to_owned(),
        path: path.to_owned(),
        why,
    })
}

fn driver(
    name: &str,
    entry: &WasmDriver,
    inspection: Inspection,
    bytes: Vec<u8>,
) -> Result<Driver, DriverError> {
    let (version, kinds) = match inspection.manifest.as_ref() {
        Some(manifest) => {
            check_config(name, &entry.config, manifest.config.as_ref())?;
            (Some(manifest.version.clone()), manifest.kinds.clone())
        }
        None => (None, Vec::new()),
    };
    let wanted = wanted(inspection.manifest.as_ref());
    let grants = entry.grants.intersect(wanted);
    let mut lacks = Vec::new();
    if grants.workspace < wanted.workspace {
        lacks.push("workspace");
    }
    if grants.out < wanted.out {
        lacks.push("out");
    }
    Ok(Driver {
        name: name.to_owned(),
        digest: inspection.digest,
        version,
        kinds,
        grants,
        lacks,
        limits: entry.limits.into(),
        config: Arc::new(entry.config.clone()),
        bytes: bytes.into(),
    })
}

/// Holds the operator's settings against the schema that the driver brings. One that is no schema fits nothing.
fn check_config(
    name: &str,
    config: &Map<String, Value>,
    schema: Option<&Value>,
) -> Result<(), DriverError> {
    let Some(schema) = schema else { return Ok(()) };
    let refuse = |place: String, why: String| {
        let name = name.to_owned();
        Err(DriverError::Config { name, place, why })
    };
    let validator = match jsonschema::validator_for(schema) {
        Ok(validator) => validator,
        Err(error) => return refuse(String::new(), format!("it is no JSON Schema: {error}")),
    };
    match validator.validate(&Value::Object(config.clone())) {
        Ok(()) => Ok(()),
        Err(error) => refuse(error.instance_path().to_string(), error.to_string()),
    }
}

/// What a manifest asks for; nothing without one.
pub fn wanted(manifest: Option<&Manifest>) -> Grants {
    manifest.map_or_else(Grants::default, |manifest| Grants {
        workspace: manifest.wants.workspace,
        out: manifest.wants.out,
    })
}

fn read(name: &str, path: &Path) -> Result<Vec<u8>, DriverError> {
    read_file(path).map_err(|source| DriverError::Read {
        name: name.to_owned(),
        path: path.to_owned(),
        source,
    })
}

/// Reads a driver file, never more than the limit and a byte.
///
/// # Errors
/// The file system's.
pub fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    if !path.metadata()?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?
        .take(DRIVER_BYTES_MAX + 1)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn check_digest(
    name: &str,
    entry: &WasmDriver,
    path: &Path,
    found: Digest,
    locked: bool,
) -> Result<(), DriverError> {
    match entry.digest {
        Some(pinned) if pinned == found => Ok(()),
        Some(pinned) => Err(DriverError::Digest {
            name: name.to_owned(),
            path: path.to_owned(),
            found,
            pinned,
        }),
        None if locked => Err(DriverError::Unlocked {
            name: name.to_owned(),
            found,
        }),
        None => Ok(()),
    }
}
