//! What breaks between host, broker and drivers, broken for real: every run ends right.

use crate::nats::{BOTH, Handed, Nats, PATIENCE, Puppet, bench, publish, wait};
use crate::two_steps::{
    begun, host, host_behind_proxy, host_behind_proxy_to, host_over, two_steps,
};
use crate::up::{Up, id, order};
use async_nats::jetstream::AckKind;
use beltline::clock;
use serde_json::{Value, json};
use std::thread;
use std::time::Duration;

/// What the host has counted.
#[track_caller]
fn counted(up: &Up, what: &str) -> u64 {
    let metrics = up.get("/metrics").text();
    let name = format!("beltline_{what}_total ");
    let mut lines = metrics.lines();
    let count = lines.find_map(|line| line.strip_prefix(&name));
    count
        .unwrap_or_else(|| panic!("{metrics}"))
        .parse()
        .unwrap()
}

/// How often the host had to connect anew.
fn reconnects(up: &Up) -> u64 {
    counted(up, "broker_reconnects")
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
    up.rests();
    nats.kill();
    nats.again();
    driver.publish(&driver.result(&first, json!({"success": true, "data": 1})));
    step(&mut driver, &run, "two");
    let shown = up.succeeded(&run);
    assert_eq!(shown["steps"][0]["attempts"].as_array().unwrap().len(), 1);
    assert_eq!(shown["steps"][0]["output"], 1);
    assert!(reconnects(&up) >= 1);
}

#[test]
fn the_broker_is_away_when_a_run_begins() {
    for which in BOTH {
        let mut nats = Nats::of(which, "");
        let bench = bench(&["say"], &[("a", "")]);
        let up = nats.up(&bench);
        two_steps(&up);
        up.line("here", json!([{"id": "s", "driver": "say"}]));
        let mut driver = Puppet::attach(&nats, "a");
        nats.kill();
        let run = up.begin("thing");
        // What needs no broker goes on; that it cannot be told is counted, once the host knows.
        let mut here = order("other");
        here["resource"]["pipeline"] = json!("here");
        let give_up = clock::monotonic() + PATIENCE;
        while counted(&up, "steps_unannounced") == 0 {
            let run = up.post("/runs?wait=60s", &here).is(201);
            assert_eq!(run["status"], "succeeded");
            assert!(clock::monotonic() < give_up, "all were told");
        }
        nats.again();
        step(&mut driver, &run, "one");
        step(&mut driver, &run, "two");
        up.succeeded(&run);
    }
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
    step(&mut driver, &run, "two");
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
        let run = begun(&nats, &up);
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

/// Its driver works on it meanwhile, and answers.
#[test]
fn a_consumer_or_a_stream_is_deleted_while_a_driver_has_the_step() {
    for which in BOTH {
        for stream in ["", "messages", "pipeline-engine", "logs-engine"] {
            let (nats, _bench, up) = host_over(which);
            let jetstream = nats.jetstream();
            let mut driver = Puppet::attach(&nats, "a");
            let run = up.begin("thing");
            let handed = driver.next();
            match stream {
                "" => _ = wait(jetstream.delete_consumer_from_stream("a", "messages")).unwrap(),
                stream => _ = wait(jetstream.delete_stream(stream)).unwrap(),
            }
            // The host makes what is gone anew.
            let again = if stream.is_empty() {
                "messages"
            } else {
                stream
            };
            wait(async {
                while jetstream.get_stream(again).await.is_err() {
                    tokio::task::yield_now().await;
                }
            });
            let line = json!({"runid": run, "driver": "a", "message": "said"});
            let line = line.to_string().into_bytes();
            publish(&jetstream, &format!("logs.{run}"), line);
            up.until(&format!("/runs/{run}/logs"), |lines| {
                lines[0]["message"] == "said"
            });
            driver.publish(&driver.result(&handed, json!({"success": true, "data": 1})));
            // What this one has asked for would be handed to it.
            drop(driver);
            let mut driver = Puppet::attach(&nats, "a");
            step(&mut driver, &run, "two");
            let shown = up.succeeded(&run);
            assert_eq!(
                shown["steps"][0]["output"], 1,
                "{which} {stream}: {shown:#}"
            );
            let attempts = shown["steps"][0]["attempts"].as_array().unwrap();
            assert_eq!(attempts.len(), 1, "{which} {stream}: {shown:#}");
        }
    }
}

/// What all of a kind's drivers shared goes to each by itself when it is handed over again.
#[test]
fn a_shared_message_that_the_broker_has_lost_is_handed_over_to_each_driver() {
    let mut nats = Nats::start();
    let conveyor = ", wire: conveyor, kinds: [app]";
    let bench = bench(&[], &[("b", conveyor), ("c", conveyor)]);
    let up = nats.up(&bench);
    up.line("line", json!([]));
    let names = ["b", "c"];
    let drivers = names.map(|name| Puppet::attach(&nats, name));
    let resource = json!({"name": "thing", "resource": "app", "spec": {}});
    let run = id(&up.post("/resources", &resource).is(201));
    for mut driver in drivers {
        assert_eq!(driver.next().message.subject.as_str(), "resources.app");
    }
    nats.kill();
    nats.wipe();
    nats.again();
    for name in names {
        let mut driver = Puppet::attach(&nats, name);
        let handed = driver.next();
        let subject = handed.message.subject.as_str();
        assert_eq!(subject, format!("drivers.{name}.resources.app"));
        assert_eq!(handed.body["attempt"], 1);
        driver.succeed(&handed, json!(name));
    }
    let shown = up.succeeded(&run);
    for (step, name) in shown["steps"].as_array().unwrap().iter().zip(names) {
        assert_eq!(step["output"], name, "{shown:#}");
        assert_eq!(step["attempts"].as_array().unwrap().len(), 1);
        assert!(step["attempts"][0].get("fenced").is_none(), "{shown:#}");
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

/// Answers that step of that run. What comes before it is of an earlier try, of which the host did not hear all.
fn step(driver: &mut Puppet, run: &str, step: &str) {
    loop {
        let handed = driver.next();
        let (of_run, of_step) = (&handed.body["run_id"], &handed.body["step_id"]);
        if (of_run.as_str(), of_step.as_str()) == (Some(run), Some(step)) {
            return driver.succeed(&handed, json!(step));
        }
        driver.succeed(&handed, json!("again"));
    }
}

#[test]
fn the_connection_is_cut_and_half_open_and_slow() {
    for which in BOTH {
        let (nats, proxy, _bench, up) = host_behind_proxy_to(which);
        let mut driver = Puppet::attach(&nats, "a");
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
}

/// Nobody tells the host that its connection is half open: it finds that out.
#[test]
fn a_connection_that_answers_nothing_is_given_up_and_made_anew() {
    let (nats, proxy, _bench, up) = host_behind_proxy();
    let mut driver = Puppet::attach(&nats, "a");
    let run = up.begin("thing");
    let handed = driver.next();
    // The host has heard that the broker has it, and hands it over no second time.
    up.rests();
    proxy.strand();
    driver.succeed(&handed, json!(1));
    step(&mut driver, &run, "two");
    assert_eq!(up.succeeded(&run)["steps"][0]["output"], 1);
    assert!(reconnects(&up) >= 1);
}

/// Somebody deletes the message by hand.
#[test]
fn what_is_deleted_from_the_stream_is_handed_over_again() {
    let (nats, _bench, up) = host();
    let run = begun(&nats, &up);
    let jetstream = nats.jetstream();
    let stream = wait(jetstream.get_stream("messages")).unwrap();
    let sequence = stream.cached_info().state.last_sequence;
    assert!(wait(stream.delete_message(sequence)).unwrap());
    let mut driver = Puppet::attach(&nats, "a");
    for step in ["one", "two"] {
        let handed = driver.next();
        assert_eq!(handed.body["step_id"], step);
        driver.succeed(&handed, json!(step));
    }
    let shown = up.succeeded(&run);
    assert_eq!(shown["steps"][0]["attempts"].as_array().unwrap().len(), 1);
    assert!(counted(&up, "native_messages_again") >= 1);
}

/// It takes it in the last moment, and works for longer than that.
#[test]
fn a_driver_that_has_taken_a_step_in_time_is_not_timed_out_as_absent() {
    let nats = Nats::start();
    let bench = bench(&[], &[("a", "")]);
    let up = nats.up(&bench);
    let step = json!({"id": "s", "driver": "a", "queue_timeout": "3s"});
    up.line("line", json!([step]));
    // A busy machine may be too late, and tries again.
    let (run, handed, driver, until_ms) = (0..20)
        .find_map(|nth| {
            let until_ms = clock::now_ms() + 3_000;
            let run = up.begin(&format!("thing-{nth}"));
            while clock::now_ms() < until_ms - 700 {
                thread::yield_now();
            }
            let mut driver = Puppet::attach(&nats, "a");
            let handed = driver.next_within(Duration::from_secs(1))?;
            let is_in_time = clock::now_ms() < until_ms - 250;
            is_in_time.then_some((run, handed, driver, until_ms))
        })
        .expect("it is always too late");
    while clock::now_ms() < until_ms + 1_500 {
        thread::yield_now();
    }
    let shown = up.get(&format!("/runs/{run}")).is(200);
    assert_eq!(shown["steps"][0]["status"], "running", "{shown:#}");
    driver.succeed(&handed, json!(null));
    up.succeeded(&run);
}

#[test]
fn a_message_that_kills_its_driver_fails_its_step() {
    for which in BOTH {
        let nats = Nats::of(which, "");
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
            wait(handed.message.ack_with(AckKind::Nak(None))).unwrap();
        }
        let shown = up.ended(&run);
        assert_eq!(shown["failure"]["kind"], "limit", "{shown:#}");
        let reason = shown["failure"]["reason"].as_str().unwrap();
        assert!(reason.contains("delivered 5 times"), "{reason}");
        let next = up.begin("other");
        assert_eq!(driver.next().body["run_id"], next);
    }
}

/// The broker tells of it once, and nobody listens.
#[test]
fn a_message_that_killed_its_driver_while_the_host_was_away_fails_its_step() {
    for which in BOTH {
        let nats = Nats::of(which, "");
        let bench = bench(&[], &[("a", "")]);
        let up = nats.up(&bench);
        up.line("line", json!([{"id": "s", "driver": "a"}]));
        let mut driver = Puppet::attach(&nats, "a");
        let run = up.begin("thing");
        let first = driver.next();
        // Its host has written down where the message is, or it would send another.
        up.rests();
        up.kill();
        let again = |handed: Handed| wait(handed.message.ack_with(AckKind::Nak(None))).unwrap();
        again(first);
        for _ in 0..4 {
            again(driver.next());
        }
        let up = nats.up(&bench);
        let shown = up.ended(&run);
        assert_eq!(shown["failure"]["kind"], "limit", "{shown:#}");
        let reason = shown["failure"]["reason"].as_str().unwrap();
        assert!(
            reason.contains("delivered as often as it may be"),
            "{reason}"
        );
        let next = up.begin("next");
        assert_eq!(driver.next().body["run_id"], next);
    }
}

/// Its driver has acknowledged before it works, and is at work.
#[test]
fn what_was_acknowledged_too_early_is_not_taken_for_that() {
    for which in BOTH {
        let nats = Nats::of(which, "");
        let bench = bench(&[], &[("a", "")]);
        let up = nats.up(&bench);
        up.line("line", json!([{"id": "s", "driver": "a"}]));
        let mut driver = Puppet::attach(&nats, "a");
        let early = up.begin("early");
        let at_work = driver.next();
        wait(at_work.message.double_ack()).unwrap();
        let deadly = up.begin("deadly");
        let first = driver.next();
        // Its host has written down where the message is, or it would send another.
        up.rests();
        up.kill();
        let again = |handed: Handed| wait(handed.message.ack_with(AckKind::Nak(None))).unwrap();
        again(first);
        for _ in 0..4 {
            again(driver.next());
        }
        let up = nats.up(&bench);
        assert_eq!(up.ended(&deadly)["failure"]["kind"], "limit");
        driver.publish(&driver.result(&at_work, json!({"success": true, "data": 1})));
        assert_eq!(up.succeeded(&early)["steps"][0]["output"], 1);
    }
}

#[test]
fn two_hosts_share_a_broker_and_each_takes_its_own() {
    for which in BOTH {
        let nats = Nats::of(which, "");
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
}
