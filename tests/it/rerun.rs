//! A rerun is a new run of old snapshots: the operator's grants and pins of today, the folders of then.

use crate::belt::{Bench, Said};
use serde_json::json;

const FILES: &str = "{driver: files, with: {do: [{write: /out/made, text: x}]}}";

fn rerun(bench: &Bench) -> Said {
    bench.belt(&["runs", "rerun", "--state", "state", "-o", "json"])
}

#[test]
fn a_rerun_takes_the_out_folder_that_was_given() {
    let bench = Bench::with_steps(&["files"], &[FILES]);
    assert_eq!(bench.run(&["--out", "chosen"]).code, 0);
    std::fs::remove_file(bench.path("chosen/made")).unwrap();
    let run = rerun(&bench).json();
    assert!(run["out"].as_str().unwrap().ends_with("/chosen"), "{run}");
    assert_eq!(bench.read("chosen/made"), "x");
}

#[test]
fn a_rerun_has_the_grants_of_today() {
    let bench = Bench::with_steps(&["files"], &[FILES]);
    let granted = bench.read("belt.yaml");
    bench.write("belt.yaml", granted.replace("out: rw", "out: none"));
    let run = bench.run(&["-o", "json"]).json();
    assert_eq!(
        run["steps"][0]["output"],
        json!([{"error": run["steps"][0]["output"][0]["error"]}])
    );
    bench.write("belt.yaml", granted);
    let again = rerun(&bench).json();
    assert_eq!(again["steps"][0]["output"], json!([{"ok": ""}]));
    assert_eq!(again["rerun_of"], run["run"]);
}

#[test]
fn a_rerun_refuses_bytes_that_are_pinned_to_others() {
    let bench = Bench::with_steps(&["echo"], &["{driver: echo}"]);
    assert_eq!(bench.run(&[]).code, 0);
    let pin = format!("digest: \"sha256:{}\", grants:", "0".repeat(64));
    let config = bench.read("belt.yaml").replace("grants:", &pin);
    bench.write("belt.yaml", config);
    let said = rerun(&bench);
    assert_eq!(said.code, 2, "{}", said.stderr);
    assert!(
        said.stderr.contains("driver `echo`") && said.stderr.contains("pins sha256:0000"),
        "{}",
        said.stderr
    );
}

#[test]
fn a_damaged_copy_of_a_driver_is_mended_by_the_next_run() {
    let bench = Bench::with_steps(&["echo"], &["{driver: echo}"]);
    assert_eq!(bench.run(&[]).code, 0);
    let kept = std::fs::read_dir(bench.path("state/drivers"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    std::fs::write(&kept, b"").unwrap();
    assert_eq!(rerun(&bench).code, 4);
    assert_eq!(bench.run(&[]).code, 0);
    assert_eq!(rerun(&bench).code, 0);
}

#[test]
fn a_run_is_named_by_the_begin_of_its_id() {
    let bench = Bench::with_steps(&["echo"], &["{driver: echo}"]);
    let run = bench.run(&["-o", "json"]).json();
    let id = run["run"].as_str().unwrap();
    let get = |begin: &str| bench.belt(&["runs", "get", begin, "--state", "state", "-o", "json"]);
    assert_eq!(get(&id[..20]).json()["run"], id);
    bench.run(&[]);
    let both = get("0");
    assert_eq!(both.code, 2);
    assert!(
        both.stderr.contains("2 runs' ids begin with `0`"),
        "{}",
        both.stderr
    );
    let none = get("ffff");
    assert!(
        none.code == 2 && none.stderr.contains("no run's id begins with `ffff`"),
        "{}",
        none.stderr
    );
}

#[test]
fn a_list_has_no_attempts_rather_than_none() {
    let bench = Bench::with_steps(&["echo"], &["{driver: echo}"]);
    assert_eq!(bench.run(&[]).code, 0);
    let list = bench
        .belt(&["runs", "list", "--state", "state", "-o", "json"])
        .json();
    assert_eq!(list[0]["steps"][0]["status"], "succeeded");
    assert_eq!(list[0]["steps"][0].get("attempts"), None);
}
