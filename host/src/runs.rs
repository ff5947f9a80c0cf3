//! Runs in the store: which records make up a run, and how they are read and written.
//!
//! Owns the keys. Each save compares the revision of the run's head and writes what differs from the state
//! before: the head, the steps that changed, the events of the change and new outputs, in one commit. So what a
//! step writes does not grow with the run. Never decides anything, and never syncs by itself.
//!
//! ```text
//! run/<id>                     what the run is of; written once, and where paths are given anew
//! head/<id>                    compared by every write
//! step/<id>/<index>            where it is not there, the step has not begun
//! output/<id>/<index>/<attempt>
//! event/<id>/<revision>
//! dispatch/<id>/<index>        the message that the step's attempt is in, where its driver is native
//! ignored/<id>/<when>          an answer that was not taken, and why; `none` is the id of those that name no run
//! requeue/<id>                 how soon after its success its drivers want to look again
//! open/<id>                    as long as it has not ended
//! of/<kind>/<resource>/<id>    the runs of a resource
//! answered/<kind>/<resource>/<driver>   what that driver answered last
//! resync/<kind>/<resource>     when a run of that resource is to begin by itself
//! snapshot/<digest>            pipelines and resources
//! ```

mod answered;
mod removal;
mod results;

pub(crate) use results::conveyor_result;
pub use results::driver_results;

use crate::digest::Digest;
use crate::documents::Pipeline;
use crate::plan;
use crate::records::{
    AttemptId, EventRecord, HeadRecord, IgnoredRecord, LedgerRecord, OpenRecord, RecordError,
    RequeueRecord, ResyncRecord, RunRecord, StepRecord, decode, encode,
};
use crate::store::{Batch, Order, Record, Revision, Store, StoreError};
use beltline_engine::{End, Event, Head, Phase, Run, RunId, Step, StepState};
use serde::de::DeserializeOwned;
use std::sync::Arc;

/// Records read at once while a run is loaded.
const PAGE: usize = 256;

/// All runs of one store.
#[derive(Clone)]
pub struct Runs {
    store: Arc<dyn Store>,
}

/// A run as the store has it.
#[derive(Clone)]
pub struct StoredRun {
    /// What it is of.
    pub record: Arc<RunRecord>,
    /// The snapshot of its pipeline.
    pub pipeline: Arc<Pipeline>,
    /// The same as it is stored, JSON text.
    pub pipeline_text: Arc<str>,
    /// The snapshot of its resource, as JSON text.
    pub resource: Arc<str>,
    /// Its state.
    pub run: Arc<Run>,
    /// What the next write expects of its head.
    pub head: Revision,
    /// How soon after its success its drivers want to look again, in milliseconds.
    pub requeue_after_ms: Option<u64>,
}

/// What a transition leaves beside the state.
#[derive(Debug, Default)]
pub struct Traces {
    /// What it means for a person.
    pub events: Vec<Event>,
    /// What a step left: its index, the attempt, the JSON text.
    pub outputs: Vec<(u32, u32, Arc<str>)>,
    /// What attempts have used that ended with it.
    pub ledgers: Vec<LedgerRecord>,
    /// The attempts that ended with it by an answer that does not show what it is the answer to.
    pub unfenced: Vec<AttemptId>,
    /// How soon after the run's success a driver wants to look again, where that is sooner than others did.
    pub requeue_after_ms: Option<u64>,
}

/// A run that cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum RunsError {
    /// The store refuses.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A record cannot be read.
    #[error(transparent)]
    Record(#[from] RecordError),
}

impl RunsError {
    /// Whether the disk has no room.
    pub fn is_full(&self) -> bool {
        matches!(self, RunsError::Store(StoreError::Full { .. }))
    }
}

impl Runs {
    /// The runs of this store.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Runs { store }
    }

    /// The store itself, to sync.
    pub fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// Writes a new run with its snapshots, and in the same commit what is to be true along with it.
    ///
    /// # Errors
    /// The store's; [`StoreError::Conflict`] where a run of that id exists, or something expected along with it is not
    /// as it was.
    pub async fn create(
        &self,
        new: &StoredRun,
        traces: &Traces,
        along: Batch,
    ) -> Result<Revision, RunsError> {
        let (kind, resource) = (&new.record.kind, &new.record.resource);
        let batch = along
            .expect_absent(head_key(new.run.id))
            .put(of_key(kind, resource, new.run.id), Vec::new())
            .put(run_key(new.run.id), encode(&*new.record))
            .put(
                snapshot_key(new.record.pipeline_digest),
                new.pipeline_text.as_bytes(),
            );
        let batch = if new.record.pipeline_digest == new.record.resource_digest {
            batch
        } else {
            batch.put(
                snapshot_key(new.record.resource_digest),
                new.resource.as_bytes(),
            )
        };
        Ok(self
            .store
            .commit(state(batch, None, new, &new.run, traces))
            .await?)
    }

    /// Writes what differs between two states of a run, if its head is still as it was loaded, and in the same commit
    /// what is to be true along with it.
    ///
    /// # Errors
    /// The store's; [`StoreError::Conflict`] where somebody else has moved the run.
    pub async fn save(
        &self,
        before: &StoredRun,
        after: &Run,
        traces: &Traces,
        along: Batch,
    ) -> Result<Revision, RunsError> {
        let batch = along.expect(head_key(after.id), before.head);
        Ok(self
            .store
            .commit(state(batch, Some(&before.run), before, after, traces))
            .await?)
    }

    /// Writes what a run is of once more, where its paths are given anew, if its head is as it was loaded.
    ///
    /// # Errors
    /// The store's; [`StoreError::Conflict`] where somebody else has moved the run.
    pub async fn amend(&self, stored: &StoredRun) -> Result<(), RunsError> {
        let batch = Batch::new()
            .expect(head_key(stored.run.id), stored.head)
            .put(run_key(stored.run.id), encode(&*stored.record));
        self.store.commit(batch).await?;
        Ok(())
    }

    /// A run by its id; `None` where there is none.
    ///
    /// # Errors
    /// The store's, or the name of a record that is missing or cannot be read.
    pub async fn load(&self, id: RunId) -> Result<Option<StoredRun>, RunsError> {
        let Some(record) = self.read::<RunRecord>(&run_key(id)).await? else {
            return Ok(None);
        };
        let record = Arc::new(record.0);
        let (head, head_revision) = self.require::<HeadRecord>(&head_key(id)).await?;
        let pipeline_text = self.snapshot(record.pipeline_digest).await?;
        let pipeline =
            plan::from_snapshot(&pipeline_text).map_err(|source| RecordError::Malformed {
                key: snapshot_key(record.pipeline_digest),
                source,
            })?;
        let resource = self.snapshot(record.resource_digest).await?;
        let plan = plan::of(&pipeline);
        let mut run = Run::new(id, Arc::new(plan), 0, 0);
        run.head = head.head(record.created_ms);
        for (index, step) in self.steps(id).await? {
            if let Some(place) = run.steps.get_mut(index as usize) {
                *place = Arc::new(step);
            }
        }
        let pipeline = Arc::new(pipeline);
        let requeue = self.read::<RequeueRecord>(&requeue_key(id)).await?;
        Ok(Some(StoredRun {
            record,
            pipeline,
            pipeline_text: pipeline_text.into(),
            resource: resource.into(),
            run: Arc::new(run),
            head: head_revision,
            requeue_after_ms: requeue.map(|(requeue, _)| requeue.after_ms),
        }))
    }

    /// What concerns a run as a whole, without the rest of it; `None` where there is no such run.
    ///
    /// # Errors
    /// The store's, or the name of a record that cannot be read.
    pub async fn head(&self, id: RunId) -> Result<Option<Head>, RunsError> {
        let found = self.read::<HeadRecord>(&head_key(id)).await?;
        Ok(found.map(|(head, _)| head.head(0)))
    }

    /// What a run is of, without its state; `None` where there is no such run.
    ///
    /// # Errors
    /// The store's, or the name of a record that cannot be read.
    pub async fn record(&self, id: RunId) -> Result<Option<RunRecord>, RunsError> {
        Ok(self.read(&run_key(id)).await?.map(|(record, _)| record))
    }

    /// Every run that has not ended, oldest first.
    ///
    /// # Errors
    /// The store's, or the name of a record that cannot be read.
    pub async fn open(&self) -> Result<Vec<(RunId, OpenRecord)>, RunsError> {
        let found = self.scan::<OpenRecord>(OPEN).await?;
        let ids = found
            .into_iter()
            .filter_map(|(key, record)| Some((key.strip_prefix(OPEN)?.parse().ok()?, record)));
        Ok(ids.collect())
    }

    /// The resources of which a run is to begin by itself: kind, name, and when.
    ///
    /// # Errors
    /// The store's, or the name of a record that cannot be read.
    pub async fn resyncs(&self) -> Result<Vec<(String, String, ResyncRecord)>, RunsError> {
        let found = self.scan::<ResyncRecord>(RESYNC).await?;
        let resyncs = found.into_iter().filter_map(|(key, record)| {
            let (kind, name) = key.strip_prefix(RESYNC)?.split_once('/')?;
            Some((kind.to_owned(), name.to_owned(), record))
        });
        Ok(resyncs.collect())
    }

    /// When a run of this resource is to begin by itself, and what a write compares to change that.
    ///
    /// # Errors
    /// The store's, or the name of a record that cannot be read.
    pub async fn resync(
        &self,
        kind: &str,
        name: &str,
    ) -> Result<Option<(ResyncRecord, Revision)>, RunsError> {
        self.read(&resync_key(kind, name)).await
    }

    /// The ids of runs, latest first, at most `limit` of them; also of those whose records are damaged.
    ///
    /// # Errors
    /// The store's.
    pub async fn latest(&self, limit: usize) -> Result<Vec<RunId>, RunsError> {
        self.before(None, None, limit).await
    }

    /// The ids of runs, latest first, at most `limit` of them: those older than `before`, of one resource (its kind and
    /// name) or of any; also of those whose records are damaged.
    ///
    /// # Errors
    /// The store's.
    pub async fn before(
        &self,
        before: Option<RunId>,
        resource: Option<(&str, &str)>,
        limit: usize,
    ) -> Result<Vec<RunId>, RunsError> {
        let prefix = match resource {
            None => RUN.to_owned(),
            Some((kind, name)) => of_prefix(kind, name),
        };
        let after = before.map(|id| format!("{prefix}{id}"));
        let found = self
            .store
            .keys(&prefix, after.as_deref(), Order::Descending, limit)
            .await?;
        Ok(found
            .iter()
            .filter_map(|key| key.strip_prefix(&prefix)?.parse().ok())
            .collect())
    }

    /// The ids of runs that begin with these characters, latest first, at most `limit` of them.
    ///
    /// # Errors
    /// The store's.
    pub async fn beginning_with(&self, begin: &str, limit: usize) -> Result<Vec<RunId>, RunsError> {
        let is_id = |part: char| part.is_ascii_hexdigit() || part == '-';
        if begin.is_empty() || !begin.chars().all(is_id) {
            return Ok(Vec::new());
        }
        let prefix = format!("{RUN}{}", begin.to_ascii_lowercase());
        let found = self
            .store
            .keys(&prefix, None, Order::Descending, limit)
            .await?;
        let ids = found
            .iter()
            .filter_map(|key| key.strip_prefix(RUN)?.parse().ok());
        Ok(ids.collect())
    }

    /// What an attempt left, as JSON text.
    ///
    /// # Errors
    /// The store's.
    pub async fn output(
        &self,
        id: RunId,
        step: u32,
        attempt: u32,
    ) -> Result<Option<Arc<str>>, RunsError> {
        let key = output_key(id, step, attempt);
        let Some(record) = self.store.get(&key).await? else {
            return Ok(None);
        };
        Ok(Some(text(record)?.into()))
    }

    /// Everything that happened to a run, oldest first.
    ///
    /// # Errors
    /// The store's, or the name of a record that cannot be read.
    pub async fn events(&self, id: RunId) -> Result<Vec<EventRecord>, RunsError> {
        self.scan(&format!("event/{id}/"))
            .await
            .map(|found| found.into_iter().map(|(_, event)| event).collect())
    }

    /// The answers of native drivers that name a run, or none, and were not taken, in the order in which they came.
    ///
    /// # Errors
    /// The store's, or the name of a record that cannot be read.
    pub async fn ignored(&self, id: Option<RunId>) -> Result<Vec<IgnoredRecord>, RunsError> {
        let found = self.scan(&ignored_prefix(id)).await?;
        Ok(found.into_iter().map(|(_, ignored)| ignored).collect())
    }

    /// What happened to a run after its revision `after`, oldest first, at most `limit` commits, each with the revision
    /// that it led to.
    ///
    /// # Errors
    /// The store's, or the name of a record that cannot be read.
    pub async fn events_after(
        &self,
        id: RunId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<(u64, EventRecord)>, RunsError> {
        let (prefix, after) = (format!("event/{id}/"), event_key(id, after));
        let found = self
            .store
            .scan(&prefix, Some(&after), Order::Ascending, limit)
            .await?;
        let mut events = Vec::with_capacity(found.len());
        for record in found {
            let revision = record.key.strip_prefix(&prefix);
            if let Some(revision) = revision.and_then(|text| text.parse().ok()) {
                events.push((revision, decode(&record.key, &record.value)?));
            }
        }
        Ok(events)
    }

    async fn steps(&self, id: RunId) -> Result<Vec<(u32, Step)>, RunsError> {
        let prefix = format!("step/{id}/");
        let found = self.scan::<StepRecord>(&prefix).await?;
        let steps = found.into_iter().filter_map(|(key, step)| {
            Some((key.strip_prefix(&prefix)?.parse().ok()?, step.into()))
        });
        Ok(steps.collect())
    }

    async fn snapshot(&self, digest: Digest) -> Result<String, RunsError> {
        let key = snapshot_key(digest);
        match self.store.get(&key).await? {
            Some(record) => text(record),
            None => Err(RecordError::Missing(key).into()),
        }
    }

    async fn read<T: DeserializeOwned>(
        &self,
        key: &str,
    ) -> Result<Option<(T, Revision)>, RunsError> {
        match self.store.get(key).await? {
            Some(record) => Ok(Some((decode(key, &record.value)?, record.revision))),
            None => Ok(None),
        }
    }

    async fn require<T: DeserializeOwned>(&self, key: &str) -> Result<(T, Revision), RunsError> {
        let found = self.read(key).await?;
        Ok(found.ok_or_else(|| RecordError::Missing(key.to_owned()))?)
    }

    async fn scan<T: DeserializeOwned>(&self, prefix: &str) -> Result<Vec<(String, T)>, RunsError> {
        let mut all: Vec<(String, T)> = Vec::new();
        loop {
            let after = all.last().map(|(key, _)| key.clone());
            let page = self
                .store
                .scan(prefix, after.as_deref(), Order::Ascending, PAGE)
                .await?;
            let last = page.len() < PAGE;
            for record in page {
                let decoded = decode(&record.key, &record.value)?;
                all.push((record.key, decoded));
            }
            if last {
                return Ok(all);
            }
        }
    }
}

/// Adds to a batch what differs between two states of a run, and what the change leaves.
fn state(
    mut batch: Batch,
    before: Option<&Run>,
    stored: &StoredRun,
    after: &Run,
    traces: &Traces,
) -> Batch {
    let id = after.id;
    batch = batch.put(head_key(id), encode(HeadRecord::from(&after.head)));
    batch = opened_or_ended(batch, before, stored, after, traces);
    if let Some(after_ms) = traces.requeue_after_ms {
        batch = batch.put(requeue_key(id), encode(RequeueRecord { after_ms }));
    }
    for (index, step) in (0_u32..).zip(&after.steps) {
        let old = before.and_then(|run| run.steps.get(index as usize));
        let same = match old {
            Some(old) => Arc::ptr_eq(old, step),
            None => step.attempts == 0 && step.state == StepState::Pending,
        };
        if !same {
            batch = batch.put(step_key(id, index), encode(StepRecord::from(&**step)));
        }
    }
    for (step, attempt, output) in &traces.outputs {
        batch = batch.put(output_key(id, *step, *attempt), output.as_bytes());
    }
    if !traces.events.is_empty() {
        let record = EventRecord {
            at_ms: after.head.updated_ms,
            events: traces.events.clone(),
            ledgers: traces.ledgers.clone(),
            unfenced: traces.unfenced.clone(),
        };
        batch = batch.put(event_key(id, after.head.revision), encode(record));
    }
    batch
}

/// Adds what a run's begin and its end mean to those who look for open runs and for resources to look at again. The
/// latest success of a resource decides whether and when that is.
fn opened_or_ended(
    batch: Batch,
    before: Option<&Run>,
    stored: &StoredRun,
    after: &Run,
    traces: &Traces,
) -> Batch {
    let (id, kind, resource) = (after.id, &stored.record.kind, &stored.record.resource);
    let was_open = before.is_some_and(|run| !run.is_ended());
    let Phase::Ended { end, .. } = &after.head.phase else {
        let record = || OpenRecord {
            kind: kind.clone(),
            resource: resource.clone(),
        };
        return match was_open {
            true => batch,
            false => batch.put(open_key(id), encode(record())),
        };
    };
    let batch = match was_open {
        true => batch.delete(open_key(id)),
        false => batch,
    };
    let batch = answered::answered(batch, kind, resource, after);
    let asked = [stored.requeue_after_ms, traces.requeue_after_ms];
    match resync_ms(after, asked.into_iter().flatten().min()) {
        Some(at_ms) => batch.put(
            resync_key(kind, resource),
            encode(ResyncRecord {
                at_ms,
                run: id,
                trouble: None,
            }),
        ),
        None if *end == End::Succeeded => batch.delete(resync_key(kind, resource)),
        None => batch,
    }
}

/// The soonest that a driver may look again: one that says less would fill the history with its runs alone.
const REQUEUE_MS_MIN: u64 = 1_000;

/// When a run of the same resource is to begin by itself: that long after this one's success.
pub fn resync_ms(run: &Run, requeue_after_ms: Option<u64>) -> Option<u64> {
    match run.head.phase {
        Phase::Ended {
            at_ms,
            end: End::Succeeded,
        } => Some(at_ms.saturating_add(requeue_after_ms?.max(REQUEUE_MS_MIN))),
        Phase::Ended { .. } | Phase::Running { .. } | Phase::Cancelling { .. } => None,
    }
}

fn text(record: Record) -> Result<String, RunsError> {
    let Record { key, value, .. } = record;
    String::from_utf8(value).map_err(|_| {
        let source = serde::de::Error::custom("it is not UTF-8");
        RecordError::Malformed { key, source }.into()
    })
}

/// The keys of snapshots, each with its digest's digits behind it.
pub const SNAPSHOT: &str = "snapshot/";
const RUN: &str = "run/";
const OPEN: &str = "open/";
const RESYNC: &str = "resync/";

fn run_key(id: RunId) -> String {
    format!("{RUN}{id}")
}

fn open_key(id: RunId) -> String {
    format!("{OPEN}{id}")
}

fn of_prefix(kind: &str, resource: &str) -> String {
    format!("of/{kind}/{resource}/")
}

fn of_key(kind: &str, resource: &str, id: RunId) -> String {
    format!("{}{id}", of_prefix(kind, resource))
}

/// When a run of a resource is to begin by itself.
pub fn resync_key(kind: &str, resource: &str) -> String {
    format!("{RESYNC}{kind}/{resource}")
}

fn requeue_key(id: RunId) -> String {
    format!("requeue/{id}")
}

fn head_key(id: RunId) -> String {
    format!("head/{id}")
}

fn step_key(id: RunId, step: u32) -> String {
    format!("step/{id}/{step:04}")
}

fn output_key(id: RunId, step: u32, attempt: u32) -> String {
    format!("output/{id}/{step:04}/{attempt:06}")
}

fn event_key(id: RunId, revision: u64) -> String {
    format!("event/{id}/{revision:012}")
}

/// Before what is ignored of a run, or names none.
pub(crate) fn ignored_prefix(id: Option<RunId>) -> String {
    match id {
        Some(id) => format!("ignored/{id}/"),
        None => "ignored/none/".to_owned(),
    }
}

fn snapshot_key(digest: Digest) -> String {
    format!("{SNAPSHOT}{}", digest.hex())
}
