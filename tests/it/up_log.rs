//! `belt up --log-json`: every line on stderr is a JSON object, whatever is said.

use crate::belt::Bench;
use crate::live::Live;
use crate::up::{Up, up as args};
use serde_json::{Value, json};
use std::path::Path;

const LEVELS: [&str; 5] = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR"];

/// Each line, with what each line has.
#[track_caller]
fn lines(stderr: &str) -> Vec<Value> {
    let line = |text: &str| -> Value {
        let line: Value =
            serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
        let at = line["timestamp"].as_str().unwrap();
        assert!(at.parse::<jiff::Timestamp>().is_ok(), "{text}");
        assert!(LEVELS.contains(&line["level"].as_str().unwrap()), "{text}");
        assert!(!line["message"].as_str().unwrap().is_empty(), "{text}");
        assert!(line["target"].is_string(), "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");
        line
    };
    stderr.lines().map(line).collect()
}

#[track_caller]
fn has(lines: &[Value], level: &str, message: &str) {
    let is_it = |line: &&Value| line["message"].as_str().unwrap().contains(message);
    let line = lines.iter().find(is_it);
    let line = line.unwrap_or_else(|| panic!("no `{message}` in {lines:#?}"));
    assert_eq!(line["level"], level, "{line}");
}

/// Its begin, a file that cannot be used, a run that was cut off and could not go on, a wait for another owner, its end.
#[test]
fn a_life_in_json() {
    let bench = Bench::with_steps(&["latch"], &["{id: s, driver: latch}"]);
    // Whatever RUST_LOG says, words for people are said.
    let mut command = bench.command(&args(&["--log-json", "--drain", "1ms"]));
    command.env("RUST_LOG", "beltline=debug");
    let mut run = Live::run(&bench, &[]);
    run.until("at the latch");
    let mut live = Live::start(command);
    live.until("waiting for a `belt run` to end");
    let out = bench.latest()["out"].as_str().unwrap().to_owned();
    std::fs::write(Path::new(&out).join("s.open"), "").unwrap();
    assert_eq!(run.end().code, 0);
    let up = Up::of(&bench, live);
    up.ready("latch");
    bench.write("belt.yaml", "drivers: {none: {path: none.wasm}, bad: [}\n");
    up.until("/drivers", |drivers| drivers["trouble"].is_string());
    let said = up.terminate();
    assert_eq!(said.code, 0, "{said:?}");
    let lines = lines(&said.stderr);
    has(&lines, "INFO", "waiting for a `belt run` to end");
    has(&lines, "INFO", "belt is up at http://127.0.0.1:");
    has(&lines, "WARN", "the operator's file cannot be used");
    has(&lines, "INFO", "draining");
    has(&lines, "INFO", "down");
    assert_eq!(said.stdout, "");
}

#[test]
fn words_for_people_do_not_depend_on_how_much_is_logged() {
    let bench = Bench::new(&[]);
    let mut command = bench.command(&args(&["--log-json"]));
    command.env("RUST_LOG", "off");
    let said = Up::of(&bench, Live::start(command)).terminate();
    let lines = lines(&said.stderr);
    has(&lines, "INFO", "belt is up at");
    assert_eq!(lines.len(), 1, "{lines:#?}");
}

/// What keeps it from coming up, mistakes in several lines among it.
#[test]
fn why_it_does_not_come_up_is_json() {
    let bench = Bench::new(&[]);
    let up = Up::start(&bench);
    let said = |more: &[&str], code: i32| {
        let said = bench.belt(&args(&[more, &["--log-json"]].concat()));
        assert_eq!(said.code, code, "{said:?}");
        lines(&said.stderr)
    };
    has(&said(&[], 4), "ERROR", "a `belt up` has");
    let none = said(&["--config", "none.yaml"], 2);
    has(&none, "ERROR", "there is no `none.yaml`");
    bench.write("bad.yaml", "drivers: {a: {}, b: {pat: x}}\n");
    let bad = said(&["--config", "bad.yaml"], 2);
    has(&bad, "ERROR", "bad.yaml:1:");
    assert_eq!(bad.len(), 1, "{bad:#?}");
    let address = up.address.to_string();
    let there = bench.command(&["up", "--listen", &address, "--state", "other", "--log-json"]);
    let there = Live::start(there).end();
    has(&lines(&there.stderr), "ERROR", "cannot listen on");
    assert_eq!(json!(up.get("/health").is(200)["status"]), "ok");
}
