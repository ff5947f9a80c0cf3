//! The stock driver `files`: keeps files of the workspace as the resource says.
//!
//! A file that lacks or differs is written; others are left alone. With `every_ms` it looks again that long after each
//! success, so that what somebody changes by hand is mended.

#[cfg(test)]
mod tests;

use beltline_sdk::{Explain, Failure, Outcome, Request};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Component, Path};
use std::time::Duration;

beltline_sdk::driver! {
    name: "files",
    kinds: [],
    wants: { workspace: rw },
    reconcile
}

/// The step's `with`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct With {
    /// How soon to look again, in milliseconds; never where nothing is said.
    every_ms: Option<u64>,
}

/// The resource's `spec`.
#[derive(Debug, Deserialize)]
struct Spec {
    /// What each file shall hold, by its path in the workspace.
    files: BTreeMap<String, String>,
}

/// The step's output.
#[derive(Serialize)]
struct Output {
    /// The files that were not as they should be.
    mended: Vec<String>,
}

fn reconcile(request: Request<Spec, With>) -> Result<Outcome<Output>, Failure> {
    let workspace = beltline_sdk::workspace()?;
    let mut mended = Vec::new();
    for (path, wished) in &request.resource.spec.files {
        if mend(&workspace, path, wished)? {
            log::info!(path = path.as_str(); "mended");
            mended.push(path.clone());
        }
    }
    let message = match mended.len() {
        0 => "all as it should be".to_owned(),
        1 => "1 file mended".to_owned(),
        many => format!("{many} files mended"),
    };
    let outcome = Outcome::new(message).output(Output { mended });
    Ok(match request.with.every_ms {
        Some(ms) => outcome.requeue_after(Duration::from_millis(ms)),
        None => outcome,
    })
}

/// Writes a file that is not as it is wished; says whether it did.
fn mend(workspace: &Path, path: &str, wished: &str) -> Result<bool, Failure> {
    let is_plain = |part: Component<'_>| matches!(part, Component::Normal(_));
    if path.is_empty() || !Path::new(path).components().all(is_plain) {
        let why = format!("`{path}` is no path in the workspace; leave out `..` and the first `/`");
        return Err(Failure::permanent(why));
    }
    let file = workspace.join(path);
    match fs::read(&file) {
        Ok(found) if found == wished.as_bytes() => return Ok(false),
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {
            fs::create_dir_all(file.parent().unwrap_or(workspace)).explain(path)?;
        }
        Err(error) => return Err(error).explain(path),
    }
    fs::write(&file, wished).explain(path)?;
    Ok(true)
}
