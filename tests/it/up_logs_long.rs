//! Long logs and many runs: a server reads them a page at a time, whoever asks.

use crate::belt::Bench;
use crate::up::{Up, id};
use serde_json::{Value, json};
use std::fs;
use std::io::Write;
use std::path::Path;
use std::thread;

/// What a run's log takes from clients.
const LOG_BYTES: usize = 16 << 20;

/// Pages as text and as lines, for eight clients, and what an allocator keeps of them for each thread: no more where the log is
/// of 64 MiB. Eight logs of 16 MiB, as lines and as JSON, are half a gigabyte.
const GROWN_BYTES_MAX: u64 = 96 << 20;

/// A field of a process's status, in bytes.
fn status(pid: u32, field: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib << 10
}

/// How far a process's most memory exceeds what it held before.
fn grown(up: &Up, work: impl FnOnce()) -> u64 {
    // From now on the most is counted anew.
    fs::write(format!("/proc/{}/clear_refs", up.pid()), "5").unwrap();
    let before = status(up.pid(), "VmRSS:");
    work();
    status(up.pid(), "VmHWM:").saturating_sub(before)
}

/// A run that has ended and whose log has 16 MiB: of its step, and of one that it has not.
fn long_log(bench: &Bench, up: &Up) -> (String, usize) {
    up.line("line", json!([{"id": "one", "driver": "say"}]));
    let body = json!({"name": "thing", "resource": "app", "pipeline": "line", "spec": {}});
    let run = id(&up.post("/resources", &body).is(201));
    up.ended(&run);
    let lines = lengthen(bench, &run);
    (run, lines)
}

/// Writes into the log of a run until it has 16 MiB. Says how many lines that are.
fn lengthen(bench: &Bench, run: &str) -> usize {
    let path = bench.path(&format!("state/logs/{run}.jsonl"));
    let mut log = fs::read(&path).unwrap();
    let mut lines = String::from_utf8(log.clone()).unwrap().lines().count();
    while log.len() < LOG_BYTES {
        let (step, attempt) = [("one", 1), ("other", 0)][lines % 2];
        let message = format!("{lines} {}", "x".repeat(200));
        let line = json!({"at_ms": lines, "step": step, "attempt": attempt, "level": "info", "message": message});
        writeln!(log, "{line}").unwrap();
        lines += 1;
    }
    fs::write(&path, log).unwrap();
    lines
}

/// Those of a run's own numbering, in their order.
fn numbers<'l>(messages: impl Iterator<Item = &'l Value>) -> Vec<u64> {
    let numbers = messages.filter_map(|message| message.as_str()?.split_once(" x")?.0.parse().ok());
    numbers.collect()
}

#[test]
fn logs_of_16_mib_are_read_by_many_within_bounds() {
    let bench = Bench::new(&["say"]);
    let up = Up::start(&bench);
    let (run, lines) = long_log(&bench, &up);
    let paths = [format!("/runs/{run}/logs"), format!("/logs?runid={run}")];
    // What the first readers of all have it keep is no part of it.
    for path in &paths {
        up.get(path).is(200);
    }
    let grown_by = grown(&up, || {
        thread::scope(|scope| {
            for path in paths.iter().cycle().take(8) {
                let up = &up;
                scope.spawn(move || {
                    let found = up.get(path).is(200);
                    let found = found.as_array().unwrap();
                    let numbers = numbers(found.iter().map(|line| &line["message"]));
                    let last = u64::try_from(lines).unwrap();
                    let first = numbers[0];
                    assert_eq!(numbers, (first..last).collect::<Vec<_>>(), "{path}");
                    match path.starts_with("/runs") {
                        true => assert_eq!(found.len(), lines),
                        // Of Conveyor's route the latest lines.
                        false => assert_eq!(found.len(), 10_000),
                    }
                });
            }
        });
    });
    assert!(grown_by < GROWN_BYTES_MAX, "{} MiB more", grown_by >> 20);
    let of_step = up.get(&format!("/runs/{run}/logs?step=one")).is(200);
    assert!(of_step.as_array().unwrap().len().abs_diff(lines / 2) < 10);
}

/// By clients that read no more than the begin, too.
#[test]
fn the_progress_of_a_run_with_16_mib_of_log_is_told_within_bounds() {
    let bench = Bench::new(&["say"]);
    let up = Up::start(&bench);
    let (run, lines) = long_log(&bench, &up);
    let path = format!("/runs/{run}/progress");
    assert!(up.frames(&path, &[]).count() > lines);
    let grown_by = grown(&up, || {
        let slow: Vec<_> = (0..8)
            .map(|_| {
                let mut frames = up.frames(&path, &[]);
                frames.next().unwrap();
                frames
            })
            .collect();
        let told: Vec<_> = up.frames(&path, &[]).collect();
        let said = told.iter().filter(|frame| frame.event == "log");
        let said: Vec<_> = said.map(|frame| frame.data["message"].clone()).collect();
        assert_eq!(said.len(), lines);
        assert!(numbers(said.iter()).is_sorted());
        assert_eq!(
            told.iter()
                .filter(|frame| frame.data["event"] == "run_ended")
                .count(),
            1
        );
        // From any place on: what comes after it, once.
        for nth in [0, 1, told.len() / 2, told.len() - 2] {
            let after = [("last-event-id", told[nth].id.as_str())];
            let rest: Vec<_> = up.frames(&path, &after).collect();
            assert!(rest == told[nth + 1..], "after {}", told[nth].id);
        }
        drop(slow);
    });
    assert!(grown_by < GROWN_BYTES_MAX, "{} MiB more", grown_by >> 20);
}

/// A filter that looks through all runs holds those that it has found, and no others.
#[test]
fn a_list_that_looks_through_many_runs_holds_few_of_them() {
    let bench = Bench::new(&["echo"]);
    let up = Up::start(&bench);
    up.line("line", json!([{"driver": "echo"}]));
    let mut connection = up.connect();
    // 64 KiB each in the resource and in the output: 64 MiB in all.
    for nth in 0..500 {
        let spec = json!({"text": "x".repeat(64 << 10)});
        let body = json!({"name": format!("thing-{nth}"), "resource": "app", "pipeline": "line", "spec": spec});
        let body = body.to_string();
        connection
            .ask("POST", "/resources", &[], body.as_bytes())
            .is(201);
    }
    up.until("/owner", |owner| owner["runs"] == 0);
    up.get("/runs?status=failed").is(200);
    let grown_by = grown(&up, || {
        thread::scope(|scope| {
            for query in [
                "status=failed",
                "pipeline=other",
                "status=succeeded&limit=1000",
            ]
            .iter()
            .cycle()
            .take(9)
            {
                let up = &up;
                scope.spawn(move || {
                    let found = up.get(&format!("/runs?{query}")).is(200);
                    let found = found["runs"].as_array().unwrap().len();
                    assert_eq!(
                        found,
                        if query.contains("limit") { 500 } else { 0 },
                        "{query}"
                    );
                });
            }
        });
    });
    assert!(grown_by < GROWN_BYTES_MAX, "{} MiB more", grown_by >> 20);
}

/// Somebody still reads how it went the first time.
#[test]
fn whoever_watches_a_run_that_is_retried_is_told_how_it_goes_on() {
    let bench = Bench::new(&["latch"]);
    let up = Up::start(&bench);
    up.line("line", json!([{"id": "one", "driver": "latch"}]));
    let begin = || {
        let body = json!({"resource": {"name": "thing", "resource": "app", "spec": {}}, "pipeline": "line"});
        let run = up.post("/runs", &body).is(201);
        let out = Path::new(run["out"].as_str().unwrap()).to_owned();
        (id(&run), out)
    };
    let open = |out: &Path| fs::write(out.join("one.open"), "").unwrap();
    let at_the_latch = |run: &str| drop(up.frames(&format!("/runs/{run}/logs"), &[]).next());
    let (run, out) = begin();
    at_the_latch(&run);
    lengthen(&bench, &run);
    let mut slow = up.connect();
    slow.send("GET", &format!("/runs/{run}/progress"), &[], b"");
    assert_eq!(slow.head().unwrap().0, 200);
    open(&out);
    let last = up.frames(&format!("/runs/{run}/events"), &[]).last();
    let last = last.unwrap();
    assert_eq!(last.data["event"], "run_ended");

    // Another run of the resource is before it.
    let (held, out) = begin();
    at_the_latch(&held);
    up.post(&format!("/runs/{run}/retry"), &json!({"from": "one"}))
        .is(202);
    let events = up.frames(
        &format!("/runs/{run}/events"),
        &[("last-event-id", &last.id)],
    );
    open(&out);
    let last = events.last().unwrap();
    assert_eq!(last.data["event"], "run_ended");
    drop(slow);
}
