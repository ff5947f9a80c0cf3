//! What a driver that is a user of its own may do on the broker, and what it may not.

use crate::belt::Bench;
use crate::nats::{Nats, Puppet, bench, jetstream, least, publish, until_consumer_of, users, wait};
use crate::program::{Program, Traces};
use crate::up::{Up, id, order};
use async_nats::jetstream::AckKind;
use async_nats::jetstream::consumer::Info;
use futures::StreamExt;
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// A client with the permissions of a driver.
struct As {
    client: async_nats::Client,
    /// What the server says against it.
    errors: UnboundedReceiver<String>,
}

impl As {
    fn new(nats: &Nats, name: &str) -> As {
        let (send, errors) = unbounded_channel();
        let options =
            async_nats::ConnectOptions::with_user_and_password(name.to_owned(), "p".to_owned());
        let options = options
            .custom_inbox_prefix(format!("_INBOX_{name}"))
            .event_callback(move |event| {
                // Nobody may listen any more.
                let _ = send.send(event.to_string());
                std::future::ready(())
            });
        As {
            client: wait(options.connect(nats.url())).unwrap(),
            errors,
        }
    }

    #[track_caller]
    fn may_not_publish(&mut self, subject: &str) {
        wait(self.client.publish(subject.to_owned(), "{}".into())).unwrap();
        self.is_refused(&format!(
            "permissions violation for publish to \"{subject}\""
        ));
    }

    #[track_caller]
    fn may_not_hear(&mut self, subject: &str) {
        let _heard = wait(self.client.subscribe(subject.to_owned())).unwrap();
        self.is_refused(&format!(
            "permissions violation for subscription to \"{subject}\""
        ));
    }

    #[track_caller]
    fn is_refused(&mut self, what: &str) {
        let what = what.to_lowercase();
        wait(async {
            while let Some(error) = self.errors.recv().await {
                if error.to_lowercase().contains(&what) {
                    return;
                }
            }
        });
    }

    /// One message of a driver's consumer.
    fn pull(&self, driver: &str) -> Option<async_nats::Message> {
        let request = json!({"batch": 1, "expires": 60_000_000_000_u64});
        let subject = format!("$JS.API.CONSUMER.MSG.NEXT.messages.{driver}");
        let message = self.request(&subject, &request);
        message.filter(|message| message.status.is_none())
    }

    /// What comes back.
    fn request(&self, subject: &str, request: &Value) -> Option<async_nats::Message> {
        let reply = self.client.new_inbox();
        let mut inbox = wait(self.client.subscribe(reply.clone())).unwrap();
        let body = request.to_string().into();
        let sent = self
            .client
            .publish_with_reply(subject.to_owned(), reply, body);
        wait(sent).unwrap();
        wait(inbox.next())
    }
}

#[test]
fn a_driver_with_the_least_permissions_works_and_reads_no_others() {
    let users = users(&[least("a", &[]), least("b", &[])]);
    let nats = Nats::of("current", &users);
    let bench = bench(&[], &[("a", ""), ("b", "")]);
    let up = host(&nats, &bench);
    up.line("line", json!([{"id": "s", "driver": "a"}]));
    up.until("/drivers", |drivers| {
        let all = drivers["drivers"].as_array().unwrap();
        all.len() == 2 && all.iter().all(|driver| driver["native"].is_object())
    });
    let [a, mut b] = ["a", "b"].map(|name| As::new(&nats, name));
    b.may_not_publish("$JS.API.CONSUMER.MSG.NEXT.messages.a");
    b.may_not_publish("$JS.API.CONSUMER.CREATE.messages.mine");
    b.may_not_publish("$JS.API.CONSUMER.DELETE.messages.a");
    b.may_not_publish("$JS.API.STREAM.MSG.GET.messages");
    b.may_not_publish("$JS.ACK.messages.a.1.1.1.1.0");
    b.may_not_publish("a.resources.app");
    b.may_not_publish("live.cancel.some");
    b.may_not_hear("a.resources.*");
    b.may_not_hear("logs.*");
    b.may_not_hear("pipelines.>");
    b.may_not_hear("_INBOX_a.>");
    let run = id(&up.post("/runs", &order("thing")).is(201));
    let handed = a.pull("a").expect("its own message");
    let body: Value = serde_json::from_slice(&handed.payload).unwrap();
    let result = json!({"run_id": run, "step_id": "s", "attempt": 1, "token": body["token"],
        "driverresult": {"success": true, "message": "", "data": null, "driver": "a"}});
    a.request("pipelines.driver.result", &result).unwrap();
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

/// It makes and mends, hands over and takes back, and hears what it has to.
#[test]
fn a_host_with_the_least_permissions_does_all_that_hosts_do() {
    let nats = Nats::of("current", &users(&[]));
    let conveyor = ", kinds: [app], wire: conveyor";
    let bench = bench(&["say"], &[("a", ""), ("b", conveyor)]);
    let up = host(&nats, &bench);
    let steps = json!([{"id": "s", "driver": "say"}, {"id": "a", "driver": "a"}, {"id": "b", "driver": "b"}]);
    up.line("line", steps);
    let everybody = nats.url().replace("//", "//all:p@");
    let jetstream = jetstream(&everybody);
    let [mut a, mut b] = ["a", "b"].map(|name| Puppet::at(jetstream.clone(), name));
    let run = up.begin("thing");
    let handed = a.next();
    let line = json!({"runid": run, "driver": "a", "message": "said"}).to_string();
    publish(&jetstream, &format!("logs.{run}"), line.into_bytes());
    let ask = json!({"step_id": "a", "attempt": 1, "token": handed.body["token"], "of": "s"});
    let subject = format!("live.outputs.{run}");
    let reply = As::new(&nats, "all").request(&subject, &ask).unwrap();
    let reply: Value = serde_json::from_slice(&reply.payload).unwrap();
    assert!(reply["output"].is_object(), "{reply}");
    let mut result = a.result(&handed, json!({"success": true, "data": 1}));
    result["log_sequence"] = json!(1);
    a.publish(&result);
    wait(handed.message.double_ack()).unwrap();
    let handed = b.next();
    b.succeed(&handed, json!(2));
    up.succeeded(&run);
    let lines = up.get(&format!("/runs/{run}/logs")).is(200);
    assert_eq!(lines.as_array().unwrap().last().unwrap()["message"], "said");
    // One that has no pipeline.
    let alone = json!({"name": "alone", "resource": "app", "spec": {}});
    let run = id(&up.post("/resources", &alone).is(201));
    let handed = b.next();
    assert_eq!(handed.message.subject.as_str(), "resources.app");
    b.succeed(&handed, json!(null));
    up.succeeded(&run);
    // One that kills its driver while no host listens.
    let run = up.begin("deadly");
    let mut handed = a.next();
    up.rests();
    up.kill();
    for _ in 0..4 {
        wait(handed.message.ack_with(AckKind::Nak(None))).unwrap();
        handed = a.next();
    }
    wait(handed.message.ack_with(AckKind::Nak(None))).unwrap();
    let up = host(&nats, &bench);
    assert_eq!(up.ended(&run)["failure"]["kind"], "limit");
    drop((a, b));
    // What nobody has taken is taken back.
    until_consumer_of(&jetstream, "a", |info| info.num_waiting == 0);
    let cancelled = up.begin("other");
    let waits = |info: &Info| info.num_pending == 1;
    until_consumer_of(&jetstream, "a", waits);
    up.post(&format!("/runs/{cancelled}/cancel"), &json!({}))
        .is(202);
    assert_eq!(up.ended(&cancelled)["status"], "cancelled");
    until_consumer_of(&jetstream, "a", |info| info.num_pending == 0);
    // One that is registered has its subject and its consumer, and leaves nothing when it goes.
    let entry = json!({"placement": "native"});
    up.put("/drivers/c", &entry).is(201);
    until_consumer_of(&jetstream, "c", |_| true);
    assert_eq!(up.delete("/drivers/c").status, 204);
    let stream = wait(jetstream.get_stream("messages")).unwrap();
    wait(async {
        while stream.consumer_info("c").await.is_ok() {
            tokio::task::yield_now().await;
        }
    });
    let said = up.terminate();
    assert_eq!(said.code, 0, "{said:?}");
    assert!(
        !said.stderr.to_lowercase().contains("permission"),
        "{said:?}"
    );
}

/// `belt up` as the user `host`.
fn host(nats: &Nats, bench: &Bench) -> Up {
    Up::with(bench, &["--nats", &nats.url().replace("//", "//host:p@")])
}

/// What an earlier step left and a message does not carry is had by whoever may ask for it, and by nobody else.
#[test]
fn a_driver_asks_for_large_outputs_with_one_permission_more() {
    let users = users(&[least("a", &["live.outputs.*"]), least("b", &[])]);
    let nats = Nats::of("current", &users);
    let bench = bench(&[], &[("a", ""), ("b", "")]);
    let url = nats.url().replace("//", "//all:p@");
    let up = host(&nats, &bench);
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
    As::new(&nats, "b").may_not_publish(&subject);
    let answer = a.request(&subject, &request).unwrap();
    let answer: Value = serde_json::from_slice(&answer.payload).unwrap();
    assert_eq!(answer, json!({"output": large}));
}
