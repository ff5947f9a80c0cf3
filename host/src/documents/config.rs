//! `belt.yaml`: the drivers that an operator lets run, and what each may do.
//!
//! Owns its form and bounds; it is the only place that grants come from. Never opens a driver's file.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use beltline_wire::{OutAccess, WorkspaceAccess};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::digest::Digest;

use super::diagnostics::Report;
use super::fields::{self, Fields, Hints, hint, renamed};
use super::names;
use super::quantity::{duration_text, optional_duration_text, optional_size_text};
use super::tree::Node;

/// How many drivers a configuration may have.
pub const DRIVERS_MAX: usize = 1_000;
/// How many kinds a driver may listen for.
pub const KINDS_MAX: usize = 100;
/// The largest `config` of a driver, in bytes of JSON.
pub const CONFIG_BYTES_MAX: usize = 64 * 1024;
/// The longest path, in bytes: that of Linux.
pub const PATH_BYTES_MAX: usize = 4096;
/// The most memory that one attempt may be given: all that a 32-bit guest can address.
pub const MEMORY_BYTES_MAX: u64 = 4 << 30;
/// The largest output that may be allowed: the one limit that stores and wires are built for.
pub const OUTPUT_BYTES_MAX: u64 = beltline_wire::OUTPUT_BYTES_MAX as u64;
/// The largest log that one attempt may be allowed.
pub const LOG_BYTES_MAX: u64 = 256 << 20;
/// The most lines of log that one attempt may be allowed.
pub const LOG_LINES_MAX: u64 = 1_000_000;
/// The most that one attempt may be allowed to write to files.
pub const WRITTEN_BYTES_MAX: u64 = 1 << 40;
/// The most files that one attempt may be allowed to make.
pub const FILES_MAX: u64 = 100_000_000;
/// The most memory that all guests of a host together may be given: all that 48 bits address.
pub const GUEST_MEMORY_BYTES_MAX: u64 = 1 << 48;
/// The most table elements that one attempt may be allowed.
pub const TABLE_ELEMENTS_MAX: u64 = 100_000;

/// How long a run is kept after its end where nothing is said.
pub const RETENTION_AGE: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// How many runs are kept where nothing is said: their keys take some hundred bytes of memory each.
pub const RETENTION_COUNT: u64 = 100_000;
/// The most runs that may be kept, or wait.
pub const RUNS_MAX: u64 = 10_000_000;

/// The operator's configuration, checked. Serialised, it is its canonical JSON.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The drivers by name.
    pub drivers: BTreeMap<String, DriverEntry>,
    /// The memory of all guests of the host together, in bytes; attempts over it wait.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "optional_size_text"
    )]
    pub guest_memory: Option<u64>,
    /// What compiling one driver may use.
    #[serde(default, skip_serializing_if = "Compile::is_default")]
    pub compile: Compile,
    /// How many runs may be there that have not ended; further ones are refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<u64>,
    /// How long runs are kept that have ended.
    #[serde(default, skip_serializing_if = "Retention::is_default")]
    pub retention: Retention,
}

/// What compiling one driver may use; `None` stands for the sandbox's default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Compile {
    /// Memory that the compiler can write to, in bytes.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "optional_size_text"
    )]
    pub memory: Option<u64>,
    /// CPU time, held to the second.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "optional_duration_text"
    )]
    pub cpu: Option<Duration>,
    /// Wall time.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "optional_duration_text"
    )]
    pub time: Option<Duration>,
}

impl Compile {
    fn is_default(&self) -> bool {
        *self == Compile::default()
    }
}

/// How long runs are kept that have ended: as long as both say so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    /// From a run's end on.
    #[serde(with = "duration_text")]
    pub age: Duration,
    /// The latest so many.
    pub count: u64,
}

impl Retention {
    fn is_default(&self) -> bool {
        *self == Retention::default()
    }
}

impl Default for Retention {
    fn default() -> Self {
        Retention {
            age: RETENTION_AGE,
            count: RETENTION_COUNT,
        }
    }
}

/// One driver, by where it runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "placement", rename_all = "snake_case")]
pub enum DriverEntry {
    /// In the host's process.
    Wasm(WasmDriver),
    /// A program of its own, over the broker.
    Native(NativeDriver),
}

impl DriverEntry {
    /// The kinds whose resources it takes when they name no pipeline.
    #[must_use]
    pub fn kinds(&self) -> &[String] {
        match self {
            DriverEntry::Wasm(driver) => &driver.kinds,
            DriverEntry::Native(driver) => &driver.kinds,
        }
    }

    /// The operator's settings for it.
    #[must_use]
    pub fn config(&self) -> &Map<String, Value> {
        match self {
            DriverEntry::Wasm(driver) => &driver.config,
            DriverEntry::Native(driver) => &driver.config,
        }
    }
}

/// A driver that is a component in a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WasmDriver {
    /// The file as it was written: relative to the configuration's own file.
    pub path: PathBuf,
    /// `sha256:` and 64 digits; without it any file at `path` will do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// What it may do.
    pub grants: Grants,
    /// What it may use, where that differs from the sandbox's defaults.
    pub limits: Limits,
    /// The kinds whose resources it takes when they name no pipeline.
    pub kinds: Vec<String>,
    /// The operator's settings for it.
    pub config: Map<String, Value>,
}

/// A driver that is a program of its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NativeDriver {
    /// The subject on which it is reached.
    pub wire: Wire,
    /// Whether its answers must carry the token of the attempt.
    pub token: Token,
    /// The kinds whose resources it takes when they name no pipeline.
    pub kinds: Vec<String>,
    /// The operator's settings for it.
    pub config: Map<String, Value>,
}

/// What a driver may do; nothing unless said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grants {
    /// The directory that the run works on, at `/workspace`.
    pub workspace: WorkspaceAccess,
    /// The run's own folder, at `/out`.
    pub out: OutAccess,
}

/// What one attempt may use; `None` stands for the sandbox's default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Linear memory, in bytes, at most [`MEMORY_BYTES_MAX`].
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "optional_size_text"
    )]
    pub memory: Option<u64>,
    /// Elements of all tables, at most [`TABLE_ELEMENTS_MAX`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tables: Option<u64>,
    /// CPU time.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "optional_duration_text"
    )]
    pub cpu: Option<Duration>,
    /// Output, in bytes of JSON, at most [`OUTPUT_BYTES_MAX`].
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "optional_size_text"
    )]
    pub output: Option<u64>,
    /// Files written, in bytes, at most [`WRITTEN_BYTES_MAX`].
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "optional_size_text"
    )]
    pub written: Option<u64>,
    /// Files, folders and links made, at most [`FILES_MAX`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<u64>,
    /// Log, in bytes, at most [`LOG_BYTES_MAX`].
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "optional_size_text"
    )]
    pub log: Option<u64>,
    /// Log, in lines, at most [`LOG_LINES_MAX`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_lines: Option<u64>,
}

/// How a native driver is reached.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wire {
    /// On `<DRIVER>.resources.<KIND>`.
    #[default]
    Default,
    /// On `drivers.<DRIVER>.resources.<KIND>`, where Conveyor's SDK listens.
    Conveyor,
}

/// Whether a native driver's answers must carry the token of the attempt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Token {
    /// An answer without one counts where only one attempt can be meant.
    #[default]
    Optional,
    /// An answer without one is refused.
    Required,
}

#[derive(Clone, Copy, PartialEq)]
enum Placement {
    Wasm,
    Native,
}

const CONFIG_HINTS: Hints = &[
    hint("grants", "grants belong to a driver"),
    hint("limits", "limits belong to a driver"),
    hint("version", "a configuration has no version, leave it out"),
];

const WASM_HINTS: Hints = &[
    hint("wire", "it belongs to drivers with `placement: native`"),
    hint("token", "it belongs to drivers with `placement: native`"),
    renamed("file", "path", "here a driver's file is `path`"),
    renamed("image", "path", "here a driver's file is `path`"),
    renamed("wasm", "path", "here a driver's file is `path`"),
    hint(
        "with",
        "here the operator's settings are `config`; `with` belongs to a step",
    ),
    hint(
        "timeout",
        "timeouts belong to a step; CPU time is `limits: {cpu: …}`",
    ),
];

const NATIVE_HINTS: Hints = &[
    hint(
        "path",
        "it belongs to wasm drivers; a native one is a program that somebody else starts",
    ),
    hint("digest", "it belongs to wasm drivers"),
    hint(
        "grants",
        "it belongs to wasm drivers; a native one has no sandbox",
    ),
    hint(
        "limits",
        "it belongs to wasm drivers; a native one has no sandbox",
    ),
];

const LIMITS_HINTS: Hints = &[hint(
    "timeout",
    "timeouts belong to a step; CPU time is `cpu`",
)];

pub(super) fn read(node: &Node, report: &Report) -> Option<Config> {
    let mut fields = Fields::open("a configuration", node, report)?;
    let entries = fields.required("drivers", fields::entries("drivers", DRIVERS_MAX));
    let guest_memory = fields.optional(
        "guest_memory",
        fields::size(64 << 20, GUEST_MEMORY_BYTES_MAX),
    );
    let compile = fields.optional("compile", read_compile);
    let queue = fields.optional("queue", fields::whole(1, RUNS_MAX));
    let retention = fields.optional("retention", read_retention);
    fields.finish(CONFIG_HINTS);
    let mut drivers = BTreeMap::new();
    for entry in entries? {
        if let Err(error) = names::check_subject_token("driver name", &entry.key) {
            report.at(entry.key_mark, error.to_string());
        }
        if let Some(driver) = read_driver(&entry.value, report) {
            drivers.insert(entry.key.clone(), driver);
        }
    }
    Some(Config {
        drivers,
        guest_memory,
        compile: compile.unwrap_or_default(),
        queue,
        retention: retention.unwrap_or_default(),
    })
}

fn read_compile(node: &Node, report: &Report) -> Option<Compile> {
    let mut fields = Fields::open("`compile`", node, report)?;
    let compile = Compile {
        memory: fields.optional("memory", fields::size(64 << 20, GUEST_MEMORY_BYTES_MAX)),
        cpu: fields.optional("cpu", fields::timeout),
        time: fields.optional("time", fields::timeout),
    };
    fields.finish(&[]);
    Some(compile)
}

fn read_retention(node: &Node, report: &Report) -> Option<Retention> {
    let mut fields = Fields::open("`retention`", node, report)?;
    let age = fields.optional("age", fields::timeout);
    let count = fields.optional("count", fields::whole(1, RUNS_MAX));
    fields.finish(&[]);
    Some(Retention {
        age: age.unwrap_or(RETENTION_AGE),
        count: count.unwrap_or(RETENTION_COUNT),
    })
}

fn read_driver(node: &Node, report: &Report) -> Option<DriverEntry> {
    let mut fields = Fields::open("a driver", node, report)?;
    let words = &[("wasm", Placement::Wasm), ("native", Placement::Native)];
    let placement = match fields.raw("placement") {
        Some(node) => fields::word(words)(node, report)?,
        None => Placement::Wasm,
    };
    match placement {
        Placement::Wasm => read_wasm(fields).map(DriverEntry::Wasm),
        Placement::Native => Some(DriverEntry::Native(read_native(fields))),
    }
}

fn read_wasm(mut fields: Fields<'_>) -> Option<WasmDriver> {
    let path = fields.required("path", read_path);
    let digest = fields.optional("digest", read_digest);
    let grants = fields.optional("grants", read_grants).unwrap_or_default();
    let limits = fields.optional("limits", read_limits).unwrap_or_default();
    let (kinds, config) = (read_kinds(&mut fields), read_config(&mut fields));
    fields.finish(WASM_HINTS);
    Some(WasmDriver {
        path: path?,
        digest,
        grants,
        limits,
        kinds,
        config,
    })
}

fn read_native(mut fields: Fields<'_>) -> NativeDriver {
    let wires = &[("default", Wire::Default), ("conveyor", Wire::Conveyor)];
    let wire = fields
        .optional("wire", fields::word(wires))
        .unwrap_or_default();
    let tokens = &[("optional", Token::Optional), ("required", Token::Required)];
    let token = fields
        .optional("token", fields::word(tokens))
        .unwrap_or_default();
    let (kinds, config) = (read_kinds(&mut fields), read_config(&mut fields));
    fields.finish(NATIVE_HINTS);
    NativeDriver {
        wire,
        token,
        kinds,
        config,
    }
}

fn read_config(fields: &mut Fields<'_>) -> Map<String, Value> {
    fields
        .optional("config", fields::map("`config`", CONFIG_BYTES_MAX))
        .unwrap_or_default()
}

fn read_kinds(fields: &mut Fields<'_>) -> Vec<String> {
    let kinds = fields.optional("kinds", |node, report| {
        let items = fields::list("kinds", KINDS_MAX)(node, report)?;
        let mut kinds = Vec::new();
        for item in items {
            let kind = fields::named("kind", names::check_subject_token)(item, report)?;
            if kinds.contains(&kind) {
                report.at(item.mark, format!("kind `{kind}` is given twice; keep one"));
            }
            kinds.push(kind);
        }
        Some(kinds)
    });
    kinds.unwrap_or_default()
}

fn read_path(node: &Node, report: &Report) -> Option<PathBuf> {
    let path = fields::text(node, report)?;
    if path.is_empty() || path.len() > PATH_BYTES_MAX || path.contains('\0') {
        report.at(
            node.mark,
            "no path of a file, or longer than the limit of 4096 bytes; give the driver's `.wasm`",
        );
        return None;
    }
    Some(PathBuf::from(path))
}

fn read_digest(node: &Node, report: &Report) -> Option<Digest> {
    let digest = fields::text(node, report)?.parse().ok();
    if digest.is_none() {
        let message =
            "a digest is `sha256:` and 64 digits from 0-9a-f, as `belt drivers inspect` prints it";
        report.at(node.mark, message);
    }
    digest
}

fn read_grants(node: &Node, report: &Report) -> Option<Grants> {
    let mut fields = Fields::open("`grants`", node, report)?;
    let workspaces = &[
        ("none", WorkspaceAccess::None),
        ("ro", WorkspaceAccess::Ro),
        ("rw", WorkspaceAccess::Rw),
    ];
    let workspace = fields
        .optional("workspace", fields::word(workspaces))
        .unwrap_or_default();
    let outs = &[("none", OutAccess::None), ("rw", OutAccess::Rw)];
    let out = fields
        .optional("out", fields::word(outs))
        .unwrap_or_default();
    fields.finish(&[]);
    Some(Grants { workspace, out })
}

fn read_limits(node: &Node, report: &Report) -> Option<Limits> {
    // A guest's memory comes in pages of 64 KiB.
    let memory_least = 64 << 10;
    let mut fields = Fields::open("`limits`", node, report)?;
    let limits = Limits {
        memory: fields.optional("memory", fields::size(memory_least, MEMORY_BYTES_MAX)),
        tables: fields.optional("tables", fields::whole(0, TABLE_ELEMENTS_MAX)),
        cpu: fields.optional("cpu", fields::timeout),
        output: fields.optional("output", fields::size(0, OUTPUT_BYTES_MAX)),
        written: fields.optional("written", fields::size(0, WRITTEN_BYTES_MAX)),
        files: fields.optional("files", fields::whole(0, FILES_MAX)),
        log: fields.optional("log", fields::size(0, LOG_BYTES_MAX)),
        log_lines: fields.optional("log_lines", fields::whole(0, LOG_LINES_MAX)),
    };
    fields.finish(LIMITS_HINTS);
    Some(limits)
}
