//! Hundreds of attempts in one process, straight at the sandbox: what they break is their own, the process keeps its
//! size, and who comes next finds nothing of who was there before.

use crate::belt::{Bench, guest};
use crate::driver_files_made::{driver, logs_so_much};
use beltline::digest::Digest;
use beltline::documents::read_files;
use beltline::logs::{LogLine, LogSink};
use beltline::wasm::{
    Attempt, CancelFlag, Ended, HostSettings, Limits, Loaded, Meter, Request, RunContext, RunInfo,
    StepSummary, WasmHost,
};
use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::{Map, Value};
use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// For what ends by itself, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(100);

/// For what never does.
const GLANCE: Duration = Duration::from_millis(200);

struct Nothing;

/// A run without context and steps.
struct Empty(Map<String, Value>);

impl RunContext for Empty {
    fn values(&self) -> &Map<String, Value> {
        &self.0
    }

    fn steps(&self) -> Vec<StepSummary> {
        Vec::new()
    }

    fn output<'a>(&'a self, _: &'a str) -> BoxFuture<'a, anyhow::Result<Option<Arc<str>>>> {
        async { Ok(None) }.boxed()
    }
}

impl LogSink for Nothing {
    fn append(&self, _: LogLine) {}
}

fn host(guest_memory: u64) -> WasmHost {
    let guest_memory = Some(guest_memory);
    let cache = None;
    let settings = HostSettings {
        guest_memory,
        cache,
        compiler: None,
    };
    WasmHost::new(settings, Arc::new(|_| {})).unwrap()
}

fn load(host: &WasmHost, bytes: &[u8], limits: Limits) -> Loaded {
    host.load("d", Digest::of(bytes), bytes, limits, Arc::default())
        .unwrap()
}

/// One attempt, on this thread.
fn attempt(loaded: &Loaded, with: &str) -> Option<Ended> {
    attempt_for(PATIENCE, loaded, with)
}

/// One that is dropped when it has had so long; then there is no end of it.
fn attempt_for(patience: Duration, loaded: &Loaded, with: &str) -> Option<Ended> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let _admission = loaded.admit().await;
        let attempt = loaded.attempt(call(with));
        let ended = tokio::time::timeout(patience, attempt).await;
        ended.ok().map(Result::unwrap)
    })
}

fn call(with: &str) -> Attempt {
    let info = RunInfo {
        run_id: "run".to_owned(),
        pipeline: None,
        step_id: "step".to_owned(),
        attempt: 1,
        key: "key".to_owned(),
        deadline_ms: None,
        traceparent: None,
        dry_run: false,
    };
    Attempt {
        request: Request {
            event: "create".to_owned(),
            kind: "app".to_owned(),
            resource: "{}".to_owned(),
            with: with.to_owned(),
            info,
            extra: Vec::new(),
        },
        context: Arc::new(Empty(Map::new())),
        log: Arc::new(Nothing),
        cancel: CancelFlag::default(),
        folders: Arc::new([]),
        meter: Arc::new(Meter::start()),
    }
}

/// What it came to, in a word.
fn told(ended: Option<Ended>) -> String {
    match ended {
        None => "dropped".to_owned(),
        Some(Ended::Outcome { .. }) => "outcome".to_owned(),
        Some(Ended::Failure(failure)) => format!("{failure:?}"),
        Some(Ended::Trap(_)) => "trap".to_owned(),
        Some(Ended::Limit(over, _)) => over.to_string(),
    }
}

/// Runs a test once more in a process of its own, where nobody else needs memory.
fn alone(test: &str) -> bool {
    const ALONE: &str = "BELTLINE_TEST_ALONE";
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let mut again = Command::new(std::env::current_exe().unwrap());
    again.args(["--exact", test, "--nocapture"]);
    let output = again.env(ALONE, "1").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let why = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("1 passed"), "{said}{why}");
    false
}

/// A field of this process's status, in bytes.
fn status(field: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib << 10
}

#[test]
fn two_hundred_hostile_attempts_at_once() {
    if !alone("crowd::two_hundred_hostile_attempts_at_once") {
        return;
    }
    let host = host(512 << 20);
    let cpu = Duration::from_millis(50);
    let limits = Limits {
        cpu,
        ..Limits::default()
    };
    let over_cpu = "over its cpu limit of 50ms";
    let guests = [
        ("memory", "{}", "over its memory limit of 64 MiB"),
        ("recurse", "{}", "over its stack limit of 512 KiB"),
        ("spin", "{}", over_cpu),
        ("call_storm", "{}", over_cpu),
        ("log_flood", "{}", over_cpu),
        ("sleep", "{}", "dropped"),
        ("trap", "{}", "trap"),
        ("panic", "{}", "trap"),
        ("exit", "{}", "trap"),
        ("output_not_json", "{}", "trap"),
        (
            "output_large",
            r#"{"bytes": 300000}"#,
            "over its output limit of 256 KiB",
        ),
        (
            "call_large",
            r#"{"bytes": 5000000}"#,
            "over its host-call data limit of 4 MiB",
        ),
        (
            "handles",
            r#"{"count": 1025}"#,
            "over its handles limit of 1024 at once",
        ),
        (
            "random_large",
            r#"{"bytes": 65537}"#,
            "over its random data limit of 64 KiB",
        ),
    ];
    let loaded = guests.map(|(name, with, end)| {
        // Filling memory takes a machine without care as long as it takes.
        let limits = match name {
            "memory" => Limits::default(),
            _ => limits,
        };
        (
            name,
            load(&host, &fs::read(guest(name)).unwrap(), limits),
            with,
            end,
        )
    });
    thread::scope(|scope| {
        let (greedy, others) = loaded.split_first().unwrap();
        // Every second one takes all the memory that it gets.
        let crowd = others.iter().cycle().flat_map(|other| [greedy, other]);
        for (name, loaded, with, end) in crowd.take(200) {
            scope.spawn(move || {
                let patience = if *name == "sleep" { GLANCE } else { PATIENCE };
                let came = told(attempt_for(patience, loaded, with));
                assert_eq!(came, *end, "{name}");
            });
        }
    });
    let echo = load(&host, &fs::read(guest("echo")).unwrap(), Limits::default());
    assert_eq!(told(attempt(&echo, "{}")), "outcome");
    // Half a gigabyte of guests, the pool's warm pages, compiled code, two hundred threads.
    let peak = status("VmHWM:");
    assert!(peak < 1 << 30, "{} MiB at the most", peak >> 20);
}

#[test]
fn a_thousand_attempts_that_exhaust_their_memory_leave_none_of_it_behind() {
    if !alone("crowd::a_thousand_attempts_that_exhaust_their_memory_leave_none_of_it_behind") {
        return;
    }
    let host = host(512 << 20);
    let memory_bytes = 8 << 20;
    let limits = Limits {
        memory_bytes,
        ..Limits::default()
    };
    let loaded = load(&host, &fs::read(guest("memory")).unwrap(), limits);
    let exhaust = |times: u32| {
        for _ in 0..times {
            assert_eq!(
                told(attempt(&loaded, "{}")),
                "over its memory limit of 8 MiB"
            );
        }
        status("VmRSS:")
    };
    let early = exhaust(100);
    let late = exhaust(900);
    assert!(
        late <= early + early / 10,
        "{early} bytes, and {late} later"
    );
}

/// Finds no byte of whoever had its memory before, and leaves a pattern for whoever has it next: in all that it began
/// with and all that it grew by. It traps where it finds one; `order` is what it does first.
fn tenant(first: &str, then: &str) -> Vec<u8> {
    driver(&format!(
        r#"(memory (export "memory") 200)
        (func $scan (param $at i32)
            (loop $more
                (if (i64.ne (i64.load (local.get $at)) (i64.const 0)) (then unreachable))
                (local.set $at (i32.add (local.get $at) (i32.const 8)))
                (br_if $more (i32.lt_u (local.get $at) (i32.const 52428800)))))
        (func $fill (param $at i32)
            (memory.fill (local.get $at) (i32.const 0xA5)
                (i32.sub (i32.const 52428800) (local.get $at))))
        (func (export "reconcile") (param i32) (result i32)
            (drop (memory.grow (i32.const 600)))
            (call {first} (i32.const 65536))
            (call {then} (i32.const 65536))
            (i32.const 512))"#
    ))
}

#[test]
fn nothing_of_the_one_before_is_in_memory() {
    let host = host(512 << 20);
    let cpu = Duration::from_secs(60);
    let limits = Limits {
        cpu,
        ..Limits::default()
    };
    // It finds what is there.
    let itself = load(&host, &tenant("$fill", "$scan"), limits);
    assert_eq!(told(attempt(&itself, "{}")), "trap");
    let next = load(&host, &tenant("$scan", "$fill"), limits);
    for _ in 0..20 {
        assert_eq!(told(attempt(&next, "{}")), "outcome");
        // One that traps leaves its pattern as well.
        assert_eq!(told(attempt(&itself, "{}")), "trap");
    }
}

/// A text and a list that would be longer than all memory.
#[test]
fn four_gigabytes_in_an_answer_are_refused() {
    let host = host(512 << 20);
    for at in [516 + 8, 512 + 8 + 40 + 4] {
        let answer = driver(&format!(
            r#"(memory (export "memory") 1)
            (data (i32.const {at}) "\ff\ff\ff\ff")
            (func (export "reconcile") (param i32) (result i32) (i32.const 512))"#
        ));
        let loaded = load(&host, &answer, Limits::default());
        let came = told(attempt(&loaded, "{}"));
        assert!(
            came == "trap" || came.contains("host-call data"),
            "{at}: {came}"
        );
    }
}

/// And in what it hands to a call of the host.
#[test]
fn four_gigabytes_in_a_call_are_refused() {
    let host = host(512 << 20);
    let called = |message: i32, fields: i32| {
        let loaded = load(&host, &logs_so_much(message, fields), Limits::default());
        told(attempt(&loaded, "{}"))
    };
    assert_eq!(called(16, 0), "outcome");
    for (message, fields) in [(-1, 0), (16, -1), (16, i32::MAX)] {
        let came = called(message, fields);
        assert!(
            came == "trap" || came.contains("host-call data"),
            "{message} {fields}: {came}"
        );
    }
}

#[test]
fn a_component_with_a_hundred_thousand_functions() {
    let functions: String = (0..100_000)
        .map(|n| format!("(func (param i32) (result i32) local.get 0 i32.const {n} i32.add)\n"))
        .collect();
    let module = format!(
        r#"(memory (export "memory") 1) {functions}
        (func (export "reconcile") (param i32) (result i32) (i32.const 512))"#
    );
    let bench = Bench::with_steps(&[], &["{driver: many}"]);
    bench.write("many.wasm", driver(&module));
    bench.write("belt.yaml", "drivers: {many: {path: many.wasm}}\n");
    assert!(read_files(&[bench.path("belt.yaml")]).is_ok());
    let said = bench.run(&[]);
    assert_eq!(said.code, 0, "{}", said.stderr);
}
