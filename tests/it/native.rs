//! Native drivers in pipelines: what they are handed, what becomes of what they answer, and what a run says of it.

use crate::belt::Bench;
use crate::nats::{Nats, Puppet, bench, consumer_config, until_consumer};
use crate::up::{Up, id, order};
use serde_json::{Value, json};

fn payload(body: &Value) -> Value {
    serde_json::from_str(body["payload"].as_str().unwrap()).unwrap()
}

#[test]
fn native_and_wasm_steps_take_part_in_one_pipeline() {
    let nats = Nats::start();
    let bench = bench(
        &["say", "echo"],
        &[("notary", ", kinds: [app], config: {seal: red}")],
    );
    let up = nats.up(&bench);
    let with = json!({"ink": "blue"});
    up.line(
        "line",
        json!([{"id": "first", "driver": "say"},
        {"id": "sign", "driver": "notary", "with": with}, {"id": "last", "driver": "echo"}]),
    );
    let mut notary = Puppet::attach(&nats, "notary");
    let mut new = order("thing");
    new["pipeline"] = json!({"name": "line", "resource": "app", "context": {"severity": "low"}, "steps": [{"id": "first", "driver": "say"},
        {"id": "sign", "driver": "notary", "with": {"ink": "blue"}, "timeout": "5m"}, {"id": "last", "driver": "echo"}]});
    new["context"] = json!({"severity": "high"});
    let run = id(&up.post("/runs", &new).is(201));

    let handed = notary.next();
    let body = &handed.body;
    assert_eq!(handed.message.subject.as_str(), "notary.resources.app");
    assert_eq!(body["event"], "create");
    assert_eq!(body["id"].as_str().unwrap().len(), 24);
    assert_eq!(body["run_id"], run);
    assert_eq!(
        (&body["step_id"], &body["attempt"]),
        (&json!("sign"), &json!(1))
    );
    assert_eq!(body["key"], format!("{run}/sign/1"));
    let headers = handed.message.headers.as_ref().unwrap();
    assert_eq!(
        headers.get("Beltline-Key").unwrap().as_str(),
        format!("{run}/sign/1")
    );
    assert!(headers.get("Nats-Msg-Id").is_none());
    assert_eq!(
        (&body["with"], &body["config"]),
        (&json!({"ink": "blue"}), &json!({"seal": "red"}))
    );
    assert_eq!(body["context"]["severity"], "high");
    assert_eq!(body["timeout_ms"], 300_000);
    let steps: Vec<_> = body["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| &step["status"])
        .collect();
    assert_eq!(steps, ["succeeded", "waiting_for_driver", "pending"]);
    let first = up.get(&format!("/runs/{run}")).is(200)["steps"][0]["output"].clone();
    assert_eq!(body["outputs"]["first"], first);
    let resource = payload(body);
    assert_eq!(resource["spec"], json!({}));
    let said: Value =
        serde_json::from_str(resource["metadata"]["driverresults.say"].as_str().unwrap()).unwrap();
    assert_eq!((&said["success"], &said["data"]), (&json!(true), &first));

    notary.succeed(&handed, json!({"sealed": true}));
    let run = up.ended(&run);
    assert_eq!(run["status"], "succeeded", "{run:#}");
    assert_eq!(run["steps"][1]["output"], json!({"sealed": true}));
    assert_eq!(
        run["steps"][2]["output"]["outputs"]["sign"],
        json!({"sealed": true})
    );
    let attempts = |step: usize| run["steps"][step]["attempts"][0]["placement"].clone();
    assert_eq!([attempts(0), attempts(1)], ["wasm", "native"]);
    assert!(run["steps"][1]["attempts"][0].get("fenced").is_none());
    assert_eq!(run["drivers"]["notary"]["placement"], "native");
    let said = bench.belt(&["runs", "get", "--state", "state"]);
    assert!(said.stdout.contains("notary native"), "{said:?}");
}

#[test]
fn a_driver_that_is_not_there_is_waited_for_and_for_so_long() {
    let nats = Nats::start();
    let bench = bench(&[], &[("a", "")]);
    let up = nats.up(&bench);
    up.line("line", json!([{"id": "s", "driver": "a"}]));
    let run = up.begin("thing");
    let shown = up.until(&format!("/runs/{run}"), |run| run["status"] == "waiting");
    assert_eq!(shown["steps"][0]["status"], "waiting_for_driver");
    let mut driver = Puppet::attach(&nats, "a");
    let handed = driver.next();
    // It has it, and works.
    let path = format!("/runs/{run}");
    up.until(&path, |run| run["steps"][0]["status"] == "running");
    driver.succeed(&handed, json!(null));
    assert_eq!(up.ended(&run)["status"], "succeeded");
    drop(driver);
    until_consumer(&nats, "messages", "a", |info| info.num_waiting == 0);

    up.line(
        "short",
        json!([{"id": "s", "driver": "a", "queue_timeout": "300ms", "retry": {"max_attempts": 3}}]),
    );
    let mut new = order("other");
    new["resource"]["pipeline"] = "short".into();
    let run = up.ended(&id(&up.post("/runs", &new).is(201)));
    assert_eq!(run["status"], "failed");
    assert_eq!(run["failure"]["kind"], "queue_timeout", "{run:#}");
    // Nobody finds its message any more.
    until_consumer(&nats, "messages", "a", |info| info.num_pending == 0);
    let mut driver = Puppet::attach(&nats, "a");
    let third = up.begin("thing");
    assert_eq!(driver.next().body["run_id"], third);
}

#[test]
fn failures_are_retried_as_they_say() {
    let nats = Nats::start();
    let bench = bench(&[], &[("a", "")]);
    let up = nats.up(&bench);
    let retry = json!({"max_attempts": 3, "backoff": "10ms"});
    up.line("line", json!([{"id": "s", "driver": "a", "retry": retry}]));
    let mut driver = Puppet::attach(&nats, "a");
    let run = up.begin("thing");
    let first = driver.next();
    driver.answer(&first, json!({"success": false, "message": "busy"}));
    let second = driver.next();
    assert_eq!(
        (&second.body["attempt"], &second.body["key"]),
        (&json!(2), &first.body["key"])
    );
    assert_ne!(second.body["token"], first.body["token"]);
    driver.answer(
        &second,
        json!({"success": false, "message": "no", "retryable": false}),
    );
    let run = up.ended(&run);
    assert_eq!(run["status"], "failed");
    let kinds: Vec<_> = run["steps"][0]["attempts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["failure"]["kind"].clone())
        .collect();
    assert_eq!(kinds, ["retryable", "permanent"]);
}

#[test]
fn an_attempt_that_takes_too_long_is_taken_back_and_its_answer_worth_nothing() {
    let nats = Nats::start();
    let bench = bench(&[], &[("a", "")]);
    let up = nats.up(&bench);
    let retry = json!({"max_attempts": 2, "backoff": "1ms"});
    up.line(
        "line",
        json!([{"id": "s", "driver": "a", "timeout": "3s", "retry": retry}]),
    );
    let mut driver = Puppet::attach(&nats, "a");
    let run = up.begin("thing");
    let first = driver.next();
    let second = driver.next();
    assert_eq!(second.body["attempt"], 2);
    driver.publish(&driver.result(&first, json!({"success": true, "data": "late"})));
    driver.publish(&driver.result(&second, json!({"success": true, "data": "right"})));
    let run = up.ended(&run);
    assert_eq!(run["steps"][0]["output"], "right");
    assert_eq!(
        run["steps"][0]["attempts"][0]["failure"]["kind"],
        "attempt_timeout"
    );
    let ignored = run["ignored"].as_array().unwrap();
    assert_eq!(ignored.len(), 1, "{run:#}");
    assert_eq!(ignored[0]["reason"], "attempt 1 of step `s` is not open");
}

#[test]
fn a_resource_without_a_pipeline_goes_to_every_driver_of_its_kind() {
    let nats = Nats::start();
    let natives = [
        ("a", ", kinds: [app]"),
        ("b", ", kinds: [app], wire: conveyor"),
        ("c", ", kinds: [app], wire: conveyor"),
        ("d", ", kinds: [other]"),
    ];
    let bench = bench(&[], &natives);
    let config = bench.read("belt.yaml");
    let say = crate::belt::guest("say").display().to_string();
    bench.write(
        "belt.yaml",
        format!("{config}  say: {{path: {say}, kinds: [app]}}\n"),
    );
    let up = nats.up(&bench);
    up.line("line", json!([]));
    let [mut a, mut b, mut c] = ["a", "b", "c"].map(|name| Puppet::attach(&nats, name));
    let resource = json!({"name": "thing", "resource": "app", "spec": {}});
    let run = id(&up.post("/resources", &resource).is(201));
    let handed = a.next();
    assert_eq!(handed.message.subject.as_str(), "a.resources.app");
    a.succeed(&handed, json!(null));
    let [of_b, of_c] = [b.next(), c.next()];
    for handed in [&of_b, &of_c] {
        assert_eq!(handed.message.subject.as_str(), "resources.app");
        assert!(handed.body.get("token").is_none());
        assert!(payload(&handed.body)["metadata"].get("beltline").is_none());
    }
    // One message for both.
    let sequence = |handed: &crate::nats::Handed| handed.message.info().unwrap().stream_sequence;
    assert_eq!(sequence(&of_b), sequence(&of_c));
    let plain = |driver: &str, success: bool| {
        json!({"event": "driver.result", "run_id": run, "resource": payload(&of_b.body),
            "driverresult": {"success": success, "message": "", "data": null, "driver": driver}})
    };
    b.publish(&plain("b", true));
    b.publish(&plain("c", true));
    let run = up.ended(&run);
    assert_eq!(run["status"], "succeeded", "{run:#}");
    let drivers: Vec<_> = run["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| step["driver"].as_str().unwrap())
        .collect();
    assert_eq!(drivers, ["a", "b", "c", "say"]);
    assert_eq!(run["steps"][1]["attempts"][0]["fenced"], false);
}

#[test]
fn a_pipeline_that_names_nobody_is_refused_with_the_line_to_add() {
    let nats = Nats::start();
    let bench = bench(&[], &[("a", "")]);
    let up = nats.up(&bench);
    up.line("line", json!([{"id": "s", "driver": "a"}]));
    let pipeline =
        json!({"name": "line", "resource": "app", "steps": [{"id": "s", "driver": "nobody"}]});
    let said = up.post("/pipelines", &pipeline).refused(400);
    assert!(said.contains("nobody: {placement: native}"), "{said}");
}

#[test]
fn without_a_broker_a_native_driver_is_refused_by_name() {
    let bench = bench(&[], &[("a", "")]);
    let up = Up::start(&bench);
    up.line("line", json!([{"id": "s", "driver": "a"}]));
    let said = up.post("/runs", &order("thing")).refused(409);
    assert!(
        said.contains("driver `a`") && said.contains("--nats"),
        "{said}"
    );
    bench.write(
        "pipeline.yaml",
        "name: line\nresource: app\nsteps: [{driver: a}]\n",
    );
    let other = Bench::new(&[]);
    other.write("belt.yaml", bench.read("belt.yaml"));
    other.write("pipeline.yaml", bench.read("pipeline.yaml"));
    let said = other.run(&[]);
    assert_eq!(said.code, 2, "{said:?}");
    assert!(said.stderr.contains("driver `a` is native"), "{said:?}");
}

#[test]
fn belt_run_takes_native_drivers_too() {
    let nats = Nats::start();
    let bench = bench(&["say"], &[("a", "")]);
    bench.pipeline("", &["{driver: say}", "{driver: a}"]);
    std::fs::create_dir_all(bench.path("work")).unwrap();
    let mut live = crate::live::Live::run(&bench, &["--nats", &nats.url()]);
    live.until("say");
    let mut driver = Puppet::attach(&nats, "a");
    let handed = driver.next();
    let work = std::fs::canonicalize(bench.path("work")).unwrap();
    assert_eq!(handed.body["workspace"], work.display().to_string());
    let out = handed.body["out"].as_str().unwrap();
    assert!(std::path::Path::new(out).is_dir());
    assert!(handed.body["machine"].is_string());
    driver.succeed(&handed, json!(1));
    let said = live.end();
    assert_eq!(said.code, 0, "{}", said.stderr);
}

#[test]
fn the_same_step_runs_where_its_driver_is_placed() {
    let nats = Nats::start();
    let bench = bench(&["say"], &[]);
    let here = bench.read("belt.yaml");
    let up = nats.up(&bench);
    up.line("line", json!([{"id": "s", "driver": "say"}]));
    let run = up.ended(&up.begin("thing"));
    let (digest, here_output) = (
        run["drivers"]["say"]["digest"].clone(),
        run["steps"][0]["output"].clone(),
    );
    assert!(digest.is_string());
    bench.write("belt.yaml", "drivers: {say: {placement: native}}\n");
    up.until("/drivers/say", |driver| driver["placement"] == "native");
    let run = up.begin("thing");
    let mut driver = Puppet::attach(&nats, "say");
    let handed = driver.next();
    driver.succeed(&handed, here_output.clone());
    let run = up.ended(&run);
    assert_eq!(run["steps"][0]["attempts"][0]["placement"], "native");
    assert_eq!(run["steps"][0]["output"], here_output);
    bench.write("belt.yaml", here);
    up.until("/drivers/say", |driver| {
        driver["placement"] == "wasm" && driver["status"] == "ready"
    });
    let run = up.ended(&up.begin("thing"));
    assert_eq!(run["steps"][0]["attempts"][0]["placement"], "wasm");
    assert_eq!(run["drivers"]["say"]["digest"], digest);
}

#[test]
fn a_driver_has_its_consumer_before_there_is_anything_for_it() {
    let nats = Nats::start();
    let bench = bench(
        &[],
        &[("a", ""), ("b", ", wire: conveyor, kinds: [app, web]")],
    );
    let _up = nats.up(&bench);
    let a = consumer_config(&nats, "a");
    assert_eq!(a.durable_name.as_deref(), Some("a"));
    assert_eq!(
        (a.filter_subject.as_str(), a.max_deliver),
        ("a.resources.*", 5)
    );
    let mut b = consumer_config(&nats, "b");
    b.filter_subjects.sort();
    assert_eq!(b.durable_name.as_deref(), Some("b"));
    assert_eq!(
        b.filter_subjects,
        [
            "drivers.b.resources.app",
            "drivers.b.resources.web",
            "resources.app",
            "resources.web"
        ]
    );
    assert_eq!((b.max_ack_pending, b.max_deliver), (1, -1));
}
