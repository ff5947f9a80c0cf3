//! wasmtime by itself, with the best settings known, on the same component: the least that an attempt can cost here.
//! Our own imports are there and answer nothing.

use super::material;
use std::path::PathBuf;
use wasmtime::component::{Component, HasData, Linker, ResourceTable};
use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Store,
};
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxView, WasiView};

mod bindings {
    #![allow(missing_docs, unreachable_pub, clippy::all)]
    wasmtime::component::bindgen!({ path: "../wit", world: "beltline:driver/driver" });
}

use bindings::beltline::driver::types::{Request, RunInfo};
use bindings::beltline::driver::{cancel, config, log, run_context, types};
use bindings::{Driver, DriverPre};

pub struct Bare {
    engine: Engine,
    pre: DriverPre<Guest>,
    folders: Vec<(PathBuf, &'static str, FsPerms)>,
}

struct Guest {
    wasi: WasiCtx,
    table: ResourceTable,
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

struct HasGuest;

impl HasData for HasGuest {
    type Data<'a> = &'a mut Guest;
}

impl types::Host for Guest {}

impl log::Host for Guest {
    fn write(&mut self, _: log::Level, _: String, _: Vec<(String, String)>) {}

    fn enabled(&mut self, _: log::Level) -> bool {
        false
    }
}

impl run_context::Host for Guest {
    fn get(&mut self, _: String) -> Option<String> {
        None
    }

    fn keys(&mut self) -> Vec<String> {
        Vec::new()
    }

    fn output(&mut self, _: String) -> Option<String> {
        None
    }

    fn outputs(&mut self) -> Vec<String> {
        Vec::new()
    }

    fn steps(&mut self) -> Vec<run_context::StepSummary> {
        Vec::new()
    }
}

impl cancel::Host for Guest {
    fn requested(&mut self) -> bool {
        false
    }
}

impl config::Host for Guest {
    fn get(&mut self) -> String {
        "{}".to_owned()
    }
}

impl Bare {
    pub fn new(component: &[u8], folders: Vec<(PathBuf, &'static str, FsPerms)>) -> Self {
        let mut pool = PoolingAllocationConfig::new();
        pool.pagemap_scan(Enabled::Auto)
            .linear_memory_keep_resident(1 << 20)
            .table_keep_resident(1 << 20);
        let mut config = Config::new();
        config
            .concurrency_support(false)
            .allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
        let engine = Engine::new(&config).expect("wasmtime starts here");
        let mut linker = Linker::new(&engine);
        wasmtime_wasi::p2::add_to_linker_sync(&mut linker).expect("wasi links");
        Driver::add_to_linker::<_, HasGuest>(&mut linker, |guest| guest).expect("ours links");
        let component = Component::from_binary(&engine, component).expect("the guest compiles");
        let pre = linker.instantiate_pre(&component).expect("the guest links");
        let pre = DriverPre::new(pre).expect("the guest is a driver");
        Bare {
            engine,
            pre,
            folders,
        }
    }

    /// A fresh store, an instance, the call.
    pub fn attempt(&self, with: &str) {
        let mut wasi = WasiCtx::builder();
        wasi.allow_blocking_current_thread(true);
        for (host, guest, perms) in &self.folders {
            wasi.preopened_dir(host, guest, *perms)
                .expect("the folder is there");
        }
        let guest = Guest {
            wasi: wasi.build(),
            table: ResourceTable::new(),
        };
        let mut store = Store::new(&self.engine, guest);
        let driver = self.pre.instantiate(&mut store).expect("there is room");
        let called = driver
            .beltline_driver_reconciler()
            .call_reconcile(&mut store, &request(with));
        called.expect("it does not trap").expect("it succeeds");
    }
}

/// What the host sends, in the types of these bindings.
fn request(with: &str) -> Request {
    let sent = material::request(with);
    let info = sent.info;
    Request {
        event: sent.event,
        kind: sent.kind,
        resource: sent.resource,
        with: sent.with,
        info: RunInfo {
            run_id: info.run_id,
            pipeline: info.pipeline,
            step_id: info.step_id,
            attempt: info.attempt,
            key: info.key,
            deadline_ms: info.deadline_ms,
            traceparent: info.traceparent,
            dry_run: info.dry_run,
        },
        extra: sent.extra,
    }
}
