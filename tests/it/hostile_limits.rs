//! The limits of an attempt, each at its edge: what just fits goes through, what is over fails by the limit's
//! name and value.

use crate::belt::{Bench, Said, guest};
use crate::driver_files_made::{driver, driver_beside};
use serde_json::Value;

/// A bench with one step, `bad`, of a guest with these limits and this `with`.
fn bench(name: &str, limits: &str, with: &str) -> Bench {
    let bench = Bench::new(&[]);
    let path = guest(name).display().to_string();
    bench.write(
        "belt.yaml",
        format!("drivers: {{bad: {{path: {path}, limits: {limits}}}}}\n"),
    );
    bench.pipeline(
        "",
        &[&format!(
            "{{id: bad, driver: bad, timeout: 1m, with: {with}}}"
        )],
    );
    bench
}

/// A bench with one step of a driver written by hand.
fn by_hand(bytes: Vec<u8>, limits: &str) -> Bench {
    let bench = bench("echo", "{}", "{}");
    bench.write("bad.wasm", bytes);
    let config = format!("drivers: {{bad: {{path: bad.wasm, limits: {limits}}}}}\n");
    bench.write("belt.yaml", config);
    bench
}

/// Checks that it succeeds, and returns the step.
#[track_caller]
fn fits(bench: &Bench) -> Value {
    let said = bench.run(&["-o", "json"]);
    assert_eq!(said.code, 0, "{}{}", said.stdout, said.stderr);
    said.json()["steps"][0].clone()
}

/// Checks that it fails as this kind, with a reason that begins like this.
#[track_caller]
fn fails(bench: &Bench, kind: &str, reason: &str) -> Said {
    let said = bench.run(&["-o", "json"]);
    let failure = said.json()["failure"].clone();
    let found = failure["reason"].as_str().unwrap();
    assert_eq!(
        (said.code, failure["kind"].as_str()),
        (1, Some(kind)),
        "{found}"
    );
    assert!(
        found.starts_with(reason),
        "{found:?} does not begin with {reason:?}"
    );
    said
}

#[track_caller]
fn over(bench: &Bench, reason: &str) {
    fails(bench, "limit", reason);
}

#[test]
fn memory() {
    over(
        &bench("memory", "{}", "{}"),
        "over its memory limit of 64 MiB: ",
    );
    over(
        &bench("memory", "{memory: 16MiB}", "{}"),
        "over its memory limit of 16 MiB: ",
    );
    let none = bench("echo", "{memory: 64KiB}", "{}");
    over(
        &none,
        "over its memory limit of 64 KiB: memory minimum size of ",
    );
}

/// Two memories of 40 MiB: each is within the limit, both are not.
#[test]
fn all_memories_together() {
    let module = r#"(memory (export "memory") 640)
        (func (export "reconcile") (param i32) (result i32) unreachable)"#;
    fails(
        &by_hand(driver(module), "{}"),
        "trap",
        "wasm trap: wasm `unreachable`",
    );
    let other = "(core module $other (memory 640)) (core instance (instantiate $other))";
    over(
        &by_hand(driver_beside(module, other), "{}"),
        "over its memory limit of 64 MiB: memory minimum size of 640 pages",
    );
}

/// A module that stops at a bound of its own has run into no limit of ours.
#[test]
fn a_bound_of_the_driver_itself_is_no_limit_of_the_host() {
    let own = r#"(memory (export "memory") 1 2) (table 0 10 funcref)
        (func (export "reconcile") (param i32) (result i32)
            (drop (memory.grow (i32.const 2000)))
            (drop (table.grow (ref.null func) (i32.const 30000)))
            unreachable)"#;
    fails(
        &by_hand(driver(own), "{}"),
        "trap",
        "wasm trap: wasm `unreachable`",
    );
}

/// A guest that gets over a growth that was refused has died of what it says.
#[test]
fn a_refused_growth_is_not_blamed_for_a_later_panic() {
    fails(
        &bench("reserve", "{}", "{}"),
        "trap",
        "panicked at reserve.rs:",
    );
}

#[test]
fn tables() {
    let grow = r#"(memory (export "memory") 1) (table 0 funcref)
        (func (export "reconcile") (param i32) (result i32)
            (loop $more (br_if $more (i32.ge_s
                (table.grow (ref.null func) (i32.const 500)) (i32.const 0))))
            unreachable)"#;
    for (limits, elements) in [
        ("{}", 20_000),
        ("{tables: 1200}", 1_200),
        ("{tables: 30000}", 30_000),
    ] {
        let reason = format!("over its tables limit of {elements} elements: ");
        over(&by_hand(driver(grow), limits), &reason);
    }
}

#[test]
fn the_stack() {
    let bench = bench("recurse", "{}", "{}");
    over(
        &bench,
        "over its stack limit of 512 KiB: wasm trap: call stack exhausted\n  at recurse::deeper\n",
    );
}

#[test]
fn cpu_time() {
    over(
        &bench("spin", "{cpu: 200ms}", "{}"),
        "over its cpu limit of 200ms: ",
    );
    over(
        &bench("call_storm", "{cpu: 200ms}", "{}"),
        "over its cpu limit of 200ms: ",
    );
    // Sleep is no work: the attempt's own time ends it.
    let bench = bench("sleep", "{cpu: 50ms}", "{}");
    bench.pipeline("", &["{id: bad, driver: bad, timeout: 400ms}"]);
    fails(&bench, "attempt_timeout", "no answer within 400ms");
}

#[test]
fn the_output() {
    let step = fits(&bench("output_large", "{}", "{bytes: 262144}"));
    assert_eq!(step["output"].as_str().unwrap().len(), 262_142);
    let bench_over = bench("output_large", "{}", "{bytes: 262145}");
    over(
        &bench_over,
        "over its output limit of 256 KiB: the output has 262145 bytes",
    );
    assert_eq!(bench_over.latest()["steps"][0]["output"], Value::Null);
    fits(&bench("output_large", "{output: 1KiB}", "{bytes: 1024}"));
    let small = bench("output_large", "{output: 1KiB}", "{bytes: 1025}");
    over(
        &small,
        "over its output limit of 1 KiB: the output has 1025 bytes",
    );
}

#[test]
fn the_message_is_cut() {
    let step = fits(&bench("message_large", "{}", "{}"));
    let message = step["message"].as_str().unwrap();
    assert!(
        message.starts_with("word word ") && message.ends_with(" …"),
        "{message}"
    );
    assert!(
        (4_080..=4_096).contains(&message.len()),
        "{}",
        message.len()
    );
}

#[test]
fn a_reason_is_cut() {
    let reason = "why ".repeat(5_000);
    let with = format!("{{kind: permanent, reason: \"{reason}\"}}");
    let said = fails(&bench("fail", "{}", &with), "permanent", "why why ");
    let reason = said.json()["failure"]["reason"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        reason.ends_with(" …") && reason.len() <= 4_096,
        "{}",
        reason.len()
    );
}

#[test]
fn what_a_call_hands_to_the_host() {
    fits(&bench("call_large", "{}", "{bytes: 4000000}"));
    let five = bench("call_large", "{}", "{bytes: 5000000}");
    over(&five, "over its host-call data limit of 4 MiB: ");
}

#[test]
fn handles() {
    fits(&bench("handles", "{}", "{count: 400}"));
    over(
        &bench("handles", "{}", "{count: 1025}"),
        "over its handles limit of 1024 at once: ",
    );
}

#[test]
fn random_data() {
    fits(&bench("random_large", "{}", "{bytes: 65536}"));
    let more = bench("random_large", "{}", "{bytes: 65537}");
    over(&more, "over its random data limit of 64 KiB: ");
}
