//! Keeping up with the operator's file, the driver files that it names, and what clients put.
//!
//! One thread looks, reads and has compiled; nobody waits for it but who wants a driver that was never ready. What
//! cannot be used is told and leaves what was there before.

use super::super::{Owner, OwnerError, blocking};
use super::Registry;
use super::served::{DriverSource, DriverStatus, Served, ServedDriver};
use crate::clock;
use crate::digest::Digest;
use crate::documents::{Config, DriverEntry, Grants, Limits, NativeDriver, WasmDriver, read_files};
use crate::drivers::{self, Driver, Resolved};
use crate::records::{decode, encode};
use crate::store::{Batch, Order, Store};
use crate::text;
use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use serde::{Deserialize, Serialize};
use serde_json::Map;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

/// How often files are looked at.
const LOOK: Duration = Duration::from_millis(500);

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
enum Put {
    /// A component; its bytes are in the state folder.
    #[serde(rename = "digest")]
    Wasm(Digest),
    /// The entry of a program of its own.
    Native(NativeDriver),
}

#[derive(Default)]
pub(super) struct Refresh {
    asked: Mutex<bool>,
    wake: Condvar,
    /// Held while something is looked at, read or compiled.
    seen: Mutex<Seen>,
    wished: Mutex<Wished>,
    /// Held while what clients have put changes, and until that is served.
    changing: tokio::sync::Mutex<()>,
}

/// What is to be served.
#[derive(Default, Clone)]
struct Wished {
    config: Config,
    puts: BTreeMap<String, Put>,
}

/// What was read last, so that what is the same is not read again.
#[derive(Default)]
struct Seen {
    config: Option<Stamp>,
    drivers: BTreeMap<String, (WasmDriver, Option<Stamp>)>,
}

/// What tells a file from what it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(path: &Path) -> Option<Stamp> {
        let found = fs::metadata(path).ok()?;
        Some(Stamp {
            inode: found.ino(),
            bytes: found.len(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        })
    }
}

impl Owner {
    /// Reads the operator's file and what it names, and keeps up with it on a thread of its own.
    ///
    /// # Errors
    /// A file that cannot be used: only at the start, later the one before it goes on.
    pub async fn serve_drivers(self: &Arc<Self>) -> Result<(), OwnerError> {
        let Some(path) = self.registry.config.clone() else {
            return Ok(());
        };
        let config = read_served(&path)?;
        let puts = self.puts().await?;
        self.registry.publish(&path, config, puts);
        let owner = Arc::downgrade(self);
        let watch = move || keep_up(&owner);
        let spawned = thread::Builder::new().name("drivers".into()).spawn(watch);
        spawned.map(drop).map_err(|source| OwnerError::Io {
            doing: "start a thread for the drivers".to_owned(),
            source,
        })
    }

    async fn puts(&self) -> Result<BTreeMap<String, Put>, OwnerError> {
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
        self.republish().await?;
        drop(leaving);
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

    /// Serves these drivers, each as soon as it is ready.
    fn publish(&self, path: &Path, config: Config, puts: BTreeMap<String, Put>) {
        self.refresh.seen.lock().config = Stamp::of(path);
        *self.refresh.wished.lock() = Wished { config, puts };
        self.serve_wished(|served| served.path = path.to_owned());
    }

    fn publish_puts(&self, puts: BTreeMap<String, Put>) {
        self.refresh.wished.lock().puts = puts;
        self.serve_wished(|_| {});
    }

    /// Serves what is wished, and changes something else in the same moment.
    fn serve_wished(&self, also: impl FnOnce(&mut Served)) {
        let Wished { mut config, puts } = self.refresh.wished.lock().clone();
        let from_config: BTreeSet<String> = config.drivers.keys().cloned().collect();
        for (name, put) in puts {
            let entry = || match put {
                Put::Wasm(digest) => put_entry(self.state.driver(digest), digest),
                Put::Native(entry) => DriverEntry::Native(entry),
            };
            config.drivers.entry(name).or_insert_with(entry);
        }
        self.change(|served| {
            also(served);
            let mut before = std::mem::take(&mut served.drivers);
            for (name, entry) in &config.drivers {
                let source = match from_config.contains(name) {
                    true => DriverSource::Config,
                    false => DriverSource::Put,
                };
                let unknown = || ServedDriver {
                    source,
                    is_native: false,
                    status: DriverStatus::Compiling,
                    current: None,
                    trouble: None,
                };
                let known = before.remove(name).filter(|known| known.source == source);
                let driver = match entry {
                    DriverEntry::Wasm(_) => known
                        .filter(|known| !known.is_native)
                        .unwrap_or_else(unknown),
                    DriverEntry::Native(entry) => self.native_served(source, entry),
                };
                served.drivers.insert(name.clone(), driver);
            }
            served.config = Arc::new(config);
        });
        *self.refresh.asked.lock() = true;
        self.refresh.wake.notify_all();
    }

    fn change(&self, change: impl FnOnce(&mut Served)) {
        self.served.send_modify(|served| {
            let mut changed = (**served).clone();
            change(&mut changed);
            changed.number += 1;
            *served = Arc::new(changed);
        });
    }

    /// A native driver is ready where there is a broker: who is behind it is found out when there is work.
    fn native_served(&self, source: DriverSource, entry: &NativeDriver) -> ServedDriver {
        let has_bridge = self.has_bridge.load(Ordering::Acquire);
        ServedDriver {
            source,
            is_native: true,
            status: match has_bridge {
                true => DriverStatus::Ready,
                false => DriverStatus::Refused,
            },
            current: has_bridge.then(|| Arc::new(Resolved::Native(entry.clone()))),
            trouble: (!has_bridge).then(|| {
                "it is native, and this host has no broker to reach it over; start it with --nats URL, or --nats spawn"
                    .to_owned()
            }),
        }
    }

    /// From now on native drivers can be reached.
    pub(in crate::owner) fn reaches_natives(&self) {
        self.has_bridge.store(true, Ordering::Release);
        if self.serves() {
            self.serve_wished(|_| {});
        }
    }

    /// Looks at every file once, and reads and has compiled what has changed.
    fn look(&self) {
        let mut seen = self.refresh.seen.lock();
        self.look_at_config(&mut seen);
        let served = self.served();
        let folder = served.path.parent().unwrap_or(Path::new(".")).to_owned();
        let drivers = &served.config.drivers;
        seen.drivers
            .retain(|name, _| matches!(drivers.get(name), Some(DriverEntry::Wasm(_))));
        for (name, entry) in drivers {
            if let DriverEntry::Wasm(wasm) = entry {
                let now = (wasm.clone(), Stamp::of(&folder.join(&wasm.path)));
                // One that has gone and come again meanwhile is the same, and was never looked at.
                let is_new = served.drivers.get(name).is_some_and(ServedDriver::is_new);
                if is_new || seen.drivers.get(name) != Some(&now) {
                    self.renew(name, wasm, &folder, &served.config);
                    seen.drivers.insert(name.clone(), now);
                }
            }
        }
    }

    fn look_at_config(&self, seen: &mut Seen) {
        let path = self.served().path.clone();
        let stamp = Stamp::of(&path);
        if stamp == seen.config {
            return;
        }
        seen.config = stamp;
        match read_served(&path) {
            Ok(config) => {
                self.refresh.wished.lock().config = config;
                self.serve_wished(|served| served.trouble = None);
                tracing::info!(file = %path.display(), "the operator's file was read again");
            }
            Err(error) => {
                let trouble = text::chain(&error);
                tracing::warn!(file = %path.display(), error = trouble, "the operator's file cannot be used; the one before goes on");
                self.change(|served| served.trouble = Some(trouble));
            }
        }
    }

    /// Reads a driver and has it compiled. New runs take it when that has succeeded.
    fn renew(&self, name: &str, entry: &WasmDriver, folder: &Path, config: &Config) {
        let loaded = drivers::read_wasm(name, entry, folder, false)
            .map_err(|error| text::chain(&error))
            .and_then(|driver| self.load(driver, config));
        match &loaded {
            Ok(driver) => {
                tracing::info!(driver = name, digest = %driver.digest, "the driver is ready");
            }
            Err(trouble) => {
                tracing::warn!(driver = name, error = trouble, "the driver cannot be used");
            }
        }
        self.change(|served| {
            // What it should be may have changed meanwhile: then it is looked at again.
            let wished = served.config.drivers.get(name);
            let is_wished = matches!(wished, Some(DriverEntry::Wasm(wished)) if wished == entry);
            let Some(known) = served.drivers.get_mut(name).filter(|_| is_wished) else {
                return;
            };
            match loaded {
                Ok(driver) => {
                    known.status = DriverStatus::Ready;
                    known.current = Some(Arc::new(Resolved::Wasm(driver)));
                    known.trouble = None;
                }
                Err(trouble) => {
                    known.status = DriverStatus::Refused;
                    known.trouble = Some(trouble);
                }
            }
        });
    }

    fn load(&self, driver: Driver, config: &Config) -> Result<Driver, String> {
        let is_new = |served: &Served| {
            let known = served.drivers.get(&driver.name);
            let current = known.and_then(|known| known.current.as_deref()?.wasm());
            current.is_none_or(|current| current.digest != driver.digest)
        };
        if is_new(&self.served()) {
            self.change(|served| {
                if let Some(known) = served.drivers.get_mut(&driver.name) {
                    known.status = DriverStatus::Compiling;
                }
            });
        }
        let wasm = self.wasm(config).map_err(|error| text::chain(&error))?;
        let settings = Arc::clone(&driver.config);
        let loaded = wasm.load(
            &driver.name,
            driver.digest,
            &driver.bytes,
            driver.limits,
            settings,
        );
        match loaded {
            Ok(_) => Ok(driver),
            Err(error) => Err(text::chain(&error)),
        }
    }
}

/// The configuration in an operator's file; `None` where it has no `drivers`.
pub(super) fn read_config(path: &Path) -> Result<Option<Config>, OwnerError> {
    let documents = read_files(std::slice::from_ref(&path.to_owned()));
    let documents = documents.map_err(OwnerError::Config)?;
    let config = documents.configs.into_iter().next();
    Ok(config.map(|config| config.value))
}

/// The configuration of the file that is served.
fn read_served(path: &Path) -> Result<Config, OwnerError> {
    read_config(path)?.ok_or_else(|| OwnerError::Field {
        field: "/config",
        why: format!("`{}` has no `drivers`", path.display()),
    })
}

fn keep_up(owner: &Weak<Owner>) {
    loop {
        let Some(owner) = owner.upgrade() else { return };
        owner.registry.look();
        let mut asked = owner.registry.refresh.asked.lock();
        if !*asked {
            owner.registry.refresh.wake.wait_for(&mut asked, LOOK);
        }
        *asked = false;
    }
}

/// An entry for a driver that a client has put: no grants, and no other bytes than those.
fn put_entry(path: PathBuf, digest: Digest) -> DriverEntry {
    DriverEntry::Wasm(WasmDriver {
        path,
        digest: Some(digest),
        grants: Grants::default(),
        limits: Limits::default(),
        kinds: Vec::new(),
        config: Map::new(),
    })
}
