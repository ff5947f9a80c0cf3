//! The resources of a kind: listed, and handed to every driver that listens for it.

use crate::belt::Bench;
use crate::up::{Up, id};
use serde_json::json;

#[test]
fn resources_are_listed_in_pages_by_name() {
    let bench = Bench::new(&[]);
    let up = Up::start(&bench);
    up.line("line", json!([]));
    let mut names: Vec<_> = (0..7).map(|nth| format!("thing-{nth}")).collect();
    for name in names.iter().rev() {
        let body = json!({"name": name, "resource": "app", "spec": {}});
        up.post("/resources", &body).is(201);
    }
    let mut after = String::new();
    loop {
        let page = up.get(&format!("/resources/app?limit=3{after}")).is(200);
        let page = page.as_array().unwrap();
        for found in page {
            assert_eq!(found["name"], names.remove(0));
        }
        let Some(last) = page.last() else { break };
        after = format!("&after={}", last["name"].as_str().unwrap());
    }
    assert!(names.is_empty());
}

#[test]
fn without_a_pipeline_it_goes_to_every_driver_that_listens_for_its_kind() {
    let bench = Bench::new(&[]);
    let path = |name: &str| crate::belt::guest(name).display().to_string();
    bench.write("belt.yaml", format!(
        "drivers:\n  one: {{path: {echo}, kinds: [app]}}\n  two: {{path: {fail}, kinds: [app]}}\n  three: {{path: {echo}, kinds: [app, site]}}\n  other: {{path: {echo}}}\n",
        echo = path("echo"), fail = path("fail"),
    ));
    let up = Up::start(&bench);
    up.line("line", json!([]));
    up.post(
        "/resource-definitions",
        &json!({"name": "lonely", "schema": {}}),
    )
    .is(201);
    let body = |kind: &str| json!({"name": "thing", "resource": kind, "spec": {}});
    let run = up.ended(&id(&up.post("/resources", &body("app")).is(201)));
    let steps: Vec<_> = run["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| {
            (
                step["driver"].as_str().unwrap(),
                step["status"].as_str().unwrap(),
            )
        })
        .collect();
    // Independent: that one of them fails keeps none of the others from its turn.
    assert_eq!(
        steps,
        [
            ("one", "succeeded"),
            ("three", "succeeded"),
            ("two", "failed")
        ]
    );
    assert!(run.get("pipeline").is_none());

    let made = up.post("/resources", &body("lonely")).is(201);
    let said = made["message"].as_str().unwrap();
    let expected = "Resource created successfully; no driver listens for kind `lonely`, so there is nothing to do";
    assert_eq!(said, expected);
    let run = up.ended(&id(&made));
    assert_eq!(
        (&run["status"], &run["steps"]),
        (&json!("succeeded"), &json!([]))
    );
}
