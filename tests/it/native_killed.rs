//! `kill -9` of a host at moments that matter: between what it saves and what it tells the broker, and the other way round. A
//! proxy holds that moment.

use crate::belt::Bench;
use crate::load::{ended_right, loaded, replayed};
use crate::nats::{Handed, Nats, PATIENCE, Puppet, bench, until_consumer, wait};
use crate::program::Program;
use crate::proxy::{Proxy, Then};
use crate::up::Up;
use serde_json::{Value, json};

/// A run of two steps of driver `a`, whose host is killed when these words were on their way to the broker.
fn killed_at(
    words: &'static str,
    then: Then,
    meanwhile: impl Fn(&mut Puppet),
) -> (Nats, Bench, Puppet, String) {
    let nats = Nats::start();
    let proxy = Proxy::to(nats.port);
    let bench = bench(&[], &[("a", "")]);
    let up = Up::with(&bench, &["--nats", &proxy.url()]);
    up.line(
        "line",
        json!([{"id": "one", "driver": "a"}, {"id": "two", "driver": "a"}]),
    );
    let mut driver = Puppet::attach(&nats, "a");
    let moment = proxy.watch(words, then);
    let run = up.begin("thing");
    meanwhile(&mut driver);
    moment.recv_timeout(PATIENCE).unwrap();
    up.kill();
    (nats, bench, driver, run)
}

/// How many messages were ever published for drivers.
fn published(nats: &Nats) -> u64 {
    let jetstream = nats.jetstream();
    let stream = wait(jetstream.get_stream("messages")).unwrap();
    stream.cached_info().state.last_sequence
}

fn whose(handed: &Handed) -> [&Value; 4] {
    ["step_id", "attempt", "key", "token"].map(|key| &handed.body[key])
}

/// Each step ended in its first attempt.
#[track_caller]
fn ends_right(up: &Up, run: &str, outputs: [Value; 2]) -> Value {
    let shown = up.succeeded(run);
    for (step, output) in shown["steps"].as_array().unwrap().iter().zip(outputs) {
        assert_eq!(step["attempts"].as_array().unwrap().len(), 1, "{shown:#}");
        assert_eq!(step["output"], output);
    }
    shown
}

#[test]
fn between_the_save_of_a_start_and_its_message() {
    let (nats, bench, mut driver, run) = killed_at("HPUB a.resources.app ", Then::Stop, |_| {});
    let left = bench.latest();
    assert_eq!(left["steps"][0]["status"], "waiting_for_driver", "{left:#}");
    assert_eq!(published(&nats), 0);
    let up = nats.up(&bench);
    for step in ["one", "two"] {
        let handed = driver.next();
        assert_eq!(whose(&handed)[..2], [&json!(step), &json!(1)]);
        driver.succeed(&handed, json!(step));
    }
    let shown = ends_right(&up, &run, [json!("one"), json!("two")]);
    assert!(shown.get("ignored").is_none(), "{shown:#}");
    assert_eq!(published(&nats), 2);
}

#[test]
fn between_a_message_and_its_acknowledgement() {
    let words = "HPUB a.resources.app ";
    let (nats, bench, mut driver, run) = killed_at(words, Then::LetThroughAndStop, |_| {});
    let first = driver.next();
    let up = nats.up(&bench);
    // Nobody has written down where the message is: it is published again, and is of the same attempt.
    let again = driver.next();
    assert_eq!(whose(&again), whose(&first));
    driver.succeed(&first, json!("first"));
    let path = format!("/runs/{run}");
    up.until(&path, |run| run["steps"][0]["status"] == "succeeded");
    driver.succeed(&again, json!("again"));
    let last = driver.next();
    assert_eq!(last.body["step_id"], "two");
    driver.succeed(&last, json!("last"));
    ends_right(&up, &run, [json!("first"), json!("last")]);
    let shown = up.until(&path, |run| run["ignored"].is_array());
    // Whether the first was out of the book when the second was looked at.
    let both = [
        "attempt 1 of step `one` is not open",
        "its attempt has ended",
    ];
    let reason = shown["ignored"][0]["reason"].as_str().unwrap();
    assert!(both.contains(&reason), "{reason}");
    assert_eq!(published(&nats), 3);
}

#[test]
fn between_the_save_of_an_answer_and_its_acknowledgement() {
    let words = "PUB $JS.ACK.pipeline-engine.";
    let (nats, bench, mut driver, run) = killed_at(words, Then::Stop, |driver| {
        let handed = driver.next();
        driver.succeed(&handed, json!("saved"));
    });
    let left = bench.latest();
    assert_eq!(left["steps"][0]["status"], "succeeded", "{left:#}");
    let consumer = host_consumer(&nats);
    let waits = |count| {
        until_consumer(&nats, "pipeline-engine", &consumer, |info| {
            info.num_ack_pending == count && info.num_pending == 0
        });
    };
    waits(1);
    let up = nats.up(&bench);
    // It may have been on its way before the host died; what is written down is that it starts.
    let last = driver.next();
    assert_eq!(last.body["step_id"], "two");
    driver.succeed(&last, json!("last"));
    let shown = ends_right(&up, &run, [json!("saved"), json!("last")]);
    assert!(shown.get("ignored").is_none(), "{shown:#}");
    // The answer comes again in its time, is not taken again, and is acknowledged.
    waits(0);
    let shown = up.get(&format!("/runs/{run}")).is(200);
    let reason = &shown["ignored"][0]["reason"];
    assert_eq!(reason, "attempt 1 of step `one` is not open", "{shown:#}");
}

/// Under load, once by itself and once together with the broker: whatever was acknowledged ends right, each step by its one attempt.
#[test]
fn at_any_moment_under_load_with_the_broker_or_without() {
    let mut nats = Nats::start();
    let names = ["a", "b", "c"];
    let bench = bench(&[], &names.map(|name| (name, "")));
    let mut up = nats.up(&bench);
    up.line(
        "line",
        json!([{"id": "a", "driver": "a"}, {"id": "b", "driver": "b"},
            {"id": "c", "driver": "c", "with": {"output_of": "b"}}]),
    );
    let url = nats.url();
    let _drivers = names.map(|name| {
        let program = Program::tester(&bench, name, &["--nats", &url, "--concurrency", "16"]);
        program.says("listens");
        program
    });
    for is_broker_too in [false, true] {
        let submits = loaded(up, u32::from(is_broker_too), |up| {
            if is_broker_too {
                nats.kill();
            }
            up.kill();
        });
        if is_broker_too {
            nats.again();
        }
        up = nats.up(&bench);
        let cut_off = submits.iter().filter(|submit| submit.answer.is_none());
        assert!(cut_off.count() > 0, "nothing was under way");
        ended_right(&up, &replayed(&up, &submits), |steps| {
            assert_eq!(steps[2]["output"]["had"], steps[1]["output"]);
            for step in steps {
                assert_eq!(step["attempts"].as_array().unwrap().len(), 1, "{step:#}");
            }
        });
    }
}

/// The one consumer of answers.
fn host_consumer(nats: &Nats) -> String {
    let jetstream = nats.jetstream();
    wait(async {
        let stream = jetstream.get_stream("pipeline-engine").await.unwrap();
        let mut names = stream.consumer_names();
        futures::StreamExt::next(&mut names).await.unwrap().unwrap()
    })
}
