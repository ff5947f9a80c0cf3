//! Drivers over HTTP: what is served, and components that clients bring. Grants are never had here.

use super::body::{self, InPath};
use super::schemas::Bytes;
use super::{Problem, Shared};
use crate::bridge::NativeState;
use crate::clock::rfc3339;
use crate::digest::Digest;
use crate::documents::{DriverEntry, Grants, NativeDriver, check_subject_token, read_bytes};
use crate::drivers::{DRIVER_BYTES_MAX, Resolved};
use crate::owner::{DriverSource, DriverStatus, OwnerError, ServedDriver};
use crate::view::IgnoredView;
use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use futures::future::join_all;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use utoipa::ToSchema;

/// The longest entry of a native driver.
const ENTRY_BYTES_MAX: usize = 256 << 10;

/// How long a client may take to send a driver.
const TIME_MAX: Duration = Duration::from_secs(300);

/// The entry of a native driver, as `belt.yaml` has it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"placement": "native", "kinds": ["app"]}))]
pub struct NativeEntry {
    /// `native`.
    pub placement: String,
    /// `default` or `conveyor`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wire: Option<String>,
    /// `optional` or `required`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// The kinds that it takes; none for any.
    #[serde(default)]
    #[schema(value_type = Option<Vec<String>>)]
    pub kinds: Vec<String>,
    /// The operator's settings for it.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub config: Value,
}

/// A driver that runs may name.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct DriverView {
    /// Its name.
    pub name: String,
    /// Where it runs: `wasm` or `native`.
    pub placement: String,
    /// Where it comes from.
    pub source: DriverSource,
    /// Whether it can be used.
    pub status: DriverStatus,
    /// Of what new runs take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub digest: Option<Digest>,
    /// Its own version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The kinds that it takes; none for any.
    #[serde(default)]
    pub kinds: Vec<String>,
    /// What it is granted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub grants: Option<Grants>,
    /// Why what is there now is not used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// How it stands on the broker, where it is native.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub native: Option<NativeView>,
}

/// How a native driver stands on the broker.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct NativeView {
    /// Its programs that are there: those that answer, or, where none does, requests for messages that are open.
    pub connected: usize,
    /// Attempts that are out.
    pub pending: usize,
    /// Of these, those that nobody has taken.
    pub waiting: usize,
    /// Messages that the broker has delivered more than once and that are still open.
    pub redelivered: usize,
    /// When it last answered or said something, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<String>,
}

impl From<&NativeState> for NativeView {
    fn from(state: &NativeState) -> Self {
        NativeView {
            connected: state.connected,
            pending: state.pending,
            waiting: state.waiting,
            redelivered: state.redelivered,
            last_seen: state.seen_ms.map(rfc3339),
        }
    }
}

/// The drivers of a host.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct DriversView {
    /// By name.
    pub drivers: Vec<DriverView>,
    /// What is wrong with the operator's file, where the one before it goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// What came as an answer of a native driver and names no run: the latest hundred.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ignored: Vec<IgnoredView>,
}

async fn view(owner: &Shared, name: &str, driver: &ServedDriver) -> DriverView {
    let resolved = driver.current.as_deref();
    let current = resolved.and_then(Resolved::wasm);
    let native = match (owner.bridge(), resolved) {
        (Some(bridge), Some(Resolved::Native(entry))) => Some(bridge.state_of(name, entry).await),
        (None | Some(_), None | Some(_)) => None,
    };
    let trouble = native.as_ref().and_then(|native| native.trouble.clone());
    DriverView {
        name: name.to_owned(),
        placement: if driver.is_native { "native" } else { "wasm" }.to_owned(),
        source: driver.source,
        status: driver.status,
        digest: current.map(|current| current.digest),
        version: current.and_then(|current| current.version.clone()),
        kinds: resolved
            .map(|resolved| resolved.kinds().to_vec())
            .unwrap_or_default(),
        grants: current.map(|current| current.grants),
        trouble: driver.trouble.clone().or(trouble),
        native: native.as_ref().map(NativeView::from),
    }
}

/// Drivers, by name
#[utoipa::path(get, path = "/drivers", tag = "drivers",
    responses((status = 200, description = "drivers", body = DriversView), Problem))]
pub(super) async fn list(State(owner): State<Shared>) -> Result<Json<DriversView>, Problem> {
    let ignored = owner.runs().ignored(None).await.map_err(OwnerError::from)?;
    let served = owner.registry().served();
    let drivers = served.drivers.iter();
    let drivers = drivers.map(|(name, driver)| view(&owner, name, driver));
    Ok(Json(DriversView {
        drivers: join_all(drivers).await,
        trouble: served.trouble.clone(),
        ignored: ignored.into_iter().map(IgnoredView::from).collect(),
    }))
}

/// A driver
#[utoipa::path(get, path = "/drivers/{name}", tag = "drivers",
    params(("name" = String, Path, description = "its name", example = "echo")),
    responses((status = 200, description = "the driver", body = DriverView), Problem))]
pub(super) async fn get(
    State(owner): State<Shared>,
    InPath(name): InPath<String>,
) -> Result<Json<DriverView>, Problem> {
    one(&owner, &name).await.map(Json)
}

async fn one(owner: &Shared, name: &str) -> Result<DriverView, Problem> {
    let served = owner.registry().served();
    match served.drivers.get(name) {
        Some(driver) => Ok(view(owner, name, driver).await),
        None => Err(OwnerError::not_found("driver", name).into()),
    }
}

/// Bring a driver: a component, which has no grants, or as JSON the entry of a native one, as `belt.yaml` has it
///
/// A component is compiled outside the request, under limits of its own: `GET` says whether it is ready. Runs that have begun keep
/// what they began with.
#[utoipa::path(put, path = "/drivers/{name}", tag = "drivers",
    request_body(content((Bytes = "application/wasm"), (NativeEntry = "application/json"))),
    params(("name" = String, Path, description = "its name", example = "echo")),
    responses((status = 201, description = "a new driver", body = DriverView),
        (status = 200, description = "it takes the place of the one before", body = DriverView), Problem))]
pub(super) async fn put(
    State(owner): State<Shared>,
    InPath(name): InPath<String>,
    request: Request,
) -> Result<Response, Problem> {
    check_subject_token("driver name", &name)
        .map_err(|error| Problem::invalid(error.to_string()))?;
    let is_native = body::is_content(&request, "application/json");
    if !is_native {
        body::check_content(&request, "application/wasm")?;
    }
    if !owner.registry().serves() {
        return Err(Problem::new(
            StatusCode::CONFLICT,
            "this host serves no drivers of its own; `belt up` does",
        ));
    }
    let bytes_max = match is_native {
        true => ENTRY_BYTES_MAX,
        false => usize::try_from(DRIVER_BYTES_MAX).unwrap_or(usize::MAX),
    };
    let bytes = body::read_driver(request.into_body(), bytes_max, TIME_MAX).await?;
    let (carrier, named) = (Arc::clone(&owner), name.clone());
    let is_new = match is_native {
        true => {
            let entry = native_entry(&name, &bytes)?;
            let put = async move { carrier.put_native(&named, entry).await };
            owner.apart(put).await?
        }
        false => {
            let put = async move { carrier.put_driver(&named, bytes).await };
            owner.apart(put).await?
        }
    };
    let status = if is_new {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    Ok((status, Json(one(&owner, &name).await?)).into_response())
}

/// The entry of a native driver, as the operator's file would have it.
fn native_entry(name: &str, bytes: &[u8]) -> Result<NativeDriver, Problem> {
    let entry: Value = body::parse(bytes)?;
    let config = json!({"drivers": {name: entry}}).to_string();
    let documents = read_bytes("the body", config.as_bytes()).map_err(|found| {
        let place = format!("/drivers/{name}");
        Problem::document(config.as_bytes(), &found).out_of(&place)
    })?;
    let config = documents.configs.into_iter().next();
    match config.and_then(|mut config| config.value.drivers.remove(name)) {
        Some(DriverEntry::Native(entry)) => Ok(entry),
        Some(DriverEntry::Wasm(_)) | None => Err(Problem::field(
            "/placement",
            "only a native driver is registered by its entry; send a component as `application/wasm`",
        )),
    }
}

/// Remove a driver that a client has brought, while no run uses it
#[utoipa::path(delete, path = "/drivers/{name}", tag = "drivers",
    params(("name" = String, Path, description = "its name", example = "echo")),
    responses((status = 204, description = "it is gone"), Problem))]
pub(super) async fn delete(
    State(owner): State<Shared>,
    InPath(name): InPath<String>,
) -> Result<StatusCode, Problem> {
    let carrier = Arc::clone(&owner);
    let delete = async move { carrier.delete_driver(&name).await };
    owner.apart(delete).await?;
    Ok(StatusCode::NO_CONTENT)
}
