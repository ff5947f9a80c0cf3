//! From the bytes of a component to something that can be called.
//!
//! Owns the linker and the compiled drivers, one for each digest: grants are in the store of an attempt and not
//! in what is linked, so drivers that differ in grants alone share their code.

use super::bindings::{Driver, DriverPre};
use super::engine::{self, Ticker};
use super::guest::Guest;
use super::limits::Limits;
use crate::digest::Digest;
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use wasmtime::Engine;
use wasmtime::component::{Component, Linker};

/// Loads drivers and keeps their compiled code.
pub struct WasmHost {
    engine: Engine,
    linker: Linker<Guest>,
    compiled: Mutex<HashMap<Digest, DriverPre<Guest>>>,
    warning: Option<&'static str>,
    _ticker: Ticker,
}

/// A driver that can be called, with the limits and settings of its entry in `belt.yaml`.
pub struct Loaded {
    pub(super) pre: DriverPre<Guest>,
    pub(super) limits: Limits,
    pub(super) config: Arc<Map<String, Value>>,
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
}

impl WasmHost {
    /// Starts the engine and links everything that a driver may import.
    ///
    /// # Errors
    /// [`LoadError::Engine`], where the machine allows no engine.
    pub fn new() -> Result<Self, LoadError> {
        let (engine, allocation) = engine::engine().map_err(LoadError::Engine)?;
        let linker = linker(&engine).map_err(LoadError::Engine)?;
        let ticker = Ticker::start(&engine).map_err(|error| LoadError::Engine(error.into()))?;
        let warning = allocation.warning();
        Ok(WasmHost {
            engine,
            linker,
            compiled: Mutex::default(),
            warning,
            _ticker: ticker,
        })
    }

    /// What the operator should know of how this machine runs guests.
    pub fn warning(&self) -> Option<&'static str> {
        self.warning
    }

    /// Compiles a component, unless one of that digest is loaded.
    ///
    /// # Errors
    /// [`LoadError::Compile`] or [`LoadError::Link`]. What a static look can tell is told better by
    /// `drivers::inspect`, before.
    pub fn load(
        &self,
        digest: Digest,
        bytes: &[u8],
        limits: Limits,
        config: Arc<Map<String, Value>>,
    ) -> Result<Loaded, LoadError> {
        let known = self.compiled().get(&digest).cloned();
        let pre = match known {
            Some(pre) => pre,
            None => {
                let component =
                    Component::from_binary(&self.engine, bytes).map_err(LoadError::Compile)?;
                let pre = self
                    .linker
                    .instantiate_pre(&component)
                    .map_err(LoadError::Link)?;
                let pre = DriverPre::new(pre).map_err(LoadError::Link)?;
                self.compiled().entry(digest).or_insert(pre).clone()
            }
        };
        Ok(Loaded {
            pre,
            limits,
            config,
        })
    }

    fn compiled(&self) -> std::sync::MutexGuard<'_, HashMap<Digest, DriverPre<Guest>>> {
        self.compiled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Everything is linked for everyone: components of other languages import most of WASI whether they use it or
/// not. What is not granted is denied at the call.
fn linker(engine: &Engine) -> wasmtime::Result<Linker<Guest>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    Driver::add_to_linker::<_, Guest>(&mut linker, |guest| guest)?;
    Ok(linker)
}
