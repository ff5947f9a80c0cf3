//! `go.mod`, with the checksums of the `go.sum` beside it. Since Go 1.17 it lists every module of the build.
//! Which module needs which it does not say: only what the main module itself asks for.

use std::collections::HashMap;
use std::fs;
use std::io::ErrorKind;

use beltline_sdk::{Explain, Failure};

use super::{Ecosystem, Package, Source};
use crate::purl::purl;

/// Go's `h1:` is a hash over a list of file hashes, not one of any file: no CycloneDX hash.
const H1_PROPERTY: &str = "beltline:go:h1";

struct Require<'a> {
    path: &'a str,
    version: &'a str,
    direct: bool,
}

struct Replace<'a> {
    old: (&'a str, Option<&'a str>),
    new: (&'a str, Option<&'a str>),
}

pub(super) fn packages(source: &Source<'_>) -> Result<Vec<Package>, Failure> {
    let mut module = None;
    let (mut requires, mut replaces) = (Vec::new(), Vec::new());
    let mut block = None;
    let mut at = 0;
    for line in source.text.split_inclusive('\n') {
        let start = at;
        at += line.len();
        let (code, comment) = line.split_once("//").unwrap_or((line, ""));
        let words: Vec<&str> = code
            .split_whitespace()
            .map(|word| word.trim_matches('"'))
            .collect();
        let (verb, words) = match (block, words.as_slice()) {
            (_, []) => continue,
            (None, [verb, "("]) => {
                block = Some(*verb);
                continue;
            }
            (Some(_), [")"]) => {
                block = None;
                continue;
            }
            (Some(verb), words) => (verb, words),
            (None, [verb, words @ ..]) => (*verb, words),
        };
        match (verb, words) {
            ("module", [path]) => module = Some(*path),
            ("require", [path, version]) => {
                let direct = comment.trim() != "indirect";
                requires.push(Require {
                    path,
                    version,
                    direct,
                });
            }
            ("replace", words) => match replace(words) {
                Some(replace) => replaces.push(replace),
                None => return Err(source.malformed_at(start, "not a replacement")),
            },
            ("require" | "module", _) => {
                return Err(source.malformed_at(start, &format!("not what `{verb}` takes")));
            }
            // go, toolchain, exclude, retract, tool and what comes later: nothing that is built in.
            _ => {}
        }
    }
    let Some(module) = module else {
        return Err(source.malformed("no `module` line"));
    };
    let sums = Sums::read(source)?;
    let mut main = Package::new(Ecosystem::Golang, module, None);
    let mut packages = Vec::new();
    for require in &requires {
        if require.direct {
            main.depends_on.push(packages.len() + 1);
        }
        packages.push(require.package(&replaces, &sums));
    }
    packages.insert(0, main);
    Ok(packages)
}

/// `old [version] => new [version]`
fn replace<'a>(words: &[&'a str]) -> Option<Replace<'a>> {
    let arrow = words.iter().position(|word| *word == "=>")?;
    let side = |words: &[&'a str]| match words {
        [path] => Some((*path, None)),
        [path, version] => Some((*path, Some(*version))),
        _ => None,
    };
    Some(Replace {
        old: side(words.get(..arrow)?)?,
        new: side(words.get(arrow + 1..)?)?,
    })
}

impl Require<'_> {
    fn package(&self, replaces: &[Replace<'_>], sums: &Sums) -> Package {
        let replaced = replaces.iter().find(|replace| {
            replace.old.0 == self.path
                && replace.old.1.is_none_or(|version| version == self.version)
        });
        let (path, version) = match replaced {
            Some(Replace {
                new: (path, version),
                ..
            }) => (*path, *version),
            None => (self.path, Some(self.version)),
        };
        let mut package = Package::new(Ecosystem::Golang, path, version.map(str::to_owned));
        // A replacement without a version is a folder.
        if let Some(version) = version {
            package.purl = Some(purl("golang", path, Some(version), &[]));
            package
                .properties
                .extend(sums.get(path, version).map(|sum| (H1_PROPERTY, sum)));
        }
        package
    }
}

/// The lines of `go.sum`, by module and version.
struct Sums(HashMap<String, String>);

impl Sums {
    fn read(source: &Source<'_>) -> Result<Sums, Failure> {
        let path = format!("{}go.sum", source.path.trim_end_matches("go.mod"));
        let text = match fs::read_to_string(source.root.join(&path)) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error).explain(path),
        };
        let line = |line: &str| {
            let (key, sum) = line.rsplit_once(' ')?;
            Some((key.to_owned(), sum.to_owned()))
        };
        Ok(Sums(text.lines().filter_map(line).collect()))
    }

    fn get(&self, path: &str, version: &str) -> Option<String> {
        self.0.get(&format!("{path} {version}")).cloned()
    }
}
