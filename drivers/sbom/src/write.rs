//! Where the bill goes.

use std::fs;
use std::path::{Component, Path, PathBuf};

use beltline_sdk::{Explain, Failure};
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

/// A file below the out folder.
pub(crate) struct Target {
    out: PathBuf,
    path: String,
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
        let inside = Path::new(path)
            .components()
            .all(|part| matches!(part, Component::Normal(_)));
        if path.is_empty() || !inside {
            return Err(Failure::permanent(format!(
                "with.path: `{path}` is no path below the out folder"
            )));
        }
        Ok(Target {
            out: beltline_sdk::out()?,
            path: path.to_owned(),
        })
    }

    pub(crate) fn write(self, content: &[u8]) -> Result<Written, Failure> {
        let file = self.out.join(&self.path);
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder).explain(&self.path)?;
        }
        fs::write(&file, content).explain(&self.path)?;
        let sha256 = HEXLOWER.encode(&Sha256::digest(content));
        Ok(Written {
            path: self.path,
            bytes: content.len(),
            sha256,
        })
    }
}
