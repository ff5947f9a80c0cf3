//! What is taken back: of an attempt that has ended nothing stays in the stream, and who has it hears so.

use crate::nats::{BOTH, Nats, Puppet, bench, until_consumer, wait};
use crate::two_steps::{begun, host, host_behind_proxy, host_over, two_steps};
use crate::up::id;
use async_nats::jetstream::consumer::pull::Config;
use beltline::clock;
use serde_json::{Value, json};
use std::thread;
use std::time::Duration;

#[test]
fn a_step_that_is_cancelled_leaves_nothing_in_the_stream() {
    for which in BOTH {
        let (nats, _bench, up) = host_over(which);
        let run = up.begin("thing");
        until_consumer(&nats, "messages", "a", |info| info.num_pending == 1);
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
        until_nothing_waits(&nats, "a");
        let other = up.begin("other");
        let mut driver = Puppet::attach(&nats, "a");
        assert_eq!(driver.next().body["run_id"], other);
    }
}

/// A run that waits long is put out of memory, and what is out of it is taken back all the same.
#[test]
fn a_run_at_rest_that_is_ended_by_force_leaves_nothing_in_the_stream() {
    let (nats, _bench, up) = host();
    let run = begun(&nats, &up);
    let mut heard = nats.subscribe("live.cancel.*");
    up.post(&format!("/runs/{run}/cancel"), &json!({"force": true}))
        .is(202);
    assert_eq!(up.ended(&run)["status"], "cancelled");
    let told = wait(futures::StreamExt::next(&mut heard)).unwrap();
    let told: Value = serde_json::from_slice(&told.payload).unwrap();
    assert_eq!(told["run_id"].as_str(), Some(run.as_str()));
    until_nothing_waits(&nats, "a");
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

#[test]
fn what_was_ended_while_the_broker_was_away_is_taken_back_when_it_is_there_again() {
    let (mut nats, _bench, up) = host();
    let run = begun(&nats, &up);
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
    let brief = json!({"name": "line", "resource": "app", "timeout": "8s", "steps": steps});
    up.post("/pipelines", &brief).is(201);
    let begun_ms = clock::now_ms();
    let run = begun(&nats, &up);
    let left = up.get(&format!("/runs/{run}")).is(200);
    assert!(left.get("ended_at").is_none(), "{left:#}");
    up.kill();
    while clock::now_ms() < begun_ms + 8_100 {
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

#[test]
fn a_cancel_reaches_a_driver_that_has_the_step_and_its_answer_counts() {
    for which in BOTH {
        let (nats, _bench, up) = host_over(which);
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
}

#[track_caller]
fn until_nothing_waits(nats: &Nats, name: &str) {
    until_consumer(nats, "messages", name, |info| info.num_pending == 0);
}
