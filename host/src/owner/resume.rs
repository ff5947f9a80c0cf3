//! Runs that the store has: taken up again, in a new round, or once more from the same snapshots.

use super::carry::line_of;
use super::order::RACES_MAX;
use super::timers::Due;
use super::{Accepted, Along, Owner, OwnerError};
use crate::catalog::keep_resource;
use crate::clock;
use crate::launch::{self, Launch, Order};
use crate::runs::{StoredRun, Traces};
use crate::store::Batch;
use beltline_engine::{Input, Phase, Refusal, RunId, events};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How long a runner whose run has ended may take to leave it.
const LEAVE_TIME_MAX: Duration = Duration::from_secs(5);

/// Paths that a run keeps, where they are no longer what they were.
#[derive(Debug, Clone, Default)]
pub struct Anew {
    /// The operator's file; absolute.
    pub config: Option<PathBuf>,
    /// The directory to work on; absolute.
    pub workspace: Option<PathBuf>,
    /// The out folder; absolute.
    pub out: Option<PathBuf>,
}

impl Anew {
    fn is_given(&self) -> bool {
        self.config.is_some() || self.workspace.is_some() || self.out.is_some()
    }

    fn apply(&self, stored: &mut StoredRun) {
        let record = Arc::make_mut(&mut stored.record);
        if let Some(config) = &self.config {
            record.config.clone_from(config);
            record.is_served = false;
        }
        if let Some(workspace) = &self.workspace {
            record.workspace = Some(workspace.clone());
        }
        if let Some(out) = &self.out {
            record.out.clone_from(out);
            record.out_given = true;
        }
    }
}

impl Owner {
    /// Takes up every run that has not ended, and every resource that is to be looked at again.
    ///
    /// # Errors
    /// The store's, or the name of a record that cannot be read.
    pub async fn take_up_all(self: &Arc<Self>) -> Result<usize, OwnerError> {
        self.workspaces().sweep_partial()?;
        self.runtime.spawn(super::sweep::keep(Arc::downgrade(self)));
        self.runtime
            .spawn(super::held_up::keep(Arc::downgrade(self)));
        let open = self.runs.open().await?;
        let count = open.len();
        for (id, record) in open {
            self.take_up(id, &record.kind, &record.resource);
        }
        for (kind, name, record) in self.runs.resyncs().await? {
            self.timers.set(record.at_ms, Due::Resync(kind, name));
        }
        self.fill();
        Ok(count)
    }

    fn take_up(&self, id: RunId, kind: &str, resource: &str) {
        if self.hold(id, &line_of(kind, resource)).is_ok() {
            self.carried.lock().made(id, false);
        }
    }

    /// Takes up one run that nobody carries; nothing where somebody does.
    ///
    /// # Errors
    /// Where there is no such run.
    pub(super) async fn adopt(self: &Arc<Self>, id: RunId) -> Result<(), OwnerError> {
        let record = self.runs.record(id).await?;
        let record = record.ok_or_else(|| OwnerError::NoRun(id))?;
        self.take_up(id, &record.kind, &record.resource);
        self.fill();
        Ok(())
    }

    /// Has a run go on that was cut off. Says whether it had not ended.
    ///
    /// # Errors
    /// Where there is no such run, or what it needs is not there.
    pub async fn resume(self: &Arc<Self>, id: RunId, anew: &Anew) -> Result<bool, OwnerError> {
        if self.is_carried(id) {
            return Ok(true);
        }
        let mut stored = self.stored(id).await?;
        if stored.run.is_ended() {
            return Ok(false);
        }
        self.recall(&stored).await?;
        if self.end_overdue(&stored).await? {
            return Ok(true);
        }
        anew.apply(&mut stored);
        // What it lacks is said to whoever asks, and not found out later.
        self.reopen(stored.clone()).await?;
        if anew.is_given() {
            self.runs.amend(&stored).await?;
        }
        self.adopt(id).await?;
        Ok(true)
    }

    /// Has an ended run go on in a new round, which it returns. That is durable then; `along` adds to its commit.
    ///
    /// # Errors
    /// [`OwnerError::Conflict`] where it has not ended or has no such step, or what it needs is not there.
    pub async fn retry(
        self: &Arc<Self>,
        id: RunId,
        from: Option<&str>,
        anew: &Anew,
        along: Option<Along<StoredRun>>,
    ) -> Result<StoredRun, OwnerError> {
        for _ in 0..RACES_MAX {
            match self.try_retry(id, from, anew, along.as_ref()).await {
                // Somebody else has had it go on meanwhile: the next look says so.
                Err(error) if error.lost_race().is_some() => {}
                done => return done,
            }
        }
        Err(OwnerError::Contended)
    }

    async fn try_retry(
        self: &Arc<Self>,
        id: RunId,
        from: Option<&str>,
        anew: &Anew,
        along: Option<&Along<StoredRun>>,
    ) -> Result<StoredRun, OwnerError> {
        let mut stored = self.stored(id).await?;
        let from = from.map(|step| step_index(&stored, step)).transpose()?;
        let input = Input::Retry { from };
        match stored.run.refuses(&input) {
            None => {}
            Some(Refusal::NotEnded { status }) => {
                return Err(OwnerError::Conflict(format!(
                    "the run has not ended: it is {status}; `belt runs resume` has it go on"
                )));
            }
            Some(refusal) => return Err(OwnerError::Conflict(refusal.to_string())),
        }
        anew.apply(&mut stored);
        let _taking = self.registry.take(&stored.pipeline).await?;
        self.reopen(stored.clone()).await?;
        if anew.is_given() {
            self.runs.amend(&stored).await?;
        }
        // Whoever sees its end may ask before its runner is out of the books.
        let _ = tokio::time::timeout(LEAVE_TIME_MAX, self.until_left(id)).await;
        self.hold(id, &line_of(&stored.record.kind, &stored.record.resource))?;
        match self.fold_retry(&mut stored, &input, along).await {
            Ok(()) => {
                self.carried.lock().made(id, false);
                self.fill();
                Ok(stored)
            }
            Err(error) => {
                self.carried.lock().ended(id);
                Err(error)
            }
        }
    }

    async fn fold_retry(
        &self,
        stored: &mut StoredRun,
        input: &Input,
        along: Option<&Along<StoredRun>>,
    ) -> Result<(), OwnerError> {
        let epoch = stored.run.head.epoch.saturating_add(1);
        self.fold(stored, &Input::Claim { epoch }, None).await?;
        self.fold(stored, input, along).await?;
        self.runs.store().sync(stored.head).await?;
        // Whoever has watched it to its end is told that it goes on.
        self.feed(stored.run.id).begin(&stored.run);
        Ok(())
    }

    /// Folds one input into a run that nobody moves, and writes it.
    pub(super) async fn fold(
        &self,
        stored: &mut StoredRun,
        input: &Input,
        along: Option<&Along<StoredRun>>,
    ) -> Result<(), OwnerError> {
        let Some(after) = stored.run.on(input, clock::now_ms()) else {
            return Ok(());
        };
        let traces = Traces {
            events: events(Some(&stored.run), &after),
            ..Traces::default()
        };
        let moved = StoredRun {
            run: Arc::new(after),
            ..stored.clone()
        };
        let along = along.map_or_else(Batch::new, |add| add(Batch::new(), &moved));
        let head = self.runs.save(stored, &moved.run, &traces, along).await?;
        self.metrics.events(&moved.run, &traces.events);
        *stored = StoredRun { head, ..moved };
        Ok(())
    }

    /// Makes a new run of the same snapshots, with the drivers of today's grants and yesterday's bytes; `along` adds to
    /// its commit.
    ///
    /// # Errors
    /// What it needs is not there, or the operator has pinned something else.
    pub async fn rerun(
        self: &Arc<Self>,
        id: RunId,
        anew: &Anew,
        along: Option<Along>,
    ) -> Result<Accepted, OwnerError> {
        let mut stored = self.stored(id).await?;
        anew.apply(&mut stored);
        self.place(&mut stored);
        let config = stored.record.config.clone();
        let _taking = self.registry.take(&stored.pipeline).await?;
        let entries = self.registry.entries_of(&config)?;
        let used = launch::same(&stored, &entries, &self.state)?;
        let pipeline = (*stored.pipeline).clone();
        let places = self.places(&entries)?;
        let prepared = launch::prepare(pipeline, used, &entries, config, places, &self.state)?;
        let prepared = prepared.of_served(stored.record.is_served);
        let (record, new_id) = (&stored.record, launch::new_id());
        // What a client has sent is unpacked anew: the other run may have written to its own.
        let workspace = match (record.archive, &anew.workspace) {
            (Some(archive), None) => Some(self.unpacked(archive, new_id).await?),
            _ => record.workspace.clone(),
        };
        let launch = prepared.new_run(
            Order {
                id: new_id,
                event: record.event.clone(),
                resource: (&stored).into(),
                workspace,
                archive: record.archive,
                out: record.out_given.then(|| record.out.clone()),
                set: record.set.clone(),
                locked: record.locked,
                rerun_of: Some(id),
            },
            &self.state,
        )?;
        prepared.keep(&launch, &self.state)?;
        self.carry_with_resource(launch, along).await
    }

    /// Carries a new run of a resource that may have gone since.
    async fn carry_with_resource(
        self: &Arc<Self>,
        launch: Launch,
        add: Option<Along>,
    ) -> Result<Accepted, OwnerError> {
        let record = &launch.stored.record;
        let found = self
            .catalog
            .resource(&record.kind, &record.resource)
            .await?;
        let mut along = Batch::new();
        let mut kept = None;
        if let Some(mut found) = found {
            found.record.run = Some(launch.stored.run.id);
            along = keep_resource(along, &found.record, Some(found.revision), false);
            kept = Some(found.record);
        }
        self.accept(launch, kept, Vec::new(), along, add.as_ref())
            .await
    }

    /// A run, loaded.
    ///
    /// # Errors
    /// Where there is none, or a record of it cannot be read.
    pub async fn stored(&self, id: RunId) -> Result<StoredRun, OwnerError> {
        let stored = self.runs.load(id).await?;
        stored.ok_or_else(|| OwnerError::NoRun(id))
    }

    /// A run that is to go on, with what performs its steps and the inputs to begin with; `None` where it has ended.
    pub(super) async fn reopened(
        &self,
        id: RunId,
    ) -> Result<Option<(Launch, Vec<Input>)>, OwnerError> {
        let stored = self.stored(id).await?;
        if stored.run.is_ended() {
            return Ok(None);
        }
        self.recall(&stored).await?;
        if self.end_overdue(&stored).await? {
            return Ok(None);
        }
        let epoch = stored.run.head.epoch.saturating_add(1);
        let launch = self.reopen(stored).await?;
        let is_known = self.carried.lock().know(id);
        let claim = (!is_known).then_some(Input::Claim { epoch });
        Ok(Some((launch, claim.into_iter().collect())))
    }

    async fn recall(&self, stored: &StoredRun) -> Result<(), OwnerError> {
        match self.bridge() {
            Some(bridge) => bridge.recall(self, stored).await,
            None => Ok(()),
        }
    }

    /// The operator's file of a run is the one that is now.
    fn place(&self, stored: &mut StoredRun) {
        let config = self.registry.config_of(&stored.record);
        if config != stored.record.config {
            Arc::make_mut(&mut stored.record).config = config;
        }
    }

    async fn reopen(&self, mut stored: StoredRun) -> Result<Launch, OwnerError> {
        self.place(&mut stored);
        let entries = self.registry.entries_of(&stored.record.config)?;
        let places = self.places(&entries)?;
        Ok(launch::reopen(stored, &entries, places, &self.state)?)
    }

    /// Ends a run whose own time is over. That takes no drivers, which may be gone by now. Attempts that died with
    /// their host are not looked at: they start again.
    async fn end_overdue(&self, stored: &StoredRun) -> Result<bool, OwnerError> {
        let now_ms = clock::now_ms();
        let until_ms = match stored.run.head.phase {
            Phase::Running {
                deadline_ms: until_ms,
            }
            | Phase::Cancelling { until_ms } => until_ms,
            Phase::Ended { .. } => return Ok(false),
        };
        if until_ms > now_ms {
            return Ok(false);
        }
        let moved = self.fold_unopened(stored, &Input::Tick).await?;
        Ok(moved.run.is_ended())
    }

    /// Folds an input into a run that nobody moves and that need not be opened for it. It is durable when this returns.
    pub(super) async fn fold_unopened(
        &self,
        stored: &StoredRun,
        input: &Input,
    ) -> Result<StoredRun, OwnerError> {
        let mut moved = stored.clone();
        let after = moved.run.on(input, clock::now_ms());
        if let Some(bridge) = self.bridge()
            && after.is_some_and(|after| after.is_ended())
        {
            bridge.let_go(stored.run.id);
        }
        self.fold(&mut moved, input, None).await?;
        self.runs.store().sync(moved.head).await?;
        self.feed(moved.run.id).begin(&moved.run);
        Ok(moved)
    }
}

fn step_index(stored: &StoredRun, id: &str) -> Result<u32, OwnerError> {
    let steps = &stored.pipeline.steps;
    let found = (0_u32..).zip(steps).find(|(_, step)| step.id == id);
    found.map(|(index, _)| index).ok_or_else(|| {
        let known = steps.iter().map(|step| step.id.as_str());
        let known = known.collect::<Vec<_>>().join(", ");
        let known = if known.is_empty() { "none" } else { &known };
        OwnerError::Field {
            field: "/from",
            why: format!("the run has no step `{id}`; it has {known}"),
        }
    })
}
