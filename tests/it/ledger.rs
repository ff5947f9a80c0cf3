//! The ledger of an attempt, held against guests that use what they are told to: exact where it is a count, within
//! bounds where it is a time, and there however the attempt ended.

use crate::belt::{Bench, Said, guest};
use crate::driver_files_made::{driver, driver_beside};
use crate::live::Live;
use serde_json::{Value, json};
use std::net::TcpListener;

const PAGE: u64 = 64 << 10;

/// A bench with one step of this guest, granted the workspace, with these limits and more keys of the step.
fn bench(name: &str, limits: &str, keys: &str) -> Bench {
    let bench = Bench::new(&[]);
    let path = guest(name).display().to_string();
    let grants = "grants: {workspace: rw, out: rw}";
    bench.write(
        "belt.yaml",
        format!("drivers: {{d: {{path: {path}, limits: {limits}, {grants}}}}}\n"),
    );
    bench.pipeline("", &[&format!("{{id: d, driver: d, {keys}}}")]);
    bench
}

/// The ledger of the only attempt.
#[track_caller]
fn ledger(said: &Said) -> Value {
    let attempts = said.json()["steps"][0]["attempts"].clone();
    let [attempt] = attempts.as_array().unwrap().as_slice() else {
        panic!("{attempts}")
    };
    attempt["ledger"].clone()
}

/// The ledger of a guest that is told this and succeeds.
#[track_caller]
fn used(name: &str, with: &Value) -> Value {
    let said = bench(name, "{}", &format!("with: {with}")).run(&["-o", "json"]);
    assert_eq!(said.code, 0, "{}{}", said.stdout, said.stderr);
    ledger(&said)
}

#[track_caller]
fn number(ledger: &Value, name: &str) -> u64 {
    let number = ledger[name].as_u64();
    number.unwrap_or_else(|| panic!("no `{name}` in {ledger}"))
}

#[track_caller]
fn ms(ledger: &Value, name: &str) -> f64 {
    let number = ledger[name].as_f64();
    number.unwrap_or_else(|| panic!("no `{name}` in {ledger}"))
}

/// By how much each count of the second is more.
fn more(first: &Value, second: &Value) -> Vec<(String, u64)> {
    let counts = first.as_object().unwrap().iter();
    let counts = counts.filter(|(_, value)| value.is_u64());
    let difference = |name: &String| (name.clone(), number(second, name) - number(first, name));
    let all = counts.map(|(name, _)| difference(name));
    all.filter(|(_, more)| *more > 0).collect()
}

#[test]
fn calls_lines_and_memory_are_counted_exactly() {
    let with = |asks: u32, lines: u32, pages: u32| {
        let with = json!({"asks": asks, "lines": lines, "line_bytes": 100, "pages": pages});
        used("use_up", &with)
    };
    let little = with(100, 10, 1);
    let expected = [("host_calls", 100)].map(|(name, more)| (name.to_owned(), more));
    assert_eq!(more(&little, &with(200, 10, 1)), expected);
    let expected = [("host_calls", 10), ("log_bytes", 1_000)];
    let expected = expected.map(|(name, more)| (name.to_owned(), more));
    assert_eq!(more(&little, &with(100, 20, 1)), expected);
    let expected = [("memory_bytes".to_owned(), 100 * PAGE)];
    assert_eq!(more(&little, &with(100, 10, 101)), expected);
    assert_eq!(number(&little, "log_bytes"), 1_000);
    let none = ["calls_denied", "bytes_read", "bytes_written"];
    assert_eq!(none.map(|name| number(&little, name)), [0, 0, 0]);
}

/// What it began with and what it grew by, all memories together; what was refused it never had.
#[test]
fn memory_is_what_was_held_at_its_peak() {
    let bench = bench("echo", "{}", "");
    bench.write("belt.yaml", "drivers: {d: {path: d.wasm}}\n");
    let module = r#"(memory (export "memory") 5)
        (func (export "reconcile") (param i32) (result i32)
            (drop (memory.grow (i32.const 7)))
            (drop (memory.grow (i32.const 60000)))
            unreachable)"#;
    bench.write("d.wasm", driver(module));
    let said = bench.run(&["-o", "json"]);
    assert_eq!(number(&ledger(&said), "memory_bytes"), 12 * PAGE);
    let other = "(core module $other (memory 20)) (core instance (instantiate $other))";
    bench.write("d.wasm", driver_beside(module, other));
    let said = bench.run(&["-o", "json"]);
    assert_eq!(number(&ledger(&said), "memory_bytes"), 32 * PAGE);
}

#[test]
fn bytes_are_counted_whichever_way_they_go() {
    let ways = [
        "write",
        "stream",
        "stream_blocking",
        "append",
        "append_blocking",
        "set_size",
    ];
    for way in ways {
        let used = used("fill", &json!({"way": way, "times": 30, "bytes": 4_096}));
        assert_eq!(number(&used, "bytes_written"), 30 * 4_096, "{way}");
        assert_eq!(number(&used, "bytes_read"), 0, "{way}");
    }
    for way in ["read", "read_stream", "read_stream_blocking"] {
        let with = json!({"way": way, "times": 3, "bytes": 1_000});
        let bench = bench("fill", "{}", &format!("with: {with}"));
        bench.write("work/file", vec![1; 2_500]);
        let used = ledger(&bench.run(&["-o", "json"]));
        assert_eq!(number(&used, "bytes_read"), 2_500, "{way}");
        assert_eq!(number(&used, "bytes_written"), 0, "{way}");
    }
}

/// What was refused was not written, and what was there already was not made.
#[test]
fn what_did_not_happen_is_not_counted() {
    let used = used(
        "fill",
        &json!({"way": "write_read_only", "times": 5, "bytes": 4_096}),
    );
    assert_eq!(number(&used, "bytes_written"), 0);
    for way in ["same_file", "same_folder"] {
        let with = json!({"way": way, "times": 50, "bytes": 0});
        let bench = bench("fill", "{files: 3}", &format!("with: {with}"));
        let said = bench.run(&["-o", "json"]);
        assert_eq!(said.code, 0, "{way}: {}", said.stdout);
    }
}

#[test]
fn each_denied_call_is_counted() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    // A socket and a name.
    let denied = number(&used("connect", &json!({"port": port})), "calls_denied");
    assert_eq!(denied, 2);
    let to = json!({"authority": format!("127.0.0.1:{port}")});
    assert_eq!(number(&used("http", &to), "calls_denied"), 1);
    let act = json!({"read": "/workspace/../secret"});
    for times in [1, 7] {
        let acts = vec![act.clone(); times];
        let denied = number(&used("files", &json!({"do": acts})), "calls_denied");
        assert_eq!(denied, times as u64);
    }
    let absent = json!({"do": [{"read": "/workspace/not_there"}]});
    assert_eq!(number(&used("files", &absent), "calls_denied"), 0);
}

#[test]
fn cpu_time_is_that_of_who_computes_and_not_of_who_sleeps() {
    let said = bench("spin", "{cpu: 1s}", "timeout: 1m").run(&["-o", "json"]);
    assert_eq!(said.json()["failure"]["kind"], "limit");
    let used = ledger(&said);
    let cpu = ms(&used, "cpu_ms");
    assert!((900.0..1_500.0).contains(&cpu), "{used}");
    assert!(ms(&used, "wall_ms") >= cpu, "{used}");

    let said = bench("sleep", "{}", "timeout: 1s").run(&["-o", "json"]);
    assert_eq!(said.json()["failure"]["kind"], "attempt_timeout");
    let used = ledger(&said);
    assert!(ms(&used, "wall_ms") >= 900.0, "{used}");
    assert!(ms(&used, "cpu_ms") < 300.0, "{used}");
}

#[test]
fn it_is_there_however_an_attempt_ends() {
    let with = |then: &str, timeout: &str| {
        let with = json!({"lines": 3, "line_bytes": 100, "pages": 10, "then": then});
        format!("timeout: {timeout}, with: {with}")
    };
    let ends = [
        ("{}", "trap", "1m", "trap"),
        ("{}", "sleep", "2s", "attempt_timeout"),
        ("{}", "spin", "2s", "attempt_timeout"),
        ("{cpu: 100ms}", "spin", "1m", "limit"),
    ];
    for (limits, then, timeout, kind) in ends {
        let said = bench("use_up", limits, &with(then, timeout)).run(&["-o", "json"]);
        assert_eq!(said.json()["failure"]["kind"], kind, "{}", said.stdout);
        complete(&ledger(&said));
    }
    let bench = bench("use_up", "{}", &with("spin", "1m"));
    let mut live = Live::run(&bench, &[]);
    live.until("xxx");
    live.interrupt();
    live.until("stopping: steps under way");
    live.interrupt();
    let said = live.end();
    assert_eq!(said.code, 3, "{}", said.stderr);
    complete(&bench.latest()["steps"][0]["attempts"][0]["ledger"]);
    // And people see it.
    let get = bench.belt(&["runs", "get", "--state", "state"]).stdout;
    let line = get.lines().find(|line| line.starts_with("d     1      1 "));
    let line = line.unwrap_or_else(|| panic!("{get}"));
    assert!(line.contains(" 300 B ") && line.contains(" MiB "), "{line}");
}

#[track_caller]
fn complete(used: &Value) {
    assert_eq!(number(used, "log_bytes"), 300, "{used}");
    assert!(number(used, "host_calls") >= 3, "{used}");
    assert!(number(used, "memory_bytes") > 10 * PAGE, "{used}");
    let (cpu, wall) = (ms(used, "cpu_ms"), ms(used, "wall_ms"));
    assert!(0.0 < cpu && cpu <= wall, "{used}");
}
