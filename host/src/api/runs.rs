//! Runs over HTTP: begun, listed, looked at, told to stop and to go on.

use super::body::{InPath, InQuery, Json, JsonBytes, document, parse, parse_or_default};
use super::guard::Via;
use super::idempotency::{self, Kept, Key, Once};
use super::{Problem, Shared};
use crate::catalog::ResourceRecord;
use crate::digest::Digest;
use crate::documents::{Document, Override, Pipeline, Resource, parse_duration};
use crate::owner::{Accepted, Along, Anew, InPlace, Named, Owner, OwnerError, RunOrder, Workspace};
use crate::runs::StoredRun;
use crate::view::{RunView, SinceView};
use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use beltline_engine::{Input, Phase, RunId, RunStatus};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use utoipa::{IntoParams, ToSchema};

/// Runs of one page.
const PAGE: usize = 20;

/// The largest page.
const PAGE_MAX: usize = 1_000;

/// Runs that one request looks at, whatever it looks for: then the page ends and its cursor goes on.
const LOOKED_AT_MAX: usize = 10_000;

/// Runs that are counted where several begin alike.
const IDS_MAX: usize = 100;

/// The longest that a request waits for a run.
const WAIT_MAX: Duration = Duration::from_secs(300);

/// What is to be run.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRun {
    /// A pipeline's name, or a pipeline, which is applied with the run. Without one the resource's own; where that names
    /// none, each driver that listens for its kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub pipeline: Option<Value>,
    /// A resource's name (`KIND/NAME` without a pipeline), or a resource, which is applied with the run.
    #[schema(value_type = Object)]
    pub resource: Value,
    /// Other values for keys that the pipeline's context has; a dot leads into an object.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schema(value_type = Object)]
    pub context: Map<String, Value>,
    /// The digest of an archive that was sent before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub workspace: Option<Digest>,
    /// Over the state folder's own socket only: what `belt run` decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local: Option<LocalRun>,
}

/// What only a client of the same user on the same machine decides.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LocalRun {
    /// The operator's file; absolute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub config: Option<PathBuf>,
    /// The directory to work on; absolute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub workspace: Option<PathBuf>,
    /// Where steps put what they make; absolute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub out: Option<PathBuf>,
    /// Refuse drivers that the operator's file does not pin.
    #[serde(default)]
    pub locked: bool,
}

/// How a run goes on.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GoOn {
    /// The step from which a retry begins; else the first that did not succeed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Over the state folder's own socket only: paths that are no longer what they were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local: Option<LocalRun>,
}

/// How a run is cancelled.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Cancel {
    /// At once, rather than after its attempts have had their time to stop.
    #[serde(default)]
    pub force: bool,
}

/// How long to wait for an answer.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct WaitQuery {
    /// Answer when the run has ended, or after this long: `30s`, at most `5m`.
    #[param(example = "30s", pattern = r"^[0-9]{1,4}(ms|s|m)$")]
    pub wait: Option<String>,
}

/// Which runs.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct RunsQuery {
    /// At most so many; 20 where nothing is said, 1000 at most.
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<usize>,
    /// The `next` of the page before.
    pub cursor: Option<String>,
    /// Only those of this status.
    #[param(value_type = Option<String>)]
    pub status: Option<RunStatus>,
    /// Only those of this pipeline.
    pub pipeline: Option<String>,
    /// Only those of resources of this kind.
    pub kind: Option<String>,
    /// Only those of the resource of this name.
    pub resource: Option<String>,
}

/// A page of runs, latest first.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct RunsPage {
    /// The runs, without attempts and outputs.
    pub runs: Vec<RunView>,
    /// Runs whose records are damaged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub damaged: Vec<DamagedRun>,
    /// Where the next page begins; none on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// Whether something of the store is lost and nobody can tell what.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unsure: bool,
}

/// A run that cannot be read.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct DamagedRun {
    /// Its id.
    pub run: String,
    /// Why.
    pub error: String,
}

impl Owner {
    /// The run that is meant: its id, a begin of it that no other has, or `latest`.
    pub(super) async fn pick(&self, named: &str) -> Result<RunId, Problem> {
        if let Ok(id) = named.parse() {
            return Ok(id);
        }
        if named == "latest" {
            let latest = self.runs().latest(1).await?;
            let none = || Problem::new(StatusCode::NOT_FOUND, "there are no runs yet");
            return latest.first().copied().ok_or_else(none);
        }
        let found = self.runs().beginning_with(named, IDS_MAX).await?;
        match found.as_slice() {
            [one] => Ok(*one),
            [] => Err(Problem::new(
                StatusCode::NOT_FOUND,
                format!(
                    "no run's id begins with `{named}`; `belt runs list` names those there are"
                ),
            )),
            many => Err(Problem::invalid(format!(
                "{} runs' ids begin with `{named}`; give more of it",
                many.len()
            ))),
        }
    }

    /// A run that is there.
    pub(super) async fn picked(&self, named: &str) -> Result<StoredRun, Problem> {
        let id = self.pick(named).await?;
        let stored = self.runs().load(id).await?;
        stored.ok_or_else(|| no_such_run(id))
    }

    /// Everything about a run that is shown.
    async fn view(&self, id: RunId) -> Result<RunView, Problem> {
        let runs = self.runs();
        let stored = runs.load(id).await?.ok_or_else(|| no_such_run(id))?;
        let events = runs.events(id).await?;
        let mut outputs = Vec::new();
        for (index, step) in (0_u32..).zip(&stored.run.steps) {
            outputs.push(runs.output(id, index, step.attempts).await?);
        }
        let mut view = RunView::new(&stored, &events, &outputs);
        view.cut_off = self.is_cut_off(&stored);
        Ok(view)
    }

    /// A run without its attempts and outputs.
    fn outline(&self, stored: &StoredRun) -> RunView {
        let mut view = RunView::outline(stored);
        view.cut_off = self.is_cut_off(stored);
        view
    }

    /// How far a run has come.
    async fn since(&self, id: RunId) -> Result<SinceView, Problem> {
        let head = self.runs().head(id).await?;
        Ok(SinceView {
            revision: head.ok_or_else(|| no_such_run(id))?.revision,
            log_bytes: crate::logs::bytes(&self.state().logs(), id),
        })
    }

    fn is_cut_off(&self, stored: &StoredRun) -> bool {
        !stored.run.is_ended() && !self.is_carried(stored.run.id)
    }

    /// Waits until a run has ended, durably, or that long.
    async fn wait_for_end(&self, id: RunId, wait: Duration) -> Result<(), Problem> {
        let feed = self.feed(id);
        let head = self.runs().head(id).await?;
        let has_ended = head.is_none_or(|head| matches!(head.phase, Phase::Ended { .. }));
        // What the store has may not be durable yet where a runner has it.
        if !has_ended || self.is_carried(id) {
            feed.end(wait).await;
        }
        Ok(())
    }

    /// A new run as it has ended, durably, or as it is after that long.
    async fn ended(&self, accepted: Accepted, wait: Duration) -> Result<StoredRun, Problem> {
        let Accepted { stored, feed, .. } = accepted;
        match feed.end(wait).await {
            Some(run) => Ok(StoredRun { run, ..stored }),
            None => Ok(self.stored(stored.run.id).await?),
        }
    }
}

fn no_such_run(id: RunId) -> Problem {
    OwnerError::NoRun(id).into()
}

fn wait_of(query: &WaitQuery) -> Result<Option<Duration>, Problem> {
    let Some(text) = &query.wait else {
        return Ok(None);
    };
    let wait = parse_duration(text);
    let wait = wait.map_err(|error| Problem::invalid(format!("`wait`: {error}")))?;
    Ok(Some(wait.min(WAIT_MAX)))
}

/// Start a run
///
/// It is durable when this answers.
#[utoipa::path(post, path = "/runs", tag = "runs", params(WaitQuery, Key), request_body = NewRun,
    responses((status = 201, description = "the run", body = RunView), Problem))]
pub(super) async fn create(
    State(owner): State<Shared>,
    via: Via,
    InQuery(query): InQuery<WaitQuery>,
    key: Key,
    JsonBytes(bytes): JsonBytes,
) -> Result<Response, Problem> {
    let wait = wait_of(&query)?;
    let key = key.of("/runs", &bytes);
    let new: NewRun = parse(&bytes)?;
    let mut order = order(via, new)?;
    let render = |accepted: &Accepted| {
        let view = created(accepted);
        Kept::json(StatusCode::CREATED, &view).of_run(accepted.stored.run.id)
    };
    let stored = match (
        idempotency::once(&owner, key, &mut order, render).await?,
        wait,
    ) {
        (Once::Now(accepted), None) => return Ok(render(&accepted).into_response()),
        (Once::Before(kept), None) => return Ok(kept.into_response()),
        (Once::Now(accepted), Some(wait)) => owner.ended(*accepted, wait).await?,
        (Once::Before(kept), Some(wait)) => {
            let Some(id) = kept.run else {
                return Ok(kept.into_response());
            };
            owner.wait_for_end(id, wait).await?;
            owner.stored(id).await?
        }
    };
    Ok((StatusCode::CREATED, axum::Json(owner.outline(&stored))).into_response())
}

fn created(accepted: &Accepted) -> RunView {
    let mut view = RunView::outline(&accepted.stored);
    view.notes.clone_from(&accepted.notes);
    view
}

/// What a request orders.
fn order(via: Via, new: NewRun) -> Result<RunOrder, Problem> {
    let pipeline = new
        .pipeline
        .map(|value| named::<Pipeline>("/pipeline", value));
    let resource = named::<Resource>("/resource", new.resource)?;
    let context = new.context.into_iter();
    let context = context
        .map(|(key, value)| Override { key, value })
        .collect();
    let archive = new.workspace.map(Workspace::Archive);
    let local = local(via, new.local)?;
    let (in_place, folder) = match local {
        None => (None, None),
        Some(local) => {
            let in_place = local.config.map(|config| InPlace {
                config,
                out: local.out,
                locked: local.locked,
            });
            (in_place, local.workspace)
        }
    };
    if archive.is_some() && folder.is_some() {
        return Err(Problem::field("/workspace", "there are two; give one"));
    }
    Ok(RunOrder {
        pipeline: pipeline.transpose()?,
        resource,
        context,
        workspace: archive.or(folder.map(|folder| Workspace::Folder(folder, None))),
        is_new: false,
        event: None,
        along: None,
        in_place,
    })
}

/// Paths are for those who are on this machine as this user.
fn local(via: Via, local: Option<LocalRun>) -> Result<Option<LocalRun>, Problem> {
    match (via, &local) {
        (Via::Network, Some(_)) => Err(Problem::field(
            "/local",
            "paths of this machine are only taken over the state folder's own socket",
        )),
        (Via::Network | Via::Local, _) => Ok(local),
    }
}

fn named<T: super::body::OneOf>(field: &str, value: Value) -> Result<Named<Document<T>>, Problem> {
    match value {
        Value::String(name) => Ok(Named::Name(name)),
        Value::Object(_) => {
            let bytes = value.to_string();
            let inner = document::<T>(bytes.as_bytes());
            inner
                .map(Named::Inline)
                .map_err(|problem| problem.inside(field))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => {
            Err(Problem::field(field, "it is neither a name nor an object"))
        }
    }
}

/// Runs, latest first
#[utoipa::path(get, path = "/runs", tag = "runs", params(RunsQuery),
    responses((status = 200, description = "a page of them", body = RunsPage), Problem))]
pub(super) async fn list(
    State(owner): State<Shared>,
    InQuery(query): InQuery<RunsQuery>,
) -> Result<axum::Json<RunsPage>, Problem> {
    let limit = query.limit.unwrap_or(PAGE);
    if !(1..=PAGE_MAX).contains(&limit) {
        return Err(Problem::invalid(format!("`limit` is from 1 to {PAGE_MAX}")));
    }
    let cursor = query.cursor.as_deref().map(str::parse::<RunId>).transpose();
    let mut before = cursor.map_err(|_| Problem::invalid("`cursor` is no `next` of a page"))?;
    let resource = query.kind.as_deref().zip(query.resource.as_deref());
    let mut page = RunsPage {
        unsure: owner.is_unsure(),
        ..RunsPage::default()
    };
    let mut looked_at = 0;
    loop {
        let ids = owner
            .runs()
            .before(before, resource, limit.max(PAGE))
            .await?;
        let has_more = ids.len() == limit.max(PAGE);
        for id in ids {
            if page.runs.len() + page.damaged.len() >= limit || looked_at >= LOOKED_AT_MAX {
                page.next = before.map(|id| id.to_string());
                return Ok(axum::Json(page));
            }
            looked_at += 1;
            before = Some(id);
            match outline(&owner, id, &query).await {
                Ok(view) => page.runs.extend(view),
                Err(error) => page.damaged.push(DamagedRun {
                    run: id.to_string(),
                    error: error.to_string(),
                }),
            }
        }
        if !has_more {
            return Ok(axum::Json(page));
        }
    }
}

/// A run, where it is one that is looked for.
async fn outline(
    owner: &Owner,
    id: RunId,
    query: &RunsQuery,
) -> Result<Option<RunView>, crate::runs::RunsError> {
    let runs = owner.runs();
    if query.pipeline.is_some() || query.kind.is_some() || query.resource.is_some() {
        let Some(record) = runs.record(id).await? else {
            return Ok(None);
        };
        let fits = |wish: &Option<String>, is: &str| wish.as_deref().is_none_or(|wish| wish == is);
        if !(fits(&query.pipeline, &record.pipeline)
            && fits(&query.kind, &record.kind)
            && fits(&query.resource, &record.resource))
        {
            return Ok(None);
        }
    }
    if let Some(status) = query.status
        && let Some(head) = runs.head(id).await?
        && let Phase::Ended { end, .. } = head.phase
        && end.status() != status
    {
        return Ok(None);
    }
    let stored = runs.load(id).await?;
    let view = stored.map(|stored| owner.outline(&stored));
    Ok(view.filter(|view| query.status.is_none_or(|status| view.status == status)))
}

/// A run, with all that is known of it
#[utoipa::path(get, path = "/runs/{run}", tag = "runs", params(WaitQuery,
    ("run" = String, Path, description = "its id, the begin of one, or `latest`")),
    responses((status = 200, description = "the run", body = RunView), Problem))]
pub(super) async fn get(
    State(owner): State<Shared>,
    InPath(named): InPath<String>,
    InQuery(query): InQuery<WaitQuery>,
) -> Result<axum::Json<RunView>, Problem> {
    let wait = wait_of(&query)?;
    let id = owner.pick(&named).await?;
    if let Some(wait) = wait {
        owner.wait_for_end(id, wait).await?;
    }
    Ok(axum::Json(owner.view(id).await?))
}

/// Ask a run to stop
#[utoipa::path(post, path = "/runs/{run}/cancel", tag = "runs", request_body = Cancel,
    params(("run" = String, Path, description = "its id, the begin of one, or `latest`")),
    responses((status = 202, description = "it stops, or has ended meanwhile", body = RunView), Problem))]
pub(super) async fn cancel(
    State(owner): State<Shared>,
    InPath(named): InPath<String>,
    Json(cancel): Json<Cancel>,
) -> Result<Response, Problem> {
    let id = owner.pick(&named).await?;
    let asked = Input::Cancel {
        force: cancel.force,
    };
    if !owner.ask(id, asked).await? {
        let stored = owner.stored(id).await?;
        if stored.run.is_ended() {
            let status = stored.run.status();
            return Err(OwnerError::Conflict(format!("the run has ended: it is {status}")).into());
        }
    }
    let view = owner.outline(&owner.stored(id).await?);
    Ok((StatusCode::ACCEPTED, axum::Json(view)).into_response())
}

/// Have a run that ended go on in a new round
#[utoipa::path(post, path = "/runs/{run}/retry", tag = "runs", request_body = GoOn,
    params(("run" = String, Path, description = "its id, the begin of one, or `latest`")),
    responses((status = 202, description = "the run", body = RunView), Problem))]
pub(super) async fn retry(
    State(owner): State<Shared>,
    via: Via,
    InPath(named): InPath<String>,
    Json(how): Json<GoOn>,
) -> Result<Response, Problem> {
    let id = owner.pick(&named).await?;
    let anew = anew(via, how.local)?;
    let since = owner.since(id).await?;
    let carrier = Arc::clone(&owner);
    let retry = async move { carrier.retry(id, how.from.as_deref(), &anew).await };
    owner.apart(retry).await?;
    let mut view = owner.outline(&owner.stored(id).await?);
    view.since = Some(since);
    Ok((StatusCode::ACCEPTED, axum::Json(view)).into_response())
}

/// Make a new run of the same snapshots
#[utoipa::path(post, path = "/runs/{run}/rerun", tag = "runs", request_body = GoOn,
    params(Key, ("run" = String, Path, description = "its id, the begin of one, or `latest`")),
    responses((status = 201, description = "the new run", body = RunView), Problem))]
pub(super) async fn rerun(
    State(owner): State<Shared>,
    via: Via,
    InPath(named): InPath<String>,
    key: Key,
    JsonBytes(bytes): JsonBytes,
) -> Result<Response, Problem> {
    let how: GoOn = parse_or_default(&bytes)?;
    let keyed = key.of(&format!("/runs/{named}/rerun"), &bytes);
    if let Some(kept) = idempotency::before(&owner, keyed.as_ref()).await? {
        return Ok(kept.into_response());
    }
    let id = owner.pick(&named).await?;
    if how.from.is_some() {
        return Err(Problem::field(
            "/from",
            "a rerun takes all steps; leave it out",
        ));
    }
    let anew = anew(via, how.local)?;
    let render = |accepted: &Accepted| Kept::json(StatusCode::CREATED, &created(accepted));
    let along = keyed.clone().map(|keyed| -> Along {
        Arc::new(move |batch, accepted| render(accepted).along(batch, Some(&keyed)))
    });
    let carrier = Arc::clone(&owner);
    let rerun = async move { carrier.rerun(id, &anew, along).await };
    let kept = idempotency::first(&owner, keyed.as_ref(), owner.apart(rerun).await, render);
    Ok(kept.await?.into_response())
}

/// Have a run go on that was cut off
#[utoipa::path(post, path = "/runs/{run}/resume", tag = "runs", request_body = GoOn,
    params(("run" = String, Path, description = "its id, the begin of one, or `latest`")),
    responses((status = 202, description = "the run goes on", body = RunView),
        (status = 200, description = "it had ended already", body = RunView), Problem))]
pub(super) async fn resume(
    State(owner): State<Shared>,
    via: Via,
    InPath(named): InPath<String>,
    Json(how): Json<GoOn>,
) -> Result<Response, Problem> {
    let id = owner.pick(&named).await?;
    if how.from.is_some() {
        return Err(Problem::field(
            "/from",
            "a run goes on where it was; leave it out",
        ));
    }
    let anew = anew(via, how.local)?;
    let since = owner.since(id).await?;
    let carrier = Arc::clone(&owner);
    let resumed = async move { carrier.resume(id, &anew).await };
    let status = match owner.apart(resumed).await? {
        true => StatusCode::ACCEPTED,
        false => StatusCode::OK,
    };
    let mut view = owner.outline(&owner.stored(id).await?);
    view.since = Some(since);
    Ok((status, axum::Json(view)).into_response())
}

fn anew(via: Via, given: Option<LocalRun>) -> Result<Anew, Problem> {
    let local = local(via, given)?.unwrap_or_default();
    if local.locked {
        return Err(Problem::field(
            "/local/locked",
            "a run keeps its drivers; leave it out",
        ));
    }
    Ok(Anew {
        config: local.config,
        workspace: local.workspace,
        out: local.out,
    })
}

/// A file that a run has made.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct OutFile {
    /// Its path below the out folder.
    pub path: String,
    /// Its size in bytes.
    pub bytes: u64,
}

/// The files of a run
#[utoipa::path(get, path = "/runs/{run}/out", tag = "runs",
    params(("run" = String, Path, description = "its id, the begin of one, or `latest`")),
    responses((status = 200, description = "by path", body = Vec<OutFile>), Problem))]
pub(super) async fn out(
    State(owner): State<Shared>,
    InPath(named): InPath<String>,
) -> Result<axum::Json<Vec<OutFile>>, Problem> {
    let stored = owner.picked(&named).await?;
    let folder = stored.record.out.clone();
    let listed = tokio::task::spawn_blocking(move || super::out::list(&folder)).await;
    let files = listed.map_err(|_| Problem::from(OwnerError::Panicked))??;
    Ok(axum::Json(files))
}

/// A file of a run
#[utoipa::path(get, path = "/runs/{run}/out/{*path}", tag = "runs",
    params(("run" = String, Path, description = "its id, the begin of one, or `latest`"),
        ("path" = String, Path, description = "its path below the out folder")),
    responses((status = 200, description = "its bytes", content_type = "application/octet-stream", body = Vec<u8>), Problem))]
pub(super) async fn out_file(
    State(owner): State<Shared>,
    InPath((named, path)): InPath<(String, String)>,
) -> Result<Response, Problem> {
    let stored = owner.picked(&named).await?;
    let folder = stored.record.out.clone();
    let opened = tokio::task::spawn_blocking(move || super::out::open(&folder, &path)).await;
    let (file, bytes) = opened.map_err(|_| Problem::from(OwnerError::Panicked))??;
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_LENGTH, bytes.to_string()),
        // What a driver has made is never shown as a page of this host.
        (header::CONTENT_DISPOSITION, "attachment".to_owned()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
    ];
    Ok((headers, Body::from_stream(super::out::stream(file, bytes))).into_response())
}

/// The answer to a resource that was made or changed, as Conveyor has it.
pub(super) fn conveyor_answer(accepted: &Accepted, verb: &str) -> Value {
    let resource: Option<&ResourceRecord> = accepted.resource.as_ref();
    let generation = resource.map_or(1, |resource| resource.generation);
    serde_json::json!({
        "message": format!("Resource {verb} successfully"),
        "name": accepted.stored.record.resource,
        "runid": accepted.stored.run.id.to_string(),
        "version": generation.to_string(),
    })
}
