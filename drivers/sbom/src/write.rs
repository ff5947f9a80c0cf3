//! Where the bill goes.

use std::fs;
use std::path::PathBuf;

use beltline_sdk::{Explain, Failure};
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

/// A file below the out folder.
pub(crate) struct Target {
    path: String,
    file: PathBuf,
}

/// A file that was written.
pub(crate) struct Written {
    /// Below the out folder.
    pub(crate) path: String,
    pub(crate) bytes: usize,
    /// In hex.
    pub(crate) sha256: String,
}

impl Target {
    /// Checked before any work is done.
    ///
    /// # Errors
    /// Permanent, if the path leads out of the out folder, or there is none.
    pub(crate) fn new(path: &str) -> Result<Target, Failure> {
        let file = beltline_sdk::out_path(path).explain("with.path")?;
        Ok(Target {
            path: path.to_owned(),
            file,
        })
    }

    pub(crate) fn write(self, content: &[u8]) -> Result<Written, Failure> {
        fs::write(&self.file, content).explain(&self.path)?;
        let sha256 = HEXLOWER.encode(&Sha256::digest(content));
        Ok(Written {
            path: self.path,
            bytes: content.len(),
            sha256,
        })
    }
}
