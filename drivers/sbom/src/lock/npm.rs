//! `package-lock.json`, lockfile versions 1 to 3.

use std::collections::{BTreeMap, HashMap};

use beltline_sdk::Failure;
use data_encoding::BASE64;
use serde::Deserialize;
use serde_json::Value;

use super::{Ecosystem, File, Hash, Package, Scope, Source};
use crate::purl::purl;

mod tree;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Lockfile {
    name: Option<String>,
    version: Option<String>,
    lockfile_version: Option<u32>,
    /// Versions 2 and 3: by the folder that npm puts the package into.
    packages: Option<BTreeMap<String, Entry>>,
    /// Version 1: a tree.
    #[serde(default)]
    dependencies: BTreeMap<String, tree::Node>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Entry {
    name: Option<String>,
    version: Option<String>,
    resolved: Option<String>,
    integrity: Option<String>,
    license: Option<Value>,
    link: bool,
    dev: bool,
    dev_optional: bool,
    optional: bool,
    peer_dependencies_meta: BTreeMap<String, Value>,
    dependencies: BTreeMap<String, Value>,
    dev_dependencies: BTreeMap<String, Value>,
    optional_dependencies: BTreeMap<String, Value>,
    peer_dependencies: BTreeMap<String, Value>,
}

pub(super) fn packages(source: &Source<'_>) -> Result<Vec<Package>, Failure> {
    let lockfile: Lockfile = source.json()?;
    let entries = match (lockfile.packages, lockfile.lockfile_version) {
        (Some(packages), _) => packages,
        (None, None | Some(1)) => {
            tree::entries(lockfile.name, lockfile.version, lockfile.dependencies)
        }
        (None, Some(version)) => {
            return Err(source.malformed(format!("lockfileVersion {version} without `packages`")));
        }
    };
    Ok(resolve(source, &entries))
}

fn resolve(source: &Source<'_>, entries: &BTreeMap<String, Entry>) -> Vec<Package> {
    // A link stands for its target: it is no package of its own.
    let real: Vec<(&String, &Entry)> = entries.iter().filter(|(_, entry)| !entry.link).collect();
    let places: HashMap<&str, usize> = real
        .iter()
        .enumerate()
        .map(|(place, (path, _))| (path.as_str(), place))
        .collect();
    let place_of = |path: &str| {
        let linked = entries.get(path).filter(|entry| entry.link);
        let path = linked
            .and_then(|entry| entry.resolved.as_deref())
            .unwrap_or(path);
        places.get(path).copied()
    };
    real.iter()
        .map(|(path, entry)| {
            let mut package = entry.package(path);
            for (name, must) in entry.needs() {
                match candidates(path, name).find_map(|candidate| place_of(&candidate)) {
                    Some(place) => package.depends_on.push(place),
                    None if must => log::warn!(
                        lockfile = source.path, package = path.as_str(), dependency = name.as_str();
                        "a dependency is not in the lockfile"
                    ),
                    None => {}
                }
            }
            package
        })
        .collect()
}

/// Where node looks for a package from a folder: in its `node_modules`, then in those of the folders above.
fn candidates(from: &str, name: &str) -> impl Iterator<Item = String> {
    let mut folders = vec![from.to_owned()];
    let mut rest = from;
    while let Some((above, _)) = rest.rsplit_once('/') {
        folders.push(above.to_owned());
        rest = above;
    }
    folders.push(String::new());
    let name = name.to_owned();
    folders.into_iter().map(move |folder| {
        if folder.is_empty() {
            format!("node_modules/{name}")
        } else {
            format!("{folder}/node_modules/{name}")
        }
    })
}

impl Entry {
    /// The names of what it needs, and whether the lockfile must have it.
    fn needs(&self) -> BTreeMap<&String, bool> {
        let mut needs = BTreeMap::new();
        let peers = self.peer_dependencies.keys();
        needs.extend(
            peers
                .filter(|peer| !self.peer_dependencies_meta.contains_key(*peer))
                .map(|n| (n, false)),
        );
        needs.extend(self.dependencies.keys().map(|name| (name, true)));
        needs.extend(self.dev_dependencies.keys().map(|name| (name, true)));
        needs.extend(self.optional_dependencies.keys().map(|name| (name, false)));
        needs
    }

    fn package(&self, path: &str) -> Package {
        let installed = path.rsplit_once("node_modules/").map(|(_, name)| name);
        let folder = path.rsplit('/').next().filter(|name| !name.is_empty());
        let name = self
            .name
            .as_deref()
            .or(installed)
            .or(folder)
            .unwrap_or("root");
        let mut package = Package::new(Ecosystem::Npm, name, self.version.clone());
        if installed.is_some() {
            package.purl = Some(self.purl(name));
        }
        if let Some((scope, name)) = name
            .split_once('/')
            .filter(|(scope, _)| scope.starts_with('@'))
        {
            package.group = Some(scope.to_owned());
            package.name = name.to_owned();
        }
        package.licence = self.license.as_ref().and_then(licence);
        // `devOptional`: development needs it, and so does something optional that is there without development.
        package.scope = match (self.dev, self.optional || self.dev_optional) {
            (true, _) => Scope::Development,
            (false, true) => Scope::Optional,
            (false, false) => Scope::Required,
        };
        package.hashes = self.integrity.as_deref().map(hashes).unwrap_or_default();
        let url = self.resolved.as_ref().filter(|url| url.contains("://"));
        package.files.extend(url.map(|url| File {
            url: url.clone(),
            hashes: package.hashes.clone(),
        }));
        package
    }

    fn purl(&self, name: &str) -> String {
        let git = self
            .resolved
            .as_deref()
            .filter(|url| url.starts_with("git"));
        match git.and_then(|url| url.split_once('#')) {
            Some((url, revision)) => {
                let vcs_url = format!("{url}@{revision}");
                purl(
                    "npm",
                    name,
                    self.version.as_deref(),
                    &[("vcs_url", &vcs_url)],
                )
            }
            None => purl("npm", name, self.version.as_deref(), &[]),
        }
    }
}

/// A text; long ago also `{"type": …}`, or a list of those, any of which may be chosen.
fn licence(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()).filter(|text| !text.is_empty()),
        Value::Object(old) => old.get("type").and_then(licence),
        Value::Array(several) => {
            let each: Option<Vec<String>> = several.iter().map(licence).collect();
            each.filter(|each| !each.is_empty())
                .map(|each| each.join(" OR "))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

/// Subresource integrity: `sha512-<base64>`, several with blanks between.
fn hashes(integrity: &str) -> Vec<Hash> {
    let hash = |one: &str| {
        let (alg, base64) = one.split_once('-')?;
        Hash::new(
            alg,
            &BASE64.decode(base64.split('?').next()?.as_bytes()).ok()?,
        )
    };
    integrity.split_whitespace().filter_map(hash).collect()
}
