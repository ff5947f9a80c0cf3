//! A real nats-server of a test's own, and a native driver whose every move the test makes.

use crate::belt::{Bench, root};
use crate::up::Up;
use async_nats::Subscriber;
use async_nats::jetstream::consumer::{Info, PullConsumer, pull};
use async_nats::jetstream::{self, Message, consumer::AckPolicy};
use beltline::clock;
use beltline_wire::{BrokerUrls, Login};
use futures::StreamExt;
use serde_json::{Value, json};
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::time::Duration;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

/// How long a busy machine may take.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().build().unwrap()
});

/// Waits for what comes in time.
#[track_caller]
pub fn wait<T>(future: impl Future<Output = T>) -> T {
    RUNTIME
        .block_on(async { tokio::time::timeout(PATIENCE, future).await })
        .expect("it took too long")
}

/// The file of a nats-server, `current` or `old`. `make test` installs both.
pub fn server_file(which: &str) -> PathBuf {
    let path = root().join(format!("target/nats/{which}/nats-server"));
    assert!(
        path.is_file(),
        "{} is not there; `tests/nats/install` puts it there",
        path.display()
    );
    path
}

/// Those servers.
pub const BOTH: [&str; 2] = ["current", "old"];

/// A server on loopback with JetStream.
pub struct Nats {
    which: &'static str,
    pub port: u16,
    data: TempDir,
    child: Child,
}

impl Nats {
    pub fn start() -> Nats {
        Nats::of("current", "")
    }

    /// With more lines in its settings.
    pub fn of(which: &'static str, more: &str) -> Nats {
        let data = tempfile::tempdir().unwrap();
        loop {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let port = listener.local_addr().unwrap().port();
            drop(listener);
            let settings = format!(
                "listen: \"127.0.0.1:{port}\"\njetstream {{ store_dir: {:?} }}\n{more}\n",
                data.path().join("data").display().to_string()
            );
            fs::write(data.path().join("server.conf"), settings).unwrap();
            if let Some(child) = launch(which, &data, port) {
                return Nats {
                    which,
                    port,
                    data,
                    child,
                };
            }
        }
    }

    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again where it was.
    pub fn again(&mut self) {
        let child = launch(self.which, &self.data, self.port);
        self.child = child.expect("somebody else has its port");
    }

    /// Whatever it had is gone.
    pub fn wipe(&self) {
        fs::remove_dir_all(self.data.path().join("data")).unwrap();
    }

    pub fn client(&self) -> async_nats::Client {
        client(&self.url())
    }

    /// What is published from now on.
    pub fn subscribe(&self, subject: &str) -> Subscriber {
        let client = self.client();
        let heard = wait(client.subscribe(subject.to_owned())).unwrap();
        wait(client.flush()).unwrap();
        heard
    }

    pub fn jetstream(&self) -> jetstream::Context {
        jetstream(&self.url())
    }

    /// `belt up` of a bench over it.
    pub fn up(&self, bench: &Bench) -> Up {
        Up::with(bench, &["--nats", &self.url()])
    }
}

fn launch(which: &str, data: &TempDir, port: u16) -> Option<Child> {
    let mut command = Command::new(server_file(which));
    command.arg("-c").arg(data.path().join("server.conf"));
    let log = fs::File::create(data.path().join("log")).unwrap();
    let mut child = command.stdout(Stdio::null()).stderr(log).spawn().unwrap();
    let give_up = clock::monotonic() + PATIENCE;
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        if child.try_wait().unwrap().is_some() {
            return None;
        }
        assert!(clock::monotonic() < give_up, "nats-server does not start");
        std::thread::yield_now();
    }
    Some(child)
}

fn client(url: &str) -> async_nats::Client {
    let options = async_nats::ConnectOptions::new()
        .reconnect_delay_callback(|_| Duration::from_millis(20))
        .max_reconnects(None)
        .retry_on_initial_connect();
    // The library takes no password from a URL.
    let urls = BrokerUrls::parse(url.trim());
    let options = match urls.login {
        Some(Login::User(user, password)) => options.user_and_password(user, password),
        Some(Login::Token(token)) => options.token(token),
        None => options,
    };
    wait(options.connect(urls.servers)).unwrap()
}

pub fn jetstream(url: &str) -> jetstream::Context {
    let client = client(url);
    let _entered = RUNTIME.enter();
    jetstream::new(client)
}

impl Drop for Nats {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A native driver that does what the test says.
pub struct Puppet {
    pub name: String,
    jetstream: jetstream::Context,
    messages: pull::Stream,
}

/// An attempt that it was handed.
pub struct Handed {
    pub message: Message,
    pub body: Value,
}

impl Puppet {
    /// Attaches to the consumer that the host has made.
    pub fn attach(nats: &Nats, name: &str) -> Puppet {
        Puppet::at(nats.jetstream(), name)
    }

    pub fn at(jetstream: jetstream::Context, name: &str) -> Puppet {
        let consumer = wait(consumer(&jetstream, name));
        let messages = consumer.stream().max_messages_per_batch(16).messages();
        Puppet {
            name: name.to_owned(),
            messages: wait(messages).unwrap(),
            jetstream,
        }
    }

    /// The next attempt.
    #[track_caller]
    pub fn next(&mut self) -> Handed {
        self.next_within(PATIENCE).expect("it took too long")
    }

    /// The same, where it comes in that time.
    pub fn next_within(&mut self, time: Duration) -> Option<Handed> {
        let next = async {
            loop {
                // Where the server was away the pull fails, and goes on.
                match self.messages.next().await {
                    Some(Ok(message)) => return message,
                    Some(Err(_)) => tokio::task::yield_now().await,
                    None => panic!("there is nothing to pull any more"),
                }
            }
        };
        let next = RUNTIME.block_on(async { tokio::time::timeout(time, next).await });
        let message = next.ok()?;
        let body = serde_json::from_slice(&message.payload).unwrap();
        Some(Handed { message, body })
    }

    /// Answers as a driver of ours does, and acknowledges.
    pub fn answer(&self, handed: &Handed, outcome: Value) {
        self.publish(&self.result(handed, outcome));
        wait(handed.message.double_ack()).unwrap();
    }

    pub fn succeed(&self, handed: &Handed, data: Value) {
        let outcome = json!({"success": true, "message": "done", "data": data});
        self.answer(handed, outcome);
    }

    /// The answer to an attempt.
    pub fn result(&self, handed: &Handed, mut outcome: Value) -> Value {
        outcome["driver"] = self.name.clone().into();
        let body = &handed.body;
        json!({"event": "driver.result", "run_id": body["run_id"], "step_id": body["step_id"],
            "attempt": body["attempt"], "token": body["token"], "driverresult": outcome})
    }

    pub fn publish(&self, result: &Value) {
        self.publish_bytes(result.to_string().into_bytes());
    }

    pub fn publish_bytes(&self, bytes: Vec<u8>) {
        publish(&self.jetstream, "pipelines.driver.result", bytes);
    }
}

/// Publishes, and waits until the stream has it.
pub fn publish(jetstream: &jetstream::Context, subject: &str, bytes: Vec<u8>) {
    wait(async {
        let sent = jetstream.publish(subject.to_owned(), bytes.into()).await;
        sent.unwrap().await.unwrap();
    });
}

/// A driver's consumer, once the host has made it.
async fn consumer(jetstream: &jetstream::Context, name: &str) -> PullConsumer {
    loop {
        let found = jetstream.get_consumer_from_stream(name, "messages").await;
        if let Ok(found) = found {
            return found;
        }
        tokio::task::yield_now().await;
    }
}

/// Waits until a consumer stands like that.
#[track_caller]
pub fn until_consumer(nats: &Nats, stream: &str, name: &str, is_so: impl Fn(&Info) -> bool) {
    until_consumer_in(&nats.jetstream(), stream, name, is_so);
}

/// The same of a driver's, by whoever may ask.
#[track_caller]
pub fn until_consumer_of(
    jetstream: &jetstream::Context,
    driver: &str,
    is_so: impl Fn(&Info) -> bool,
) {
    until_consumer_in(jetstream, "messages", driver, is_so);
}

#[track_caller]
fn until_consumer_in(
    jetstream: &jetstream::Context,
    stream: &str,
    name: &str,
    is_so: impl Fn(&Info) -> bool,
) {
    wait(async {
        let stands = || jetstream.get_consumer_from_stream::<pull::Config, _, _>(name, stream);
        while !stands().await.is_ok_and(|found| is_so(found.cached_info())) {
            tokio::task::yield_now().await;
        }
    });
}

/// What a driver does not acknowledge is delivered again after a second.
pub fn impatient(nats: &Nats, name: &str) {
    let jetstream = nats.jetstream();
    let mut config = wait(consumer(&jetstream, name))
        .cached_info()
        .config
        .clone();
    config.ack_wait = Duration::from_secs(1);
    wait(jetstream.create_consumer_on_stream(config, "messages")).unwrap();
}

/// The durable configuration of a driver's consumer, as it stands on the broker.
pub fn consumer_config(nats: &Nats, name: &str) -> pull::Config {
    let jetstream = nats.jetstream();
    let found = wait(consumer(&jetstream, name));
    let config = &found.cached_info().config;
    assert_eq!(config.ack_policy, AckPolicy::Explicit);
    pull::Config {
        ack_policy: config.ack_policy,
        ack_wait: config.ack_wait,
        deliver_policy: config.deliver_policy,
        durable_name: config.durable_name.clone(),
        filter_subject: config.filter_subject.clone(),
        filter_subjects: config.filter_subjects.clone(),
        max_ack_pending: config.max_ack_pending,
        max_deliver: config.max_deliver,
        inactive_threshold: config.inactive_threshold,
        ..pull::Config::default()
    }
}

/// A bench with these wasm guests, and native drivers by name and what else stands in their entries.
pub fn bench(guests: &[&str], natives: &[(&str, &str)]) -> Bench {
    let bench = Bench::new(guests);
    let mut config = match (guests, natives) {
        ([], [_, ..]) => "drivers:\n".to_owned(),
        _ => bench.read("belt.yaml"),
    };
    for (name, more) in natives {
        config.push_str(&format!("  {name}: {{placement: native{more}}}\n"));
    }
    bench.write("belt.yaml", config);
    bench
}

/// What a driver of that name has to be let publish, at the least.
pub const LEAST_TO_PUBLISH: [&str; 6] = [
    "$JS.API.CONSUMER.INFO.messages.DRIVER",
    "$JS.API.CONSUMER.MSG.NEXT.messages.DRIVER",
    "$JS.ACK.messages.DRIVER.>",
    "pipelines.driver.result",
    "logs.*",
    "live.logs.*.DRIVER",
];

/// And what it has to be let hear.
pub const LEAST_TO_HEAR: [&str; 3] = ["_INBOX_DRIVER.>", "live.cancel.*", "live.present.DRIVER"];

/// What a host has to be let publish, at the least, and hear.
pub const HOST_TO_PUBLISH: [&str; 15] = [
    "$JS.API.STREAM.INFO.*",
    "$JS.API.STREAM.CREATE.*",
    "$JS.API.STREAM.UPDATE.*",
    "$JS.API.STREAM.MSG.GET.messages",
    "$JS.API.STREAM.MSG.DELETE.messages",
    "$JS.API.CONSUMER.INFO.*.*",
    "$JS.API.CONSUMER.CREATE.>",
    "$JS.API.CONSUMER.DELETE.*.*",
    "$JS.API.CONSUMER.MSG.NEXT.*.*",
    "$JS.ACK.>",
    "*.resources.*",
    "drivers.*.resources.*",
    "resources.*",
    "pipelines.driver.result",
    "live.>",
];
pub const HOST_TO_HEAR: [&str; 4] = [
    "_INBOX.>",
    "$JS.EVENT.ADVISORY.API",
    "$JS.EVENT.ADVISORY.CONSUMER.*.messages.>",
    "live.outputs.*",
];

/// A user of the broker, with the least permissions of a driver, and to publish these.
pub fn least(driver: &str, more_to_publish: &[&str]) -> String {
    let publish = [&LEAST_TO_PUBLISH, more_to_publish].concat();
    user(driver, &publish, &LEAST_TO_HEAR)
}

/// A user of the broker who may do this; `DRIVER` stands for his name.
pub fn user(name: &str, publish: &[&str], hear: &[&str]) -> String {
    let quoted = |subjects: &[&str]| {
        let named = subjects.iter();
        let named = named.map(|subject| format!("{:?}", subject.replace("DRIVER", name)));
        named.collect::<Vec<_>>().join(", ")
    };
    format!(
        "{{user: {name}, password: p, permissions: {{publish: {{allow: [{}]}}, subscribe: {{allow: [{}]}}, allow_responses: true}}}}",
        quoted(publish),
        quoted(hear)
    )
}

/// A server's settings with these users, with `host`, who may do what a host has to, and with `all`, who may do everything.
pub fn users(drivers: &[String]) -> String {
    let host = user("host", &HOST_TO_PUBLISH, &HOST_TO_HEAR);
    let drivers = drivers.join(", ");
    format!("authorization {{ users: [ {{user: all, password: p}}, {host}, {drivers} ] }}")
}
