//! End to end: the real `belt`, real components, real files.

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

mod belt;

mod examples;
mod runs;
