//! The folders that a driver may be granted.

use std::path::PathBuf;

use crate::{Failure, host};

/// The directory that the run works on, granted by `workspace: ro` or `rw`.
///
/// # Errors
/// Permanent, saying what to write where, if it was not granted.
pub fn workspace() -> Result<PathBuf, Failure> {
    granted(host::workspace(), "workspace", "{workspace: ro}")
}

/// The run's folder for what its steps make, granted by `out: rw`. Earlier steps' files are there too.
///
/// # Errors
/// Permanent, saying what to write where, if it was not granted.
pub fn out() -> Result<PathBuf, Failure> {
    granted(host::out(), "out folder", "{out: rw}")
}

fn granted(folder: PathBuf, what: &str, grant: &str) -> Result<PathBuf, Failure> {
    if folder.is_dir() {
        return Ok(folder);
    }
    Err(Failure::permanent(format!(
        "this driver has no {what}; give it `grants: {grant}` in belt.yaml"
    )))
}
