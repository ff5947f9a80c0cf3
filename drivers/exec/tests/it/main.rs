//! `belt-exec` as a program, against a real nats-server.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod runs;
#[path = "../../../sdk-native/tests/it/server.rs"]
#[allow(dead_code, reason = "shared with the SDK's tests")]
mod server;
mod stops;
#[path = "../../../sdk-native/tests/it/world.rs"]
#[allow(dead_code, reason = "shared with the SDK's tests")]
mod world;

use std::fs;
use std::path::Path;

use async_nats::jetstream::stream::Stream;
use beltline_wire::{DriverLog, DriverOutcome, subjects};
use serde_json::Value;

use crate::server::Server;
use crate::world::{Driver, World};

/// A world, a driver with such a config, and `work`, a workspace.
async fn exec(config: &str) -> (World, Driver) {
    let program = env!("CARGO_BIN_EXE_belt-exec").into();
    let world = World::over(Server::start(), "exec", program).await;
    fs::write(world.path("exec.yaml"), config).unwrap();
    fs::create_dir(world.path("work")).unwrap();
    let driver = world.driver(&["--insecure-broker", "--concurrency", "4"]);
    (world, driver)
}

/// Runs a command in the workspace and says how that went.
async fn told(world: &mut World, with: Value) -> DriverOutcome {
    let step = format!("s{}", world.results().await);
    send(world, &step, with).await;
    world.result().await.driverresult
}

async fn send(world: &World, step: &str, with: Value) {
    send_attempt(world, step, 1, with).await;
}

async fn send_attempt(world: &World, step: &str, number: u32, with: Value) {
    let work = world.path("work").to_str().unwrap().to_owned();
    let fill = |attempt: &mut beltline_wire::DispatchedAttempt| {
        attempt.attempt = number;
        attempt.workspace = Some(work);
        attempt.outputs.insert("before".to_owned(), Value::from(7));
        attempt.steps = vec![beltline_wire::DispatchedStep {
            id: "before".to_owned(),
            driver: "other".to_owned(),
            status: "succeeded".to_owned(),
        }];
    };
    world.send(step, with, fill).await;
}

/// The lines of the run's log, with their levels.
async fn log(world: &World) -> Vec<(String, String)> {
    let stream: Stream = world
        .context
        .get_stream(subjects::LOGS_STREAM)
        .await
        .unwrap();
    let mut lines = Vec::new();
    for number in 1..=stream.cached_info().state.last_sequence {
        let message = stream.get_raw_message(number).await.unwrap();
        let line: DriverLog = serde_json::from_slice(&message.payload).unwrap();
        lines.push((line.level.unwrap(), line.message));
    }
    lines
}

fn is_alive(pid: &str) -> bool {
    // A zombie is there and yet dead.
    let stat = fs::read_to_string(Path::new("/proc").join(pid.trim()).join("stat"));
    stat.is_ok_and(|stat| !stat.contains(") Z "))
}
