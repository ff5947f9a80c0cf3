//! What breaks between host, broker and drivers, broken for real: every run ends right.

use crate::belt::Bench;
use crate::nats::{Nats, Puppet, bench, consumer_config, wait};
use crate::proxy::Proxy;
use crate::up::{Up, order};
use beltline::clock;
use serde_json::{Value, json};
use std::thread;
use std::time::Duration;

fn two_steps(up: &Up) {
    up.line(
        "line",
        json!([{"id": "one", "driver": "a"}, {"id": "two", "driver": "a"}]),
    );
}

const BOTH: [&str; 2] = ["current", "old"];

/// One that has a pipeline of two steps of driver `a`.
fn host() -> (Nats, Bench, Up) {
    host_over("current")
}

fn host_over(which: &'static str) -> (Nats, Bench, Up) {
    let nats = Nats::of(which, "");
    let bench = bench(&[], &[("a", "")]);
    let up = nats.up(&bench);
    two_steps(&up);
    (nats, bench, up)
}

#[test]
fn the_broker_is_killed_while_a_step_is_out() {
    BOTH.into_iter().for_each(broker_killed);
}

fn broker_killed(which: &'static str) {
    let (mut nats, _bench, up) = host_over(which);
    let mut driver = Puppet::attach(&nats, "a");
    let run = up.begin("thing");
    let first = driver.next();
    nats.kill();
    nats.again();
    driver.publish(&driver.result(&first, json!({"success": true, "data": 1})));
    let second = driver.next();
    // The first is delivered once more where its acknowledgement never came.
    let second = match second.body["step_id"] == "one" {
        true => driver.next(),
        false => second,
    };
    driver.succeed(&second, json!(2));
    let shown = up.succeeded(&run);
    assert_eq!(shown["steps"][0]["attempts"].as_array().unwrap().len(), 1);
    let metrics = up.get("/metrics").text();
    assert!(
        !metrics.contains("beltline_broker_reconnects_total 0"),
        "{metrics}"
    );
}

#[test]
fn the_broker_is_away_when_a_run_begins() {
    let mut nats = Nats::start();
    let bench = bench(&["say"], &[("a", "")]);
    let up = nats.up(&bench);
    two_steps(&up);
    up.line("here", json!([{"id": "s", "driver": "say"}]));
    let mut driver = Puppet::attach(&nats, "a");
    nats.kill();
    let run = up.begin("thing");
    // What needs no broker goes on.
    let mut here = order("other");
    here["resource"]["pipeline"] = json!("here");
    assert_eq!(
        up.post("/runs?wait=60s", &here).is(201)["status"],
        "succeeded"
    );
    nats.again();
    for data in [1, 2] {
        let handed = driver.next();
        driver.succeed(&handed, json!(data));
    }
    up.succeeded(&run);
}

#[test]
fn what_the_broker_has_lost_is_handed_over_again() {
    BOTH.into_iter().for_each(broker_wiped);
}

fn broker_wiped(which: &'static str) {
    let (mut nats, _bench, up) = host_over(which);
    let mut driver = Puppet::attach(&nats, "a");
    let run = up.begin("thing");
    let lost = driver.next();
    drop(driver);
    nats.kill();
    nats.wipe();
    nats.again();
    let mut driver = Puppet::attach(&nats, "a");
    let again = driver.next();
    let of = |body: &Value| {
        (
            body["key"].clone(),
            body["attempt"].clone(),
            body["token"].clone(),
        )
    };
    assert_eq!(of(&again.body), of(&lost.body));
    driver.succeed(&again, json!(1));
    let second = driver.next();
    driver.succeed(&second, json!(2));
    let shown = up.succeeded(&run);
    assert_eq!(shown["steps"][0]["attempts"].as_array().unwrap().len(), 1);
}

#[test]
fn a_consumer_or_a_stream_is_deleted_while_a_step_waits() {
    for (what, which) in ["consumer", "stream"]
        .into_iter()
        .flat_map(|what| BOTH.map(|which| (what, which)))
    {
        let (nats, _bench, up) = host_over(which);
        let jetstream = nats.jetstream();
        consumer_config(&nats, "a");
        let run = up.begin("thing");
        up.until(&format!("/runs/{run}"), |run| {
            run["steps"][0]["status"] == "waiting_for_driver"
        });
        match what {
            "consumer" => {
                wait(jetstream.delete_consumer_from_stream("a", "messages")).unwrap();
            }
            _ => {
                wait(jetstream.delete_stream("messages")).unwrap();
            }
        }
        let mut driver = Puppet::attach(&nats, "a");
        for data in [1, 2] {
            let handed = driver.next();
            driver.succeed(&handed, json!(data));
        }
        up.succeeded(&run);
    }
}

#[test]
fn the_host_is_killed_while_steps_are_out() {
    BOTH.into_iter().for_each(host_killed);
}

fn host_killed(which: &'static str) {
    let (nats, bench, up) = host_over(which);
    let mut driver = Puppet::attach(&nats, "a");
    let runs: Vec<_> = (0..20)
        .map(|nth| up.begin(&format!("thing-{nth}")))
        .collect();
    let handed: Vec<_> = (0..20).map(|_| driver.next()).collect();
    up.kill();
    // Answers come while nobody is there.
    for (nth, one) in handed.iter().enumerate() {
        driver.succeed(one, json!(nth));
    }
    let up = nats.up(&bench);
    let mut keys = std::collections::BTreeSet::new();
    while keys.len() < 20 {
        let one = driver.next();
        if one.body["step_id"] == "two" {
            keys.insert(one.body["key"].as_str().unwrap().to_owned());
        }
        driver.succeed(&one, json!("last"));
    }
    for run in &runs {
        let shown = up.succeeded(run);
        for step in [0, 1] {
            assert_eq!(
                shown["steps"][step]["attempts"].as_array().unwrap().len(),
                1
            );
        }
    }
}

#[test]
fn a_run_that_waits_is_found_by_its_answer_after_a_restart_and_not_handed_over_twice() {
    let (nats, bench, up) = host();
    let mut driver = Puppet::attach(&nats, "a");
    let run = up.begin("thing");
    let first = driver.next();
    up.until(&format!("/runs/{run}"), |run| {
        run["steps"][0]["status"] == "running"
    });
    let up = up.killed_and_started_with(&bench, &["--nats", &nats.url()]);
    up.until("/owner", |owner| owner["runs"] == 1);
    driver.succeed(&first, json!(1));
    let second = driver.next();
    assert_eq!(
        second.body["step_id"], "two",
        "the first was handed over once more"
    );
    driver.succeed(&second, json!(2));
    up.succeeded(&run);
}

#[test]
fn the_connection_is_cut_and_half_open_and_slow() {
    let nats = Nats::start();
    let proxy = Proxy::to(nats.port);
    let bench = bench(&[], &[("a", "")]);
    let up = Up::with(&bench, &["--nats", &proxy.url()]);
    two_steps(&up);
    let mut driver = Puppet::attach(&nats, "a");
    let step = |driver: &mut Puppet, run: &str, step: &str| loop {
        let handed = driver.next();
        if (
            handed.body["run_id"].as_str(),
            handed.body["step_id"].as_str(),
        ) == (Some(run), Some(step))
        {
            break driver.succeed(&handed, json!(step));
        }
        // Of an earlier try, whose answer did not come through.
        driver.succeed(&handed, json!("again"));
    };
    let cut = up.begin("cut");
    step(&mut driver, &cut, "one");
    proxy.cut();
    step(&mut driver, &cut, "two");
    up.succeeded(&cut);

    proxy.deafen(true);
    let deaf = up.begin("deaf");
    up.until(&format!("/runs/{deaf}"), |run| run["status"] == "waiting");
    proxy.deafen(false);
    proxy.cut();
    step(&mut driver, &deaf, "one");
    step(&mut driver, &deaf, "two");
    up.succeeded(&deaf);

    proxy.delay(Duration::from_millis(500));
    let slow = up.begin("slow");
    step(&mut driver, &slow, "one");
    step(&mut driver, &slow, "two");
    up.succeeded(&slow);
}

#[test]
fn a_step_that_is_cancelled_leaves_nothing_in_the_stream() {
    let (nats, _bench, up) = host();
    let run = up.begin("thing");
    up.until(&format!("/runs/{run}"), |run| {
        run["steps"][0]["status"] == "waiting_for_driver"
    });
    let mut heard = nats.subscribe("live.cancel.*");
    up.post(&format!("/runs/{run}/cancel"), &json!({"force": true}))
        .is(202);
    assert_eq!(up.ended(&run)["status"], "cancelled");
    let told = wait(futures::StreamExt::next(&mut heard)).unwrap();
    let told: Value = serde_json::from_slice(&told.payload).unwrap();
    assert_eq!(
        (told["run_id"].as_str(), told["step_id"].as_str()),
        (Some(run.as_str()), Some("one"))
    );
    let other = up.begin("other");
    let mut driver = Puppet::attach(&nats, "a");
    assert_eq!(driver.next().body["run_id"], other);
}

/// A run that waits long is put out of memory, and what is out of it is taken back all the same.
#[test]
fn a_run_at_rest_that_is_ended_by_force_leaves_nothing_in_the_stream() {
    let (nats, _bench, up) = host();
    let run = up.begin("thing");
    up.until(&format!("/runs/{run}"), |run| {
        run["steps"][0]["status"] == "waiting_for_driver"
    });
    let mut heard = nats.subscribe("live.cancel.*");
    // Nothing is under way: what was has been left.
    let give_up = clock::now_ms() + 60_000;
    while !up
        .get("/metrics")
        .text()
        .contains("beltline_runs_under_way 0")
    {
        assert!(clock::now_ms() < give_up, "it does not rest");
        thread::yield_now();
    }
    up.post(&format!("/runs/{run}/cancel"), &json!({"force": true}))
        .is(202);
    assert_eq!(up.ended(&run)["status"], "cancelled");
    let told = wait(futures::StreamExt::next(&mut heard)).unwrap();
    let told: Value = serde_json::from_slice(&told.payload).unwrap();
    assert_eq!(told["run_id"].as_str(), Some(run.as_str()));
    up.until("/drivers", |drivers| {
        drivers["drivers"][0]["native"]["pending"] == 0
    });
    let other = up.begin("other");
    let mut driver = Puppet::attach(&nats, "a");
    assert_eq!(driver.next().body["run_id"], other);
}

#[test]
fn a_cancel_reaches_a_driver_that_has_the_step_and_its_answer_counts() {
    let (nats, _bench, up) = host();
    let mut driver = Puppet::attach(&nats, "a");
    let run = up.begin("thing");
    let handed = driver.next();
    let mut heard = nats.subscribe(&format!("live.cancel.{run}"));
    up.post(&format!("/runs/{run}/cancel"), &json!({})).is(202);
    let told = wait(futures::StreamExt::next(&mut heard)).unwrap();
    let told: Value = serde_json::from_slice(&told.payload).unwrap();
    assert_eq!(told["force"], false);
    driver.answer(
        &handed,
        json!({"success": false, "message": "stopped", "failure": "cancelled"}),
    );
    let shown = up.ended(&run);
    assert_eq!(
        (&shown["status"], &shown["steps"][0]["status"]),
        (&json!("cancelled"), &json!("cancelled"))
    );
}

#[test]
fn a_message_that_kills_its_driver_fails_its_step() {
    let nats = Nats::start();
    let bench = bench(&[], &[("a", "")]);
    let up = nats.up(&bench);
    let retry = json!({"max_attempts": 5});
    up.line("line", json!([{"id": "s", "driver": "a", "retry": retry}]));
    let mut driver = Puppet::attach(&nats, "a");
    let run = up.begin("thing");
    for nth in 0..5 {
        let handed = driver.next();
        if nth == 1 {
            up.until("/drivers/a", |driver| driver["native"]["redelivered"] == 1);
            let metrics = up.get("/metrics").text();
            assert!(
                metrics.contains("beltline_native_messages_redelivered 1"),
                "{metrics}"
            );
        }
        let again = async_nats::jetstream::AckKind::Nak(None);
        wait(handed.message.ack_with(again)).unwrap();
    }
    let shown = up.ended(&run);
    assert_eq!(shown["failure"]["kind"], "limit", "{shown:#}");
    let reason = shown["failure"]["reason"].as_str().unwrap();
    assert!(reason.contains("delivered 5 times"), "{reason}");
    let next = up.begin("other");
    assert_eq!(driver.next().body["run_id"], next);
}

#[test]
fn two_hosts_share_a_broker_and_each_takes_its_own() {
    let nats = Nats::start();
    let benches = [
        bench(&[], &[("a", "")]),
        bench(&[], &[("a", ""), ("b", "")]),
    ];
    let ups = [nats.up(&benches[0]), nats.up(&benches[1])];
    for up in &ups {
        two_steps(up);
    }
    let mut driver = Puppet::attach(&nats, "a");
    let runs: Vec<_> = (0..10)
        .map(|nth| ups[nth % 2].begin(&format!("thing-{nth}")))
        .collect();
    for _ in 0..20 {
        let handed = driver.next();
        let data = handed.body["run_id"].clone();
        driver.succeed(&handed, data);
    }
    for (nth, run) in runs.iter().enumerate() {
        let shown = ups[nth % 2].succeeded(run);
        assert_eq!(shown["steps"][1]["output"], *run);
        assert!(shown.get("ignored").is_none(), "{shown:#}");
    }
    assert!(
        ups[0]
            .get("/metrics")
            .text()
            .contains("native_results_ignored_total 0")
    );
}
