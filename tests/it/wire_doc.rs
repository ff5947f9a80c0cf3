//! docs/wire.md says how it is: its schemas are held against what crosses a real broker.

use crate::belt::root;
use crate::live::Live;
use crate::nats::{
    HOST_TO_HEAR, HOST_TO_PUBLISH, LEAST_TO_HEAR, LEAST_TO_PUBLISH, Nats, Puppet, bench,
    consumer_config,
};
use crate::up::{id, order};
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy};
use serde_json::{Value, json};
use std::fs;
use std::time::Duration;

/// The block of that name.
fn block(name: &str) -> String {
    let page = fs::read_to_string(root().join("docs/wire.md")).unwrap();
    let begin = page.split(&format!("{name}\n")).nth(1);
    let block = begin.and_then(|rest| rest.split("```").next());
    block
        .unwrap_or_else(|| panic!("docs/wire.md has no {name}"))
        .to_owned()
}

fn schema(name: &str) -> jsonschema::Validator {
    let schema: Value = serde_json::from_str(&block(&format!("```json {name}"))).unwrap();
    jsonschema::validator_for(&schema).unwrap()
}

#[track_caller]
fn fits(schema: &jsonschema::Validator, value: &Value) {
    if let Err(error) = schema.validate(value) {
        panic!("{error} at {}: {value:#}", error.instance_path());
    }
}

#[test]
fn what_goes_out_fits_the_schema_whichever_wire_it_takes() {
    let dispatch = schema("dispatch");
    let nats = Nats::start();
    let natives = [
        ("a", ", kinds: [app]"),
        ("b", ", kinds: [app], wire: conveyor"),
    ];
    let bench = bench(&["say"], &natives);
    let up = nats.up(&bench);
    up.line("line", json!([{"id": "say", "driver": "say"}, {"id": "a", "driver": "a", "with": {"x": 1}}, {"id": "b", "driver": "b"}]));
    let [mut a, mut b] = ["a", "b"].map(|name| Puppet::attach(&nats, name));
    let run = id(&up.post("/runs", &order("thing")).is(201));
    for driver in [&mut a, &mut b] {
        let handed = driver.next();
        fits(&dispatch, &handed.body);
        assert!(handed.body["token"].is_string());
        driver.succeed(&handed, json!({"left": true}));
    }
    up.ended(&run);
    let alone = json!({"name": "alone", "resource": "app", "spec": {}});
    up.post("/resources", &alone).is(201);
    let shared = b.next();
    assert_eq!(shared.message.subject.as_str(), "resources.app");
    fits(&dispatch, &shared.body);
}

/// All that a message may have: folders, what earlier steps left, and which of that it cannot carry.
#[test]
fn so_does_one_with_folders_and_more_than_it_can_carry() {
    let dispatch = schema("dispatch");
    let nats = Nats::of("current", "max_payload: 8MB");
    let bench = bench(&[], &[("a", "")]);
    bench.pipeline(
        "",
        &[
            "{id: one, driver: a}",
            "{id: two, driver: a}",
            "{id: three, driver: a}",
        ],
    );
    let live = Live::run(&bench, &["--nats", &nats.url()]);
    let mut driver = Puppet::attach(&nats, "a");
    for _ in ["one", "two"] {
        let handed = driver.next();
        fits(&dispatch, &handed.body);
        driver.succeed(&handed, json!("x".repeat(200 << 10)));
    }
    let handed = driver.next();
    fits(&dispatch, &handed.body);
    let body = &handed.body;
    assert_eq!(body["outputs_left"], json!(["two"]));
    let work = fs::canonicalize(bench.path("work")).unwrap();
    assert_eq!(body["workspace"], work.display().to_string());
    for folder in ["workspace", "out"] {
        assert!(
            fs::metadata(body[folder].as_str().unwrap())
                .unwrap()
                .is_dir()
        );
    }
    assert!(body["machine"].is_string() && body["outputs"]["one"].is_string());
    driver.succeed(&handed, json!(null));
    assert_eq!(live.end().code, 0);
}

#[test]
fn what_the_schema_lets_through_is_an_answer_and_what_it_does_not_is_none() {
    let result = schema("result");
    let nats = Nats::start();
    let bench = bench(&[], &[("a", "")]);
    let up = nats.up(&bench);
    up.line("line", json!([{"id": "s", "driver": "a"}]));
    let mut driver = Puppet::attach(&nats, "a");
    let run = id(&up.post("/runs", &order("thing")).is(201));
    let handed = driver.next();
    for none in [
        json!({}),
        json!({"run_id": run}),
        json!({"run_id": run, "driverresult": {"success": "yes", "driver": "a"}}),
    ] {
        assert!(result.validate(&none).is_err(), "{none}");
        driver.publish(&none);
    }
    let mut right = driver.result(
        &handed,
        json!({"success": true, "message": "m", "data": {"n": 1}, "requeue_after_ms": 60_000}),
    );
    right["log_sequence"] = json!(0);
    fits(&result, &right);
    driver.publish(&right);
    let shown = up.ended(&run);
    assert_eq!(
        (&shown["status"], &shown["steps"][0]["output"]),
        (&json!("succeeded"), &json!({"n": 1}))
    );
}

#[test]
fn the_consumer_is_as_the_page_has_it() {
    let nats = Nats::start();
    let bench = bench(&[], &[("DRIVER", "")]);
    let _up = nats.up(&bench);
    let told: Value = serde_json::from_str(&block("```json consumer")).unwrap();
    let found = consumer_config(&nats, "DRIVER");
    assert_eq!(told["durable_name"], json!(found.durable_name));
    assert_eq!(told["filter_subject"], json!(found.filter_subject));
    assert_eq!(
        (&told["max_deliver"], &told["max_ack_pending"]),
        (&json!(found.max_deliver), &json!(found.max_ack_pending))
    );
    let nanos = |time: Duration| json!(u64::try_from(time.as_nanos()).unwrap());
    assert_eq!(told["inactive_threshold"], nanos(found.inactive_threshold));
    assert_eq!(told["ack_wait"], nanos(found.ack_wait));
    assert_eq!(
        (&told["deliver_policy"], &told["ack_policy"]),
        (&json!("all"), &json!("explicit"))
    );
    assert_eq!(
        (found.deliver_policy, found.ack_policy),
        (DeliverPolicy::All, AckPolicy::Explicit)
    );
    assert_eq!(told.as_object().unwrap().len(), 8, "{told:#}");
}

#[test]
fn the_permissions_are_those_that_were_tried() {
    for (name, publish, hear) in [
        ("permissions", &LEAST_TO_PUBLISH[..], &LEAST_TO_HEAR[..]),
        ("host", &HOST_TO_PUBLISH, &HOST_TO_HEAR),
    ] {
        let told = block(&format!("```text {name}"));
        let (to_publish, to_hear) = told.split_once("subscribe:").unwrap();
        let to_publish = to_publish.trim_start().strip_prefix("publish:").unwrap();
        for (told, tried) in [(to_publish, publish), (to_hear, hear)] {
            assert_eq!(told.split_whitespace().collect::<Vec<_>>(), tried, "{name}");
        }
    }
}
