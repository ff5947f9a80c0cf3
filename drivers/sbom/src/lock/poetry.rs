//! `poetry.lock`. It does not say what the project itself asks for: its packages that no other needs are taken
//! for that.

use std::collections::{BTreeMap, HashMap};

use beltline_sdk::Failure;
use serde::Deserialize;

use super::{Ecosystem, File, Hash, Package, Scope, Source};
use crate::purl::purl;

#[derive(Deserialize)]
struct Lockfile {
    #[serde(default)]
    package: Vec<Entry>,
    #[serde(default)]
    metadata: Metadata,
}

#[derive(Default, Deserialize)]
struct Metadata {
    /// Before lockfile version 2, by name.
    #[serde(default)]
    files: BTreeMap<String, Vec<Distribution>>,
}

#[derive(Deserialize)]
struct Entry {
    name: String,
    version: String,
    #[serde(default)]
    optional: bool,
    category: Option<String>,
    #[serde(default)]
    groups: Vec<String>,
    #[serde(default)]
    files: Vec<Distribution>,
    #[serde(default)]
    dependencies: BTreeMap<String, toml::Value>,
    source: Option<Origin>,
}

#[derive(Clone, Deserialize)]
struct Distribution {
    file: String,
    hash: String,
}

#[derive(Deserialize)]
struct Origin {
    r#type: String,
    url: String,
    resolved_reference: Option<String>,
}

pub(super) fn packages(source: &Source<'_>) -> Result<Vec<Package>, Failure> {
    let lockfile: Lockfile = source.toml()?;
    let mut by_name: HashMap<String, Vec<usize>> = HashMap::new();
    for (place, entry) in lockfile.package.iter().enumerate() {
        by_name.entry(normal(&entry.name)).or_default().push(place);
    }
    let package = |entry: &Entry| {
        let old = lockfile.metadata.files.get(&entry.name);
        let mut package = entry.package(old.unwrap_or(&entry.files));
        // A dependency for another platform or extra may not be locked; one locked in several versions, by
        // marker, is needed in each.
        let needs = entry
            .dependencies
            .keys()
            .filter_map(|name| by_name.get(&normal(name)));
        package.depends_on = needs.flatten().copied().collect();
        package
    };
    Ok(lockfile.package.iter().map(package).collect())
}

impl Entry {
    fn package(&self, files: &[Distribution]) -> Package {
        let name = normal(&self.name);
        let mut package = Package::new(Ecosystem::Pypi, &name, Some(self.version.clone()));
        package.purl = self.purl(&name);
        package.scope = if self.is_for_development() {
            Scope::Development
        } else if self.optional {
            Scope::Optional
        } else {
            Scope::Required
        };
        let file = |file: &Distribution| File {
            url: file.file.clone(),
            hashes: Hash::from_hex(&file.hash).into_iter().collect(),
        };
        package.files = files.iter().map(file).collect();
        package
    }

    fn is_for_development(&self) -> bool {
        let groups = !self.groups.is_empty() && !self.groups.iter().any(|group| group == "main");
        groups || self.category.as_deref() == Some("dev")
    }

    fn purl(&self, name: &str) -> Option<String> {
        let written = |qualifiers: &[_]| Some(purl("pypi", name, Some(&self.version), qualifiers));
        match &self.source {
            None => written(&[]),
            Some(origin) if origin.r#type == "directory" || origin.r#type == "file" => None,
            Some(origin) if origin.r#type == "git" => {
                let revision = origin.resolved_reference.as_deref().unwrap_or("HEAD");
                written(&[("vcs_url", &format!("git+{}@{revision}", origin.url))])
            }
            Some(origin) if origin.r#type == "url" => written(&[("download_url", &origin.url)]),
            Some(origin) => written(&[("repository_url", &origin.url)]),
        }
    }
}

/// A Python package's name as its index writes it: lower case, one `-` for any run of `-`, `_` and `.`.
pub(super) fn normal(name: &str) -> String {
    let parts: Vec<&str> = name
        .split(['-', '_', '.'])
        .filter(|part| !part.is_empty())
        .collect();
    parts.join("-").to_lowercase()
}
