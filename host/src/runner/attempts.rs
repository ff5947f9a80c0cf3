//! The attempts of one run: announced, under way, stopped.
//!
//! Owns their futures, and the queue of those that wait for room in the host's memory. Stopping an attempt is dropping
//! its future, and when that returns, nothing of it goes on: a retry never runs beside the attempt before it. One that was
//! handed to a program of its own has no future any more: its answer comes to the run's inbox, and stopping it is
//! withdrawing it.

use super::offered::Offered;
use crate::documents::StepDocument;
use crate::ledger::Ledger;
use crate::logs::LogSink;
use crate::runs::StoredRun;
use crate::wasm::{
    Admission, Attempt, CancelFlag, Ended, Folder, Loaded, Meter, OUT, Request, RunInfo,
};
use beltline_engine::{Effect, Placement, Run, RunId};
use futures::FutureExt;
use futures::future::{BoxFuture, MaybeDone, maybe_done};
use std::future::{poll_fn, ready};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

/// What performs attempts of a step: a loaded driver, or the way to one that is a program of its own.
pub trait Perform: Send + Sync {
    /// Waits until there is room for one more attempt.
    fn admit(&self) -> BoxFuture<'static, Option<Admission>>;

    /// Performs one. Dropping the future stops it.
    ///
    /// # Errors
    /// A fault of the host; the attempt has not ended by itself.
    fn attempt(self: Arc<Self>, attempt: Attempt) -> BoxFuture<'static, anyhow::Result<Performed>>;

    /// Asks one that was handed over to stop.
    fn cancel(&self, _attempt: u32) {}

    /// Takes one back that was handed over: nobody is to begin it any more, as far as that can be seen to.
    fn withdraw(&self, _attempt: u32) -> BoxFuture<'static, ()> {
        ready(()).boxed()
    }
}

/// What becomes of an attempt that is performed.
pub enum Performed {
    /// It has ended.
    Ended(Ended),
    /// Somebody else has it, and the answer will come to the run's inbox.
    HandedOver,
}

impl Perform for Loaded {
    fn admit(&self) -> BoxFuture<'static, Option<Admission>> {
        Loaded::admit(self).map(Some).boxed()
    }

    fn attempt(self: Arc<Self>, attempt: Attempt) -> BoxFuture<'static, anyhow::Result<Performed>> {
        async move { Loaded::attempt(&self, attempt).await.map(Performed::Ended) }.boxed()
    }
}

/// What performs a step, with what it is granted in this run.
pub struct StepDriver {
    /// The driver.
    pub driver: Arc<dyn Perform>,
    /// The folders that it sees.
    pub folders: Arc<[Folder]>,
    /// Where it runs, and whether it can touch the outside world.
    pub placement: Placement,
    /// The folder for what the run makes, where the driver may write there.
    pub out: Option<PathBuf>,
}

/// What comes of attempts.
pub(super) enum News {
    /// One has ended.
    Finished(Finished),
    /// One that waited for room has it, and can be started.
    Room,
    /// One is somebody else's now.
    HandedOver,
}

/// An attempt that came to its end by itself.
pub(super) struct Finished {
    pub(super) used: Used,
    /// An error is a fault of the host.
    pub(super) ended: anyhow::Result<Ended>,
}

/// What an attempt has used that has ended or was stopped.
pub(super) struct Used {
    pub(super) step: u32,
    pub(super) attempt: u32,
    pub(super) ledger: Ledger,
}

pub(super) struct Attempts {
    stored: StoredRun,
    drivers: Vec<StepDriver>,
    log: Arc<dyn LogSink>,
    offered: Arc<Offered>,
    queued: Vec<Queued>,
    announced: Vec<Announced>,
    under_way: Vec<UnderWay>,
    handed_over: Vec<HandedOver>,
}

/// An attempt that somebody else performs.
struct HandedOver {
    step: u32,
    attempt: u32,
    is_told_to_stop: bool,
}

/// An attempt that is due and has not begun.
struct Queued {
    step: u32,
    attempt: u32,
    admission: MaybeDone<BoxFuture<'static, Option<Admission>>>,
}

struct Announced {
    step: u32,
    attempt: u32,
    placement: Placement,
    admission: Option<Admission>,
}

struct UnderWay {
    step: u32,
    attempt: u32,
    cancel: CancelFlag,
    meter: Arc<Meter>,
    _admission: Option<Admission>,
    future: BoxFuture<'static, anyhow::Result<Performed>>,
}

impl UnderWay {
    /// When this returns, the attempt has ended.
    fn stop(self) -> Used {
        let UnderWay {
            step,
            attempt,
            meter,
            future,
            ..
        } = self;
        drop(future);
        let ledger = meter.ledger();
        Used {
            step,
            attempt,
            ledger,
        }
    }
}

impl Attempts {
    pub(super) fn new(
        stored: &StoredRun,
        drivers: Vec<StepDriver>,
        log: Arc<dyn LogSink>,
        offered: Arc<Offered>,
    ) -> Self {
        let stored = stored.clone();
        Attempts {
            stored,
            drivers,
            log,
            offered,
            queued: Vec::new(),
            announced: Vec::new(),
            under_way: Vec::new(),
            handed_over: Vec::new(),
        }
    }

    /// Whether this attempt is announced, under way or handed over.
    pub(super) fn has(&self, step: u32, attempt: u32) -> bool {
        let announced = self.announced.iter().map(|one| (one.step, one.attempt));
        let under_way = self.under_way.iter().map(|one| (one.step, one.attempt));
        let mut all = announced.chain(under_way);
        all.any(|one| one == (step, attempt)) || self.is_handed_over(step, attempt)
    }

    /// Whether somebody else performs this attempt.
    pub(super) fn is_handed_over(&self, step: u32, attempt: u32) -> bool {
        let mut all = self.handed_over.iter();
        all.any(|one| (one.step, one.attempt) == (step, attempt))
    }

    /// An attempt that was handed over has been answered, or is to be handed over again.
    pub(super) fn take_back(&mut self, step: u32, attempt: u32) {
        self.handed_over
            .retain(|one| (one.step, one.attempt) != (step, attempt));
    }

    /// Whether nothing is under way, about to be, or waiting for room.
    pub(super) fn is_idle(&self) -> bool {
        self.queued.is_empty() && self.announced.is_empty() && self.under_way.is_empty()
    }

    /// Whether somebody else has an attempt of the run.
    pub(super) fn has_handed_over(&self) -> bool {
        !self.handed_over.is_empty()
    }

    /// Where attempts of this step run.
    pub(super) fn placement(&self, step: u32) -> Placement {
        self.driver(step).placement
    }

    /// The step's id.
    pub(super) fn step_id(&self, step: u32) -> String {
        self.document(step).id.clone()
    }

    /// The folder that these attempts may have written into, beside the workspace.
    pub(super) fn out(&self) -> Option<PathBuf> {
        let folders = self.drivers.iter().flat_map(|driver| driver.folders.iter());
        let mut written = folders.filter(|folder| folder.guest == OUT);
        let here = written.next().map(|folder| folder.host.clone());
        let elsewhere = || self.drivers.iter().find_map(|driver| driver.out.clone());
        here.or_else(elsewhere)
    }

    /// Whether the host has room for an attempt that is due. Where it has not, the attempt stands in the queue, and
    /// [`Attempts::next`] says when there is.
    pub(super) fn is_admitted(&mut self, step: u32, attempt: u32) -> bool {
        let place = self.place_in_queue(step, attempt).unwrap_or_else(|| {
            let admission = maybe_done(self.driver(step).driver.admit());
            self.queued.push(Queued {
                step,
                attempt,
                admission,
            });
            self.queued.len() - 1
        });
        self.queued.get_mut(place).is_some_and(|queued| {
            queued
                .admission
                .poll_unpin(&mut Context::from_waker(Waker::noop()))
                .is_ready()
        })
    }

    fn place_in_queue(&self, step: u32, attempt: u32) -> Option<usize> {
        let mut queued = self.queued.iter();
        queued.position(|one| (one.step, one.attempt) == (step, attempt))
    }

    /// An admitted attempt whose start is about to be saved.
    pub(super) fn announce(&mut self, step: u32, attempt: u32, placement: Placement) {
        let place = self.place_in_queue(step, attempt);
        let admission = place.and_then(|place| {
            Pin::new(&mut self.queued.swap_remove(place).admission).take_output()
        });
        self.announced.push(Announced {
            step,
            attempt,
            placement,
            admission: admission.expect("it was admitted"),
        });
    }

    /// Whether one that is about to begin can touch the outside world.
    pub(super) fn announced_with_effects(&self) -> bool {
        self.announced.iter().any(|one| one.placement.has_effects())
    }

    /// Stops what is not wanted, and tells those of a cancel that are to be told. Returns what was used by those that
    /// were stopped: nothing of them goes on. What is to be withdrawn is returned beside it.
    pub(super) fn keep_only(
        &mut self,
        wanted: &[Effect],
    ) -> (Vec<Used>, Vec<BoxFuture<'static, ()>>) {
        let find = |step: u32, attempt: u32| {
            wanted.iter().find_map(|effect| match effect {
                Effect::Attempt {
                    step: s,
                    attempt: a,
                    cancel,
                    ..
                } if (*s, *a) == (step, attempt) => Some(*cancel),
                Effect::Attempt { .. } | Effect::Wake { .. } => None,
            })
        };
        self.queued
            .retain(|one| find(one.step, one.attempt).is_some());
        self.announced
            .retain(|one| find(one.step, one.attempt).is_some());
        let stopped = self.under_way.extract_if(.., |one| {
            let cancel = find(one.step, one.attempt);
            if cancel == Some(true) {
                one.cancel.store(true, Ordering::Relaxed);
            }
            cancel.is_none()
        });
        let used = stopped.map(UnderWay::stop).collect();
        let mut withdrawn = Vec::new();
        for mut one in std::mem::take(&mut self.handed_over) {
            let driver = &self.driver(one.step).driver;
            match find(one.step, one.attempt) {
                None => withdrawn.push(driver.withdraw(one.attempt)),
                Some(cancel) => {
                    if cancel && !std::mem::replace(&mut one.is_told_to_stop, true) {
                        driver.cancel(one.attempt);
                    }
                    self.handed_over.push(one);
                }
            }
        }
        (used, withdrawn)
    }

    /// Begins what was announced. Its start is saved, and synced where it has effects.
    pub(super) fn begin(&mut self, run: &Arc<Run>) {
        for one in std::mem::take(&mut self.announced) {
            let Announced {
                step,
                attempt,
                placement: _,
                admission,
            } = one;
            let cancel = CancelFlag::new(AtomicBool::new(false));
            let meter = Arc::new(Meter::start());
            let call = self.call(run, step, attempt, Arc::clone(&cancel), Arc::clone(&meter));
            let future = Arc::clone(&self.driver(step).driver).attempt(call);
            self.under_way.push(UnderWay {
                step,
                attempt,
                cancel,
                meter,
                _admission: admission,
                future,
            });
        }
    }

    /// What comes next of all attempts; never returns while none is under way and none waits for room.
    pub(super) async fn next(&mut self) -> News {
        poll_fn(|context| {
            let mut under_way = self.under_way.iter_mut().enumerate();
            let ended = under_way.find_map(|(index, one)| match one.future.poll_unpin(context) {
                Poll::Ready(ended) => Some((index, ended)),
                Poll::Pending => None,
            });
            if let Some((index, ended)) = ended {
                let used = self.under_way.swap_remove(index).stop();
                let ended = match ended {
                    Ok(Performed::Ended(ended)) => Ok(ended),
                    Err(fault) => Err(fault),
                    Ok(Performed::HandedOver) => {
                        self.handed_over.push(HandedOver {
                            step: used.step,
                            attempt: used.attempt,
                            is_told_to_stop: false,
                        });
                        return Poll::Ready(News::HandedOver);
                    }
                };
                return Poll::Ready(News::Finished(Finished { used, ended }));
            }
            let mut queued = self.queued.iter_mut();
            match queued.any(|one| one.admission.poll_unpin(context).is_ready()) {
                true => Poll::Ready(News::Room),
                false => Poll::Pending,
            }
        })
        .await
    }

    fn call(
        &self,
        run: &Arc<Run>,
        step: u32,
        attempt: u32,
        cancel: CancelFlag,
        meter: Arc<Meter>,
    ) -> Attempt {
        let (record, document) = (&self.stored.record, self.document(step));
        let info = RunInfo {
            run_id: run.id.to_string(),
            pipeline: Some(record.pipeline.clone()).filter(|name| !name.is_empty()),
            step_id: document.id.clone(),
            attempt,
            key: run.key(step),
            deadline_ms: run.attempt_deadline_ms(step),
            traceparent: Some(traceparent(run.id, step, attempt)),
            dry_run: false,
        };
        let request = Request {
            event: record.event.clone(),
            kind: record.kind.clone(),
            resource: self.stored.resource.to_string(),
            with: serde_json::to_string(&document.with).expect("a map has string keys"),
            info,
            extra: Vec::new(),
        };
        Attempt {
            request,
            context: self.offered.context(run),
            log: Arc::clone(&self.log),
            cancel,
            folders: Arc::clone(&self.driver(step).folders),
            meter,
        }
    }

    fn driver(&self, step: u32) -> &StepDriver {
        self.drivers
            .get(step as usize)
            .expect("there is a driver for each step of the plan")
    }

    fn document(&self, step: u32) -> &StepDocument {
        let steps = &self.stored.pipeline.steps;
        steps
            .get(step as usize)
            .expect("the plan has the steps of its pipeline")
    }
}

/// As W3C has it: the run is the trace, and each attempt a span of it.
fn traceparent(run: RunId, step: u32, attempt: u32) -> String {
    let run = run.to_string().replace('-', "");
    format!("00-{run}-{:08x}{attempt:08x}-01", step + 1)
}
