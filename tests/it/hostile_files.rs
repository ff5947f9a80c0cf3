//! Guests that fill the disk: whichever way they write, what is on the disk when they end is within their limits.

use crate::belt::{Bench, guest};
use crate::live::Live;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{FileTypeExt, symlink};
use std::os::unix::net::UnixListener;

const MIB: u64 = 1 << 20;

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

/// Has the guest fill the workspace, and returns the bench with what came of it.
fn fill(limits: &str, way: &str, times: u64, bytes: u64) -> (Bench, Value) {
    let with = json!({"way": way, "times": times, "bytes": bytes});
    let bench = bench("fill", limits, &format!("timeout: 1m, with: {with}"));
    let said = bench.run(&["-o", "json"]);
    (bench, said.json())
}

#[track_caller]
fn over(run: &Value, reason: &str) {
    let failure = &run["failure"];
    assert_eq!(failure["kind"], "limit", "{run}");
    let found = failure["reason"].as_str().unwrap();
    assert!(found.starts_with(reason), "{found}");
}

fn size(bench: &Bench) -> u64 {
    fs::metadata(bench.path("work/file")).unwrap().len()
}

const WAYS: [(&str, u64); 6] = [
    ("write", 64 << 10),
    ("stream", 64 << 10),
    ("stream_blocking", 4_096),
    ("append", 64 << 10),
    ("append_blocking", 4_096),
    ("set_size", 64 << 10),
];

#[test]
fn two_gigabytes_end_at_the_limit_whichever_way_they_are_written() {
    for (way, bytes) in WAYS {
        let (bench, run) = fill("{written: 8MiB}", way, (2 << 30) / bytes, bytes);
        over(&run, "over its written limit of 8 MiB: ");
        assert_eq!(size(&bench), 8 * MIB, "{way}");
        let used = &run["steps"][0]["attempts"][0]["ledger"];
        assert_eq!(used["bytes_written"], 8 * MIB, "{way}");
    }
}

#[test]
fn two_gigabytes_end_at_one_where_nobody_said_how_much() {
    let (bench, run) = fill("{}", "write", 2 << 10, MIB);
    over(&run, "over its written limit of 1 GiB: ");
    assert_eq!(size(&bench), 1 << 30);
}

/// The edge: all that is allowed is allowed, and no byte more.
#[test]
fn what_is_just_allowed_is_written() {
    for (way, bytes) in WAYS {
        let (_, run) = fill("{written: 1MiB}", way, MIB / bytes, bytes);
        assert_eq!(run["status"], "succeeded", "{way}: {run}");
        let (_, run) = fill("{written: 1MiB}", way, MIB / bytes + 1, bytes);
        over(&run, "over its written limit of 1 MiB: ");
    }
}

fn made(bench: &Bench) -> usize {
    fs::read_dir(bench.path("work")).unwrap().count()
}

#[test]
fn a_million_files_end_at_the_limit_whatever_is_made() {
    for way in ["file", "folder", "symlink", "hard_link"] {
        let (bench, run) = fill("{files: 500}", way, 1_000_000, 0);
        over(&run, "over its files limit of 500 made: ");
        assert_eq!(made(&bench), 500, "{way}");
        // One file is there already: what is made is one less.
        let (bench, run) = fill("{files: 500}", way, 499, 0);
        assert_eq!(run["status"], "succeeded", "{way}: {run}");
        assert_eq!(made(&bench), 500, "{way}");
    }
}

#[test]
fn a_million_files_end_at_a_hundred_thousand_where_nobody_said_how_many() {
    let (bench, run) = fill("{}", "symlink", 1_000_000, 0);
    over(&run, "over its files limit of 100000 made: ");
    assert_eq!(made(&bench), 100_000);
}

/// Opening one of these can wait for ever, and reading one is no business of a driver.
#[test]
fn what_is_no_file_and_no_folder_is_not_opened() {
    let names = ["fifo", "socket", "to_fifo", "device"];
    let acts: Vec<_> = names
        .iter()
        .flat_map(|name| {
            let path = format!("/workspace/{name}");
            [json!({"read": path}), json!({"write": path, "text": "x"})]
        })
        .collect();
    let with = json!({"do": acts});
    let bench = bench("files", "{}", &format!("timeout: 20s, with: {with}"));
    bench.write("work/.keep", "");
    let node = |name: &str, kind, device| {
        let path = bench.path("work").join(name);
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, path, kind, mode, device).unwrap();
    };
    node("fifo", rustix::fs::FileType::Fifo, 0);
    let zero = rustix::fs::makedev(1, 5);
    node("device", rustix::fs::FileType::CharacterDevice, zero);
    let socket = bench.path("work/socket");
    let _listener = UnixListener::bind(&socket).unwrap();
    assert!(fs::metadata(&socket).unwrap().file_type().is_socket());
    symlink("fifo", bench.path("work/to_fifo")).unwrap();

    let said = bench.run(&["-o", "json"]);
    assert_eq!(said.code, 0, "{}{}", said.stdout, said.stderr);
    let step = &said.json()["steps"][0];
    for (act, came) in acts.iter().zip(step["output"].as_array().unwrap()) {
        assert_eq!(*came, json!({"error": "permission denied"}), "{act}");
    }
    let used = &step["attempts"][0]["ledger"];
    assert_eq!(used["calls_denied"], acts.len(), "{used}");
}

/// The calls that do not wait do their work all the same before they return: nobody goes on writing when the attempt
/// has ended, and its retry has the file to itself.
#[test]
fn no_file_call_outlives_its_attempt() {
    let keys = "timeout: 1s, retry: {max_attempts: 2, backoff: 1ms}";
    let bench = bench("outlive", "{written: 64GiB, cpu: 1m}", keys);
    let said = bench.run(&["-o", "json"]);
    let step = &said.json()["steps"][0];
    assert_eq!(said.code, 0, "{}", said.stdout);
    let [first, second] = step["attempts"].as_array().unwrap().as_slice() else {
        panic!("{step}")
    };
    assert_eq!(first["failure"]["kind"], "attempt_timeout");
    assert!(
        first["ended_at"].as_str() <= second["started_at"].as_str(),
        "{step}"
    );
    let left = &step["output"];
    assert!(left["begin"].as_u64().unwrap() > 0, "{left}");
    assert_eq!(left["begin"], left["end"], "somebody wrote meanwhile");
    assert_eq!(left["begin"], first["ledger"]["bytes_written"]);
}

/// The same where a person ends it in the middle of its writing and asks for it again.
#[test]
fn no_file_call_outlives_a_cancel() {
    let bench = bench("outlive", "{written: 64GiB, cpu: 1m}", "timeout: 1m");
    let mut live = Live::run(&bench, &[]);
    live.until("writing");
    live.interrupt();
    live.until("stopping: ");
    live.interrupt();
    assert_eq!(live.end().code, 3);
    let said = bench.belt(&["runs", "retry", "--state", "state", "-o", "json"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let step = &said.json()["steps"][0];
    let left = &step["output"];
    assert_eq!(left["begin"], left["end"], "somebody wrote meanwhile");
    let first = &step["attempts"][0];
    assert_eq!(first["failure"]["kind"], "cancelled");
    assert_eq!(left["begin"], first["ledger"]["bytes_written"]);
}

/// A gap counts like what is written: one byte far behind a file's end makes it that long.
#[test]
fn a_gap_is_written_too() {
    for way in ["write_far", "stream_far"] {
        let (bench, run) = fill("{written: 8MiB}", way, 1, 16 << 20);
        over(&run, "over its written limit of 8 MiB");
        assert!(size(&bench) <= 8 * MIB, "{way}");
        let (_, run) = fill("{written: 8MiB}", way, 1, 1 << 20);
        assert_eq!(run["status"], "succeeded", "{run}");
        let ledger = &run["steps"][0]["attempts"][0]["ledger"];
        assert_eq!(ledger["bytes_written"], (1 << 20) + 1, "{way}");
    }
}
