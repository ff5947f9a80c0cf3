//! Runs a driver as a program of its own, which takes its work from NATS JetStream.

use async_nats as _;
