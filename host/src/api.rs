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
mod keys;
mod logs;
mod out;
mod page;
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
use axum::extract::{Request, State};
use axum::http::Method;
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::{Extension, Router};
use runs::Ends;
use std::sync::Arc;
use tokio::sync::watch;
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
        .layer(middleware::from_fn_with_state(Arc::clone(&owner), durable))
        .routes(routes!(status::health))
        .routes(routes!(status::metrics))
        .routes(routes!(status::owner))
        .with_state(owner)
        .split_for_parts()
}

/// The service of an owner: what each listener hands its requests to.
pub fn service(owner: Shared) -> Router {
    let (router, document) = routes(owner);
    let keys = keys::keys(&document);
    router
        .layer(middleware::from_fn_with_state(keys, keys::known))
        .merge(documentation::routes(document))
        .fallback(problem::no_route)
        .method_not_allowed_fallback(problem::no_method)
}

/// The same of a server that ends when `ends` becomes true: whoever waits for a run is answered then.
pub fn service_until(owner: Shared, ends: watch::Receiver<bool>) -> Router {
    service(owner).layer(Extension(Ends::new(ends)))
}

/// Whoever looks over the network is shown nothing that a power cut could take back.
async fn durable(
    State(owner): State<Shared>,
    via: Via,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let looks = matches!(*request.method(), Method::GET | Method::HEAD);
    let response = next.run(request).await;
    if looks && via == Via::Network {
        owner.synced().await?;
    }
    Ok(response)
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::owner::Settings;
    use crate::state::StateFolder;
    use crate::store::{Batch, Embedded, Store};
    use axum::body::Body;
    use tower::ServiceExt;

    #[tokio::test]
    async fn what_is_shown_over_the_network_is_durable() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFolder::locate(Some(folder.path())).unwrap();
        state.make().unwrap();
        let store = Embedded::open(&state.store()).unwrap();
        let (owner, runs) = Owner::new(state, store, Settings::plain()).unwrap();
        let syncs = || owner.store().counters().syncs;
        let get = async |via: Via, path: &str| {
            let mut request = Request::get(path).body(Body::empty()).unwrap();
            request.extensions_mut().insert(via);
            let service = service(Arc::clone(&owner));
            service.oneshot(request).await.unwrap().status()
        };
        let write = Batch::new().put("a", b"b");
        owner.store().commit(write).await.unwrap();
        let before = syncs();
        get(Via::Local, "/runs").await;
        get(Via::Network, "/health").await;
        assert_eq!(syncs(), before);
        for path in ["/runs", "/runs"] {
            get(Via::Network, path).await;
            assert_eq!(syncs(), before + 1);
        }
        runs.shutdown_background();
    }
}
