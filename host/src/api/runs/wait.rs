//! `?wait`: an answer that comes when a run has ended, when the time is over, or when the server is about to end.

use super::{Problem, WaitQuery};
use crate::api::body::InQuery;
use crate::documents::parse_duration;
use crate::owner::{Accepted, Feed, Owner};
use crate::runs::StoredRun;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use beltline_engine::{Run, RunId};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// The longest that a request waits for a run.
const WAIT_MAX: Duration = Duration::from_secs(300);

/// The end of the server that took a request.
#[derive(Debug, Clone)]
pub struct Ends(watch::Receiver<bool>);

impl Ends {
    /// Comes when that becomes true.
    pub fn new(ends: watch::Receiver<bool>) -> Self {
        Ends(ends)
    }
}

/// How long a request waits for a run.
pub(in crate::api) struct Wait {
    time_max: Duration,
    /// None where nobody ends before the request.
    ends: Option<Ends>,
}

impl Wait {
    /// The run as it has ended, durably, where it does in time and while `feed` is held.
    async fn end(&self, feed: &Feed) -> Option<Arc<Run>> {
        tokio::select! {
            ended = feed.end(self.time_max) => ended,
            () = self.until_shutdown() => None,
        }
    }

    async fn until_shutdown(&self) {
        match self.ends.clone() {
            // Where nobody is left to say so it has come.
            Some(Ends(mut ends)) => drop(ends.wait_for(|ends| *ends).await),
            None => std::future::pending().await,
        }
    }
}

/// What a request wishes.
pub(in crate::api) struct Wished(pub(in crate::api) Option<Wait>);

impl<S: Send + Sync> FromRequestParts<S> for Wished {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let InQuery(query) = InQuery::<WaitQuery>::from_request_parts(parts, state).await?;
        let Some(text) = query.wait else {
            return Ok(Wished(None));
        };
        let wait = parse_duration(&text);
        let wait = wait.map_err(|error| Problem::invalid(format!("`wait`: {error}")))?;
        Ok(Wished(Some(Wait {
            time_max: wait.min(WAIT_MAX),
            ends: parts.extensions.get().cloned(),
        })))
    }
}

impl Owner {
    /// Waits until a run has ended, durably, or that long. One that was cut off, and that nobody carries, is not waited for.
    pub(super) async fn wait_for_end(&self, id: RunId, wait: &Wait) {
        let feed = self.feed(id);
        // What the store has of another is durable, and stays as it is.
        if self.is_carried(id) {
            wait.end(&feed).await;
        }
    }

    /// A new run as it has ended, or as it is after that long; durably so.
    pub(super) async fn ended(
        self: &Arc<Self>,
        accepted: Accepted,
        wait: &Wait,
    ) -> Result<StoredRun, Problem> {
        let Accepted { stored, feed, .. } = accepted;
        if let Some(run) = wait.end(&feed).await {
            return Ok(StoredRun { run, ..stored });
        }
        let stored = self.stored(stored.run.id).await?;
        self.synced().await?;
        Ok(stored)
    }
}
