//! Commands that are to stop, and what they have started.

use std::fs;
use std::path::PathBuf;

use beltline_wire::{DriverFailure, subjects};
use serde_json::{Value, json};

use crate::server::wait_for;
use crate::world::World;
use crate::{exec, is_alive, send, send_attempt};

const CONFIG: &str = "allow: {commands: \"*\", shell: true, pipelines: \"*\"}\ngrace_ms: 200";

/// A shell with a child that has one too; none of them heeds SIGTERM. Their numbers go to `pids`.
fn stubborn() -> Value {
    let text = "trap '' TERM; sh -c 'trap \"\" TERM; sleep 300 & echo $! > grandchild; wait' & \
                while ! test -s grandchild; do :; done; echo $$ $! $(cat grandchild) > pids.new; mv pids.new pids; wait";
    json!({"run": text, "shell": true})
}

fn pids(world: &World) -> Vec<String> {
    let file: PathBuf = world.path("work/pids");
    let text = wait_for("the command to begin", || fs::read_to_string(&file).ok());
    let pids: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
    assert_eq!(pids.len(), 3);
    assert!(pids.iter().all(|pid| is_alive(pid)));
    pids
}

fn all_gone(pids: &[String]) {
    let gone = || pids.iter().all(|pid| !is_alive(pid)).then_some(());
    wait_for("the whole group to be gone", gone);
}

#[tokio::test]
async fn a_cancel_ends_all_of_a_command() {
    let (mut world, _driver) = exec(CONFIG).await;
    send(&world, "s", stubborn()).await;
    let pids = pids(&world);
    world.cancel(None, false).await;
    let outcome = world.result().await.driverresult;
    assert_eq!(outcome.failure, Some(DriverFailure::Cancelled));
    all_gone(&pids);
}

#[tokio::test]
async fn so_does_the_end_of_its_time() {
    let (mut world, _driver) = exec(CONFIG).await;
    let work = world.path("work").to_str().unwrap().to_owned();
    let fill = |attempt: &mut beltline_wire::DispatchedAttempt| {
        attempt.workspace = Some(work);
        attempt.timeout_ms = 5_000;
    };
    world.send("s", stubborn(), fill).await;
    let pids = pids(&world);
    let outcome = world.result().await.driverresult;
    assert_eq!(outcome.failure, Some(DriverFailure::Retryable));
    assert!(
        outcome.message.contains("timeout of 5000 ms"),
        "{}",
        outcome.message
    );
    all_gone(&pids);
}

/// Its grace is longer than the test: what counts no more gets none.
#[tokio::test]
async fn a_later_attempt_finds_nothing_of_the_earlier_one_at_work() {
    let config = CONFIG.replace("grace_ms: 200", "grace_ms: 600000");
    let (mut world, _driver) = exec(&config).await;
    send(&world, "s", stubborn()).await;
    let pids = pids(&world);
    world.cancel(Some("s"), false).await;
    // That it runs, and that it was told to stop.
    world.until_kept(subjects::LOGS_STREAM, 2).await;
    assert!(pids.iter().all(|pid| is_alive(pid)));
    world.cancel(Some("s"), true).await;
    let text =
        "for pid in $(cat pids); do grep -v ') Z ' /proc/$pid/stat 2>/dev/null || :; done > alive";
    send_attempt(&world, "s", 2, json!({"run": text, "shell": true})).await;
    let result = world.result().await;
    assert_eq!(result.attempt, Some(2));
    assert!(
        result.driverresult.success,
        "{}",
        result.driverresult.message
    );
    let alive = fs::read_to_string(world.path("work/alive")).unwrap();
    assert_eq!(alive, "");
    all_gone(&pids);
}

#[tokio::test]
async fn a_driver_that_is_killed_takes_all_of_its_commands_along() {
    let (world, driver) = exec(CONFIG).await;
    send(&world, "s", stubborn()).await;
    let pids = pids(&world);
    drop(driver);
    all_gone(&pids);
}

/// The keeper of the group outlives what the group is told: without it the last `drop` would change nothing.
#[tokio::test]
async fn so_does_one_that_is_killed_while_its_commands_are_told_to_stop() {
    let config = CONFIG.replace("grace_ms: 200", "grace_ms: 600000");
    let (world, driver) = exec(&config).await;
    send(&world, "s", stubborn()).await;
    let pids = pids(&world);
    world.cancel(Some("s"), false).await;
    world.until_kept(subjects::LOGS_STREAM, 2).await;
    assert!(pids.iter().all(|pid| is_alive(pid)));
    drop(driver);
    all_gone(&pids);
}

#[tokio::test]
async fn what_a_command_leaves_behind_ends_with_it() {
    let (mut world, _driver) = exec(CONFIG).await;
    let text = "sleep 300 & echo $! > pid";
    send(&world, "s", json!({"run": text, "shell": true})).await;
    assert!(world.result().await.driverresult.success);
    let pid = fs::read_to_string(world.path("work/pid")).unwrap();
    all_gone(&[pid]);
}
