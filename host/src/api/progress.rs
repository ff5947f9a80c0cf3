//! How a run goes, for a terminal: what happens and what its drivers say, in one order.
//!
//! Two streams that are each in order are merged, a page of either in memory: the run's events, and the lines of its log. What
//! an attempt says stands between its start and its end.

use super::body::{InPath, InQuery};
use super::events::{AfterQuery, Told, after, json, sse};
use super::guard::Via;
use super::{Problem, Shared};
use crate::logs::{self, LogLine};
use crate::owner::Marks;
use crate::view;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use axum::response::sse::Event;
use beltline_engine::Event as RunEvent;
use futures::{StreamExt, stream};
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// How a run goes, for a terminal: events and log lines in one order, as server-sent events
///
/// Each has an id; what comes after the last one that was seen comes once, also after a restart of the host. Over the state
/// folder's own socket it is provisional: what is told may be gone after a power cut.
#[utoipa::path(get, path = "/runs/{run}/progress", tag = "runs", params(AfterQuery,
    ("run" = String, Path, description = "its id, the begin of one, or `latest`", example = "latest")),
    responses((status = 200, description = "events named `event` (an EventView) and `log` (a LogLine)", content_type = "text/event-stream", body = String), Problem))]
pub(super) async fn progress(
    State(owner): State<Shared>,
    via: Via,
    InPath(named): InPath<String>,
    InQuery(begin): InQuery<AfterQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let id = owner.pick(&named).await?;
    let at = match after(&headers, &begin) {
        None => Place::BEGIN,
        Some(text) => text
            .parse()
            .map_err(|_| Problem::invalid(format!("`{text}` is no id of a run's progress")))?,
    };
    let log_bytes = logs::bytes(&owner.state().logs(), id);
    let reader = Reader {
        told: Told::new(&owner, id).await?,
        is_provisional: via == Via::Local,
        // A power cut may have cost lines that have been told.
        log_place: at.log.min(log_bytes),
        at,
        revision: 0,
        events: VecDeque::new(),
        lines: VecDeque::new(),
        begun: HashMap::new(),
        is_told: false,
    };
    let frames = stream::unfold(reader, |mut reader| async move {
        let frame = reader.next().await?;
        Some((Ok(frame), reader))
    });
    Ok(sse(frames.boxed()))
}

/// How far somebody has been told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    /// The last event: a revision, and its place there.
    event: (u64, usize),
    /// After the last line of the log.
    log: u64,
}

impl Place {
    const BEGIN: Place = Place {
        event: (0, usize::MAX),
        log: 0,
    };
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (revision, nth) = self.event;
        write!(f, "{revision}.{nth}.{}", self.log)
    }
}

impl FromStr for Place {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.split('.');
        let mut next = || parts.next()?.parse::<u64>().ok();
        let found = (next(), next(), next());
        match (found, parts.next()) {
            ((Some(revision), Some(nth), Some(log)), None) => Ok(Place {
                event: (revision, usize::try_from(nth).map_err(|_| ())?),
                log,
            }),
            _ => Err(()),
        }
    }
}

struct Reader {
    told: Told,
    /// Whether what is written is told before it is durable.
    is_provisional: bool,
    at: Place,
    /// Up to which events have been read.
    revision: u64,
    /// Read and not yet told, with their places.
    events: VecDeque<((u64, usize), Happened)>,
    /// Up to which the log has been read.
    log_place: u64,
    /// Read and not yet told, with the places after them.
    lines: VecDeque<(u64, LogLine)>,
    /// The last attempt of each step that has been told to have begun.
    begun: HashMap<String, u32>,
    /// Whether a fault has been told.
    is_told: bool,
}

/// An event as it is told, and the attempt that began with it.
struct Happened {
    json: String,
    begun: Option<(String, u32)>,
}

impl Reader {
    async fn next(&mut self) -> Option<Event> {
        loop {
            let marks = self.told.watched.marks().await.ok()?;
            self.read_events(&marks).await?;
            // After the events: what an attempt said is in the log before its end is written.
            let is_read = self.read_lines();
            let said = self.lines.front().map(|(_, line)| self.has_begun(line));
            if said == Some(true) {
                return self.tell_line();
            }
            if let Some((place, happened)) = self.events.pop_front() {
                return Some(self.tell_event(place, happened));
            }
            let is_over = marks.has_failed || marks.has_ended && self.revision >= marks.durable;
            if said.is_some() {
                // Its begin is written before it. Where all is told that had been written when the line was there, it is of no
                // attempt.
                let is_nobodys = !is_read && self.revision >= marks.written;
                if is_over || is_nobodys {
                    return self.tell_line();
                }
                if is_read {
                    continue;
                }
            } else if is_read {
                // Lines that are none.
                continue;
            } else if marks.has_failed && !self.is_told {
                self.is_told = true;
                let why = self.told.watched.feed.fault();
                return Some(Event::default().event("fault").data(why));
            } else if is_over {
                return None;
            }
            if !self.told.watched.changed().await {
                return None;
            }
        }
    }

    /// Reads a page of events, where none are left.
    async fn read_events(&mut self, marks: &Marks) -> Option<()> {
        let until = match self.is_provisional {
            true => marks.written,
            false => marks.durable,
        };
        while self.events.is_empty() && self.revision < until {
            let records = self.told.events(self.revision).await.ok()?;
            let records = records.into_iter();
            let mut records = records.take_while(|(revision, _)| *revision <= until);
            let before = self.revision;
            for (revision, record) in &mut records {
                let plan = Arc::clone(&self.told.plan);
                let views = view::events(&plan, revision, &record);
                for (nth, (event, view)) in record.events.iter().zip(views).enumerate() {
                    let begun = match (event, &view.step) {
                        (RunEvent::AttemptStarted { attempt, .. }, Some(step)) => {
                            Some((step.clone(), *attempt))
                        }
                        _ => None,
                    };
                    if (revision, nth) <= self.at.event {
                        self.begun.extend(begun);
                        continue;
                    }
                    let json = json(&view);
                    self.events
                        .push_back(((revision, nth), Happened { json, begun }));
                }
                self.revision = revision;
            }
            if self.revision == before {
                // Revisions that tell nothing.
                self.revision = until;
            }
        }
        Some(())
    }

    /// Reads a page of the log, where no line is left. Says whether there was one.
    fn read_lines(&mut self) -> bool {
        if !self.lines.is_empty() {
            return false;
        }
        let watched = &self.told.watched;
        let page = logs::page(&watched.owner.state().logs(), watched.id, self.log_place);
        // A log that cannot be read has no more to tell.
        let Ok(page) = page else { return false };
        let is_read = page.after > self.log_place;
        self.log_place = page.after;
        self.lines.extend(page.lines);
        is_read
    }

    fn has_begun(&self, line: &LogLine) -> bool {
        let begun = self.begun.get(&line.step);
        begun.is_some_and(|attempt| line.attempt <= *attempt)
    }

    fn tell_line(&mut self) -> Option<Event> {
        let (after, line) = self.lines.pop_front()?;
        self.at.log = after;
        Some(self.frame("log", json(&line)))
    }

    fn tell_event(&mut self, place: (u64, usize), happened: Happened) -> Event {
        self.begun.extend(happened.begun);
        self.at.event = place;
        self.frame("event", happened.json)
    }

    fn frame(&self, name: &str, data: String) -> Event {
        let id = self.at.to_string();
        Event::default().id(id).event(name).data(data)
    }
}
