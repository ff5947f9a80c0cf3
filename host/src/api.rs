//! The API: HTTP over an owner of a state folder, on TCP for anybody and on a socket in the folder for its user.
//!
//! Owns routes, their JSON, status codes, and who may call. Decides nothing about runs: each handler asks the owner. Where
//! Conveyor has a route its JSON and its status codes are kept.

mod body;
mod changes;
mod definitions;
mod documentation;
mod drivers;
mod events;
mod guard;
mod idempotency;
mod logs;
mod out;
mod pipelines;
mod places;
mod problem;
mod progress;
mod resources;
mod runs;
mod schemas;
mod server;
mod status;
mod watched;
mod workspaces;

pub use body::BODY_BYTES_MAX;
pub use drivers::{DriverView, DriversView, NativeView};
pub use guard::{Guard, Via};
pub use out::OutFile;
pub use problem::{FieldProblem, Problem};
pub use runs::{GoOn, LocalRun, NewRun, RunsPage};
pub use server::{CONNECTIONS_MAX, Listening, SOCKET, Server, connect};
pub use status::{Health, OwnerView};

use crate::owner::Owner;
use axum::Router;
use axum::extract::Request;
use std::sync::Arc;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// What handlers have at hand.
pub type Shared = Arc<Owner>;

/// All routes, and what `/openapi.json` says of them.
fn routes(owner: Shared) -> (Router, utoipa::openapi::OpenApi) {
    OpenApiRouter::with_openapi(documentation::Base::openapi())
        .routes(routes!(runs::list, runs::create))
        .routes(routes!(runs::get))
        .routes(routes!(runs::cancel))
        .routes(routes!(runs::retry))
        .routes(routes!(runs::rerun))
        .routes(routes!(runs::resume))
        .routes(routes!(out::out))
        .routes(routes!(out::out_file))
        .routes(routes!(events::events))
        .routes(routes!(progress::progress))
        .routes(routes!(logs::of_run))
        .routes(routes!(definitions::list, definitions::create))
        .routes(routes!(definitions::apply))
        .routes(routes!(
            definitions::get,
            definitions::put,
            definitions::delete
        ))
        .routes(routes!(pipelines::list, pipelines::create))
        .routes(routes!(pipelines::get, pipelines::put, pipelines::delete))
        .routes(routes!(resources::create))
        .routes(routes!(resources::list))
        .routes(routes!(resources::get, resources::put, resources::delete))
        .routes(routes!(resources::version))
        .routes(routes!(logs::find, logs::append))
        .routes(routes!(logs::follow_run))
        .routes(routes!(logs::follow_driver))
        .routes(routes!(drivers::list))
        .routes(routes!(drivers::get, drivers::put, drivers::delete))
        .routes(routes!(workspaces::get, workspaces::put))
        .routes(routes!(status::health))
        .routes(routes!(status::metrics))
        .routes(routes!(status::owner))
        .with_state(owner)
        .split_for_parts()
}

/// The service of an owner: what each listener hands its requests to.
pub fn service(owner: Shared) -> Router {
    let (router, document) = routes(owner);
    router
        .merge(documentation::routes(document))
        .fallback(problem::no_route)
        .method_not_allowed_fallback(problem::no_method)
}

/// The same path without a slash at its end, which is optional.
fn without_trailing_slash(mut request: Request) -> Request {
    let path = request.uri().path();
    if path.len() > 1 && path.ends_with('/') {
        let path = path.trim_end_matches('/');
        let path = if path.is_empty() { "/" } else { path };
        let path = match request.uri().query() {
            Some(query) => format!("{path}?{query}"),
            None => path.to_owned(),
        };
        if let Ok(uri) = path.parse() {
            *request.uri_mut() = uri;
        }
    }
    request
}
