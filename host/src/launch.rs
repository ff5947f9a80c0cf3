//! From checked documents to a run that is ready to be driven, and the same for a run that the store has.
//!
//! Owns what of the operator's file goes into a run. Drivers are read, checked and
//! compiled before anything is written: what is refused here leaves no trace in the state.

mod error;
mod folders;

pub use error::LaunchError;
use folders::Own;

use crate::bridge::{Bridge, NativeStep};
use crate::clock;
use crate::digest::Digest;
use crate::documents::{Config, DriverEntry, Pipeline, Resource};
use crate::drivers::{self, Resolved};
use crate::plan;
use crate::records::RunRecord;
use crate::runner::StepDriver;
use crate::runs::StoredRun;
use crate::state::StateFolder;
use crate::store::Revision;
use crate::wasm::{Loaded, WasmHost};
use beltline_engine::{Placement, Plan, Run, RunId};
use beltline_wire::OutAccess;
use parking_lot::Mutex;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use uuid::{ContextV7, Uuid};

/// What a new run is to be of, beside its pipeline.
pub struct Order {
    /// Its id, from [`new_id`].
    pub id: RunId,
    /// Why its drivers are called.
    pub event: String,
    /// The resource.
    pub resource: Subject,
    /// The directory to work on.
    pub workspace: Option<PathBuf>,
    /// The archive that it was made from.
    pub archive: Option<Digest>,
    /// Where steps put what they make; the state folder has a place for it.
    pub out: Option<PathBuf>,
    /// Other values that were given for keys of the pipeline's context, which has them already.
    pub set: Map<String, Value>,
    /// Whether drivers were refused that the operator's file does not pin.
    pub locked: bool,
    /// The run whose snapshots these are.
    pub rerun_of: Option<RunId>,
}

/// The resource of a run, as its drivers get it.
pub struct Subject {
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its JSON text.
    pub text: Arc<str>,
}

impl Subject {
    /// Its canonical JSON and its generation.
    pub fn new(resource: &Resource, generation: u64) -> Self {
        let mut value = serde_json::to_value(resource).expect("a resource has string keys");
        if let Value::Object(fields) = &mut value {
            fields.insert("generation".to_owned(), Value::from(generation));
        }
        let (kind, name) = (resource.resource.clone(), resource.name.clone());
        Subject {
            kind,
            name,
            text: value.to_string().into(),
        }
    }
}

impl From<&StoredRun> for Subject {
    /// The same as that run had.
    fn from(stored: &StoredRun) -> Self {
        let (kind, name) = (stored.record.kind.clone(), stored.record.resource.clone());
        Subject {
            kind,
            name,
            text: Arc::clone(&stored.resource),
        }
    }
}

/// A run and what performs its steps.
pub struct Launch {
    /// The run; not yet in the store where it is new.
    pub stored: StoredRun,
    /// One for each step of its plan.
    pub drivers: Vec<StepDriver>,
}

/// A pipeline whose drivers are loaded: what all runs of it share.
pub struct Prepared {
    pipeline: Arc<Pipeline>,
    text: Arc<str>,
    digest: Digest,
    plan: Arc<Plan>,
    /// The drivers by name, each once.
    pub used: BTreeMap<String, Resolved>,
    loaded: BTreeMap<String, Arc<Loaded>>,
    bridge: Option<Arc<Bridge>>,
    config: PathBuf,
    is_served: bool,
    own: Own,
    is_kept: AtomicBool,
}

/// Reads the drivers that a pipeline names, by the operator's file at `config`.
///
/// # Errors
/// The first driver that cannot be used.
pub fn resolve(
    pipeline: &Pipeline,
    entries: &Config,
    config: &Path,
    locked: bool,
) -> Result<BTreeMap<String, Resolved>, LaunchError> {
    let folder = config.parent().unwrap_or(Path::new("."));
    let mut used = BTreeMap::new();
    for step in &pipeline.steps {
        if !used.contains_key(&step.driver) {
            let entry = entry(entries, &step.driver, config)?;
            let driver = drivers::resolve(&step.driver, entry, folder, locked)?;
            check_kind(&step.driver, &driver, &pipeline.resource)?;
            used.insert(step.driver.clone(), driver);
        }
    }
    Ok(used)
}

fn check_kind(name: &str, driver: &Resolved, kind: &str) -> Result<(), LaunchError> {
    let kinds = driver.kinds();
    if kinds.is_empty() || kinds.iter().any(|taken| taken == kind) {
        return Ok(());
    }
    Err(LaunchError::Kind {
        name: name.to_owned(),
        takes: kinds.join(", "),
        kind: kind.to_owned(),
    })
}

/// Loads the drivers of a pipeline, and makes of it what can be made before a run is ordered. `config` is the
/// operator's file, absolute. Nothing has been written when this fails.
///
/// # Errors
/// A pipeline that cannot be planned, a driver that does not load.
pub fn prepare(
    pipeline: Pipeline,
    used: BTreeMap<String, Resolved>,
    entries: &Config,
    config: PathBuf,
    places: Places<'_>,
    state: &StateFolder,
) -> Result<Prepared, LaunchError> {
    let plan = plan::of(&pipeline);
    plan.check()?;
    let snapshot = plan::snapshot(&pipeline);
    if snapshot.len() > plan::PIPELINE_BYTES_MAX {
        let found = crate::text::size(snapshot.len() as u64);
        return Err(LaunchError::PipelineTooLarge { found });
    }
    let loaded = load_all(&used, places.wasm)?;
    Ok(Prepared {
        pipeline: Arc::new(pipeline),
        digest: Digest::of(snapshot.as_bytes()),
        text: snapshot.into(),
        plan: Arc::new(plan),
        used,
        loaded,
        bridge: places.bridge.cloned(),
        own: Own::new(state, entries, &config),
        config,
        is_served: false,
        is_kept: AtomicBool::new(false),
    })
}

impl Prepared {
    /// Of the drivers that the host serves, whose operator's file may be another when a run goes on.
    #[must_use]
    pub fn of_served(mut self, is_served: bool) -> Self {
        self.is_served = is_served;
        self
    }

    /// The pipeline.
    pub fn pipeline(&self) -> &Pipeline {
        &self.pipeline
    }

    /// Makes a new run of an order: ready to be driven, not yet in the store. Nothing has been written when this
    /// fails.
    ///
    /// # Errors
    /// Folders that are not there or that no driver may have.
    pub fn new_run(&self, order: Order, state: &StateFolder) -> Result<Launch, LaunchError> {
        let (id, created_ms) = (order.id, clock::now_ms());
        let workspace = order.workspace.as_deref().map(folders::workspace);
        let drivers = self.used.iter();
        let record = RunRecord {
            run: id,
            created_ms,
            event: order.event,
            pipeline: self.pipeline.name.clone(),
            kind: order.resource.kind,
            resource: order.resource.name,
            pipeline_digest: self.digest,
            resource_digest: Digest::of(order.resource.text.as_bytes()),
            drivers: drivers
                .map(|(name, driver)| (name.clone(), driver.record()))
                .collect(),
            config: self.config.clone(),
            is_served: self.is_served,
            workspace: workspace.transpose()?,
            archive: order.archive,
            out_given: order.out.is_some(),
            out: match order.out {
                Some(out) => folders::out(&out)?,
                None => state.out(&id.to_string()),
            },
            set: order.set,
            locked: order.locked,
            rerun_of: order.rerun_of,
        };
        let stored = StoredRun {
            record: Arc::new(record),
            pipeline: Arc::clone(&self.pipeline),
            pipeline_text: Arc::clone(&self.text),
            resource: order.resource.text,
            run: Arc::new(Run::new(id, Arc::clone(&self.plan), 1, created_ms)),
            head: Revision::default(),
            requeue_after_ms: None,
        };
        let drivers = step_drivers(
            &stored,
            &self.used,
            &self.loaded,
            self.bridge.as_ref(),
            &self.own,
        )?;
        Ok(Launch { stored, drivers })
    }

    /// Puts on disk what must be there before a new run is: its drivers' bytes, its out folder.
    ///
    /// # Errors
    /// The file system's.
    pub fn keep(&self, launch: &Launch, state: &StateFolder) -> Result<(), LaunchError> {
        if !self.is_kept.load(Ordering::Acquire) {
            for driver in self.used.values().filter_map(Resolved::wasm) {
                state.keep_driver(driver.digest, &driver.bytes)?;
            }
            self.is_kept.store(true, Ordering::Release);
        }
        make_out(&launch.stored, &self.used)
    }
}

/// The drivers of a stored run by the digests that it keeps, with the operator's grants of today, for a new run of
/// the same snapshots.
///
/// # Errors
/// A driver that is no longer kept or no longer registered, or that the operator has pinned to other bytes.
pub fn same(
    stored: &StoredRun,
    entries: &Config,
    state: &StateFolder,
) -> Result<BTreeMap<String, Resolved>, LaunchError> {
    let used = kept(stored, entries, state)?;
    for driver in used.values().filter_map(Resolved::wasm) {
        let entry = entry(entries, &driver.name, &stored.record.config)?;
        drivers::check_pin(entry, driver, &state.driver(driver.digest))?;
    }
    Ok(used)
}

fn kept(
    stored: &StoredRun,
    entries: &Config,
    state: &StateFolder,
) -> Result<BTreeMap<String, Resolved>, LaunchError> {
    let mut used = BTreeMap::new();
    for (name, kept) in &stored.record.drivers {
        let entry = entry(entries, name, &stored.record.config)?;
        let driver = match kept.digest {
            None => Resolved::Native(drivers::native(name, entry)?.clone()),
            Some(digest) => {
                let bytes = state.driver_bytes(digest)?;
                Resolved::Wasm(drivers::kept(name, entry, &state.driver(digest), bytes)?)
            }
        };
        used.insert(name.clone(), driver);
    }
    Ok(used)
}

/// A stored run, ready to go on: its drivers by the digests that it keeps, with the operator's grants of today,
/// never more than the run was made with.
///
/// # Errors
/// A driver that is no longer kept or no longer registered, a folder that is no longer there.
pub fn reopen(
    stored: StoredRun,
    entries: &Config,
    places: Places<'_>,
    state: &StateFolder,
) -> Result<Launch, LaunchError> {
    let mut used = kept(&stored, entries, state)?;
    for (name, driver) in &mut used {
        if let (Resolved::Wasm(driver), Some(made_with)) = (driver, stored.record.drivers.get(name))
        {
            driver.grants = driver.grants.intersect(made_with.grants);
        }
    }
    make_out(&stored, &used)?;
    let loaded = load_all(&used, places.wasm)?;
    let own = Own::new(state, entries, &stored.record.config);
    let drivers = step_drivers(&stored, &used, &loaded, places.bridge, &own)?;
    Ok(Launch { stored, drivers })
}

fn entry<'e>(
    entries: &'e Config,
    name: &str,
    config: &Path,
) -> Result<&'e DriverEntry, LaunchError> {
    entries
        .drivers
        .get(name)
        .ok_or_else(|| LaunchError::Unregistered {
            name: name.to_owned(),
            config: config.to_owned(),
        })
}

/// Where drivers run.
#[derive(Clone, Copy)]
pub struct Places<'a> {
    /// The sandbox.
    pub wasm: &'a WasmHost,
    /// The way to those that are programs of their own, where there is one.
    pub bridge: Option<&'a Arc<Bridge>>,
}

impl<'a> Places<'a> {
    /// In this process alone.
    pub fn here(wasm: &'a WasmHost) -> Self {
        Places { wasm, bridge: None }
    }
}

/// Compiles each driver once.
fn load_all(
    used: &BTreeMap<String, Resolved>,
    wasm: &WasmHost,
) -> Result<BTreeMap<String, Arc<Loaded>>, LaunchError> {
    let mut loaded = BTreeMap::new();
    let all = used.iter();
    for (name, driver) in all.filter_map(|(name, driver)| Some((name, driver.wasm()?))) {
        let config = Arc::clone(&driver.config);
        let component = wasm
            .load(name, driver.digest, &driver.bytes, driver.limits, config)
            .map_err(|source| LaunchError::Load {
                name: name.clone(),
                source,
            })?;
        loaded.insert(name.clone(), Arc::new(component));
    }
    Ok(loaded)
}

fn step_drivers(
    stored: &StoredRun,
    used: &BTreeMap<String, Resolved>,
    loaded: &BTreeMap<String, Arc<Loaded>>,
    bridge: Option<&Arc<Bridge>>,
    own: &Own,
) -> Result<Vec<StepDriver>, LaunchError> {
    let has_out = has_out(stored, used);
    let steps = (0_u32..).zip(&stored.pipeline.steps).map(|(index, step)| {
        let name = &step.driver;
        let unregistered = || {
            let (name, config) = (name.clone(), stored.record.config.clone());
            LaunchError::Unregistered { name, config }
        };
        let driver = match used.get(name).ok_or_else(unregistered)? {
            Resolved::Wasm(driver) => driver,
            Resolved::Native(entry) => {
                let bridge = bridge.ok_or_else(|| LaunchError::NoBroker { name: name.clone() })?;
                let out = has_out.then(|| stored.record.out.clone());
                let native = NativeStep::new(bridge, entry, stored, index, out.clone());
                return Ok(StepDriver {
                    driver: Arc::new(native),
                    folders: Arc::default(),
                    placement: Placement::Native,
                    out,
                });
            }
        };
        let loaded = loaded.get(name).ok_or_else(unregistered)?;
        let folders = folders::of_step(driver.grants, name, &step.id, &stored.record, own)?;
        Ok(StepDriver {
            driver: Arc::<Loaded>::clone(loaded),
            folders: folders.into(),
            placement: driver.grants.placement(),
            out: None,
        })
    });
    steps.collect()
}

/// Whether the run has a folder for what its steps make: a driver is granted it, or a native one works on a folder of this
/// machine.
fn has_out(stored: &StoredRun, used: &BTreeMap<String, Resolved>) -> bool {
    let has_workspace = stored.record.workspace.is_some();
    used.values().any(|driver| match driver {
        Resolved::Wasm(driver) => driver.grants.out > OutAccess::None,
        Resolved::Native(_) => has_workspace,
    })
}

/// Makes the out folder where a step may write into it.
fn make_out(stored: &StoredRun, used: &BTreeMap<String, Resolved>) -> Result<(), LaunchError> {
    if has_out(stored, used) {
        folders::make_out(&stored.record.out)
    } else {
        Ok(())
    }
}

/// Keeps ids of one millisecond in the order in which they were made.
static ORDER: Mutex<ContextV7> = Mutex::new(ContextV7::new());

/// The id of a run that is about to be made, a UUIDv7: ids of later runs are greater.
pub fn new_id() -> RunId {
    let now_ms = clock::now_ms();
    let nanos = u32::try_from(now_ms % 1_000 * 1_000_000).unwrap_or_default();
    // Random digits alone would put those of one millisecond in any order.
    let order = ORDER.lock();
    let at = uuid::Timestamp::from_unix(&*order, now_ms / 1_000, nanos);
    RunId(Uuid::new_v7(at).as_u128())
}
