//! Writes the manifest while the driver is compiled. Everything here is `const`, so that a bad name, an
//! unknown want or a manifest over its limit is a compile error of the driver.

#![allow(
    clippy::indexing_slicing,
    reason = "iterators are not const; every index is below a length"
)]

use beltline_wire::{MANIFEST_BYTES_MAX, check_name};

/// The version of the WIT package in `wit/`.
const WIT_VERSION: &str = "0.1.0";

/// What [`crate::driver!`] says about a driver.
#[derive(Clone, Copy)]
pub struct Parts {
    /// Its name.
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
    /// The kinds it reconciles.
    pub kinds: &'static [&'static str],
    /// What it asks for and how much.
    pub wants: &'static [(&'static str, &'static str)],
    /// The JSON Schema of its config, as JSON text.
    pub config: Option<&'static str>,
}

/// Appends to `N` bytes and counts on beyond them: with `N` = 0 it only measures.
struct Writer<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

/// How many bytes the manifest has.
pub const fn length(parts: &Parts) -> usize {
    let len = compose::<0>(parts).len;
    assert!(
        len <= MANIFEST_BYTES_MAX,
        "the driver's manifest is over 64 KiB: shorten its config schema"
    );
    len
}

/// The manifest, where `N` is its [`length`].
pub const fn write<const N: usize>(parts: &Parts) -> [u8; N] {
    compose::<N>(parts).bytes
}

/// The manifest's bytes as text.
pub const fn text(bytes: &[u8]) -> &str {
    match str::from_utf8(bytes) {
        Ok(text) => text,
        Err(_) => panic!("a manifest is made of whole strings"),
    }
}

const fn compose<const N: usize>(parts: &Parts) -> Writer<N> {
    check(parts);
    let json = Writer {
        bytes: [0; N],
        len: 0,
    };
    let json = json.raw("{\"manifest\":1,\"name\":").string(parts.name);
    let json = json.raw(",\"version\":").string(parts.version);
    let json = json.raw(",\"kinds\":[").strings(parts.kinds);
    let json = json.raw("],\"wants\":{").pairs(parts.wants).raw("}");
    let json = match parts.config {
        Some(schema) => json.raw(",\"config\":").raw(schema),
        None => json,
    };
    let json = json
        .raw(",\"sdk\":")
        .string(concat!("beltline-sdk ", env!("CARGO_PKG_VERSION")));
    json.raw(",\"wit\":").string(WIT_VERSION).raw("}")
}

const fn check(parts: &Parts) {
    assert!(
        check_name(parts.name).is_ok(),
        "a driver's name is 1 to 63 ASCII letters, digits, `-` and `_`, and not reserved"
    );
    let mut at = 0;
    while at < parts.kinds.len() {
        assert!(
            check_name(parts.kinds[at]).is_ok(),
            "a kind is 1 to 63 ASCII letters, digits, `-` and `_`, and not reserved"
        );
        at += 1;
    }
    let mut at = 0;
    while at < parts.wants.len() {
        let (want, access) = parts.wants[at];
        match want.as_bytes() {
            b"workspace" => assert!(
                matches!(access.as_bytes(), b"none" | b"ro" | b"rw"),
                "`workspace` in `wants` is none, ro or rw"
            ),
            b"out" => assert!(
                matches!(access.as_bytes(), b"none" | b"rw"),
                "`out` in `wants` is none or rw"
            ),
            _ => panic!("unknown key in `wants`: this SDK knows `workspace` and `out`"),
        }
        at += 1;
    }
}

impl<const N: usize> Writer<N> {
    const fn byte(mut self, byte: u8) -> Self {
        if self.len < N {
            self.bytes[self.len] = byte;
        }
        self.len += 1;
        self
    }

    const fn raw(mut self, text: &str) -> Self {
        let bytes = text.as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            self = self.byte(bytes[at]);
            at += 1;
        }
        self
    }

    const fn string(mut self, text: &str) -> Self {
        self = self.byte(b'"');
        let bytes = text.as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            self = self.escaped(bytes[at]);
            at += 1;
        }
        self.byte(b'"')
    }

    const fn escaped(self, byte: u8) -> Self {
        match byte {
            b'"' | b'\\' => self.byte(b'\\').byte(byte),
            0..0x20 => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                self.raw("\\u00")
                    .byte(HEX[(byte >> 4) as usize])
                    .byte(HEX[(byte & 15) as usize])
            }
            _ => self.byte(byte),
        }
    }

    const fn strings(mut self, texts: &[&str]) -> Self {
        let mut at = 0;
        while at < texts.len() {
            if at > 0 {
                self = self.byte(b',');
            }
            self = self.string(texts[at]);
            at += 1;
        }
        self
    }

    const fn pairs(mut self, pairs: &[(&str, &str)]) -> Self {
        let mut at = 0;
        while at < pairs.len() {
            if at > 0 {
                self = self.byte(b',');
            }
            self = self.string(pairs[at].0).byte(b':').string(pairs[at].1);
            at += 1;
        }
        self
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use beltline_wire::{MANIFEST_SECTION, Manifest, OutAccess, WorkspaceAccess};
    use serde_json::json;

    use super::*;
    use crate::{Failure, Outcome, Request};

    mod full {
        crate::driver! {
            name: "web-app_2",
            kinds: ["app", "site"],
            wants: { workspace: rw, out: rw },
            config: r#"{"type": "object", "title": "\u0041\"ö"}"#,
            super::reconcile
        }
    }

    mod bare {
        crate::driver! { name: "bare", kinds: [], wants: {}, super::reconcile }
    }

    fn reconcile(_: Request) -> Result<Outcome, Failure> {
        Ok(Outcome::new(""))
    }

    #[test]
    fn the_host_reads_what_the_macro_writes() {
        let manifest = Manifest::parse(full::MANIFEST.as_bytes()).unwrap();
        assert_eq!(
            (manifest.name.as_str(), manifest.version.as_str()),
            ("web-app_2", env!("CARGO_PKG_VERSION"))
        );
        assert_eq!(manifest.kinds, ["app", "site"]);
        assert_eq!(manifest.wants.workspace, WorkspaceAccess::Rw);
        assert_eq!(manifest.wants.out, OutAccess::Rw);
        assert_eq!(
            manifest.config,
            Some(json!({"type": "object", "title": "A\"ö"}))
        );
        assert_eq!(
            manifest.sdk.as_deref(),
            Some(concat!("beltline-sdk ", env!("CARGO_PKG_VERSION")))
        );
        assert!(manifest.unknown.is_empty() && manifest.wants.unknown.is_empty());
    }

    #[test]
    fn what_is_not_said_is_not_wanted() {
        let manifest = Manifest::parse(bare::MANIFEST.as_bytes()).unwrap();
        assert_eq!(manifest.wants.workspace, WorkspaceAccess::None);
        assert_eq!(manifest.wants.out, OutAccess::None);
        assert!(manifest.kinds.is_empty() && manifest.config.is_none());
    }

    #[test]
    fn strings_are_escaped() {
        const PARTS: Parts = Parts {
            name: "a",
            version: "1\"\\\n\u{1f}ü",
            kinds: &[],
            wants: &[],
            config: None,
        };
        const BYTES: [u8; length(&PARTS)] = write(&PARTS);
        assert_eq!(Manifest::parse(&BYTES).unwrap().version, PARTS.version);
    }

    #[test]
    fn the_wit_version_is_the_package_s() {
        let world = include_str!("../wit/world.wit");
        assert!(world.contains(&format!("package beltline:driver@{WIT_VERSION};")));
        let manifest = Manifest::parse(bare::MANIFEST.as_bytes()).unwrap();
        assert_eq!(manifest.wit.as_deref(), Some(WIT_VERSION));
    }

    #[test]
    fn the_section_is_the_one_that_the_host_reads() {
        let attribute = format!("link_section = \"{MANIFEST_SECTION}\"");
        assert!(
            include_str!("driver.rs").contains(&attribute),
            "an attribute takes no constant"
        );
    }
}
