//! Which folders a step sees, and where a run's own are.
//!
//! A writable workspace that holds Beltline's own state, its compiled code or the operator's file is refused: a driver
//! in it could grant itself anything.

use super::LaunchError;
use crate::documents::{Config, DriverEntry, Grants};
use crate::durable;
use crate::records::RunRecord;
use crate::state::StateFolder;
use crate::wasm::{Cache, Folder, OUT, WORKSPACE};
use beltline_wire::{OutAccess, WorkspaceAccess};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Folders that tell of the host and of all its processes.
const SYSTEM: [&str; 3] = ["/proc", "/sys", "/dev"];

/// The folders that a driver with these grants sees in a step of this run.
pub(super) fn of_step(
    grants: Grants,
    driver: &str,
    step: &str,
    record: &RunRecord,
    own: &Own,
) -> Result<Vec<Folder>, LaunchError> {
    let refuse =
        |folder: &Path, other: Option<&Path>, grant, instead| match own.in_the_way(folder, other) {
            None => Ok(()),
            Some(own) => Err(LaunchError::OwnFiles {
                driver: driver.to_owned(),
                grant,
                own: own.to_owned(),
                folder: folder.to_owned(),
                instead,
            }),
        };
    let mut folders = Vec::new();
    if grants.workspace > WorkspaceAccess::None {
        let Some(host) = record.workspace.clone() else {
            let (step, driver) = (step.to_owned(), driver.to_owned());
            return Err(LaunchError::NoWorkspace { step, driver });
        };
        check(&host)?;
        let writable = grants.workspace == WorkspaceAccess::Rw;
        if writable {
            let instead = "work on another folder, or grant `ro`";
            refuse(&host, Some(&record.out), "workspace: rw", instead)?;
        }
        folders.push(Folder {
            host,
            guest: WORKSPACE,
            writable,
        });
    }
    if grants.out > OutAccess::None {
        let instead = "choose another folder as `--out`";
        refuse(&record.out, record.workspace.as_deref(), "out: rw", instead)?;
        folders.push(Folder {
            host: record.out.clone(),
            guest: OUT,
            writable: true,
        });
    }
    Ok(folders)
}

/// The directory to work on: absolute, and there.
pub(super) fn workspace(path: &Path) -> Result<PathBuf, LaunchError> {
    check(path)?;
    let workspace = std::fs::canonicalize(path).map_err(refused("workspace", path))?;
    let is_system = SYSTEM.iter().any(|system| workspace.starts_with(system));
    if is_system || workspace.parent().is_none() {
        let (what, path) = ("workspace", path.to_owned());
        return Err(LaunchError::System { what, path });
    }
    Ok(workspace)
}

/// Where steps put what they make: absolute, and no file.
pub(super) fn out(path: &Path) -> Result<PathBuf, LaunchError> {
    if path.exists() && !path.is_dir() {
        return Err(refused("out", path)(io::ErrorKind::NotADirectory.into()));
    }
    std::path::absolute(path).map_err(refused("out", path))
}

/// Makes the out folder, durably.
pub(super) fn make_out(path: &Path) -> Result<(), LaunchError> {
    durable::make_folder(path).map_err(refused("out", path))
}

fn check(workspace: &Path) -> Result<(), LaunchError> {
    let entries = std::fs::read_dir(workspace);
    entries.map(drop).map_err(refused("workspace", workspace))
}

/// What a driver must not be able to write to: it could grant itself anything.
pub(super) struct Own {
    paths: Vec<PathBuf>,
    /// The places of each, found out once for all steps, and only where something is written to.
    places: OnceLock<Vec<Vec<PathBuf>>>,
    /// What runs have made, and what they were sent, is theirs.
    theirs: [PathBuf; 2],
}

impl Own {
    /// The state, the compiled code, the operator's file, and every driver that it does not pin.
    pub(super) fn new(state: &StateFolder, entries: &Config, config: &Path) -> Self {
        let folder = config.parent().unwrap_or(Path::new("."));
        let drivers = entries.drivers.values().filter_map(|entry| match entry {
            DriverEntry::Wasm(driver) if driver.digest.is_none() => Some(folder.join(&driver.path)),
            DriverEntry::Wasm(_) | DriverEntry::Native(_) => None,
        });
        let mut paths = vec![state.root().to_owned(), config.to_owned()];
        paths.extend(Cache::default_path());
        paths.extend(drivers);
        let theirs = [state.outs(), state.workspaces()];
        let places = OnceLock::new();
        Own {
            paths,
            places,
            theirs,
        }
    }

    /// What forbids that a folder is given to be written to: what of ours it holds or lies in, or the other folder of
    /// the run where that is inside it, for it could be exchanged for a link.
    fn in_the_way<'o>(&'o self, folder: &Path, other: Option<&'o Path>) -> Option<&'o Path> {
        let folder = real(folder);
        let held = other.filter(|other| {
            let is_inside = |place: &PathBuf| place.starts_with(&folder) && *place != folder;
            places(other).iter().any(is_inside)
        });
        let mut theirs = self.theirs.iter();
        if held.is_some() || theirs.any(|theirs| folder.starts_with(real(theirs))) {
            return held;
        }
        let all = || self.paths.iter().map(|own| places(own)).collect();
        let mut own = self.paths.iter().zip(self.places.get_or_init(all));
        let found = own.find(|(_, places)| {
            let holds = places.iter().any(|place| place.starts_with(&folder));
            holds || places.last().is_some_and(|real| folder.starts_with(real))
        });
        found.map(|(own, _)| own.as_path())
    }
}

/// Each part of a path as it is written, for one that is a link could be exchanged, and last where it really is.
fn places(path: &Path) -> Vec<PathBuf> {
    let parts = path.ancestors().filter_map(|part| {
        let (parent, name) = (part.parent()?, part.file_name()?);
        Some(real(parent).join(name))
    });
    parts.chain([real(path)]).collect()
}

/// A path without links, as far as it is there.
fn real(path: &Path) -> PathBuf {
    match (std::fs::canonicalize(path), path.parent(), path.file_name()) {
        (Ok(real), _, _) => real,
        (Err(_), Some(parent), Some(name)) => real(parent).join(name),
        (Err(_), _, _) => path.to_owned(),
    }
}

fn refused(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> LaunchError {
    let path = path.to_owned();
    move |source| LaunchError::Folder { what, path, source }
}
