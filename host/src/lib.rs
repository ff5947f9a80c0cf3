//! Beltline's host: runs pipelines of drivers.
//!
//! Modules in reading order: what people write, what is stored, what runs, and what is shown.

pub mod clock;
pub mod digest;
pub mod durable;
pub mod text;

pub mod documents;
pub mod drivers;
pub mod plan;

pub mod ledger;
pub mod logs;
pub mod records;
pub mod runs;
pub mod said;
pub mod state;
pub mod store;
pub mod workspaces;

pub mod wasm;

pub mod bridge;
pub mod catalog;
pub mod launch;
pub mod owner;
pub mod runner;
pub mod view;

#[allow(unused_qualifications, reason = "of utoipa's macros")]
pub mod api;
pub mod client;

pub mod cli;
