//! A host that is full: of runs that have not ended, of runs that have, and of bytes on its disk.

use crate::belt::{Bench, guest};
use crate::http::Connection;
use crate::live::Live;
use crate::state_disk::Disk;
use crate::up::{Up, id};
use beltline::clock;
use serde_json::json;
use std::fs;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

fn bench(more: &str, guests: &[&str]) -> Bench {
    let bench = Bench::new(&[]);
    configure(&bench, more, guests);
    bench
}

fn configure(bench: &Bench, more: &str, guests: &[&str]) {
    let drivers = guests.iter().map(|name| {
        let path = guest(name);
        format!(
            "  {name}: {{path: {}, grants: {{workspace: ro, out: rw}}}}\n",
            path.display()
        )
    });
    let drivers: String = drivers.collect();
    bench.write("belt.yaml", format!("{more}\ndrivers:\n{drivers}"));
}

#[test]
fn runs_beyond_the_queue_are_sent_away_until_one_has_ended() {
    let bench = bench("queue: 1", &["sleep", "echo"]);
    let up = Up::start(&bench);
    up.line("long", json!([{"driver": "sleep"}]));
    let order = |name: &str| json!({"resource": {"name": name, "resource": "app", "pipeline": "long", "spec": {}}});
    let first = id(&up.post("/runs", &order("one")).is(201));
    let refused = up.post("/runs", &order("two"));
    assert!(refused.refused(429).contains("1 runs have not ended"));
    assert_eq!(refused.header("retry-after"), "1");
    // What was sent away has left nothing.
    assert_eq!(up.get("/resources/app/two").status, 404);
    up.post(&format!("/runs/{first}/cancel"), &json!({"force": true}))
        .is(202);
    up.ended(&first);
    up.until("/owner", |owner| owner["runs"] == 0);
    up.line("short", json!([{"driver": "echo"}]));
    let short =
        json!({"resource": {"name": "two", "resource": "app", "pipeline": "short", "spec": {}}});
    let second = id(&up.post("/runs", &short).is(201));
    assert_eq!(up.ended(&second)["status"], "succeeded");
}

#[test]
fn runs_that_were_kept_long_enough_go_with_all_that_was_theirs() {
    let bench = bench("", &["echo", "say"]);
    let up = Up::start(&bench);
    up.line("line", json!([{"driver": "say"}, {"driver": "echo"}]));
    let runs: Vec<_> = (0..3)
        .map(|nth| {
            let name = format!("thing-{nth}");
            let body = json!({"resource": {"name": name, "resource": "app", "pipeline": "line", "spec": {}}});
            let run = id(&up.post("/runs", &body).is(201));
            up.ended(&run);
            run
        })
        .collect();
    let log = |run: &str| bench.path(&format!("state/logs/{run}.jsonl"));
    assert!(runs.iter().all(|run| log(run).is_file()));
    assert_eq!(up.terminate().code, 0);
    configure(&bench, "retention: {count: 1}", &["echo", "say"]);
    let up = Up::start(&bench);
    let left = up.until("/runs", |page| page["runs"].as_array().unwrap().len() == 1);
    assert_eq!(left["runs"][0]["run"], json!(runs[2]));
    for gone in &runs[..2] {
        assert_eq!(up.get(&format!("/runs/{gone}")).status, 404);
        assert!(!log(gone).exists());
    }
    // The one that is left is whole, and so are the resources.
    let kept = up.get(&format!("/runs/{}", runs[2])).is(200);
    assert_eq!(kept["steps"][1]["attempts"].as_array().unwrap().len(), 1);
    assert!(log(&runs[2]).is_file());
    up.get("/resources/app/thing-0").is(200);
}

#[test]
fn a_run_that_ended_too_long_ago_goes_and_a_younger_one_stays() {
    let bench = bench("", &["echo"]);
    let up = Up::start(&bench);
    up.line("line", json!([{"driver": "echo"}]));
    let make = |name: &str| {
        let body =
            json!({"resource": {"name": name, "resource": "app", "pipeline": "line", "spec": {}}});
        let run = id(&up.post("/runs", &body).is(201));
        up.ended(&run);
        run
    };
    let (first, second) = (make("one"), make("two"));
    assert_eq!(up.terminate().code, 0);
    // The one that is over the count tells when the other has been looked at.
    configure(&bench, "retention: {age: 1h, count: 1}", &["echo"]);
    let up = Up::start(&bench);
    up.until(&format!("/runs/{first}"), |found| found["status"] == 404);
    up.get(&format!("/runs/{second}")).is(200);
    assert_eq!(up.terminate().code, 0);

    // It is swept at the start. As long as that is too early, it is started again.
    configure(&bench, "retention: {age: 1s}", &["echo"]);
    let give_up = clock::now_ms() + 60_000;
    loop {
        let up = Up::start(&bench);
        let status = up.get(&format!("/runs/{second}")).status;
        up.kill();
        if status == 404 {
            break;
        }
        assert!(clock::now_ms() < give_up, "it stays");
    }
}

#[test]
fn a_run_that_has_not_ended_stays_however_old_it_is_and_however_many_came_after() {
    let bench = bench("", &["latch", "echo"]);
    let up = Up::start(&bench);
    up.line("line", json!([{"id": "s", "driver": "latch"}]));
    let open = up.begin("one");
    up.frames(&format!("/runs/{open}/logs"), &[]).next();
    let out = up.get(&format!("/runs/{open}")).is(200)["out"].clone();
    let out = Path::new(out.as_str().unwrap()).to_owned();
    up.line("line", json!([{"driver": "echo"}]));
    let later = ["two", "three"].map(|name| up.begin(name));
    for run in &later {
        up.succeeded(run);
    }
    up.kill();
    // It is over the count, and older than the age; those that came after tell when it has been looked at.
    configure(
        &bench,
        "retention: {age: 1ms, count: 1}",
        &["latch", "echo"],
    );
    let up = Up::start(&bench);
    let left = up.until("/runs", |page| page["runs"].as_array().unwrap().len() == 1);
    assert_eq!(left["runs"][0]["run"], json!(open));
    fs::write(out.join("s.open"), "").unwrap();
    let run = up.succeeded(&open);
    assert_eq!(run["steps"][0]["attempts"][0]["starts"], 2);
    // Now it goes as well.
    assert_eq!(up.terminate().code, 0);
    let up = Up::start(&bench);
    up.until(&format!("/runs/{open}"), |found| found["status"] == 404);
}

#[test]
fn a_full_disk_costs_no_acknowledged_run_and_is_waited_for() {
    let bench = bench("", &["output_large"]);
    let disk = Disk::mount(bench.path("state"), "6m");
    let up = Up::start(&bench);
    let large = json!({"driver": "output_large", "with": {"bytes": 250_000}});
    let steps: Vec<_> = (0..4)
        .map(|nth| {
            let mut step = large.clone();
            step["id"] = json!(format!("l{nth}"));
            step
        })
        .collect();
    up.line("line", json!(steps));
    let order = |name: &str| json!({"resource": {"name": name, "resource": "app", "pipeline": "line", "spec": {}}});
    let first = id(&up.post("/runs?wait=60s", &order("one")).is(201));
    let filler = disk.fill();
    let line = json!({"runid": first, "driver": "output_large", "message": "x"});
    let said = up.post("/logs", &line).refused(507);
    assert!(said.contains("No space left"), "{said}");
    // It is refused by name or taken, and what is taken waits for room.
    let mut taken = vec![first];
    for nth in 0..4 {
        let answer = up.post("/runs", &order(&format!("more-{nth}")));
        match answer.status {
            201 => taken.push(id(&answer.is(201))),
            _ => assert!(answer.refused(507).contains("no space left"), "{nth}"),
        }
    }
    assert_eq!(up.get("/health").is(200)["status"], "ok");
    fs::remove_file(filler).unwrap();
    for run in taken {
        let run = up.ended(&run);
        assert_eq!(run["status"], "succeeded", "{run}");
        let steps = run["steps"].as_array().unwrap();
        assert!(
            steps.iter().all(|step| step["attempts"][0]["starts"] == 1),
            "{run}"
        );
    }
    assert_eq!(up.terminate().code, 0);
    drop(disk);
}

#[test]
fn an_upload_that_no_run_was_made_of_goes_at_last_and_one_that_was_promised_stays() {
    let bench = bench("", &["echo"]);
    let up = Up::start(&bench);
    let put = |bytes: &[u8]| {
        let digest = beltline::digest::Digest::of(bytes);
        let (path, kind) = (
            format!("/workspaces/{digest}"),
            [("content-type", "application/gzip")],
        );
        up.ask("PUT", &path, &kind, bytes).is(201);
        let file = bench.path(&format!("state/archives/{}.tar.gz", digest.hex()));
        let long_ago = clock::system_time(1_000);
        fs::File::open(&file)
            .unwrap()
            .set_modified(long_ago)
            .unwrap();
        (path, file)
    };
    let ((_, forgotten), (promised, kept)) = (put(b"one"), put(b"two"));
    up.get(&promised).is(204);
    assert_eq!(up.terminate().code, 0);
    let up = Up::start(&bench);
    let gone = || !forgotten.exists();
    up.until("/health", |_| gone());
    assert!(kept.exists());
    assert_eq!(up.terminate().code, 0);
}

/// Clients that only connect take no files from the runs, nor the way in from whoever is on the same machine.
#[test]
fn idle_connections_leave_files_for_runs_and_places_for_the_socket() {
    let bench = bench("", &["echo", "say"]);
    let mut few = Command::new("bash");
    few.args([
        "-c",
        "ulimit -n 256; exec \"$@\"",
        "bash",
        env!("CARGO_BIN_EXE_belt"),
    ]);
    few.args(crate::up::up(&[])).current_dir(bench.path(""));
    few.env("XDG_CACHE_HOME", env!("CARGO_TARGET_TMPDIR"));
    let up = Up::of(&bench, Live::start(few));
    up.line("line", json!([{"driver": "say"}, {"driver": "echo"}]));
    up.ready("echo");
    let idle: Vec<_> = (0..400).map(|_| up.connect()).collect();
    // Before the idle ones are let go.
    let stream = UnixStream::connect(bench.path("state/belt.sock")).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let mut connection = Connection::new(stream, "belt");
    for nth in 0..10 {
        let body = json!({"resource": {"name": format!("thing-{nth}"), "resource": "app", "pipeline": "line", "spec": {}}});
        let body = body.to_string();
        let run = connection
            .ask("POST", "/runs?wait=60s", &[], body.as_bytes())
            .is(201);
        assert_eq!(run["status"], "succeeded", "{run:#}");
        let path = format!("/runs/{}/logs", id(&run));
        let lines = connection.ask("GET", &path, &[], b"").is(200);
        assert!(
            !lines.as_array().unwrap().is_empty(),
            "its log could not be written"
        );
    }
    drop(idle);
}
