//! Many runs at once.

use super::attempts::{on_every_core, workers};
use super::bare::Bare;
use super::material::{Nothing, State, guest, host};
use super::rounds::{Effort, medians, timed};
use super::table::{Goal, Table};
use beltline::clock;
use beltline::launch::Launch;
use beltline::runner::{Perform, Performed, Runner};
use beltline::store::{Batch, Store};
use beltline::wasm::{Admission, Attempt, Ended, WORKSPACE};
use beltline_engine::RunStatus;
use futures::FutureExt;
use futures::future::BoxFuture;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;
use wasmtime_wasi::FsPerms;

const RUNS: usize = 256;
const STEPS: usize = 8;

/// Records of a commit that ends one step and starts the next: the head, both steps, the events.
const RECORDS: f64 = 4.0;

/// Of a record's key, on the average.
const KEY_BYTES: usize = 50;

pub fn measure(effort: Effort, table: &mut Table) {
    let (state, host) = (State::new(), host());
    let folder = (
        state.folder.path().join("work"),
        WORKSPACE,
        FsPerms::ReadWrite,
    );
    let bare = Arc::new(Bare::new(&guest("noop"), vec![folder]));
    let runtime = workers();
    let drive = |performer: Performer| {
        let launches = (0..RUNS).map(|_| state.launch(&host, STEPS, true));
        drive(&runtime, &state, launches.collect(), &performer)
    };
    let before = state.store.counters().bytes;
    drive(Performer::Nobody);
    let commits = (RUNS * (STEPS + 1)) as f64;
    let record_bytes = (state.store.counters().bytes - before) as f64 / commits / RECORDS;
    let value_bytes = record_bytes as usize - KEY_BYTES;
    let groups = effort.turns(50);
    let attempts = effort.turns(10_000);
    let [group, nobody, in_place, ours, alone] = medians(
        effort,
        [
            timed(|| group_commits(&runtime, &state, groups, value_bytes)),
            Box::new(|| drive(Performer::Nobody)),
            Box::new(|| drive(Performer::Bare(Arc::clone(&bare)))),
            Box::new(|| drive(Performer::Host)),
            timed(|| on_every_core(&bare, attempts)),
        ],
    );
    let rows = f64::from(groups) * RUNS as f64 / group * 1e6;
    let records = commits * RECORDS / nobody * 1e6;
    table.figure("256-row group commits", rows, "rows/s");
    table.ratio(
        "256 runs with a no-op for a guest",
        (records, "rows/s"),
        (rows, "group commits"),
        Some(Goal::AtLeast(0.5)),
    );
    let steps = |us: f64| (RUNS * STEPS) as f64 / us * 1e6;
    let least = steps(nobody).min(f64::from(attempts) / alone * 1e6);
    table.figure("the same in steps", steps(nobody), "steps/s");
    let against = (least, "the smaller of that and wasmtime alone");
    table.ratio(
        "256 runs with wasmtime alone for a guest",
        (steps(in_place), "steps/s"),
        against,
        None,
    );
    table.ratio(
        "256 runs with real guests",
        (steps(ours), "steps/s"),
        against,
        Some(Goal::AtLeast(0.6)),
    );
}

/// Who performs the steps of these runs.
enum Performer {
    /// The host, as ever.
    Host,
    /// wasmtime without a host.
    Bare(Arc<Bare>),
    Nobody,
}

/// All runs, from their first commit to their last sync.
fn drive(
    runtime: &Runtime,
    state: &State,
    launches: Vec<Launch>,
    performer: &Performer,
) -> Duration {
    let runners: Vec<_> = launches
        .into_iter()
        .map(|mut launch| {
            let (ask, inbox) = tokio::sync::mpsc::unbounded_channel();
            for step in &mut launch.drivers {
                match performer {
                    Performer::Host => {}
                    Performer::Bare(bare) => step.driver = Arc::new(Alone(Some(Arc::clone(bare)))),
                    Performer::Nobody => step.driver = Arc::new(Alone(None)),
                }
            }
            let Launch { stored, drivers } = launch;
            let (log, observer) = (Arc::new(Nothing), Arc::new(Nothing));
            let runner = Runner::new(state.runs(), stored, drivers, log, inbox, observer);
            (runner, ask)
        })
        .collect();
    let before = clock::monotonic();
    runtime.block_on(async {
        let tasks: Vec<_> = runners
            .into_iter()
            .map(|(runner, ask)| {
                tokio::spawn(async move {
                    let left = runner.create(Batch::new()).await;
                    let run = left
                        .expect("the run goes through")
                        .ended()
                        .expect("it ends");
                    drop(ask);
                    assert_eq!(run.status(), RunStatus::Succeeded);
                })
            })
            .collect();
        for task in tasks {
            task.await.expect("no run panics");
        }
    });
    clock::monotonic().saturating_sub(before)
}

/// As many rows as there are runs in each commit, synced.
fn group_commits(runtime: &Runtime, state: &State, times: u32, bytes: usize) {
    let value = vec![b'x'; bytes];
    for _ in 0..times {
        // Keys as long as a run's, and as new.
        let id = beltline_engine::RunId(uuid::Uuid::now_v7().as_u128());
        let rows = (0..RUNS).map(|row| format!("event/{id}/{row:012}"));
        let batch = rows.fold(Batch::new(), |batch, key| batch.put(key, value.clone()));
        let store = &state.store;
        let done = runtime.block_on(async { store.sync(store.commit(batch).await?).await });
        done.expect("there is room");
    }
}

/// Succeeds, after an attempt of wasmtime alone or after nothing.
pub struct Alone(pub Option<Arc<Bare>>);

impl Perform for Alone {
    fn admit(&self) -> BoxFuture<'static, Option<Admission>> {
        async { None }.boxed()
    }

    fn attempt(self: Arc<Self>, _: Attempt) -> BoxFuture<'static, anyhow::Result<Performed>> {
        let done = Ended::Outcome {
            message: String::new(),
            output: None,
            requeue_after_ms: None,
        };
        async move {
            if let Some(bare) = &self.0 {
                bare.attempt("{}");
            }
            Ok(Performed::Ended(done))
        }
        .boxed()
    }
}
