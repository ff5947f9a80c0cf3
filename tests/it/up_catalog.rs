//! Conveyor's routes for what people apply: definitions and pipelines, with its status codes.

use crate::belt::Bench;
use crate::up::Up;
use serde_json::{Value, json};

fn definition(description: &str) -> Value {
    json!({"name": "app", "description": description, "version": "1",
        "schema": {"type": "object", "properties": {"size": {"type": "integer"}}}})
}

#[test]
fn definitions_are_made_changed_and_removed() {
    let bench = Bench::new(&[]);
    let up = Up::start(&bench);
    let made = up
        .post("/resource-definitions", &definition("first"))
        .is(201);
    assert_eq!(made["id"].as_str().unwrap().len(), 24);
    assert_eq!(made["schema"]["type"], "object");
    let said = up.post("/resource-definitions", &definition("first"));
    let said = said.refused(409);
    assert!(said.contains("`app` already"), "{said}");

    // Apply does both, and the id stays: other systems hold on to it.
    let applied = up.post("/resource-definitions/apply", &definition("second"));
    let applied = applied.is(201);
    assert_eq!(
        (&applied["id"], &applied["description"]),
        (&made["id"], &json!("second"))
    );
    let put = up
        .put("/resource-definitions/app", &definition("third"))
        .is(200);
    assert_eq!(up.get("/resource-definitions/app").is(200), put);
    assert_eq!(up.get("/resource-definitions").is(200), json!([put]));

    let said = up
        .put("/resource-definitions/other", &definition(""))
        .is(400);
    assert_eq!(said["errors"][0]["field"], "/name");
    let other = json!({"name": "other", "schema": {}});
    up.put("/resource-definitions/other", &other).refused(404);
    assert_eq!(up.delete("/resource-definitions/app").is(204), Value::Null);
    up.get("/resource-definitions/app").refused(404);
    up.delete("/resource-definitions/app").refused(404);
}

#[test]
fn a_definition_that_is_no_schema_is_refused_with_its_place() {
    let bench = Bench::new(&[]);
    let up = Up::start(&bench);
    for (body, field) in [
        (
            json!({"name": "app", "schema": {"type": 3}}),
            "/schema/type",
        ),
        (json!({"name": "App!", "schema": {}}), "/name"),
        (json!({"name": "app", "schema": {}, "shema": {}}), "/shema"),
        (json!({"schema": {}}), ""),
    ] {
        let said = up.post("/resource-definitions", &body).is(400);
        let found = said["errors"][0]["field"].as_str().unwrap();
        assert_eq!(found, field, "{said:#}");
        assert!(!said["error"].as_str().unwrap().is_empty());
    }
    assert_eq!(up.get("/resource-definitions").is(200), json!([]));
}

#[test]
fn pipelines_are_replaced_by_post_and_have_the_routes_that_conveyor_documents() {
    let bench = Bench::new(&["echo", "say"]);
    let up = Up::start(&bench);
    let pipeline = |driver: &str| {
        json!({"name": "line", "resource": "app", "description": "d", "version": "2",
            "steps": [{"id": "s", "name": "shown", "driver": driver}], "context": {"x": 1}})
    };
    let made = up.post("/pipelines", &pipeline("echo")).is(201);
    assert_eq!(made["steps"][0]["driver"], "echo");
    assert_eq!(
        (&made["version"], &made["metadata"]),
        (&json!("2"), &json!({"x": 1}))
    );
    let replaced = up.post("/pipelines", &pipeline("say")).is(201);
    assert_eq!(up.get("/pipelines/line").is(200), replaced);
    let put = up.put("/pipelines/line", &pipeline("echo")).is(200);
    assert_eq!(up.get("/pipelines").is(200), json!([put]));
    let other = json!({"name": "other", "resource": "app", "steps": []});
    up.put("/pipelines/other", &other).refused(404);
    up.put("/pipelines/line", &other).refused(400);
    up.delete("/pipelines/line").is(204);
    up.get("/pipelines/line").refused(404);
    up.delete("/pipelines/line").refused(404);
}

#[test]
fn a_pipeline_of_an_unknown_driver_is_refused_with_the_line_to_add() {
    let bench = Bench::new(&["echo"]);
    let up = Up::start(&bench);
    let steps = json!([{"driver": "echo"}, {"driver": "nobody"}]);
    let pipeline = json!({"name": "line", "resource": "app", "steps": steps});
    let thing = json!({"name": "thing", "resource": "app", "spec": {}});
    up.post("/resource-definitions", &definition("")).is(201);
    let order = json!({"pipeline": pipeline, "resource": thing});
    for (said, field) in [
        (up.post("/pipelines", &pipeline).is(400), "/steps/1/driver"),
        (up.post("/runs", &order).is(400), "/pipeline/steps/1/driver"),
    ] {
        assert_eq!(said["errors"][0]["field"], field);
        let words = said["detail"].as_str().unwrap();
        assert!(words.contains("`nobody: {path: nobody.wasm}`"), "{words}");
        assert!(words.contains("belt.yaml"), "{words}");
    }
}

#[test]
fn a_slash_at_the_end_changes_nothing() {
    let bench = Bench::new(&["echo"]);
    let up = Up::start(&bench);
    up.post("/resource-definitions/", &definition("d")).is(201);
    let path = "/resource-definitions/app";
    assert_eq!(up.get(&format!("{path}/")).is(200), up.get(path).is(200));
    up.post(
        "/pipelines/",
        &json!({"name": "line", "resource": "app", "steps": []}),
    )
    .is(201);
    let body = json!({"name": "thing", "resource": "app", "spec": {}});
    up.post("/resources/", &body).is(201);
    up.get("/resources/app/thing/").is(200);
    up.get("/runs/?limit=1").is(200);
    assert_eq!(up.get("/health/").is(200)["status"], "ok");
    up.get("//").refused(404);
}

#[test]
fn what_is_no_route_or_no_method_says_so() {
    let bench = Bench::new(&[]);
    let up = Up::start(&bench);
    assert!(up.get("/nothing").refused(404).contains("/openapi.json"));
    up.delete("/runs").refused(405);
    up.get("/resources").refused(405);
    for query in ["limit=0", "limit=1001", "limit=x"] {
        up.get(&format!("/pipelines?{query}")).refused(400);
    }
}
