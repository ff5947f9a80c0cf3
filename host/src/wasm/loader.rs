//! From the bytes of a component to something that can be called.
//!
//! Owns the linker and the compiled drivers, one for each digest: grants are in the store of an attempt and not
//! in what is linked, so drivers that differ in grants alone share their code.

use super::bindings::{Driver, DriverPre};
use super::budget::{Admission, Budget, Room};
use super::cache::{self, Cache, CacheError};
use super::compiler::{CompileLimit, CompileLimits, Compiler};
use super::engine::{self, Allocation, Ticker};
use super::files::HasFiles;
use super::guest::Guest;
use super::limits::Limits;
use super::network;
use super::once::{UnderWay, Whose};
use crate::digest::Digest;
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::error::Error;
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
    /// Who compiles. With none it is done in this process, where nothing bounds it: a hostile component then takes
    /// the memory and the time that it likes. That is for tests and measurements, whose executable is no compiler.
    pub compiler: Option<Compiler>,
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
    allocation: Allocation,
    linker: Linker<Guest>,
    compiled: Mutex<HashMap<Digest, DriverPre<Guest>>>,
    under_way: UnderWay<Result<DriverPre<Guest>, LoadError>>,
    budget: Arc<Budget>,
    cache: Option<Cache>,
    compiler: Mutex<Option<Compiler>>,
    refused: Mutex<HashMap<Digest, Refused>>,
    tell: Tell,
    _ticker: Ticker,
}

/// A component that could not be compiled, and under which limits.
type Refused = (Option<CompileLimits>, LoadError);

/// Components that are known not to compile; when there are more, all are tried anew.
const REFUSED_MAX: usize = 1_000;

/// A driver that can be called, with the limits and settings of its entry in `belt.yaml`.
pub struct Loaded {
    pub(super) pre: DriverPre<Guest>,
    pub(super) limits: Limits,
    pub(super) config: Arc<Map<String, Value>>,
    budget: Arc<Budget>,
    room: Room,
}

/// What led to an error, for all who asked for the same.
pub(super) type Cause = Arc<dyn Error + Send + Sync>;

/// A component that cannot be loaded.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LoadError {
    /// Not even an engine can be had on this machine.
    #[error("wasmtime cannot start")]
    Engine(#[source] Cause),
    /// The bytes are no component that this engine can compile.
    #[error("it does not compile; build it or fetch it again")]
    Compile(#[source] Cause),
    /// Compiling it takes more than one driver may.
    #[error(
        "compiling it takes more than its {0}; build it with less code in it, or as several drivers"
    )]
    CompileLimit(CompileLimit),
    /// The process that compiled it is no more, for no reason that is known.
    #[error(
        "its compiler ended without an answer ({status}); load it again, and report it if that ends the same way"
    )]
    CompilerEnded {
        /// How it ended.
        status: ExitStatus,
        /// The last that it said.
        #[source]
        words: Option<Cause>,
    },
    /// No process can be had that compiles it.
    #[error(
        "no compiler can be started for it; see that /proc is there and that another process may be started"
    )]
    Compiler(#[source] Cause),
    /// It imports or exports something under another type than the host's.
    #[error("it does not fit this host; build it for the `wit/` of this host")]
    Link(#[source] Cause),
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

impl LoadError {
    /// Whether the same bytes come to the same under the same limits.
    fn is_of_the_bytes(&self) -> bool {
        match self {
            LoadError::Compile(_) | LoadError::CompileLimit(_) | LoadError::Link(_) => true,
            LoadError::Engine(_)
            | LoadError::Compiler(_)
            | LoadError::CompilerEnded { .. }
            | LoadError::Room { .. } => false,
        }
    }

    /// Whether it is this machine that refuses, or a compiler of ours that broke, and not the component.
    pub fn is_fault(&self) -> bool {
        match self {
            LoadError::Engine(_) | LoadError::Compiler(_) | LoadError::CompilerEnded { .. } => true,
            LoadError::Compile(_)
            | LoadError::CompileLimit(_)
            | LoadError::Link(_)
            | LoadError::Room { .. } => false,
        }
    }
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
            compiler,
        } = settings;
        let engine = engine::engine().map_err(wasmtimes(LoadError::Engine));
        let (engine, allocation) = engine?;
        let linker = linker(&engine).map_err(wasmtimes(LoadError::Engine))?;
        let ticker = Ticker::start(&engine).map_err(|error| LoadError::Engine(cause(error)))?;
        if let Some(warning) = allocation.warning() {
            tell(Notice::Allocation(warning));
        }
        Ok(WasmHost {
            engine,
            allocation,
            linker,
            compiled: Mutex::default(),
            under_way: UnderWay::default(),
            budget: Arc::new(Budget::new(guest_memory)),
            cache,
            compiler: Mutex::new(compiler),
            refused: Mutex::default(),
            tell,
            _ticker: ticker,
        })
    }

    /// What compiling one driver may use from now on, where there is a compiler. What was refused is tried again then.
    pub fn limit_compiler(&self, limits: CompileLimits) {
        if let Some(compiler) = locked(&self.compiler).as_mut() {
            compiler.limits = limits;
        }
    }

    /// Loads an operator's component: the one of that digest that is loaded, or its code from the cache, or compiled anew;
    /// or refuses it as before. Blocks, for minutes where the compiler needs them or others have come before.
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
        self.load_of(Whose::Operators, name, digest, bytes, limits, config)
    }

    /// The same of a component that may be a client's: then it keeps none of an operator's waiting.
    ///
    /// # Errors
    /// As [`WasmHost::load`].
    pub fn load_of(
        &self,
        whose: Whose,
        name: &str,
        digest: Digest,
        bytes: &[u8],
        limits: Limits,
        config: Arc<Map<String, Value>>,
    ) -> Result<Loaded, LoadError> {
        let pre = match self.known(digest) {
            Some(pre) => pre,
            None => match self.cached(name, digest) {
                Some(component) => self.remember(digest, self.link(&component)?),
                None => {
                    let compile = || self.compile(name, digest, bytes);
                    self.under_way.once(whose, digest, compile)?
                }
            },
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
        // Somebody may have done so since we looked.
        if let Some(pre) = self.known(digest) {
            return Ok(pre);
        }
        let compiler = locked(&self.compiler).clone();
        let limits = compiler.as_ref().map(|compiler| compiler.limits.clone());
        if let Some((before, error)) = locked(&self.refused).get(&digest)
            && *before == limits
        {
            return Err(error.clone());
        }
        (self.tell)(Notice::Compiling(name.to_owned()));
        let made = self.code(compiler.as_ref(), bytes);
        let made = made.inspect_err(|error| self.refuse(digest, limits, error));
        let (code, pre) = made?;
        if let Some(cache) = &self.cache
            && let Err(error) = cache.keep(&self.engine, digest, &code)
        {
            self.tell_cache(name, &error);
        }
        Ok(self.remember(digest, pre))
    }

    /// The code of a component, and what can be called of it.
    fn code(
        &self,
        compiler: Option<&Compiler>,
        bytes: &[u8],
    ) -> Result<(Vec<u8>, DriverPre<Guest>), LoadError> {
        let code = match compiler {
            Some(compiler) => compiler.code(self.allocation, bytes)?,
            None => engine::code(&self.engine, bytes).map_err(wasmtimes(LoadError::Compile))?,
        };
        let component = cache::load_new(&self.engine, &code);
        let pre = self.link(&component.map_err(wasmtimes(LoadError::Compile))?)?;
        Ok((code, pre))
    }

    /// Remembers that a component cannot be compiled, where that is its own fault.
    fn refuse(&self, digest: Digest, limits: Option<CompileLimits>, error: &LoadError) {
        if !error.is_of_the_bytes() {
            return;
        }
        let mut refused = locked(&self.refused);
        if refused.len() >= REFUSED_MAX {
            refused.clear();
        }
        refused.insert(digest, (limits, error.clone()));
    }

    fn link(&self, component: &Component) -> Result<DriverPre<Guest>, LoadError> {
        let pre = self.linker.instantiate_pre(component);
        let pre = pre.and_then(DriverPre::new);
        pre.map_err(wasmtimes(LoadError::Link))
    }

    fn tell_cache(&self, driver: &str, error: &CacheError) {
        let driver = driver.to_owned();
        let error = crate::text::chain(error);
        (self.tell)(Notice::Cache { driver, error });
    }

    fn known(&self, digest: Digest) -> Option<DriverPre<Guest>> {
        locked(&self.compiled).get(&digest).cloned()
    }

    /// Of two that load one at once, both use that of the first.
    fn remember(&self, digest: Digest, pre: DriverPre<Guest>) -> DriverPre<Guest> {
        locked(&self.compiled).entry(digest).or_insert(pre).clone()
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

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// wasmtime has an error type of its own, that cannot be shared.
fn wasmtimes(kind: fn(Cause) -> LoadError) -> impl FnOnce(wasmtime::Error) -> LoadError {
    move |error| kind(cause(error.into_boxed_dyn_error()))
}

pub(super) fn cause(error: impl Into<Box<dyn Error + Send + Sync>>) -> Cause {
    Arc::from(error.into())
}
