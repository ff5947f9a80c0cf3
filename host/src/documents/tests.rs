//! Every message that a person can meet, and every form that is read.

mod configuration;
mod files;
mod fuzz;
mod overriding;
mod pipelines;
mod resources;
mod syntax;
mod together;

use std::sync::mpsc;
use std::time::Duration;

use expect_test::Expect;

use super::{Documents, read_bytes};

/// Reads a text as a file of that name; the answer is the canonical JSON of its documents, one a line, or
/// the mistakes.
fn check_file(file: &str, text: impl AsRef<[u8]>, expected: Expect) {
    let answer = match read_bytes(file, text.as_ref()) {
        Ok(documents) => canonical(&documents),
        Err(mistakes) => mistakes.to_string(),
    };
    expected.assert_eq(&answer);
}

fn check(yaml: &str, expected: Expect) {
    check_file("f.yaml", yaml, expected);
}

fn canonical(documents: &Documents) -> String {
    let mut lines = Vec::new();
    lines.extend(
        documents
            .pipelines
            .iter()
            .map(|one| serde_json::to_string(&one.value).unwrap()),
    );
    lines.extend(
        documents
            .resources
            .iter()
            .map(|one| serde_json::to_string(&one.value).unwrap()),
    );
    lines.extend(
        documents
            .definitions
            .iter()
            .map(|one| serde_json::to_string(&one.value).unwrap()),
    );
    lines.extend(
        documents
            .configs
            .iter()
            .map(|one| serde_json::to_string(&one.value).unwrap()),
    );
    lines.join("\n")
}

/// Fails where an answer takes longer than anybody waits. What takes for ever is left to run.
fn in_time<T: Send + 'static>(answer: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || sender.send(answer()));
    receiver
        .recv_timeout(Duration::from_secs(20))
        .expect("an answer within 20 s")
}
