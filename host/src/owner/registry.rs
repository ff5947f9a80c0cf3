//! The drivers that runs may name: those of the operator's file, and those that clients have put.
//!
//! Owns which bytes stand behind a name today. What runs keep is a digest: a change here reaches new runs alone.
//! Grants come from the operator's file; a driver that a client has put has none.

mod puts;
mod refresh;
mod served;
mod taken;

pub(super) use puts::Put;
pub use served::{DriverSource, DriverStatus, ServedDriver};

use super::order::InPlace;
use super::{Owner, OwnerError, Settings, blocking};
use crate::catalog::{DefinitionRecord, Found};
use crate::digest::Digest;
use crate::documents::{Config, DriverEntry, NativeDriver, Pipeline, SpecCheck};
use crate::launch::{self, Prepared};
use crate::plan;
use crate::records::RunRecord;
use crate::state::StateFolder;
use crate::store::Revision;
use crate::wasm::{HostSettings, LoadError, Tell, WasmHost};
use parking_lot::Mutex;
use served::Served;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use taken::Takers;
pub(super) use taken::Taking;
use tokio::sync::watch;

/// Pipelines that are kept ready; when there are more, all are made anew.
const PREPARED_MAX: usize = 1_000;

/// Kinds whose schemas are kept compiled; when there are more, all are compiled anew.
const CHECKS_MAX: usize = 1_000;

/// The drivers of a state folder.
pub struct Registry {
    state: StateFolder,
    config: Option<PathBuf>,
    sandbox: fn(&Config) -> HostSettings,
    tell: Tell,
    wasm: OnceLock<WasmHost>,
    starting: Mutex<()>,
    /// What is served now; its number grows with each change.
    served: watch::Sender<Arc<Served>>,
    takers: Takers,
    prepared: Mutex<HashMap<(Digest, u64), Arc<Prepared>>>,
    checks: Mutex<HashMap<String, (Revision, Arc<SpecCheck>)>>,
    refresh: refresh::Refresh,
    /// Whether native drivers can be reached.
    has_bridge: AtomicBool,
}

impl Registry {
    pub(super) fn new(state: &StateFolder, settings: &mut Settings) -> Self {
        Registry {
            state: state.clone(),
            config: settings.config.clone(),
            sandbox: settings.sandbox,
            tell: Arc::clone(&settings.tell),
            wasm: settings
                .wasm
                .take()
                .map_or_else(OnceLock::new, OnceLock::from),
            starting: Mutex::new(()),
            served: watch::Sender::new(Arc::new(Served::default())),
            takers: Takers::default(),
            prepared: Mutex::default(),
            checks: Mutex::default(),
            refresh: refresh::Refresh::default(),
            has_bridge: AtomicBool::new(false),
        }
    }

    /// Whether there is anything that runs may name without bringing an operator's file.
    pub fn serves(&self) -> bool {
        self.served().number > 0
    }

    /// That a step's driver is there, whether it is ready or not; for whoever writes a pipeline.
    ///
    /// # Errors
    /// With the line to add.
    pub fn check_driver(&self, step: usize, name: &str) -> Result<(), OwnerError> {
        let served = self.served();
        // A host without drivers of its own takes those of whoever runs it.
        match served.number == 0 || served.config.drivers.contains_key(name) {
            true => Ok(()),
            false => Err(served.unusable(step, name)),
        }
    }

    /// The digests of what is served now.
    pub(super) fn digests(&self) -> Vec<Digest> {
        let served = self.served();
        let current = served
            .drivers
            .values()
            .filter_map(|driver| driver.current.as_deref()?.wasm());
        current.map(|driver| driver.digest).collect()
    }

    /// The native drivers that are served, by name.
    pub(crate) fn natives(&self) -> Vec<(String, NativeDriver)> {
        let served = self.served();
        let drivers = served.config.drivers.iter();
        let natives = drivers.filter_map(|(name, entry)| match entry {
            DriverEntry::Native(entry) => Some((name.clone(), entry.clone())),
            DriverEntry::Wasm(_) => None,
        });
        natives.collect()
    }

    /// The entry of a native driver in an operator's file.
    pub(crate) fn native(&self, config: &Path, name: &str) -> Option<Arc<NativeDriver>> {
        let entries = self.entries_of(config).ok()?;
        match entries.drivers.get(name)? {
            DriverEntry::Native(entry) => Some(Arc::new(entry.clone())),
            DriverEntry::Wasm(_) => None,
        }
    }

    /// Whether a driver of this name is served that is native.
    pub(crate) fn is_native(&self, name: &str) -> bool {
        let served = self.served();
        let driver = served.drivers.get(name);
        driver.is_some_and(|driver| driver.is_native)
    }

    /// To be told when something else is served.
    pub(crate) fn changes(&self) -> watch::Receiver<Arc<Served>> {
        self.served.subscribe()
    }

    /// What is served now.
    pub fn served(&self) -> Arc<Served> {
        Arc::clone(&self.served.borrow())
    }

    /// Whether runs with this operator's file use the drivers that are served.
    pub(super) fn is_served(&self, config: &Path) -> bool {
        let served = self.served();
        served.number > 0 && served.path == config
    }

    /// The operator's file of a run: where it takes what is served, the one that is served now.
    pub(crate) fn config_of(&self, record: &RunRecord) -> PathBuf {
        let served = self.served();
        match record.is_served && served.number > 0 {
            true => served.path.clone(),
            false => record.config.clone(),
        }
    }

    /// The sandbox; started by whoever needs it first, as that configuration has it.
    pub(super) fn wasm(&self, config: &Config) -> Result<&WasmHost, LoadError> {
        let _starting = self.starting.lock();
        if self.wasm.get().is_none() {
            let host = WasmHost::new((self.sandbox)(config), Arc::clone(&self.tell))?;
            let _ = self.wasm.set(host);
        }
        Ok(self
            .wasm
            .get()
            .expect("it was set, and nobody takes it away"))
    }

    /// A kind's schema, compiled once for each of its revisions; `None` where it is none.
    pub(super) fn spec_check(&self, found: &Found<DefinitionRecord>) -> Option<Arc<SpecCheck>> {
        let kind = &found.record.definition.name;
        if let Some((revision, check)) = self.checks.lock().get(kind)
            && *revision == found.revision
        {
            return Some(Arc::clone(check));
        }
        let check = Arc::new(SpecCheck::of(&found.record.definition)?);
        let mut checks = self.checks.lock();
        if checks.len() >= CHECKS_MAX {
            checks.clear();
        }
        checks.insert(kind.clone(), (found.revision, Arc::clone(&check)));
        Some(check)
    }

    /// What a resource of this kind goes through that names no pipeline.
    pub(super) fn listening(
        &self,
        kind: &str,
        in_place: Option<&InPlace>,
    ) -> Result<Pipeline, OwnerError> {
        let config = match in_place {
            None => Arc::clone(&self.served().config),
            Some(place) => self.entries_of(&place.config)?,
        };
        let listens = |entry: &DriverEntry| entry.kinds().iter().any(|listened| listened == kind);
        let drivers = config.drivers.iter().filter(|(_, entry)| listens(entry));
        Ok(Pipeline::of_drivers(
            kind,
            drivers.map(|(name, _)| name.as_str()),
        ))
    }

    /// A pipeline with the drivers that are served now, for a run that is in the store before the other is dropped.
    pub(super) async fn prepared(
        &self,
        owner: &Arc<Owner>,
        pipeline: Pipeline,
    ) -> Result<(Taking, Arc<Prepared>), OwnerError> {
        let digest = Digest::of(plan::snapshot(&pipeline).as_bytes());
        let (taking, served) = self.compiled(&pipeline).await?;
        let key = (digest, served.number);
        if let Some(prepared) = self.prepared.lock().get(&key) {
            return Ok((taking, Arc::clone(prepared)));
        }
        let owner = Arc::clone(owner);
        let make = move || {
            let registry = &owner.registry;
            let used = served.used(&pipeline)?;
            let (entries, path) = (&served.config, served.path.clone());
            let places = owner.places(&served.config)?;
            let prepared = launch::prepare(pipeline, used, entries, path, places, &owner.state)?;
            let prepared = Arc::new(prepared.of_served(true));
            let mut all = registry.prepared.lock();
            all.retain(|(_, number), _| *number == served.number);
            if all.len() >= PREPARED_MAX {
                all.clear();
            }
            all.insert(key, Arc::clone(&prepared));
            Ok(prepared)
        };
        let prepared: Result<_, OwnerError> = blocking(make).await?;
        Ok((taking, prepared?))
    }

    /// A pipeline with the drivers of a client's own file, as it is now.
    pub(super) fn prepared_by(
        &self,
        owner: &Owner,
        pipeline: Pipeline,
        place: &InPlace,
    ) -> Result<Arc<Prepared>, OwnerError> {
        let (path, entries) = (place.config.clone(), self.entries_of(&place.config)?);
        let used = launch::resolve(&pipeline, &entries, &path, place.locked)?;
        let places = owner.places(&entries)?;
        let prepared = launch::prepare(pipeline, used, &entries, path, places, &owner.state)?;
        Ok(Arc::new(prepared))
    }

    /// The entries of an operator's file as it is today; of the one that is served, with those that clients have put.
    pub(super) fn entries_of(&self, path: &Path) -> Result<Arc<Config>, OwnerError> {
        if self.is_served(path) {
            return Ok(Arc::clone(&self.served().config));
        }
        let config = refresh::read_config(path)?.ok_or_else(|| OwnerError::Field {
            field: "/local/config",
            why: format!(
                "`{}` has no `drivers`; name the operator's file with --config",
                path.display()
            ),
        })?;
        Ok(Arc::new(config))
    }
}
