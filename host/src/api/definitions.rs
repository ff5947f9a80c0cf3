//! Resource definitions over HTTP, as Conveyor has them.

use super::body::{DocumentBody, InPath, InQuery};
use super::changes::{PageQuery, RACES_MAX, commit, same_name};
use super::idempotency::{Kept, Key, Keyed, once};
use super::page::{Page, Reading};
use super::places::Place;
use super::schemas::JsonSchema;
use super::{Problem, Shared};
use crate::catalog::{DefinitionRecord, define, remove_definition};
use crate::documents::{Definition, Document, check_definition};
use crate::owner::{OwnerError, new_resource_id};
use crate::store::Batch;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use utoipa::ToSchema;

/// A kind of resource.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"name": "app", "schema": {"type": "object"}}))]
pub struct DefinitionView {
    /// Given by the server.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub id: String,
    /// The kind.
    pub name: String,
    /// What it is for.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub description: String,
    /// The author's own numbering.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub version: String,
    /// The JSON Schema of a `spec`.
    #[schema(value_type = JsonSchema)]
    pub schema: Value,
}

impl From<DefinitionRecord> for DefinitionView {
    fn from(record: DefinitionRecord) -> Self {
        let definition = record.definition;
        DefinitionView {
            id: record.id,
            name: definition.name,
            description: definition.description.unwrap_or_default(),
            version: definition.version.unwrap_or_default(),
            schema: definition.schema,
        }
    }
}

/// Definitions, by kind
#[utoipa::path(get, path = "/resource-definitions", tag = "definitions", params(PageQuery),
    responses((status = 200, description = "definitions", body = Vec<DefinitionView>), Problem))]
pub(super) async fn list(
    State(owner): State<Shared>,
    InQuery(query): InQuery<PageQuery>,
) -> Result<Json<Vec<Box<RawValue>>>, Problem> {
    let mut page = Page::new(query)?;
    while let Some(Reading { after, count }) = page.wants() {
        let catalog = owner.catalog();
        for record in catalog.definitions(after.as_deref(), count).await? {
            let name = record.definition.name.clone();
            page.push(name, &DefinitionView::from(record));
        }
    }
    Ok(Json(page.rows()))
}

/// Define a kind that has no definition
#[utoipa::path(post, path = "/resource-definitions", tag = "definitions", params(Key), request_body = DefinitionView,
    responses((status = 201, description = "the definition", body = DefinitionView), Problem))]
pub(super) async fn create(
    State(owner): State<Shared>,
    key: Key,
    DocumentBody(document, bytes): DocumentBody<Definition>,
) -> Result<Response, Problem> {
    let keyed = key.of("/resource-definitions", &bytes);
    let made = once(&owner, keyed, |owner, keyed| async move {
        make(&owner, document, keyed.as_ref()).await
    });
    Ok(made.await?.into_response())
}

async fn make(
    owner: &Shared,
    document: Document<Definition>,
    keyed: Option<&Keyed>,
) -> Result<Kept, Problem> {
    check(&document)?;
    let record = DefinitionRecord {
        id: new_resource_id(),
        definition: document.value,
    };
    let name = &record.definition.name;
    let kept = Kept::json(StatusCode::CREATED, &DefinitionView::from(record.clone()));
    let batch = define(Batch::new(), &record, None);
    if owner.catalog().definition(name).await?.is_none()
        && commit(owner, kept.clone().along(batch, keyed)).await?
    {
        return Ok(kept);
    }
    let exists = OwnerError::Exists {
        what: "definition",
        name: name.clone(),
    };
    Err(exists.into())
}

/// Define a kind, in the place of what was defined before
#[utoipa::path(post, path = "/resource-definitions/apply", tag = "definitions", params(Key), request_body = DefinitionView,
    responses((status = 201, description = "the definition", body = DefinitionView), Problem))]
pub(super) async fn apply(
    State(owner): State<Shared>,
    key: Key,
    DocumentBody(document, bytes): DocumentBody<Definition>,
) -> Result<Response, Problem> {
    let keyed = key.of("/resource-definitions/apply", &bytes);
    let applied = once(&owner, keyed, |owner, keyed| async move {
        check(&document)?;
        let view = write(&owner, document.value, false, keyed.as_ref()).await?;
        Ok(Kept::json(StatusCode::CREATED, &view))
    });
    Ok(applied.await?.into_response())
}

/// A definition
#[utoipa::path(get, path = "/resource-definitions/{name}", tag = "definitions",
    params(("name" = String, Path, description = "the kind", example = "app")),
    responses((status = 200, description = "the definition", body = DefinitionView), Problem))]
pub(super) async fn get(
    State(owner): State<Shared>,
    InPath(name): InPath<String>,
) -> Result<Json<DefinitionView>, Problem> {
    let found = owner.catalog().definition(&name).await?;
    let found = found.ok_or_else(|| missing(&name))?;
    Ok(Json(found.record.into()))
}

/// Change a definition
#[utoipa::path(put, path = "/resource-definitions/{name}", tag = "definitions", request_body = DefinitionView,
    params(("name" = String, Path, description = "the kind", example = "app")),
    responses((status = 200, description = "the definition", body = DefinitionView), Problem))]
pub(super) async fn put(
    State(owner): State<Shared>,
    InPath(name): InPath<String>,
    DocumentBody(document, _): DocumentBody<Definition>,
) -> Result<Json<DefinitionView>, Problem> {
    same_name(&name, &document.name)?;
    check(&document)?;
    Ok(Json(write(&owner, document.value, true, None).await?))
}

/// Remove a definition
#[utoipa::path(delete, path = "/resource-definitions/{name}", tag = "definitions",
    params(("name" = String, Path, description = "the kind", example = "app")),
    responses((status = 204, description = "it is gone"), Problem))]
pub(super) async fn delete(
    State(owner): State<Shared>,
    InPath(name): InPath<String>,
) -> Result<StatusCode, Problem> {
    for _ in 0..RACES_MAX {
        let found = owner.catalog().definition(&name).await?;
        let found = found.ok_or_else(|| missing(&name))?;
        if commit(&owner, remove_definition(&name, found.revision)).await? {
            return Ok(StatusCode::NO_CONTENT);
        }
    }
    Err(OwnerError::Contended.into())
}

fn check(document: &Document<Definition>) -> Result<(), Problem> {
    let found = check_definition(document);
    match found.is_empty() {
        true => Ok(()),
        false => Err(Problem::misfits(
            Place::Itself(""),
            &document.misfits(&found, ""),
        )),
    }
}

async fn write(
    owner: &Shared,
    definition: Definition,
    is_there: bool,
    keyed: Option<&Keyed>,
) -> Result<DefinitionView, Problem> {
    for _ in 0..RACES_MAX {
        let found = owner.catalog().definition(&definition.name).await?;
        if found.is_none() && is_there {
            return Err(missing(&definition.name));
        }
        let revision = found.as_ref().map(|found| found.revision);
        let id = found.map_or_else(new_resource_id, |found| found.record.id);
        let record = DefinitionRecord {
            id,
            definition: definition.clone(),
        };
        let batch = define(Batch::new(), &record, revision);
        let view = DefinitionView::from(record);
        let kept = Kept::json(StatusCode::CREATED, &view);
        if commit(owner, kept.along(batch, keyed)).await? {
            return Ok(view);
        }
    }
    Err(OwnerError::Contended.into())
}

fn missing(name: &str) -> Problem {
    OwnerError::not_found("definition", name).into()
}
