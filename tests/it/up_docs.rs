//! `/openapi.json` and the page that shows it.

use crate::belt::Bench;
use crate::up::Up;
use serde_json::Value;
use std::collections::BTreeSet;

#[test]
fn the_document_has_every_route_and_every_route_answers_as_it_says() {
    let bench = Bench::new(&[]);
    let up = Up::start(&bench);
    let document = up.get("/openapi.json").is(200);
    assert!(document["openapi"].as_str().unwrap().starts_with("3."));
    let paths = document["paths"].as_object().unwrap();
    for path in [
        "/runs",
        "/runs/{run}",
        "/runs/{run}/cancel",
        "/runs/{run}/retry",
        "/runs/{run}/rerun",
        "/runs/{run}/events",
        "/runs/{run}/logs",
        "/runs/{run}/out",
        "/runs/{run}/out/{path}",
        "/resource-definitions",
        "/resource-definitions/apply",
        "/resource-definitions/{name}",
        "/resources",
        "/resources/{kind}",
        "/resources/{kind}/{name}",
        "/resources/{kind}/{name}/{version}",
        "/pipelines",
        "/pipelines/{name}",
        "/logs",
        "/logs/pipeline/{runid}",
        "/logs/streams/{driver}/{runid}",
        "/drivers",
        "/drivers/{name}",
        "/health",
    ] {
        assert!(paths.contains_key(path), "{path} is not in the document");
    }
    for (path, methods) in paths {
        let plain = path.replace(['{', '}'], "x");
        let known: BTreeSet<String> = methods
            .as_object()
            .unwrap()
            .keys()
            .map(|method| method.to_uppercase())
            .collect();
        for method in ["GET", "POST", "PUT", "DELETE"] {
            let answer = up.ask(method, &plain, &[], b"{}");
            assert_eq!(
                answer.status != 405,
                known.contains(method),
                "{method} {path}: {answer:?}"
            );
            // What it answers is described, were it a refusal.
            if answer.status != 405 {
                let responses = &document["paths"][path][method.to_lowercase()]["responses"];
                assert!(
                    responses.get(answer.status.to_string()).is_some(),
                    "{method} {path} answers {}",
                    answer.status
                );
            }
        }
    }
    references_lead_somewhere(&document, &document);
    for (path, methods) in paths {
        if let Some(post) = methods.get("post") {
            let parameters = post["parameters"].as_array().unwrap();
            let is_key = |one: &Value| one["name"] == "Idempotency-Key" && one["in"] == "header";
            assert!(parameters.iter().any(is_key), "POST {path} takes no key");
        }
    }
}

fn references_lead_somewhere(document: &Value, part: &Value) {
    match part {
        Value::Object(fields) => {
            if let Some(Value::String(reference)) = fields.get("$ref") {
                let pointer = reference.strip_prefix('#').unwrap();
                assert!(
                    document.pointer(pointer).is_some(),
                    "{reference} leads nowhere"
                );
            }
            fields
                .values()
                .for_each(|part| references_lead_somewhere(document, part));
        }
        Value::Array(parts) => parts
            .iter()
            .for_each(|part| references_lead_somewhere(document, part)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn the_page_needs_no_other_host() {
    let bench = Bench::new(&[]);
    let up = Up::start(&bench);
    let page = up.get("/docs");
    assert_eq!(page.status, 200);
    assert!(page.header("content-type").starts_with("text/html"));
    for other in ["http://", "https://", "src=\"//", "@import"] {
        assert!(!page.text().contains(other), "the page names `{other}`");
    }
    // Nor may it, were it to.
    assert!(
        page.header("content-security-policy")
            .starts_with("default-src 'none'")
    );
}

#[test]
fn the_page_finds_the_document_wherever_it_is_shown_and_says_when_it_cannot() {
    let bench = Bench::new(&[]);
    let up = Up::start(&bench);
    for path in ["/docs", "/docs/"] {
        let page = up.get(path).text();
        let fetched = between(&page, "fetch('", "'");
        let linked = between(&page, "href=\"", "\"");
        assert_eq!((fetched.len(), linked.len()), (1, 1), "{page}");
        for document in fetched.into_iter().chain(linked) {
            // From the root: what a page's own path ends in makes no difference.
            assert!(document.starts_with('/'), "{path} fetches {document}");
            up.get(document).is(200);
        }
        assert!(page.contains(".catch("), "a fetch that fails says nothing");
    }
}

/// Every text between two marks.
fn between<'t>(text: &'t str, open: &str, close: &str) -> Vec<&'t str> {
    let pieces = text.split(open).skip(1);
    pieces
        .map(|piece| piece.split(close).next().unwrap())
        .collect()
}
