//! Steps of native drivers over a real nats-server, against the same messages without Beltline in between.

#![allow(
    clippy::indexing_slicing,
    reason = "of JSON: what is not there is null; and of the names above"
)]

mod drivers;
mod raw;

pub use drivers::run as run_drivers;

use crate::rounds::Effort;
use crate::server::{Done, Load, Place, Syncs, Up, What, median, pause, percentile};
use crate::table::{Goal, Table};
use beltline::clock;
use drivers::Drivers;
use raw::{Nats, Raw};
use std::time::Duration;

const NATIVES: [&str; 3] = ["n0", "n1", "n2"];

/// What a client may have to wait for three native steps, in milliseconds; Conveyor needs 5.3.
const RUN_MS: f64 = 2.5;

/// Conveyor makes 324.
const RUNS_PER_SECOND: f64 = 1_000.0;

const DEPTH: usize = 256;

/// Steps of a run where it is steps that count, and not runs.
const DEEP: usize = 20;

/// Runs that wait for a driver that is not there.
const WAITING: usize = 10_000;

pub fn measure(effort: Effort, table: &mut Table) {
    let nats = Nats::start();
    let place = Place::with_natives(&NATIVES);
    let up = place.up_with(&["--nats", &nats.url()]);
    let step = |driver: &str, id: usize| format!(r#"{{"id":"s{id}","driver":"{driver}"}}"#);
    up.apply("one", &[step("n0", 0)]);
    up.apply("three", &[0, 1, 2].map(|id| step(NATIVES[id], id)));
    up.apply(
        "deep",
        &(0..DEEP).map(|id| step("n0", id)).collect::<Vec<_>>(),
    );
    up.apply("wasm", &[0, 1, 2].map(|id| step("noop", id)));
    let drivers = Drivers::start(&nats.url(), &NATIVES);
    let mut raw = Raw::new(&nats.url());
    for pipeline in ["one", "three", "wasm"] {
        submit(&up, pipeline, "warm", 8, 200);
    }
    raw.one_at_a_time(200);

    alone(effort, table, &place, &up, &mut raw);
    let per_second = deep(effort, table, &up, &mut raw);
    clients(effort, table, &up);
    drop(drivers);
    waiting(effort, table, &nats, &up, per_second);
}

fn alone(effort: Effort, table: &mut Table, place: &Place, up: &Up, raw: &mut Raw) {
    let mut syncs = Syncs::new(place.path(), 600);
    let (mut loops, mut ones, mut threes, mut wasm) = (vec![], vec![], vec![], vec![]);
    let turns = effort.turns(300);
    for round in 0..effort.rounds() {
        syncs.measure(turns, Duration::ZERO);
        loops.extend(raw.one_at_a_time(turns as usize));
        for (pipeline, micros) in [
            ("one", &mut ones),
            ("three", &mut threes),
            ("wasm", &mut wasm),
        ] {
            let done = submit(up, pipeline, &format!("a{round}"), 1, turns as usize);
            micros.extend(done.micros);
        }
    }
    let mut threes_late = threes.clone();
    let [bare, one, three, here, sync] = [loops, ones, threes, wasm, syncs.micros].map(median);
    table.figure(
        "raw loop: message, answer, both acknowledged, p50",
        bare,
        "µs",
    );
    table.ratio(
        "native step, p50",
        ((three - one) / 2.0, "µs"),
        (1.5 * bare + sync, "1.5 raw loops + 1 sync"),
        Some(Goal::AtMost(1.0)),
    );
    table.bound(
        "run of 3 native steps over HTTP, one client, p50",
        three / 1e3,
        "ms",
        Goal::AtMost(RUN_MS),
    );
    table.figure(
        "the same, p99",
        percentile(&mut threes_late, 99.0) / 1e3,
        "ms",
    );
    table.ratio(
        "the same 3 steps in process, p50",
        (here / 1e3, "ms"),
        (three / 1e3, "native"),
        None,
    );
}

/// How many steps a second.
fn deep(effort: Effort, table: &mut Table, up: &Up, raw: &mut Raw) -> f64 {
    let count = effort.turns(20_000) as usize;
    let (mut bare, mut native) = (vec![], vec![]);
    for round in 0..3 {
        bare.push(raw.per_second(count, DEPTH));
        let done = submit(up, "deep", &format!("d{round}"), DEPTH, count / DEEP);
        native.push(count as f64 / done.seconds);
    }
    let (bare, native) = (median(bare), median(native));
    table.figure(format!("raw loops a second, {DEPTH} at once"), bare, "/s");
    table.ratio(
        format!("native steps a second in runs of {DEEP}, {DEPTH} at once"),
        (native, "/s"),
        (bare, "raw loop"),
        Some(Goal::AtLeast(0.6)),
    );
    native
}

fn clients(effort: Effort, table: &mut Table, up: &Up) {
    let count = effort.turns(10_000) as usize;
    let mut done = submit(up, "three", "c", 32, count);
    table.bound(
        "runs of 3 native steps a second, 32 clients",
        count as f64 / done.seconds,
        "runs/s",
        Goal::AtLeast(RUNS_PER_SECOND),
    );
    for percent in [50.0, 99.0] {
        let late = percentile(&mut done.micros, percent) / 1e3;
        table.figure(format!("the same, p{percent}"), late, "ms");
    }
}

/// The drivers are away, and come back; they make so many steps a second where they are not.
fn waiting(effort: Effort, table: &mut Table, nats: &Nats, up: &Up, per_second: f64) {
    let count = effort.turns(WAITING as u32) as usize;
    let before = up.resident_bytes();
    let what = What::Submit {
        pipeline: "one".to_owned(),
        names: "waiting".to_owned(),
        query: String::new(),
    };
    load(up, what, 32, count);
    let all = || up.get("/drivers/n0")["native"]["pending"].as_u64();
    while all() != Some(count as u64) {
        pause(Duration::from_millis(20));
    }
    let after = up.resident_bytes();
    table.bound(
        "memory of a run that waits for its native driver",
        (after - before) / count as f64 / 1024.0,
        "KiB",
        Goal::AtMost(4.0),
    );
    let began = clock::monotonic();
    let _drivers = Drivers::start(&nats.url(), &["n0"]);
    while up.carries() == count as u64 {
        pause(Duration::from_millis(2));
    }
    let first = clock::monotonic().saturating_sub(began);
    up.until_carries(0);
    let seconds = clock::monotonic().saturating_sub(began).as_secs_f64();
    table.bound(
        format!("{count} of them, from the driver's return to the first move"),
        first.as_secs_f64() * 1e3,
        "ms",
        Goal::AtMost(2_000.0),
    );
    let against = format!("{DEPTH} at once");
    table.ratio(
        "the same, steps a second until all have ended",
        (count as f64 / seconds, "/s"),
        (per_second, &against),
        Some(Goal::AtLeast(0.8)),
    );
}

fn submit(up: &Up, pipeline: &str, names: &str, clients: usize, requests: usize) -> Done {
    let what = What::Submit {
        pipeline: pipeline.to_owned(),
        names: format!("{pipeline}-{names}"),
        query: "?wait=30s".to_owned(),
    };
    load(up, what, clients, requests)
}

fn load(up: &Up, what: What, clients: usize, requests: usize) -> Done {
    let load = Load {
        address: up.address,
        clients,
        requests,
        per_second: None,
        what,
    };
    load.apart()
}
