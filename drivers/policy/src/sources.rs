//! Finds and reads policy files.

use std::fs;
use std::path::Path;

use beltline_sdk::{Explain, Failure};
use globset::GlobBuilder;

/// Where policies are when nobody says where.
const FOLDER_DEFAULT: &str = "policy";

/// The name of the policy given in `with`, in findings and errors.
const INLINE: &str = "with.rego";

/// How deep below a folder policies are looked for.
const DEPTH_MAX: usize = 16;

/// How many files are looked at for one glob.
const FILES_MAX: usize = 50_000;

/// A policy's text.
pub(crate) struct Policy {
    /// Below the workspace.
    pub(crate) path: String,
    pub(crate) text: String,
}

/// The policies of these files, folders and globs and the one given as text; where neither is given those of
/// the folder `policy`.
///
/// # Errors
/// Permanent, if one cannot be read, or an entry leads to none.
pub(crate) fn read(entries: &[String], inline: Option<&str>) -> Result<Vec<Policy>, Failure> {
    let mut policies = Vec::new();
    policies.extend(inline.map(|text| Policy {
        path: INLINE.to_owned(),
        text: text.to_owned(),
    }));
    let default = [FOLDER_DEFAULT.to_owned()];
    let entries = if entries.is_empty() && inline.is_none() {
        &default
    } else {
        entries
    };
    if entries.is_empty() {
        return Ok(policies);
    }
    let workspace = beltline_sdk::workspace()?;
    let mut paths = Vec::new();
    for entry in entries {
        paths.extend(files(&workspace, entry)?);
    }
    paths.sort();
    paths.dedup();
    for path in paths {
        let text = fs::read_to_string(workspace.join(&path)).explain(&path)?;
        policies.push(Policy { path, text });
    }
    Ok(policies)
}

fn files(workspace: &Path, entry: &str) -> Result<Vec<String>, Failure> {
    let entry = entry.trim_start_matches("./").trim_end_matches('/');
    let mut found = Vec::new();
    if entry.contains(['*', '?', '[', '{']) {
        let glob = GlobBuilder::new(entry)
            .literal_separator(true)
            .build()
            .explain("with.policies")?;
        let glob = glob.compile_matcher();
        // Below the part of the glob that is a plain folder.
        let plain = entry.split(['*', '?', '[', '{']).next().unwrap_or("");
        let folder = plain.rsplit_once('/').map_or("", |(folder, _)| folder);
        walk(workspace, folder, 0, &mut found)?;
        found.retain(|path| glob.is_match(path));
    } else if workspace.join(entry).is_dir() {
        walk(workspace, entry, 0, &mut found)?;
    } else if workspace.join(entry).is_file() {
        found.push(entry.to_owned());
    } else {
        return Err(Failure::permanent(format!(
            "with.policies: {entry} is not in the workspace"
        )));
    }
    if found.is_empty() {
        return Err(Failure::permanent(format!(
            "with.policies: {entry} leads to no .rego file"
        )));
    }
    Ok(found)
}

/// All policies below a folder, but not their tests. Links are not followed.
fn walk(
    workspace: &Path,
    folder: &str,
    depth: usize,
    found: &mut Vec<String>,
) -> Result<(), Failure> {
    let shown = if folder.is_empty() { "." } else { folder };
    for entry in fs::read_dir(workspace.join(folder)).explain(shown)? {
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
        let kind = entry.file_type().explain(&path)?;
        if kind.is_dir() && depth < DEPTH_MAX && !name.starts_with('.') {
            walk(workspace, &path, depth + 1, found)?;
        } else if kind.is_file() && name.ends_with(".rego") && !name.ends_with("_test.rego") {
            found.push(path);
        }
        if found.len() > FILES_MAX {
            return Err(Failure::permanent(format!(
                "with.policies: more than {FILES_MAX} files below {shown}"
            )));
        }
    }
    Ok(())
}
