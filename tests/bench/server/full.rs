//! Whether a store that is full of runs makes a server slower.

use super::load::{Load, What};
use super::up::{Place, Up};
use super::{LINE, percentile};
use crate::attempts::workers;
use crate::many::Alone;
use crate::material::{Nothing, State, host, order, resource};
use crate::rounds::Effort;
use crate::table::{Goal, Table};
use beltline::catalog::{ResourceRecord, keep_resource};
use beltline::launch::{Launch, Prepared};
use beltline::owner::new_resource_id;
use beltline::runner::Runner;
use beltline::store::Batch;
use std::sync::Arc;

/// Runs that are made at once.
const AT_ONCE: u32 = 500;

pub fn measure(effort: Effort, table: &mut Table) {
    let runs = match effort {
        Effort::Quick => 10_000,
        Effort::Whole => 100_000,
    };
    let empty = Place::new();
    let full = Place::of(filled(runs));
    let (empty, full) = (empty.up(), full.up());
    table.figure(
        format!("start with {runs} finished runs"),
        full.took.as_secs_f64() * 1e3,
        "ms",
    );
    for up in [&empty, &full] {
        up.apply_line();
        // A page of runs is there in both.
        submit(up, "first", 20);
    }
    let turns = effort.turns(500) as usize;
    let mut times = [(); 6].map(|()| Vec::new());
    for round in 0..effort.rounds() {
        let [
            list_empty,
            list_full,
            get_empty,
            get_full,
            submit_empty,
            submit_full,
        ] = &mut times;
        for (up, list, get, new) in [
            (&empty, list_empty, get_empty, submit_empty),
            (&full, list_full, get_full, submit_full),
        ] {
            list.extend(read(up, "/runs", turns));
            get.extend(ask(up, What::Any(any(up, turns)), turns));
            new.extend(submit(up, &format!("r{round}"), turns));
        }
    }
    let [
        list_empty,
        list_full,
        get_empty,
        get_full,
        submit_empty,
        submit_full,
    ] = &mut times;
    for (name, in_empty, in_full) in [
        ("list", list_empty, list_full),
        ("get", get_empty, get_full),
        ("submit", submit_empty, submit_full),
    ] {
        table.ratio(
            format!("{name} with {runs} finished runs, p99"),
            (percentile(in_full, 99.0), "µs"),
            (percentile(in_empty, 99.0), "an empty store"),
            Some(Goal::AtMost(1.5)),
        );
    }
}

/// The paths of so many of all the runs that are there, in an order that has nothing to do with theirs.
fn any(up: &Up, number: usize) -> Vec<String> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = up.get(&format!("/runs?limit=1000{cursor}"));
        let runs = page["runs"].as_array().expect("it is a list");
        let ids = runs.iter().filter_map(|run| run["run"].as_str());
        all.extend(ids.map(|id| format!("/runs/{id}")));
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    // A prime steps through any other number of runs without meeting one twice.
    let runs = all.len();
    let nth = |nth: usize| all.get(nth * 7_919 % runs).cloned();
    (0..number).filter_map(nth).collect()
}

fn read(up: &Up, path: &str, requests: usize) -> Vec<f64> {
    ask(up, What::Get(path.to_owned()), requests)
}

fn submit(up: &Up, names: &str, requests: usize) -> Vec<f64> {
    let what = What::Submit {
        pipeline: LINE.to_owned(),
        names: names.to_owned(),
        query: String::new(),
    };
    let micros = ask(up, what, requests);
    up.until_carries(0);
    micros
}

fn ask(up: &Up, what: What, requests: usize) -> Vec<f64> {
    let load = Load {
        address: up.address,
        clients: 1,
        requests,
        per_second: None,
        what,
    };
    load.apart().micros
}

/// A state folder with so many runs of three steps that have succeeded, each of a resource of its own.
fn filled(runs: u32) -> tempfile::TempDir {
    let (state, host, runtime) = (State::new(), host(), workers());
    let prepared = state.prepared(&host, 3, false);
    for begin in (0..runs).step_by(AT_ONCE as usize) {
        let made = (begin..runs.min(begin + AT_ONCE)).map(|run| run_of(&state, &prepared, run));
        let tasks: Vec<_> = made
            .map(|(runner, along, ask)| {
                runtime.spawn(async move {
                    let left = runner.create(along).await.expect("the run goes through");
                    drop(ask);
                    assert!(left.ended().is_some());
                })
            })
            .collect();
        for task in tasks {
            runtime.block_on(task).expect("no run panics");
        }
    }
    state.folder
}

type Ask = tokio::sync::mpsc::UnboundedSender<beltline::runner::Ask>;

fn run_of(state: &State, prepared: &Prepared, nth: u32) -> (Runner, Batch, Ask) {
    let resource = resource(&format!("old-{nth}"));
    let launch = prepared.new_run(order(&resource), &state.state);
    let Launch {
        stored,
        mut drivers,
    } = launch.expect("the run can be made");
    for step in &mut drivers {
        step.driver = Arc::new(Alone(None));
    }
    let record = ResourceRecord {
        id: new_resource_id(),
        generation: 1,
        resource,
        run: Some(stored.run.id),
        since: None,
    };
    let along = keep_resource(Batch::new(), &record, None, true);
    let (ask, inbox) = tokio::sync::mpsc::unbounded_channel();
    let (log, observer) = (Arc::new(Nothing), Arc::new(Nothing));
    let runner = Runner::new(state.runs(), stored, drivers, log, inbox, observer);
    (runner, along, ask)
}
