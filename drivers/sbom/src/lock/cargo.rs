//! `Cargo.lock`, versions 1 to 4.

use std::collections::{BTreeMap, HashMap};

use beltline_sdk::Failure;
use serde::Deserialize;

use super::{Ecosystem, Hash, Package, Source};
use crate::purl::purl;

const CRATES_IO: [&str; 2] = [
    "registry+https://github.com/rust-lang/crates.io-index",
    "sparse+https://index.crates.io/",
];

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    package: Vec<Entry>,
    /// Version 1 keeps the checksums here.
    #[serde(default)]
    metadata: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Entry {
    name: String,
    version: String,
    source: Option<String>,
    checksum: Option<String>,
    #[serde(default)]
    dependencies: Vec<String>,
}

pub(super) fn packages(source: &Source<'_>) -> Result<Vec<Package>, Failure> {
    let File {
        package: entries,
        metadata,
    } = source.toml()?;
    let mut by_name: HashMap<&str, Vec<usize>> = HashMap::new();
    for (place, entry) in entries.iter().enumerate() {
        by_name.entry(&entry.name).or_default().push(place);
    }
    let find = |dependency: &str| {
        let candidates = dependency
            .split(' ')
            .next()
            .and_then(|name| by_name.get(name))?;
        candidates.iter().copied().find(|place| {
            entries
                .get(*place)
                .is_some_and(|entry| entry.is_meant_by(dependency))
        })
    };
    entries
        .iter()
        .map(|entry| {
            let mut package = entry.package(&metadata);
            for dependency in &entry.dependencies {
                package.depends_on.push(find(dependency).ok_or_else(|| {
                    source.malformed(format!(
                        "{} {} depends on {dependency}, which the file does not have",
                        entry.name, entry.version
                    ))
                })?);
            }
            Ok(package)
        })
        .collect()
}

impl Entry {
    /// A dependency says as much of name, version and source as makes it unique.
    fn is_meant_by(&self, dependency: &str) -> bool {
        let mut words = dependency.splitn(3, ' ');
        let name = words.next() == Some(self.name.as_str());
        let version = words.next().is_none_or(|version| version == self.version);
        let source = words.next().is_none_or(|source| {
            let source = source.trim_start_matches('(').trim_end_matches(')');
            self.source
                .as_deref()
                .is_some_and(|own| own == source || without_revision(own) == source)
        });
        name && version && source
    }

    fn package(&self, metadata: &BTreeMap<String, String>) -> Package {
        let mut package = Package::new(Ecosystem::Cargo, &self.name, Some(self.version.clone()));
        if let Some(source) = &self.source {
            package.purl = Some(self.purl(source));
            let old = format!("checksum {} {} ({source})", self.name, self.version);
            let checksum = self.checksum.as_ref().or_else(|| metadata.get(&old));
            package
                .hashes
                .extend(checksum.and_then(|hex| Hash::from_hex(&format!("sha256:{hex}"))));
        }
        package
    }

    fn purl(&self, source: &str) -> String {
        let written = |qualifiers: &[_]| purl("cargo", &self.name, Some(&self.version), qualifiers);
        if CRATES_IO.contains(&source) {
            written(&[])
        } else if let Some(git) = source.strip_prefix("git+") {
            let (url, revision) = git.split_once('#').unwrap_or((git, "HEAD"));
            let url = url.split('?').next().unwrap_or(url);
            written(&[("vcs_url", &format!("git+{url}@{revision}"))])
        } else {
            let url = source
                .trim_start_matches("registry+")
                .trim_start_matches("sparse+");
            written(&[("repository_url", url)])
        }
    }
}

/// A package's git source ends with the revision, a dependency's does not.
fn without_revision(source: &str) -> &str {
    source.split('#').next().unwrap_or(source)
}
