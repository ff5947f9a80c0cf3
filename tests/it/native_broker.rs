//! The broker itself: what is not as it has to be is refused by name, and a server of the host's own comes and goes with it.

use crate::belt::Bench;
use crate::live::Live;
use crate::nats::{
    Nats, PATIENCE, Puppet, bench, consumer_config, jetstream, least, server_file, users, wait,
};
use crate::program::{Program, Traces};
use crate::up::{Up, id, order, up};
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull, push};
use async_nats::jetstream::stream::{Config, RetentionPolicy, StorageType};
use futures::StreamExt;
use rustix::process::{Pid, Signal, getpgid, kill_process};
use serde_json::{Value, json};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
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
    while consumer_config(&nats, "b").durable_name.is_none() {}
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
    up.get("/health").is(200);
    let reader = loop {
        if let Some(reader) = readers().pop() {
            break reader;
        }
    };
    assert!(
        matches!(
            reader.config.deliver_policy,
            DeliverPolicy::ByStartTime { .. }
        ),
        "{reader:?}"
    );
}

/// `belt up` with a server of its own.
fn spawning(bench: &Bench) -> Up {
    let path = server_file("current");
    let path = format!("{}:/usr/bin:/bin", path.parent().unwrap().display());
    let mut command = over(bench, "spawn");
    command.env("PATH", path);
    Up::of(bench, Live::start(command))
}

#[test]
fn a_server_of_the_hosts_own_ends_with_it_and_one_that_is_left_is_taken_over() {
    let bench = bench(&[], &[("a", "")]);
    let up = spawning(&bench);
    let url_file = bench.path("state/nats/url");
    let mode = std::fs::metadata(&url_file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let url = bench.read("state/nats/url");
    let pid = || bench.read("state/nats/pid");
    let first = pid();
    // A Ctrl-C at the terminal reaches all processes of a group, and is for the host.
    let group = |pid: &str| getpgid(Pid::from_raw(pid.trim().parse().unwrap())).unwrap();
    assert_ne!(group(&first), group(&up.pid().to_string()));
    up.line("line", json!([{"id": "s", "driver": "a"}]));
    let run = id(&up.post("/runs", &order("thing")).is(201));
    up.until(&format!("/runs/{run}"), |run| run["status"] == "waiting");
    up.kill();
    assert!(is_running(&first));
    let up = spawning(&bench);
    assert_eq!(
        (pid(), bench.read("state/nats/url")),
        (first.clone(), url.clone())
    );
    assert_eq!(up.get(&format!("/runs/{run}")).is(200)["status"], "waiting");
    let said = up.terminate();
    assert_eq!(said.code, 0, "{said:?}");
    assert!(
        said.stderr.contains("was left here and goes on"),
        "{said:?}"
    );
    assert!(!is_running(&first));
    // The next one has the same address and password, so that drivers find it.
    let up = spawning(&bench);
    assert_eq!(bench.read("state/nats/url"), url);
    assert_ne!(pid(), first);
    let said = up.terminate();
    assert!(
        !said.stderr.contains(url.rsplit_once('@').unwrap().0),
        "{said:?}"
    );
}

#[test]
fn a_server_of_the_hosts_own_that_ends_is_started_again_taken_over_or_not() {
    let bench = bench(&[], &[("a", "")]);
    let pid = || {
        let text = std::fs::read_to_string(bench.path("state/nats/pid")).unwrap_or_default();
        text.trim().parse::<i32>().unwrap_or_default()
    };
    let mut up = spawning(&bench);
    up.line("line", json!([{"id": "s", "driver": "a"}]));
    let run = id(&up.post("/runs", &order("thing")).is(201));
    up.until(&format!("/runs/{run}"), |run| run["status"] == "waiting");
    for is_taken_over in [false, true] {
        if is_taken_over {
            up.kill();
            up = spawning(&bench);
        }
        let first = pid();
        kill_process(Pid::from_raw(first).unwrap(), Signal::KILL).unwrap();
        let address = bench.read("state/nats/url");
        let (_, address) = address.trim().rsplit_once('@').unwrap();
        up.until("/drivers", |_| {
            ![0, first].contains(&pid()) && TcpStream::connect(address).is_ok()
        });
    }
    let mut driver = Puppet::at(jetstream(&bench.read("state/nats/url")), "a");
    let handed = driver.next();
    driver.succeed(&handed, json!(1));
    assert_eq!(up.ended(&run)["status"], "succeeded");
    let last = bench.read("state/nats/pid");
    let said = up.terminate();
    assert_eq!(said.code, 0, "{said:?}");
    assert!(!is_running(&last));
}

fn is_running(pid: &str) -> bool {
    let line = std::fs::read(format!("/proc/{}/cmdline", pid.trim())).unwrap_or_default();
    String::from_utf8_lossy(&line).contains("nats-server")
}

#[test]
fn without_a_nats_server_on_path_spawn_says_what_to_install() {
    let bench = bench(&[], &[]);
    let mut command = over(&bench, "spawn");
    command.env("PATH", "/nowhere");
    let said = Live::start(command).end();
    assert_eq!(said.code, 2, "{said:?}");
    assert!(said.stderr.contains("install it"), "{said:?}");
}

#[test]
fn a_driver_with_the_least_permissions_works_and_reads_no_others() {
    let users = users(&[least("a", &[], &[]), least("b", &[], &[])]);
    let nats = Nats::of("current", &users);
    let bench = bench(&[], &[("a", ""), ("b", "")]);
    let up = Up::with(&bench, &["--nats", &nats.url().replace("//", "//host:p@")]);
    up.line("line", json!([{"id": "s", "driver": "a"}]));
    up.until("/drivers", |drivers| {
        let all = drivers["drivers"].as_array().unwrap();
        all.len() == 2 && all.iter().all(|driver| driver["native"].is_object())
    });
    let a = As::new(&nats, "a");
    let b = As::new(&nats, "b");
    let run = id(&up.post("/runs", &order("thing")).is(201));
    let denied = b.pull("a");
    assert!(denied.is_none(), "driver b has read what is a's");
    let handed = a.pull("a").expect("its own message");
    let body: Value = serde_json::from_slice(&handed.payload).unwrap();
    let result = json!({"run_id": run, "step_id": "s", "attempt": 1, "token": body["token"],
        "driverresult": {"success": true, "message": "", "data": null, "driver": "a"}});
    let reply = a.client.new_inbox();
    let mut acked = wait(a.client.subscribe(reply.clone())).unwrap();
    wait(
        a.client
            .publish_with_reply("pipelines.driver.result", reply, result.to_string().into()),
    )
    .unwrap();
    wait(acked.next()).unwrap();
    wait(a.client.publish(handed.reply.unwrap(), "".into())).unwrap();
    assert_eq!(up.ended(&run)["status"], "succeeded");

    // So does a program on the SDK.
    let traces = Traces(&bench);
    let url = nats.url().replace("//", "//b:p@");
    let program = Program::tester(&bench, "b", &["--nats", &url]);
    program.says("listens");
    up.until("/drivers/b", |driver| driver["native"]["connected"] == 1);
    up.line(
        "line",
        json!([{"id": "s", "driver": "b", "with": traces.with()}]),
    );
    traces.release("before");
    traces.release("after");
    up.succeeded(&up.begin("other"));
}

/// What an earlier step left and a message does not carry is had by whoever may ask for it, and by nobody else.
#[test]
fn a_driver_asks_for_large_outputs_with_one_permission_more() {
    let users = users(&[least("a", &["live.outputs.*"], &[]), least("b", &[], &[])]);
    let nats = Nats::of("current", &users);
    let bench = bench(&[], &[("a", ""), ("b", "")]);
    let url = nats.url().replace("//", "//host:p@");
    let up = Up::with(&bench, &["--nats", &url]);
    up.line(
        "line",
        json!([{"id": "one", "driver": "b"}, {"id": "two", "driver": "b"}, {"id": "three", "driver": "a"}]),
    );
    let large = "x".repeat(200 << 10);
    let mut b = Puppet::at(jetstream(&url), "b");
    let run = up.begin("thing");
    for _ in ["one", "two"] {
        let handed = b.next();
        b.succeed(&handed, json!(large));
    }
    let a = As::new(&nats, "a");
    let handed = a.pull("a").expect("its own message");
    let body: Value = serde_json::from_slice(&handed.payload).unwrap();
    assert_eq!(body["outputs_left"], json!(["two"]));
    let request = json!({"step_id": "three", "attempt": 1, "token": body["token"], "of": "two"});
    let subject = format!("live.outputs.{run}");
    let denied = As::new(&nats, "b").request(&subject, &request, Duration::from_secs(3));
    assert!(denied.is_none(), "driver b may not ask");
    let answer = a.request(&subject, &request, PATIENCE).unwrap();
    let answer: Value = serde_json::from_slice(&answer.payload).unwrap();
    assert_eq!(answer, json!({"output": large}));
}

/// A client with the permissions of a driver.
struct As {
    client: async_nats::Client,
}

impl As {
    fn new(nats: &Nats, name: &str) -> As {
        let options =
            async_nats::ConnectOptions::with_user_and_password(name.to_owned(), "p".to_owned());
        let options = options.custom_inbox_prefix(format!("_INBOX_{name}"));
        As {
            client: wait(options.connect(nats.url())).unwrap(),
        }
    }

    /// One message of a driver's consumer; `None` where the server does not let it through.
    fn pull(&self, driver: &str) -> Option<async_nats::Message> {
        let request = json!({"batch": 1, "expires": 2_000_000_000_u64});
        let subject = format!("$JS.API.CONSUMER.MSG.NEXT.messages.{driver}");
        let message = self.request(&subject, &request, Duration::from_secs(3));
        message.filter(|message| message.status.is_none())
    }

    /// What comes back in that time.
    fn request(
        &self,
        subject: &str,
        request: &Value,
        limit: Duration,
    ) -> Option<async_nats::Message> {
        let reply = self.client.new_inbox();
        let mut inbox = wait(self.client.subscribe(reply.clone())).unwrap();
        let body = request.to_string().into();
        let sent = self
            .client
            .publish_with_reply(subject.to_owned(), reply, body);
        wait(sent).unwrap();
        wait(self.client.flush()).unwrap();
        let next = async {
            let next = tokio::time::timeout(limit, inbox.next());
            next.await.ok().flatten()
        };
        wait(next)
    }
}
