//! What a driver is given and how it answers.

use beltline_wire::{DriverFailure, DriverLog, OutputReply, OutputRequest, subjects};
use futures::StreamExt as _;
use serde_json::{Value, json};

use crate::server::{PATIENCE, Server};
use crate::world::{RUN, World, example, object};

#[tokio::test]
async fn a_message_is_worked_on_and_answered_with_its_token() {
    let mut world = World::new().await;
    let _driver = world.driver(&[]);
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let folder = world.folder.path().to_str().unwrap().to_owned();
    let with = json!({"workspace": true});
    let workspace = folder.clone();
    world
        .send("s", with, |attempt| {
            attempt.config = object(json!({"c": 1}));
            attempt.context = object(json!({"k": "v"}));
            attempt.outputs.insert("before".to_owned(), json!(1));
            attempt.steps = ["before", "s"].map(step).into();
            attempt.workspace = Some(workspace);
            attempt.machine = Some(boot.trim().to_owned());
        })
        .await;
    let result = world.result().await;
    assert_eq!(
        (result.run_id.as_str(), result.event.as_str()),
        (RUN, "driver.result")
    );
    assert_eq!(
        (result.step_id.as_deref(), result.attempt),
        (Some("s"), Some(1))
    );
    assert_eq!(result.token.as_deref(), Some("token of s"));
    assert!(result.driverresult.success);
    assert_eq!(
        (
            result.driverresult.driver.as_str(),
            result.driverresult.message.as_str()
        ),
        ("tester", "done")
    );
    let data = json!({"name": "one", "key": "key of s", "config": {"c": 1}, "context": "v", "outputs": ["before"], "workspace": folder});
    assert_eq!(result.driverresult.data, data);
    assert_eq!(world.settled().await.delivered.consumer_sequence, 1);
}

fn step(id: &str) -> beltline_wire::DispatchedStep {
    beltline_wire::DispatchedStep {
        id: id.to_owned(),
        driver: "tester".to_owned(),
        status: "succeeded".to_owned(),
    }
}

#[tokio::test]
async fn the_consumer_is_made_as_the_host_makes_it_and_one_that_is_there_is_kept() {
    let world = World::new().await;
    let driver = world.driver(&[]);
    let made = world.consumer().await.config;
    assert_eq!(made.filter_subject, "tester.resources.*");
    assert_eq!(
        (
            made.ack_wait.as_secs(),
            made.max_deliver,
            made.max_ack_pending
        ),
        (30, 5, 1000)
    );
    drop(driver);

    let world = World::new().await;
    world.impatient().await;
    let _driver = world.driver(&[]);
    assert_eq!(world.consumer().await.config.ack_wait.as_secs(), 1);
}

#[tokio::test]
async fn all_lines_are_kept_before_the_answer() {
    let mut world = World::new().await;
    let mut live = world
        .client
        .subscribe(subjects::live_log_subject(RUN, "tester"))
        .await
        .unwrap();
    let _driver = world.driver(&[]);
    world.dispatch("s", json!({"lines": 3000})).await;
    let result = world.result().await;
    assert!(result.driverresult.success);
    assert_eq!(world.kept(subjects::LOGS_STREAM).await, 3000);
    let stream = world
        .context
        .get_stream(subjects::LOGS_STREAM)
        .await
        .unwrap();
    for number in [0, 1, 2999] {
        let message = stream.get_raw_message(number + 1).await.unwrap();
        assert_eq!(message.subject.as_str(), subjects::log_subject(RUN));
        let line: DriverLog = serde_json::from_slice(&message.payload).unwrap();
        assert_eq!(line.message, format!("line {number}"));
        assert_eq!(
            (
                line.runid.as_str(),
                line.driver.as_str(),
                line.pipeline.as_str()
            ),
            (RUN, "tester", "line")
        );
        assert_eq!(
            (line.step_id.as_deref(), line.level.as_deref()),
            (Some("s"), Some("info"))
        );
        assert_eq!(line.fields["number"], number);
    }
    let first = live.next().await.unwrap();
    let first: DriverLog = serde_json::from_slice(&first.payload).unwrap();
    assert_eq!(first.message, "line 0");
}

#[tokio::test]
async fn a_result_that_the_broker_does_not_take_is_a_failure_that_says_so() {
    let mut world = World::over(
        Server::with_config("max_payload: 65536"),
        "tester",
        example("tester"),
    )
    .await;
    let _driver = world.driver(&[]);
    world.dispatch("s", json!({"bytes": 100_000})).await;
    let result = world.result().await.driverresult;
    assert_eq!(result.failure, Some(DriverFailure::Permanent));
    assert!(
        result.message.contains("the broker takes 65536"),
        "{}",
        result.message
    );
}

#[tokio::test]
async fn a_panic_is_a_failed_attempt_and_no_more() {
    let mut world = World::new().await;
    let _driver = world.driver(&[]);
    world.dispatch("s", json!({"panic": true})).await;
    let result = world.result().await.driverresult;
    assert_eq!(result.failure, Some(DriverFailure::Other));
    assert_eq!(result.message, "the driver panicked: as it was told");
    assert_eq!(world.kept(subjects::LOGS_STREAM).await, 1);
    world.dispatch("t", json!({})).await;
    assert!(world.result().await.driverresult.success);
}

#[tokio::test]
async fn an_output_that_was_left_out_is_asked_for() {
    let mut world = World::new().await;
    let mut asked = world
        .client
        .subscribe(subjects::outputs_subject(RUN))
        .await
        .unwrap();
    let _driver = world.driver(&[]);
    without_output(&world, 60_000).await;
    let request = asked.next().await.unwrap();
    let asked: OutputRequest = serde_json::from_slice(&request.payload).unwrap();
    assert_eq!(
        (asked.token.as_str(), asked.of.as_str()),
        ("token of s", "before")
    );
    give(&world, request, json!([1])).await;
    assert_eq!(world.result().await.driverresult.data, json!({"had": [1]}));
}

/// Sends an attempt that needs an output which its message does not carry.
async fn without_output(world: &World, timeout_ms: u64) {
    let with = json!({"output_of": "before"});
    let fill = |attempt: &mut beltline_wire::DispatchedAttempt| {
        attempt.outputs_left = vec!["before".to_owned()];
        attempt.timeout_ms = timeout_ms;
    };
    world.send("s", with, fill).await;
}

async fn give(world: &World, request: async_nats::Message, output: Value) {
    let reply = serde_json::to_vec(&OutputReply::Output(Some(output))).unwrap();
    let given = world.client.publish(request.reply.unwrap(), reply.into());
    given.await.unwrap();
}

#[tokio::test]
async fn a_host_that_is_away_is_asked_for_an_output_until_it_is_back() {
    let mut world = World::new().await;
    let _driver = world.driver(&[]);
    without_output(&world, 60_000).await;
    // The line says that nobody was there.
    world.until_kept(subjects::LOGS_STREAM, 1).await;
    let subject = subjects::outputs_subject(RUN);
    let mut asked = world.client.subscribe(subject).await.unwrap();
    let again = tokio::time::timeout(PATIENCE, asked.next()).await;
    let request = again.expect("nobody asks again").unwrap();
    give(&world, request, json!([1])).await;
    assert_eq!(world.result().await.driverresult.data, json!({"had": [1]}));
    assert_eq!(world.kept(subjects::LOGS_STREAM).await, 1);
}

#[tokio::test]
async fn a_cancel_ends_the_waiting_for_an_output() {
    let mut world = World::new().await;
    let _driver = world.driver(&[]);
    without_output(&world, 60_000).await;
    world.until_kept(subjects::LOGS_STREAM, 1).await;
    world.cancel(None, false).await;
    let result = world.result().await.driverresult;
    assert_eq!(result.failure, Some(DriverFailure::Cancelled));
}

#[tokio::test]
async fn an_output_that_nobody_gives_in_time_fails_the_attempt_with_the_reason() {
    let mut world = World::new().await;
    let _driver = world.driver(&[]);
    without_output(&world, 500).await;
    let result = world.result().await.driverresult;
    assert_eq!(result.failure, Some(DriverFailure::Retryable));
    assert!(
        result
            .message
            .starts_with("the output of step `before` cannot be had from the host: no responders"),
        "{}",
        result.message
    );
}

#[tokio::test]
async fn a_folder_of_another_machine_is_refused_by_name() {
    let mut world = World::new().await;
    let _driver = world.driver(&[]);
    world
        .send("s", json!({"workspace": true}), |attempt| {
            attempt.workspace = Some("/there".to_owned());
            attempt.machine = Some("another".to_owned());
        })
        .await;
    let result = world.result().await.driverresult;
    assert_eq!(result.failure, Some(DriverFailure::Permanent));
    assert!(
        result
            .message
            .starts_with("the workspace /there is on the host's machine"),
        "{}",
        result.message
    );
}

#[tokio::test]
async fn what_is_no_dispatch_is_dropped_and_one_without_an_attempt_refused() {
    let mut world = World::new().await;
    let driver = world.driver(&[]);
    world.raw(b"{".to_vec()).await;
    driver.says("a message is no dispatch");
    let bare =
        json!({"event": "create", "payload": "{}", "id": "1", "run_id": RUN, "step_id": "s"});
    world.raw(bare.to_string().into_bytes()).await;
    let result = world.result().await.driverresult;
    assert!(
        result.message.contains("missing field `attempt`"),
        "{}",
        result.message
    );
    world.settled().await;
}
