//! The rules of a run as scripts: sentences in, a transcript out. The scripts are sorted by what they
//! are about; `script.rs` says which sentences there are.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

#[path = "scripts/script.rs"]
mod script;

#[path = "scripts/answers.rs"]
mod answers;
#[path = "scripts/cancelling.rs"]
mod cancelling;
#[path = "scripts/crashes.rs"]
mod crashes;
#[path = "scripts/deadlines.rs"]
mod deadlines;
#[path = "scripts/native.rs"]
mod native;
#[path = "scripts/order.rs"]
mod order;
#[path = "scripts/retries.rs"]
mod retries;
#[path = "scripts/rounds.rs"]
mod rounds;
