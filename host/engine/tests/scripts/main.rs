//! The rules of a run as scripts: sentences in, a transcript out. The scripts are sorted by what they
//! are about; `script.rs` says which sentences there are.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod script;
mod sentences;
mod transcript;

mod answers;
mod cancelling;
mod crashes;
mod deadlines;
mod native;
mod order;
mod retries;
mod rounds;
