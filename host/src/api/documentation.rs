//! `/openapi.json`, and a page that shows it and needs no other host.

use super::{FieldProblem, Problem};
use axum::Router;
use axum::http::header;
use axum::response::Html;
use axum::routing::get;
use std::sync::Arc;
use utoipa::openapi::OpenApi;
use utoipa::openapi::info::{Info, License};

const PAGE: &str = include_str!("documentation/page.html");

/// Nothing but what stands in the page itself, and the document from the same host.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'";

/// What no route names by itself.
#[derive(utoipa::OpenApi)]
#[openapi(components(schemas(Problem, FieldProblem)))]
pub(super) struct Base;

pub(super) fn routes(document: OpenApi) -> Router {
    let document: Arc<str> = complete(document).into();
    let json = move || {
        let document = Arc::clone(&document);
        async move {
            (
                [(header::CONTENT_TYPE, "application/json")],
                document.to_string(),
            )
        }
    };
    let page = || async { ([(header::CONTENT_SECURITY_POLICY, POLICY)], Html(PAGE)) };
    Router::new()
        .route("/openapi.json", get(json))
        .route("/docs", get(page))
}

fn complete(mut document: OpenApi) -> String {
    // A path below a path is the router's notion; the document knows parameters alone.
    let paths = std::mem::take(&mut document.paths.paths).into_iter();
    let plain = |(path, item): (String, _)| (path.replace("{*", "{"), item);
    document.paths.paths = paths.map(plain).collect();
    let mut info = Info::new("Beltline", env!("CARGO_PKG_VERSION"));
    info.description = Some(
        "Pipelines of sandboxed drivers: resources in, runs happen, people watch them.".to_owned(),
    );
    let mut license = License::new("Apache-2.0");
    license.identifier = Some("Apache-2.0".to_owned());
    info.license = Some(license);
    document.info = info;
    document.to_json().expect("the document has string keys")
}
