//! Native drivers as programs, against a real nats-server.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod ends;
mod lost;
#[path = "../../../../tests/it/proxy.rs"]
#[allow(dead_code, reason = "shared with the tests of the host")]
mod proxy;
mod server;
mod shared;
mod works;
mod world;
