//! Resources over HTTP, as Conveyor has them; what its drivers answered stands in their metadata.

use super::body::{DocumentBody, InPath, InQuery};
use super::changes::{PageQuery, RACES_MAX, commit, same_name};
use super::idempotency::{Kept, Key, along, once};
use super::page::{Page, Reading};
use super::places::Places;
use super::schemas::{ResourceForm, ShownResource};
use super::{Problem, Shared};
use crate::catalog::{ResourceRecord, keep_resource, remove_resource};
use crate::clock::rfc3339;
use crate::documents::{Document, Resource};
use crate::owner::{Accepted, Named, OwnerError, RunOrder};
use crate::records::ResyncRecord;
use crate::runs::{driver_results, resync_key};
use crate::store::Batch;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

/// What became of a resource that was sent, as Conveyor has it.
#[derive(Debug, Serialize, ToSchema)]
pub struct ResourceAnswer {
    /// In words.
    pub message: String,
    /// The resource's name.
    pub name: String,
    /// Its run; empty where it has had none.
    pub runid: String,
    /// Its generation.
    pub version: String,
}

fn order(document: Document<Resource>) -> RunOrder {
    RunOrder {
        pipeline: None,
        resource: Named::Inline(document),
        context: Vec::new(),
        workspace: None,
        is_new: false,
        is_change: false,
        event: None,
        along: None,
        in_place: None,
    }
}

/// Keep a resource and start a run of it
///
/// It is durable when this answers. Without a `pipeline` it goes to every driver that listens for its kind.
#[utoipa::path(post, path = "/resources", tag = "resources", params(Key), request_body = ResourceForm,
    responses((status = 201, description = "it is durable, and so is its run", body = ResourceAnswer), Problem))]
pub(super) async fn create(
    State(owner): State<Shared>,
    key: Key,
    DocumentBody(document, bytes): DocumentBody<Resource>,
) -> Result<Response, Problem> {
    let keyed = key.of("/resources", &bytes);
    let mut order = order(document);
    order.is_new = true;
    let render = |accepted: &Accepted| {
        let answer = conveyor_answer(accepted, "created");
        Kept::json(StatusCode::CREATED, &answer).of_run(accepted.stored.run.id)
    };
    let made = once(&owner, keyed, move |owner, keyed| async move {
        order.along = along(keyed, render);
        let accepted = owner.order(order).await;
        let accepted = accepted.map_err(|error| Problem::of(&error, Places::RESOURCE))?;
        Ok(render(&accepted))
    });
    Ok(made.await?.into_response())
}

/// The resources of a kind, by name
#[utoipa::path(get, path = "/resources/{kind}", tag = "resources",
    params(("kind" = String, Path, description = "the kind", example = "app"), PageQuery),
    responses((status = 200, description = "resources; where there are many or large ones, a page of them, and none after the last", body = Vec<ShownResource>), Problem))]
pub(super) async fn list(
    State(owner): State<Shared>,
    InPath(kind): InPath<String>,
    InQuery(query): InQuery<PageQuery>,
) -> Result<Json<Vec<Box<RawValue>>>, Problem> {
    let mut page = Page::new(query)?;
    while let Some(Reading { after, count }) = page.wants() {
        let catalog = owner.catalog();
        for record in catalog.resources(&kind, after.as_deref(), count).await? {
            let name = record.resource.name.clone();
            page.push(name, &view_of(&owner, record).await?);
        }
    }
    Ok(Json(page.rows()))
}

/// A resource, with what its drivers answered last
#[utoipa::path(get, path = "/resources/{kind}/{name}", tag = "resources",
    params(("kind" = String, Path, description = "the kind", example = "app"), ("name" = String, Path, description = "its name", example = "thing")),
    responses((status = 200, description = "the resource", body = ShownResource), Problem))]
pub(super) async fn get(
    State(owner): State<Shared>,
    InPath((kind, name)): InPath<(String, String)>,
) -> Result<Json<Value>, Problem> {
    let found = owner.catalog().resource(&kind, &name).await?;
    let found = found.ok_or_else(|| missing(&kind, &name))?;
    Ok(Json(view_of(&owner, found.record).await?))
}

/// A resource as it was in one of its generations
#[utoipa::path(get, path = "/resources/{kind}/{name}/{version}", tag = "resources",
    params(("kind" = String, Path, description = "the kind", example = "app"), ("name" = String, Path, description = "its name", example = "thing"),
        ("version" = u64, Path, description = "its generation", example = 1)),
    responses((status = 200, description = "the resource", body = ShownResource), Problem))]
pub(super) async fn version(
    State(owner): State<Shared>,
    InPath((kind, name, version)): InPath<(String, String, u64)>,
) -> Result<Json<Value>, Problem> {
    let found = owner.catalog().version(&kind, &name, version).await?;
    let found = found.ok_or_else(|| missing(&kind, &name))?;
    Ok(Json(plain(&found.record).into()))
}

/// Change a resource; a change of its spec or its pipeline starts a run
#[utoipa::path(put, path = "/resources/{kind}/{name}", tag = "resources", request_body = ResourceForm,
    params(("kind" = String, Path, description = "the kind", example = "app"), ("name" = String, Path, description = "its name", example = "thing")),
    responses((status = 200, description = "it is durable, and so is its run", body = ResourceAnswer), Problem))]
pub(super) async fn put(
    State(owner): State<Shared>,
    InPath((kind, name)): InPath<(String, String)>,
    DocumentBody(document, _): DocumentBody<Resource>,
) -> Result<Json<ResourceAnswer>, Problem> {
    same_name(&name, &document.name)?;
    if kind != document.resource {
        let found = &document.resource;
        let message = format!("it is `{found}` here and `{kind}` in the path");
        return Err(Problem::field("/resource", message));
    }
    for _ in 0..RACES_MAX {
        let found = owner.catalog().resource(&kind, &name).await?;
        let found = found.ok_or_else(|| missing(&kind, &name))?;
        let was = &found.record.resource;
        if document.spec != was.spec || document.pipeline != was.pipeline {
            let mut order = order(document.clone());
            order.is_change = true;
            match owner.order_apart(order).await {
                Ok(accepted) => return Ok(Json(conveyor_answer(&accepted, "updated"))),
                // Somebody else has made it what it is to be.
                Err(OwnerError::Unchanged) => continue,
                Err(error) => return Err(Problem::of(&error, Places::RESOURCE)),
            }
        }
        let mut record = found.record.clone();
        record.resource.metadata = document.metadata.clone();
        let answer = ResourceAnswer {
            message: "Resource unchanged".to_owned(),
            name: name.clone(),
            runid: record.run.map(|id| id.to_string()).unwrap_or_default(),
            version: record.generation.to_string(),
        };
        let batch = keep_resource(Batch::new(), &record, Some(found.revision), false);
        if record == found.record || commit(&owner, batch).await? {
            return Ok(Json(answer));
        }
    }
    Err(OwnerError::Contended.into())
}

/// Remove a resource; its runs stay
#[utoipa::path(delete, path = "/resources/{kind}/{name}", tag = "resources",
    params(("kind" = String, Path, description = "the kind", example = "app"), ("name" = String, Path, description = "its name", example = "thing")),
    responses((status = 204, description = "it is gone"), Problem))]
pub(super) async fn delete(
    State(owner): State<Shared>,
    InPath((kind, name)): InPath<(String, String)>,
) -> Result<StatusCode, Problem> {
    for _ in 0..RACES_MAX {
        let found = owner.catalog().resource(&kind, &name).await?;
        let found = found.ok_or_else(|| missing(&kind, &name))?;
        let batch = remove_resource(&found.record, found.revision);
        let batch = batch.delete(resync_key(&kind, &name));
        let batch = owner.runs().forget_answers(batch, &kind, &name).await?;
        if commit(&owner, batch).await? {
            return Ok(StatusCode::NO_CONTENT);
        }
    }
    Err(OwnerError::Contended.into())
}

/// The answer to a resource that was made or changed, as Conveyor has it.
fn conveyor_answer(accepted: &Accepted, verb: &str) -> ResourceAnswer {
    let resource = accepted.resource.as_ref();
    let generation = resource.map_or(1, |resource| resource.generation);
    ResourceAnswer {
        message: [
            vec![format!("Resource {verb} successfully")],
            accepted.notes.clone(),
        ]
        .concat()
        .join("; "),
        name: accepted.stored.record.resource.clone(),
        runid: accepted.stored.run.id.to_string(),
        version: generation.to_string(),
    }
}

fn missing(kind: &str, name: &str) -> Problem {
    OwnerError::not_found("resource", format!("{kind}/{name}")).into()
}

/// The resource itself, and its generation.
fn plain(record: &ResourceRecord) -> Map<String, Value> {
    let resource = serde_json::to_value(&record.resource).expect("a resource has string keys");
    let fields = resource.as_object().cloned();
    let mut fields = fields.expect("a resource is a mapping");
    fields.insert("generation".to_owned(), Value::from(record.generation));
    fields
}

/// A resource with its last run, and what each driver answered last, in that run or one before.
async fn view_of(owner: &Shared, record: ResourceRecord) -> Result<Value, Problem> {
    let mut shown = plain(&record);
    let (kind, name) = (&record.resource.resource, &record.resource.name);
    let answers = owner.runs().answers(kind, name, record.since).await?;
    answer(&mut shown, answers);
    if let Some((resync, _)) = owner.runs().resync(kind, name).await? {
        shown.insert("resync".to_owned(), resync_view(resync));
    }
    let Some(id) = record.run else {
        return Ok(shown.into());
    };
    // Runs go before their resources do.
    let Some(stored) = owner.runs().load(id).await? else {
        return Ok(shown.into());
    };
    let results = driver_results(owner.runs(), &stored.run).await?;
    let last_run = json!({"run": id.to_string(), "status": stored.run.status()});
    shown.insert("last_run".to_owned(), last_run);
    answer(&mut shown, results);
    Ok(shown.into())
}

/// When a run of the resource is to begin by itself, for which run, and why it could not where its time has come.
fn resync_view(record: ResyncRecord) -> Value {
    let mut view = json!({"at": rfc3339(record.at_ms), "asked_by": record.run.to_string()});
    if let (Some(trouble), Value::Object(fields)) = (record.trouble, &mut view) {
        fields.insert("trouble".to_owned(), trouble.into());
    }
    view
}

fn answer(shown: &mut Map<String, Value>, answers: Map<String, Value>) {
    if let Some(Value::Object(metadata)) = shown.get_mut("metadata") {
        metadata.extend(answers);
    }
}
