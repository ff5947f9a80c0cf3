//! The stock driver `sbom`: lockfiles of the workspace in, a CycloneDX 1.6 bill of materials out.
//!
//! Reads what the lockfiles say and nothing else: it reaches no registry, so what a lockfile does not know
//! (the licences of crates, say) the bill does not know. The same lockfiles give the same bytes.

mod cyclonedx;
mod find;
mod licence;
mod lock;
mod purl;
mod summary;
#[cfg(test)]
mod tests;
mod write;

use beltline_sdk::{Failure, Outcome, Request, cancel};
use serde::Deserialize;

use crate::summary::Summary;

beltline_sdk::driver! {
    name: "sbom",
    kinds: ["workspace"],
    wants: { workspace: ro, out: rw },
    reconcile
}

/// What the driver reads of the resource.
#[derive(Debug, Deserialize)]
struct Spec {
    /// The folder to look in, below the workspace.
    #[serde(default = "here")]
    path: String,
}

fn here() -> String {
    ".".to_owned()
}

/// The step's `with`.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct With {
    /// Lockfiles below the resource's path; empty: all that are found.
    lockfiles: Vec<String>,
    /// Where the bill goes, below the out folder.
    path: String,
    /// Whether packages that only development needs are in it.
    dev: bool,
}

impl Default for With {
    fn default() -> Self {
        With {
            lockfiles: Vec::new(),
            path: "sbom.cdx.json".to_owned(),
            dev: true,
        }
    }
}

fn reconcile(request: Request<Spec, With>) -> Result<Outcome<Summary>, Failure> {
    let root = beltline_sdk::workspace()?.join(&request.resource.spec.path);
    let target = write::Target::new(&request.with.path)?;

    let mut locks = Vec::new();
    for path in find::lockfiles(&root, &request.with.lockfiles)? {
        cancel::check()?;
        let mut lock = lock::read(&root, &path)?;
        if !request.with.dev {
            lock.drop_development();
        }
        log::info!(lockfile = path.as_str(), packages = lock.packages.len(); "read a lockfile");
        locks.push(lock);
    }

    let bill = cyclonedx::Bill::new(&request.resource.name, &locks);
    let written = target.write(&bill.to_json()?)?;
    let summary = Summary::new(&bill, &locks, written);
    Ok(Outcome::new(summary.message()).output(summary))
}
