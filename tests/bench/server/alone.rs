//! Runs of three steps over HTTP, one at a time, at the times of a clock, and by many clients at once.

use super::load::{Done, Load, What};
use super::syncs::Syncs;
use super::up::{Place, Up};
use super::{LINE, percentile};
use crate::rounds::Effort;
use crate::table::{Goal, Table};
use std::fs;
use std::time::Duration;

/// Beside two syncs, from the request until the answer that the run has ended: a millisecond.
const RUN_MICROS: f64 = 1_000.0;

const PER_SECOND: f64 = 100.0;

/// What Conveyor makes of such runs on such a machine is a tenth of this.
const RUNS_PER_SECOND: f64 = 3_500.0;

pub fn measure(effort: Effort, table: &mut Table) {
    let (place, up) = started();
    // Compiled, prepared, and as large as it will be.
    submit(&up, "warm", 1, 200, None);
    let bytes = bytes_of_a_commit(&place, &up);
    let [mut syncs, mut paced_syncs] = [(); 2].map(|()| Syncs::new(place.path(), bytes));
    let (mut alone, mut paced) = (Vec::new(), Vec::new());
    let turns = effort.turns(300);
    for round in 0..effort.rounds() {
        syncs.measure(turns, Duration::ZERO);
        alone.extend(submit(&up, &format!("a{round}"), 1, turns, None).micros);
        paced_syncs.measure(turns, Duration::from_secs_f64(1.0 / PER_SECOND));
        // Enough clients that there is always one who is free.
        let done = submit(&up, &format!("p{round}"), 16, turns, Some(PER_SECOND));
        paced.extend(done.micros);
    }
    for (name, mut micros, mut syncs) in [
        ("one at a time", alone, syncs.micros),
        ("100 a second", paced, paced_syncs.micros),
    ] {
        let (middle, late) = (percentile(&mut micros, 50.0), percentile(&mut micros, 99.0));
        let (sync, sync_late) = (percentile(&mut syncs, 50.0), percentile(&mut syncs, 99.0));
        table.figure(
            format!("append of {bytes} bytes and fdatasync, {name}, p50"),
            sync,
            "µs",
        );
        table.figure("the same, p99", sync_late, "µs");
        table.ratio(
            format!("run of 3 steps over HTTP, {name}, p50"),
            (middle, "µs"),
            (RUN_MICROS + 2.0 * sync, "1 ms + 2 syncs"),
            Some(Goal::AtMost(1.0)),
        );
        table.ratio(
            format!("run of 3 steps over HTTP, {name}, p99"),
            (late, "µs"),
            (
                (5.0 * middle).max(4.0 * sync_late),
                "the greater of 5× p50 and 4× the sync's p99",
            ),
            Some(Goal::AtMost(1.0)),
        );
    }
}

pub fn measure_clients(effort: Effort, table: &mut Table) {
    let (_place, up) = started();
    submit(&up, "warm", 32, 2_000, None);
    for clients in [32, 64] {
        let runs = effort.turns(20_000);
        let (cpu, before) = (up.cpu_micros(), finished(&up));
        let done = submit(&up, &format!("c{clients}"), clients, runs, None);
        assert_eq!(finished(&up) - before, u64::from(runs), "a run is lost");
        let cpu = (up.cpu_micros() - cpu) / f64::from(runs);
        let mut micros = done.micros;
        table.bound(
            format!("runs of 3 steps a second, {clients} clients"),
            f64::from(runs) / done.seconds,
            "runs/s",
            Goal::AtLeast(RUNS_PER_SECOND),
        );
        for percent in [50.0, 99.0] {
            let late = percentile(&mut micros, percent) / 1e3;
            table.figure(format!("the same, p{percent}"), late, "ms");
        }
        table.figure("the same, CPU of the server a run", cpu, "µs");
        table.figure("the same, CPU of the clients a run", done.cpu_micros, "µs");
    }
}

fn started() -> (Place, Up) {
    let place = Place::new();
    let up = place.up();
    up.apply_line();
    (place, up)
}

fn submit(up: &Up, names: &str, clients: usize, requests: u32, per_second: Option<f64>) -> Done {
    let what = What::Submit {
        pipeline: LINE.to_owned(),
        names: names.to_owned(),
        query: "?wait=30s".to_owned(),
    };
    let load = Load {
        address: up.address,
        clients,
        requests: requests as usize,
        per_second,
        what,
    };
    load.apart()
}

/// How many runs have succeeded, as the server lists them.
fn finished(up: &Up) -> u64 {
    let mut cursor = String::new();
    let mut all = 0;
    loop {
        let page = up.get(&format!("/runs?limit=1000&status=succeeded{cursor}"));
        all += page["runs"].as_array().map_or(0, Vec::len) as u64;
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return all,
        }
    }
}

/// What a run writes between two of its syncs, on the average.
fn bytes_of_a_commit(place: &Place, up: &Up) -> usize {
    let written = || {
        let files = fs::read_dir(place.path().join("state/store")).expect("it has a store");
        files
            .flatten()
            .filter_map(|file| file.metadata().ok())
            .map(|file| file.len())
            .sum::<u64>()
    };
    let before = written();
    submit(up, "bytes", 1, 400, None);
    (written() - before) as usize / 800
}
