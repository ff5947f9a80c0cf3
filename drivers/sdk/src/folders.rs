//! The folders that a driver may be granted.

use std::fs;
use std::path::{Component, Path, PathBuf};

use crate::{Explain, Failure, host};

/// The directory that the run works on, granted by `workspace: ro` or `rw`.
///
/// # Errors
/// Permanent, saying what to write where, if it was not granted; a native driver's also, if it is on another machine.
pub fn workspace() -> Result<PathBuf, Failure> {
    granted(host::workspace()?, "workspace", "{workspace: ro}")
}

/// The run's folder for what its steps make, granted by `out: rw`. Earlier steps' files are there too.
///
/// # Errors
/// Permanent, saying what to write where, if it was not granted; a native driver's also, if it is on another machine.
pub fn out() -> Result<PathBuf, Failure> {
    granted(host::out()?, "out folder", "{out: rw}")
}

/// A path below [`out`] for a file to write: its folders are made.
///
/// # Errors
/// Permanent, if the out folder was not granted or the path is absolute, leads out, or is empty.
pub fn out_path(path: &str) -> Result<PathBuf, Failure> {
    let inside = Path::new(path)
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    if path.is_empty() || !inside {
        return Err(Failure::permanent(format!(
            "`{path}` is no path below the out folder"
        )));
    }
    let file = out()?.join(path);
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder).explain(path)?;
    }
    Ok(file)
}

fn granted(folder: PathBuf, what: &str, grant: &str) -> Result<PathBuf, Failure> {
    if folder.is_dir() {
        return Ok(folder);
    }
    Err(Failure::permanent(format!(
        "this driver has no {what}; give it `grants: {grant}` in belt.yaml"
    )))
}
