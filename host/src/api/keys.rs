//! The keys that a query may have: those that the document names for its route. One that nobody reads, for it is misspelt or
//! of another route, is refused: passed over it would change what is asked for.

use super::Problem;
use crate::documents::near;
use axum::extract::{MatchedPath, Query, Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;
use std::collections::HashMap;
use std::sync::Arc;
use utoipa::openapi::path::{Operation, ParameterIn, PathItem};
use utoipa::openapi::{OpenApi, RefOr};

/// The longest key that is said again.
const SHOWN_MAX: usize = 64;

/// Of each route its keys, by its path as the router has it and its method.
pub(super) type Keys = Arc<HashMap<(String, Method), Vec<String>>>;

/// Those of a document.
pub(super) fn keys(document: &OpenApi) -> Keys {
    let mut keys = HashMap::new();
    for (path, item) in &document.paths.paths {
        for (method, operation) in operations(item) {
            keys.insert((path.clone(), method), of_operation(operation));
        }
    }
    Arc::new(keys)
}

fn operations(item: &PathItem) -> impl Iterator<Item = (Method, &Operation)> {
    let all = [
        (Method::GET, &item.get),
        (Method::PUT, &item.put),
        (Method::POST, &item.post),
        (Method::DELETE, &item.delete),
    ];
    all.into_iter()
        .filter_map(|(method, operation)| Some((method, operation.as_ref()?)))
}

fn of_operation(operation: &Operation) -> Vec<String> {
    let parameters = operation.parameters.iter().flatten();
    let in_query = parameters.filter_map(|one| match one {
        RefOr::T(one) if one.parameter_in == ParameterIn::Query => Some(one.name.clone()),
        RefOr::T(_) | RefOr::Ref(_) => None,
    });
    in_query.collect()
}

/// Refuses a query with a key that its route does not have.
pub(super) async fn known(
    State(keys): State<Keys>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    if request.uri().query().is_some_and(|query| !query.is_empty()) {
        check(&keys, &request)?;
    }
    Ok(next.run(request).await)
}

fn check(keys: &Keys, request: &Request) -> Result<(), Problem> {
    let Some(path) = request.extensions().get::<MatchedPath>() else {
        return Ok(());
    };
    let method = match *request.method() {
        Method::HEAD => Method::GET,
        ref method => method.clone(),
    };
    let Some(known) = keys.get(&(path.as_str().to_owned(), method)) else {
        return Ok(());
    };
    let query = Query::<Vec<(String, String)>>::try_from_uri(request.uri());
    let Query(given) = query.map_err(|error| Problem::invalid(error.body_text()))?;
    match given.iter().find(|(key, _)| !known.contains(key)) {
        None => Ok(()),
        Some((key, _)) => Err(Problem::invalid(refusal(key, known))),
    }
}

fn refusal(key: &str, known: &[String]) -> String {
    let shown = crate::text::cut(key, SHOWN_MAX);
    let quoted: Vec<_> = known.iter().map(|key| format!("`{key}`")).collect();
    let advice = match near(key, known.iter().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`?"),
        None if known.is_empty() => "this route takes none".to_owned(),
        None => format!("this route takes {}", quoted.join(", ")),
    };
    format!("`{shown}` is no key of this query; {advice}")
}
