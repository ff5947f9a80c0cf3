//! Conveyor's routes for resources: its bodies and status codes, without its defects.

use crate::belt::Bench;
use crate::up::{Up, id};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::thread;

fn thing(spec: Value) -> Value {
    json!({"name": "thing", "resource": "app", "pipeline": "line", "spec": spec})
}

#[test]
fn a_resource_is_made_with_a_run_and_shows_what_its_drivers_answered() {
    let bench = Bench::new(&["echo", "fail"]);
    let up = Up::start(&bench);
    let failing =
        json!({"id": "last", "driver": "fail", "with": {"kind": "permanent", "reason": "no room"}});
    up.line("line", json!([{"driver": "echo"}, failing]));
    let made = up.post("/resources", &thing(json!({"size": 3}))).is(201);
    let runid = id(&made);
    let expected = json!({"message": "Resource created successfully", "name": "thing", "runid": runid, "version": "1"});
    assert_eq!(made, expected);
    assert_eq!(up.ended(&runid)["event"], "create");

    let found = up.get("/resources/app/thing").is(200);
    assert_eq!(found["last_run"], json!({"run": runid, "status": "failed"}));
    assert_eq!(
        (&found["generation"], &found["spec"]),
        (&json!(1), &json!({"size": 3}))
    );
    // Text, for Conveyor's users parse it once more.
    let result = |driver: &str| -> Value {
        let key = format!("driverresults.{driver}");
        serde_json::from_str(found["metadata"][key].as_str().unwrap()).unwrap()
    };
    let echo = result("echo");
    assert_eq!(
        (&echo["success"], &echo["driver"]),
        (&json!(true), &json!("echo"))
    );
    assert_eq!(echo["data"]["resource"]["name"], "thing");
    let fail = result("fail");
    assert_eq!(
        (&fail["success"], &fail["data"]),
        (&json!(false), &Value::Null)
    );
    assert_eq!(fail["message"], "no room");
    assert_eq!(up.get("/resources/app").is(200), json!([found]));
}

#[test]
fn what_is_wrong_with_a_resource_is_told_with_its_field() {
    let bench = Bench::new(&["echo"]);
    let up = Up::start(&bench);
    up.line("line", json!([{"driver": "echo"}]));
    up.post(
        "/pipelines",
        &json!({"name": "sites", "resource": "site", "steps": []}),
    )
    .is(201);
    for (change, field) in [
        (json!({"spec": {"size": "large"}}), "/spec/size"),
        (json!({"spec": null}), "/spec"),
        (json!({"pipeline": "none"}), "/pipeline"),
        (json!({"pipeline": "sites"}), "/resource"),
        (json!({"resource": "site"}), "/resource"),
        (json!({"resource": "nokind", "pipeline": null}), "/resource"),
        (json!({"resource": ""}), "/resource"),
        (json!({"name": "../up"}), "/name"),
        (json!({"name": 3}), "/name"),
        (json!({"nome": "thing"}), "/nome"),
    ] {
        let mut body = thing(json!({"size": 3}));
        for (key, value) in change.as_object().unwrap() {
            body[key] = value.clone();
            if value.is_null() && key == "pipeline" {
                body.as_object_mut().unwrap().remove(key);
            }
        }
        let said = up.post("/resources", &body).is(400);
        let found = said["errors"][0]["field"].as_str().unwrap();
        assert_eq!(found, field, "{body} is refused with {said:#}");
        // The same inside an order.
        let order = json!({"resource": body});
        let in_order = up.post("/runs", &order).is(400);
        let errors = in_order["errors"].as_array().unwrap().iter();
        let inside = said["errors"].as_array().unwrap().iter();
        for (order, itself) in errors.zip(inside) {
            let field = itself["field"].as_str().unwrap();
            assert_eq!(order["field"], format!("/resource{field}"));
            assert_eq!(order["message"], itself["message"]);
        }
        assert!(!said["error"].as_str().unwrap().is_empty());
    }
    assert_eq!(up.get("/resources/app").is(200), json!([]));
    assert_eq!(up.get("/runs").is(200)["runs"], json!([]));
}

#[test]
fn a_duplicate_and_a_missing_one_are_told_apart() {
    let bench = Bench::new(&["echo"]);
    let up = Up::start(&bench);
    up.line("line", json!([{"driver": "echo"}]));
    up.post("/resources", &thing(json!({}))).is(201);
    let said = up.post("/resources", &thing(json!({}))).refused(409);
    assert!(said.contains("`app/thing` already"), "{said}");
    for path in [
        "/resources/app/none",
        "/resources/none/thing",
        "/resources/app/thing/2",
    ] {
        up.get(path).refused(404);
    }
    up.delete("/resources/app/none").refused(404);
    let none = json!({"name": "none", "resource": "app", "spec": {}});
    up.put("/resources/app/none", &none).refused(404);
    up.put("/resources/app/thing", &none).refused(400);
    up.get("/resources/app/thing/first").refused(400);
}

#[test]
fn a_changed_spec_starts_an_update_and_an_unchanged_one_nothing() {
    let bench = Bench::new(&["echo"]);
    let up = Up::start(&bench);
    up.line("line", json!([{"driver": "echo"}]));
    let first = id(&up.post("/resources", &thing(json!({"size": 1}))).is(201));
    up.ended(&first);
    let changed = up
        .put("/resources/app/thing", &thing(json!({"size": 2})))
        .is(200);
    assert_eq!(
        (&changed["version"], &changed["name"]),
        (&json!("2"), &json!("thing"))
    );
    let second = id(&changed);
    assert_ne!(first, second);
    let run = up.ended(&second);
    assert_eq!(run["event"], "update");
    assert_eq!(run["steps"][0]["output"]["event"], "update");
    assert_eq!(run["steps"][0]["output"]["resource"]["generation"], 2);

    // What a client read and sends back, driver results included, changes nothing.
    let same = up.get("/resources/app/thing").is(200);
    let unchanged = up.put("/resources/app/thing", &same).is(200);
    assert_eq!(
        (id(&unchanged), &unchanged["version"]),
        (second.clone(), &json!("2"))
    );
    let mut labelled = thing(json!({"size": 2}));
    labelled["metadata"] = json!({"label": "x"});
    assert_eq!(
        id(&up.put("/resources/app/thing", &labelled).is(200)),
        second
    );
    let found = up.get("/resources/app/thing").is(200);
    assert_eq!(found["metadata"]["label"], "x");
    assert!(found["metadata"]["driverresults.echo"].is_string());
    assert_eq!(up.get("/runs").is(200)["runs"].as_array().unwrap().len(), 2);

    for (version, size) in [(1, 1), (2, 2)] {
        let old = up.get(&format!("/resources/app/thing/{version}")).is(200);
        assert_eq!(old["spec"]["size"], size);
    }
    up.delete("/resources/app/thing").is(204);
    up.get("/resources/app/thing").refused(404);
    up.get("/resources/app/thing/1").refused(404);
    // Runs outlive their resource, and its name is free.
    assert_eq!(up.ended(&first)["status"], "succeeded");
    assert_eq!(
        up.post("/resources", &thing(json!({}))).is(201)["version"],
        "1"
    );
}

#[test]
fn what_was_read_can_be_sent_back() {
    let bench = Bench::new(&["echo"]);
    let up = Up::start(&bench);
    up.line("line", json!([{"driver": "echo"}]));
    let pipeline = json!({"name": "line", "resource": "app", "context": {"a": 1}, "steps": [{"driver": "echo"}]});
    up.put("/pipelines/line", &pipeline).is(200);
    let read = up.get("/pipelines/line").is(200);
    assert_eq!(read["metadata"], json!({"a": 1}));
    assert_eq!(up.put("/pipelines/line", &read).is(200), read);
    assert_eq!(up.post("/pipelines", &read).is(201), read);
    let mut two = read;
    two["metadata"] = json!({"a": 2});
    assert!(
        up.put("/pipelines/line", &two)
            .refused(400)
            .contains("the two differ")
    );

    up.ended(&id(&up.post("/resources", &thing(json!({}))).is(201)));
    let read = up.get("/resources/app/thing").is(200);
    assert!(read["metadata"]["driverresults.echo"].is_string());
    up.put("/resources/app/thing", &read).is(200);
    assert_eq!(up.get("/resources/app/thing").is(200), read);
    // Also as a new one, to which nothing has been answered.
    up.delete("/resources/app/thing").is(204);
    let made = up.post("/resources", &read).is(201);
    assert_eq!(made["version"], "1");
    let old = up.get("/resources/app/thing/1").is(200);
    assert_eq!(old["metadata"], json!({}));
}

#[test]
fn what_drivers_answered_stays_until_they_answer_anew_also_when_the_run_has_gone() {
    let bench = Bench::new(&["echo", "latch"]);
    let config = bench.read("belt.yaml");
    let up = Up::start(&bench);
    up.line("line", json!([{"driver": "echo"}]));
    up.line("other", json!([{"id": "s", "driver": "latch"}]));
    up.ended(&id(&up
        .post("/resources", &thing(json!({"size": 1})))
        .is(201)));
    let answered = |up: &Up| up.get("/resources/app/thing").is(200)["metadata"].clone();
    let first = answered(&up);
    let text = first["driverresults.echo"].as_str().unwrap();
    let result: Value = serde_json::from_str(text).unwrap();
    assert_eq!(result["data"]["resource"]["spec"]["size"], 1);

    // The next run has no such driver, and has not answered yet.
    let mut changed = thing(json!({"size": 2}));
    changed["pipeline"] = json!("other");
    let second = id(&up.put("/resources/app/thing", &changed).is(200));
    assert_eq!(answered(&up), first);
    let out = up.get(&format!("/runs/{second}")).is(200)["out"].clone();
    let out = std::path::Path::new(out.as_str().unwrap()).to_owned();
    std::fs::create_dir_all(&out).unwrap();
    std::fs::write(out.join("s.open"), "").unwrap();
    up.ended(&second);
    let both = answered(&up);
    assert_eq!(both["driverresults.echo"], first["driverresults.echo"]);
    assert!(both["driverresults.latch"].is_string());
    assert_eq!(up.terminate().code, 0);

    bench.write("belt.yaml", format!("retention: {{count: 1}}\n{config}"));
    let up = Up::start(&bench);
    up.until("/runs", |page| page["runs"].as_array().unwrap().len() == 1);
    assert_eq!(answered(&up), both);
    // A new one of the same name has its own.
    up.delete("/resources/app/thing").is(204);
    up.ended(&id(&up.post("/resources", &thing(json!({}))).is(201)));
    let anew = answered(&up);
    assert!(anew["driverresults.echo"].is_string());
    assert!(anew.get("driverresults.latch").is_none());
}

/// They all bring the same: one of them changes the resource, the others find it changed.
#[test]
fn the_same_change_sent_at_once_starts_one_run() {
    let bench = Bench::new(&["echo"]);
    let up = Up::start(&bench);
    up.line("line", json!([{"driver": "echo"}]));
    let sized = |size: u32| json!({"name": "thing", "resource": "app", "pipeline": "line", "spec": {"size": size}});
    up.post("/resources", &sized(0)).is(201);
    for size in 1..=20 {
        let answers: Vec<_> = thread::scope(|scope| {
            let put = || up.put("/resources/app/thing", &sized(size)).is(200);
            let all: Vec<_> = (0..8).map(|_| scope.spawn(put)).collect();
            all.into_iter().map(|one| one.join().unwrap()).collect()
        });
        let changed = answers
            .iter()
            .filter(|answer| answer["message"] == "Resource updated successfully");
        assert_eq!(changed.count(), 1, "{answers:#?}");
        let versions: BTreeSet<_> = answers
            .iter()
            .map(|answer| answer["version"].as_str())
            .collect();
        assert_eq!(versions.len(), 1, "{answers:#?}");
    }
    let runs = up.get("/runs?limit=1000").is(200);
    assert_eq!(runs["runs"].as_array().unwrap().len(), 21);
}
