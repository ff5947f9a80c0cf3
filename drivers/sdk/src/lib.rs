#![doc = include_str!("../README.md")]
//!
//! # What is where
//! [`driver!`] exports the function. [`Request`], [`Outcome`] and [`Failure`] are what goes in and comes out.
//! [`context`] has the pipeline's context, the earlier outputs and the steps; [`config`] the operator's
//! settings; [`workspace`] and [`out`] are the granted folders; [`cancel`] the wish to stop. `testing` runs a
//! driver without wasm, and `native` is what others build on who do (neither is there in a component).
//!
//! This crate owns the way from the WIT types to Rust's and back. It never decides what a driver may do:
//! the host does, and what was not granted is an error here that says so.

#[doc(hidden)]
pub mod bindings;
pub mod cancel;
mod config;
pub mod context;
mod driver;
mod failure;
mod folders;
mod host;
mod logger;
mod manifest;
#[cfg(not(target_family = "wasm"))]
pub mod native;
mod outcome;
mod reconcile;
mod request;
#[cfg(not(target_family = "wasm"))]
pub mod testing;

pub use config::config;
pub use failure::{Explain, Failure};
pub use folders::{out, out_path, workspace};
pub use outcome::Outcome;
pub use request::{Event, Request, Resource, RunInfo};

/// What the expansion of [`driver!`] needs. Not for people, and not covered by any promise.
#[doc(hidden)]
pub mod __private {
    pub use crate::bindings;
    pub use crate::bindings::exports::beltline::driver::reconciler::{
        Failure, Guest, Outcome, Request,
    };
    pub use crate::manifest::{Parts, length, text, write};
    pub use crate::reconcile::reconcile;
}
