//! The effect barrier: what is on disk when a step begins, how often it is synced, and what a step writes. The
//! runner runs here in the test's own process, on a store that writes down what is asked of it.

use crate::belt::Bench;
use beltline::documents::read_files;
use beltline::launch::{self, Order, Places, Subject};
use beltline::logs::{LogLine, LogSink};
use beltline::runner::{Observer, Runner};
use beltline::runs::Runs;
use beltline::state::StateFolder;
use beltline::store::{
    Batch, Counters, Embedded, Order as KeyOrder, Record, Revision, Store, StoreError,
};
use beltline::wasm::{HostSettings, WasmHost};
use beltline_engine::{Event, Phase, Run, RunStatus};
use futures::FutureExt;
use futures::future::BoxFuture;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// What happened, in order.
#[derive(Debug, Clone, PartialEq)]
enum Seen {
    Commit {
        revision: Revision,
        bytes: usize,
    },
    Sync(Revision),
    /// The guest of this step said something: it runs.
    Line(String),
}

type Diary = Arc<Mutex<Vec<Seen>>>;

struct Watched {
    store: Embedded,
    diary: Diary,
    waits_until_ms: Arc<AtomicU64>,
}

impl Store for Watched {
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Record>, StoreError>> {
        self.store.get(key)
    }

    fn scan<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        order: KeyOrder,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Record>, StoreError>> {
        self.store.scan(prefix, after, order, limit)
    }

    fn keys<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        order: KeyOrder,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<String>, StoreError>> {
        self.store.keys(prefix, after, order, limit)
    }

    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<Revision, StoreError>> {
        async move {
            let bytes = batch.bytes();
            let revision = self.store.commit(batch).await?;
            self.diary
                .lock()
                .unwrap()
                .push(Seen::Commit { revision, bytes });
            Ok(revision)
        }
        .boxed()
    }

    fn sync(&self, upto: Revision) -> BoxFuture<'_, Result<(), StoreError>> {
        async move {
            let waits_until_ms = self.waits_until_ms.load(Ordering::Relaxed);
            assert_eq!(
                waits_until_ms, 0,
                "a slow disk would be taken for a guest's file call"
            );
            self.store.sync(upto).await?;
            self.diary.lock().unwrap().push(Seen::Sync(upto));
            Ok(())
        }
        .boxed()
    }

    fn counters(&self) -> Counters {
        self.store.counters()
    }
}

struct Lines(Diary);

impl LogSink for Lines {
    fn append(&self, line: LogLine) {
        self.0.lock().unwrap().push(Seen::Line(line.step));
    }
}

/// Keeps until when the runner waits.
struct Waits(Arc<AtomicU64>);

impl Observer for Waits {
    fn written(&self, _: &Run, _: &[Event]) {}
    fn durable(&self, _: &Run) {}
    fn waiting(&self, until_ms: u64) {
        self.0.store(until_ms, Ordering::Relaxed);
    }
}

/// Takes the bench's pipeline through to its end and tells what was seen.
fn drive(bench: &Bench) -> (Vec<Seen>, Counters) {
    let (seen, counters, _) = drive_timed(bench);
    (seen, counters)
}

/// The same with how long the run took by its own record, in milliseconds.
fn drive_timed(bench: &Bench) -> (Vec<Seen>, Counters, u64) {
    let paths = ["pipeline.yaml", "resource.yaml", "belt.yaml"].map(|name| bench.path(name));
    let documents = read_files(&paths).unwrap();
    let (pipeline, config) = (documents.pipelines[0].value.clone(), &documents.configs[0]);
    std::fs::create_dir_all(bench.path("work")).unwrap();
    let order = Order {
        id: launch::new_id(),
        event: "create".to_owned(),
        resource: Subject::new(&documents.resources[0].value, 1),
        workspace: Some(bench.path("work")),
        archive: None,
        out: None,
        set: serde_json::Map::new(),
        locked: false,
        rerun_of: None,
    };
    let path = bench.path("belt.yaml");
    let used = launch::resolve(&pipeline, config, &path, false).unwrap();
    let wasm = WasmHost::new(HostSettings::default(), Arc::new(|_| {})).unwrap();
    let state = StateFolder::locate(Some(&bench.path("state"))).unwrap();
    state.make().unwrap();
    let prepared =
        launch::prepare(pipeline, used, config, path, Places::here(&wasm), &state).unwrap();
    let launch = prepared.new_run(order, &state).unwrap();
    prepared.keep(&launch, &state).unwrap();
    let diary = Diary::default();
    let store = Embedded::open(&state.store()).unwrap();
    let waits_until_ms = Arc::<AtomicU64>::default();
    let store = Arc::new(Watched {
        store,
        diary: Arc::clone(&diary),
        waits_until_ms: Arc::clone(&waits_until_ms),
    });
    let (_ask, inbox) = tokio::sync::mpsc::unbounded_channel();
    let sink = Arc::new(Lines(Arc::clone(&diary)));
    let runs = Runs::new(Arc::<Watched>::clone(&store));
    let runner = Runner::new(
        runs,
        launch.stored,
        launch.drivers,
        sink,
        inbox,
        Arc::new(Waits(waits_until_ms)),
    );
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let left = runtime.block_on(runner.create(Batch::new())).unwrap();
    let run = left.ended().unwrap();
    assert_eq!(run.status(), RunStatus::Succeeded);
    let Phase::Ended { at_ms, .. } = run.head.phase else {
        panic!("{:?}", run.head);
    };
    let took_ms = at_ms - run.head.created_ms;
    let seen = diary.lock().unwrap().clone();
    (seen, store.counters(), took_ms)
}

fn steps(count: usize, driver: &str) -> Vec<String> {
    (0..count)
        .map(|index| format!("{{id: s{index}, driver: {driver}}}"))
        .collect()
}

fn bench(driver: &str, steps: &[String]) -> Bench {
    Bench::with_steps(
        &[driver],
        &steps.iter().map(String::as_str).collect::<Vec<_>>(),
    )
}

#[test]
fn a_step_with_effects_begins_when_all_before_it_is_synced() {
    let (seen, counters) = drive(&bench("append", &steps(40, "append")));
    let (mut written, mut synced, mut begun) = (Revision::default(), Revision::default(), 0);
    for one in &seen {
        match one {
            Seen::Commit { revision, .. } => written = *revision,
            Seen::Sync(upto) => synced = synced.max(*upto),
            Seen::Line(step) => {
                assert_eq!(
                    written, synced,
                    "`{step}` began before what led to it was on disk"
                );
                begun += 1;
            }
        }
    }
    assert_eq!(begun, 40);
    assert_eq!(
        written, synced,
        "the run was reported before its end was on disk"
    );
    assert_eq!(counters.syncs, 41, "one sync a step and one at the end");
    assert_eq!(
        counters.commits, 41,
        "one commit a step and one that makes the run"
    );
}

#[test]
fn steps_without_effects_wait_for_no_disk() {
    let (seen, counters, took_ms) = drive_timed(&bench("say", &steps(40, "say")));
    let first_sync = seen
        .iter()
        .position(|one| matches!(one, Seen::Sync(_)))
        .unwrap();
    assert_eq!(
        first_sync, 1,
        "the run is durable before anything of it happens"
    );
    let commits = seen
        .iter()
        .filter(|one| matches!(one, Seen::Commit { .. }))
        .count();
    assert_eq!(commits, 41);
    // One that makes the run and one that ends it; on a machine so slow that 100 ms pass, what is unsynced for that long
    // is synced meanwhile. Ten are to spare for the last commit, which the record does not count.
    let syncs = counters.syncs;
    match took_ms < 90 {
        true => assert_eq!(syncs, 2, "in {took_ms} ms"),
        false => assert!(syncs < 20, "{syncs} syncs in {took_ms} ms"),
    }
    assert!(
        matches!(seen.last(), Some(Seen::Sync(_))),
        "the end is durable before it is told"
    );
}

#[test]
fn what_a_step_writes_does_not_grow_with_the_run() {
    let (seen, _) = drive(&bench("say", &steps(101, "say")));
    let commits = seen.iter().filter_map(|one| match one {
        Seen::Commit { bytes, .. } => Some(*bytes),
        Seen::Sync(_) | Seen::Line(_) => None,
    });
    let bytes: Vec<_> = commits.collect();
    let output = r#"{"debug":true,"trace":false}"#.len();
    for (step, bytes) in bytes.iter().enumerate().skip(1) {
        assert!(*bytes <= output + 1024, "step {step} wrote {bytes} bytes");
    }
    // Numbers have more digits later on; nothing else grows.
    assert!(
        bytes[100] <= bytes[1] + 16,
        "step 1 wrote {} bytes, step 100 {}",
        bytes[1],
        bytes[100]
    );
}

#[test]
fn what_is_unsynced_for_long_is_synced_without_being_asked() {
    let steps = [
        "{driver: linger, with: {ms: 1}}".to_owned(),
        "{id: long, driver: linger, with: {ms: 500}}".to_owned(),
    ];
    let (seen, _) = drive(&bench("linger", &steps));
    let begun = seen
        .iter()
        .position(|one| *one == Seen::Line("long".to_owned()))
        .unwrap();
    let ended = seen
        .iter()
        .rposition(|one| *one == Seen::Line("long".to_owned()))
        .unwrap();
    let meanwhile = &seen[begun..ended];
    assert!(
        meanwhile.iter().any(|one| matches!(one, Seen::Sync(_))),
        "{seen:?}"
    );
}
