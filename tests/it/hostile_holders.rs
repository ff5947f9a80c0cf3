//! Guests that have the host hold things for them, beside their own memory: each kind has its limit.

use crate::belt::{Bench, guest};
use serde_json::{Value, json};
use std::fs;

fn run(name: &str, with: &Value, fill: impl FnOnce(&Bench)) -> Value {
    let bench = Bench::new(&[]);
    let path = guest(name).display().to_string();
    let config = format!("drivers: {{d: {{path: {path}, grants: {{workspace: ro}}}}}}\n");
    bench.write("belt.yaml", config);
    bench.pipeline(
        "",
        &[&format!("{{id: d, driver: d, timeout: 1m, with: {with}}}")],
    );
    fs::create_dir_all(bench.path("work")).unwrap();
    fill(&bench);
    bench.run(&["-o", "json"]).json()
}

#[track_caller]
fn over(run: &Value, reason: &str) {
    assert_eq!(run["failure"]["kind"], "limit", "{run}");
    let found = run["failure"]["reason"].as_str().unwrap();
    assert!(found.starts_with(reason), "{found}");
}

#[test]
fn open_files() {
    let hold = |count: u32| {
        let with = json!({"what": "files", "count": count});
        run("hold", &with, |bench| drop(bench.write("work/file", "")))
    };
    assert_eq!(hold(200)["steps"][0]["output"], 200);
    over(&hold(300), "over its open files limit of 256 at once");
}

/// The host holds a listing whole: what counts is how large the folder is on the disk.
#[test]
fn listings_of_large_folders() {
    let hold = |count: u32, files: u32| {
        let with = json!({"what": "listings", "count": count});
        let fill = |bench: &Bench| {
            for n in 0..files {
                bench.write(&format!("work/{n:0200}"), "");
            }
        };
        run("hold", &with, fill)
    };
    // One is always allowed, and of small folders many.
    assert_eq!(hold(1, 10_000)["steps"][0]["output"], 1);
    assert_eq!(hold(500, 10)["steps"][0]["output"], 500);
    over(&hold(500, 10_000), "over its listed folders limit of 8 MiB");
}

#[test]
fn messages_that_cannot_be_sent() {
    let denied = run("http", &json!({"body": true}), |_| ());
    assert_eq!(denied["steps"][0]["output"], false, "{denied}");
    let ledger = &denied["steps"][0]["attempts"][0]["ledger"];
    assert_eq!(ledger["calls_denied"], 1, "{ledger}");
    let fields = |bytes: u32| run("http", &json!({"field_bytes": bytes, "body": true}), |_| ());
    assert_eq!(fields(4 << 10)["status"], "succeeded");
    over(&fields(16 << 10), "over its http fields limit of 8 KiB");
}
