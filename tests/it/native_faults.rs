//! What breaks between host, broker and drivers, broken for real: every run ends right.

use crate::belt::Bench;
use crate::nats::{Nats, Puppet, bench, consumer_config, until_consumer, wait};
use crate::proxy::Proxy;
use crate::up::{Up, id, order};
use async_nats::jetstream::consumer::pull::Config;
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

/// How often the host had to connect anew.
#[track_caller]
fn reconnects(up: &Up) -> u64 {
    let metrics = up.get("/metrics").text();
    let mut lines = metrics.lines();
    let count = lines.find_map(|line| line.strip_prefix("beltline_broker_reconnects_total "));
    count.unwrap().parse().unwrap()
}

/// One whose connection to the broker a proxy has in hand.
fn host_behind_proxy() -> (Nats, Proxy, Bench, Up) {
    let nats = Nats::start();
    let proxy = Proxy::to(nats.port);
    let bench = bench(&[], &[("a", "")]);
    let up = Up::with(&bench, &["--nats", &proxy.url()]);
    two_steps(&up);
    (nats, proxy, bench, up)
}

/// A run whose first message waits in the stream.
fn begun(nats: &Nats, up: &Up) -> String {
    let run = up.begin("thing");
    until_consumer(nats, "messages", "a", |info| info.num_pending == 1);
    run
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
    step(&mut driver, &run, "two");
    let shown = up.succeeded(&run);
    assert_eq!(shown["steps"][0]["attempts"].as_array().unwrap().len(), 1);
    assert_eq!(shown["steps"][0]["output"], 1);
    assert!(reconnects(&up) >= 1);
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
    let (nats, proxy, _bench, up) = host_behind_proxy();
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

/// Nobody tells the host that its connection is half open: it finds that out.
#[test]
fn a_connection_that_answers_nothing_is_given_up_and_made_anew() {
    let (nats, proxy, _bench, up) = host_behind_proxy();
    let mut driver = Puppet::attach(&nats, "a");
    let run = up.begin("thing");
    let handed = driver.next();
    proxy.strand();
    driver.succeed(&handed, json!(1));
    step(&mut driver, &run, "two");
    assert_eq!(up.succeeded(&run)["steps"][0]["output"], 1);
    assert!(reconnects(&up) >= 1);
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

/// Nobody has had it: the run need not wait for a word.
#[test]
fn a_cancel_of_a_step_that_no_driver_has_taken_ends_it() {
    let (nats, _bench, up) = host();
    let run = begun(&nats, &up);
    up.post(&format!("/runs/{run}/cancel"), &json!({})).is(202);
    let shown = up.ended(&run);
    assert_eq!(shown["status"], "cancelled");
    let attempt = &shown["steps"][0]["attempts"][0];
    assert_eq!(
        attempt["failure"]["reason"], "no driver had taken it",
        "{shown:#}"
    );
    until_nothing_waits(&nats, "a");
}

/// Its message is on its way to the broker, which has not said yet that it has it.
#[test]
fn a_run_that_is_ended_while_its_message_is_on_its_way_leaves_nothing_in_the_stream() {
    let (nats, proxy, _bench, up) = host_behind_proxy();
    until_consumer(&nats, "messages", "a", |_| true);
    // Asking the broker again and again would be told to the host as well, and late.
    let mut published = nats.subscribe("a.resources.app");
    proxy.delay(Duration::from_millis(300));
    let run = up.begin("thing");
    wait(futures::StreamExt::next(&mut published)).unwrap();
    up.post(&format!("/runs/{run}/cancel"), &json!({"force": true}))
        .is(202);
    assert_eq!(up.ended(&run)["status"], "cancelled");
    proxy.delay(Duration::ZERO);
    until_nothing_waits(&nats, "a");
}

/// The answer comes with the broker's word that it has the message, as from a driver that is quick.
#[test]
fn nothing_is_taken_back_of_an_attempt_that_was_answered_at_once() {
    let (nats, proxy, _bench, up) = host_behind_proxy();
    let mut deleted = nats.subscribe("$JS.API.STREAM.MSG.DELETE.*");
    let mut driver = Puppet::attach(&nats, "a");
    proxy.delay(Duration::from_millis(5));
    for number in 0..60 {
        let run = up.begin(&format!("thing-{number}"));
        for _ in ["one", "two"] {
            let handed = driver.next();
            driver.succeed(&handed, json!(null));
        }
        up.succeeded(&run);
    }
    let last = "$JS.API.STREAM.MSG.DELETE.none";
    let client = nats.client();
    wait(client.publish(last, "".into())).unwrap();
    wait(client.flush()).unwrap();
    let first = wait(futures::StreamExt::next(&mut deleted)).unwrap();
    assert_eq!(first.subject.as_str(), last);
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
}

/// A resource without a pipeline: one driver has its message, the other is never there, and the message is both's.
#[test]
fn a_message_that_drivers_share_goes_when_its_run_is_over() {
    let nats = Nats::start();
    let conveyor = ", wire: conveyor, kinds: [app]";
    let bench = bench(&[], &[("a", conveyor), ("b", conveyor)]);
    let up = nats.up(&bench);
    two_steps(&up);
    let mut a = Puppet::attach(&nats, "a");
    let resource = json!({"name": "thing", "resource": "app", "spec": {}});
    let run = id(&up.post("/resources", &resource).is(201));
    let handed = a.next();
    a.succeed(&handed, json!("a"));
    until_consumer(&nats, "messages", "b", |info| info.num_pending == 1);
    up.post(&format!("/runs/{run}/cancel"), &json!({"force": true}))
        .is(202);
    assert_eq!(up.ended(&run)["status"], "cancelled");
    until_nothing_waits(&nats, "b");
}

/// It takes it in the last moment, and works for longer than that.
#[test]
fn a_driver_that_has_taken_a_step_in_time_is_not_timed_out_as_absent() {
    let nats = Nats::start();
    let bench = bench(&[], &[("a", "")]);
    let up = nats.up(&bench);
    up.line(
        "line",
        json!([{"id": "s", "driver": "a", "queue_timeout": "700ms"}]),
    );
    let mut driver = Puppet::attach(&nats, "a");
    let begun_ms = clock::now_ms();
    let run = up.begin("thing");
    let handed = driver.next();
    while clock::now_ms() < begun_ms + 1_500 {
        thread::yield_now();
    }
    let shown = up.get(&format!("/runs/{run}")).is(200);
    assert_eq!(shown["steps"][0]["status"], "running", "{shown:#}");
    driver.succeed(&handed, json!(null));
    up.succeeded(&run);
}

#[test]
fn what_was_ended_while_the_broker_was_away_is_taken_back_when_it_is_there_again() {
    let (mut nats, _bench, up) = host();
    let run = up.begin("thing");
    up.until(&format!("/runs/{run}"), |run| {
        run["steps"][0]["status"] == "waiting_for_driver"
    });
    nats.kill();
    up.post(&format!("/runs/{run}/cancel"), &json!({"force": true}))
        .is(202);
    assert_eq!(up.ended(&run)["status"], "cancelled");
    nats.again();
    let jetstream = nats.jetstream();
    let is_empty = async || {
        let stream = jetstream.get_stream("messages").await;
        stream.is_ok_and(|stream| stream.cached_info().state.messages == 0)
    };
    wait(async {
        while !is_empty().await {
            tokio::task::yield_now().await;
        }
    });
}

/// Its time was over before the host was there again: nobody had it in hand.
#[test]
fn what_was_out_of_a_run_that_is_overdue_at_a_restart_is_taken_back() {
    let nats = Nats::start();
    let bench = bench(&[], &[("a", "")]);
    let up = nats.up(&bench);
    two_steps(&up);
    let steps = json!([{"id": "s", "driver": "a"}]);
    let brief = json!({"name": "line", "resource": "app", "timeout": "3s", "steps": steps});
    up.post("/pipelines", &brief).is(201);
    let begun_ms = clock::now_ms();
    let run = begun(&nats, &up);
    let left = up.get(&format!("/runs/{run}")).is(200);
    assert!(left.get("ended_at").is_none(), "{left:#}");
    up.kill();
    while clock::now_ms() < begun_ms + 3_100 {
        thread::yield_now();
    }
    let up = nats.up(&bench);
    assert_eq!(up.ended(&run)["status"], "timed_out");
    until_nothing_waits(&nats, "a");
}

/// Nobody owns the folder any more; who cancels reaches the broker, and takes the message back before he ends.
#[test]
fn a_cancel_of_a_run_that_nobody_carries_leaves_nothing_in_the_stream() {
    let (nats, bench, up) = host();
    let run = begun(&nats, &up);
    up.kill();
    let cancel = ["runs", "cancel", &run, "--force", "--state", "state"];
    let said = bench.belt(&[&cancel[..], &["--nats", &nats.url()]].concat());
    assert_eq!(said.code, 3, "{said:?}");
    let jetstream = nats.jetstream();
    let waiting = wait(jetstream.get_consumer_from_stream::<Config, _, _>("a", "messages"));
    assert_eq!(waiting.unwrap().cached_info().num_pending, 0);
}

#[track_caller]
fn until_nothing_waits(nats: &Nats, name: &str) {
    until_consumer(nats, "messages", name, |info| info.num_pending == 0);
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
    // Nobody acknowledges it, so it is said until there is an answer.
    for _ in 0..5 {
        wait(futures::StreamExt::next(&mut heard)).unwrap();
    }
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
