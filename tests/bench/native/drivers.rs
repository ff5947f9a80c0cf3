//! The process of the native drivers, which do nothing: a message comes, an answer goes, and then the acknowledgement.

use async_nats::jetstream::{self, Message};
use futures::StreamExt;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use tokio::runtime::Builder;

/// Messages that a driver has at once.
const AT_ONCE: usize = 256;

pub struct Drivers(Child);

impl Drivers {
    /// When this returns, all of them pull.
    pub fn start(url: &str, names: &[&str]) -> Drivers {
        let mut command = Command::new(std::env::current_exe().expect("it runs"));
        command.args(["drivers", url, &names.join(",")]);
        let mut process = command
            .stdout(Stdio::piped())
            .spawn()
            .expect("it can be started again");
        let stdout = process.stdout.take().expect("it is piped");
        let mut lines = BufReader::new(stdout).lines();
        for _ in names {
            lines
                .next()
                .expect("each says that it is there")
                .expect("it is text");
        }
        Drivers(process)
    }
}

impl Drop for Drivers {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The process's own main.
pub fn run(url: &str, names: &str) {
    let mut builder = Builder::new_multi_thread();
    let runtime = builder.worker_threads(2).enable_all().build();
    runtime.expect("there are threads").block_on(async {
        let client = async_nats::connect(url).await.expect("the server is there");
        let drivers = names.split(',').map(|name| drive(client.clone(), name));
        futures::future::join_all(drivers).await;
    });
}

async fn drive(client: async_nats::Client, name: &str) {
    let jetstream = jetstream::new(client);
    let consumer = loop {
        let found = jetstream.get_consumer_from_stream(name, "messages").await;
        match found {
            Ok(consumer) => break consumer,
            Err(_) => tokio::task::yield_now().await,
        }
    };
    let consumer: jetstream::consumer::PullConsumer = consumer;
    let messages = consumer.stream().max_messages_per_batch(AT_ONCE).messages();
    let messages = messages.await.expect("it can be pulled from");
    println!("{name}");
    messages
        .for_each_concurrent(AT_ONCE, |message| {
            let jetstream = jetstream.clone();
            async move { answer(&jetstream, name, message.expect("it comes")).await }
        })
        .await;
}

async fn answer(jetstream: &jetstream::Context, name: &str, message: Message) {
    let body: Value = serde_json::from_slice(&message.payload).expect("it is JSON");
    let result = json!({"event": "driver.result", "run_id": body["run_id"], "step_id": body["step_id"],
        "attempt": body["attempt"], "token": body["token"],
        "driverresult": {"success": true, "message": "", "data": null, "driver": name}});
    let sent = jetstream
        .publish("pipelines.driver.result", result.to_string().into())
        .await;
    sent.expect("it goes").await.expect("the stream takes it");
    message.ack().await.expect("it goes");
}
