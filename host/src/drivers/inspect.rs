//! A look at a driver file without compiling or running it.
//!
//! Owns the refusals that the bytes alone justify: not a component, truncated, without `reconcile`, of another
//! WIT version, importing what no host offers, a manifest malformed or doubled. What passes here may still not
//! compile; a compiler's message is then all that is left to say.

use crate::digest::Digest;
use beltline_wire::{MANIFEST_SECTION, Manifest, ManifestError};
use std::error::Error;
use wasmparser::{Encoding, Parser, Payload};

/// The largest driver file: four times the largest component known to be made from an interpreter.
pub const DRIVER_BYTES_MAX: u64 = 64 << 20;

/// How every WebAssembly file begins, module or component.
const MAGIC: &[u8] = b"\0asm";

/// The package that drivers are built for, and the version that this host speaks.
const PACKAGE: &str = "beltline:driver";
const WIT_VERSION: &str = "0.1.0";

/// What else a driver may import: linked whole, denied at the call where it is not granted.
const WASI_PACKAGES: [&str; 7] = [
    "wasi:cli",
    "wasi:clocks",
    "wasi:filesystem",
    "wasi:http",
    "wasi:io",
    "wasi:random",
    "wasi:sockets",
];
const WASI_VERSION: &str = "0.2";

/// What a driver file says about itself.
#[derive(Debug, Clone)]
pub struct Inspection {
    /// The sha256 of its bytes.
    pub digest: Digest,
    /// Its size in bytes.
    pub bytes: u64,
    /// The version of `beltline:driver` that it was built for.
    pub wit: String,
    /// Its imports, as the component names them.
    pub imports: Vec<String>,
    /// Its manifest; none means that it wants nothing.
    pub manifest: Option<Manifest>,
}

/// Why a file is no driver that this host can load.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// Over [`DRIVER_BYTES_MAX`].
    #[error("is larger than {max}, the most that a driver file may have; build it without debug information", max = crate::text::size(DRIVER_BYTES_MAX))]
    TooLarge,
    /// Something else altogether.
    #[error("is no WebAssembly file; name the `.wasm` that the build left")]
    NotWasm,
    /// Cut off, or changed on the way.
    #[error("is a damaged WebAssembly file: {0}; build it or fetch it again")]
    Damaged(String),
    /// A core module, as `wasm32-unknown-unknown` makes them.
    #[error(
        "is a core module and no component; build it for `wasm32-wasip2`, or with `drivers/build`"
    )]
    CoreModule,
    /// Some other component.
    #[error("exports no `reconcile`; a driver exports `{PACKAGE}/reconciler@{WIT_VERSION}`")]
    NoReconciler,
    /// Built for a version that this host does not speak.
    #[error(
        "was built for {PACKAGE} {found}; this host speaks {WIT_VERSION}: rebuild one or update the other"
    )]
    WitVersion {
        /// The version that it was built for.
        found: String,
    },
    /// An import that no grant can satisfy.
    #[error(
        "imports `{0}`, which this host does not offer; build it for {PACKAGE} {WIT_VERSION}, wasi:cli {WASI_VERSION} and wasi:http {WASI_VERSION} alone"
    )]
    Import(String),
    /// A manifest that cannot be read. No source: its text, and its cause's, is part of ours.
    #[error("has a section `{MANIFEST_SECTION}` that cannot be read: {}; rebuild the driver or update the host", with_cause(.0))]
    Manifest(ManifestError),
    /// Two manifests: which one counts would be a guess.
    #[error("has {0} sections `{MANIFEST_SECTION}`; build it with one")]
    Doubled(usize),
    /// A want that this host does not know.
    #[error("wants `{0}`, which this host does not know; update the host")]
    UnknownWant(String),
}

fn with_cause(error: &ManifestError) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

/// Looks at the bytes of a driver file.
///
/// # Errors
/// Every [`InspectError`]; the text continues the file's name.
pub fn inspect(bytes: &[u8]) -> Result<Inspection, InspectError> {
    let size = bytes.len() as u64;
    if size > DRIVER_BYTES_MAX {
        return Err(InspectError::TooLarge);
    }
    if !bytes.starts_with(MAGIC) {
        return Err(InspectError::NotWasm);
    }
    let found = walk(bytes)?;
    let wit = reconciler_version(&found.exports)?;
    for import in &found.imports {
        check_import(import)?;
    }
    let manifest = manifest(&found.manifests)?;
    Ok(Inspection {
        digest: Digest::of(bytes),
        bytes: size,
        wit,
        imports: found.imports,
        manifest,
    })
}

#[derive(Default)]
struct Found<'bytes> {
    imports: Vec<String>,
    exports: Vec<String>,
    manifests: Vec<&'bytes [u8]>,
}

/// Reads the outline of a component: its own imports and exports, and our section at any level.
fn walk(bytes: &[u8]) -> Result<Found<'_>, InspectError> {
    let damaged = |error: wasmparser::BinaryReaderError| InspectError::Damaged(error.to_string());
    let mut found = Found::default();
    let mut depth = 0_u32;
    let mut ended = false;
    for payload in Parser::new(0).parse_all(bytes) {
        // Only the payloads named here matter; the list of the others grows with the format.
        #[allow(clippy::wildcard_enum_match_arm)]
        match payload.map_err(damaged)? {
            Payload::Version {
                encoding: Encoding::Module,
                ..
            } if depth == 0 => {
                return Err(InspectError::CoreModule);
            }
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) if depth == 0 => ended = true,
            Payload::End(_) => depth -= 1,
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    found
                        .imports
                        .push(import.map_err(damaged)?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    found
                        .exports
                        .push(export.map_err(damaged)?.name.name.to_owned());
                }
            }
            Payload::CustomSection(section) if section.name() == MANIFEST_SECTION => {
                found.manifests.push(section.data());
            }
            _ => {}
        }
    }
    if ended {
        Ok(found)
    } else {
        Err(InspectError::Damaged("it ends too early".into()))
    }
}

fn reconciler_version(exports: &[String]) -> Result<String, InspectError> {
    let prefix = format!("{PACKAGE}/reconciler@");
    let version = exports
        .iter()
        .find_map(|export| export.strip_prefix(&prefix));
    let version = version.ok_or(InspectError::NoReconciler)?;
    check_version(version).map(|()| version.to_owned())
}

fn check_import(import: &str) -> Result<(), InspectError> {
    let (path, version) = import.split_once('@').unwrap_or((import, ""));
    let package = path.split('/').next().unwrap_or_default();
    if package == PACKAGE {
        return check_version(version);
    }
    let is_wasi = WASI_PACKAGES.contains(&package) && is_compatible(version, WASI_VERSION);
    if is_wasi {
        Ok(())
    } else {
        Err(InspectError::Import(import.to_owned()))
    }
}

fn check_version(version: &str) -> Result<(), InspectError> {
    let line = WIT_VERSION
        .rsplit_once('.')
        .map_or(WIT_VERSION, |(line, _)| line);
    if is_compatible(version, line) {
        Ok(())
    } else {
        Err(InspectError::WitVersion {
            found: version.to_owned(),
        })
    }
}

/// Whether `version` is of the line `major.minor`; below 1.0 a minor version is what may break.
fn is_compatible(version: &str, line: &str) -> bool {
    version
        .strip_prefix(line)
        .is_some_and(|patch| patch.starts_with('.'))
}

fn manifest(sections: &[&[u8]]) -> Result<Option<Manifest>, InspectError> {
    let section = match sections {
        [] => return Ok(None),
        [section] => section,
        many => return Err(InspectError::Doubled(many.len())),
    };
    let manifest = Manifest::parse(section).map_err(InspectError::Manifest)?;
    match manifest.wants.unknown.keys().next() {
        Some(want) => Err(InspectError::UnknownWant(want.clone())),
        None => Ok(Some(manifest)),
    }
}
