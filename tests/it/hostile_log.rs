//! Drivers that say too much, or what is no text: the log keeps what fits and says what it dropped, and none of
//! it fails an attempt.

use crate::belt::{Bench, guest};
use serde_json::Value;

/// A bench with one step, `bad`, of a guest with these limits; `keys` are more of the step.
fn bench(name: &str, limits: &str, keys: &str) -> Bench {
    let bench = Bench::new(&[]);
    let path = guest(name).display().to_string();
    bench.write(
        "belt.yaml",
        format!("drivers: {{bad: {{path: {path}, limits: {limits}}}}}\n"),
    );
    bench.pipeline(
        "timeout: 1m",
        &[&format!("{{id: bad, driver: bad, {keys}}}")],
    );
    bench
}

/// Runs it, checks the exit code, and gives the lines of the log.
#[track_caller]
fn log(bench: &Bench, code: i32) -> Vec<Value> {
    let said = bench.run(&["-o", "json"]);
    assert_eq!(said.code, code, "{}", said.stderr);
    let log = bench.belt(&["runs", "logs", "--state", "state", "-o", "json"]);
    log.json().as_array().unwrap().clone()
}

fn message(line: &Value) -> &str {
    line["message"].as_str().unwrap()
}

#[test]
fn lines_over_the_limit_are_dropped_and_counted() {
    let lines = log(&bench("log_flood", "{}", "with: {lines: 20000}"), 0);
    assert_eq!(lines.len(), 10_001);
    assert_eq!(
        (message(&lines[0]), message(&lines[9_999])),
        ("line 0", "line 9999")
    );
    let last = &lines[10_000];
    assert_eq!(
        message(last),
        "10000 lines dropped: the log's limit is 10000 lines, 4 MiB"
    );
    assert_eq!(last["level"], "warn");
}

#[test]
fn the_operator_sets_the_limits() {
    let lines = log(&bench("log_flood", "{log_lines: 3}", "with: {lines: 5}"), 0);
    assert_eq!(lines.len(), 4);
    assert_eq!(
        message(&lines[3]),
        "2 lines dropped: the log's limit is 3 lines, 4 MiB"
    );
    let lines = log(&bench("log_flood", "{log: 20B}", "with: {lines: 5}"), 0);
    assert_eq!(lines.len(), 4);
    assert_eq!(
        message(&lines[3]),
        "2 lines dropped: the log's limit is 10000 lines, 20 B"
    );
}

/// Whoever stops the attempt, its log still has its end.
#[test]
fn an_endless_flood_is_kept_to_the_limit_and_counted() {
    let lines = log(&bench("log_flood", "{}", "timeout: 8s"), 1);
    assert_eq!(lines.len(), 10_001);
    let last = message(&lines[10_000]);
    assert!(
        last.ends_with(" lines dropped: the log's limit is 10000 lines, 4 MiB"),
        "{last}"
    );
}

#[test]
fn bytes_that_are_no_text_are_marked() {
    let lines = log(&bench("not_utf8", "{}", ""), 0);
    let said: Vec<_> = lines
        .iter()
        .map(|line| (line["level"].as_str().unwrap(), message(line)))
        .collect();
    assert_eq!(
        said,
        [
            ("info", "out \u{fffd}\u{fffd} end"),
            ("warn", "err \u{fffd}")
        ]
    );
}

#[test]
fn a_line_without_end_is_cut() {
    let lines = log(&bench("call_large", "{}", "with: {bytes: 100000}"), 0);
    let [line] = lines.as_slice() else {
        panic!("{} lines", lines.len())
    };
    assert!(message(line).len() <= 16 << 10 && message(line).ends_with("x …"));
}
