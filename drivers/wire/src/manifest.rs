//! What a driver file says about itself: the JSON object in its custom section [`MANIFEST_SECTION`].
//!
//! Covered by the driver's digest and readable without running it. Reading the section out of a component is
//! the host's; this is what the bytes mean.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::name::{NameError, check_name};

/// The name of the custom section that holds the manifest, at either level of a component: Rust's `link_section` writes it
/// into the nested core module, tools write it into the component.
pub const MANIFEST_SECTION: &str = "beltline:manifest";

/// The longest manifest, in bytes. A config schema is the only part that grows with a driver; the section is
/// read before anything about the file is trusted.
pub const MANIFEST_BYTES_MAX: usize = 64 * 1024;

/// The version of the manifest's shape that this crate reads and writes.
pub const MANIFEST_VERSION: u32 = 1;

/// A driver's description of itself.
///
/// Keys that this version does not know are kept in [`Manifest::unknown`]: they may describe, they cannot ask.
/// What a driver asks for stands in `wants` alone, where an unknown key must be refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The shape's version: [`MANIFEST_VERSION`].
    pub manifest: u32,
    /// The driver's name, a single subject token.
    pub name: String,
    /// The driver's own version; semantic versioning by custom, not checked.
    pub version: String,
    /// The kinds it reconciles; empty for any.
    #[serde(default)]
    pub kinds: Vec<String>,
    /// What it asks for. The operator's grants decide what of it the driver gets.
    #[serde(default)]
    pub wants: Wants,
    /// JSON Schema of the operator's `config` for this driver.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<Value>,
    /// What it was built with, such as `beltline-sdk 0.1.0`; for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sdk: Option<String>,
    /// The version of the WIT package that it was built against, such as `0.1.0`; for people, the component's
    /// own exports say what counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wit: Option<String>,
    /// Keys of later versions.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, Value>,
}

/// What a driver asks for. Nothing unless said.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Wants {
    /// The directory that the run works on.
    #[serde(default)]
    pub workspace: WorkspaceAccess,
    /// The run's folder for what its steps make.
    #[serde(default)]
    pub out: OutAccess,
    /// Wants that this version does not know. A host that cannot tell what they are must refuse the driver,
    /// naming them: to run it without would break it later and less clearly.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, Value>,
}

/// Access to the workspace. Ordered: what is granted and what is wanted meet at the smaller one.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum WorkspaceAccess {
    /// It is not there.
    #[default]
    None,
    /// To be read.
    Ro,
    /// To be read and written: an effect.
    Rw,
}

/// Access to the run's out folder. Ordered like [`WorkspaceAccess`].
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum OutAccess {
    /// It is not there.
    #[default]
    None,
    /// To be read and written.
    Rw,
}

/// Why a manifest is refused.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Over [`MANIFEST_BYTES_MAX`].
    #[error("the manifest has {0} bytes; at most {MANIFEST_BYTES_MAX} are allowed")]
    TooLarge(usize),
    /// Not JSON, or not of the manifest's shape.
    #[error("the manifest is malformed")]
    Malformed(#[source] serde_json::Error),
    /// A shape of another version.
    #[error("the manifest is of version {found}; this host reads version {MANIFEST_VERSION}")]
    Version {
        /// What it says.
        found: u64,
    },
    /// The driver's name or one of its kinds cannot be a subject token.
    #[error("the manifest's {place} `{name}` {why}")]
    Name {
        /// `name` or `kind`.
        place: &'static str,
        /// The name in question.
        name: String,
        /// What is wrong with it.
        why: NameError,
    },
}

impl Manifest {
    /// Reads the text of a manifest section.
    ///
    /// # Errors
    /// Every way in which the text is no manifest of this version. Unknown wants are none of them: they are in
    /// [`Wants::unknown`], for the host to name.
    pub fn parse(text: &[u8]) -> Result<Manifest, ManifestError> {
        if text.len() > MANIFEST_BYTES_MAX {
            return Err(ManifestError::TooLarge(text.len()));
        }
        check_version(text)?;
        let manifest: Manifest = serde_json::from_slice(text).map_err(ManifestError::Malformed)?;
        let names = [("name", &manifest.name)];
        for (place, name) in names
            .into_iter()
            .chain(manifest.kinds.iter().map(|kind| ("kind", kind)))
        {
            check_name(name).map_err(|why| ManifestError::Name {
                place,
                name: name.clone(),
                why,
            })?;
        }
        Ok(manifest)
    }
}

/// Looks at the version before anything else: what another version is shaped like is not for this one to judge.
fn check_version(text: &[u8]) -> Result<(), ManifestError> {
    #[derive(Deserialize)]
    struct Version {
        manifest: u64,
    }
    let found = serde_json::from_slice::<Version>(text)
        .map_err(ManifestError::Malformed)?
        .manifest;
    if found == u64::from(MANIFEST_VERSION) {
        Ok(())
    } else {
        Err(ManifestError::Version { found })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        let error = Manifest::parse(text.as_bytes()).unwrap_err();
        match std::error::Error::source(&error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        }
    }

    #[test]
    fn what_is_not_said_is_not_wanted() {
        let manifest = Manifest::parse(br#"{"manifest":1,"name":"a","version":"0"}"#).unwrap();
        assert_eq!(manifest.wants.workspace, WorkspaceAccess::None);
        assert_eq!(manifest.wants.out, OutAccess::None);
        assert!(manifest.kinds.is_empty() && manifest.wants.unknown.is_empty());
    }

    #[test]
    fn unknown_wants_stay_visible() {
        let text =
            br#"{"manifest":1,"name":"a","version":"0","wants":{"http":["x.org"]},"homepage":"y"}"#;
        let manifest = Manifest::parse(text).unwrap();
        assert_eq!(manifest.wants.unknown["http"], serde_json::json!(["x.org"]));
        assert_eq!(manifest.unknown["homepage"], "y");
    }

    #[test]
    fn written_and_read_again_it_is_the_same() {
        let text = br#"{"manifest":1,"name":"a","version":"1.2","kinds":["k"],"wants":{"workspace":"ro",
            "out":"rw","secrets":["s"]},"config":{"type":"object"},"sdk":"s","wit":"0.1.0","later":1}"#;
        let manifest = Manifest::parse(text).unwrap();
        assert_eq!(
            Manifest::parse(&serde_json::to_vec(&manifest).unwrap()).unwrap(),
            manifest
        );
    }

    #[test]
    fn refusals_say_what_is_wrong() {
        let named = |name: &str| format!(r#"{{"manifest":1,"name":"{name}","version":"0"}}"#);
        assert!(refusal(&" ".repeat(MANIFEST_BYTES_MAX + 1)).contains("has 65537 bytes"));
        assert!(refusal("{").contains("malformed: EOF"));
        assert!(
            refusal(r#"{"manifest":2,"other":true}"#)
                .contains("version 2; this host reads version 1")
        );
        assert!(refusal(&named("a.b")).contains(
            "name `a.b` is not of ASCII letters, digits, `-` and `_` alone: look at byte 1"
        ));
        assert!(refusal(&named("live")).contains("`live` is reserved"));
        assert!(
            refusal(r#"{"manifest":1,"name":"a","version":"0","name":"b"}"#).contains("duplicate")
        );
        let wants = r#"{"manifest":1,"name":"a","version":"0","wants":{"workspace":"all"}}"#;
        assert!(refusal(wants).contains("unknown variant `all`"));
    }

    #[test]
    fn access_meets_at_the_smaller() {
        assert_eq!(
            WorkspaceAccess::Rw.min(WorkspaceAccess::Ro),
            WorkspaceAccess::Ro
        );
        assert_eq!(OutAccess::Rw.min(OutAccess::None), OutAccess::None);
    }
}
