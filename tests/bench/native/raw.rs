//! The same messages without a host: published, pulled, answered, both acknowledged.

use crate::material::root;
use async_nats::jetstream::consumer::{AckPolicy, PullConsumer, pull};
use async_nats::jetstream::stream::{Config, RetentionPolicy};
use async_nats::jetstream::{self, Context};
use beltline::clock;
use futures::{StreamExt, stream};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use tokio::runtime::{Builder, Runtime};

/// As long as a message of the host's for a small resource.
const MESSAGE: [u8; 700] = [b'x'; 700];

/// As long as its answer.
const ANSWER: [u8; 300] = [b'y'; 300];

/// A server; it is killed when this is dropped.
pub struct Nats {
    process: Child,
    port: u16,
    _data: tempfile::TempDir,
}

impl Nats {
    pub fn start() -> Nats {
        let data = tempfile::tempdir_in(root().join("target")).expect("target is there");
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback is there");
        let port = listener.local_addr().expect("it is bound").port();
        drop(listener);
        let mut command = Command::new(root().join("target/nats/current/nats-server"));
        let process = command
            .args(["-a", "127.0.0.1", "-p", &port.to_string(), "-js", "-sd"])
            .arg(data.path())
            .stderr(Stdio::null())
            .spawn()
            .expect("tests/nats/install puts it there");
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            std::thread::yield_now();
        }
        Nats {
            process,
            port,
            _data: data,
        }
    }

    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Both ends of the loop, and what is between them.
pub struct Raw {
    runtime: Runtime,
    jetstream: Context,
    answers: pull::Stream,
}

impl Raw {
    pub fn new(url: &str) -> Raw {
        let mut builder = Builder::new_multi_thread();
        let runtime = builder.worker_threads(2).enable_all().build();
        let runtime = runtime.expect("there are threads");
        let (jetstream, answers) = runtime.block_on(async {
            let far = consumer(url, "raw", RetentionPolicy::Interest).await;
            let near = consumer(url, "raw-answers", RetentionPolicy::Limits).await;
            tokio::spawn(answer(far.0, far.1));
            near
        });
        Raw {
            runtime,
            jetstream,
            answers,
        }
    }

    /// How long each of so many took, in microseconds.
    pub fn one_at_a_time(&mut self, count: usize) -> Vec<f64> {
        let Raw {
            runtime,
            jetstream,
            answers,
        } = self;
        runtime.block_on(async {
            let mut micros = Vec::with_capacity(count);
            for _ in 0..count {
                let before = clock::monotonic();
                publish(jetstream, "raw.x", &MESSAGE).await;
                let message = answers.next().await.expect("it comes").expect("it comes");
                message.ack().await.expect("it goes");
                micros.push(clock::monotonic().saturating_sub(before).as_secs_f64() * 1e6);
            }
            micros
        })
    }

    /// How many there are in a second, so many at once.
    pub fn per_second(&mut self, count: usize, depth: usize) -> f64 {
        let Raw {
            runtime,
            jetstream,
            answers,
        } = self;
        runtime.block_on(async {
            let before = clock::monotonic();
            let (free, taken) = (tokio::sync::Semaphore::new(depth), &*jetstream);
            let sending = stream::iter(0..count).for_each_concurrent(depth, |_| async {
                free.acquire().await.expect("it is open").forget();
                publish(taken, "raw.x", &MESSAGE).await;
            });
            let taking = async {
                for _ in 0..count {
                    let message = answers.next().await.expect("it comes").expect("it comes");
                    message.ack().await.expect("it goes");
                    free.add_permits(1);
                }
            };
            futures::join!(sending, taking);
            let seconds = clock::monotonic().saturating_sub(before).as_secs_f64();
            count as f64 / seconds
        })
    }
}

async fn publish(jetstream: &Context, subject: &'static str, bytes: &'static [u8]) {
    let sent = jetstream.publish(subject, bytes.into()).await;
    sent.expect("it goes").await.expect("the stream takes it");
}

async fn answer(jetstream: Context, messages: pull::Stream) {
    messages
        .for_each_concurrent(256, |message| {
            let jetstream = jetstream.clone();
            async move {
                let message = message.expect("it comes");
                publish(&jetstream, "raw-answers.x", &ANSWER).await;
                message.ack().await.expect("it goes");
            }
        })
        .await;
}

async fn consumer(url: &str, name: &str, retention: RetentionPolicy) -> (Context, pull::Stream) {
    let client = async_nats::connect(url).await.expect("the server is there");
    let jetstream = jetstream::new(client);
    let config = Config {
        name: name.to_owned(),
        subjects: vec![format!("{name}.*")],
        retention,
        ..Config::default()
    };
    let stream = jetstream.create_stream(config).await.expect("it is made");
    let config = pull::Config {
        durable_name: Some(name.to_owned()),
        ack_policy: AckPolicy::Explicit,
        max_ack_pending: 10_000,
        ..pull::Config::default()
    };
    let consumer: PullConsumer = stream.create_consumer(config).await.expect("it is made");
    let messages = consumer.stream().max_messages_per_batch(256).messages();
    (jetstream, messages.await.expect("it can be pulled from"))
}
