//! What a wasmtime store holds for one attempt: the guest's side of the sandbox.
//!
//! Owns the WASI context with its preopens and the state behind our imports. A fresh one per attempt: nothing
//! of a guest outlives its call. Grants decide what is in here; what is not granted is linked and refuses.

use super::context::RunContext;
use super::files::{Allowance, Files, Held};
use super::limits::{HTTP_FIELD_BYTES, LIVE_RESOURCES, Limits, Memory, RANDOM_BYTES};
use super::meter::Meter;
use super::network::DeniedHttp;
use super::step_log::StepLog;
use super::{CancelFlag, Folder};
use serde_json::{Map, Value};
use std::sync::Arc;
use wasmtime::component::{HasData, ResourceTable};
use wasmtime_wasi::filesystem::WasiFilesystemCtxView;
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

/// The data of one attempt's store.
pub struct Guest {
    wasi: WasiCtx,
    http: WasiHttpCtx,
    denied_http: DeniedHttp,
    table: ResourceTable,
    allowance: Arc<Allowance>,
    held: Held,
    /// Counts what it uses.
    pub meter: Arc<Meter>,
    /// Counts memory and tables.
    pub memory: Memory,
    /// Where everything that the guest says lands.
    pub log: StepLog,
    /// Set when the run was asked to stop.
    pub cancel: CancelFlag,
    /// The run's context and earlier outputs.
    pub context: Arc<dyn RunContext>,
    /// The operator's settings for this driver.
    pub config: Arc<Map<String, Value>>,
    /// A fault of the host in one of our imports: it ends the attempt and is not the guest's.
    pub fault: Option<anyhow::Error>,
}

/// What a guest is made with.
pub(super) struct Given<'a> {
    pub(super) limits: Limits,
    pub(super) meter: Arc<Meter>,
    pub(super) log: StepLog,
    pub(super) cancel: CancelFlag,
    pub(super) context: Arc<dyn RunContext>,
    pub(super) config: Arc<Map<String, Value>>,
    pub(super) folders: &'a [Folder],
}

impl Guest {
    /// Opens the granted folders and builds the WASI context. Nothing else is granted: no environment, no
    /// arguments, no standard input, no sockets.
    ///
    /// # Errors
    /// A granted folder that cannot be opened; the name is the host's.
    pub(super) fn new(given: Given<'_>) -> anyhow::Result<Self> {
        let Given {
            limits,
            meter,
            log,
            cancel,
            context,
            config,
            folders,
        } = given;
        let mut wasi = WasiCtx::builder();
        wasi.stdout(log.stdout())
            .stderr(log.stderr())
            .max_random_size(RANDOM_BYTES)
            // File calls run on the attempt's own thread: dropping the store then leaves none behind.
            .allow_blocking_current_thread(true);
        for folder in folders {
            let perms = if folder.writable {
                FsPerms::ReadWrite
            } else {
                FsPerms::ReadOnly
            };
            wasi.preopened_dir(&folder.host, folder.guest, perms)
                .map_err(|error| {
                    let host = folder.host.display();
                    super::fault(error)
                        .context(format!("cannot open `{host}` for {}", folder.guest))
                })?;
        }
        let mut http = WasiHttpCtx::new();
        http.set_field_size_limit(HTTP_FIELD_BYTES);
        let mut table = ResourceTable::new();
        table.set_max_capacity(LIVE_RESOURCES);
        let allowance = Allowance {
            meter: Arc::clone(&meter),
            written_bytes: limits.written_bytes,
            files: limits.files,
        };
        Ok(Guest {
            wasi: wasi.build(),
            http,
            denied_http: DeniedHttp(Arc::clone(&meter)),
            table,
            allowance: Arc::new(allowance),
            held: Held::default(),
            memory: Memory::new(limits, Arc::clone(&meter)),
            meter,
            log,
            cancel,
            context,
            config,
            fault: None,
        })
    }

    /// The file calls that it makes.
    pub(super) fn files(&mut self) -> Files<'_> {
        let inner = WasiFilesystemCtxView {
            ctx: self.wasi.filesystem(),
            table: &mut self.table,
        };
        Files {
            held: &mut self.held,
            inner,
            allowance: &self.allowance,
        }
    }
}

/// Our own imports see the whole guest.
impl HasData for Guest {
    type Data<'a> = &'a mut Guest;
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl WasiHttpView for Guest {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            ctx: &mut self.http,
            table: &mut self.table,
            hooks: &mut self.denied_http,
        }
    }
}
