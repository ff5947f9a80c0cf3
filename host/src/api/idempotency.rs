//! `Idempotency-Key`: a POST that is repeated is answered with the first result, also after a restart.
//!
//! The answer to a POST that writes records stands in their commit: either both are there or neither. Where what is done
//! is in no record of its own, the answer is written right after, durably, and a crash between the two has a repeat carried
//! out again; the routes of which that is true say what it does then. A refusal is not kept.

use super::{Problem, Shared};
use crate::clock;
use crate::digest::Digest;
use crate::owner::{ANSWERS, Along, OwnerError};
use crate::records::{decode, encode};
use crate::runs::RunsError;
use crate::store::{Batch, Store};
use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use beltline_engine::RunId;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};
use std::sync::Arc;
use utoipa::IntoParams;

/// The longest key, in bytes.
const KEY_BYTES_MAX: usize = 255;

/// The key of a request, if it has one.
#[derive(Debug, Clone, Default, IntoParams)]
#[into_params(parameter_in = Header)]
pub struct Key {
    /// A repeat with the same key and body is answered with the first result, for a day.
    #[param(rename = "Idempotency-Key")]
    #[allow(dead_code, reason = "read below, and named here for the document")]
    idempotency_key: Option<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for Key {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Ok(Key {
            idempotency_key: read(&parts.headers)?,
        })
    }
}

fn read(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(key) = headers.get("idempotency-key") else {
        return Ok(None);
    };
    let key = key.to_str().unwrap_or_default();
    if key.is_empty() || key.len() > KEY_BYTES_MAX {
        return Err(Problem::invalid(format!(
            "`Idempotency-Key` is 1 to {KEY_BYTES_MAX} visible characters"
        )));
    }
    Ok(Some(key.to_owned()))
}

/// A key together with what it is the key of.
#[derive(Debug, Clone)]
pub(super) struct Keyed {
    record: String,
    request: Digest,
}

impl Key {
    pub(super) fn of(self, route: &str, body: &[u8]) -> Option<Keyed> {
        let key = self.idempotency_key?;
        let name = Digest::of(format!("{route}\n{key}").as_bytes());
        Some(Keyed {
            record: format!("{ANSWERS}{}", name.hex()),
            request: Digest::of(body),
        })
    }
}

/// An answer, as it is kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Kept {
    at_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    request: Option<Digest>,
    status: u16,
    /// As it was sent: a text in a text would be twice as long.
    body: Box<RawValue>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) run: Option<RunId>,
}

impl Kept {
    pub(super) fn json(status: StatusCode, body: &impl Serialize) -> Self {
        Kept {
            at_ms: clock::now_ms(),
            request: None,
            status: status.as_u16(),
            body: to_raw_value(body).expect("what is shown has string keys"),
            run: None,
        }
    }

    pub(super) fn of_run(mut self, id: RunId) -> Self {
        self.run = Some(id);
        self
    }

    pub(super) fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::OK)
    }

    /// What it says; none where it cannot be read.
    pub(super) fn value(&self) -> Option<Value> {
        serde_json::from_str(self.body.get()).ok()
    }

    /// Adds it to the commit of what it answers.
    pub(super) fn along(mut self, batch: Batch, keyed: Option<&Keyed>) -> Batch {
        let Some(keyed) = keyed else { return batch };
        self.request = Some(keyed.request);
        batch
            .expect_absent(&keyed.record)
            .put(&keyed.record, encode(&self))
    }

    /// Keeps it by itself, durably, once that is done which it answers.
    pub(super) async fn after(
        self,
        owner: &Shared,
        keyed: Option<&Keyed>,
    ) -> Result<Self, Problem> {
        if keyed.is_some() {
            let batch = self.clone().along(Batch::new(), keyed);
            owner.catalog().commit(batch).await?;
        }
        Ok(self)
    }
}

/// What keeps the answer in the commit of what it answers.
pub(super) fn along<T: 'static>(
    keyed: Option<Keyed>,
    render: impl Fn(&T) -> Kept + Send + Sync + 'static,
) -> Option<Along<T>> {
    let keyed = keyed?;
    Some(Arc::new(move |batch, done: &T| {
        render(done).along(batch, Some(&keyed))
    }))
}

impl IntoResponse for Kept {
    fn into_response(self) -> Response {
        let headers = [(header::CONTENT_TYPE, "application/json")];
        (
            self.status(),
            headers,
            Body::from(String::from(Box::<str>::from(self.body))),
        )
            .into_response()
    }
}

/// What becomes of a POST.
pub(super) enum Once<T> {
    /// It was carried out now.
    Now(T),
    /// It was before, and has its answer.
    Before(Kept),
}

impl Once<Kept> {
    pub(super) fn kept(self) -> Kept {
        let (Once::Now(kept) | Once::Before(kept)) = self;
        kept
    }
}

impl IntoResponse for Once<Kept> {
    fn into_response(self) -> Response {
        self.kept().into_response()
    }
}

/// Carries out a POST, once for each key: on the owner's own threads, to the end, whatever becomes of whoever sent it.
/// Whoever repeats it meanwhile waits, and has its answer. `work` keeps the answer, along with what it does or after.
pub(super) async fn once<T, W>(
    owner: &Shared,
    keyed: Option<Keyed>,
    work: impl FnOnce(Shared, Option<Keyed>) -> W + Send + 'static,
) -> Result<Once<T>, Problem>
where
    T: Send + 'static,
    W: Future<Output = Result<T, Problem>> + Send,
{
    let carrier = Arc::clone(owner);
    let carried_out = async move {
        let Some(keyed) = keyed else {
            return work(carrier, None).await.map(Once::Now);
        };
        let _turn = carrier.turn(&keyed.record).await;
        if let Some(kept) = before(&carrier, &keyed).await? {
            return Ok(Once::Before(kept));
        }
        let done = work(Arc::clone(&carrier), Some(keyed)).await;
        done.map(Once::Now)
    };
    owner.apart(carried_out).await
}

/// The answer that was given before, if one was.
async fn before(owner: &Shared, keyed: &Keyed) -> Result<Option<Kept>, Problem> {
    let found = owner.store().get(&keyed.record).await;
    let Some(found) = found.map_err(OwnerError::from)? else {
        return Ok(None);
    };
    // It may have been written a moment ago: what is answered is durable, whoever is answered first.
    let synced = owner.store().sync(found.revision).await;
    synced.map_err(OwnerError::from)?;
    let kept: Kept = decode(&keyed.record, &found.value).map_err(RunsError::from)?;
    if kept.request != Some(keyed.request) {
        return Err(Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "this `Idempotency-Key` was used with another body; take a new one",
        ));
    }
    Ok(Some(kept))
}
