//! The attempts of one run: announced, under way, stopped.
//!
//! Owns their futures. Stopping an attempt is dropping its future, and when that returns, nothing of it goes on:
//! a retry never runs beside the attempt before it.

use super::offered::Offered;
use crate::documents::StepDocument;
use crate::logs::LogSink;
use crate::runs::StoredRun;
use crate::wasm::{Attempt, CancelFlag, Ended, Folder, Loaded, OUT, Request, RunInfo};
use beltline_engine::{Effect, Placement, Run};
use futures::FutureExt;
use futures::future::LocalBoxFuture;
use std::future::poll_fn;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

/// What performs a step: a loaded driver with what it is granted in this run.
pub struct StepDriver {
    /// The driver.
    pub loaded: Arc<Loaded>,
    /// The folders that it sees.
    pub folders: Arc<[Folder]>,
    /// Where it runs, and whether it can touch the outside world.
    pub placement: Placement,
}

/// An attempt that came to its end by itself.
pub(super) struct Finished {
    pub(super) step: u32,
    pub(super) attempt: u32,
    /// An error is a fault of the host.
    pub(super) ended: anyhow::Result<Ended>,
}

pub(super) struct Attempts {
    stored: StoredRun,
    drivers: Vec<StepDriver>,
    log: Arc<dyn LogSink>,
    offered: Arc<Offered>,
    announced: Vec<Announced>,
    under_way: Vec<UnderWay>,
}

struct Announced {
    step: u32,
    attempt: u32,
    placement: Placement,
}

struct UnderWay {
    step: u32,
    attempt: u32,
    cancel: CancelFlag,
    future: LocalBoxFuture<'static, anyhow::Result<Ended>>,
}

impl Attempts {
    pub(super) fn new(
        stored: &StoredRun,
        drivers: Vec<StepDriver>,
        log: Arc<dyn LogSink>,
        offered: Arc<Offered>,
    ) -> Self {
        let stored = stored.clone();
        let (announced, under_way) = (Vec::new(), Vec::new());
        Attempts {
            stored,
            drivers,
            log,
            offered,
            announced,
            under_way,
        }
    }

    /// Whether this attempt is announced or under way.
    pub(super) fn has(&self, step: u32, attempt: u32) -> bool {
        let announced = self.announced.iter().map(|one| (one.step, one.attempt));
        let mut all = announced.chain(self.under_way.iter().map(|one| (one.step, one.attempt)));
        all.any(|one| one == (step, attempt))
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
        written.next().map(|folder| folder.host.clone())
    }

    /// An attempt whose start is about to be saved.
    pub(super) fn announce(&mut self, step: u32, attempt: u32, placement: Placement) {
        self.announced.push(Announced {
            step,
            attempt,
            placement,
        });
    }

    /// Whether one that is about to begin can touch the outside world.
    pub(super) fn announced_with_effects(&self) -> bool {
        self.announced.iter().any(|one| one.placement.has_effects())
    }

    /// Stops what is not wanted, and tells those of a cancel that are to be told.
    pub(super) fn keep_only(&mut self, wanted: &[Effect]) {
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
        self.announced
            .retain(|one| find(one.step, one.attempt).is_some());
        self.under_way.retain(|one| {
            let cancel = find(one.step, one.attempt);
            if cancel == Some(true) {
                one.cancel.store(true, Ordering::Relaxed);
            }
            cancel.is_some()
        });
    }

    /// Begins what was announced. Its start is saved, and synced where it has effects.
    pub(super) fn begin(&mut self, run: &Run) {
        for Announced { step, attempt, .. } in std::mem::take(&mut self.announced) {
            let cancel = CancelFlag::new(AtomicBool::new(false));
            let call = self.call(run, step, attempt, Arc::clone(&cancel));
            let loaded = Arc::clone(&self.driver(step).loaded);
            let future = async move { loaded.attempt(call).await }.boxed_local();
            self.under_way.push(UnderWay {
                step,
                attempt,
                cancel,
                future,
            });
        }
    }

    /// The next attempt that comes to its end; never returns while none is under way.
    pub(super) async fn next(&mut self) -> Finished {
        poll_fn(|context| {
            let ended = self
                .under_way
                .iter_mut()
                .enumerate()
                .find_map(|(index, one)| match one.future.poll_unpin(context) {
                    Poll::Ready(ended) => Some((index, ended)),
                    Poll::Pending => None,
                });
            match ended {
                Some((index, ended)) => {
                    let UnderWay { step, attempt, .. } = self.under_way.swap_remove(index);
                    Poll::Ready(Finished {
                        step,
                        attempt,
                        ended,
                    })
                }
                None => Poll::Pending,
            }
        })
        .await
    }

    fn call(&self, run: &Run, step: u32, attempt: u32, cancel: CancelFlag) -> Attempt {
        let (record, document) = (&self.stored.record, self.document(step));
        let info = RunInfo {
            run_id: run.id.to_string(),
            pipeline: Some(record.pipeline.clone()),
            step_id: document.id.clone(),
            attempt,
            key: run.key(step),
            deadline_ms: run.attempt_deadline_ms(step),
            traceparent: None,
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
