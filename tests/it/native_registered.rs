//! Native drivers as clients register them and see them.

use crate::nats::{Nats, Puppet, bench, until_consumer, wait};
use crate::program::{Program, Traces};
use crate::up::{id, order};
use serde_json::{Value, json};

#[test]
fn a_client_registers_one_uses_it_and_takes_it_away() {
    let nats = Nats::start();
    let bench = bench(&[], &[("mine", "")]);
    let up = nats.up(&bench);
    let entry = json!({"placement": "native", "kinds": ["app"], "config": {"a": 1}});
    let made = up.put("/drivers/notary", &entry).is(201);
    assert_eq!(
        (&made["placement"], &made["source"]),
        (&json!("native"), &json!("put"))
    );
    up.put("/drivers/notary", &entry).is(200);
    up.put("/drivers/mine", &entry).refused(409);
    up.line("line", json!([{"id": "s", "driver": "notary"}]));
    let mut driver = Puppet::attach(&nats, "notary");
    let run = id(&up.post("/runs", &order("thing")).is(201));
    let handed = driver.next();
    assert_eq!(handed.body["config"], json!({"a": 1}));
    up.delete("/drivers/notary").refused(409);
    driver.succeed(&handed, json!(null));
    up.ended(&run);
    // It is there after a restart too.
    let up = up.killed_and_started_with(&bench, &["--nats", &nats.url()]);
    up.get("/drivers/notary").is(200);
    assert_eq!(up.delete("/drivers/notary").status, 204);
    up.get("/drivers/notary").refused(404);
}

/// Its program would make another, and what comes for it until then would be lost.
#[test]
fn the_consumer_of_one_that_is_taken_away_goes_when_its_programs_have_gone() {
    let nats = Nats::start();
    let bench = bench(&[], &[("mine", "")]);
    let up = nats.up(&bench);
    let entry = json!({"placement": "native"});
    up.put("/drivers/notary", &entry).is(201);
    until_consumer(&nats, "messages", "notary", |_| true);
    let program = Program::tester(&bench, "notary", &["--nats", &nats.url()]);
    program.says("listens");
    let is_there = |driver: &Value| driver["native"]["connected"] == 1;
    up.until("/drivers/notary", is_there);
    let stream = wait(nats.jetstream().get_stream("messages")).unwrap();
    assert_eq!(up.delete("/drivers/notary").status, 204);
    assert!(wait(stream.consumer_info("notary")).is_ok());
    program.terminate();
    assert_eq!(program.end().0, 0);
    until_consumer(&nats, "messages", "notary", |info| info.num_waiting == 0);
    up.put("/drivers/notary", &entry).is(201);
    assert_eq!(up.delete("/drivers/notary").status, 204);
    assert!(wait(stream.consumer_info("notary")).is_err());
}

#[test]
fn an_entry_that_is_none_is_refused_with_its_field() {
    let nats = Nats::start();
    let bench = bench(&[], &[]);
    let up = nats.up(&bench);
    for (entry, field) in [
        (json!({"placement": "native", "wire": "morse"}), "/wire"),
        (json!({"placement": "native", "kinds": ["a.b"]}), "/kinds/0"),
        (json!({"placement": "native", "grants": {}}), "/grants"),
        (json!({"path": "x.wasm"}), "/placement"),
    ] {
        let answer = up.put("/drivers/notary", &entry).is(400);
        assert_eq!(answer["errors"][0]["field"], field, "{answer:#}");
    }
}

#[test]
fn the_list_says_who_is_there_and_what_waits() {
    let nats = Nats::start();
    let bench = bench(&["say"], &[("a", ", kinds: [app]")]);
    let up = nats.up(&bench);
    up.line("line", json!([{"id": "s", "driver": "a"}]));
    let run = id(&up.post("/runs", &order("thing")).is(201));
    let path = "/drivers/a";
    let shown = up.until(path, |driver| driver["native"]["waiting"] == 1);
    assert_eq!(
        (&shown["native"]["connected"], &shown["native"]["pending"]),
        (&json!(0), &json!(1))
    );
    let said = bench.belt(&["drivers", "list", "--state", "state"]);
    assert!(
        said.stdout.contains("0 connected, 1 pending, not seen yet"),
        "{said:?}"
    );
    let metrics = up.get("/metrics").text();
    assert!(
        metrics.contains("beltline_native_steps_waiting 1"),
        "{metrics}"
    );
    let mut driver = Puppet::attach(&nats, "a");
    let handed = driver.next();
    up.until(path, |driver| {
        driver["native"]["connected"] == 1 && driver["native"]["waiting"] == 0
    });
    driver.succeed(&handed, json!(null));
    up.ended(&run);
    let shown = up.until(path, |driver| driver["native"]["pending"] == 0);
    assert!(shown["native"]["last_seen"].is_string());
    let listed = || {
        let said = bench.belt(&["drivers", "list", "--state", "state"]);
        assert_eq!(said.code, 0, "{said:?}");
        let mut lines = said.stdout.lines();
        let heads = ["DRIVER", "KINDS", "PLACEMENT", "STATUS"];
        let head: Vec<_> = lines.next().unwrap().split_whitespace().collect();
        assert_eq!(head, heads);
        let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        lines.map(words).collect::<Vec<_>>()
    };
    let seen = shown["native"]["last_seen"].as_str().unwrap();
    let [a, say] = listed().try_into().unwrap();
    assert_eq!(
        a,
        format!("a app native ready 1 connected, 0 pending, last seen {seen}")
    );
    assert!(say.starts_with("say any wasm ready "), "{say}");
    up.begin("other");
    up.until(path, |driver| driver["native"]["pending"] == 1);
    assert!(listed()[0].contains("1 connected, 1 pending"));
}

/// Each program has several requests for messages open, or none where it works; it is one all the same.
#[test]
fn programs_are_counted_as_they_come_work_and_go() {
    let nats = Nats::start();
    let bench = bench(&[], &[("a", ", kinds: [app]")]);
    let up = nats.up(&bench);
    let connected = |count: usize| {
        up.until("/drivers/a", |driver| {
            driver["native"]["connected"] == count
        });
    };
    connected(0);
    let url = nats.url();
    let start = |concurrency: &str| {
        let args = ["--nats", &url, "--concurrency", concurrency];
        let program = Program::tester(&bench, "a", &args);
        program.says("listens");
        program
    };
    let several = start("4");
    connected(1);
    let one = start("1");
    connected(2);
    several.kill();
    connected(1);
    let traces = Traces(&bench);
    up.line(
        "line",
        json!([{"id": "s", "driver": "a", "with": traces.with()}]),
    );
    let run = up.begin("thing");
    up.until(&format!("/runs/{run}"), |run| run["status"] == "running");
    connected(1);
    traces.release("before");
    traces.release("after");
    up.succeeded(&run);
    one.kill();
    connected(0);
}
