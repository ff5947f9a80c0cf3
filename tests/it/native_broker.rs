//! The broker itself: what is not as it has to be is refused by name, or mended.

use crate::belt::Bench;
use crate::live::Live;
use crate::nats::{Nats, Puppet, bench, consumer_config, until_consumer, wait};
use crate::up::{Up, id, order, up};
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull, push};
use async_nats::jetstream::stream::{Config, RetentionPolicy, StorageType};
use futures::StreamExt;
use serde_json::json;
use std::process::Command;
use std::time::Duration;

fn over(bench: &Bench, nats: &str) -> Command {
    bench.command(&up(&["--nats", nats]))
}

#[track_caller]
fn refused(bench: &Bench, nats: &str, code: i32) -> String {
    let said = Live::start(over(bench, nats)).end();
    assert_eq!(said.code, code, "{}", said.stderr);
    said.stderr
}

#[test]
fn a_stream_that_others_made_otherwise_is_refused_by_name() {
    let nats = Nats::start();
    let bench = bench(&[], &[]);
    let config = Config {
        name: "pipeline-engine".to_owned(),
        subjects: vec!["pipelines.>".to_owned()],
        // As Conveyor has it: an observer would take answers away.
        retention: RetentionPolicy::WorkQueue,
        ..Config::default()
    };
    wait(nats.jetstream().create_stream(config)).unwrap();
    let said = refused(&bench, &nats.url(), 4);
    assert!(
        said.contains(
            "stream `pipeline-engine` on the broker has retention `workqueue` and needs `limits`"
        ),
        "{said}"
    );
    assert!(said.contains("nats stream rm pipeline-engine"), "{said}");
}

#[test]
fn a_stream_that_would_lose_something_is_refused_by_name() {
    let results = || Config {
        name: "pipeline-engine".to_owned(),
        subjects: vec!["pipelines.>".to_owned()],
        ..Config::default()
    };
    let no_ack = Config {
        no_ack: true,
        ..results()
    };
    let memory = Config {
        storage: StorageType::Memory,
        ..results()
    };
    let deny_delete = Config {
        deny_delete: true,
        ..results()
    };
    let bench = bench(&[], &[]);
    let messages = || Config {
        name: "messages".to_owned(),
        subjects: vec!["resources.>".to_owned()],
        retention: RetentionPolicy::Interest,
        ..Config::default()
    };
    let ages = Config {
        max_age: Duration::from_secs(60),
        ..messages()
    };
    let one_each = Config {
        max_messages_per_subject: 1,
        ..messages()
    };
    // All answers have one subject.
    let one_answer = Config {
        max_messages_per_subject: 1,
        ..results()
    };
    let full = Config {
        max_messages: 10,
        ..messages()
    };
    for (config, why) in [
        (ages, "drops what waits too long (`max_age`)"),
        (
            one_each,
            "drops what waits for what comes after (`max_msgs_per_subject`)",
        ),
        (
            one_answer,
            "drops what waits for what comes after (`max_msgs_per_subject`)",
        ),
        (full, "drops what waits where it is full (`discard: old`)"),
        (no_ack, "acknowledges nothing"),
        (memory, "is kept in memory alone"),
        (deny_delete, "lets no message be deleted"),
    ] {
        let nats = Nats::start();
        let name = config.name.clone();
        wait(nats.jetstream().create_stream(config)).unwrap();
        let said = refused(&bench, &nats.url(), 4);
        let named = format!("stream `{name}` on the broker {why}");
        assert!(said.contains(&named), "{said}");
    }
    // A stream is sealed once it is there.
    let nats = Nats::start();
    wait(nats.jetstream().create_stream(results())).unwrap();
    let sealed = Config {
        sealed: true,
        ..results()
    };
    wait(nats.jetstream().update_stream(sealed)).unwrap();
    let said = refused(&bench, &nats.url(), 4);
    assert!(said.contains("is sealed; remove it"), "{said}");
}

#[test]
fn a_consumer_that_others_made_otherwise_is_named_and_its_steps_wait() {
    let nats = Nats::start();
    let names = ["a", "b", "c", "d", "e"];
    let bench = bench(&[], &names.map(|name| (name, "")));
    let jetstream = nats.jetstream();
    let subjects = ["resources.>", "events.>", "drivers.>"].map(str::to_owned);
    let subjects = subjects.into_iter();
    let own = names.iter().map(|name| format!("{name}.resources.*"));
    let config = Config {
        name: "messages".to_owned(),
        subjects: subjects.chain(own).collect(),
        retention: RetentionPolicy::Interest,
        ..Config::default()
    };
    wait(jetstream.create_stream(config)).unwrap();
    let pulled = |name: &str| pull::Config {
        durable_name: Some(name.to_owned()),
        ack_policy: AckPolicy::Explicit,
        filter_subject: format!("{name}.resources.*"),
        inactive_threshold: Duration::from_secs(365 * 24 * 60 * 60),
        ..pull::Config::default()
    };
    let unacknowledged = pull::Config {
        ack_policy: AckPolicy::None,
        ..pulled("a")
    };
    let headers = pull::Config {
        headers_only: true,
        ..pulled("b")
    };
    let new = pull::Config {
        deliver_policy: DeliverPolicy::New,
        ..pulled("c")
    };
    let greedy = pull::Config {
        filter_subject: String::new(),
        filter_subjects: vec!["d.resources.*".to_owned(), "a.resources.*".to_owned()],
        ..pulled("d")
    };
    for config in [unacknowledged, headers, new, greedy] {
        wait(jetstream.create_consumer_on_stream(config, "messages")).unwrap();
    }
    let pushed = push::Config {
        durable_name: Some("e".to_owned()),
        deliver_subject: "somewhere".to_owned(),
        ack_policy: AckPolicy::Explicit,
        filter_subject: "e.resources.*".to_owned(),
        ..push::Config::default()
    };
    wait(jetstream.create_consumer_on_stream(pushed, "messages")).unwrap();
    let up = nats.up(&bench);
    for (name, why) in [
        ("a", "does not wait for each acknowledgement"),
        ("b", "delivers headers alone"),
        ("c", "does not deliver everything from the first message on"),
        ("d", "takes messages of others"),
        ("e", "pushes, and has to be pulled from"),
    ] {
        let path = format!("/drivers/{name}");
        let driver = up.until(&path, |driver| driver["trouble"].is_string());
        let trouble = driver["trouble"].as_str().unwrap();
        let named = format!("consumer `{name}` on the broker {why}");
        assert!(trouble.contains(&named), "{trouble}");
    }
    up.line("line", json!([{"id": "s", "driver": "a"}]));
    let run = id(&up.post("/runs", &order("thing")).is(201));
    assert_eq!(up.get(&format!("/runs/{run}")).is(200)["status"], "waiting");
    // Mended, it goes on.
    wait(jetstream.delete_consumer_from_stream("a", "messages")).unwrap();
    let mut driver = Puppet::attach(&nats, "a");
    let handed = driver.next();
    driver.succeed(&handed, json!(null));
    assert_eq!(up.ended(&run)["status"], "succeeded");
}

#[test]
fn a_broker_that_is_not_there_or_lets_nobody_in_is_named_without_its_secret() {
    let bench = bench(&[], &[]);
    let said = refused(&bench, "nats://me:secret@127.0.0.1:1", 4);
    assert!(
        said.contains("NATS at `nats://127.0.0.1:1` cannot be reached"),
        "{said}"
    );
    assert!(!said.contains("secret"), "{said}");
    let nats = Nats::of("current", "authorization { user: u, password: right }");
    let url = nats.url().replace("//", "//u:wrong@");
    let said = refused(&bench, &url, 4);
    assert!(
        said.contains("authorization violation") && !said.contains("wrong"),
        "{said}"
    );
    let up = Up::with(&bench, &["--nats", &nats.url().replace("//", "//u:right@")]);
    up.get("/health").is(200);
}

#[test]
fn an_old_server_serves_drivers_of_ours_and_refuses_conveyors_by_name() {
    let nats = Nats::of("old", "");
    let bench = bench(&[], &[("a", ""), ("b", ", wire: conveyor, kinds: [app]")]);
    let up = nats.up(&bench);
    up.line("line", json!([{"id": "s", "driver": "a"}]));
    let mut driver = Puppet::attach(&nats, "a");
    let run = id(&up.post("/runs", &order("thing")).is(201));
    let handed = driver.next();
    driver.succeed(&handed, json!(1));
    assert_eq!(up.ended(&run)["status"], "succeeded");
    let b = up.until("/drivers/b", |driver| driver["trouble"].is_string());
    let trouble = b["trouble"].as_str().unwrap();
    assert!(
        trouble.contains("driver `b`")
            && trouble.contains("nats-server 2.9")
            && trouble.contains("2.10"),
        "{trouble}"
    );
}

#[test]
fn what_a_driver_of_conveyors_does_to_its_consumer_is_mended() {
    let nats = Nats::start();
    let bench = bench(&[], &[("b", ", wire: conveyor, kinds: [app]")]);
    let up = nats.up(&bench);
    up.line("line", json!([{"id": "s", "driver": "b"}]));
    consumer_config(&nats, "b");
    // What its SDK asks for: no durable name, and one that vanishes.
    let theirs = pull::Config {
        name: Some("b".to_owned()),
        ack_policy: AckPolicy::Explicit,
        filter_subjects: ["resources.app", "drivers.b.resources.app"]
            .map(str::to_owned)
            .into(),
        max_ack_pending: 1,
        ..pull::Config::default()
    };
    let jetstream = nats.jetstream();
    wait(jetstream.create_consumer_on_stream(theirs, "messages")).unwrap();
    assert_eq!(consumer_config(&nats, "b").durable_name, None);
    let run = id(&up.post("/runs", &order("thing")).is(201));
    until_consumer(&nats, "messages", "b", |info| {
        info.config.durable_name.is_some()
    });
    let config = consumer_config(&nats, "b");
    assert!(config.inactive_threshold.as_secs() > 3600, "{config:?}");
    let mut driver = Puppet::attach(&nats, "b");
    let handed = driver.next();
    driver.succeed(&handed, json!(1));
    assert_eq!(up.ended(&run)["status"], "succeeded");
}

/// One that ends for good leaves nothing on the broker that grows; one that begins does not read what others have said all day.
#[test]
fn a_host_reads_from_its_beginning_to_its_end() {
    let nats = Nats::start();
    let bench = bench(&["say"], &[("a", "")]);
    bench.pipeline("", &["{driver: say}"]);
    let readers = || {
        let jetstream = nats.jetstream();
        wait(async {
            let stream = jetstream.get_stream("pipeline-engine").await.unwrap();
            let mut found = Vec::new();
            let mut all = stream.consumers();
            while let Some(Ok(info)) = all.next().await {
                found.push(info);
            }
            found
        })
    };
    let said = bench.run(&["--nats", &nats.url()]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(readers().is_empty());
    let up = nats.up(&bench);
    let mut reader = None;
    up.until("/health", |_| {
        reader = readers().pop();
        reader.is_some()
    });
    let reader = reader.unwrap();
    assert!(
        matches!(
            reader.config.deliver_policy,
            DeliverPolicy::ByStartTime { .. }
        ),
        "{reader:?}"
    );
}

/// It would hand over what nobody needs, and not what it has to.
#[test]
fn the_hosts_own_consumer_that_others_made_otherwise_is_refused_by_name() {
    let nats = Nats::start();
    let bench = bench(&[], &[("a", "")]);
    let up = nats.up(&bench);
    up.line("line", json!([{"id": "s", "driver": "a"}]));
    let jetstream = nats.jetstream();
    let stream = wait(jetstream.get_stream("pipeline-engine")).unwrap();
    let own = || {
        wait(async {
            let mut all = stream.consumers();
            all.next().await.transpose().unwrap()
        })
    };
    let mut found = None;
    up.until("/health", |_| {
        found = own();
        found.is_some()
    });
    let name = found.unwrap().name;
    up.kill();
    wait(stream.delete_consumer(&name)).unwrap();
    let other = pull::Config {
        durable_name: Some(name.clone()),
        filter_subject: "pipelines.other".to_owned(),
        ack_policy: AckPolicy::Explicit,
        ..pull::Config::default()
    };
    wait(stream.create_consumer(other)).unwrap();
    let up = nats.up(&bench);
    let said = up.has_said("a stream cannot be read");
    assert!(
        said.contains(&format!(
            "consumer `{name}` on the broker takes other messages"
        )) && said.contains(&format!("nats consumer rm pipeline-engine {name}")),
        "{said}"
    );
    // Without it, it is made anew, and nothing that was answered meanwhile is lost.
    let mut driver = Puppet::attach(&nats, "a");
    let run = up.begin("thing");
    let handed = driver.next();
    driver.succeed(&handed, json!(1));
    wait(stream.delete_consumer(&name)).unwrap();
    up.succeeded(&run);
}
