//! Native drivers as programs, against a real nats-server.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod ends;
mod lost;
mod server;
mod shared;
mod works;
mod world;
