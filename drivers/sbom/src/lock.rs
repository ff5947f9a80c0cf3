//! What all lockfiles say in their own ways: packages, and which needs which.

use std::fs;
use std::path::Path;

use beltline_sdk::{Explain, Failure};
use serde::Serialize;
use serde::de::DeserializeOwned;

mod cargo;
mod go;
mod npm;
mod poetry;
mod requirements;
mod uv;

/// The largest lockfile that is read. Parsed it takes several times its size, and a driver has 64 MiB.
const LOCKFILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// A kind of lockfile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Cargo,
    Go,
    Npm,
    Poetry,
    Requirements,
    Uv,
}

/// Where a package comes from, by the purl type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Ecosystem {
    Cargo,
    Golang,
    Npm,
    Pypi,
}

/// A lockfile, read.
#[derive(Debug)]
pub(crate) struct Lock {
    /// Below the resource's path.
    pub(crate) path: String,
    pub(crate) packages: Vec<Package>,
}

/// One version of one package.
#[derive(Debug)]
pub(crate) struct Package {
    pub(crate) ecosystem: Ecosystem,
    /// What stands before the name, such as npm's scope.
    pub(crate) group: Option<String>,
    pub(crate) name: String,
    pub(crate) version: Option<String>,
    /// None for a package of the workspace itself: a purl would name a published one.
    pub(crate) purl: Option<String>,
    pub(crate) licence: Option<String>,
    pub(crate) scope: Scope,
    pub(crate) hashes: Vec<Hash>,
    pub(crate) files: Vec<File>,
    /// What the lockfile knows and CycloneDX has no place for.
    pub(crate) properties: Vec<(&'static str, String)>,
    /// Places in the lock's packages.
    pub(crate) depends_on: Vec<usize>,
}

/// What a package is needed for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Scope {
    #[default]
    Required,
    Optional,
    Development,
}

/// A checksum.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Hash {
    /// By its CycloneDX name.
    pub(crate) alg: &'static str,
    /// In hex.
    pub(crate) content: String,
}

/// A file in which a package is distributed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct File {
    pub(crate) url: String,
    pub(crate) hashes: Vec<Hash>,
}

/// A lockfile's text and what is needed to talk about it.
struct Source<'a> {
    root: &'a Path,
    path: &'a str,
    text: &'a str,
}

impl Format {
    /// By the file's name.
    pub(crate) fn of(path: &str) -> Option<Format> {
        Some(match path.rsplit('/').next().unwrap_or(path) {
            "Cargo.lock" => Format::Cargo,
            "go.mod" => Format::Go,
            "package-lock.json" | "npm-shrinkwrap.json" => Format::Npm,
            "poetry.lock" => Format::Poetry,
            "requirements.txt" => Format::Requirements,
            "uv.lock" => Format::Uv,
            _ => return None,
        })
    }

    /// For messages.
    pub(crate) fn names() -> &'static str {
        "Cargo.lock, go.mod, package-lock.json, npm-shrinkwrap.json, poetry.lock, requirements.txt and uv.lock"
    }

    /// npm ignores a package-lock.json beside an npm-shrinkwrap.json.
    pub(crate) fn without_doubles(found: Vec<String>) -> Vec<String> {
        let shrunk = |path: &String| {
            path.strip_suffix("package-lock.json")
                .is_some_and(|folder| found.contains(&format!("{folder}npm-shrinkwrap.json")))
        };
        found.iter().filter(|path| !shrunk(path)).cloned().collect()
    }
}

/// Reads a lockfile at a path below `root`.
///
/// # Errors
/// Permanent, naming the file and the place in it, if it is not of its format.
pub(crate) fn read(root: &Path, path: &str) -> Result<Lock, Failure> {
    let format =
        Format::of(path).ok_or_else(|| Failure::permanent(format!("{path}: no lockfile")))?;
    let text = text(root, path)?;
    let source = Source {
        root,
        path,
        text: text.trim_start_matches('\u{feff}'),
    };
    let packages = match format {
        Format::Cargo => cargo::packages(&source),
        Format::Go => go::packages(&source),
        Format::Npm => npm::packages(&source),
        Format::Poetry => poetry::packages(&source),
        Format::Requirements => requirements::packages(&source),
        Format::Uv => uv::packages(&source),
    }?;
    Ok(Lock {
        path: path.to_owned(),
        packages,
    })
}

fn text(root: &Path, path: &str) -> Result<String, Failure> {
    let file = root.join(path);
    let bytes = fs::metadata(&file).explain(path)?.len();
    if bytes > LOCKFILE_BYTES_MAX {
        return Err(Failure::permanent(format!(
            "{path}: has {bytes} bytes; at most {LOCKFILE_BYTES_MAX} are read"
        )));
    }
    String::from_utf8(fs::read(&file).explain(path)?).map_err(|error| {
        Failure::permanent(format!(
            "{path}: not UTF-8 at byte {}",
            error.utf8_error().valid_up_to()
        ))
    })
}

impl Lock {
    /// Takes the packages out that only development needs.
    pub(crate) fn drop_development(&mut self) {
        let mut kept = 0;
        let places: Vec<Option<usize>> = self
            .packages
            .iter()
            .map(|package| {
                let keep = package.scope != Scope::Development;
                kept += usize::from(keep);
                keep.then(|| kept - 1)
            })
            .collect();
        self.packages
            .retain(|package| package.scope != Scope::Development);
        for package in &mut self.packages {
            package.depends_on = package
                .depends_on
                .iter()
                .filter_map(|place| places.get(*place).copied().flatten())
                .collect();
        }
    }
}

impl Package {
    fn new(ecosystem: Ecosystem, name: impl Into<String>, version: Option<String>) -> Package {
        Package {
            ecosystem,
            group: None,
            name: name.into(),
            version,
            purl: None,
            licence: None,
            scope: Scope::Required,
            hashes: Vec::new(),
            files: Vec::new(),
            properties: Vec::new(),
            depends_on: Vec::new(),
        }
    }
}

impl Hash {
    /// From `sha256:<hex>` and its like; none where the algorithm is not CycloneDX's or the rest is no such hash.
    fn from_hex(text: &str) -> Option<Hash> {
        let (alg, hex) = text.split_once(':')?;
        let bytes = data_encoding::HEXLOWER_PERMISSIVE
            .decode(hex.as_bytes())
            .ok()?;
        Hash::new(alg, &bytes)
    }

    fn new(alg: &str, bytes: &[u8]) -> Option<Hash> {
        let (alg, length) = match alg {
            "md5" => ("MD5", 16),
            "sha1" => ("SHA-1", 20),
            "sha256" => ("SHA-256", 32),
            "sha384" => ("SHA-384", 48),
            "sha512" => ("SHA-512", 64),
            _ => return None,
        };
        (bytes.len() == length).then(|| Hash {
            alg,
            content: data_encoding::HEXLOWER.encode(bytes),
        })
    }
}

impl Source<'_> {
    /// `path:line:column: what`, permanent; `at` is a byte offset.
    fn malformed_at(&self, at: usize, what: &str) -> Failure {
        let before = self.text.get(..at).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        Failure::permanent(format!("{}:{line}:{column}: {what}", self.path))
    }

    /// `path: what`, permanent.
    fn malformed(&self, what: impl std::fmt::Display) -> Failure {
        Failure::permanent(format!("{}: {what}", self.path))
    }

    fn toml<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        toml::from_str(self.text).map_err(|error| match error.span() {
            Some(span) => self.malformed_at(span.start, error.message()),
            None => self.malformed(error.message()),
        })
    }

    fn json<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        let mut json = serde_json::Deserializer::from_str(self.text);
        let value = serde_path_to_error::deserialize(&mut json);
        value.map_err(|error| {
            let path = error.path().to_string();
            let error = error.into_inner();
            let position = format!(" at line {} column {}", error.line(), error.column());
            let text = error.to_string();
            let what = text.trim_end_matches(&position);
            let place = format!("{}:{}:{}", self.path, error.line(), error.column());
            Failure::permanent(if error.is_data() && path != "." {
                format!("{place}: {path}: {what}")
            } else {
                format!("{place}: {what}")
            })
        })
    }
}
