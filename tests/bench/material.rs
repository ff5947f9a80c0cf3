//! What is measured with: components, a host with its settings, runs that are ready to be driven.

use beltline::digest::Digest;
use beltline::documents::{Documents, Resource, read_bytes};
use beltline::launch::{self, Launch, Order, Places, Prepared, Subject};
use beltline::logs::{LogLine, LogSink};
use beltline::runner::Observer;
use beltline::runs::Runs;
use beltline::state::StateFolder;
use beltline::store::{Embedded, Store};
use beltline::wasm::{
    Attempt, CancelFlag, Folder, HostSettings, Limits, Loaded, Meter, OUT, Request, RunContext,
    RunInfo, StepSummary, WORKSPACE, WasmHost,
};
use beltline_engine::{Event, Run};
use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;

/// The repository.
pub fn root() -> PathBuf {
    let host = Path::new(env!("CARGO_MANIFEST_DIR"));
    host.parent().expect("the host has a folder").to_owned()
}

/// The bytes of a guest of the tests.
pub fn guest(name: &str) -> Vec<u8> {
    built(&format!("target/guests/{name}.wasm"), "make guests")
}

/// The bytes of a stock driver.
pub fn driver(name: &str) -> Vec<u8> {
    built(&format!("drivers/out/{name}.wasm"), "make drivers")
}

fn built(path: &str, how: &str) -> Vec<u8> {
    std::fs::read(root().join(path)).unwrap_or_else(|error| panic!("`{how}`: {path}: {error}"))
}

/// A host without a cache.
pub fn host() -> WasmHost {
    WasmHost::new(HostSettings::default(), Arc::new(|_| {})).expect("wasmtime starts here")
}

pub fn load(host: &WasmHost, bytes: &[u8]) -> Arc<Loaded> {
    load_known(host, Digest::of(bytes), bytes)
}

/// The same where the digest is known, for it takes longer than loading does.
pub fn load_known(host: &WasmHost, digest: Digest, bytes: &[u8]) -> Arc<Loaded> {
    let loaded = host.load("guest", digest, bytes, Limits::default(), Arc::default());
    Arc::new(loaded.expect("the guest loads"))
}

/// The folders of a driver that is granted a workspace and the run's out folder.
pub fn folders(under: &Path) -> Arc<[Folder]> {
    let folder = |name: &str, guest, writable| {
        let host = under.join(name);
        std::fs::create_dir_all(&host).expect("a temporary folder can be written to");
        Folder {
            host,
            guest,
            writable,
        }
    };
    [folder("work", WORKSPACE, false), folder("out", OUT, true)].into()
}

/// A request, made as the runner makes one.
pub fn request(with: &str) -> Request {
    let info = RunInfo {
        run_id: "0199aaaa-bbbb-7ccc-8ddd-eeeeffff0000".to_owned(),
        pipeline: Some("line".to_owned()),
        step_id: "step".to_owned(),
        attempt: 1,
        key: "0199aaaa-bbbb-7ccc-8ddd-eeeeffff0000-0-1".to_owned(),
        deadline_ms: Some(1_900_000_000_000),
        traceparent: None,
        dry_run: false,
    };
    Request {
        event: "create".to_owned(),
        kind: "app".to_owned(),
        resource: r#"{"name":"thing","resource":"app","spec":{},"generation":1}"#.to_owned(),
        with: with.to_owned(),
        info,
        extra: Vec::new(),
    }
}

/// An attempt with it.
pub fn attempt(with: &str, folders: &Arc<[Folder]>) -> Attempt {
    Attempt {
        request: request(with),
        context: Arc::new(Empty(Map::new())),
        log: Arc::new(Nothing),
        cancel: CancelFlag::default(),
        folders: Arc::clone(folders),
        meter: Arc::new(Meter::start()),
    }
}

/// Hears, keeps and gives nothing.
pub struct Nothing;

impl LogSink for Nothing {
    fn append(&self, _: LogLine) {}
}

/// A run without context and steps.
struct Empty(Map<String, Value>);

impl RunContext for Empty {
    fn values(&self) -> &Map<String, Value> {
        &self.0
    }

    fn steps(&self) -> Vec<StepSummary> {
        Vec::new()
    }

    fn output<'a>(&'a self, _: &'a str) -> BoxFuture<'a, anyhow::Result<Option<Arc<str>>>> {
        async { Ok(None) }.boxed()
    }
}

impl Observer for Nothing {
    fn written(&self, _: &Run, _: &[Event]) {}
    fn durable(&self, _: &Run) {}
    fn waiting(&self, _: u64) {}
}

/// A state folder on the disk that the checkout is on, with its store.
pub struct State {
    pub folder: TempDir,
    pub state: StateFolder,
    pub store: Arc<Embedded>,
}

impl State {
    pub fn new() -> Self {
        let folder = tempfile::tempdir_in(root().join("target")).expect("target is there");
        let state = StateFolder::locate(Some(&folder.path().join("state"))).expect("it is named");
        state.make().expect("the state can be made");
        let store = Arc::new(Embedded::open(&state.store()).expect("the store opens"));
        State {
            folder,
            state,
            store,
        }
    }

    pub fn runs(&self) -> Runs {
        Runs::new(Arc::<Embedded>::clone(&self.store))
    }

    /// A new run of so many steps of the no-op guest.
    pub fn launch(&self, host: &WasmHost, steps: usize, has_effects: bool) -> Launch {
        let workspace = self.folder.path().join("work");
        std::fs::create_dir_all(&workspace).expect("a temporary folder can be written to");
        let order = Order {
            workspace: Some(workspace),
            ..order(&resource("thing"))
        };
        let prepared = self.prepared(host, steps, has_effects);
        let launch = prepared.new_run(order, &self.state);
        launch.expect("the run can be made")
    }

    /// A pipeline of so many steps of the no-op guest.
    pub fn prepared(&self, host: &WasmHost, steps: usize, has_effects: bool) -> Prepared {
        let noop = root().join("target/guests/noop.wasm");
        let grants = if has_effects { "{workspace: rw}" } else { "{}" };
        let config_text = format!(
            "drivers: {{noop: {{path: {}, grants: {grants}}}}}",
            noop.display()
        );
        let steps: Vec<_> = (0..steps)
            .map(|step| format!("{{id: s{step}, driver: noop}}"))
            .collect();
        let pipeline = format!(
            "{{name: line, resource: app, steps: [{}]}}",
            steps.join(", ")
        );
        let config = parse("belt.yaml", &config_text).configs.remove(0).value;
        let pipeline = parse("pipeline.yaml", &pipeline).pipelines.remove(0).value;
        let path = self.folder.path().join("belt.yaml");
        let used = launch::resolve(&pipeline, &config, &path, false);
        let used = used.expect("the guest is a driver");
        let prepared = launch::prepare(
            pipeline,
            used,
            &config,
            path,
            Places::here(host),
            &self.state,
        );
        prepared.expect("the pipeline can be run")
    }

    /// How often the store has synced.
    pub fn syncs(&self) -> u64 {
        self.store.counters().syncs
    }
}

/// A resource of that name.
pub fn resource(name: &str) -> Resource {
    let text = format!("{{name: {name}, resource: app, spec: {{}}}}");
    parse("resource.yaml", &text).resources.remove(0).value
}

/// For a new run of a resource that is new.
pub fn order(resource: &Resource) -> Order {
    Order {
        id: launch::new_id(),
        event: "create".to_owned(),
        resource: Subject::new(resource, 1),
        workspace: None,
        archive: None,
        out: None,
        set: Map::new(),
        locked: false,
        rerun_of: None,
    }
}

fn parse(name: &str, text: &str) -> Documents {
    read_bytes(name, text.as_bytes()).expect("the bench's documents are right")
}
