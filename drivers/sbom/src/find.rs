//! Finds the lockfiles of a folder.

use std::collections::VecDeque;
use std::fs;
use std::path::Path;

use beltline_sdk::{Explain, Failure};

use crate::lock::Format;

/// Folders that hold other people's lockfiles, or copies.
const SKIPPED: [&str; 6] = [
    "node_modules",
    "target",
    "vendor",
    "dist",
    "build",
    "__pycache__",
];

/// How deep below the root a lockfile is looked for: deeper ones belong to fixtures.
const DEPTH_MAX: usize = 8;

/// How many folders are looked into: a workspace with more names its lockfiles.
const FOLDERS_MAX: usize = 20_000;

/// The lockfiles to read, as paths below `root`: the named ones, or else all that are found, sorted.
///
/// # Errors
/// Permanent, if there is none, or a name is not one of a lockfile.
pub(crate) fn lockfiles(root: &Path, named: &[String]) -> Result<Vec<String>, Failure> {
    if let Some(unknown) = named.iter().find(|path| Format::of(path).is_none()) {
        return Err(Failure::permanent(format!(
            "with.lockfiles: {unknown} is no lockfile that this driver reads; it reads {}",
            Format::names()
        )));
    }
    if !named.is_empty() {
        return Ok(named.to_vec());
    }
    let found = search(root)?;
    if found.is_empty() {
        return Err(Failure::permanent(format!(
            "no lockfile found in the workspace; this driver reads {}",
            Format::names()
        )));
    }
    Ok(found)
}

fn search(root: &Path) -> Result<Vec<String>, Failure> {
    let mut found = Vec::new();
    let mut folders = VecDeque::from([(String::new(), 0)]);
    let mut seen = 0;
    while let Some((folder, depth)) = folders.pop_front() {
        seen += 1;
        if seen > FOLDERS_MAX {
            return Err(Failure::permanent(format!(
                "the workspace has more than {FOLDERS_MAX} folders; name the lockfiles in with.lockfiles"
            )));
        }
        let shown = if folder.is_empty() { "." } else { &folder };
        for entry in fs::read_dir(root.join(&folder)).explain(shown)? {
            let entry = entry.explain(shown)?;
            // A name that is not UTF-8 is none of ours.
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            let path = if folder.is_empty() {
                name.clone()
            } else {
                format!("{folder}/{name}")
            };
            // Links are not followed: they lead out, or to what is found anyway.
            let kind = entry.file_type().explain(&path)?;
            if kind.is_dir() && depth < DEPTH_MAX && !skipped(&name) {
                folders.push_back((path, depth + 1));
            } else if kind.is_file() && Format::of(&name).is_some() {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(Format::without_doubles(found))
}

fn skipped(folder: &str) -> bool {
    folder.starts_with('.') || SKIPPED.contains(&folder)
}
