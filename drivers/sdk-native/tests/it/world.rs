//! What a host would be to a driver: streams, messages, answers.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use async_nats::Client;
use async_nats::jetstream::consumer::{self, pull};
use async_nats::jetstream::stream::{self, RetentionPolicy};
use async_nats::jetstream::{self, Context};
use beltline_wire::{Cancel, Dispatch, DispatchedAttempt, DriverResult, subjects};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use crate::server::{PATIENCE, Server, wait_for};

pub const RUN: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

pub struct World {
    pub server: Server,
    name: &'static str,
    program: PathBuf,
    pub folder: TempDir,
    pub client: Client,
    pub context: Context,
    /// Results that were looked at.
    seen: u64,
    started: AtomicU64,
}

impl World {
    pub async fn new() -> World {
        World::over(Server::start(), "tester", example("tester")).await
    }

    /// A world for a driver of that name, which is this program.
    pub async fn over(server: Server, name: &'static str, program: PathBuf) -> World {
        let own = subjects::driver_subjects(name);
        let client = async_nats::connect(&server.url).await.unwrap();
        let context = jetstream::new(client.clone());
        for (name, subjects, retention) in [
            (
                subjects::MESSAGES_STREAM,
                vec!["resources.>", "events.>", "drivers.>", own.as_str()],
                RetentionPolicy::Interest,
            ),
            (
                subjects::RESULTS_STREAM,
                vec![subjects::RESULT_SUBJECT],
                RetentionPolicy::Limits,
            ),
            (
                subjects::LOGS_STREAM,
                vec!["logs.*"],
                RetentionPolicy::Limits,
            ),
        ] {
            let config = stream::Config {
                name: name.to_owned(),
                subjects: subjects.into_iter().map(str::to_owned).collect(),
                retention,
                ..stream::Config::default()
            };
            context.create_stream(config).await.unwrap();
        }
        World {
            server,
            name,
            program,
            folder: TempDir::new().unwrap(),
            client,
            context,
            seen: 0,
            started: AtomicU64::new(0),
        }
    }

    /// With a connection of its own, rather than one that finds out late.
    pub async fn reconnect(&mut self) {
        self.client = async_nats::connect(&self.server.url).await.unwrap();
        self.context = jetstream::new(self.client.clone());
    }

    /// The driver's consumer, made beforehand with a short wait.
    pub async fn impatient(&self) {
        self.consumer_with_wait(std::time::Duration::from_secs(1))
            .await;
    }

    /// The same with any wait.
    pub async fn consumer_with_wait(&self, ack_wait: std::time::Duration) {
        let config = pull::Config {
            durable_name: Some(self.name.to_owned()),
            filter_subject: subjects::driver_subjects(self.name),
            ack_wait,
            ..pull::Config::default()
        };
        let stream = self
            .context
            .get_stream(subjects::MESSAGES_STREAM)
            .await
            .unwrap();
        stream.create_consumer(config).await.unwrap();
    }

    /// What the driver's programs ask the broker for, from now on.
    pub async fn asked(&self) -> async_nats::Subscriber {
        let subject = format!("$JS.API.CONSUMER.MSG.NEXT.*.{}", self.name);
        let asked = self.client.subscribe(subject).await.unwrap();
        self.client.flush().await.unwrap();
        asked
    }

    pub async fn consumer(&self) -> consumer::Info {
        let stream = self
            .context
            .get_stream(subjects::MESSAGES_STREAM)
            .await
            .unwrap();
        stream.consumer_info(self.name).await.unwrap()
    }

    /// Waits until nothing is in anyone's hand and nothing waits.
    pub async fn settled(&self) -> consumer::Info {
        self.until_consumer(|info| info.num_ack_pending == 0 && info.num_pending == 0)
            .await
    }

    /// Waits until the driver's consumer stands like that.
    pub async fn until_consumer(&self, is_so: impl Fn(&consumer::Info) -> bool) -> consumer::Info {
        let until = crate::server::now() + PATIENCE;
        loop {
            let info = self.consumer().await;
            if is_so(&info) {
                return info;
            }
            assert!(crate::server::now() < until, "it stays at {info:?}");
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts a driver and waits until it listens.
    pub fn driver(&self, arguments: &[&str]) -> Driver {
        self.driver_over(&self.server.url, arguments)
    }

    /// The same over another way to the broker.
    pub fn driver_over(&self, url: &str, arguments: &[&str]) -> Driver {
        let log = self.path(&format!(
            "stderr.{}",
            self.started.fetch_add(1, Ordering::Relaxed)
        ));
        let child = Command::new(&self.program)
            .args(["--nats", url])
            .args(arguments)
            .current_dir(self.folder.path())
            .stderr(Stdio::from(fs::File::create(&log).unwrap()))
            .spawn()
            .unwrap();
        let driver = Driver { child, log };
        driver.says(" listens ");
        driver
    }

    /// Dispatches an attempt with such a `with`; its step and token tell it apart.
    pub async fn dispatch(&self, step: &str, with: Value) {
        self.send(step, with, |_| {}).await;
    }

    pub async fn send(&self, step: &str, with: Value, change: impl FnOnce(&mut DispatchedAttempt)) {
        let mut attempt = DispatchedAttempt {
            step_id: step.to_owned(),
            attempt: 1,
            token: format!("token of {step}"),
            key: format!("key of {step}"),
            pipeline: Some("line".to_owned()),
            kind: "app".to_owned(),
            deadline_ms: now_ms() + 60_000,
            timeout_ms: 60_000,
            with: object(with),
            ..DispatchedAttempt::default()
        };
        change(&mut attempt);
        let dispatch = Dispatch {
            event: "create".to_owned(),
            payload: json!({"name": "one", "resource": "app", "spec": {}}).to_string(),
            id: "0123456789abcdef01234567".to_owned(),
            run_id: RUN.to_owned(),
            attempt: Some(attempt),
        };
        self.raw(serde_json::to_vec(&dispatch).unwrap()).await;
    }

    pub async fn raw(&self, bytes: Vec<u8>) {
        let sent = self
            .context
            .publish(subjects::driver_subject(self.name, "app"), bytes.into());
        sent.await.unwrap().await.unwrap();
    }

    /// The next result that the broker keeps.
    pub async fn result(&mut self) -> DriverResult {
        self.seen += 1;
        let until = crate::server::now() + PATIENCE;
        loop {
            let stream = self.context.get_stream(subjects::RESULTS_STREAM).await;
            if let Ok(stream) = stream
                && let Ok(message) = stream.get_raw_message(self.seen).await
            {
                return serde_json::from_slice(&message.payload).unwrap();
            }
            assert!(crate::server::now() < until, "no result in time");
        }
    }

    /// Asks the first attempt of a step, or all of the run, to stop.
    pub async fn cancel(&self, step: Option<&str>, force: bool) {
        let cancel = Cancel {
            run_id: RUN.to_owned(),
            step_id: step.map(str::to_owned),
            attempt: step.map(|_| 1),
            force,
        };
        let bytes = serde_json::to_vec(&cancel).unwrap();
        let subject = subjects::cancel_subject(RUN);
        self.client.publish(subject, bytes.into()).await.unwrap();
        self.client.flush().await.unwrap();
    }

    /// How many results there are in all.
    pub async fn results(&self) -> u64 {
        self.kept(subjects::RESULTS_STREAM).await
    }

    /// Waits until so many messages are on a stream.
    pub async fn until_kept(&self, stream: &str, count: u64) {
        let until = crate::server::now() + PATIENCE;
        while self.kept(stream).await < count {
            assert!(crate::server::now() < until, "waited in vain on {stream}");
        }
    }

    pub async fn kept(&self, stream: &str) -> u64 {
        let stream = self.context.get_stream(stream).await.unwrap();
        stream.cached_info().state.messages
    }

    /// Waits until so many attempts have begun; says who began which.
    pub fn begun(&self, count: usize) -> Vec<String> {
        wait_for(&format!("{count} attempts to begin"), || {
            let begun = self.lines("begun");
            (begun.len() >= count).then_some(begun)
        })
    }

    pub fn lines(&self, name: &str) -> Vec<String> {
        let text = fs::read_to_string(self.path(name)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// A `with` that leaves a line when it begins and then waits for [`World::release`].
    pub fn waiting(&self) -> Value {
        json!({"begun": self.path("begun"), "until": self.path("go")})
    }

    pub fn release(&self) {
        fs::write(self.path("go"), "").unwrap();
    }
}

pub struct Driver {
    child: Child,
    log: PathBuf,
}

impl Driver {
    pub fn says(&self, what: &str) {
        wait_for(&format!("the driver to say `{what}`"), || {
            let text = fs::read_to_string(&self.log).unwrap();
            text.contains(what).then_some(())
        });
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Its exit code; none if a signal ended it.
    pub fn end(&mut self) -> Option<i32> {
        wait_for("the driver's end", || self.child.try_wait().unwrap()).code()
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("{}", fs::read_to_string(&self.log).unwrap_or_default());
        }
    }
}

/// An example of this crate, built from what its sources are now: a test that is run alone builds none. With the workspace,
/// so that there is one build of what it depends on.
pub fn example(name: &str) -> PathBuf {
    static BUILT: Once = Once::new();
    BUILT.call_once(|| {
        let mut build = Command::new(env!("CARGO"));
        // What cargo tells a test would make build scripts run again that look at it.
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy();
            if name.starts_with("CARGO_") && name != "CARGO_HOME" && name != "CARGO_TARGET_DIR" {
                build.env_remove(&*name);
            }
        }
        let built = build
            .args([
                "build",
                "--quiet",
                "--locked",
                "--workspace",
                "--example",
                name,
            ])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status();
        assert!(built.unwrap().success(), "the examples do not build");
    });
    let test = std::env::current_exe().unwrap();
    test.ancestors().nth(2).unwrap().join("examples").join(name)
}

pub fn object(value: Value) -> Map<String, Value> {
    value.as_object().expect("an object").clone()
}

#[allow(clippy::disallowed_methods, reason = "tests may read the clock")]
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}
