//! What drivers said: stored and live in one order, in our words for a run and in Conveyor's where it has routes.

mod array;

use super::body::{InPath, InQuery, Json};
use super::events::{AfterQuery, Frames, after, json, sse};
use super::idempotency::{Kept, Key, Keyed, once};
use super::watched::Watched;
use super::{Problem, Shared};
use crate::clock;
use crate::logs::{self, LogLine, Page, RunLog};
use crate::owner::{OwnerError, blocking};
use crate::runs::StoredRun;
use crate::said::{self, LINE_BYTES_MAX, RUN_LOG_BYTES_MAX};
use array::{Items, array};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::sse::Event;
use axum::response::{IntoResponse, Response};
use beltline_engine::RunId;
use beltline_wire::DriverLog;
use futures::StreamExt;
use futures::stream;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

/// The latest runs whose logs one request looks at.
const RUNS_MAX: usize = 100;

/// Bytes of logs that one request reads. Each client that asks has us hold it in memory, as lines and as JSON.
const LOG_BYTES_MAX: u64 = 16 << 20;

/// Lines of one answer.
const LINES_MAX: usize = 10_000;

/// A line as Conveyor has it.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct ConveyorLog {
    /// The run.
    pub runid: String,
    /// The driver.
    #[serde(default)]
    pub driver: String,
    /// The pipeline.
    #[serde(default)]
    pub pipeline: String,
    /// Seconds since the Unix epoch. One that is sent is the line's where it lies between the run's begin and now, else the
    /// line is of now.
    #[serde(default)]
    pub timestamp: String,
    /// The text.
    pub message: String,
}

/// Which lines.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct LogsQuery {
    /// Of runs of this pipeline.
    pub pipeline: Option<String>,
    /// Of this driver.
    pub driver: Option<String>,
    /// Of this run.
    pub runid: Option<String>,
}

/// Which of a run's lines.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct RunLogsQuery {
    /// Of this step.
    pub step: Option<String>,
}

/// What a run's drivers said and say
///
/// JSON; with `accept: text/event-stream` the stored lines and those to come, each with an id, until the run has
/// ended, or at once where it was cut off and nobody carries it.
#[utoipa::path(get, path = "/runs/{run}/logs", tag = "runs", params(RunLogsQuery, AfterQuery,
    ("run" = String, Path, description = "its id, the begin of one, or `latest`", example = "latest")),
    responses((status = 200, description = "lines, oldest first", body = Vec<LogLine>), Problem))]
pub(super) async fn of_run(
    State(owner): State<Shared>,
    InPath(named): InPath<String>,
    InQuery(query): InQuery<RunLogsQuery>,
    InQuery(begin): InQuery<AfterQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let stored = owner.picked(&named).await?;
    if let Some(step) = &query.step {
        check_step(&stored, step)?;
    }
    let fits = move |line: &LogLine| query.step.as_ref().is_none_or(|step| line.step == *step);
    if wants_stream(&headers) {
        let place = after(&headers, &begin).map(|text| text.parse()).transpose();
        let place = place.map_err(|_| Problem::invalid("the id is none of a line"))?;
        let frame =
            |place: u64, line: &LogLine| Event::default().id(place.to_string()).data(json(line));
        let follow = Followed::new(&owner, stored.run.id, place.unwrap_or(0));
        return Ok(sse(follow.frames(fits, frame)));
    }
    let pages = logs::pages(owner.state().logs(), stored.run.id, 0);
    array(pages.map(move |page| items(page, |line| fits(line).then(|| json(line))))).await
}

/// What becomes of a page's lines.
fn items(
    page: Result<Page, logs::LogError>,
    mut item: impl FnMut(&LogLine) -> Option<String>,
) -> Items {
    let lines = page?.lines.into_iter();
    Ok(lines.filter_map(|(_, line)| item(&line)).collect())
}

fn wants_stream(headers: &HeaderMap) -> bool {
    let accept = headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok());
    accept.is_some_and(|accept| accept.contains("text/event-stream"))
}

fn check_step(stored: &StoredRun, step: &str) -> Result<(), Problem> {
    let steps = &stored.pipeline.steps;
    if steps.iter().any(|known| known.id == step) {
        return Ok(());
    }
    let known: Vec<_> = steps.iter().map(|step| step.id.as_str()).collect();
    let known = if known.is_empty() {
        "none".to_owned()
    } else {
        known.join(", ")
    };
    Err(Problem::invalid(format!(
        "the run has no step `{step}`; it has {known}"
    )))
}

/// Lines that are there, as Conveyor has them
///
/// Of the latest 100 runs the latest 16 MiB, whichever of them fit, and of those at most 10,000 lines.
#[utoipa::path(get, path = "/logs", tag = "logs", params(LogsQuery),
    responses((status = 200, description = "lines, oldest first", body = Vec<ConveyorLog>), Problem))]
pub(super) async fn find(
    State(owner): State<Shared>,
    InQuery(query): InQuery<LogsQuery>,
) -> Result<Response, Problem> {
    let ids = match &query.runid {
        Some(named) => named.parse().into_iter().collect(),
        None => owner.runs().latest(RUNS_MAX).await?,
    };
    // Latest first: what is over a limit is the oldest.
    let (mut parts, mut lines_left, mut bytes_left) = (Vec::new(), LINES_MAX, LOG_BYTES_MAX);
    for id in ids {
        if lines_left == 0 || bytes_left == 0 {
            break;
        }
        let Some(stored) = owner.runs().load(id).await? else {
            continue;
        };
        let is_of_pipeline = |name: &String| *name == stored.record.pipeline;
        if !query.pipeline.as_ref().is_none_or(is_of_pipeline) {
            continue;
        }
        let part = Part {
            folder: owner.state().logs(),
            id,
            said: Said::of(&stored),
            driver: query.driver.clone(),
            bytes_max: bytes_left,
        };
        let counted = blocking(move || part.count().map(|count| (part, count)));
        let (part, Count { bytes, lines }) = counted.await?.map_err(OwnerError::from)?;
        parts.push((part, lines.saturating_sub(lines_left)));
        bytes_left = bytes_left.saturating_sub(bytes);
        lines_left = lines_left.saturating_sub(lines);
    }
    let oldest_first = parts.into_iter().rev();
    array(oldest_first.flat_map(|(part, skip)| part.items(skip))).await
}

/// The last lines of a run's log, as Conveyor has them.
struct Part {
    folder: PathBuf,
    id: RunId,
    said: Said,
    /// Only those of this driver.
    driver: Option<String>,
    bytes_max: u64,
}

struct Count {
    /// Of the whole log.
    bytes: u64,
    /// Of the part.
    lines: usize,
}

impl Part {
    fn pages(&self) -> impl Iterator<Item = Result<Page, logs::LogError>> + Send + use<> {
        let begin = logs::bytes(&self.folder, self.id).saturating_sub(self.bytes_max);
        logs::pages(self.folder.clone(), self.id, begin)
    }

    fn line(&self, line: &LogLine) -> Option<ConveyorLog> {
        let line = self.said.line(line);
        let is_of_driver = |driver: &String| *driver == line.driver;
        let fits = self.driver.as_ref().is_none_or(is_of_driver);
        fits.then_some(line)
    }

    fn count(&self) -> Result<Count, logs::LogError> {
        let bytes = logs::bytes(&self.folder, self.id);
        let mut lines = 0;
        for page in self.pages() {
            let fitting = page?
                .lines
                .iter()
                .filter_map(|(_, line)| self.line(line))
                .count();
            lines += fitting;
        }
        Ok(Count { bytes, lines })
    }

    /// Without the first so many lines.
    fn items(self, mut skip: usize) -> impl Iterator<Item = Items> + Send {
        self.pages().map(move |page| {
            items(page, |line| {
                let line = self.line(line)?;
                let is_skipped = skip > 0;
                skip = skip.saturating_sub(1);
                (!is_skipped).then(|| json(&line))
            })
        })
    }
}

/// Append a line to a run's log, as Conveyor's drivers do
///
/// With a key the answer is kept once the line is there. A crash between the two has a repeat append the line again: a line is
/// there twice rather than not at all. A log that has 16 MiB takes no more: 413.
#[utoipa::path(post, path = "/logs", tag = "logs", params(Key), request_body = ConveyorLog,
    responses((status = 201, description = "the line", body = ConveyorLog), Problem))]
pub(super) async fn append(
    State(owner): State<Shared>,
    key: Key,
    Json(log, bytes): Json<ConveyorLog>,
) -> Result<Response, Problem> {
    let keyed = key.of("/logs", &bytes);
    let appended = once(&owner, keyed, |owner, keyed| async move {
        keep(&owner, log, keyed.as_ref()).await
    });
    Ok(appended.await?.into_response())
}

async fn keep(
    owner: &Shared,
    mut log: ConveyorLog,
    keyed: Option<&Keyed>,
) -> Result<Kept, Problem> {
    let id: RunId = log
        .runid
        .parse()
        .map_err(|_| Problem::field("/runid", "it is no id of a run"))?;
    let stored = owner.stored(id).await?;
    for (field, text) in [("/driver", &log.driver), ("/message", &log.message)] {
        if text.len() > LINE_BYTES_MAX {
            let message = format!("it is over the limit of {LINE_BYTES_MAX} bytes");
            return Err(Problem::field(field, message));
        }
    }
    if said::is_full(&owner.state().logs(), id) {
        let limit = crate::text::size(RUN_LOG_BYTES_MAX);
        let detail = format!("the log of run {id} is at the limit of {limit} and takes no more");
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail));
    }
    let said = DriverLog {
        driver: log.driver.clone(),
        message: log.message.clone(),
        at_ms: at_ms(&log.timestamp, stored.run.head.created_ms, clock::now_ms()),
        ..DriverLog::default()
    };
    let line = said::line(&stored.run, said);
    log.timestamp = (line.at_ms / 1_000).to_string();
    let kept = RunLog::of(&owner.state().logs(), id);
    let kept = blocking(move || kept.keep(&line)).await?;
    kept.map_err(OwnerError::from)?;
    owner.said(id);
    let kept = Kept::json(StatusCode::CREATED, &log);
    kept.after(owner, keyed).await
}

/// When a line was said that is sent with this timestamp; none where it is no time of the run's. The second in which the run
/// began, or that goes on, is only so much of one.
fn at_ms(timestamp: &str, created_ms: u64, now_ms: u64) -> Option<u64> {
    let seconds: u64 = timestamp.parse().ok()?;
    let is_of_run = (created_ms / 1_000..=now_ms / 1_000).contains(&seconds);
    is_of_run.then(|| match seconds == now_ms / 1_000 {
        true => now_ms,
        false => (seconds * 1_000).max(created_ms),
    })
}

/// What a run's drivers say, live, as Conveyor has it
#[utoipa::path(get, path = "/logs/pipeline/{runid}", tag = "logs",
    params(("runid" = String, Path, description = "the run")),
    responses((status = 200, description = "lines", content_type = "text/event-stream", body = ConveyorLog), Problem))]
pub(super) async fn follow_run(
    State(owner): State<Shared>,
    InPath(named): InPath<String>,
) -> Result<Response, Problem> {
    follow(&owner, &named, None).await
}

/// What one driver of a run says, live, as Conveyor has it
#[utoipa::path(get, path = "/logs/streams/{driver}/{runid}", tag = "logs",
    params(("driver" = String, Path, description = "the driver"), ("runid" = String, Path, description = "the run")),
    responses((status = 200, description = "lines", content_type = "text/event-stream", body = ConveyorLog), Problem))]
pub(super) async fn follow_driver(
    State(owner): State<Shared>,
    InPath((driver, named)): InPath<(String, String)>,
) -> Result<Response, Problem> {
    follow(&owner, &named, Some(driver)).await
}

async fn follow(owner: &Shared, named: &str, driver: Option<String>) -> Result<Response, Problem> {
    let stored = owner.picked(named).await?;
    let said = Arc::new(Said::of(&stored));
    let by = Arc::clone(&said);
    let fits = move |line: &LogLine| {
        driver
            .as_ref()
            .is_none_or(|driver| by.line(line).driver == *driver)
    };
    let frame = move |_: u64, line: &LogLine| Event::default().data(json(&said.line(line)));
    let follow = Followed::new(owner, stored.run.id, 0);
    Ok(sse(follow.frames(fits, frame)))
}

/// Which driver stands behind a step of a run.
struct Said {
    run: String,
    pipeline: String,
    drivers: Vec<(String, String)>,
}

impl Said {
    fn of(stored: &StoredRun) -> Self {
        let steps = stored.pipeline.steps.iter();
        Said {
            run: stored.run.id.to_string(),
            pipeline: stored.record.pipeline.clone(),
            drivers: steps
                .map(|step| (step.id.clone(), step.driver.clone()))
                .collect(),
        }
    }

    fn line(&self, line: &LogLine) -> ConveyorLog {
        let mut drivers = self.drivers.iter();
        let driver = drivers.find(|(step, _)| *step == line.step);
        ConveyorLog {
            runid: self.run.clone(),
            driver: driver.map_or_else(|| line.step.clone(), |(_, driver)| driver.clone()),
            pipeline: self.pipeline.clone(),
            timestamp: (line.at_ms / 1_000).to_string(),
            message: line.message.clone(),
        }
    }
}

/// A log that is read to its end, and on as it grows, until the run has ended or is found cut off.
struct Followed {
    watched: Watched,
    place: u64,
    waiting: VecDeque<(u64, LogLine)>,
}

impl Followed {
    fn new(owner: &Shared, id: RunId, place: u64) -> Self {
        Followed {
            watched: Watched::new(owner, id),
            place,
            waiting: VecDeque::new(),
        }
    }

    fn frames(
        self,
        fits: impl Fn(&LogLine) -> bool + Send + 'static,
        frame: impl Fn(u64, &LogLine) -> Event + Send + 'static,
    ) -> Frames {
        let lines = stream::unfold((self, fits, frame), |(mut log, fits, frame)| async move {
            loop {
                let (place, line) = log.next().await?;
                if fits(&line) {
                    return Some((Ok(frame(place, &line)), (log, fits, frame)));
                }
            }
        });
        lines.boxed()
    }

    async fn next(&mut self) -> Option<(u64, LogLine)> {
        loop {
            if let Some(line) = self.waiting.pop_front() {
                return Some(line);
            }
            // Whether somebody still moves it is known before whether it has ended, and both before the lines are read: then none
            // is missed.
            let is_carried = self.watched.owner.is_carried(self.watched.id);
            let marks = self.watched.marks().await.ok()?;
            let (folder, id) = (self.watched.owner.state().logs(), self.watched.id);
            // A log that cannot be read has no more to tell.
            let page = logs::page(&folder, id, self.place).ok();
            let page = page.filter(|page| page.after > self.place);
            let is_over = marks.has_ended || marks.has_failed || !is_carried;
            if let Some(page) = page {
                self.place = page.after;
                self.waiting.extend(page.lines);
            } else if is_over || !self.watched.changed().await {
                return None;
            }
        }
    }
}
