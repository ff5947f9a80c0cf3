//! One run, its steps one after the other, its record on the disk.

use super::attempts::runtime;
use super::bare::Bare;
use super::material::{Nothing, State, guest, host};
use super::rounds::{Effort, medians, timed};
use super::table::{Goal, Table};
use beltline::clock;
use beltline::runner::Runner;
use beltline::store::Batch;
use beltline::store::Store;
use beltline::wasm::WasmHost;
use beltline_engine::RunStatus;
use std::fs::File;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

const STEPS: u32 = 40;

pub fn measure(effort: Effort, table: &mut Table) {
    let (state, host, runtime) = (State::new(), host(), runtime());
    let bytes = {
        let before = state.store.counters().bytes;
        drive(&state, &host, &runtime, true);
        (state.store.counters().bytes - before) as usize / (STEPS as usize + 1)
    };
    let appends = |times: u32| {
        let file = tempfile::tempfile_in(state.folder.path());
        let mut file = file.expect("a file can be made");
        timed(move || (0..times).for_each(|_| append(&mut file, bytes)))
    };
    let bare = Bare::new(&guest("noop"), Vec::new());
    let turns = effort.turns(100);
    let [sync, written, with_effects, without, attempt] = medians(
        effort,
        [
            appends(turns),
            appends(STEPS + 1),
            Box::new(|| drive(&state, &host, &runtime, true)),
            Box::new(|| drive(&state, &host, &runtime, false)),
            timed(|| (0..turns).for_each(|_| bare.attempt("{}"))),
        ],
    );
    let (sync, attempt) = (sync / f64::from(turns), attempt / f64::from(turns));
    table.figure("append and fdatasync", sync, "µs");
    table.figure(
        format!("{} appends of {bytes} bytes with fdatasync", STEPS + 1),
        written / 1e3,
        "ms",
    );
    table.ratio(
        "run of 40 steps with effects",
        (with_effects / 1e3, "ms"),
        (written / 1e3, "the appends"),
        Some(Goal::AtMost(1.5)),
    );
    let bound = 2.0 * f64::from(STEPS) * attempt + 2.0 * sync;
    table.ratio(
        "run of 40 steps without effects",
        (without / 1e3, "ms"),
        (bound / 1e3, "2× wasmtime alone + 2 syncs"),
        Some(Goal::AtMost(1.0)),
    );
    let counted = |effects| {
        let before = state.syncs();
        drive(&state, &host, &runtime, effects);
        (state.syncs() - before) as f64
    };
    table.bound(
        "syncs of 40 steps with effects",
        counted(true),
        "syncs",
        Goal::AtMost(41.0),
    );
    table.bound(
        "syncs of 40 steps without effects",
        counted(false),
        "syncs",
        Goal::AtMost(2.0),
    );
}

fn append(file: &mut File, bytes: usize) {
    file.write_all(&vec![b'x'; bytes]).expect("there is room");
    file.sync_data().expect("the disk syncs");
}

/// A whole run; of its making only what is written counts.
fn drive(
    state: &State,
    host: &WasmHost,
    runtime: &tokio::runtime::Runtime,
    has_effects: bool,
) -> Duration {
    let launch = state.launch(host, STEPS as usize, has_effects);
    let (_ask, inbox) = tokio::sync::mpsc::unbounded_channel();
    let (log, observer) = (Arc::new(Nothing), Arc::new(Nothing));
    let runner = Runner::new(
        state.runs(),
        launch.stored,
        launch.drivers,
        log,
        inbox,
        observer,
    );
    let before = clock::monotonic();
    let left = runtime
        .block_on(runner.create(Batch::new()))
        .expect("the run goes through");
    let elapsed = clock::monotonic().saturating_sub(before);
    let run = left.ended().expect("the run ends");
    assert_eq!(run.status(), RunStatus::Succeeded);
    elapsed
}
