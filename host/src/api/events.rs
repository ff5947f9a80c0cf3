//! What happens to a run, live: what is durable for everybody, and what is not yet for terminals.
//!
//! Whoever watches reads the store and the log at his own pace, and is told when there is more: a slow one costs the run
//! nothing, and after a restart he goes on where he was.

#[cfg(test)]
mod tests;

use super::body::{InPath, InQuery};
use super::watched::Watched;
use super::{Problem, Shared};
use crate::logs::{self, LogLine};
use crate::owner::OwnerError;
use crate::records::EventRecord;
use crate::view::{self, EventView};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use beltline_engine::{Event as RunEvent, Plan, RunId};
use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt};
use serde::Deserialize;
use std::collections::{HashSet, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use utoipa::IntoParams;

/// Events that are read at once.
const PAGE: usize = 100;

/// How often a silent stream says that it is alive.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Bytes of a log that are read at once.
const LOG_BYTES: u64 = 256 << 10;

pub(super) type Frames = BoxStream<'static, Result<Event, Infallible>>;

/// A stream of events, with a sign of life now and then.
pub(super) fn sse(frames: Frames) -> Response {
    alive(frames, HEARTBEAT)
}

fn alive(frames: Frames, heartbeat: Duration) -> Response {
    let alive = KeepAlive::new().interval(heartbeat).text("heartbeat");
    Sse::new(frames).keep_alive(alive).into_response()
}

/// Where a stream begins.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct AfterQuery {
    /// Only what comes after this id; the header `Last-Event-ID` says the same.
    pub after: Option<String>,
}

/// The id after which a stream begins.
pub(super) fn after(headers: &HeaderMap, query: &AfterQuery) -> Option<String> {
    let header = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    let id = header.or(query.after.as_deref())?;
    Some(id.to_owned()).filter(|id| !id.is_empty())
}

/// What has happened to a run and what does, as server-sent events
///
/// Each has an id; what comes after the last one that was seen comes once, also after a restart of the host. Ends with
/// the run; 204 where it has ended and nothing is left to tell.
#[utoipa::path(get, path = "/runs/{run}/events", tag = "runs", params(AfterQuery,
    ("run" = String, Path, description = "its id, the begin of one, or `latest`", example = "latest")),
    responses((status = 200, description = "events", content_type = "text/event-stream", body = EventView),
        (status = 204, description = "nothing is left to tell"), Problem))]
pub(super) async fn events(
    State(owner): State<Shared>,
    InPath(named): InPath<String>,
    InQuery(query): InQuery<AfterQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let id = owner.pick(&named).await?;
    let begin = match after(&headers, &query) {
        None => (0, usize::MAX),
        Some(text) => place(&text)
            .ok_or_else(|| Problem::invalid(format!("`{text}` is no id of an event")))?,
    };
    let mut told = Told::new(&owner, id).await?;
    let has_ended = told.watched.marks().await?.has_ended;
    let reader = Durable {
        told,
        at: begin,
        waiting: VecDeque::new(),
    };
    let mut frames = Box::pin(reader.stream());
    // Whoever has seen all so far is answered now, and told later.
    if !has_ended {
        return Ok(sse(frames));
    }
    match frames.next().await {
        None => Ok(StatusCode::NO_CONTENT.into_response()),
        Some(first) => Ok(sse(stream::iter([first]).chain(frames).boxed())),
    }
}

/// `revision.place`
fn place(id: &str) -> Option<(u64, usize)> {
    let (revision, place) = id.split_once('.')?;
    Some((revision.parse().ok()?, place.parse().ok()?))
}

/// A run whose events are read.
struct Told {
    watched: Watched,
    plan: Arc<Plan>,
}

impl Told {
    async fn new(owner: &Shared, id: RunId) -> Result<Self, Problem> {
        // Watched first: what happens while it is loaded is not missed.
        let watched = Watched::new(owner, id);
        let plan = Arc::clone(&owner.stored(id).await?.run.plan);
        Ok(Told { watched, plan })
    }

    async fn events(&self, after: u64) -> Result<Vec<(u64, EventRecord)>, OwnerError> {
        let runs = self.watched.owner.runs();
        Ok(runs.events_after(self.watched.id, after, PAGE).await?)
    }
}

/// Reads what is durable.
struct Durable {
    told: Told,
    /// The last event that was told: a revision, and its place there.
    at: (u64, usize),
    waiting: VecDeque<EventView>,
}

impl Durable {
    fn stream(self) -> impl Stream<Item = Result<Event, Infallible>> {
        stream::unfold(self, |mut reader| async move {
            let event = reader.next().await?;
            Some((Ok(frame(&event)), reader))
        })
    }

    async fn next(&mut self) -> Option<EventView> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Some(event);
            }
            let marks = self.told.watched.marks().await.ok()?;
            // The revision of the last one again, for what came after it there.
            let (from, _) = self.at;
            let records = self.told.events(from.saturating_sub(1)).await.ok()?;
            let plan = &self.told.plan;
            for (revision, record) in records {
                if revision > marks.durable {
                    break;
                }
                for (nth, event) in view::events(plan, revision, &record)
                    .into_iter()
                    .enumerate()
                {
                    if (revision, nth) > self.at {
                        self.waiting.push_back(event);
                    }
                }
                let last = record.events.len().saturating_sub(1);
                self.at = self.at.max((revision, last));
            }
            if self.waiting.is_empty()
                && (marks.has_ended || marks.has_failed || !self.told.watched.changed().await)
            {
                return None;
            }
        }
    }
}

fn frame(event: &EventView) -> Event {
    let data = serde_json::to_string(event).unwrap_or_default();
    Event::default()
        .id(&event.id)
        .event(&event.event)
        .data(data)
}

/// How a run goes, for a terminal: events and log lines in one order, as server-sent events
///
/// Provisional: what is told here may be gone after a power cut.
#[utoipa::path(get, path = "/runs/{run}/progress", tag = "runs",
    params(("run" = String, Path, description = "its id, the begin of one, or `latest`", example = "latest")),
    responses((status = 200, description = "events named `event` (an EventView) and `log` (a LogLine)", content_type = "text/event-stream", body = String), Problem))]
pub(super) async fn progress(
    State(owner): State<Shared>,
    InPath(named): InPath<String>,
) -> Result<Response, Problem> {
    let id = owner.pick(&named).await?;
    let reader = Provisional {
        told: Told::new(&owner, id).await?,
        revision: 0,
        log_place: 0,
        lines: VecDeque::new(),
        begun: HashSet::new(),
        is_told: false,
        waiting: VecDeque::new(),
    };
    let frames = stream::unfold(reader, |mut reader| async move {
        let frame = reader.next().await?;
        Some((Ok(frame), reader))
    });
    Ok(sse(frames.boxed()))
}

/// Reads what is written and what is said, in the order in which it came about: the lines of an attempt stand between
/// its start and its end.
struct Provisional {
    told: Told,
    revision: u64,
    log_place: u64,
    /// Read and not yet told: their attempt has not been told to have begun.
    lines: VecDeque<(u64, LogLine)>,
    /// Attempts that have been told to have begun: their step's id and their number.
    begun: HashSet<(String, u32)>,
    /// Whether a fault has been told.
    is_told: bool,
    waiting: VecDeque<Event>,
}

impl Provisional {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(frame) = self.waiting.pop_front() {
                return Some(frame);
            }
            let marks = self.told.watched.marks().await.ok()?;
            let records = self.told.events(self.revision).await.ok()?;
            let records: Vec<_> = records
                .into_iter()
                .take_while(|(revision, _)| *revision <= marks.written)
                .collect();
            self.read_lines();
            for (revision, record) in records {
                self.tell(revision, &record);
                self.revision = revision;
            }
            let is_over = marks.has_failed || marks.has_ended && self.revision >= marks.durable;
            let begun = std::mem::take(&mut self.begun);
            self.tell_lines(|line| is_over || begun.contains(&(line.step.clone(), line.attempt)));
            self.begun = begun;
            if self.waiting.is_empty() && marks.has_failed && !self.is_told {
                self.is_told = true;
                let why = self.told.watched.feed.fault();
                return Some(Event::default().event("fault").data(why));
            }
            if self.waiting.is_empty() && (is_over || !self.told.watched.changed().await) {
                return None;
            }
        }
    }

    fn read_lines(&mut self) {
        let (folder, id) = (self.told.watched.owner.state().logs(), self.told.watched.id);
        loop {
            let read = logs::read_from(&folder, id, self.log_place, LOG_BYTES);
            let read = read.unwrap_or_default();
            let Some((after, _)) = read.last() else {
                return;
            };
            self.log_place = *after;
            self.lines.extend(read);
        }
    }

    fn tell(&mut self, revision: u64, record: &EventRecord) {
        let plan = Arc::clone(&self.told.plan);
        let views = view::events(&plan, revision, record);
        for (event, view) in record.events.iter().zip(views) {
            if let RunEvent::AttemptEnded { step, attempt, .. } = event {
                let id = plan.steps.get(*step as usize).map(|step| step.id.clone());
                let ended = (id.unwrap_or_default(), *attempt);
                self.tell_lines(|line| (&line.step, line.attempt) == (&ended.0, ended.1));
                self.begun.remove(&ended);
            }
            if let (RunEvent::AttemptStarted { attempt, .. }, Some(step)) = (event, &view.step) {
                self.begun.insert((step.clone(), *attempt));
            }
            let data = serde_json::to_string(&view).unwrap_or_default();
            let frame = Event::default().id(&view.id).event("event");
            self.waiting.push_back(frame.data(data));
        }
    }

    fn tell_lines(&mut self, which: impl Fn(&LogLine) -> bool) {
        let lines = std::mem::take(&mut self.lines);
        let lines = lines.into_iter();
        let (told, kept): (VecDeque<_>, VecDeque<_>) = lines.partition(|(_, line)| which(line));
        self.lines = kept;
        self.waiting.extend(told.iter().map(|(place, line)| {
            let data = serde_json::to_string(line).unwrap_or_default();
            Event::default()
                .id(place.to_string())
                .event("log")
                .data(data)
        }));
    }
}
