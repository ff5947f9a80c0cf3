//! Keeping up with the operator's file, the driver files that it names, and what clients put.
//!
//! One thread looks at the operator's file and its drivers, another at what clients put: each reads and has compiled, and
//! neither waits for the other, so that no client's driver keeps one of the operator's waiting. Nobody waits for them but who
//! wants a driver that was never ready. What cannot be used is told and leaves what was there before.

use super::super::{Owner, OwnerError};
use super::Registry;
use super::puts::Put;
use super::served::{DriverSource, DriverStatus, Served, ServedDriver};
use crate::documents::{Compile, Config, DriverEntry, NativeDriver, WasmDriver, read_files};
use crate::drivers::{self, Driver, Resolved};
use crate::text;
use crate::wasm::Whose;
use parking_lot::{Condvar, Mutex};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

/// How often files are looked at.
const LOOK_PAUSE: Duration = Duration::from_millis(500);

#[derive(Default)]
pub(super) struct Refresh {
    operators: Look,
    clients: Look,
    wished: Mutex<Wished>,
    /// Held while what clients have put changes, and until that is served.
    pub(super) changing: tokio::sync::Mutex<()>,
}

/// A thread that looks, and looks again when it is asked to.
#[derive(Default)]
struct Look {
    asked: Mutex<bool>,
    wake: Condvar,
}

impl Look {
    fn ask(&self) {
        *self.asked.lock() = true;
        self.wake.notify_all();
    }

    fn until_asked(&self, at_most: Duration) {
        let mut asked = self.asked.lock();
        if !*asked {
            self.wake.wait_for(&mut asked, at_most);
        }
        *asked = false;
    }
}

/// What is to be served.
#[derive(Default, Clone)]
struct Wished {
    config: Config,
    puts: BTreeMap<String, Put>,
}

/// What a thread has read last, so that what is the same is not read again.
#[derive(Default)]
struct Seen {
    config: Option<Stamp>,
    drivers: BTreeMap<String, Sight>,
}

/// What a driver was made of: its entry, its file, and what compiling it might use.
type Sight = (WasmDriver, Option<Stamp>, Compile);

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
        // Looked at first: what changes while it is read is seen later.
        let seen = Seen {
            config: Stamp::of(&path),
            ..Seen::default()
        };
        let config = read_served(&path)?;
        let puts = self.puts().await?;
        self.registry.publish(&path, config, puts);
        self.keep_up("drivers", DriverSource::Config, seen)?;
        self.keep_up("put drivers", DriverSource::Put, Seen::default())
    }

    /// Looks at the drivers of that source on a thread of its own, for as long as the owner is there.
    fn keep_up(
        self: &Arc<Self>,
        thread: &str,
        source: DriverSource,
        mut seen: Seen,
    ) -> Result<(), OwnerError> {
        let owner = Arc::downgrade(self);
        let look = move || {
            while let Some(owner) = owner.upgrade() {
                owner.registry.look(source, &mut seen);
                owner.registry.refresh.of(source).until_asked(LOOK_PAUSE);
            }
        };
        let spawned = thread::Builder::new().name(thread.to_owned()).spawn(look);
        spawned.map(drop).map_err(|io| OwnerError::Io {
            doing: "start a thread for the drivers".to_owned(),
            source: io,
        })
    }
}

impl Refresh {
    fn of(&self, source: DriverSource) -> &Look {
        match source {
            DriverSource::Config => &self.operators,
            DriverSource::Put => &self.clients,
        }
    }
}

impl Registry {
    /// Serves these drivers, each as soon as it is ready.
    fn publish(&self, path: &Path, config: Config, puts: BTreeMap<String, Put>) {
        *self.refresh.wished.lock() = Wished { config, puts };
        self.serve_wished(|served| served.path = path.to_owned());
    }

    pub(super) fn publish_puts(&self, puts: BTreeMap<String, Put>) {
        self.refresh.wished.lock().puts = puts;
        self.serve_wished(|_| {});
    }

    /// Serves what is wished, and changes something else in the same moment.
    fn serve_wished(&self, also: impl FnOnce(&mut Served)) {
        let Wished { mut config, puts } = self.refresh.wished.lock().clone();
        let from_config: BTreeSet<String> = config.drivers.keys().cloned().collect();
        for (name, put) in puts {
            let entry = || put.entry(|digest| self.state.driver(digest));
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
        self.refresh.operators.ask();
        self.refresh.clients.ask();
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut Served)) {
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

    /// Looks at every file of that source once, and reads and has compiled what has changed.
    fn look(&self, source: DriverSource, seen: &mut Seen) {
        if source == DriverSource::Config {
            self.look_at_config(seen);
        }
        let served = self.served();
        let folder = served.path.parent().unwrap_or(Path::new(".")).to_owned();
        let is_of_it = |name: &str| {
            let driver = served.drivers.get(name);
            driver.is_some_and(|driver| driver.source == source && !driver.is_native)
        };
        seen.drivers.retain(|name, _| is_of_it(name));
        for (name, entry) in &served.config.drivers {
            if let DriverEntry::Wasm(wasm) = entry
                && is_of_it(name)
            {
                let stamp = Stamp::of(&folder.join(&wasm.path));
                let now = (wasm.clone(), stamp, served.config.compile);
                // One that has gone and come again meanwhile is the same, and was never looked at.
                let is_new = served.drivers.get(name).is_some_and(ServedDriver::is_new);
                if (is_new || seen.drivers.get(name) != Some(&now)) && self.wishes(name, entry) {
                    self.renew(source, name, wasm, &folder, &served.config);
                    seen.drivers.insert(name.clone(), now);
                }
            }
        }
    }

    /// Whether a driver is still to be so: others may have taken minutes to compile since.
    fn wishes(&self, name: &str, entry: &DriverEntry) -> bool {
        self.served().config.drivers.get(name) == Some(entry)
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
                // Before anything is compiled that is wished for with it.
                if let Some(wasm) = self.wasm.get() {
                    wasm.limit_compiler(config.compile.into());
                }
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
    fn renew(
        &self,
        source: DriverSource,
        name: &str,
        entry: &WasmDriver,
        folder: &Path,
        config: &Config,
    ) {
        let loaded = drivers::read_wasm(name, entry, folder, false)
            .map_err(|error| text::chain(&error))
            .and_then(|driver| self.load(source, entry, driver, config));
        match &loaded {
            Ok(driver) => {
                tracing::info!(driver = name, digest = %driver.digest, "the driver is ready");
            }
            Err(trouble) => {
                tracing::warn!(driver = name, error = trouble, "the driver cannot be used");
            }
        }
        self.change_wished(source, name, entry, |known| match loaded {
            Ok(driver) => {
                known.status = DriverStatus::Ready;
                known.current = Some(Arc::new(Resolved::Wasm(driver)));
                known.trouble = None;
            }
            Err(trouble) => {
                known.status = DriverStatus::Refused;
                known.trouble = Some(trouble);
            }
        });
    }

    /// Changes what is served of a driver, if that is still wished: what is not is another look's, or nobody's.
    fn change_wished(
        &self,
        source: DriverSource,
        name: &str,
        entry: &WasmDriver,
        change: impl FnOnce(&mut ServedDriver),
    ) {
        self.change(|served| {
            let wished = served.config.drivers.get(name);
            let is_wished = matches!(wished, Some(DriverEntry::Wasm(wished)) if wished == entry);
            let known = served.drivers.get_mut(name);
            if let Some(known) = known.filter(|known| is_wished && known.source == source) {
                change(known);
            }
        });
    }

    fn load(
        &self,
        source: DriverSource,
        entry: &WasmDriver,
        driver: Driver,
        config: &Config,
    ) -> Result<Driver, String> {
        let is_new = |served: &Served| {
            let known = served.drivers.get(&driver.name);
            let current = known.and_then(|known| known.current.as_deref()?.wasm());
            current.is_none_or(|current| current.digest != driver.digest)
        };
        if is_new(&self.served()) {
            self.change_wished(source, &driver.name, entry, |known| {
                known.status = DriverStatus::Compiling;
            });
        }
        let wasm = self.wasm(config).map_err(|error| text::chain(&error))?;
        let settings = Arc::clone(&driver.config);
        let whose = match source {
            DriverSource::Config => Whose::Operators,
            DriverSource::Put => Whose::Clients,
        };
        let loaded = wasm.load_of(
            whose,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;
    use crate::owner::Settings;
    use crate::owner::registry::puts;
    use crate::state::StateFolder;

    /// The look at what clients put may have read a driver while the operator's file took its name over.
    #[test]
    fn a_look_that_comes_late_changes_nothing_of_what_took_the_name() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFolder::locate(Some(folder.path())).unwrap();
        let registry = Registry::new(&state, &mut Settings::plain());
        let entry = |digest: &[u8]| puts::component(folder.path().join("mine"), Digest::of(digest));
        let component = |digest| match entry(digest) {
            DriverEntry::Wasm(wasm) => wasm,
            DriverEntry::Native(_) => unreachable!(),
        };
        let config = Config {
            drivers: [("mine".to_owned(), entry(b"operators"))].into(),
            ..Config::default()
        };
        registry.publish(&folder.path().join("belt.yaml"), config, BTreeMap::new());
        let told = |source, digest, status| {
            registry.change_wished(source, "mine", &component(digest), |known| {
                known.status = status
            });
            registry.served().drivers["mine"].status
        };
        use {DriverSource as Source, DriverStatus as Status};
        assert_eq!(
            told(Source::Config, b"operators", Status::Ready),
            Status::Ready
        );
        for (source, digest) in [
            (Source::Put, &b"clients"[..]),
            (Source::Put, b"operators"),
            (Source::Config, b"older"),
        ] {
            assert_eq!(told(source, digest, Status::Compiling), Status::Ready);
        }
    }
}
