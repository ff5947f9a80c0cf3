//! What clients send: read within bounds of size and time, and taken for what it is.

use super::Problem;
use super::guard::Via;
use crate::documents::{Definition, Document, Documents, Pipeline, Resource, read_bytes};
use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use bytes::Bytes;
use futures::StreamExt;
use http_body::Body as _;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};

/// The largest JSON body: a pipeline, a resource and a context of their largest sizes, with room for their escapes.
pub const BODY_BYTES_MAX: usize = 4 << 20;

/// How long a client may take to send one.
const BODY_TIME_MAX: Duration = Duration::from_secs(30);

/// Bytes of bodies that are held at once, over all requests that bring JSON, and again over all that bring drivers: four of the
/// largest drivers, or what sixty clients send at most of JSON.
const IN_FLIGHT_BYTES_MAX: usize = 256 << 20;

/// One for each byte of JSON that may still be held.
static JSON: Semaphore = Semaphore::const_new(IN_FLIGHT_BYTES_MAX);

/// The same of drivers: whoever sends them slowly keeps nobody from sending JSON.
static DRIVERS: Semaphore = Semaphore::const_new(IN_FLIGHT_BYTES_MAX);

/// A body, and its part of what may be held until the last one lets go of it.
struct Held {
    bytes: Vec<u8>,
    part: Option<SemaphorePermit<'static>>,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Reads a body of JSON of at most so many bytes within so long.
pub(super) async fn read(body: Body, bytes_max: usize, time: Duration) -> Result<Bytes, Problem> {
    read_of(&JSON, body, bytes_max, time).await
}

/// The same of a driver.
pub(super) async fn read_driver(
    body: Body,
    bytes_max: usize,
    time: Duration,
) -> Result<Bytes, Problem> {
    read_of(&DRIVERS, body, bytes_max, time).await
}

/// Only what has come counts: a client that says much and sends little takes nobody's part. There is no waiting for one, for
/// those who have a part might wait for each other.
async fn read_of(
    in_flight: &'static Semaphore,
    body: Body,
    bytes_max: usize,
    time: Duration,
) -> Result<Bytes, Problem> {
    // Whoever says so beforehand need not send it.
    if body.size_hint().lower() > bytes_max as u64 {
        return Err(too_large(bytes_max));
    }
    match tokio::time::timeout(time, collect(in_flight, body, bytes_max)).await {
        Ok(read) => read.map(Bytes::from_owner),
        Err(_) => Err(Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            format!("the body did not come within {} s", time.as_secs()),
        )),
    }
}

async fn collect(
    in_flight: &'static Semaphore,
    body: Body,
    bytes_max: usize,
) -> Result<Held, Problem> {
    let mut pieces = Limited::new(body, bytes_max).into_data_stream();
    let mut held = Held {
        bytes: Vec::new(),
        part: None,
    };
    while let Some(piece) = pieces.next().await {
        let piece = match piece {
            Ok(piece) => piece,
            Err(error) if error.is::<LengthLimitError>() => return Err(too_large(bytes_max)),
            Err(_) => return Err(Problem::invalid("the body ended too early")),
        };
        let wanted = u32::try_from(piece.len()).unwrap_or(u32::MAX);
        let part = in_flight.try_acquire_many(wanted);
        let part = part.map_err(|_| crowded())?;
        match &mut held.part {
            Some(parts) => parts.merge(part),
            none => *none = Some(part),
        }
        held.bytes.extend_from_slice(&piece);
    }
    Ok(held)
}

fn too_large(bytes_max: usize) -> Problem {
    let limit = crate::text::size(bytes_max as u64);
    let detail = format!("the body is over the limit of {limit}");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
}

fn crowded() -> Problem {
    let limit = crate::text::size(IN_FLIGHT_BYTES_MAX as u64);
    let detail =
        format!("the bodies of all requests are at the limit of {limit} together; try again soon");
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail)
}

/// That a write brings what it should: nothing that a form of a web page could send.
pub(super) fn check_content(request: &Request, expected: &str) -> Result<(), Problem> {
    match is_content(request, expected) {
        true => Ok(()),
        false => Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            format!("this needs `content-type: {expected}`"),
        )),
    }
}

/// Whether a body is of that type.
pub(super) fn is_content(request: &Request, expected: &str) -> bool {
    let kind = request.headers().get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case(expected)
}

/// A JSON body, as bytes.
pub(super) struct JsonBytes(pub(super) Bytes);

impl<S: Send + Sync> FromRequest<S> for JsonBytes {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        check_content(&request, "application/json")?;
        let bytes = read(request.into_body(), BODY_BYTES_MAX, BODY_TIME_MAX).await?;
        Ok(JsonBytes(bytes))
    }
}

/// A JSON body of a plain form, which may be left out as a whole, and its bytes.
pub(super) struct Json<T>(pub(super) T, pub(super) Bytes);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let JsonBytes(bytes) = JsonBytes::from_request(request, state).await?;
        let text: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
        Ok(Json(parse(text)?, bytes))
    }
}

/// A plain form from JSON text; what is wrong names the field.
pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let parsed = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let field = match path.as_str() {
            "." => String::new(),
            path => format!("/{}", path.replace(['.', '['], "/").replace(']', "")),
        };
        Problem::field(&field, error.into_inner().to_string())
    })?;
    match reader.end() {
        Ok(()) => Ok(parsed),
        Err(error) => Err(Problem::field("", error.to_string())),
    }
}

/// The one document of a body.
pub(super) trait OneOf: Sized {
    /// Its name in messages, and the key that tells it.
    const NAME: (&'static str, &'static str);

    fn of(documents: Documents) -> Vec<Document<Self>>;
}

impl OneOf for Pipeline {
    const NAME: (&'static str, &'static str) = ("pipeline", "steps");

    fn of(documents: Documents) -> Vec<Document<Self>> {
        documents.pipelines
    }
}

impl OneOf for Resource {
    const NAME: (&'static str, &'static str) = ("resource", "spec");

    fn of(documents: Documents) -> Vec<Document<Self>> {
        documents.resources
    }
}

impl OneOf for Definition {
    const NAME: (&'static str, &'static str) = ("definition", "schema");

    fn of(documents: Documents) -> Vec<Document<Self>> {
        documents.definitions
    }
}

/// Reads the one document of a JSON text.
pub(super) fn document<T: OneOf>(bytes: &[u8]) -> Result<Document<T>, Problem> {
    let read = read_bytes("body.json", bytes).map_err(|found| Problem::document(bytes, &found))?;
    let mut documents = T::of(read);
    match (documents.pop(), documents.is_empty()) {
        (Some(document), true) => Ok(document),
        _ => {
            let (what, key) = T::NAME;
            Err(Problem::field(
                "",
                format!("send one {what}: a JSON object with `{key}`"),
            ))
        }
    }
}

/// A document as the body.
pub(super) struct DocumentBody<T>(pub(super) Document<T>, pub(super) Bytes);

impl<S: Send + Sync, T: OneOf> FromRequest<S> for DocumentBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let JsonBytes(bytes) = JsonBytes::from_request(request, state).await?;
        Ok(DocumentBody(document(&bytes)?, bytes))
    }
}

/// The parameters of a path.
pub(super) struct InPath<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for InPath<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<T>::from_request_parts(parts, state).await;
        let path = path.map_err(|error| Problem::invalid(error.body_text()))?;
        Ok(InPath(path.0))
    }
}

/// The parameters of a query.
pub(super) struct InQuery<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for InQuery<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query = Query::<T>::from_request_parts(parts, state).await;
        let query = query.map_err(|error| Problem::invalid(error.body_text()))?;
        Ok(InQuery(query.0))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Via {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Ok(parts
            .extensions
            .get::<Via>()
            .copied()
            .unwrap_or(Via::Network))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn all_bodies_together_are_bounded_until_they_are_let_go() {
        static IN_FLIGHT: Semaphore = Semaphore::const_new(10);
        let of = |text: &'static str| read_of(&IN_FLIGHT, Body::from(text), 100, BODY_TIME_MAX);
        let first = of("123456").await.unwrap();
        assert_eq!(first, "123456");
        let part = first.slice(..1);
        drop(first);
        // A part of it holds all of it.
        assert_eq!(of("12345").await.unwrap_err().status, 503);
        assert_eq!(of("1234").await.unwrap(), "1234");
        drop(part);
        assert_eq!(of("1234567890").await.unwrap(), "1234567890");
        assert_eq!(IN_FLIGHT.available_permits(), 10);
    }
}
