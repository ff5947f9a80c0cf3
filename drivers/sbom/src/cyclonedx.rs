//! Writes a bill of materials as CycloneDX 1.6 JSON. Nothing in it comes from a clock or from chance: the
//! serial number is made of the content.

use std::collections::{BTreeMap, BTreeSet};

use beltline_sdk::{Explain, Failure};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::licence;
use crate::lock::{Ecosystem, File, Hash, Lock, Package, Scope};

/// The reference of what the bill is about.
const ROOT_REF: &str = "root";

/// A bill of materials: the packages of all lockfiles, each once.
pub(crate) struct Bill<'a> {
    name: &'a str,
    /// By reference.
    pub(crate) components: BTreeMap<String, Component<'a>>,
    /// What the root itself needs.
    roots: BTreeSet<String>,
}

/// A package, and what all the lockfiles that have it say of it.
pub(crate) struct Component<'a> {
    package: &'a Package,
    /// The most that any lockfile needs it for.
    scope: Scope,
    hashes: BTreeSet<&'a Hash>,
    files: BTreeSet<&'a File>,
    lockfiles: BTreeSet<&'a str>,
    depends_on: BTreeSet<String>,
}

impl<'a> Bill<'a> {
    pub(crate) fn new(name: &'a str, locks: &'a [Lock]) -> Bill<'a> {
        let mut bill = Bill {
            name,
            components: BTreeMap::new(),
            roots: BTreeSet::new(),
        };
        for lock in locks {
            let refs: Vec<String> = lock
                .packages
                .iter()
                .map(|package| reference(lock, package))
                .collect();
            let needed: BTreeSet<usize> = lock
                .packages
                .iter()
                .flat_map(|package| package.depends_on.iter().copied())
                .collect();
            for (place, (package, reference)) in lock.packages.iter().zip(&refs).enumerate() {
                if package.purl.is_none() || !needed.contains(&place) {
                    bill.roots.insert(reference.clone());
                }
                let depends_on = package
                    .depends_on
                    .iter()
                    .filter_map(|place| refs.get(*place))
                    .cloned();
                bill.add(lock, package, reference.clone(), depends_on);
            }
        }
        bill
    }

    fn add(
        &mut self,
        lock: &'a Lock,
        package: &'a Package,
        reference: String,
        depends_on: impl Iterator<Item = String>,
    ) {
        let component = self
            .components
            .entry(reference.clone())
            .or_insert_with(|| Component::new(package));
        component.scope = component.scope.min(package.scope);
        component.hashes.extend(&package.hashes);
        component.files.extend(&package.files);
        component.lockfiles.insert(&lock.path);
        component
            .depends_on
            .extend(depends_on.filter(|other| *other != reference));
    }

    /// The document.
    pub(crate) fn to_json(&self) -> Result<Vec<u8>, Failure> {
        let mut document = self.document();
        let digest = Sha256::digest(document.to_string());
        if let Value::Object(document) = &mut document {
            document.insert("serialNumber".to_owned(), json!(serial_number(&digest)));
        }
        serde_json::to_vec_pretty(&document).explain("the bill of materials")
    }

    fn document(&self) -> Value {
        let components: Vec<Value> = self
            .components
            .iter()
            .map(|(reference, component)| component.to_json(reference))
            .collect();
        let root = json!({"ref": ROOT_REF, "dependsOn": self.roots});
        let dependencies = self.components.iter().map(
            |(reference, component)| json!({"ref": reference, "dependsOn": component.depends_on}),
        );
        json!({
            "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
            "bomFormat": "CycloneDX",
            "specVersion": "1.6",
            "version": 1,
            "metadata": {
                "lifecycles": [{"phase": "pre-build"}],
                "tools": {"components": [{
                    "type": "application",
                    "group": "beltline",
                    "name": env!("CARGO_PKG_NAME"),
                    "version": env!("CARGO_PKG_VERSION"),
                }]},
                "component": {"type": "application", "bom-ref": ROOT_REF, "name": self.name},
            },
            "components": components,
            "dependencies": std::iter::once(root).chain(dependencies).collect::<Vec<Value>>(),
        })
    }
}

impl<'a> Component<'a> {
    fn new(package: &'a Package) -> Component<'a> {
        Component {
            package,
            scope: package.scope,
            hashes: BTreeSet::new(),
            files: BTreeSet::new(),
            lockfiles: BTreeSet::new(),
            depends_on: BTreeSet::new(),
        }
    }

    pub(crate) fn ecosystem(&self) -> Ecosystem {
        self.package.ecosystem
    }

    pub(crate) fn licence(&self) -> Option<&str> {
        self.package.licence.as_deref()
    }

    /// `purl`, or the name and version of a package of the workspace itself, for the summary.
    pub(crate) fn to_summary(&self) -> Value {
        let mut entry = Map::new();
        let full_name = match &self.package.group {
            Some(group) => format!("{group}/{}", self.package.name),
            None => self.package.name.clone(),
        };
        entry.insert("name".to_owned(), json!(full_name));
        let values = [
            ("version", &self.package.version),
            ("license", &self.package.licence),
            ("purl", &self.package.purl),
        ];
        for (key, value) in values {
            entry.extend(value.as_ref().map(|value| (key.to_owned(), json!(value))));
        }
        entry.extend(scope(self.scope).map(|scope| ("scope".to_owned(), json!(scope))));
        Value::Object(entry)
    }

    fn to_json(&self, reference: &str) -> Value {
        let package = self.package;
        let mut json = Map::new();
        let mut put = |key: &str, value: Value| json.insert(key.to_owned(), value);
        put("type", json!("library"));
        put("bom-ref", json!(reference));
        if let Some(group) = &package.group {
            put("group", json!(group));
        }
        put("name", json!(package.name));
        if let Some(version) = &package.version {
            put("version", json!(version));
        }
        if let Some(scope) = scope(self.scope) {
            put("scope", json!(scope));
        }
        if !self.hashes.is_empty() {
            put("hashes", json!(self.hashes));
        }
        if let Some(licence) = &package.licence {
            put("licenses", licence::choice(licence));
        }
        if let Some(purl) = &package.purl {
            put("purl", json!(purl));
        }
        if !self.files.is_empty() {
            put(
                "externalReferences",
                self.files.iter().map(|file| distribution(file)).collect(),
            );
        }
        put("properties", self.properties());
        Value::Object(json)
    }

    fn properties(&self) -> Value {
        let known = self
            .package
            .properties
            .iter()
            .map(|(name, value)| (*name, value.as_str()));
        let lockfiles = self
            .lockfiles
            .iter()
            .map(|path| ("beltline:lockfile", *path));
        lockfiles
            .chain(known)
            .map(|(name, value)| json!({"name": name, "value": value}))
            .collect()
    }
}

/// Unique in the bill: the purl, or for a package of the workspace itself its place.
fn reference(lock: &Lock, package: &Package) -> String {
    package.purl.clone().unwrap_or_else(|| {
        let group = package
            .group
            .as_ref()
            .map(|group| format!("{group}/"))
            .unwrap_or_default();
        let version = package
            .version
            .as_ref()
            .map(|version| format!("@{version}"))
            .unwrap_or_default();
        format!("{}#{group}{}{version}", lock.path, package.name)
    })
}

fn distribution(file: &File) -> Value {
    let mut json = json!({"type": "distribution", "url": file.url});
    if let (Value::Object(json), false) = (&mut json, file.hashes.is_empty()) {
        json.insert("hashes".to_owned(), json!(file.hashes));
    }
    json
}

/// CycloneDX calls what is not there at run time excluded.
fn scope(scope: Scope) -> Option<&'static str> {
    match scope {
        Scope::Required => None,
        Scope::Optional => Some("optional"),
        Scope::Development => Some("excluded"),
    }
}

/// A UUID of version 8, which is what its maker makes of it: here the document's digest.
fn serial_number(digest: &[u8]) -> String {
    let mut bytes = [0; 16];
    for (byte, digest) in bytes.iter_mut().zip(digest) {
        *byte = *digest;
    }
    let uuid =
        (u128::from_be_bytes(bytes) & !(0xf << 76) & !(0b11 << 62)) | (8 << 76) | (0b10 << 62);
    format!(
        "urn:uuid:{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        uuid >> 96,
        (uuid >> 80) & 0xffff,
        (uuid >> 64) & 0xffff,
        (uuid >> 48) & 0xffff,
        uuid & 0xffff_ffff_ffff
    )
}
