//! Deadlines, cancels and signals.

use std::time::Duration;

use beltline_wire::DriverFailure;
use futures::StreamExt as _;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::world::{World, now_ms};

#[tokio::test]
async fn a_message_past_its_deadline_is_dropped() {
    let mut world = World::new().await;
    let driver = world.driver(&[]);
    world
        .send("late", json!({}), |attempt| {
            attempt.deadline_ms = now_ms() - 1
        })
        .await;
    driver.says("past its deadline");
    world.dispatch("s", json!({})).await;
    assert_eq!(world.result().await.step_id.as_deref(), Some("s"));
    world.settled().await;
    assert_eq!(world.results().await, 1);
}

#[tokio::test]
async fn an_attempt_is_told_of_the_end_of_its_time() {
    let mut world = World::new().await;
    let _driver = world.driver(&[]);
    world
        .send("s", world.waiting(), |attempt| attempt.timeout_ms = 50)
        .await;
    let result = world.result().await.driverresult;
    assert_eq!(result.failure, Some(DriverFailure::Retryable));
    assert!(
        result.message.contains("timeout of 50 ms"),
        "{}",
        result.message
    );
}

#[tokio::test]
async fn one_that_does_not_stop_at_its_deadline_answers_nothing() {
    let world = World::new().await;
    let driver = world.driver(&[]);
    world
        .send("s", stubborn(&world), |attempt| {
            attempt.deadline_ms = now_ms() + 5_000
        })
        .await;
    world.begun(1);
    driver.says("no answer counts any more");
    world.settled().await;
    world.release();
    assert_eq!(world.results().await, 0);
}

fn stubborn(world: &World) -> Value {
    json!({"begun": world.path("begun"), "until": world.path("go"), "stubborn": true})
}

#[tokio::test]
async fn a_cancelled_attempt_stops_and_says_so() {
    let mut world = World::new().await;
    let _driver = world.driver(&["--concurrency", "2"]);
    world.dispatch("a", world.waiting()).await;
    world.dispatch("b", world.waiting()).await;
    world.begun(2);
    world.cancel(Some("a"), false).await;
    let result = world.result().await;
    assert_eq!(result.step_id.as_deref(), Some("a"));
    assert_eq!(result.driverresult.failure, Some(DriverFailure::Cancelled));
    world.release();
    assert!(world.result().await.driverresult.success);
}

#[tokio::test]
async fn after_a_cancel_with_force_nothing_is_answered() {
    let mut world = World::new().await;
    let driver = world.driver(&["--concurrency", "2"]);
    world.dispatch("a", stubborn(&world)).await;
    world.begun(1);
    world.cancel(Some("a"), true).await;
    driver.says("no answer counts any more");
    world.settled().await;
    world.release();
    world.dispatch("b", json!({})).await;
    assert_eq!(world.result().await.step_id.as_deref(), Some("b"));
    assert_eq!(world.results().await, 1);
}

#[tokio::test]
async fn a_later_attempt_of_a_step_waits_until_the_earlier_one_has_really_ended() {
    let mut world = World::new().await;
    let driver = world.driver(&["--concurrency", "3"]);
    world.dispatch("a", stubborn(&world)).await;
    world.begun(1);
    world.cancel(Some("a"), true).await;
    driver.says("no answer counts any more");
    let with = json!({"begun": world.path("begun")});
    world
        .send("a", with.clone(), |attempt| attempt.attempt = 2)
        .await;
    driver.says("waits until an earlier attempt of its step has ended");
    world.dispatch("b", with).await;
    assert_eq!(world.result().await.step_id.as_deref(), Some("b"));
    let first = format!("{} 1", driver.pid());
    assert_eq!(world.lines("begun"), [first.clone(), first]);
    world.release();
    let result = world.result().await;
    assert_eq!(
        (result.step_id.as_deref(), result.attempt),
        (Some("a"), Some(2))
    );
    world.settled().await;
    assert_eq!(world.results().await, 2);
}

#[tokio::test]
async fn a_later_attempt_of_a_step_ends_the_earlier_one_whose_cancel_was_lost() {
    let mut world = World::new().await;
    let _driver = world.driver(&["--concurrency", "2"]);
    world.dispatch("a", world.waiting()).await;
    world.begun(1);
    world
        .send("a", json!({}), |attempt| attempt.attempt = 2)
        .await;
    assert_eq!(world.result().await.attempt, Some(2));
    world.settled().await;
    assert_eq!(world.results().await, 1);
}

#[tokio::test]
async fn a_message_whose_cancel_came_first_is_dropped() {
    let mut world = World::new().await;
    let driver = world.driver(&["--concurrency", "1"]);
    world.dispatch("a", world.waiting()).await;
    world.begun(1);
    world
        .dispatch("b", json!({"begun": world.path("begun")}))
        .await;
    world.cancel(Some("b"), false).await;
    world.cancel(Some("a"), false).await;
    driver.says("is cancelled");
    assert_eq!(world.result().await.step_id.as_deref(), Some("a"));
    world.settled().await;
    assert_eq!((world.lines("begun").len(), world.results().await), (1, 1));
}

#[tokio::test]
async fn a_signal_lets_it_finish_and_leaves_the_rest_to_others() {
    let mut world = World::new().await;
    let mut driver = world.driver(&["--concurrency", "2"]);
    world.dispatch("a", world.waiting()).await;
    world.begun(1);
    driver.signal(Signal::TERM);
    driver.says("finishes what it has in hand");
    world.dispatch("b", json!({})).await;
    world.release();
    assert_eq!(world.result().await.step_id.as_deref(), Some("a"));
    assert_eq!(driver.end(), Some(0));
    // The broker may have sent it before it heard that nothing more is wanted: then it was given back.
    let info = world.consumer().await;
    let left = u64::try_from(info.num_ack_pending).unwrap() + info.num_pending;
    assert_eq!((left, world.results().await), (1, 1));
    let _other = world.driver(&[]);
    assert_eq!(world.result().await.step_id.as_deref(), Some("b"));
}

#[tokio::test]
async fn a_signal_gives_back_at_once_what_was_not_begun() {
    let mut world = World::new().await;
    // Longer than anything is waited for: without being given back it comes to nobody.
    world.consumer_with_wait(Duration::from_secs(600)).await;
    let mut asked = world.asked().await;
    let mut driver = world.driver(&["--concurrency", "1"]);
    let request = asked.next().await.unwrap();
    world.dispatch("a", world.waiting()).await;
    world.begun(1);
    // Asked for on its behalf: as one that comes over a connection that was given up.
    world.dispatch("b", json!({})).await;
    let asks =
        world
            .client
            .publish_with_reply(request.subject, request.reply.unwrap(), request.payload);
    asks.await.unwrap();
    world.until_consumer(|info| info.num_ack_pending == 2).await;
    driver.signal(Signal::TERM);
    driver.says("finishes what it has in hand");
    let _other = world.driver(&[]);
    assert_eq!(world.result().await.step_id.as_deref(), Some("b"));
    world.release();
    assert_eq!(world.result().await.step_id.as_deref(), Some("a"));
    assert_eq!(driver.end(), Some(0));
    assert_eq!((world.lines("begun").len(), world.results().await), (1, 2));
    world.settled().await;
}

#[tokio::test]
async fn a_second_signal_stops_what_is_in_hand() {
    let mut world = World::new().await;
    let mut driver = world.driver(&[]);
    world.dispatch("a", world.waiting()).await;
    world.begun(1);
    driver.signal(Signal::INT);
    driver.says("finishes what it has in hand");
    driver.signal(Signal::INT);
    let result = world.result().await.driverresult;
    assert_eq!(result.failure, Some(DriverFailure::Retryable));
    assert!(result.message.contains("shut down"), "{}", result.message);
    assert_eq!(driver.end(), Some(0));
}
