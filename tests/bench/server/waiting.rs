//! Runs that wait for a slot: what each costs, and how soon a server that was killed has them again.

use super::LINE;
use super::load::{Load, What};
use super::pause;
use super::up::{Place, Up};
use crate::rounds::Effort;
use crate::table::{Goal, Table};
use beltline::clock;
use beltline::owner::SLOTS;
use serde_json::Value;
use std::time::Duration;

const RUNS: usize = 10_000;

const SLOW: &str = "slow";

pub fn measure(effort: Effort, table: &mut Table) {
    let place = Place::new();
    let up = place.up();
    up.apply_line();
    up.apply(
        SLOW,
        &[r#"{"id":"s","driver":"linger","with":{"ms":3000000},"timeout":"1h"}"#.to_owned()],
    );
    // What connections and allocators keep is there before it counts.
    submit(&up, LINE, "warm", effort.turns(20_000) as usize);
    up.until_carries(0);
    submit(&up, SLOW, "under-way", SLOTS);
    let before = up.resident_bytes();
    submit(&up, SLOW, "waiting", RUNS);
    let after = up.resident_bytes();
    assert_eq!(up.carries(), (RUNS + SLOTS) as u64, "a run is lost");
    table.bound(
        "memory of a run that waits for a slot",
        (after - before) / RUNS as f64 / 1024.0,
        "KiB",
        Goal::AtMost(4.0),
    );
    let mut under_way = under_way(&up);
    assert_eq!(under_way.len(), SLOTS);
    assert!(under_way.iter().all(|run| starts(&up, run) == Some(1)));
    // kill -9
    drop(up);
    let before = clock::monotonic();
    let up = place.up();
    assert_eq!(up.carries(), (RUNS + SLOTS) as u64, "a run is lost");
    loop {
        under_way.retain(|run| starts(&up, run) != Some(2));
        if under_way.is_empty() {
            break;
        }
        pause(Duration::from_millis(1));
    }
    let took = clock::monotonic().saturating_sub(before);
    assert_eq!(queued(&up), RUNS, "a run is neither under way nor queued");
    table.figure(
        format!("start with {RUNS} open runs, until the first answer"),
        up.took.as_secs_f64() * 1e3,
        "ms",
    );
    table.bound(
        format!("the same, until {SLOTS} are under way and all others queued"),
        took.as_secs_f64() * 1e3,
        "ms",
        Goal::AtMost(1_000.0),
    );
}

/// How often the attempt of a run has been started.
fn starts(up: &Up, run: &str) -> Option<u64> {
    up.get(&format!("/runs/{run}"))["steps"][0]["attempts"][0]["starts"].as_u64()
}

/// The runs that have a slot.
fn under_way(up: &Up) -> Vec<String> {
    let running = open(up, |run| run["steps"][0]["status"] == "running");
    let ids = running.iter().filter_map(|run| run["run"].as_str());
    ids.map(str::to_owned).collect()
}

/// How many runs wait for one, carried by the server.
fn queued(up: &Up) -> usize {
    let is_queued = |run: &Value| run["status"] == "pending" && run.get("cut_off").is_none();
    open(up, is_queued).len()
}

/// The runs that have not ended and are so.
fn open(up: &Up, is_so: impl Fn(&Value) -> bool) -> Vec<Value> {
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let mut page = up.get(&format!("/runs?limit=1000{cursor}"));
        let runs = page["runs"].as_array_mut().expect("it is a list").drain(..);
        found.extend(runs.filter(|run| run.get("ended_at").is_none() && is_so(run)));
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return found,
        }
    }
}

fn submit(up: &Up, pipeline: &str, names: &str, requests: usize) {
    let what = What::Submit {
        pipeline: pipeline.to_owned(),
        names: names.to_owned(),
        query: String::new(),
    };
    let load = Load {
        address: up.address,
        clients: 32,
        requests,
        per_second: None,
        what,
    };
    load.apart();
}
