//! Runs over HTTP: begun in every way, and listed without a gap or a repeat.

use crate::belt::{Bench, guest};
use crate::up::{Up, id};
use serde_json::{Value, json};
use std::collections::BTreeSet;

fn thing(name: &str) -> Value {
    json!({"name": name, "resource": "app", "pipeline": "line", "spec": {"size": 1}})
}

#[test]
fn a_run_is_begun_by_names_or_with_all_it_needs() {
    let bench = Bench::new(&["echo"]);
    let up = Up::start(&bench);
    let pipeline = json!({"name": "line", "resource": "app", "steps": [{"driver": "echo"}], "context": {"a": {"b": 1}, "c": 2}});
    up.line("line", json!([]));
    // Inline, both are applied with the run.
    let body = json!({"pipeline": pipeline, "resource": thing("thing"), "context": {"a.b": 7}});
    let run = up.post("/runs?wait=120s", &body).is(201);
    assert_eq!(
        (&run["status"], &run["event"]),
        (&json!("succeeded"), &json!("create"))
    );
    assert_eq!(
        up.get("/pipelines/line").is(200)["steps"][0]["driver"],
        "echo"
    );
    assert_eq!(
        up.get("/resources/app/thing").is(200)["last_run"]["run"],
        run["run"]
    );
    let context = |run: &Value| up.ended(&id(run))["steps"][0]["output"]["context"].clone();
    assert_eq!(context(&run), json!({"a": {"b": 7}, "c": 2}));
    // The override was for that run alone.
    assert_eq!(up.get("/pipelines/line").is(200)["context"]["a"]["b"], 1);

    for body in [
        json!({"pipeline": "line", "resource": "thing"}),
        json!({"pipeline": "line", "resource": "app/thing"}),
        json!({"resource": "app/thing"}),
        json!({"resource": thing("thing")}),
    ] {
        let run = up.post("/runs?wait=120s", &body).is(201);
        assert_eq!(run["event"], "update");
        assert_eq!(context(&run)["a"], json!({"b": 1}));
    }
    // An unchanged spec is no new generation, however often it is run.
    assert_eq!(up.get("/resources/app/thing").is(200)["generation"], 1);
}

#[test]
fn what_cannot_be_run_is_refused_with_its_field_and_leaves_nothing() {
    let bench = Bench::new(&["echo"]);
    let up = Up::start(&bench);
    up.line("line", json!([{"driver": "echo"}]));
    let sites = json!({"name": "sites", "resource": "site", "steps": []});
    up.post("/pipelines", &sites).is(201);
    // A pipeline whose driver has gone since.
    let wasm = std::fs::read(guest("echo")).unwrap();
    let kind = [("content-type", "application/wasm")];
    up.ask("PUT", "/drivers/mine", &kind, &wasm).is(201);
    up.line("gone", json!([{"driver": "mine"}]));
    up.delete("/drivers/mine").is(204);
    let kept = up.post("/resources", &thing("kept")).is(201);
    up.ended(&id(&kept));
    let kindless = json!({"name": "x", "resource": "app", "spec": {}});
    let pipeline =
        json!({"name": "bad", "resource": "app", "steps": [{"driver": "echo", "wiht": {}}]});
    for (body, status, field) in [
        (json!({"pipeline": "none", "resource": thing("x")}), 404, ""),
        (json!({"pipeline": "line", "resource": "none"}), 404, ""),
        (json!({"resource": "thing"}), 400, "/resource"),
        (json!({"resource": 3}), 400, "/resource"),
        (json!({"pipeline": "line"}), 400, ""),
        (
            json!({"pipeline": pipeline, "resource": thing("x")}),
            400,
            "/pipeline/steps/0/wiht",
        ),
        (
            json!({"resource": {"name": "x", "resource": "app"}}),
            400,
            "/resource",
        ),
        (
            json!({"resource": thing("x"), "context": {"no": 1}}),
            400,
            "/context",
        ),
        (
            json!({"resource": thing("x"), "workspace": "nodigest"}),
            400,
            "/workspace",
        ),
        (json!({"resource": thing("x"), "more": 1}), 400, "/more"),
        (json!([]), 400, ""),
        // What is stored has no fields in what was sent, but for those that name it.
        (
            json!({"pipeline": "sites", "resource": thing("x")}),
            400,
            "/resource/pipeline",
        ),
        (
            json!({"pipeline": "sites", "resource": "app/kept"}),
            400,
            "/resource",
        ),
        (
            json!({"pipeline": sites, "resource": kindless}),
            400,
            "/resource/resource",
        ),
        (
            json!({"pipeline": "gone", "resource": kindless}),
            400,
            "/pipeline",
        ),
    ] {
        let answer = up.post("/runs", &body);
        let said = answer.is(status);
        answer.refused(status);
        let found = said["errors"][0]["field"].as_str().unwrap_or_default();
        assert_eq!(found, field, "{body} is refused with {said:#}");
        assert!(
            !said["detail"].as_str().unwrap().contains(":1:"),
            "{said:#}"
        );
    }
    assert_eq!(
        up.get("/resources/app").is(200).as_array().unwrap().len(),
        1
    );
    assert_eq!(up.get("/runs").is(200)["runs"].as_array().unwrap().len(), 1);
}

#[test]
fn every_page_together_has_each_run_once_also_while_more_come() {
    let bench = Bench::new(&["echo", "fail"]);
    let up = Up::start(&bench);
    up.line("line", json!([{"driver": "echo"}]));
    up.line("bad", json!([{"driver": "fail"}]));
    let mut made = Vec::new();
    for nth in 0..45 {
        let mut body = thing(&format!("thing-{}", nth % 5));
        if nth % 9 == 0 {
            body["pipeline"] = json!("bad");
        }
        made.push(id(&up
            .post("/runs?wait=120s", &json!({"resource": body}))
            .is(201)));
    }
    made.reverse();
    for limit in [1, 7, 20, 44, 45, 1000] {
        assert_eq!(walked(&up, &format!("limit={limit}"), || {}), made);
    }
    // What comes meanwhile stands before the first page, and moves none of the others.
    let more = || {
        drop(
            up.post("/runs", &json!({"resource": thing("more")}))
                .is(201),
        )
    };
    assert_eq!(walked(&up, "limit=7", more), made);

    let all = |query: &str| walked(&up, query, || {}).len();
    assert_eq!(all("status=failed&limit=2"), 5);
    assert_eq!(all("pipeline=bad&limit=3"), 5);
    assert_eq!(all("kind=app&resource=thing-1&limit=2"), 9);
    assert_eq!(all("resource=thing-1&limit=4"), 9);
    assert_eq!(all("kind=site"), 0);
    assert_eq!(all("kind=app&resource=thing-1&status=failed"), 1);
    for query in ["status=odd", "limit=0", "limit=1001", "cursor=x"] {
        up.get(&format!("/runs?{query}")).refused(400);
    }
}

/// The ids on all pages; `between` is called after each.
fn walked(up: &Up, query: &str, between: impl Fn()) -> Vec<String> {
    let (mut ids, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = up.get(&format!("/runs?{query}{cursor}")).is(200);
        ids.extend(page["runs"].as_array().unwrap().iter().map(id));
        let Some(next) = page["next"].as_str() else {
            break;
        };
        cursor = format!("&cursor={next}");
        between();
    }
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
    ids
}
