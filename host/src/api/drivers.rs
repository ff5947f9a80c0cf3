//! Drivers over HTTP: what is served, and components that clients bring. Grants are never had here.

use super::body::{self, InPath};
use super::{Problem, Shared};
use crate::digest::Digest;
use crate::documents::{Grants, check_subject_token};
use crate::drivers::{DRIVER_BYTES_MAX, Resolved};
use crate::owner::{DriverSource, DriverStatus, OwnerError, ServedDriver};
use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use utoipa::ToSchema;

/// How long a client may take to send a driver.
const TIME_MAX: Duration = Duration::from_secs(300);

/// A driver that runs may name.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct DriverView {
    /// Its name.
    pub name: String,
    /// Where it runs: `wasm`.
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
}

/// The drivers of a host.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct DriversView {
    /// By name.
    pub drivers: Vec<DriverView>,
    /// What is wrong with the operator's file, where the one before it goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

fn view(name: &str, driver: &ServedDriver) -> DriverView {
    let resolved = driver.current.as_deref();
    let current = resolved.and_then(Resolved::wasm);
    DriverView {
        name: name.to_owned(),
        placement: "wasm".to_owned(),
        source: driver.source,
        status: driver.status,
        digest: current.map(|current| current.digest),
        version: current.and_then(|current| current.version.clone()),
        kinds: resolved
            .map(|resolved| resolved.kinds().to_vec())
            .unwrap_or_default(),
        grants: current.map(|current| current.grants),
        trouble: driver.trouble.clone(),
    }
}

/// Drivers, by name
#[utoipa::path(get, path = "/drivers", tag = "drivers",
    responses((status = 200, description = "drivers", body = DriversView), Problem))]
pub(super) async fn list(State(owner): State<Shared>) -> Json<DriversView> {
    let served = owner.registry().served();
    let drivers = served
        .drivers
        .iter()
        .map(|(name, driver)| view(name, driver));
    Json(DriversView {
        drivers: drivers.collect(),
        trouble: served.trouble.clone(),
    })
}

/// A driver
#[utoipa::path(get, path = "/drivers/{name}", tag = "drivers",
    params(("name" = String, Path, description = "its name")),
    responses((status = 200, description = "the driver", body = DriverView), Problem))]
pub(super) async fn get(
    State(owner): State<Shared>,
    InPath(name): InPath<String>,
) -> Result<Json<DriverView>, Problem> {
    one(&owner, &name).map(Json)
}

fn one(owner: &Shared, name: &str) -> Result<DriverView, Problem> {
    let served = owner.registry().served();
    let driver = served.drivers.get(name).map(|driver| view(name, driver));
    driver.ok_or_else(|| OwnerError::not_found("driver", name).into())
}

/// Bring a driver; it has no grants
///
/// It is compiled outside the request, under limits of its own: `GET` says whether it is ready. Runs that have begun keep
/// what they began with.
#[utoipa::path(put, path = "/drivers/{name}", tag = "drivers",
    request_body(content = Vec<u8>, content_type = "application/wasm"),
    params(("name" = String, Path, description = "its name")),
    responses((status = 201, description = "a new driver", body = DriverView),
        (status = 200, description = "it takes the place of the one before", body = DriverView), Problem))]
pub(super) async fn put(
    State(owner): State<Shared>,
    InPath(name): InPath<String>,
    request: Request,
) -> Result<Response, Problem> {
    check_subject_token("driver name", &name)
        .map_err(|error| Problem::invalid(error.to_string()))?;
    body::check_content(&request, "application/wasm")?;
    if !owner.registry().serves() {
        return Err(Problem::new(
            StatusCode::CONFLICT,
            "this host serves no drivers of its own; `belt up` does",
        ));
    }
    let bytes_max = usize::try_from(DRIVER_BYTES_MAX).unwrap_or(usize::MAX);
    let bytes = body::read(request.into_body(), bytes_max, TIME_MAX).await?;
    let (carrier, named) = (Arc::clone(&owner), name.clone());
    let put = async move { carrier.put_driver(&named, bytes.to_vec()).await };
    let (_, is_new) = owner.apart(put).await?;
    let status = if is_new {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    Ok((status, Json(one(&owner, &name)?)).into_response())
}

/// Remove a driver that a client has brought, while no run uses it
#[utoipa::path(delete, path = "/drivers/{name}", tag = "drivers",
    params(("name" = String, Path, description = "its name")),
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
