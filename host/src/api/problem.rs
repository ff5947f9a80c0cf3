//! What is wrong, as RFC 9457 has it and with Conveyor's `error` key beside it: the one place where errors become
//! status codes.

use super::places::{Place, Places};
use crate::documents::{Diagnostics, Misfit, fields_of};
use crate::launch::LaunchError;
use crate::owner::OwnerError;
use crate::runner::RunnerError;
use crate::runs::RunsError;
use crate::state::StateError;
use crate::store::StoreError;
use crate::text;
use crate::workspaces::{UnpackError, WorkspaceError};
use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response as Response_, ResponseBuilder};
use utoipa::{IntoResponses, ToSchema};

/// After how many seconds a client that is sent away may come again.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

/// Why a request was not carried out.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// Always `about:blank`: the status says it all.
    #[serde(rename = "type")]
    pub kind: String,
    /// The status in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong, and the next move.
    pub detail: String,
    /// The same, where Conveyor has it.
    pub error: String,
    /// What is wrong with which field.
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    #[schema(value_type = Vec<FieldProblem>)]
    pub errors: Box<[FieldProblem]>,
}

/// What is wrong with a field.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct FieldProblem {
    /// A JSON pointer into what was sent; empty for all of it.
    pub field: String,
    /// What is wrong.
    pub message: String,
}

impl Problem {
    /// Of that status.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Problem {
            kind: "about:blank".to_owned(),
            title: status.canonical_reason().unwrap_or("Error").to_owned(),
            status: status.as_u16(),
            error: detail.clone(),
            detail,
            errors: Box::default(),
        }
    }

    /// What was sent is not what it should be.
    pub fn invalid(detail: impl Into<String>) -> Self {
        Problem::new(StatusCode::BAD_REQUEST, detail)
    }

    /// The same, of one field.
    pub fn field(field: &str, message: impl Into<String>) -> Self {
        let message = message.into();
        let error = match field {
            "" => message.clone(),
            field => format!("{field}: {message}"),
        };
        Problem {
            error,
            errors: Box::new([FieldProblem {
                field: field.to_owned(),
                message: message.clone(),
            }]),
            ..Problem::invalid(message)
        }
    }

    /// The same, of a document that stands inside another.
    pub(super) fn inside(self, place: &str) -> Self {
        let inside = |one: FieldProblem| FieldProblem {
            field: format!("{place}{}", one.field),
            ..one
        };
        Problem::fields(self.errors.into_iter().map(inside).collect())
    }

    /// The same, of several fields.
    fn fields(errors: Vec<FieldProblem>) -> Self {
        let lines: Vec<_> = errors
            .iter()
            .map(|one| match one.field.as_str() {
                "" => one.message.clone(),
                field => format!("{field}: {}", one.message),
            })
            .collect();
        Problem {
            errors: errors.into(),
            ..Problem::invalid(lines.join("\n"))
        }
    }

    /// Mistakes in a document that stands there in what was sent.
    pub(super) fn misfits(place: Place, misfits: &[Misfit]) -> Self {
        let errors = misfits.iter().map(|one| FieldProblem {
            field: place.of(&one.pointer),
            message: one.why.clone(),
        });
        let words: Vec<_> = misfits.iter().map(|one| one.why.as_str()).collect();
        Problem {
            errors: errors.collect(),
            ..Problem::invalid(words.join("\n"))
        }
    }

    /// The same, of a document that was put inside another to be read.
    pub(super) fn out_of(mut self, place: &str) -> Self {
        for one in &mut self.errors {
            let inner = one.field.strip_prefix(place).map(str::to_owned);
            one.field = inner.unwrap_or_default();
        }
        self
    }

    /// Mistakes in a document that was sent as `bytes`.
    pub fn document(bytes: &[u8], diagnostics: &Diagnostics) -> Self {
        let fields = fields_of(bytes, diagnostics);
        let errors = diagnostics
            .iter()
            .zip(fields)
            .map(|(diagnostic, field)| FieldProblem {
                field: field.unwrap_or_default(),
                message: diagnostic.message.clone(),
            });
        Problem::fields(errors.collect())
    }

    /// Why something was not done whose documents stand in these places of what was sent.
    pub(super) fn of(error: &OwnerError, places: Places) -> Problem {
        let words = || text::chain(error);
        let status = match error {
            OwnerError::Resource(misfits) => return Problem::misfits(places.resource, misfits),
            OwnerError::Field { field, why } => return Problem::field(field, why),
            OwnerError::Pipeline { field, why } => {
                return Problem::field(&places.pipeline.of(field), why);
            }
            OwnerError::Override(_) => return Problem::field("/context", words()),
            OwnerError::Inspect(_) | OwnerError::Config(_) => StatusCode::BAD_REQUEST,
            OwnerError::NotFound { .. } | OwnerError::NoRun(_) => StatusCode::NOT_FOUND,
            OwnerError::Exists { .. }
            | OwnerError::Conflict(_)
            | OwnerError::Unchanged
            | OwnerError::Repeated => StatusCode::CONFLICT,
            OwnerError::Contended | OwnerError::Closed | OwnerError::Unready => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            OwnerError::Full { .. } => StatusCode::TOO_MANY_REQUESTS,
            OwnerError::Launch(error) if !error.is_fault() => StatusCode::BAD_REQUEST,
            OwnerError::Launch(error) => of_launch(error),
            OwnerError::State(error) => of_state(error),
            OwnerError::Workspace(error) => match (of_workspace(error), places.workspace) {
                (StatusCode::BAD_REQUEST, Some(field)) => return Problem::field(field, words()),
                (status, _) => status,
            },
            OwnerError::Log(error) if is_full(error.source.kind()) => {
                StatusCode::INSUFFICIENT_STORAGE
            }
            OwnerError::Runs(error) | OwnerError::Runner(RunnerError::Runs(error)) => {
                of_runs(error)
            }
            OwnerError::Runner(RunnerError::Out(_) | RunnerError::Fault { .. })
            | OwnerError::Log(_)
            | OwnerError::Io { .. }
            | OwnerError::Panicked => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Problem::new(status, words())
    }
}

fn of_launch(error: &LaunchError) -> StatusCode {
    if let LaunchError::State(error) = error {
        return of_state(error);
    }
    if let LaunchError::Folder { source, .. } = error
        && is_full(source.kind())
    {
        return StatusCode::INSUFFICIENT_STORAGE;
    }
    StatusCode::INTERNAL_SERVER_ERROR
}

fn of_workspace(error: &WorkspaceError) -> StatusCode {
    match error {
        WorkspaceError::Limit(_) => StatusCode::PAYLOAD_TOO_LARGE,
        WorkspaceError::NoArchive(_)
        | WorkspaceError::WrongDigest { .. }
        | WorkspaceError::NoRunId(_) => StatusCode::BAD_REQUEST,
        WorkspaceError::Unpack { source, .. } => of_unpack(source),
        WorkspaceError::Io { source, .. } if is_full(source.kind()) => {
            StatusCode::INSUFFICIENT_STORAGE
        }
        WorkspaceError::DamagedArchive(_)
        | WorkspaceError::Taken(_)
        | WorkspaceError::Io { .. } => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// Of an archive that is not what it should be, or of a disk that does not take it.
fn of_unpack(error: &UnpackError) -> StatusCode {
    if let UnpackError::Io { source, .. } = error {
        return match is_full(source.kind()) {
            true => StatusCode::INSUFFICIENT_STORAGE,
            false => StatusCode::INTERNAL_SERVER_ERROR,
        };
    }
    StatusCode::BAD_REQUEST
}

fn of_state(error: &StateError) -> StatusCode {
    match error {
        StateError::NotFound | StateError::Missing(_) => StatusCode::NOT_FOUND,
        StateError::Io { source, .. } if is_full(source.kind()) => StatusCode::INSUFFICIENT_STORAGE,
        StateError::Io { .. } | StateError::DamagedDriver { .. } => {
            StatusCode::INTERNAL_SERVER_ERROR
        }
    }
}

fn of_runs(error: &RunsError) -> StatusCode {
    match error {
        RunsError::Store(StoreError::Full { .. }) => StatusCode::INSUFFICIENT_STORAGE,
        RunsError::Store(StoreError::Limit { .. }) => StatusCode::PAYLOAD_TOO_LARGE,
        RunsError::Store(_) | RunsError::Record(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn is_full(kind: std::io::ErrorKind) -> bool {
    matches!(
        kind,
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded
    )
}

impl From<OwnerError> for Problem {
    fn from(error: OwnerError) -> Self {
        Problem::of(&error, Places::WHOLE)
    }
}

impl From<RunsError> for Problem {
    fn from(error: RunsError) -> Self {
        OwnerError::from(error).into()
    }
}

impl IntoResponses for Problem {
    fn responses() -> BTreeMap<String, RefOr<Response_>> {
        let of = |description: &str| {
            let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem")));
            let response = ResponseBuilder::new()
                .description(description)
                .content("application/problem+json", content.build());
            RefOr::T(response.build())
        };
        let all = [
            (
                "400",
                "what was sent is not what it should be; `errors` names the fields",
            ),
            ("401", "the token is missing or wrong"),
            ("403", "a page of another origin, or another host's name"),
            ("404", "there is no such thing"),
            ("408", "the body came too slowly"),
            ("409", "it is there already, or not in a state for that"),
            ("413", "over a limit of size"),
            ("415", "not the content that a write needs"),
            (
                "422",
                "the key of a repeat with another body, or a list that is too long",
            ),
            ("429", "too many runs have not ended"),
            ("500", "a fault of this host"),
            (
                "503",
                "this host is shutting down, or a driver is still being compiled",
            ),
            ("507", "the disk is full"),
        ];
        all.map(|(status, description)| (status.to_owned(), of(description)))
            .into()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        if status.is_server_error() {
            tracing::error!(
                status = self.status,
                detail = self.detail,
                "a request failed"
            );
        }
        let mut response = (status, Json(self)).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if matches!(
            status,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
        ) {
            headers.insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        response
    }
}

/// A path that is no route.
pub(super) async fn no_route() -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "there is no such route; /openapi.json has those there are",
    )
}

/// A route without that method.
pub(super) async fn no_method() -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "this route does not have that method; /openapi.json has those there are",
    )
}
