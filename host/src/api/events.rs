//! What happens to a run, live, once it is durable.
//!
//! Whoever watches reads the store and the log at his own pace, and is told when there is more: a slow one costs the run
//! nothing, and after a restart he goes on where he was.

#[cfg(test)]
mod tests;

use super::body::{InPath, InQuery};
use super::watched::Watched;
use super::{Problem, Shared};
use crate::owner::OwnerError;
use crate::records::EventRecord;
use crate::view::{self, EventView};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use beltline_engine::{Plan, RunId};
use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use utoipa::IntoParams;

/// Events that are read at once.
const PAGE: usize = 100;

/// How often a silent stream says that it is alive.
const HEARTBEAT: Duration = Duration::from_secs(15);

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
pub(super) struct Told {
    pub(super) watched: Watched,
    pub(super) plan: Arc<Plan>,
}

impl Told {
    pub(super) async fn new(owner: &Shared, id: RunId) -> Result<Self, Problem> {
        // Watched first: what happens while it is loaded is not missed.
        let watched = Watched::new(owner, id);
        let plan = Arc::clone(&owner.stored(id).await?.run.plan);
        Ok(Told { watched, plan })
    }

    pub(super) async fn events(&self, after: u64) -> Result<Vec<(u64, EventRecord)>, OwnerError> {
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
    Event::default()
        .id(&event.id)
        .event(&event.event)
        .data(json(event))
}

/// What is told, as JSON text.
pub(super) fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("what is told has string keys")
}
