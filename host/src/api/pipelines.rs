//! Pipelines over HTTP: POST replaces, as Conveyor's does, and the routes that it documents are there.

use super::body::{DocumentBody, InPath, InQuery};
use super::changes::{PageQuery, RACES_MAX, commit, same_name};
use super::idempotency::{Kept, Key, Keyed, Once, once};
use super::page::{Page, Reading};
use super::schemas::PipelineForm;
use super::{Problem, Shared};
use crate::catalog::{PipelineRecord, keep_pipeline, remove_pipeline};
use crate::documents::{Document, Pipeline};
use crate::owner::OwnerError;
use crate::store::Batch;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use serde_json::value::RawValue;

/// A pipeline's JSON: what people write, its defaults filled in, and `metadata` where Conveyor has it.
fn view(record: &PipelineRecord) -> Value {
    let pipeline = serde_json::to_value(&record.pipeline);
    with_metadata(pipeline.expect("a pipeline has string keys"))
}

fn with_metadata(mut pipeline: Value) -> Value {
    if let Value::Object(fields) = &mut pipeline {
        let context = fields.get("context").cloned().unwrap_or_default();
        fields.insert("metadata".to_owned(), context);
    }
    pipeline
}

/// The answer to a pipeline that was sent. It is kept without `metadata`: with the context twice it would be larger than a record
/// may be whose pipeline is none too large.
fn answer(kept: Once<Kept>) -> Response {
    let kept = kept.kept();
    match kept.value() {
        Some(pipeline) => (kept.status(), Json(with_metadata(pipeline))).into_response(),
        None => kept.into_response(),
    }
}

/// Pipelines, by name
#[utoipa::path(get, path = "/pipelines", tag = "pipelines", params(PageQuery),
    responses((status = 200, description = "pipelines", body = Vec<PipelineForm>), Problem))]
pub(super) async fn list(
    State(owner): State<Shared>,
    InQuery(query): InQuery<PageQuery>,
) -> Result<Json<Vec<Box<RawValue>>>, Problem> {
    let mut page = Page::new(query)?;
    while let Some(Reading { after, count }) = page.wants() {
        let catalog = owner.catalog();
        for record in catalog.pipelines(after.as_deref(), count).await? {
            let name = record.pipeline.name.clone();
            page.push(name, &view(&record));
        }
    }
    Ok(Json(page.rows()))
}

/// Keep a pipeline, in the place of the one of that name
#[utoipa::path(post, path = "/pipelines", tag = "pipelines", params(Key), request_body = PipelineForm,
    responses((status = 201, description = "the pipeline", body = PipelineForm), Problem))]
pub(super) async fn create(
    State(owner): State<Shared>,
    key: Key,
    DocumentBody(document, bytes): DocumentBody<Pipeline>,
) -> Result<Response, Problem> {
    let keyed = key.of("/pipelines", &bytes);
    let made = once(&owner, keyed, |owner, keyed| async move {
        make(&owner, document, keyed.as_ref()).await
    });
    Ok(answer(made.await?))
}

async fn make(
    owner: &Shared,
    document: Document<Pipeline>,
    keyed: Option<&Keyed>,
) -> Result<Kept, Problem> {
    check(owner, &document)?;
    let record = PipelineRecord {
        pipeline: document.value,
    };
    let kept = Kept::json(StatusCode::CREATED, &record.pipeline);
    for _ in 0..RACES_MAX {
        let found = owner.catalog().pipeline(&record.pipeline.name).await?;
        let batch = keep_pipeline(Batch::new(), &record, found.map(|found| found.revision));
        let batch = kept.clone().along(batch, keyed);
        if commit(owner, batch).await? {
            return Ok(kept);
        }
    }
    Err(OwnerError::Contended.into())
}

/// A pipeline
#[utoipa::path(get, path = "/pipelines/{name}", tag = "pipelines",
    params(("name" = String, Path, description = "its name", example = "line")),
    responses((status = 200, description = "the pipeline", body = PipelineForm), Problem))]
pub(super) async fn get(
    State(owner): State<Shared>,
    InPath(name): InPath<String>,
) -> Result<Json<Value>, Problem> {
    let found = owner.catalog().pipeline(&name).await?;
    let found = found.ok_or_else(|| missing(&name))?;
    Ok(Json(view(&found.record)))
}

/// Change a pipeline; runs that have begun keep what they began with
#[utoipa::path(put, path = "/pipelines/{name}", tag = "pipelines", request_body = PipelineForm,
    params(("name" = String, Path, description = "its name", example = "line")),
    responses((status = 200, description = "the pipeline", body = PipelineForm), Problem))]
pub(super) async fn put(
    State(owner): State<Shared>,
    InPath(name): InPath<String>,
    DocumentBody(document, _): DocumentBody<Pipeline>,
) -> Result<Json<Value>, Problem> {
    same_name(&name, &document.name)?;
    check(&owner, &document)?;
    let record = PipelineRecord {
        pipeline: document.value,
    };
    for _ in 0..RACES_MAX {
        let found = owner.catalog().pipeline(&name).await?;
        let found = found.ok_or_else(|| missing(&name))?;
        let batch = keep_pipeline(Batch::new(), &record, Some(found.revision));
        if commit(&owner, batch).await? {
            return Ok(Json(view(&record)));
        }
    }
    Err(OwnerError::Contended.into())
}

/// Remove a pipeline; runs that have begun go on
#[utoipa::path(delete, path = "/pipelines/{name}", tag = "pipelines",
    params(("name" = String, Path, description = "its name", example = "line")),
    responses((status = 204, description = "it is gone"), Problem))]
pub(super) async fn delete(
    State(owner): State<Shared>,
    InPath(name): InPath<String>,
) -> Result<StatusCode, Problem> {
    for _ in 0..RACES_MAX {
        let found = owner.catalog().pipeline(&name).await?;
        let found = found.ok_or_else(|| missing(&name))?;
        if commit(&owner, remove_pipeline(&name, found.revision)).await? {
            return Ok(StatusCode::NO_CONTENT);
        }
    }
    Err(OwnerError::Contended.into())
}

/// That its drivers are there: told to whoever writes it, and not to whoever runs it.
fn check(owner: &Shared, document: &Document<Pipeline>) -> Result<(), Problem> {
    for (index, step) in document.steps.iter().enumerate() {
        owner.registry().check_driver(index, &step.driver)?;
    }
    Ok(())
}

fn missing(name: &str) -> Problem {
    OwnerError::not_found("pipeline", name).into()
}
