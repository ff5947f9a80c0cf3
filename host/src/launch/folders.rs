//! Which folders a step sees, and where a run's own are.
//!
//! A writable workspace that holds Beltline's own state, its compiled code or the operator's file is refused: a driver
//! in it could grant itself anything.

use super::LaunchError;
use crate::documents::Grants;
use crate::durable;
use crate::records::RunRecord;
use crate::state::StateFolder;
use crate::wasm::{Cache, Folder, OUT, WORKSPACE};
use beltline_wire::{OutAccess, WorkspaceAccess};
use std::io;
use std::path::{Path, PathBuf};

/// The folders that a driver with these grants sees in a step of this run.
pub(super) fn of_step(
    grants: Grants,
    driver: &str,
    step: &str,
    record: &RunRecord,
    state: &StateFolder,
) -> Result<Vec<Folder>, LaunchError> {
    let cache = Cache::default_path().ok();
    let own = [Some(state.root()), Some(&record.config), cache.as_deref()];
    let own = own.into_iter().flatten().collect::<Vec<_>>();
    let outs = state.outs();
    let refuse = |folder: &Path, grant, instead| match holds(&own, &outs, folder) {
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
            refuse(&host, "workspace: rw", instead)?;
        }
        folders.push(Folder {
            host,
            guest: WORKSPACE,
            writable,
        });
    }
    if grants.out > OutAccess::None {
        let instead = "choose another folder as `--out`";
        refuse(&record.out, "out: rw", instead)?;
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
    std::fs::canonicalize(path).map_err(refused("workspace", path))
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

/// What of our own a folder holds or lies in. What runs have made is theirs.
fn holds<'own>(own: &[&'own Path], outs: &Path, folder: &Path) -> Option<&'own Path> {
    let folder = real(folder);
    if folder.starts_with(real(outs)) {
        return None;
    }
    let mut own = own.iter().copied();
    own.find(|own| {
        let own = real(own);
        own.starts_with(&folder) || folder.starts_with(&own)
    })
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
