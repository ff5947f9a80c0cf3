//! Runs over HTTP: begun, listed, looked at, told to stop and to go on.

mod forms;
mod wait;

pub use forms::{Cancel, DamagedRun, GoOn, LocalRun, NewRun, RunsPage, RunsQuery, WaitQuery};
pub use wait::Ends;

use super::body::{InPath, InQuery, Json, JsonBytes, document, parse};
use super::changes::limited;
use super::guard::Via;
use super::idempotency::{Kept, Key, Once, along, once};
use super::places::Places;
use super::{Problem, Shared};
use crate::documents::{Document, Override, Pipeline, Resource};
use crate::owner::{Accepted, Anew, InPlace, Named, Owner, OwnerError, RunOrder, Workspace};
use crate::runs::StoredRun;
use crate::view::{IgnoredView, RunView, SinceView};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use beltline_engine::{Input, Phase, RunId};
use serde_json::Value;
use wait::{Wait, Wished};

/// Runs of one page.
const PAGE: usize = 20;

/// Runs that one request looks at, whatever it looks for: then the page ends and its cursor goes on.
const LOOKED_AT_MAX: usize = 10_000;

/// Runs that are counted where several begin alike.
const IDS_MAX: usize = 100;

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

    /// That a run may be done again: over the network not one that was given paths or grants on this machine.
    async fn check_own(&self, via: Via, id: RunId) -> Result<(), Problem> {
        if via == Via::Local {
            return Ok(());
        }
        let record = self.runs().record(id).await?;
        match self.is_of_here(&record.ok_or_else(|| no_such_run(id))?) {
            false => Ok(()),
            true => Err(Problem::new(
                StatusCode::FORBIDDEN,
                "the run was given paths or grants on the host's own machine; do it again there, with `--state`",
            )),
        }
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
        let ignored = runs.ignored(Some(id)).await?;
        view.ignored = ignored.into_iter().map(IgnoredView::from).collect();
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
}

fn no_such_run(id: RunId) -> Problem {
    OwnerError::NoRun(id).into()
}

/// Start a run
///
/// It is durable when this answers.
#[utoipa::path(post, path = "/runs", tag = "runs", params(WaitQuery, Key), request_body = NewRun,
    responses((status = 201, description = "the run", body = RunView), Problem))]
pub(super) async fn create(
    State(owner): State<Shared>,
    via: Via,
    Wished(wait): Wished,
    key: Key,
    JsonBytes(bytes): JsonBytes,
) -> Result<Response, Problem> {
    let key = key.of("/runs", &bytes);
    let new: NewRun = parse(&bytes)?;
    let mut order = order(via, new)?;
    let places = Places::of(&order);
    let made = once(&owner, key, move |owner, keyed| async move {
        order.along = along(keyed, created);
        let accepted = owner.order(order).await;
        let accepted = accepted.map_err(|error| Problem::of(&error, places))?;
        Ok(Box::new(accepted))
    });
    match (made.await?, wait) {
        (Once::Now(accepted), None) => Ok(created(&accepted).into_response()),
        (Once::Now(accepted), Some(wait)) => {
            let stored = owner.ended(*accepted, &wait).await?;
            Ok((StatusCode::CREATED, axum::Json(owner.outline(&stored))).into_response())
        }
        (Once::Before(kept), wait) => answered(&owner, kept, wait).await,
    }
}

/// What is answered about a run that was told to begin or to go on: at once what is kept, or how it has ended.
async fn answered(owner: &Shared, kept: Kept, wait: Option<Wait>) -> Result<Response, Problem> {
    let (Some(wait), Some(id)) = (wait, kept.run) else {
        return Ok(kept.into_response());
    };
    owner.wait_for_end(id, &wait).await;
    let Some(stored) = owner.runs().load(id).await? else {
        // It has been kept long enough; its answer is kept longer.
        return Ok(kept.into_response());
    };
    owner.synced().await?;
    Ok((kept.status(), axum::Json(owner.outline(&stored))).into_response())
}

fn created(accepted: &Accepted) -> Kept {
    let mut view = RunView::outline(&accepted.stored);
    view.notes.clone_from(&accepted.notes);
    Kept::json(StatusCode::CREATED, &view).of_run(accepted.stored.run.id)
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
        is_change: false,
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
    let limit = limited(query.limit, PAGE)?;
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
    ("run" = String, Path, description = "its id, the begin of one, or `latest`", example = "latest")),
    responses((status = 200, description = "the run", body = RunView), Problem))]
pub(super) async fn get(
    State(owner): State<Shared>,
    InPath(named): InPath<String>,
    Wished(wait): Wished,
) -> Result<axum::Json<RunView>, Problem> {
    let id = owner.pick(&named).await?;
    if let Some(wait) = wait {
        owner.wait_for_end(id, &wait).await;
    }
    Ok(axum::Json(owner.view(id).await?))
}

/// Ask a run to stop
///
/// With a key the answer is kept once the run is asked. A crash between the two has a repeat ask again, which does no harm:
/// a run that has ended meanwhile is answered with 409.
#[utoipa::path(post, path = "/runs/{run}/cancel", tag = "runs", request_body = Cancel,
    params(Key, ("run" = String, Path, description = "its id, the begin of one, or `latest`", example = "latest")),
    responses((status = 202, description = "it stops, or has ended meanwhile", body = RunView), Problem))]
pub(super) async fn cancel(
    State(owner): State<Shared>,
    InPath(named): InPath<String>,
    key: Key,
    Json(Cancel { force }, bytes): Json<Cancel>,
) -> Result<Response, Problem> {
    let keyed = key.of(&format!("/runs/{named}/cancel"), &bytes);
    let asked = once(&owner, keyed, move |owner, keyed| async move {
        let id = owner.pick(&named).await?;
        let has_changed = owner.ask(id, Input::Cancel { force }).await?;
        let stored = owner.stored(id).await?;
        if !has_changed && stored.run.is_ended() {
            let status = stored.run.status();
            return Err(OwnerError::Conflict(format!("the run has ended: it is {status}")).into());
        }
        let kept = Kept::json(StatusCode::ACCEPTED, &owner.outline(&stored));
        kept.after(&owner, keyed.as_ref()).await
    });
    Ok(asked.await?.into_response())
}

/// Have a run that ended go on in a new round
///
/// It is durable when this answers.
#[utoipa::path(post, path = "/runs/{run}/retry", tag = "runs", request_body = GoOn,
    params(WaitQuery, Key, ("run" = String, Path, description = "its id, the begin of one, or `latest`", example = "latest")),
    responses((status = 202, description = "the run", body = RunView), Problem))]
pub(super) async fn retry(
    State(owner): State<Shared>,
    via: Via,
    InPath(named): InPath<String>,
    Wished(wait): Wished,
    key: Key,
    Json(how, bytes): Json<GoOn>,
) -> Result<Response, Problem> {
    let anew = anew(via, how.local)?;
    let keyed = key.of(&format!("/runs/{named}/retry"), &bytes);
    let retried = once(&owner, keyed, move |owner, keyed| async move {
        let id = owner.pick(&named).await?;
        owner.check_own(via, id).await?;
        let since = owner.since(id).await?;
        let render = move |stored: &StoredRun| {
            let mut view = RunView::outline(stored);
            view.since = Some(since);
            Kept::json(StatusCode::ACCEPTED, &view).of_run(id)
        };
        let (from, along) = (how.from.as_deref(), along(keyed, render));
        Ok(render(&owner.retry(id, from, &anew, along).await?))
    });
    answered(&owner, retried.await?.kept(), wait).await
}

/// Make a new run of the same snapshots
#[utoipa::path(post, path = "/runs/{run}/rerun", tag = "runs", request_body = GoOn,
    params(WaitQuery, Key, ("run" = String, Path, description = "its id, the begin of one, or `latest`", example = "latest")),
    responses((status = 201, description = "the new run", body = RunView), Problem))]
pub(super) async fn rerun(
    State(owner): State<Shared>,
    via: Via,
    InPath(named): InPath<String>,
    Wished(wait): Wished,
    key: Key,
    Json(how, bytes): Json<GoOn>,
) -> Result<Response, Problem> {
    let keyed = key.of(&format!("/runs/{named}/rerun"), &bytes);
    if how.from.is_some() {
        return Err(Problem::field(
            "/from",
            "a rerun takes all steps; leave it out",
        ));
    }
    let anew = anew(via, how.local)?;
    let made = once(&owner, keyed, move |owner, keyed| async move {
        let id = owner.pick(&named).await?;
        owner.check_own(via, id).await?;
        let along = along(keyed, created);
        Ok(created(&owner.rerun(id, &anew, along).await?))
    });
    answered(&owner, made.await?.kept(), wait).await
}

/// Have a run go on that was cut off
///
/// With a key the answer is kept once the run goes on. A crash between the two has a repeat carried out again, which does no
/// harm: a run that goes on is left alone.
#[utoipa::path(post, path = "/runs/{run}/resume", tag = "runs", request_body = GoOn,
    params(Key, ("run" = String, Path, description = "its id, the begin of one, or `latest`", example = "latest")),
    responses((status = 202, description = "the run goes on", body = RunView),
        (status = 200, description = "it had ended already", body = RunView), Problem))]
pub(super) async fn resume(
    State(owner): State<Shared>,
    via: Via,
    InPath(named): InPath<String>,
    key: Key,
    Json(how, bytes): Json<GoOn>,
) -> Result<Response, Problem> {
    if how.from.is_some() {
        return Err(Problem::field(
            "/from",
            "a run goes on where it was; leave it out",
        ));
    }
    let anew = anew(via, how.local)?;
    let keyed = key.of(&format!("/runs/{named}/resume"), &bytes);
    let resumed = once(&owner, keyed, move |owner, keyed| async move {
        let id = owner.pick(&named).await?;
        let since = owner.since(id).await?;
        let status = match owner.resume(id, &anew).await? {
            true => StatusCode::ACCEPTED,
            false => StatusCode::OK,
        };
        let mut view = owner.outline(&owner.stored(id).await?);
        view.since = Some(since);
        let kept = Kept::json(status, &view);
        kept.after(&owner, keyed.as_ref()).await
    });
    Ok(resumed.await?.into_response())
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
