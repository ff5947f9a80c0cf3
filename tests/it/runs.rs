//! What a run does when all is well: order, context, outputs, retries, rounds.

use crate::belt::Bench;
use serde_json::json;

#[test]
fn three_drivers_read_the_same_context_and_what_came_before() {
    let bench = Bench::new(&["echo"]);
    let steps = [
        "{id: one, driver: echo, with: {n: 1}}",
        "{id: two, driver: echo}",
        "{id: three, driver: echo}",
    ];
    bench.pipeline("context: {severity: high, deep: {list: [1, null]}}", &steps);
    let run = bench.run(&["-o", "json"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let run = run.json();
    let context = json!({"severity": "high", "deep": {"list": [1, null]}});
    for (index, step) in run["steps"].as_array().unwrap().iter().enumerate() {
        assert_eq!(step["status"], "succeeded");
        assert_eq!(step["output"]["context"], context);
        assert_eq!(step["output"]["outputs"].as_object().unwrap().len(), index);
        assert_eq!(step["output"]["resource"]["spec"], json!({"size": 3}));
        assert_eq!(step["output"]["resource"]["generation"], 1);
        assert_eq!(step["output"]["attempt"], 1);
        assert_eq!(step["output"]["has_deadline"], true);
    }
    let third = &run["steps"][2]["output"];
    assert_eq!(third["outputs"]["one"]["with"], json!({"n": 1}));
    assert_eq!(third["outputs"]["two"]["outputs"]["one"]["step"], "one");
    assert_eq!(third["steps"][1]["status"], "succeeded");
    assert_eq!(third["steps"][2]["status"], "running");
    assert_eq!(
        third["key"],
        format!("{}/three/1", run["run"].as_str().unwrap())
    );
}

#[test]
fn the_first_failure_ends_the_run_and_later_steps_are_skipped() {
    let bench = Bench::with_steps(
        &["echo", "fail"],
        &[
            "{id: a, driver: echo}",
            "{id: b, driver: fail, with: {kind: permanent, reason: no such thing}}",
            "{id: c, driver: echo}",
        ],
    );
    let run = bench.run(&["-o", "json"]);
    assert_eq!(run.code, 1, "{}", run.stderr);
    let run = run.json();
    assert_eq!(run["status"], "failed");
    assert_eq!(
        run["failure"],
        json!({"step": "b", "kind": "permanent", "reason": "no such thing"})
    );
    assert_eq!(
        run["steps"][1]["failure"],
        json!({"kind": "permanent", "reason": "no such thing"})
    );
    assert_eq!(run["steps"][2]["status"], "skipped");
    assert_eq!(run["steps"][2]["attempts"], json!([]));
}

#[test]
fn a_retryable_failure_is_tried_again_under_the_same_key() {
    let step = "{driver: fail, with: {kind: retryable, before_attempt: 3}, retry: {max_attempts: 4, backoff: 1ms}}";
    let bench = Bench::with_steps(&["fail"], &[step]);
    let run = bench.run(&["-o", "json"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let run = run.json();
    let step = &run["steps"][0];
    let kinds: Vec<_> = step["attempts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|a| a["failure"]["kind"].clone())
        .collect();
    assert_eq!(kinds, [json!("retryable"), json!("retryable"), json!(null)]);
    assert_eq!(
        step["output"],
        json!({"attempt": 3, "key": format!("{}/fail/1", run["run"].as_str().unwrap())})
    );
}

#[test]
fn what_is_not_retryable_is_not_tried_again() {
    for kind in ["permanent", "other"] {
        let step = format!(
            "{{driver: fail, with: {{kind: {kind}}}, retry: {{max_attempts: 4, backoff: 1ms}}}}"
        );
        let bench = Bench::with_steps(&["fail"], &[&step]);
        assert_eq!(bench.run(&[]).code, 1);
        let run = bench.latest();
        assert_eq!(
            run["steps"][0]["attempts"].as_array().unwrap().len(),
            1,
            "{kind}"
        );
        assert_eq!(run["failure"]["kind"], kind);
    }
}

#[test]
fn a_driver_that_says_cancelled_cancels_the_run() {
    let bench = Bench::with_steps(
        &["fail", "echo"],
        &["{driver: fail, with: {kind: cancelled}}", "{driver: echo}"],
    );
    assert_eq!(bench.run(&[]).code, 3);
    let run = bench.latest();
    assert_eq!(
        (&run["status"], &run["steps"][1]["status"]),
        (&json!("cancelled"), &json!("cancelled"))
    );
}

#[test]
fn one_driver_several_times_in_one_pipeline() {
    let bench = Bench::with_steps(
        &["echo"],
        &[
            "{id: a, driver: echo, with: {n: 1}}",
            "{id: b, driver: echo, with: {n: 2}}",
            "{id: again, driver: echo, with: {n: 1}}",
        ],
    );
    let run = bench.run(&["-o", "json"]).json();
    let said: Vec<_> = run["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| s["output"]["with"]["n"].clone())
        .collect();
    assert_eq!(said, [json!(1), json!(2), json!(1)]);
    assert_eq!(run["drivers"].as_object().unwrap().len(), 1);
}

#[test]
fn the_operators_config_reaches_the_driver() {
    let bench = Bench::with_steps(&["echo"], &["{driver: echo}"]);
    let config = bench
        .read("belt.yaml")
        .replace("grants:", "config: {token: abc}, grants:");
    bench.write("belt.yaml", config);
    let run = bench.run(&["-o", "json"]).json();
    assert_eq!(run["steps"][0]["output"]["config"], json!({"token": "abc"}));
}

#[test]
fn a_set_overrides_the_context_for_every_driver() {
    let bench = Bench::new(&["echo"]);
    bench.pipeline("context: {severity: high, other: 1}", &["{driver: echo}"]);
    let run = bench.run(&["-o", "json", "--set", "severity=low"]).json();
    assert_eq!(
        run["steps"][0]["output"]["context"],
        json!({"severity": "low", "other": 1})
    );
}

#[test]
fn the_table_names_steps_and_what_became_of_them() {
    let bench = Bench::with_steps(
        &["echo", "fail"],
        &[
            "{driver: echo}",
            "{driver: fail, with: {reason: out of milk}}",
        ],
    );
    let said = bench.run(&[]);
    let lines: Vec<_> = said.stdout.lines().collect();
    assert!(
        lines[0].starts_with("  STEP  DRIVER  STATUS     ATTEMPTS"),
        "{}",
        said.stdout
    );
    assert!(
        lines[1].starts_with("✓ echo  echo    succeeded  1"),
        "{}",
        said.stdout
    );
    assert!(
        lines[2].starts_with("✗ fail  fail    failed     1") && lines[2].ends_with("out of milk"),
        "{}",
        said.stdout
    );
    assert!(
        said.stdout.contains("fail: other: out of milk"),
        "{}",
        said.stdout
    );
    assert!(
        !said.stdout.contains('\u{1b}'),
        "colours where nobody sees them"
    );
    assert!(said.stderr.contains("✓ echo  succeeded"), "{}", said.stderr);
}

#[test]
fn a_driver_cannot_write_to_the_terminal_by_itself() {
    let bench = Bench::with_steps(&["escape"], &["{driver: escape}"]);
    let shown = |args: &[&str]| {
        let output = bench
            .command(args)
            .env("CLICOLOR_FORCE", "1")
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        assert!(said.contains(&0x1b), "colours are on");
        String::from_utf8(said).unwrap()
    };
    let run = [
        "run",
        "-f",
        "pipeline.yaml",
        "-r",
        "resource.yaml",
        "--state",
        "state",
    ];
    for args in [
        &run[..],
        &["runs", "get", "--state", "state"],
        &["runs", "logs", "--state", "state"],
    ] {
        let said = shown(args);
        assert!(
            !said.contains("\u{1b}]0;") && !said.contains("\u{1b}[2K") && !said.contains('\r'),
            "{said:?}"
        );
        assert!(said.contains("owned"), "{said:?}");
    }
}
