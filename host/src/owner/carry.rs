//! Runs on their way: begun, driven on threads of their own, left.
//!
//! A run that has folders gets a thread to itself, for its file calls block; the others share a few.

use super::carried::{Place, Refused, Turn};
use super::feed::{FollowedLog, HeldFeed};
use super::metrics::Counted;
use super::timers::Due;
use super::{Owner, OwnerError};
use crate::clock;
use crate::launch::Launch;
use crate::logs::RunLog;
use crate::runner::{Answered, Ask, Left, Reply, Runner, RunnerError, StepDriver};
use crate::runs::{StoredRun, Traces};
use crate::store::Batch;
use crate::text;
use beltline_engine::{Input, RunId, events};
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use tokio::runtime::Builder;
use tokio::sync::{mpsc, oneshot};

/// After so long a run that could not be moved on is tried again; twice as long each further time.
const PAUSE: Duration = Duration::from_secs(1);

/// The longest pause: 2^6 times the first.
const PAUSES_DOUBLED_MAX: u32 = 6;

/// How long a runner that has dropped a question may take to leave its run.
const LEAVE_TIME_MAX: Duration = Duration::from_secs(1);

/// How often a request is routed anew because the run came to rest in between.
const ASKS_MAX: usize = 8;

impl Owner {
    /// Carries a new run: writes it, with `along` in the same commit, and has it begin when it is its turn. It is
    /// durable when this returns.
    ///
    /// # Errors
    /// [`OwnerError::Full`], [`OwnerError::Closed`], or the store's.
    pub(super) async fn carry(
        self: &Arc<Self>,
        launch: Launch,
        along: Batch,
    ) -> Result<(), OwnerError> {
        let id = launch.stored.run.id;
        let (inbox, asks) = mpsc::unbounded_channel();
        let resource = line_of(&launch.stored.record.kind, &launch.stored.record.resource);
        let (slots, open_max) = (self.settings.slots, self.open_max());
        let turn = self
            .carried
            .lock()
            .take(id, &resource, inbox, slots, open_max)
            .map_err(|refused| self.refusal(id, refused))?;
        match turn {
            Turn::Now => self.begin(launch, along, asks).await,
            Turn::Later => match self.write(&launch.stored, along).await {
                Ok(()) if launch.stored.run.is_ended() => {
                    self.carried.lock().ended(id);
                    self.feed(id).begin(&launch.stored.run);
                    Ok(())
                }
                Ok(()) => {
                    self.carried.lock().made(id, true);
                    self.fill();
                    Ok(())
                }
                Err(error) => {
                    self.carried.lock().ended(id);
                    Err(error)
                }
            },
        }
    }

    /// Puts a run into the books that is stored, or about to be: it is carried, however many there are.
    pub(super) fn hold(&self, id: RunId, resource: &str) -> Result<(), OwnerError> {
        let (inbox, _) = mpsc::unbounded_channel();
        let taken = self.carried.lock().take(id, resource, inbox, 0, usize::MAX);
        taken.map(drop).map_err(|refused| self.refusal(id, refused))
    }

    /// Waits until a run is not in the books.
    pub(super) async fn until_left(&self, id: RunId) {
        self.until(|owner| !owner.is_carried(id)).await;
    }

    fn refusal(&self, id: RunId, refused: Refused) -> OwnerError {
        match refused {
            Refused::Full => OwnerError::Full {
                open: self.open_max(),
            },
            Refused::Closed => OwnerError::Closed,
            Refused::Known => OwnerError::Conflict(format!("run {id} has not ended")),
        }
    }

    /// Writes a new run that begins later.
    async fn write(&self, stored: &StoredRun, along: Batch) -> Result<(), OwnerError> {
        let traces = Traces {
            events: events(None, &stored.run),
            ..Traces::default()
        };
        let revision = self.runs.create(stored, &traces, along).await?;
        self.metrics.events(&stored.run, &traces.events);
        self.runs.store().sync(revision).await?;
        Ok(())
    }

    /// Writes a new run, its first step started with it, and drives it.
    async fn begin(
        self: &Arc<Self>,
        launch: Launch,
        along: Batch,
        asks: mpsc::UnboundedReceiver<Ask>,
    ) -> Result<(), OwnerError> {
        let id = launch.stored.run.id;
        let mut underway = UnderWay::new(Arc::clone(self), id, true);
        let mut marks = underway.feed.subscribe();
        let (failed, failure) = oneshot::channel();
        let has_folders = has_folders(&launch);
        let runner = self.runner(launch, asks, &underway.feed);
        let drive = async move {
            match runner.create(along).await {
                Ok(left) => underway.left(left),
                Err(error) => underway.failed_to_begin(error, failed),
            }
        };
        self.spawn(has_folders, drive)?;
        tokio::select! {
            biased;
            Ok(error) = failure => Err(error.into()),
            durable = marks.wait_for(|marks| marks.durable > 0) => match durable {
                Ok(_) => Ok(()),
                Err(_) => Err(OwnerError::Panicked),
            },
        }
    }

    /// Begins those whose turn it is, as far as there are slots.
    pub(super) fn fill(self: &Arc<Self>) {
        loop {
            let (inbox, asks) = mpsc::unbounded_channel();
            let next = self.carried.lock().next(self.settings.slots, || inbox);
            let Some(id) = next else { return };
            self.resume_on_thread(id, asks);
        }
    }

    /// Drives a run that is under way by the book and in the store.
    fn resume_on_thread(self: &Arc<Self>, id: RunId, mut asks: mpsc::UnboundedReceiver<Ask>) {
        let owner = Arc::clone(self);
        self.runtime.spawn(async move {
            let mut underway = UnderWay::new(Arc::clone(&owner), id, false);
            let (launch, inputs) = match owner.reopened(id).await {
                Ok(Some(reopened)) => reopened,
                Ok(None) => return underway.gone(),
                Err(error) => {
                    return match owner.cancel_unopened(id, &mut asks).await {
                        Ok(true) => underway.gone(),
                        Ok(false) | Err(_) => underway.failed(error),
                    };
                }
            };
            underway.feed.begin(&launch.stored.run);
            let has_folders = has_folders(&launch);
            let runner = owner.runner(launch, asks, &underway.feed);
            let drive = async move {
                match runner.drive(inputs).await {
                    Ok(left) => underway.left(left),
                    Err(error) => underway.failed(error.into()),
                }
            };
            // Where there is no thread to be had, what was to be driven is dropped, and the run rests.
            let _ = owner.spawn(has_folders, drive);
        });
    }

    /// Of a run that cannot be opened, does what takes no drivers, which may be gone by now: it is cancelled, where somebody asks
    /// for that. Says whether it has ended.
    async fn cancel_unopened(
        &self,
        id: RunId,
        asks: &mut mpsc::UnboundedReceiver<Ask>,
    ) -> Result<bool, OwnerError> {
        let mut has_ended = false;
        while let Ok(ask) = asks.try_recv() {
            if let Ask::Fold(input @ Input::Cancel { .. }, reply) = ask {
                let stored = self.stored(id).await?;
                let moved = self.fold_unopened(&stored, &input).await?;
                has_ended = moved.run.is_ended();
                reply(moved.head != stored.head);
            }
        }
        Ok(has_ended)
    }

    fn runner(
        self: &Arc<Self>,
        launch: Launch,
        asks: mpsc::UnboundedReceiver<Ask>,
        feed: &HeldFeed,
    ) -> Runner {
        let log = FollowedLog {
            log: RunLog::of(&self.state.logs(), launch.stored.run.id),
            feed: feed.shared(),
        };
        let Launch { stored, drivers } = launch;
        let observer = Arc::new(Counted::new(self, feed.shared(), &drivers));
        let (runs, log) = (self.runs.clone(), Arc::new(log));
        Runner::new(runs, stored, drivers, log, asks, observer)
            .waiting_for_room(self.settings.stays)
    }

    fn spawn(
        &self,
        has_folders: bool,
        drive: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), OwnerError> {
        if !has_folders {
            self.runtime.spawn(drive);
            return Ok(());
        }
        let on_thread = move || {
            let runtime = Builder::new_current_thread().enable_all().build();
            if let Ok(runtime) = runtime {
                runtime.block_on(drive);
            }
        };
        let spawned = thread::Builder::new().name("run".into()).spawn(on_thread);
        spawned.map(drop).map_err(|source| OwnerError::Io {
            doing: "start a thread for the run".to_owned(),
            source,
        })
    }

    /// Has a run fold an input. What became of it is durable when this returns: whether anything did.
    ///
    /// # Errors
    /// Where there is no such run, or it cannot be moved.
    pub async fn ask(self: &Arc<Self>, id: RunId, input: Input) -> Result<bool, OwnerError> {
        self.ask_so(id, |reply| Ask::Fold(input.clone(), reply))
            .await
    }

    /// Has a run fold the answer to an attempt that was handed over. What became of it is durable when this returns:
    /// whether it counts.
    pub(crate) async fn answered(
        self: &Arc<Self>,
        id: RunId,
        answered: Answered,
    ) -> Result<bool, OwnerError> {
        let answered = Box::new(answered);
        self.ask_so(id, |reply| Ask::Answer(answered.clone(), reply))
            .await
    }

    /// Hands a run the answer to an attempt, where it is under way; else the reply is dropped.
    pub(crate) fn hand_in(&self, id: RunId, answered: Answered, reply: Reply) {
        let inbox = self.carried.lock().inbox(id);
        if let Some(inbox) = inbox {
            let _ = inbox.send(Ask::Answer(Box::new(answered), reply));
        }
    }

    /// Has an attempt handed over once more, when it is the run's turn.
    pub(crate) fn again(self: &Arc<Self>, id: RunId, step: u32, attempt: u32) {
        let inbox = self.carried.lock().inbox_or_wake(id);
        match inbox {
            Some(inbox) => _ = inbox.send(Ask::Again { step, attempt }),
            None => self.fill(),
        }
    }

    async fn ask_so(
        self: &Arc<Self>,
        id: RunId,
        ask: impl Fn(Reply) -> Ask,
    ) -> Result<bool, OwnerError> {
        for _ in 0..ASKS_MAX {
            let mut changes = self.changes.subscribe();
            let (told, answer) = oneshot::channel();
            let (inbox, asks) = mpsc::unbounded_channel();
            // Whoever asked may have gone.
            let ask = ask(Box::new(move |has_changed| _ = told.send(has_changed)));
            let place = self.carried.lock().place(id, &inbox);
            match place {
                Place::UnderWay(inbox) => _ = inbox.send(ask),
                Place::Promoted => {
                    let _ = inbox.send(ask);
                    self.resume_on_thread(id, asks);
                }
                Place::Unknown => match self.runs.head(id).await? {
                    None => return Err(OwnerError::NoRun(id)),
                    Some(head) if head.is_ended() => return Ok(false),
                    Some(_) => {
                        self.adopt(id).await?;
                        continue;
                    }
                },
            }
            // One that left in the moment of asking has dropped the question: then it is asked where it stands now.
            if let Ok(has_changed) = answer.await {
                return Ok(has_changed);
            }
            let _ = tokio::time::timeout(LEAVE_TIME_MAX, changes.changed()).await;
        }
        Err(OwnerError::Contended)
    }

    /// Takes no more runs and begins none; those under way are left at the end of their attempts.
    pub fn close(&self) {
        for inbox in self.carried.lock().close() {
            let _ = inbox.send(Ask::Leave);
        }
    }

    /// How many runs may be there that have not ended.
    fn open_max(&self) -> usize {
        let queue = self.registry.served().config().queue;
        let queue = queue.and_then(|queue| usize::try_from(queue).ok());
        queue.unwrap_or(self.settings.open_max)
    }

    /// Waits until nothing is carried any more, and takes nothing from then on.
    pub async fn until_idle(&self) {
        self.until(|owner| owner.carried.lock().close_if_idle())
            .await;
    }

    /// Waits until nothing is under way.
    pub async fn until_quiet(&self) {
        self.until(|owner| owner.under_way() == 0).await;
    }

    /// Waits until that is so, and looks whenever a run is no longer under way.
    async fn until(&self, is_so: impl Fn(&Owner) -> bool) {
        let mut changes = self.changes.subscribe();
        // It fails only where nobody tells of changes any more.
        while !is_so(self) && changes.changed().await.is_ok() {}
    }

    /// Whether runs wait for a slot.
    pub(super) fn is_crowded(&self) -> bool {
        self.carried.lock().is_crowded()
    }

    /// How many runs are under way.
    pub fn under_way(&self) -> usize {
        self.carried.lock().under_way()
    }

    /// How many runs are carried: under way, or waiting for something.
    pub fn carries(&self) -> usize {
        self.carries_beside(None)
    }

    /// How many runs are carried beside this one.
    pub fn carries_beside(&self, own: Option<RunId>) -> usize {
        let carried = self.carried.lock();
        let is_carried = own.is_some_and(|own| carried.is_carried(own));
        carried.len() - usize::from(is_carried)
    }

    /// Whether this run is among them.
    pub fn is_carried(&self, id: RunId) -> bool {
        self.carried.lock().is_carried(id)
    }

    pub(super) fn is_due(self: &Arc<Self>, due: Due) {
        match due {
            Due::Run(id) => {
                self.carried.lock().wakes(id);
                self.fill();
            }
            Due::Resync(kind, name) => self.resync(kind, name),
        }
    }
}

/// The line in which the runs of this resource wait.
pub(super) fn line_of(kind: &str, resource: &str) -> String {
    format!("{kind}/{resource}")
}

fn has_folders(launch: &Launch) -> bool {
    let has_folders = |one: &StepDriver| !one.folders.is_empty() || one.out.is_some();
    launch.drivers.iter().any(has_folders)
}

/// A run that is being driven. However that ends, also by a panic, it is no longer under way after.
struct UnderWay {
    owner: Arc<Owner>,
    id: RunId,
    feed: HeldFeed,
    /// Whether it is still to be written.
    is_new: bool,
    has_left: bool,
}

impl UnderWay {
    fn new(owner: Arc<Owner>, id: RunId, is_new: bool) -> Self {
        UnderWay {
            feed: owner.feed(id),
            owner,
            id,
            is_new,
            has_left: false,
        }
    }

    fn left(&mut self, left: Left) {
        self.has_left = true;
        match left {
            Left::Ended { resync_ms, .. } => self.ended(resync_ms),
            Left::Resting { until_ms } => {
                self.owner.carried.lock().rests(self.id, false);
                self.owner.timers.set(until_ms, Due::Run(self.id));
            }
            Left::Asked => _ = self.owner.carried.lock().ended(self.id),
        }
    }

    fn ended(&self, resync_ms: Option<u64>) {
        // What is still out, of a run that was ended while it was at rest.
        if let Some(bridge) = self.owner.bridge().filter(|bridge| bridge.has_out(self.id)) {
            bridge.let_go(self.id);
        }
        let resource = self.owner.carried.lock().ended(self.id);
        if let (Some(at_ms), Some((kind, name))) = (
            resync_ms,
            resource.as_deref().and_then(|line| line.split_once('/')),
        ) {
            let due = Due::Resync(kind.to_owned(), name.to_owned());
            self.owner.timers.set(at_ms, due);
        }
    }

    /// It is not there any more, or had ended.
    fn gone(&mut self) {
        self.has_left = true;
        self.owner.carried.lock().ended(self.id);
    }

    /// A new run of which nothing is durable is nobody's; one that is goes on later.
    fn failed_to_begin(&mut self, error: RunnerError, tell: oneshot::Sender<RunnerError>) {
        if self.is_stored() {
            return self.failed(error.into());
        }
        self.gone();
        let _ = tell.send(error);
    }

    fn is_stored(&self) -> bool {
        !self.is_new || self.feed.subscribe().borrow().durable > 0
    }

    /// It is as the store has it; it is tried again later.
    fn failed(&mut self, error: OwnerError) {
        self.has_left = true;
        self.owner.trouble(self.id, &error);
        if !self.owner.settings.stays {
            // Whoever waits for it is told, and decides.
            self.owner.carried.lock().ended(self.id);
            self.feed.fail(text::chain(&error));
            return;
        }
        let failures = self.owner.carried.lock().rests(self.id, true);
        let doubled = failures.saturating_sub(1).min(PAUSES_DOUBLED_MAX);
        let pause = PAUSE * 2_u32.pow(doubled);
        let at_ms = clock::now_ms() + clock::millis(pause);
        self.owner.timers.set(at_ms, Due::Run(self.id));
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        match (self.has_left, self.is_stored()) {
            (true, _) => {}
            (false, true) => self.failed(OwnerError::Panicked),
            (false, false) => self.gone(),
        }
        self.owner.changes.send_replace(());
        self.owner.fill();
    }
}
