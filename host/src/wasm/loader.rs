//! From the bytes of a component to something that can be called.
//!
//! Owns the linker and the compiled drivers, one for each digest: grants are in the store of an attempt and not
//! in what is linked, so drivers that differ in grants alone share their code.

use super::bindings::{Driver, DriverPre};
use super::budget::{Admission, Budget, Room};
use super::cache::{Cache, CacheError};
use super::engine::{self, Ticker};
use super::files::HasFiles;
use super::guest::Guest;
use super::limits::Limits;
use super::network;
use crate::digest::Digest;
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use wasmtime::Engine;
use wasmtime::component::{Component, Linker};
use wasmtime_wasi::p2::bindings::filesystem::types;

/// What the operator decides for all drivers of a host.
#[derive(Debug, Default)]
pub struct HostSettings {
    /// The memory of all guests together, in bytes; half of the machine's where nothing is said.
    pub guest_memory: Option<u64>,
    /// Where compiled code is kept; none for a host that compiles anew.
    pub cache: Option<Cache>,
}

/// What an operator may want to know while drivers are loaded.
#[derive(Debug, thiserror::Error)]
pub enum Notice {
    /// Instances cost more here than they could.
    #[error("{0}")]
    Allocation(&'static str),
    /// A driver is about to be compiled, which can take seconds.
    #[error("compiling {0}")]
    Compiling(String),
    /// Its code in the cache was not used, or did not get there.
    #[error("compiled code of {driver} is not cached: {error}")]
    Cache {
        /// The driver.
        driver: String,
        /// Why, with all that led to it.
        error: String,
    },
}

/// Hears what an operator may want to know.
pub type Tell = Arc<dyn Fn(Notice) + Send + Sync>;

/// Loads drivers and keeps their compiled code.
pub struct WasmHost {
    engine: Engine,
    linker: Linker<Guest>,
    compiled: Mutex<HashMap<Digest, DriverPre<Guest>>>,
    budget: Arc<Budget>,
    cache: Option<Cache>,
    tell: Tell,
    _ticker: Ticker,
}

/// A driver that can be called, with the limits and settings of its entry in `belt.yaml`.
pub struct Loaded {
    pub(super) pre: DriverPre<Guest>,
    pub(super) limits: Limits,
    pub(super) config: Arc<Map<String, Value>>,
    budget: Arc<Budget>,
    room: Room,
}

/// A component that cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Not even an engine can be had on this machine.
    #[error("wasmtime cannot start")]
    Engine(#[source] wasmtime::Error),
    /// The bytes are no component that this engine can compile.
    #[error("it does not compile; build it or fetch it again")]
    Compile(#[source] wasmtime::Error),
    /// It imports or exports something under another type than the host's.
    #[error("it does not fit this host; build it for the `wit/` of this host")]
    Link(#[source] wasmtime::Error),
    /// One attempt of it may use more than all guests together have.
    #[error(
        "its memory limit of {limit} is more than the {guest_memory} that all guests together have; lower `limits: {{memory: …}}` or raise `guest_memory` in belt.yaml"
    )]
    Room {
        /// Of one attempt.
        limit: String,
        /// Of all.
        guest_memory: String,
    },
}

impl WasmHost {
    /// Starts the engine and links everything that a driver may import.
    ///
    /// # Errors
    /// [`LoadError::Engine`], where the machine allows no engine.
    pub fn new(settings: HostSettings, tell: Tell) -> Result<Self, LoadError> {
        let HostSettings {
            guest_memory,
            cache,
        } = settings;
        let (engine, allocation) = engine::engine().map_err(LoadError::Engine)?;
        let linker = linker(&engine).map_err(LoadError::Engine)?;
        let ticker = Ticker::start(&engine).map_err(|error| LoadError::Engine(error.into()))?;
        if let Some(warning) = allocation.warning() {
            tell(Notice::Allocation(warning));
        }
        Ok(WasmHost {
            engine,
            linker,
            compiled: Mutex::default(),
            budget: Arc::new(Budget::new(guest_memory)),
            cache,
            tell,
            _ticker: ticker,
        })
    }

    /// Loads a component: the one of that digest that is loaded, or its code from the cache, or compiled anew.
    ///
    /// # Errors
    /// [`LoadError`]. What a static look can tell is told better by `drivers::inspect`, before.
    pub fn load(
        &self,
        name: &str,
        digest: Digest,
        bytes: &[u8],
        limits: Limits,
        config: Arc<Map<String, Value>>,
    ) -> Result<Loaded, LoadError> {
        let known = self.compiled().get(&digest).cloned();
        let pre = match known {
            Some(pre) => pre,
            None => {
                let pre = match self.cached(name, digest) {
                    Some(component) => self.link(&component)?,
                    None => self.compile(name, digest, bytes)?,
                };
                self.compiled().entry(digest).or_insert(pre).clone()
            }
        };
        let required = pre.instance_pre().component().resources_required();
        let memories = required.map_or(1, |required| required.num_memories);
        let (budget, memory_bytes) = (Arc::clone(&self.budget), limits.memory_bytes);
        let Some(room) = budget.room(memory_bytes, memories) else {
            return Err(LoadError::Room {
                limit: crate::text::size(memory_bytes),
                guest_memory: crate::text::size(budget.bytes()),
            });
        };
        Ok(Loaded {
            pre,
            limits,
            config,
            budget,
            room,
        })
    }

    /// From the cache. What is wrong with that is told, and keeps nobody from running.
    fn cached(&self, name: &str, digest: Digest) -> Option<Component> {
        let cache = self.cache.as_ref()?;
        let found = cache.load(&self.engine, digest);
        found.unwrap_or_else(|error| {
            self.tell_cache(name, &error);
            None
        })
    }

    /// Compiles, and puts what can be used into the cache.
    fn compile(
        &self,
        name: &str,
        digest: Digest,
        bytes: &[u8],
    ) -> Result<DriverPre<Guest>, LoadError> {
        (self.tell)(Notice::Compiling(name.to_owned()));
        let component = Component::from_binary(&self.engine, bytes).map_err(LoadError::Compile)?;
        let pre = self.link(&component)?;
        if let Some(cache) = &self.cache
            && let Err(error) = cache.keep(&self.engine, digest, &component)
        {
            self.tell_cache(name, &error);
        }
        Ok(pre)
    }

    fn link(&self, component: &Component) -> Result<DriverPre<Guest>, LoadError> {
        let pre = self.linker.instantiate_pre(component);
        DriverPre::new(pre.map_err(LoadError::Link)?).map_err(LoadError::Link)
    }

    fn tell_cache(&self, driver: &str, error: &CacheError) {
        let driver = driver.to_owned();
        let error = crate::text::chain(error);
        (self.tell)(Notice::Cache { driver, error });
    }

    fn compiled(&self) -> std::sync::MutexGuard<'_, HashMap<Digest, DriverPre<Guest>>> {
        self.compiled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Loaded {
    /// Waits until the host has room for one more attempt of this driver.
    pub fn admit(&self) -> impl Future<Output = Admission> + Send + use<> {
        self.budget.admit(self.room)
    }
}

/// Everything is linked for everyone: components of other languages import most of WASI whether they use it or
/// not. What is not granted is denied at the call.
fn linker(engine: &Engine) -> wasmtime::Result<Linker<Guest>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    Driver::add_to_linker::<_, Guest>(&mut linker, |guest| guest)?;
    linker.allow_shadowing(true);
    types::add_to_linker::<Guest, HasFiles>(&mut linker, Guest::files)?;
    network::deny_sockets(&mut linker)?;
    network::deny_bodies(&mut linker)?;
    Ok(linker)
}
