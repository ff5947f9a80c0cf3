//! The drivers that clients put, as the store has them.
//!
//! Owns their records, and what must be so before one goes: nobody runs it. What is compiled when is `refresh`'s.

use super::super::{Owner, OwnerError, blocking};
use super::Registry;
use super::served::DriverSource;
use crate::clock;
use crate::digest::Digest;
use crate::documents::{DriverEntry, Grants, Limits, NativeDriver, WasmDriver};
use crate::drivers;
use crate::records::{decode, encode};
use crate::store::{Batch, Order, Store};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Map;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

const PUT: &str = "driver/";

/// Drivers that clients may put.
pub const PUT_MAX: usize = 1_000;

/// A driver that a client has put, as stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct PutRecord {
    #[serde(flatten)]
    put: Put,
    at_ms: u64,
}

/// What a client has put.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::owner) enum Put {
    /// A component; its bytes are in the state folder.
    #[serde(rename = "digest")]
    Wasm(Digest),
    /// The entry of a program of its own.
    Native(NativeDriver),
}

impl Put {
    /// Of its bytes, where it has any.
    pub(in crate::owner) fn digest(&self) -> Option<Digest> {
        match self {
            Put::Wasm(digest) => Some(*digest),
            Put::Native(_) => None,
        }
    }
}

impl Owner {
    pub(in crate::owner) async fn puts(&self) -> Result<BTreeMap<String, Put>, OwnerError> {
        let found = self
            .store
            .scan(PUT, None, Order::Ascending, PUT_MAX)
            .await?;
        let mut puts = BTreeMap::new();
        for one in found {
            let record: PutRecord =
                decode(&one.key, &one.value).map_err(|error| OwnerError::Runs(error.into()))?;
            if let Some(name) = one.key.strip_prefix(PUT) {
                puts.insert(name.to_owned(), record.put);
            }
        }
        Ok(puts)
    }

    /// Keeps a driver that a client brings, durably; it is compiled soon after. Whether the name is new.
    ///
    /// # Errors
    /// Bytes that are no driver, a name that is the operator's.
    pub async fn put_driver(
        self: &Arc<Self>,
        name: &str,
        bytes: Bytes,
    ) -> Result<bool, OwnerError> {
        self.check_not_configured(name)?;
        let owner = Arc::clone(self);
        let keep = move || -> Result<Digest, OwnerError> {
            let digest = drivers::inspect(&bytes)?.digest;
            owner.state.keep_driver(digest, &bytes)?;
            Ok(digest)
        };
        let digest = blocking(keep).await??;
        self.put(name, Put::Wasm(digest)).await
    }

    /// Registers a native driver, durably. Whether the name is new.
    ///
    /// # Errors
    /// A name that is the operator's.
    pub async fn put_native(
        self: &Arc<Self>,
        name: &str,
        entry: NativeDriver,
    ) -> Result<bool, OwnerError> {
        self.put(name, Put::Native(entry)).await
    }

    async fn put(self: &Arc<Self>, name: &str, put: Put) -> Result<bool, OwnerError> {
        let _changing = self.registry.refresh.changing.lock().await;
        self.check_not_configured(name)?;
        let served = self.registry.served();
        let is_new = !served.drivers.contains_key(name);
        if is_new && served.drivers.len() >= PUT_MAX {
            let why = format!("there are {PUT_MAX} drivers, which is the limit; delete one");
            return Err(OwnerError::Conflict(why));
        }
        let record = PutRecord {
            put,
            at_ms: clock::now_ms(),
        };
        let batch = Batch::new().put(format!("{PUT}{name}"), encode(&record));
        self.catalog.commit(batch).await?;
        self.republish().await?;
        Ok(is_new)
    }

    /// Removes a driver that a client has put. New runs that want it wait until that is decided.
    ///
    /// # Errors
    /// One that is not there, is the operator's, or is named by a run that has not ended.
    pub async fn delete_driver(self: &Arc<Self>, name: &str) -> Result<(), OwnerError> {
        let _changing = self.registry.refresh.changing.lock().await;
        self.check_not_configured(name)?;
        let key = format!("{PUT}{name}");
        let found = self.store.get(&key).await?;
        let found = found.ok_or_else(|| OwnerError::not_found("driver", name))?;
        // Nobody is made to wait for what is plain.
        self.check_unused(name).await?;
        let leaving = self.registry.leaving(name);
        self.registry.until_taken().await?;
        self.check_unused(name).await?;
        let batch = Batch::new().expect(&key, found.revision).delete(&key);
        self.catalog.commit(batch).await?;
        let was_native = self.registry.is_native(name);
        self.republish().await?;
        drop(leaving);
        if let Some(bridge) = self.bridge().filter(|_| was_native)
            && let Err(error) = bridge.retire(name).await
        {
            let error = crate::text::chain(&error);
            tracing::warn!(driver = name, error, "its consumer stays on the broker");
        }
        Ok(())
    }

    /// That every run that names a driver has ended.
    async fn check_unused(&self, name: &str) -> Result<(), OwnerError> {
        for (id, _) in self.runs.open().await? {
            let record = self.runs.record(id).await?;
            if record.is_some_and(|record| record.drivers.contains_key(name)) {
                let why = format!("run {id} uses driver `{name}` and has not ended");
                return Err(OwnerError::Conflict(why));
            }
        }
        Ok(())
    }

    fn check_not_configured(&self, name: &str) -> Result<(), OwnerError> {
        let served = self.registry.served();
        match served.drivers.get(name) {
            Some(driver) if driver.source == DriverSource::Config => {
                Err(OwnerError::Conflict(format!(
                    "driver `{name}` is the operator's, in `{}`, and read-only here",
                    served.path.display()
                )))
            }
            Some(_) | None => Ok(()),
        }
    }

    async fn republish(&self) -> Result<(), OwnerError> {
        let puts = self.puts().await?;
        self.registry.publish_puts(puts);
        Ok(())
    }
}

/// A driver that may be about to go, until this is dropped.
struct Leaving<'r>(&'r Registry);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.0.change(|served| served.leaving = None);
    }
}

impl Registry {
    /// Has new runs wait that want a driver.
    fn leaving(&self, name: &str) -> Leaving<'_> {
        self.change(|served| served.leaving = Some(name.to_owned()));
        Leaving(self)
    }
}

impl Put {
    /// As the operator's file would have it; `path` is where the bytes of a component are.
    pub(super) fn entry(self, path: impl FnOnce(Digest) -> PathBuf) -> DriverEntry {
        match self {
            Put::Wasm(digest) => component(path(digest), digest),
            Put::Native(entry) => DriverEntry::Native(entry),
        }
    }
}

/// No grants, and no other bytes than those.
pub(super) fn component(path: PathBuf, digest: Digest) -> DriverEntry {
    DriverEntry::Wasm(WasmDriver {
        path,
        digest: Some(digest),
        grants: Grants::default(),
        limits: Limits::default(),
        kinds: Vec::new(),
        config: Map::new(),
    })
}
