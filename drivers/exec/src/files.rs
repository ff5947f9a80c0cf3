//! What a command reads and writes beside the workspace: the resource, earlier outputs, its own output.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;

use beltline_sdk::{Explain as _, Failure, Resource, context};
use beltline_wire::OUTPUT_BYTES_MAX;
use serde_json::Value;
use tempfile::TempDir;

/// A folder of the attempt's own, gone with it.
pub struct Files(TempDir);

const RESOURCE: &str = "resource.json";
const OUTPUTS: &str = "outputs.json";
const OUTPUT: &str = "output.json";

impl Files {
    pub fn write(resource: &Resource<Value>) -> Result<Files, Failure> {
        let folder = TempDir::new().explain("a folder for the command's files")?;
        fs::write(folder.path().join(RESOURCE), serde_json::to_vec(resource)?).explain(RESOURCE)?;
        let mut outputs = BTreeMap::new();
        for step in context::outputs() {
            if let Some(output) = context::output::<Value>(&step)? {
                outputs.insert(step, output);
            }
        }
        fs::write(folder.path().join(OUTPUTS), serde_json::to_vec(&outputs)?).explain(OUTPUTS)?;
        Ok(Files(folder))
    }

    pub fn variables(&self) -> Vec<(String, OsString)> {
        [
            ("BELT_RESOURCE", RESOURCE),
            ("BELT_OUTPUTS", OUTPUTS),
            ("BELT_OUTPUT", OUTPUT),
        ]
        .map(|(name, file)| (name.to_owned(), self.0.path().join(file).into()))
        .into()
    }

    /// What the command left.
    ///
    /// # Errors
    /// Permanent, if that is no JSON, no plain file, or too large.
    pub fn output(&self) -> Result<Option<Value>, Failure> {
        let path = self.0.path().join(OUTPUT);
        let found = match fs::symlink_metadata(&path) {
            Ok(found) => found,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).explain("$BELT_OUTPUT"),
        };
        if !found.is_file() {
            return Err(Failure::permanent("$BELT_OUTPUT is no plain file"));
        }
        let limit = u64::try_from(OUTPUT_BYTES_MAX).unwrap_or(u64::MAX);
        if found.len() > limit {
            return Err(Failure::permanent(format!(
                "$BELT_OUTPUT has {} bytes; at most {limit} are allowed; write what is large into $BELT_OUT",
                found.len()
            )));
        }
        let text = fs::read(&path).explain("$BELT_OUTPUT")?;
        let output = serde_json::from_slice(&text)
            .map_err(|error| Failure::permanent(format!("$BELT_OUTPUT is not JSON: {error}")))?;
        Ok(Some(output))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(write: impl FnOnce(&std::path::Path)) -> Result<Option<Value>, Failure> {
        let files = Files(TempDir::new().unwrap());
        write(&files.0.path().join(OUTPUT));
        files.output()
    }

    #[test]
    fn an_output_is_json_in_a_plain_file_of_bounded_length() {
        assert_eq!(left(|_| ()), Ok(None));
        assert_eq!(
            left(|path| fs::write(path, "[1]").unwrap()),
            Ok(Some(serde_json::json!([1])))
        );
        let reason = |write: fn(&std::path::Path)| left(write).unwrap_err().to_string();
        assert!(reason(|path| fs::write(path, "no").unwrap()).contains("$BELT_OUTPUT is not JSON"));
        let long = reason(|path| fs::write(path, " ".repeat(OUTPUT_BYTES_MAX + 1)).unwrap());
        assert!(long.contains("has 262145 bytes; at most 262144"), "{long}");
        assert!(reason(|path| fs::create_dir(path).unwrap()).contains("no plain file"));
    }
}
