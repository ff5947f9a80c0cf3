//! The room of all guests together: who is over it waits, its step pending, and can be cancelled or run out of time
//! meanwhile. The runs of a host are here in the test's own process, each on a thread of its own.

use crate::belt::{Bench, guest};
use beltline::documents::read_files;
use beltline::launch::{self, Order, Places, Subject};
use beltline::logs::{LogLine, LogSink};
use beltline::runner::{Ask, Observer, Runner};
use beltline::runs::Runs;
use beltline::state::StateFolder;
use beltline::store::{Batch, Embedded};
use beltline::wasm::{HostSettings, WasmHost};
use beltline_engine::{Event, Input, Run, RunId, RunStatus, StepStatus};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

const PATIENCE: Duration = Duration::from_secs(60);

/// A host with room for two attempts, and its state.
struct Host {
    bench: Bench,
    wasm: WasmHost,
    state: StateFolder,
    runs: Runs,
    at_once: Arc<AtOnce>,
}

/// How many guests have said that they begin and not that they end.
#[derive(Default)]
struct AtOnce {
    now: AtomicUsize,
    most: AtomicUsize,
}

impl LogSink for AtOnce {
    fn append(&self, line: LogLine) {
        match line.message.as_str() {
            "begin" => {
                let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
                self.most.fetch_max(now, Ordering::SeqCst);
            }
            "end" => {
                self.now.fetch_sub(1, Ordering::SeqCst);
            }
            _ => {}
        }
    }
}

/// Says that its run waits, and that a guest of it has begun.
struct Tell(Mutex<Sender<()>>);

impl Observer for Tell {
    fn written(&self, _: &Run, _: &[Event]) {}
    fn durable(&self, _: &Run) {}
    fn waiting(&self, _: u64) {
        // Nobody may want to know any more.
        let _ = self.0.lock().unwrap().send(());
    }
}

/// A run that is under way.
struct UnderWay {
    id: RunId,
    ask: UnboundedSender<Ask>,
    waits: Receiver<()>,
    thread: JoinHandle<Run>,
}

impl UnderWay {
    /// Returns when it waits for something.
    #[track_caller]
    fn waits(&self) {
        self.waits.recv_timeout(PATIENCE).unwrap();
    }

    fn cancel(&self) {
        let cancel = Input::Cancel { force: false };
        self.ask.send(Ask::Fold(cancel, Box::new(drop))).unwrap();
    }

    fn end(self) -> Run {
        self.thread.join().unwrap()
    }
}

impl Host {
    fn new(guests: &[&str]) -> Host {
        let bench = Bench::new(guests);
        let settings = HostSettings {
            guest_memory: Some(128 << 20),
            cache: None,
            compiler: None,
        };
        let wasm = WasmHost::new(settings, Arc::new(|_| {})).unwrap();
        let state = StateFolder::locate(Some(&bench.path("state"))).unwrap();
        state.make().unwrap();
        let store = Embedded::open(&state.store()).unwrap();
        let runs = Runs::new(Arc::new(store));
        let at_once = Arc::default();
        Host {
            bench,
            wasm,
            state,
            runs,
            at_once,
        }
    }

    /// Begins a run of one step, in a pipeline with these keys.
    fn begin(&self, keys: &str, step: &str) -> UnderWay {
        self.bench.pipeline(keys, &[step]);
        let paths = ["pipeline.yaml", "resource.yaml", "belt.yaml"];
        let documents = read_files(&paths.map(|name| self.bench.path(name))).unwrap();
        let order = Order {
            id: launch::new_id(),
            event: "create".to_owned(),
            resource: Subject::new(&documents.resources[0].value, 1),
            workspace: None,
            archive: None,
            out: None,
            set: serde_json::Map::new(),
            locked: false,
            rerun_of: None,
        };
        let (pipeline, path) = (
            documents.pipelines[0].value.clone(),
            self.bench.path("belt.yaml"),
        );
        let config = &documents.configs[0];
        let used = launch::resolve(&pipeline, config, &path, false).unwrap();
        let prepared = launch::prepare(
            pipeline,
            used,
            config,
            path,
            Places::here(&self.wasm),
            &self.state,
        );
        let prepared = prepared.unwrap();
        let launch = prepared.new_run(order, &self.state).unwrap();
        prepared.keep(&launch, &self.state).unwrap();
        let id = launch.stored.run.id;
        let (ask, inbox) = unbounded_channel();
        let (tell, waits) = channel();
        let (runs, sink) = (self.runs.clone(), Arc::clone(&self.at_once));
        let thread = thread::spawn(move || {
            let tell = Arc::new(Tell(Mutex::new(tell)));
            let runner = Runner::new(runs, launch.stored, launch.drivers, sink, inbox, tell);
            let left = block_on(runner.create(Batch::new())).unwrap();
            Arc::unwrap_or_clone(left.ended().unwrap())
        });
        UnderWay {
            id,
            ask,
            waits,
            thread,
        }
    }

    /// How the only step of a run stands in the store.
    fn step(&self, id: RunId) -> (StepStatus, u32) {
        let stored = block_on(self.runs.load(id)).unwrap().unwrap();
        let step = &stored.run.steps[0];
        (step.state.status(), step.attempts)
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.unwrap().block_on(future)
}

#[test]
fn never_are_more_under_way_than_there_is_room_for_and_all_end() {
    let host = Host::new(&["linger"]);
    let step = "{driver: linger, with: {ms: 100}}";
    let runs: Vec<_> = (0..12).map(|_| host.begin("", step)).collect();
    for run in runs {
        assert_eq!(run.end().status(), RunStatus::Succeeded);
    }
    assert_eq!(host.at_once.most.load(Ordering::SeqCst), 2);
    assert_eq!(host.at_once.now.load(Ordering::SeqCst), 0);
}

#[test]
fn who_waits_for_room_can_be_cancelled_and_runs_out_of_time() {
    let host = Host::new(&["wait", "say"]);
    let wait = "{id: wait, driver: wait}";
    let holders = [host.begin("", wait), host.begin("", wait)];
    for holder in &holders {
        holder.waits();
        assert_eq!(host.step(holder.id).0, StepStatus::Running);
    }

    let pending = (StepStatus::Pending, 0);
    let cancelled = host.begin("", "{driver: say}");
    cancelled.waits();
    assert_eq!(host.step(cancelled.id), pending);
    cancelled.cancel();
    let run = cancelled.end();
    assert_eq!(
        (run.status(), run.steps[0].attempts),
        (RunStatus::Cancelled, 0)
    );

    let late = host.begin("timeout: 300ms", "{driver: say}");
    let run = late.end();
    assert_eq!(
        (run.status(), run.steps[0].attempts),
        (RunStatus::TimedOut, 0)
    );

    // Those that gave up hold up nobody: the next in the queue has the room that comes free.
    let patient = host.begin("", "{driver: say}");
    patient.waits();
    assert_eq!(host.step(patient.id), pending);
    let [first, second] = holders;
    first.cancel();
    assert_eq!(first.end().status(), RunStatus::Cancelled);
    assert_eq!(patient.end().status(), RunStatus::Succeeded);
    second.cancel();
    assert_eq!(second.end().status(), RunStatus::Cancelled);
}

#[test]
fn a_driver_that_will_never_have_room_is_refused_by_name() {
    let bench = Bench::with_steps(&[], &["{driver: d}"]);
    let config = |guest_memory: &str, limits: &str| {
        let path = guest("say").display().to_string();
        let text = format!(
            "guest_memory: {guest_memory}\ndrivers: {{d: {{path: {path}, limits: {limits}}}}}\n"
        );
        bench.write("belt.yaml", text);
        bench.run(&[])
    };
    let said = config("64MiB", "{memory: 65MiB}");
    assert_eq!(said.code, 2, "{}", said.stderr);
    let why = "its memory limit of 65 MiB is more than the 64 MiB that all guests together have; lower `limits: {memory: …}` or raise `guest_memory` in belt.yaml";
    assert!(
        said.stderr.contains(why) && said.stderr.contains("`d`"),
        "{}",
        said.stderr
    );
    assert_eq!(config("65MiB", "{memory: 65MiB}").code, 0);
    assert_eq!(config("64MiB", "{}").code, 0);
}
