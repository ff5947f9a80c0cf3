//! `requirements.txt`, as far as it is a lockfile: what is pinned with `==`. The rest has no version to tell
//! and is left out with a warning.

use beltline_sdk::Failure;

use super::poetry::normal;
use super::{Ecosystem, Hash, Package, Source};
use crate::purl::purl;

pub(super) fn packages(source: &Source<'_>) -> Result<Vec<Package>, Failure> {
    let joined = source.text.replace("\\\r\n", " ").replace("\\\n", " ");
    let mut packages = Vec::new();
    for line in joined.lines() {
        let line = line.split(" #").next().unwrap_or(line).trim();
        if line.is_empty() || line.starts_with(['#', '-']) {
            continue;
        }
        match pinned(line) {
            Some(package) => packages.push(package),
            None => {
                log::warn!(lockfile = source.path, requirement = line; "a requirement is not pinned")
            }
        }
    }
    Ok(packages)
}

/// `name[extras]==version; marker --hash=sha256:…`
fn pinned(line: &str) -> Option<Package> {
    let (requirement, options) = match line.split_once(" --") {
        Some((requirement, options)) => (requirement, options),
        None => (line, ""),
    };
    let (name, version) = requirement.split(';').next()?.split_once("==")?;
    let (name, version) = (
        name.split('[').next()?.trim(),
        version.trim_start_matches('=').trim(),
    );
    let is_name = name
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    if name.is_empty() || !is_name || version.is_empty() || version.contains(['*', ',', ' ']) {
        return None;
    }
    let name = normal(name);
    let mut package = Package::new(Ecosystem::Pypi, &name, Some(version.to_owned()));
    package.purl = Some(purl("pypi", &name, Some(version), &[]));
    let hashes = options
        .split_whitespace()
        .filter_map(|option| option.split_once("hash="));
    package.hashes = hashes
        .filter_map(|(_, hash)| Hash::from_hex(hash))
        .collect();
    Some(package)
}
