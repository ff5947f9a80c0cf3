//! The JSON on which Beltline's host and its drivers must agree, and how both read a broker's URL.
//!
//! Owns the shapes, their limits and the checks that need nothing but the text. Never opens a file or a
//! socket, and never decides what a driver may do: the host compares what a driver wants with what the
//! operator grants.

mod broker;
mod dispatch;
mod limits;
mod manifest;
mod name;
mod result;
pub mod subjects;

pub use broker::{BrokerUrls, Login};
pub use dispatch::{
    Cancel, Dispatch, DispatchedAttempt, DispatchedStep, OUTPUTS_BYTES_MAX, OutputReply,
    OutputRequest,
};
pub use limits::{MESSAGE_BYTES_MAX, OUTPUT_BYTES_MAX};
pub use manifest::{
    MANIFEST_BYTES_MAX, MANIFEST_SECTION, MANIFEST_VERSION, Manifest, ManifestError, OutAccess,
    Wants, WorkspaceAccess,
};
pub use name::{NAME_BYTES_MAX, NameError, RESERVED_NAMES, check_name};
pub use result::{DriverFailure, DriverLog, DriverOutcome, DriverResult};
