//! `uv.lock`.

use std::collections::{BTreeMap, HashMap};

use beltline_sdk::Failure;
use serde::Deserialize;

use super::poetry::normal;
use super::{Ecosystem, File, Hash, Package, Source};
use crate::purl::purl;

/// What uv locks against unless told otherwise: a purl without a repository means it.
const PYPI: &str = "https://pypi.org/simple";

#[derive(Deserialize)]
struct Lockfile {
    #[serde(default)]
    package: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Entry {
    name: String,
    version: Option<String>,
    source: Origin,
    sdist: Option<Distribution>,
    #[serde(default)]
    wheels: Vec<Distribution>,
    #[serde(default)]
    dependencies: Vec<Dependency>,
    #[serde(default)]
    optional_dependencies: BTreeMap<String, Vec<Dependency>>,
    #[serde(default)]
    dev_dependencies: BTreeMap<String, Vec<Dependency>>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    version: Option<String>,
}

#[derive(Deserialize)]
struct Distribution {
    url: Option<String>,
    path: Option<String>,
    filename: Option<String>,
    hash: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Origin {
    registry: Option<String>,
    git: Option<String>,
    url: Option<String>,
}

pub(super) fn packages(source: &Source<'_>) -> Result<Vec<Package>, Failure> {
    let lockfile: Lockfile = source.toml()?;
    let mut by_name: HashMap<&str, Vec<usize>> = HashMap::new();
    for (place, entry) in lockfile.package.iter().enumerate() {
        by_name.entry(&entry.name).or_default().push(place);
    }
    let find = |dependency: &Dependency| {
        let candidates = by_name.get(dependency.name.as_str())?;
        candidates.iter().copied().find(|place| {
            let version = lockfile
                .package
                .get(*place)
                .and_then(|entry| entry.version.as_ref());
            dependency.version.is_none() || dependency.version.as_ref() == version
        })
    };
    lockfile
        .package
        .iter()
        .map(|entry| {
            let mut package = entry.package();
            for dependency in entry.needs() {
                package.depends_on.push(find(dependency).ok_or_else(|| {
                    source.malformed(format!(
                        "{} depends on {}, which the file does not have",
                        entry.name, dependency.name
                    ))
                })?);
            }
            package.depends_on.sort_unstable();
            package.depends_on.dedup();
            Ok(package)
        })
        .collect()
}

impl Entry {
    fn needs(&self) -> impl Iterator<Item = &Dependency> {
        let extras = self
            .optional_dependencies
            .values()
            .chain(self.dev_dependencies.values());
        self.dependencies.iter().chain(extras.flatten())
    }

    fn package(&self) -> Package {
        let name = normal(&self.name);
        let mut package = Package::new(Ecosystem::Pypi, &name, self.version.clone());
        let written =
            |qualifiers: &[_]| Some(purl("pypi", &name, self.version.as_deref(), qualifiers));
        package.purl = match &self.source {
            Origin {
                registry: Some(url),
                ..
            } if url.trim_end_matches('/') == PYPI => written(&[]),
            Origin {
                registry: Some(url),
                ..
            } => written(&[("repository_url", url)]),
            Origin { git: Some(url), .. } => {
                let (url, revision) = url.split_once('#').unwrap_or((url, "HEAD"));
                let url = url.split('?').next().unwrap_or(url);
                written(&[("vcs_url", &format!("git+{url}@{revision}"))])
            }
            Origin { url: Some(url), .. } => written(&[("download_url", url)]),
            // Editable, virtual, a path or a directory: of the workspace itself.
            Origin { .. } => None,
        };
        package.files = self
            .sdist
            .iter()
            .chain(&self.wheels)
            .filter_map(Distribution::file)
            .collect();
        package
    }
}

impl Distribution {
    fn file(&self) -> Option<File> {
        let url = self
            .url
            .as_ref()
            .or(self.path.as_ref())
            .or(self.filename.as_ref())?;
        let hashes = self
            .hash
            .as_deref()
            .and_then(Hash::from_hex)
            .into_iter()
            .collect();
        Some(File {
            url: url.clone(),
            hashes,
        })
    }
}
