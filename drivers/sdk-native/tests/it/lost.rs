//! Drivers and brokers that die.

use std::time::Duration;

use async_nats::jetstream::consumer::pull;
use beltline_wire::subjects;
use futures::StreamExt as _;
use serde_json::json;

use crate::proxy::Proxy;
use crate::world::World;

#[tokio::test]
async fn what_a_killed_driver_had_in_hand_another_gets() {
    let mut world = World::new().await;
    world.impatient().await;
    let first = world.driver(&[]);
    world.dispatch("s", world.waiting()).await;
    world.begun(1);
    let killed = first.pid();
    drop(first);
    let second = world.driver(&[]);
    let begun = world.begun(2);
    assert_eq!(
        begun,
        [format!("{killed} 1"), format!("{} 1", second.pid())]
    );
    world.release();
    assert_eq!(world.result().await.token.as_deref(), Some("token of s"));
    world.settled().await;
}

/// A second consumer with the same wait, whose message nobody acknowledges, is the clock.
#[tokio::test]
async fn what_is_being_worked_on_is_given_to_nobody_else() {
    let mut world = World::new().await;
    let wait = Duration::from_secs(3);
    world.consumer_with_wait(wait).await;
    let _first = world.driver(&[]);
    let _second = world.driver(&[]);
    let stream = world
        .context
        .get_stream(subjects::MESSAGES_STREAM)
        .await
        .unwrap();
    let config = pull::Config {
        durable_name: Some("clock".to_owned()),
        filter_subject: "events.clock".to_owned(),
        ack_wait: wait,
        ..pull::Config::default()
    };
    let clock = stream.create_consumer(config).await.unwrap();
    world.dispatch("s", world.waiting()).await;
    world.begun(1);
    world
        .context
        .publish("events.clock", "".into())
        .await
        .unwrap()
        .await
        .unwrap();
    let mut ticks = clock.messages().await.unwrap();
    for _ in 0..3 {
        ticks.next().await.unwrap().unwrap();
    }
    assert_eq!(world.consumer().await.delivered.consumer_sequence, 1);
    world.release();
    world.result().await;
    world.settled().await;
    assert_eq!(world.lines("begun").len(), 1);
}

#[tokio::test]
async fn a_broker_that_comes_back_is_given_the_answer_and_asked_for_more() {
    let mut world = World::new().await;
    let driver = world.driver(&["--concurrency", "1"]);
    world.dispatch("s", world.waiting()).await;
    world.begun(1);
    world.server.kill();
    driver.says("connection lost");
    world.release();
    world.server.restart();
    world.reconnect().await;
    assert_eq!(world.result().await.token.as_deref(), Some("token of s"));
    world.dispatch("t", json!({})).await;
    assert_eq!(world.result().await.token.as_deref(), Some("token of t"));
    world.settled().await;
    assert_eq!(world.lines("begun").len(), 1);
}

/// Nothing tells it: it asks, and nobody answers.
#[tokio::test]
async fn a_connection_that_has_gone_silent_is_found_out_and_given_up_for_another() {
    let mut world = World::new().await;
    let port = world.server.url.rsplit_once(':').unwrap().1;
    let proxy = Proxy::to(port.parse().unwrap());
    let driver = world.driver_over(&proxy.url(), &["--concurrency", "1"]);
    world.dispatch("s", world.waiting()).await;
    world.begun(1);
    proxy.strand();
    world.release();
    driver.says("connection lost");
    assert_eq!(world.result().await.token.as_deref(), Some("token of s"));
    world.dispatch("t", json!({})).await;
    assert_eq!(world.result().await.token.as_deref(), Some("token of t"));
    world.settled().await;
    assert_eq!((world.lines("begun").len(), world.results().await), (1, 2));
}

#[tokio::test]
async fn a_consumer_that_goes_is_made_again() {
    let mut world = World::new().await;
    let driver = world.driver(&["--concurrency", "1"]);
    let stream = world
        .context
        .get_stream(subjects::MESSAGES_STREAM)
        .await
        .unwrap();
    stream.delete_consumer("tester").await.unwrap();
    driver.says("the broker gives nothing");
    let until = crate::server::now() + crate::server::PATIENCE;
    while stream.consumer_info("tester").await.is_err() {
        assert!(crate::server::now() < until, "it is not made again");
    }
    world.dispatch("s", json!({})).await;
    assert!(world.result().await.driverresult.success);
}

#[tokio::test]
async fn an_attempt_that_is_sent_again_meanwhile_is_answered_once() {
    let mut world = World::new().await;
    let _driver = world.driver(&["--concurrency", "2"]);
    world.dispatch("s", world.waiting()).await;
    world.begun(1);
    world.dispatch("s", world.waiting()).await;
    world.until_consumer(|info| info.num_ack_pending == 2).await;
    world.release();
    world.result().await;
    world.settled().await;
    assert_eq!((world.lines("begun").len(), world.results().await), (1, 1));
}
