//! How the host is.

use super::{Problem, Shared};
use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// That the host is well.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// `ok`.
    pub status: String,
    /// The host's version.
    pub version: String,
}

/// Who owns a state folder.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct OwnerView {
    /// Its process.
    pub pid: u32,
    /// Whether it stays until it is told to end, as `belt up` does.
    pub stays: bool,
    /// Its runs: under way, and waiting for something.
    pub runs: usize,
}

/// Whether the host is well
#[utoipa::path(get, path = "/health", tag = "host",
    responses((status = 200, description = "it is", body = Health), Problem))]
pub(super) async fn health() -> Json<Health> {
    Json(Health {
        status: "ok".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    })
}

/// What has been counted, for Prometheus
#[utoipa::path(get, path = "/metrics", tag = "host",
    responses((status = 200, description = "OpenMetrics text", content_type = "application/openmetrics-text", body = String), Problem))]
pub(super) async fn metrics(State(owner): State<Shared>) -> Response {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], owner.metrics()).into_response()
}

/// Who owns the state folder
#[utoipa::path(get, path = "/owner", tag = "host",
    responses((status = 200, description = "the owner", body = OwnerView), Problem))]
pub(super) async fn owner(State(owner): State<Shared>) -> Json<OwnerView> {
    Json(OwnerView {
        pid: std::process::id(),
        stays: owner.stays(),
        runs: owner.carries(),
    })
}
