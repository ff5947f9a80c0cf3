//! Everything that a driver says lands in its step's log: stdout, stderr and the `log` import, in order.

use crate::belt::Bench;
use expect_test::expect;
use serde_json::{Value, json};

fn bench() -> Bench {
    let bench = Bench::new(&["say"]);
    bench.pipeline("", &["{id: one, driver: say}", "{id: second, driver: say}"]);
    let said = bench.run(&[]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    bench
}

fn logs(bench: &Bench, more: &[&str]) -> String {
    let said = bench.belt(&[&["runs", "logs", "--state", "state"], more].concat());
    assert_eq!((said.code, said.stderr.as_str()), (0, ""));
    said.stdout
}

/// The lines that `say` writes as this step.
fn expected(step: &str) -> Vec<Value> {
    let line = |level: &str, message: String| json!({"step": step, "attempt": 1, "level": level, "message": message});
    let mut through_log = line("info", format!("{step} through log"));
    through_log["fields"] = json!({"count": 3, "text": "not JSON"});
    vec![
        line("info", format!("{step} on stdout")),
        line("warn", format!("{step} on stderr")),
        through_log,
        line("info", "without a line end".to_owned()),
    ]
}

/// Lines for programs, each without its time, which is checked to be one.
fn lines(bench: &Bench, more: &[&str]) -> Vec<Value> {
    let text = logs(bench, &[&["-o", "json"], more].concat());
    let mut lines: Vec<Value> = serde_json::from_str(&text).unwrap();
    let mut before = 0;
    for line in &mut lines {
        let at_ms = line
            .as_object_mut()
            .unwrap()
            .remove("at_ms")
            .unwrap()
            .as_u64()
            .unwrap();
        assert!(at_ms >= before, "{text}");
        before = at_ms;
    }
    lines
}

#[test]
fn for_programs() {
    let bench = bench();
    assert_eq!(
        lines(&bench, &[]),
        [expected("one"), expected("second")].concat()
    );
    assert_eq!(lines(&bench, &["--step", "second"]), expected("second"));
}

#[test]
fn for_people() {
    let bench = bench();
    let without_time = |text: &str| {
        let lines = text
            .lines()
            .map(|line| line.split_once(' ').unwrap().1.to_owned());
        lines.collect::<Vec<_>>().join("\n")
    };
    let text = logs(&bench, &["--step", "one"]);
    let first = text
        .lines()
        .next()
        .unwrap()
        .split_once(' ')
        .unwrap()
        .0
        .to_owned();
    assert!(
        first.starts_with("20") && first.ends_with('Z') && first.contains('T'),
        "{first}"
    );
    expect![[r#"
        one info  one on stdout
        one warn  one on stderr
        one info  one through log count=3 text="not JSON"
        one info  without a line end"#]]
    .assert_eq(&without_time(&text));
}

#[test]
fn an_unknown_step_is_named() {
    let bench = bench();
    let said = bench.belt(&["runs", "logs", "--state", "state", "--step", "third"]);
    assert_eq!(said.code, 2);
    assert_eq!(
        said.stderr,
        "error: the run has no step `third`; it has one, second\n"
    );
}
