//! Runs that wait for a slot: what each costs, and how soon a server that was killed has them again.

use super::LINE;
use super::load::{Load, What};
use super::pause;
use super::up::{Place, Up};
use crate::rounds::Effort;
use crate::table::{Goal, Table};
use beltline::clock;
use beltline::owner::SLOTS;
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
    let last = last_under_way(&up);
    let revision =
        |up: &Up| up.get(&format!("/runs/{last}"))["steps"][0]["attempts"][0]["starts"].as_u64();
    assert_eq!(revision(&up), Some(1));
    // kill -9
    drop(up);
    let before = clock::monotonic();
    let up = place.up();
    assert_eq!(up.carries(), (RUNS + SLOTS) as u64, "a run is lost");
    while revision(&up) != Some(2) {
        pause(Duration::from_millis(1));
    }
    let took = clock::monotonic().saturating_sub(before);
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

/// The last of those that have a slot.
fn last_under_way(up: &Up) -> String {
    let mut cursor = String::new();
    loop {
        let page = up.get(&format!("/runs?limit=1000{cursor}"));
        let runs = page["runs"].as_array().expect("it is a list");
        let mut running = runs
            .iter()
            .filter(|run| run["steps"][0]["status"] == "running");
        if let Some(run) = running.next() {
            return run["run"].as_str().expect("it has an id").to_owned();
        }
        cursor = format!("&cursor={}", page["next"].as_str().expect("one runs"));
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
