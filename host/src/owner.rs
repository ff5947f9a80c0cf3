//! The owner of a state folder: carries the runs in it, one process at a time.
//!
//! Owns which runs are under way, which wait, and for what: a slot, the run before them of the same resource, a time.
//! Both `belt run` and `belt up` are one, and everybody else who wants something of the folder asks it, through `api`.
//! Never decides what becomes of a run: that is the engine's, and the runner moves it.

mod carried;
mod carry;
mod error;
mod feed;
mod held_up;
mod metrics;
mod order;
mod registry;
mod repeats;
mod resume;
mod resync;
mod sweep;
mod timers;
mod turns;

pub use error::OwnerError;
pub use feed::{Feed, HeldFeed, Marks};
pub use order::{Accepted, Along, InPlace, Named, RunOrder, Workspace, new_resource_id};
pub use registry::{DriverSource, DriverStatus, Registry, ServedDriver};
pub use resume::Anew;
pub use sweep::ANSWERS;

use crate::bridge::{Bridge, BridgeError, NatsSettings};
use crate::catalog::Catalog;
use crate::documents::Config;
use crate::launch::{LaunchError, Places};
use crate::runs::Runs;
use crate::state::StateFolder;
use crate::store::{Embedded, Store};
use crate::wasm::{HostSettings, Tell, WasmHost};
use crate::workspaces::Workspaces;
use beltline_engine::RunId;
use carried::Carried;
use feed::Feeds;
use metrics::Metrics;
use parking_lot::Mutex;
use repeats::Repeats;
use resync::Tried;
use std::io;
use std::num::NonZero;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::thread;
use timers::Timers;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::watch;
use turns::Turns;

/// Runs under way at once. One that waits for its turn costs a line in a queue.
pub const SLOTS: usize = 256;

/// Runs that have not ended, under way and waiting, after which new ones are refused.
pub const OPEN_MAX: usize = 100_000;

/// Threads that move runs, for each core: one that syncs waits for the disk, and its core is another's meanwhile.
const THREADS_PER_CORE: usize = 2;

/// What whoever starts an owner decides.
pub struct Settings {
    /// The operator's file, for runs that name none of their own.
    pub config: Option<PathBuf>,
    /// Runs under way at once.
    pub slots: usize,
    /// Runs that have not ended.
    pub open_max: usize,
    /// Hears what an operator may want to know of drivers.
    pub tell: Tell,
    /// Whether it stays until it is told to end: then it tries again what it could not do, and waits for room on the disk.
    pub stays: bool,
    /// Makes the settings of the sandbox.
    pub sandbox: fn(&Config) -> HostSettings,
    /// The sandbox, where it has been started already.
    pub wasm: Option<WasmHost>,
}

#[cfg(test)]
impl Settings {
    /// For one run at a time, without an operator's file.
    pub(crate) fn plain() -> Self {
        Settings {
            config: None,
            slots: 1,
            open_max: 1,
            tell: Arc::new(|_| {}),
            stays: false,
            sandbox: |_| HostSettings::default(),
            wasm: None,
        }
    }
}

/// The owner of a state folder.
pub struct Owner {
    state: StateFolder,
    store: Arc<Embedded>,
    runs: Runs,
    catalog: Catalog,
    registry: Registry,
    carried: Mutex<Carried>,
    timers: Timers,
    tried: Tried,
    feeds: Arc<Feeds>,
    turns: Turns,
    repeats: Repeats,
    metrics: Arc<Metrics>,
    /// Told whenever a run is no longer under way.
    changes: watch::Sender<()>,
    settings: Settings,
    /// The way to native drivers, where there is one.
    bridge: OnceLock<Arc<Bridge>>,
    /// Where runs move; ends with the owner, without waiting for what hangs in a file call.
    runtime: Handle,
}

impl Owner {
    /// Takes a state folder whose store is open to write, with threads of its own for the runs.
    ///
    /// # Errors
    /// Where the system gives no threads.
    pub fn new(
        state: StateFolder,
        store: Embedded,
        mut settings: Settings,
    ) -> io::Result<(Arc<Self>, Runtime)> {
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        let runtime = Builder::new_multi_thread()
            .worker_threads(THREADS_PER_CORE * cores)
            .thread_name("runs")
            .enable_all()
            .build()?;
        let store = Arc::new(store);
        let shared: Arc<dyn Store> = Arc::<Embedded>::clone(&store);
        let metrics: Arc<Metrics> = Arc::default();
        settings.tell = metrics.hearing(settings.tell);
        let owner = Arc::new(Owner {
            runs: Runs::new(Arc::clone(&shared)),
            catalog: Catalog::new(shared),
            registry: Registry::new(&state, &mut settings),
            carried: Mutex::new(Carried::default()),
            timers: Timers::default(),
            tried: Tried::default(),
            feeds: Arc::default(),
            turns: Turns::default(),
            repeats: Repeats::default(),
            metrics,
            changes: watch::Sender::new(()),
            runtime: runtime.handle().clone(),
            state,
            store,
            settings,
            bridge: OnceLock::new(),
        });
        runtime.spawn(timers::keep(Arc::downgrade(&owner)));
        runtime.spawn(resync::keep(Arc::downgrade(&owner)));
        Ok((owner, runtime))
    }

    /// Its folder.
    pub fn state(&self) -> &StateFolder {
        &self.state
    }

    /// The store itself.
    pub fn store(&self) -> &Embedded {
        &self.store
    }

    /// The runs in it.
    pub fn runs(&self) -> &Runs {
        &self.runs
    }

    /// What people have applied.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// The workspaces that runs have been sent.
    pub fn workspaces(&self) -> Workspaces {
        Workspaces::of(&self.state)
    }

    /// The drivers of runs that name no operator's file.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The store, for whoever keeps something of his own in it.
    pub(crate) fn shared_store(&self) -> Arc<dyn Store> {
        Arc::<Embedded>::clone(&self.store)
    }

    /// Connects to a broker, over which native drivers are reached from then on; before anything is carried.
    ///
    /// # Errors
    /// A broker that cannot be used.
    pub async fn connect(self: &Arc<Self>, settings: NatsSettings) -> Result<(), BridgeError> {
        let store = self.shared_store();
        // Its tasks are those of the runs: they last as long.
        let connect = async move { Bridge::connect(&settings, store).await };
        let connected = self.runtime.spawn(connect).await;
        let bridge = connected
            .unwrap_or_else(|_| Err(BridgeError::Settings("the thread was lost".to_owned())))?;
        // Before it carries anything: the first answer may open its run anew, which looks for the bridge and its drivers.
        let bridge = self.bridge.get_or_init(|| bridge);
        self.registry.reaches_natives();
        bridge.carry_for(self);
        Ok(())
    }

    /// The way to native drivers, where there is one.
    pub(crate) fn bridge(&self) -> Option<&Arc<Bridge>> {
        self.bridge.get()
    }

    /// What has been counted, in Prometheus's text form.
    pub fn metrics(&self) -> String {
        let under_way = self.under_way();
        if let Some(bridge) = self.bridge() {
            self.metrics.bridge(bridge);
        }
        self.metrics
            .text(under_way, self.carries().saturating_sub(under_way))
    }

    /// The feed of a run, whether it is under way or not.
    pub fn feed(&self, id: RunId) -> HeldFeed {
        self.feeds.of(id)
    }

    /// That a line was appended to a run's log by somebody else than its runner.
    pub fn said(&self, id: RunId) {
        self.feeds.of(id).said();
    }

    /// Whether it stays until it is told to end.
    pub fn stays(&self) -> bool {
        self.settings.stays
    }

    /// Whether something of the store is lost and nobody can tell what: then nothing that is shown is sure to be whole.
    pub fn is_unsure(&self) -> bool {
        self.store
            .damage()
            .iter()
            .any(|damage| damage.keys.is_empty())
    }

    /// Says that a run could not be moved on. It is tried again.
    fn trouble(&self, id: RunId, error: &OwnerError) {
        let error = crate::text::chain(error);
        tracing::error!(run = %id, error, "the run could not be moved on");
    }

    /// Where the drivers of an operator's file run.
    fn places(&self, config: &Config) -> Result<Places<'_>, LaunchError> {
        Ok(Places {
            wasm: self.registry.wasm(config)?,
            bridge: self.bridge(),
        })
    }
}

/// Does something that blocks, on a thread where that holds up nobody.
///
/// # Errors
/// [`OwnerError::Panicked`].
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, OwnerError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| OwnerError::Panicked)
}
