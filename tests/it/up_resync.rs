//! A driver that wants to look again: a run of the resource begins by itself, also after a restart.

use crate::belt::{Bench, guest};
use crate::up::{Up, id};
use beltline::digest::Digest;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

fn begin(up: &Up, ms: u64) -> Value {
    let steps = json!([{"id": "s", "driver": "requeue", "with": {"ms": ms}}]);
    up.line("line", steps);
    let body = json!({"name": "thing", "resource": "app", "pipeline": "line", "spec": {"size": 1}});
    up.post("/resources", &body).is(201)
}

/// The runs when there are two of them and both have ended, the latest first.
fn both(up: &Up) -> Vec<Value> {
    let page = up.until("/runs", |page| {
        let runs = page["runs"].as_array().unwrap();
        runs.len() == 2 && runs.iter().all(|run| run.get("ended_at").is_some())
    });
    page["runs"].as_array().unwrap().clone()
}

/// How many milliseconds after the first run's end the second began.
fn between(up: &Up, runs: &[Value]) -> i128 {
    let at =
        |run: &Value, key: &str| -> jiff::Timestamp { run[key].as_str().unwrap().parse().unwrap() };
    let again = up.ended(&id(&runs[0]));
    let between = at(&again, "created_at").duration_since(at(&runs[1], "ended_at"));
    between.as_millis()
}

#[test]
fn a_resync_begins_after_the_time_and_not_before() {
    let bench = Bench::new(&["requeue"]);
    let up = Up::start(&bench);
    let first = id(&begin(&up, 1_500));
    let runs = both(&up);
    assert_eq!(
        (id(&runs[1]), &runs[1]["event"]),
        (first.clone(), &json!("create"))
    );
    assert_eq!(
        (&runs[0]["event"], &runs[0]["status"]),
        (&json!("resync"), &json!("succeeded"))
    );
    let again = up.ended(&id(&runs[0]));
    assert_eq!(again["steps"][0]["output"]["event"], "resync");
    let between = between(&up, &runs);
    assert!(between >= 1_495, "{between}");
    let shown = up.get("/resources/app/thing").is(200);
    assert_eq!(shown["last_run"]["run"], again["run"]);
}

/// One that says less would fill the history with its runs alone.
#[test]
fn a_resync_begins_after_a_second_at_the_soonest() {
    let bench = Bench::new(&["requeue"]);
    let up = Up::start(&bench);
    begin(&up, 1);
    let between = between(&up, &both(&up));
    assert!(between >= 995, "{between}");
}

#[test]
fn a_resync_begins_also_after_a_restart() {
    let bench = Bench::new(&["requeue"]);
    let up = Up::start(&bench);
    // Long enough to be killed before, were the machine busy.
    let first = id(&begin(&up, 10_000));
    assert_eq!(up.ended(&first)["status"], "succeeded");
    let up = up.killed_and_started(&bench);
    assert_eq!(up.get("/runs").is(200)["runs"].as_array().unwrap().len(), 1);
    assert_eq!(both(&up)[0]["event"], "resync");
}

#[test]
fn a_resource_that_has_gone_is_not_looked_at_again() {
    let bench = Bench::new(&["requeue"]);
    let up = Up::start(&bench);
    let first = id(&begin(&up, 4_000));
    up.ended(&first);
    up.delete("/resources/app/thing").is(204);
    // Another one of that time shows that the time has come.
    let other = json!({"name": "other", "resource": "app", "pipeline": "line", "spec": {}});
    up.post("/resources", &other).is(201);
    up.until("/runs?resource=other", |page| {
        page["runs"].as_array().unwrap().len() == 2
    });
    assert_eq!(
        up.get("/runs?resource=thing").is(200)["runs"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

/// The pipeline is gone when the time has come: that is said once, where people look, and the wish waits for it.
#[test]
fn a_resync_whose_pipeline_is_gone_says_so_once_and_waits_for_it() {
    let bench = Bench::new(&["requeue"]);
    let up = Up::start(&bench);
    let first = id(&begin(&up, 4_000));
    up.delete("/pipelines/line").is(204);
    up.ended(&first);
    let shown = up.until("/resources/app/thing", |shown| {
        shown["resync"]["trouble"].is_string()
    });
    let trouble = shown["resync"]["trouble"].as_str().unwrap();
    assert!(trouble.contains("there is no pipeline `line`"), "{trouble}");
    assert_eq!(shown["resync"]["asked_by"], first.as_str());
    // It is told to whoever starts the host anew, in the same place, and not in the log again.
    let address = up.address;
    let before = up.terminate().stderr;
    assert_eq!(
        before.matches("a resync could not begin").count(),
        1,
        "{before}"
    );
    let up = Up::started_there(&bench, address);
    // What has nothing to do with it brings it to nothing, however often.
    for nth in 0..20 {
        let other = json!({"name": format!("other-{nth}"), "resource": "app", "steps": []});
        up.post("/pipelines", &other).is(201);
    }
    assert_eq!(
        up.get("/resources/app/thing").is(200)["resync"]["trouble"],
        trouble
    );
    assert_eq!(up.get("/runs").is(200)["runs"].as_array().unwrap().len(), 1);
    // The pipeline comes back, and it begins: long before it would be tried again by itself.
    let steps = json!([{"id": "s", "driver": "requeue"}]);
    up.line("line", steps);
    assert_eq!(both(&up)[0]["event"], "resync");
    assert_eq!(up.get("/resources/app/thing").is(200).get("resync"), None);
    let after = up.terminate().stderr;
    assert!(!after.contains("a resync could not begin"), "{after}");
}

/// What was given for the run that asked is given again: values for keys of the context.
#[test]
fn a_resync_has_the_context_of_the_run_that_asked_for_it() {
    let bench = Bench::new(&["requeue", "echo"]);
    let up = Up::start(&bench);
    up.line("line", json!([]));
    let steps = json!([{"id": "s", "driver": "requeue", "with": {"ms": 300}}, {"id": "e", "driver": "echo"}]);
    let line = json!({"name": "line", "resource": "app", "context": {"level": {"at": "low"}, "more": 1}, "steps": steps});
    up.post("/pipelines", &line).is(201);
    let body = json!({
        "resource": {"name": "thing", "resource": "app", "pipeline": "line", "spec": {}},
        "context": {"level.at": "high"},
    });
    up.post("/runs", &body).is(201);
    for run in both(&up) {
        let run = up.ended(&id(&run));
        let context = &run["steps"][1]["output"]["context"];
        assert_eq!(
            *context,
            json!({"level": {"at": "high"}, "more": 1}),
            "{}",
            run["event"]
        );
    }
}

/// And of one of this machine: the out folder, and that drivers are pinned.
#[test]
fn a_resync_has_the_out_folder_and_the_pins_of_the_run_that_asked_for_it() {
    let bench = Bench::with_steps(
        &["requeue", "latch"],
        &[
            "{id: s, driver: requeue, with: {ms: 1}}",
            "{id: l, driver: latch}",
        ],
    );
    let unpinned = bench.read("belt.yaml");
    let pinned = |name: &str| {
        let digest = Digest::of(&fs::read(guest(name)).unwrap());
        let path = guest(name).display().to_string();
        format!("  {name}: {{path: {path}, digest: \"{digest}\", grants: {{out: rw}}}}\n")
    };
    bench.write(
        "belt.yaml",
        format!("drivers:\n{}{}", pinned("requeue"), pinned("latch")),
    );
    fs::create_dir_all(bench.path("made")).unwrap();
    fs::write(bench.path("made/l.open"), "").unwrap();
    let said = bench.run(&["--locked", "--out", "made"]);
    assert_eq!(said.code, 0, "{said:?}");
    let first = bench.latest();

    // Somebody takes the pins away: what was to be pinned is not run.
    bench.write("belt.yaml", &unpinned);
    let up = Up::start(&bench);
    let definition = json!({"name": "app", "schema": {}});
    up.post("/resource-definitions/apply", &definition).is(201);
    let shown = up.until("/resources/app/thing", |shown| {
        shown["resync"]["trouble"].is_string()
    });
    assert!(
        shown["resync"]["trouble"]
            .as_str()
            .unwrap()
            .contains("`--locked` refuses that"),
        "{shown}"
    );
    bench.write(
        "belt.yaml",
        format!("drivers:\n{}{}", pinned("requeue"), pinned("latch")),
    );
    let again = both(&up).remove(0);
    assert_eq!(
        (&again["event"], &again["status"]),
        (&json!("resync"), &json!("succeeded"))
    );
    assert_eq!(again["out"], first["out"]);
    assert_eq!(again["out"], json!(bench.path("made")));
}

/// What was there before it under its name wants nothing of the one that has the name now.
#[test]
fn a_resource_that_is_made_anew_does_not_inherit_a_resync() {
    let bench = Bench::new(&["requeue", "echo", "latch"]);
    let up = Up::start(&bench);
    let count = |up: &Up| {
        let page = up.get("/runs?resource=thing").is(200);
        page["runs"].as_array().unwrap().len()
    };
    let anew = |up: &Up, pipeline: &str| {
        let body =
            json!({"name": "thing", "resource": "app", "pipeline": pipeline, "spec": {"size": 1}});
        up.delete("/resources/app/thing").is(204);
        id(&up.post("/resources", &body).is(201))
    };
    up.line("other", json!([{"driver": "echo"}]));
    let steps = json!([{"id": "l", "driver": "latch"}, {"driver": "requeue", "with": {"ms": 1}}]);
    up.line("held", steps);
    up.ended(&id(&begin(&up, 3_600_000)));
    assert!(up.get("/resources/app/thing").is(200)["resync"].is_object());
    let held = anew(&up, "held");
    assert!(up.get("/resources/app/thing").is(200)["resync"].is_null());

    // Its run goes on, and asks after it has gone.
    up.frames(&format!("/runs/{held}/logs"), &[]).next();
    let next = anew(&up, "other");
    let out = up.get(&format!("/runs/{held}")).is(200)["out"].clone();
    fs::write(Path::new(out.as_str().unwrap()).join("l.open"), "").unwrap();
    up.succeeded(&held);
    up.succeeded(&next);
    up.until("/resources/app/thing", |thing| thing["resync"].is_null());
    assert_eq!(count(&up), 3);
}
