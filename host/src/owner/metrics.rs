//! What an owner counts, for Prometheus.
//!
//! Owns names, labels and buckets. Counts what is written, as it is written: after a crash it begins anew.

use super::Owner;
use super::feed::Feed;
use crate::bridge::{Bridge, EndedHere};
use crate::clock;
use crate::ledger::Ledger;
use crate::runner::{Observer, StepDriver};
use crate::wasm::{Notice, Tell};
use beltline_engine::{AttemptEnd, Event, Placement, Run};
use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DriverEnded {
    driver: String,
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByDriver {
    driver: String,
}

type Seconds = Family<ByDriver, Histogram, fn() -> Histogram>;

/// What is counted.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    begun: Counter,
    runs: Family<Ended, Counter>,
    steps: Family<DriverEnded, Counter>,
    attempts: Family<DriverEnded, Counter>,
    run_seconds: Histogram,
    step_seconds: Seconds,
    attempt_seconds: Seconds,
    sync_seconds: Histogram,
    guest_cpu: Family<ByDriver, Counter<f64, AtomicU64>>,
    guest_memory: Family<ByDriver, Gauge>,
    under_way: Gauge,
    waiting: Gauge,
    held_up: Gauge,
    compilations: Counter,
    native_waiting: Gauge,
    native_redelivered: Gauge,
    native_again: Counter,
    native_ignored: Counter,
    native_unannounced: Counter,
    reconnects: Counter,
}

/// From 0.1 ms to a day, four times as long each.
fn buckets() -> Histogram {
    Histogram::new(exponential_buckets(0.000_1, 4.0, 16))
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Metrics {
            registry: Registry::with_prefix("beltline"),
            begun: Counter::default(),
            runs: Family::default(),
            steps: Family::default(),
            attempts: Family::default(),
            run_seconds: buckets(),
            step_seconds: Family::new_with_constructor(buckets),
            attempt_seconds: Family::new_with_constructor(buckets),
            sync_seconds: buckets(),
            guest_cpu: Family::default(),
            guest_memory: Family::default(),
            under_way: Gauge::default(),
            waiting: Gauge::default(),
            held_up: Gauge::default(),
            compilations: Counter::default(),
            native_waiting: Gauge::default(),
            native_redelivered: Gauge::default(),
            native_again: Counter::default(),
            native_ignored: Counter::default(),
            native_unannounced: Counter::default(),
            reconnects: Counter::default(),
        };
        metrics.register();
        metrics.register_bridge();
        metrics
    }
}

impl Metrics {
    /// Counts what is told of drivers, and tells it on.
    pub(super) fn hearing(self: &Arc<Self>, tell: Tell) -> Tell {
        let metrics = Arc::clone(self);
        Arc::new(move |notice| {
            if matches!(notice, Notice::Compiling(_)) {
                metrics.compilations.inc();
            }
            tell(notice);
        })
    }

    fn register(&mut self) {
        let all = &mut self.registry;
        all.register("runs_begun", "Runs that were made", self.begun.clone());
        all.register("runs_ended", "Runs by how they ended", self.runs.clone());
        all.register(
            "steps_ended",
            "Steps by driver and how they ended",
            self.steps.clone(),
        );
        all.register(
            "attempts_ended",
            "Attempts by driver and how they ended",
            self.attempts.clone(),
        );
        let seconds = || Unit::Seconds;
        all.register_with_unit(
            "run_duration",
            "From a run's making to its end",
            seconds(),
            self.run_seconds.clone(),
        );
        all.register_with_unit(
            "step_duration",
            "From the begin of a step's first attempt to its end, where this process saw both",
            seconds(),
            self.step_seconds.clone(),
        );
        all.register_with_unit(
            "attempt_duration",
            "From an attempt's begin to its end",
            seconds(),
            self.attempt_seconds.clone(),
        );
        all.register_with_unit(
            "store_sync_duration",
            "How long a run waits for the disk",
            seconds(),
            self.sync_seconds.clone(),
        );
        all.register_with_unit(
            "guest_cpu",
            "CPU time of attempts that have ended",
            seconds(),
            self.guest_cpu.clone(),
        );
        all.register_with_unit(
            "guest_memory_last",
            "The most memory that a driver's last attempt held",
            Unit::Bytes,
            self.guest_memory.clone(),
        );
        all.register(
            "runs_under_way",
            "Runs that are under way",
            self.under_way.clone(),
        );
        all.register(
            "runs_waiting",
            "Runs that wait: for a slot, for the run before them, for a time",
            self.waiting.clone(),
        );
        all.register(
            "threads_held_up",
            "Threads that a guest's file call holds, which does not return",
            self.held_up.clone(),
        );
        all.register(
            "compilations",
            "Drivers that were compiled, or could not be",
            self.compilations.clone(),
        );
    }

    fn register_bridge(&mut self) {
        let all = &mut self.registry;
        all.register(
            "native_steps_waiting",
            "Steps that no native driver has taken yet",
            self.native_waiting.clone(),
        );
        all.register(
            "native_messages_redelivered",
            "Messages that are open and that the broker has delivered more than once",
            self.native_redelivered.clone(),
        );
        let counters = [
            (
                "native_messages_again",
                "Attempts that were handed over once more, for the broker had lost them",
                &self.native_again,
            ),
            (
                "native_results_ignored",
                "Answers of native drivers that were not taken",
                &self.native_ignored,
            ),
            (
                "steps_unannounced",
                "Steps that ran here and could not be told on the broker",
                &self.native_unannounced,
            ),
            (
                "broker_reconnects",
                "How often the connection to the broker was made anew",
                &self.reconnects,
            ),
        ];
        for (name, help, counter) in counters {
            all.register(name, help, counter.clone());
        }
    }

    /// What the bridge has counted.
    pub(super) fn bridge(&self, bridge: &Bridge) {
        let counts = bridge.counts();
        let (waiting, redelivered) = (bridge.waiting(), bridge.redelivered());
        self.native_waiting
            .set(i64::try_from(waiting).unwrap_or(i64::MAX));
        self.native_redelivered
            .set(i64::try_from(redelivered).unwrap_or(i64::MAX));
        for (shown, counted) in [
            (&self.native_again, &counts.again),
            (&self.native_ignored, &counts.ignored),
            (&self.native_unannounced, &counts.unannounced),
            (&self.reconnects, &counts.reconnects),
        ] {
            let counted = counted.load(Ordering::Relaxed);
            shown.inner().store(counted, Ordering::Relaxed);
        }
    }

    /// So many threads are held up.
    pub(super) fn held_up(&self, threads: usize) {
        self.held_up.set(i64::try_from(threads).unwrap_or(i64::MAX));
    }

    /// All of it, in Prometheus's text form.
    pub(super) fn text(&self, under_way: usize, waiting: usize) -> String {
        self.under_way
            .set(i64::try_from(under_way).unwrap_or(i64::MAX));
        self.waiting.set(i64::try_from(waiting).unwrap_or(i64::MAX));
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("a string takes everything");
        text
    }

    /// What has been written of a run.
    pub(super) fn events(&self, run: &Run, events: &[Event]) {
        events.iter().for_each(|event| self.event(run, event));
    }

    fn event(&self, run: &Run, event: &Event) {
        let id = run.id;
        match event {
            Event::RunStarted { .. } => {
                self.begun.inc();
                tracing::info!(run = %id, "run begun");
            }
            Event::AttemptEnded { step, attempt, end } => {
                let result = match end {
                    AttemptEnd::Succeeded { .. } => "succeeded",
                    AttemptEnd::Failed(failure) => failure.kind.as_str(),
                    AttemptEnd::Cancelled { .. } => "cancelled",
                };
                let driver = driver(run, *step);
                tracing::debug!(run = %id, step = step_id(run, *step), attempt, driver, result, "attempt ended");
                self.attempts
                    .get_or_create(&DriverEnded { driver, result })
                    .inc();
            }
            Event::StepEnded { step, status } => {
                let (driver, result) = (driver(run, *step), status.as_str());
                self.steps
                    .get_or_create(&DriverEnded { driver, result })
                    .inc();
            }
            Event::RunEnded { status, .. } => {
                let result = status.as_str();
                tracing::info!(run = %id, result, "run ended");
                self.runs.get_or_create(&Ended { result }).inc();
                let ms = run.head.updated_ms.saturating_sub(run.head.created_ms);
                self.run_seconds.observe(ms as f64 / 1_000.0);
            }
            Event::RoundStarted { round, .. } => tracing::info!(run = %id, round, "round begun"),
            Event::RunClaimed { epoch } => tracing::info!(run = %id, epoch, "run taken up"),
            Event::RunCancelling { .. } => tracing::info!(run = %id, "run is to stop"),
            Event::AttemptStarted { step, attempt, .. } => {
                let step = step_id(run, *step);
                tracing::debug!(run = %id, step, attempt, "attempt begun");
            }
            Event::RetryScheduled { step, attempt, .. } => {
                let step = step_id(run, *step);
                tracing::info!(run = %id, step, attempt, "another attempt is to come");
            }
            Event::AttemptWaiting { .. } => {}
        }
    }
}

fn step_id(run: &Run, step: u32) -> &str {
    let step = run.plan.steps.get(step as usize);
    step.map(|step| step.id.as_str()).unwrap_or_default()
}

fn driver(run: &Run, step: u32) -> String {
    let step = run.plan.steps.get(step as usize);
    step.map(|step| step.driver.clone()).unwrap_or_default()
}

/// Tells the feed of a run and counts; and tells the broker of what ran here.
pub(super) struct Counted {
    feed: Arc<Feed>,
    metrics: Arc<Metrics>,
    owner: Weak<Owner>,
    bridge: Option<Arc<Bridge>>,
    /// Which steps are performed elsewhere.
    natives: Vec<bool>,
    /// What has ended here, and is not durable yet.
    ended: Mutex<Vec<EndedHere>>,
    /// When the first and the last attempt of each step began that has not ended.
    begun: Mutex<HashMap<u32, (Duration, Duration)>>,
}

impl Counted {
    pub(super) fn new(owner: &Arc<Owner>, feed: Arc<Feed>, drivers: &[StepDriver]) -> Self {
        let natives = drivers.iter();
        Counted {
            feed,
            metrics: Arc::clone(&owner.metrics),
            owner: Arc::downgrade(owner),
            bridge: owner.bridge().cloned(),
            natives: natives
                .map(|driver| driver.placement == Placement::Native)
                .collect(),
            ended: Mutex::default(),
            begun: Mutex::default(),
        }
    }

    /// How long steps take, and attempts of which no ledger tells.
    fn time(&self, run: &Run, event: &Event) {
        let now = clock::monotonic();
        let observe = |seconds: &Seconds, step: u32, since: Duration| {
            let driver = driver(run, step);
            seconds
                .get_or_create(&ByDriver { driver })
                .observe(now.saturating_sub(since).as_secs_f64());
        };
        match *event {
            // A native driver need not say when it begins: then it is timed from when it was handed the attempt.
            Event::AttemptWaiting { step, .. } | Event::AttemptStarted { step, .. } => {
                self.begun.lock().entry(step).or_insert((now, now)).1 = now;
            }
            Event::AttemptEnded { step, .. } if self.natives.get(step as usize) == Some(&true) => {
                if let Some((_, last)) = self.begun.lock().get(&step) {
                    observe(&self.metrics.attempt_seconds, step, *last);
                }
            }
            Event::StepEnded { step, .. } => {
                if let Some((first, _)) = self.begun.lock().remove(&step) {
                    observe(&self.metrics.step_seconds, step, first);
                }
            }
            Event::RunStarted { .. }
            | Event::RoundStarted { .. }
            | Event::RunClaimed { .. }
            | Event::RunCancelling { .. }
            | Event::AttemptEnded { .. }
            | Event::RetryScheduled { .. }
            | Event::RunEnded { .. } => {}
        }
    }

    fn note(&self, run: &Run, event: &Event) {
        let Event::AttemptEnded { step, attempt, end } = event else {
            return;
        };
        let is_native = self.natives.get(*step as usize).copied();
        if self.bridge.is_some() && is_native == Some(false) {
            self.ended.lock().push(EndedHere {
                run: run.id,
                step: *step,
                attempt: *attempt,
                end: end.clone(),
            });
        }
    }
}

impl Observer for Counted {
    fn written(&self, run: &Run, events: &[Event]) {
        self.feed.written(run, events);
        self.metrics.events(run, events);
        for event in events {
            self.time(run, event);
            self.note(run, event);
        }
    }

    fn durable(&self, run: &Run) {
        self.feed.durable(run);
        if let Some(bridge) = &self.bridge {
            let ended = std::mem::take(&mut *self.ended.lock());
            ended.into_iter().for_each(|one| bridge.ended_here(one));
        }
    }

    fn is_crowded(&self) -> bool {
        self.owner.upgrade().is_some_and(|owner| owner.is_crowded())
    }

    fn waiting(&self, until_ms: u64) {
        self.feed.waiting(until_ms);
    }

    fn used(&self, run: &Run, step: u32, ledger: &Ledger) {
        let of = ByDriver {
            driver: driver(run, step),
        };
        let seconds = |us: u64| us as f64 / 1_000_000.0;
        self.metrics
            .attempt_seconds
            .get_or_create(&of)
            .observe(seconds(ledger.wall_us));
        self.metrics
            .guest_cpu
            .get_or_create(&of)
            .inc_by(seconds(ledger.cpu_us));
        let bytes = i64::try_from(ledger.memory_bytes).unwrap_or(i64::MAX);
        self.metrics.guest_memory.get_or_create(&of).set(bytes);
    }

    fn synced(&self, took: Duration) {
        self.metrics.sync_seconds.observe(took.as_secs_f64());
    }
}
