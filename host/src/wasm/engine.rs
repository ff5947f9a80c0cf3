//! The wasmtime engine: its settings, its pool of instances, and the thread that ticks its epoch.
//!
//! Owns every setting that decides what an attempt costs and how it can be stopped. Never sees a driver.

use super::cache::Publisher;
use super::limits;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;
use wasmtime::{
    CodeBuilder, Config, Enabled, Engine, EngineWeak, InstanceAllocationStrategy,
    PoolingAllocationConfig, WasmBacktraceDetails,
};

/// How long a guest runs before it looks up: the longest that a cancel or a deadline can go unseen while a
/// guest computes. Each look costs it well under a microsecond. It is promised to be 10 ms: the ticker sleeps that
/// long between two ticks, and is woken later than it asked for, so it asks for less.
const TICK: Duration = Duration::from_millis(8);

/// Memories of all guests at once, and nearly every guest has one; each reserves address space, not memory.
pub(super) const MEMORIES_AT_ONCE: u32 = 512;

/// Core instances in one component: those made from JavaScript or Python have about a dozen.
const CORE_INSTANCES_PER_COMPONENT: u32 = 64;

/// Memories and tables in one component.
const MEMORIES_PER_COMPONENT: u32 = 4;
const TABLES_PER_COMPONENT: u32 = 16;

/// Elements of one table that a slot can hold: address space for the largest table known, of a component made from
/// Python, eight times over. An operator's `limits: {tables: …}` beyond it is held by this.
const TABLE_ELEMENTS_MAX: usize = 100_000;

/// Memory that a pool slot keeps resident between attempts instead of giving it back: what most drivers
/// touch. The kernel's pagemap scan finds the pages that need cleaning, so a large value costs nothing.
const KEEP_RESIDENT_BYTES: usize = 1 << 20;

/// Without a pool: what a memory may grow by before it moves, and the guard behind it.
const GROWTH_BYTES: u64 = 1 << 20;
const GUARD_BYTES: u64 = 64 << 10;

/// How instances get their memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allocation {
    /// From a pool made in advance, cleaned with the kernel's help.
    Pooling,
    /// From a pool; the kernel lacks pagemap scan (Linux 6.7), so cleaning costs more.
    PoolingWithoutScan,
    /// Each on its own: no pool can be had, mostly because the address space forbids it.
    OnDemand,
}

impl Allocation {
    /// From the best to the last resort.
    pub const ALL: [Allocation; 3] = [
        Allocation::Pooling,
        Allocation::PoolingWithoutScan,
        Allocation::OnDemand,
    ];

    /// What to tell the operator, where the best could not be had.
    pub fn warning(self) -> Option<&'static str> {
        match self {
            Allocation::Pooling => None,
            Allocation::PoolingWithoutScan => Some(
                "this kernel has no pagemap scan (Linux 6.7 has): cleaning up after an attempt costs more",
            ),
            Allocation::OnDemand => Some(
                "no pool of instances can be had (is the address space limited, ulimit -v?): an attempt costs more",
            ),
        }
    }
}

/// Builds the engine with the best allocation that this machine allows.
///
/// # Errors
/// Where not even instances on demand can be had: the text is wasmtime's.
pub fn engine() -> wasmtime::Result<(Engine, Allocation)> {
    let tries = [Allocation::Pooling, Allocation::PoolingWithoutScan];
    for allocation in tries {
        if let Ok(engine) = Engine::new(&config(allocation)) {
            return Ok((engine, allocation));
        }
    }
    let engine = Engine::new(&config(Allocation::OnDemand))?;
    Ok((engine, Allocation::OnDemand))
}

/// An engine that compiles for one with that allocation, and has no pool itself.
///
/// # Errors
/// wasmtime's.
pub fn compiling(allocation: Allocation) -> wasmtime::Result<Engine> {
    Engine::new(&code_config(allocation))
}

/// The code of a component, as `Component::serialize` would give it.
///
/// # Errors
/// Where the bytes are no component, or ask for what this engine does not do: the text is wasmtime's.
pub fn code(engine: &Engine, component: &[u8]) -> wasmtime::Result<Vec<u8>> {
    let mut builder = CodeBuilder::new(engine);
    builder.wasm_binary(component, None)?;
    builder.compile_component_serialized()
}

fn config(allocation: Allocation) -> Config {
    let mut config = code_config(allocation);
    config.allocation_strategy(match allocation {
        Allocation::Pooling => InstanceAllocationStrategy::Pooling(pool(Enabled::Yes)),
        Allocation::PoolingWithoutScan => InstanceAllocationStrategy::Pooling(pool(Enabled::No)),
        Allocation::OnDemand => InstanceAllocationStrategy::OnDemand,
    });
    config
}

/// Every setting that compiled code depends on.
fn code_config(allocation: Allocation) -> Config {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .max_wasm_stack(limits::STACK_BYTES)
        // Gives up WASI 0.3's async in this engine, which no driver of today asks for, and a third of an
        // attempt's cost. Drivers of 0.3 will get an engine of their own.
        .concurrency_support(false)
        .wasm_memory64(false)
        .with_custom_code_memory(Some(Arc::new(Publisher)))
        // Names come from the name section; positions in source would need debug info that drivers strip.
        .wasm_backtrace_details(WasmBacktraceDetails::Disable)
        .allocation_strategy(InstanceAllocationStrategy::OnDemand);
    if allocation == Allocation::OnDemand {
        // Where address space is scarce none is set aside: guests check their bounds instead.
        config
            .memory_reservation(0)
            .memory_reservation_for_growth(GROWTH_BYTES)
            .memory_guard_size(GUARD_BYTES);
    }
    config
}

fn pool(pagemap_scan: Enabled) -> PoolingAllocationConfig {
    let resident = match pagemap_scan {
        Enabled::Yes | Enabled::Auto => KEEP_RESIDENT_BYTES,
        Enabled::No => 0,
    };
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(MEMORIES_AT_ONCE)
        .total_core_instances(MEMORIES_AT_ONCE * CORE_INSTANCES_PER_COMPONENT)
        .total_memories(MEMORIES_AT_ONCE)
        .total_tables(MEMORIES_AT_ONCE * TABLES_PER_COMPONENT)
        .total_stacks(MEMORIES_AT_ONCE)
        .max_core_instances_per_component(CORE_INSTANCES_PER_COMPONENT)
        .max_memories_per_component(MEMORIES_PER_COMPONENT)
        .max_tables_per_component(TABLES_PER_COMPONENT)
        .table_elements(TABLE_ELEMENTS_MAX)
        .max_memory_size(limits::MEMORY_BYTES_MAX as usize)
        .linear_memory_keep_resident(resident)
        .table_keep_resident(resident)
        .pagemap_scan(pagemap_scan);
    pool
}

/// Ticks the engine's epoch from a thread of the operating system, so that no guest and no I/O can hold it up.
/// The thread ends with the ticker.
#[derive(Debug)]
pub struct Ticker {
    stop: Arc<AtomicBool>,
}

impl Ticker {
    /// Starts the thread.
    ///
    /// # Errors
    /// The operating system's, where it allows no further thread.
    pub fn start(engine: &Engine) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let (engine, stopped) = (engine.weak(), Arc::clone(&stop));
        thread::Builder::new()
            .name("epoch".into())
            .spawn(move || tick(&engine, &stopped))?;
        Ok(Ticker { stop })
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "the tick is wall time by definition, and this thread only waits"
)]
fn tick(engine: &EngineWeak, stopped: &AtomicBool) {
    while !stopped.load(Ordering::Relaxed) {
        thread::sleep(TICK);
        let Some(engine) = engine.upgrade() else {
            return;
        };
        engine.increment_epoch();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hash::{DefaultHasher, Hash, Hasher};

    fn hash(engine: &Engine) -> u64 {
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        hasher.finish()
    }

    /// What a compiler without a pool makes, an engine with one runs.
    #[test]
    fn a_pool_changes_nothing_in_the_code() {
        for allocation in Allocation::ALL {
            let runs = Engine::new(&config(allocation)).unwrap();
            let compiles = compiling(allocation).unwrap();
            assert_eq!(hash(&runs), hash(&compiles), "{allocation:?}");
        }
        let [pooling, _, on_demand] = Allocation::ALL.map(|one| compiling(one).unwrap());
        assert_ne!(hash(&pooling), hash(&on_demand));
    }
}
