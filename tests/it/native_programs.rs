//! Drivers as programs of their own, on the SDK: killed at each moment of an attempt, and what they and the host agree on.

use crate::belt::Bench;
use crate::live::Live;
use crate::nats::{BOTH, Nats, bench, impatient, until_consumer, wait};
use crate::program::{Program, Traces};
use crate::proxy::{Proxy, Then};
use crate::up::{Up, id, order};
use serde_json::{Value, json};
use std::fs;
use std::time::Duration;

/// A host with a pipeline of one step of driver `a`; what is not acknowledged is delivered again after a second.
fn host(more: Value) -> (Nats, Bench, Up) {
    host_over("current", more)
}

fn host_over(which: &'static str, more: Value) -> (Nats, Bench, Up) {
    let nats = Nats::of(which, "");
    let bench = bench(&[], &[("a", "")]);
    let up = nats.up(&bench);
    let mut step = json!({"id": "s", "driver": "a", "with": Traces(&bench).with()});
    let more = more.as_object().unwrap().clone();
    step.as_object_mut().unwrap().extend(more);
    up.line("line", json!([step]));
    impatient(&nats, "a");
    (nats, bench, up)
}

fn listening(bench: &Bench, url: &str) -> Program {
    let program = Program::tester(bench, "a", &["--nats", url]);
    program.says("listens");
    program
}

/// The whole run was one attempt, which the broker handed out twice under one key.
#[track_caller]
fn one_attempt(run: &Value) {
    assert_eq!(run["status"], "succeeded", "{run:#}");
    let attempts = run["steps"][0]["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 1, "{run:#}");
}

#[test]
fn a_driver_is_killed_with_a_message_that_it_has_not_begun() {
    let (nats, bench, up) = host(json!({}));
    let first = listening(&bench, &nats.url());
    until_consumer(&nats, "messages", "a", |info| info.num_waiting > 0);
    first.stop();
    let run = up.begin("thing");
    until_consumer(&nats, "messages", "a", |info| info.num_ack_pending == 1);
    first.kill();
    let traces = Traces(&bench);
    traces.release("before");
    traces.release("after");
    let second = listening(&bench, &nats.url());
    one_attempt(&up.ended(&run));
    assert_eq!(traces.begun(), [format!("{} 1", second.pid())]);
    assert_eq!(traces.effects(), [format!("{run}/s/1")]);
}

#[test]
fn a_driver_is_killed_before_its_effect_and_another_has_it() {
    for which in BOTH {
        let (nats, bench, up) = host_over(which, json!({}));
        let first = listening(&bench, &nats.url());
        let run = up.begin("thing");
        let traces = Traces(&bench);
        traces.until_begun(1);
        let killed = first.pid();
        first.kill();
        traces.release("before");
        traces.release("after");
        let second = listening(&bench, &nats.url());
        one_attempt(&up.ended(&run));
        let begun = [killed, second.pid()].map(|pid| format!("{pid} 1"));
        assert_eq!(traces.begun(), begun);
        assert_eq!(traces.effects(), [format!("{run}/s/1")]);
    }
}

#[test]
fn a_driver_is_killed_after_its_effect_and_the_key_tells_that_it_was_had() {
    for which in BOTH {
        let (nats, bench, up) = host_over(which, json!({}));
        let traces = Traces(&bench);
        traces.release("before");
        let first = listening(&bench, &nats.url());
        let run = up.begin("thing");
        traces.until_effects(1);
        first.kill();
        traces.release("after");
        let _second = listening(&bench, &nats.url());
        one_attempt(&up.ended(&run));
        // Delivery is at least once: whoever is called sees the same key.
        let key = format!("{run}/s/1");
        assert_eq!(traces.effects(), [key.clone(), key]);
    }
}

#[test]
fn a_driver_is_killed_between_its_answer_and_the_acknowledgement() {
    for which in BOTH {
        let (nats, bench, up) = host_over(which, json!({}));
        let traces = Traces(&bench);
        traces.release("before");
        traces.release("after");
        let proxy = Proxy::to(nats.port);
        let first = listening(&bench, &proxy.url());
        let answered = proxy.watch("pipelines.driver.result", Then::LetThroughAndStop);
        let run = up.begin("thing");
        answered.recv_timeout(crate::nats::PATIENCE).unwrap();
        first.kill();
        one_attempt(&up.ended(&run));
        let _second = listening(&bench, &nats.url());
        // The message comes again, and so does an answer, which is worth nothing.
        let path = format!("/runs/{run}");
        let shown = up.until(&path, |run| run["ignored"].is_array());
        let reason = &shown["ignored"][0]["reason"];
        assert_eq!(reason, "attempt 1 of step `s` is not open");
        one_attempt(&shown);
        until_consumer(&nats, "messages", "a", |info| info.num_ack_pending == 0);
    }
}

#[test]
fn an_attempt_whose_driver_is_killed_and_stays_away_runs_out_and_the_next_is_another() {
    let retry = json!({"max_attempts": 2, "backoff": "1ms"});
    let (nats, bench, up) = host(json!({"timeout": "8s", "retry": retry}));
    let traces = Traces(&bench);
    let first = listening(&bench, &nats.url());
    let run = up.begin("thing");
    traces.until_begun(1);
    let killed = first.pid();
    first.kill();
    let second_attempt = |run: &Value| run["steps"][0]["attempts"][1].is_object();
    up.until(&format!("/runs/{run}"), second_attempt);
    traces.release("before");
    traces.release("after");
    let second = listening(&bench, &nats.url());
    let shown = up.succeeded(&run);
    let attempts = shown["steps"][0]["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 2, "{shown:#}");
    assert_eq!(attempts[0]["failure"]["kind"], "attempt_timeout");
    // The first one's message was taken back: nobody is handed it any more.
    let begun = [format!("{killed} 1"), format!("{} 2", second.pid())];
    assert_eq!(traces.begun(), begun);
    assert_eq!(traces.effects(), [format!("{run}/s/1")]);
}

#[test]
fn the_host_is_killed_before_it_knows_where_its_message_is_and_the_driver_works_once() {
    let nats = Nats::start();
    let bench = bench(&[], &[("a", "")]);
    let proxy = Proxy::to(nats.port);
    let up = Up::with(&bench, &["--nats", &proxy.url()]);
    let traces = Traces(&bench);
    up.line(
        "line",
        json!([{"id": "s", "driver": "a", "with": traces.with()}]),
    );
    let args = ["--nats", &nats.url(), "--concurrency", "2"];
    let driver = Program::tester(&bench, "a", &args);
    driver.says("listens");
    let published = proxy.watch("HPUB a.resources.app ", Then::LetThroughAndStop);
    let run = up.begin("thing");
    published.recv_timeout(crate::nats::PATIENCE).unwrap();
    traces.until_begun(1);
    up.kill();
    let up = nats.up(&bench);
    // The same attempt is published once more, and is in hand already.
    until_consumer(&nats, "messages", "a", |info| {
        info.delivered.consumer_sequence == 2
    });
    traces.release("before");
    traces.release("after");
    one_attempt(&up.ended(&run));
    assert_eq!(traces.begun(), [format!("{} 1", driver.pid())]);
    assert_eq!(traces.effects(), [format!("{run}/s/1")]);
    until_consumer(&nats, "messages", "a", |info| info.num_ack_pending == 0);
}

#[test]
fn a_driver_that_does_not_see_the_workspace_fails_the_step_by_name() {
    let nats = Nats::start();
    let bench = bench(&[], &[("a", "")]);
    bench.pipeline("", &["{id: s, driver: a, with: {workspace: true}}"]);
    let live = Live::run(&bench, &["--nats", &nats.url(), "-o", "json"]);
    until_consumer(&nats, "messages", "a", |info| info.num_pending == 1);
    // As where the driver has another file system before it.
    fs::rename(bench.path("work"), bench.path("elsewhere")).unwrap();
    let _driver = listening(&bench, &nats.url());
    let said = live.end();
    assert_eq!(said.code, 1, "{said:?}");
    let run = said.json();
    let failure = &run["steps"][0]["attempts"][0]["failure"];
    assert_eq!(failure["kind"], "permanent", "{run:#}");
    let reason = failure["reason"].as_str().unwrap();
    let work = bench.path("work");
    let work = work.file_name().unwrap().to_str().unwrap();
    assert!(
        reason.contains(&format!("{work} is not seen from where this driver runs")),
        "{reason}"
    );
}

#[test]
fn when_a_run_has_ended_its_log_has_all_that_its_drivers_said() {
    let nats = Nats::start();
    let bench = bench(&[], &[("a", "")]);
    let up = nats.up(&bench);
    let with = json!({"lines": 50});
    up.line("line", json!([{"id": "s", "driver": "a", "with": with}]));
    let _driver = listening(&bench, &nats.url());
    let run = id(&up.post("/runs?wait=60s", &order("thing")).is(201));
    let lines = up.get(&format!("/runs/{run}/logs")).is(200);
    let lines = lines.as_array().unwrap();
    assert_eq!(lines.len(), 50);
    for (nth, line) in lines.iter().enumerate() {
        assert_eq!(line["message"], format!("line {nth}"));
        assert_eq!((&line["step"], &line["attempt"]), (&json!("s"), &json!(1)));
    }
}

#[test]
fn an_answer_waits_for_the_last_line_that_it_names() {
    let nats = Nats::start();
    let bench = bench(&[], &[("a", "")]);
    let up = nats.up(&bench);
    up.line("line", json!([{"id": "s", "driver": "a"}]));
    let mut driver = crate::nats::Puppet::attach(&nats, "a");
    let run = up.begin("thing");
    let handed = driver.next();
    let mut result = driver.result(&handed, json!({"success": true}));
    result["log_sequence"] = json!(1);
    let published = beltline::clock::monotonic();
    driver.publish(&result);
    // The host has it, and the line is not there yet.
    up.until("/drivers/a", |driver| {
        driver["native"]["last_seen"].is_string()
    });
    let shown = up.get(&format!("/runs/{run}?wait=100ms")).is(200);
    // On a machine that stood still meanwhile it has waited long enough.
    let waited = beltline::clock::monotonic() - published;
    assert!(
        shown.get("ended_at").is_none() || waited >= Duration::from_secs(2),
        "{shown:#}"
    );
    let line = json!({"runid": run, "driver": "a", "message": "the last"});
    let line = line.to_string().into_bytes();
    crate::nats::publish(&nats.jetstream(), &format!("logs.{run}"), line);
    up.succeeded(&run);
    let lines = up.get(&format!("/runs/{run}/logs")).is(200);
    assert_eq!(lines[0]["message"], "the last");
    wait(handed.message.double_ack()).unwrap();
}
