//! Paths that a run keeps, given anew when it goes on.

use crate::belt::Bench;
use serde_json::json;

#[test]
fn a_retry_takes_the_folders_given_anew_and_the_run_keeps_them() {
    let bench = Bench::with_steps(
        &["files", "fail"],
        &[
            "{driver: files, with: {do: [{write: /out/made, text: x}, {list: /workspace}]}}",
            "{driver: fail, with: {kind: permanent, before_attempt: 2}}",
        ],
    );
    assert_eq!(bench.run(&["--out", "first"]).code, 1);
    assert_eq!(bench.read("first/made"), "x");
    bench.write("elsewhere/seen", "");
    let more = [
        "--from",
        "files",
        "--out",
        "second",
        "--workspace",
        "elsewhere",
    ];
    let retry = bench.belt(&[&["runs", "retry", "--state", "state"], &more[..]].concat());
    assert_eq!(retry.code, 0, "{}", retry.stderr);
    assert_eq!(bench.read("second/made"), "x");
    let run = bench.latest();
    assert_eq!(run["steps"][0]["output"][1], json!({"ok": "seen"}));
    assert_eq!(run["steps"][0]["attempts"].as_array().unwrap().len(), 2);
    let ends_with = |key: &str, end: &str| run[key].as_str().unwrap().ends_with(end);
    assert!(
        ends_with("out", "/second") && ends_with("workspace", "/elsewhere"),
        "{run}"
    );
    assert_eq!(run["round"], 2);
    // The time of a round is its own, without what lay between it and the one before.
    assert!(run["elapsed_ms"].as_u64().unwrap() < 60_000);
}
