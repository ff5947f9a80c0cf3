//! What is run, what is told, and what is refused.

use std::fs;
use std::process::Command;

use beltline_wire::DriverFailure;
use serde_json::json;

use crate::{exec, log, told};

const ALL: &str = "allow: {commands: \"*\", shell: true, pipelines: \"*\"}";

#[tokio::test]
async fn lines_go_to_the_log_and_the_output_comes_back() {
    let (mut world, _driver) = exec(ALL).await;
    let text = "echo one; echo two >&2; pwd; cat $BELT_OUTPUTS; echo; \
                printf '{\"name\": %s}' \"$(cat $BELT_RESOURCE)\" > $BELT_OUTPUT";
    let outcome = told(&mut world, json!({"run": text, "shell": true})).await;
    assert!(outcome.success, "{}", outcome.message);
    assert_eq!(outcome.data["name"]["name"], "one");
    let lines = log(&world).await;
    let has = |level: &str, message: &str| lines.contains(&(level.to_owned(), message.to_owned()));
    assert!(
        has("info", "one") && has("warn", "two") && has("info", "{\"before\":7}"),
        "{lines:?}"
    );
    assert!(has(
        "info",
        fs::canonicalize(world.path("work"))
            .unwrap()
            .to_str()
            .unwrap()
    ));
}

#[tokio::test]
async fn a_command_starts_with_few_variables_and_secrets_are_masked() {
    let config = format!("{ALL}\npass_env: [CARGO_MANIFEST_DIR]");
    let (mut world, _driver) = exec(&config).await;
    let text = "env | sed 's/=.*//' | sort | tr '\\n' ' '; echo; echo \"$CARGO_MANIFEST_DIR\"; \
                echo \"\\\"$CARGO_MANIFEST_DIR\\\"\" > $BELT_OUTPUT";
    let with = json!({"run": text, "shell": true, "env": {"LANG": "C"}});
    let outcome = told(&mut world, with).await;
    assert_eq!(outcome.data, "***", "{}", outcome.message);
    let lines: Vec<String> = log(&world)
        .await
        .into_iter()
        .map(|(_, line)| line)
        .collect();
    let names: Vec<&str> = lines[1]
        .split_whitespace()
        .filter(|name| !["_", "PWD", "SHLVL", "OLDPWD"].contains(name))
        .collect();
    let wanted = [
        "BELT_ATTEMPT",
        "BELT_KEY",
        "BELT_OUTPUT",
        "BELT_OUTPUTS",
        "BELT_RESOURCE",
        "BELT_RUN",
        "BELT_STEP",
        "BELT_WORKSPACE",
        "CARGO_MANIFEST_DIR",
        "HOME",
        "LANG",
        "PATH",
    ];
    assert_eq!(names, wanted);
    assert_eq!(lines[2], "***");
}

#[tokio::test]
async fn a_failure_has_the_code_and_the_last_lines_or_the_signal() {
    let (mut world, _driver) = exec(ALL).await;
    let failed = told(
        &mut world,
        json!({"run": "echo why >&2; exit 3", "shell": true}),
    )
    .await;
    assert_eq!(failed.failure, Some(DriverFailure::Permanent));
    assert_eq!(failed.message, "`echo why >&2; exit 3` exited with 3: why");
    let killed = told(&mut world, json!({"run": "kill -9 $$", "shell": true})).await;
    assert_eq!(killed.message, "`kill -9 $$` was killed by signal 9");
    let unset = told(&mut world, json!({"run": "echo $NOT_SET", "shell": true})).await;
    assert!(!unset.success);
}

#[tokio::test]
async fn a_step_says_after_which_exit_codes_it_may_be_tried_again() {
    let (mut world, _driver) = exec(ALL).await;
    let (retryable, permanent) = (DriverFailure::Retryable, DriverFailure::Permanent);
    for (run, again, wanted) in [
        ("exit 75", json!([75, 111]), retryable),
        ("exit 1", json!([75, 111]), permanent),
        ("exit 1", json!(true), retryable),
        ("kill -9 $$", json!(true), retryable),
        ("exit 1", json!(false), permanent),
    ] {
        let with = json!({"run": run, "shell": true, "retryable": again});
        let failed = told(&mut world, with).await;
        assert_eq!(failed.failure, Some(wanted), "{run}: {}", failed.message);
    }
    let with = json!({"run": "exit 1", "shell": true, "retryable": [0]});
    let refused = told(&mut world, with).await;
    assert_eq!(refused.failure, Some(permanent));
    assert!(
        refused.message.contains("exit codes from 1 to 255"),
        "{}",
        refused.message
    );
}

#[tokio::test]
async fn an_output_that_is_no_json_fails_for_good() {
    let (mut world, _driver) = exec(ALL).await;
    let with = json!({"run": "echo no > $BELT_OUTPUT", "shell": true});
    let outcome = told(&mut world, with).await;
    assert_eq!(outcome.failure, Some(DriverFailure::Permanent));
    assert!(
        outcome.message.starts_with("$BELT_OUTPUT is not JSON"),
        "{}",
        outcome.message
    );
}

#[tokio::test]
async fn what_is_not_allowed_is_refused_with_the_line_to_add() {
    let (mut world, _driver) = exec("{}").await;
    let refused = told(&mut world, json!({"run": ["true"]})).await;
    assert_eq!(refused.failure, Some(DriverFailure::Permanent));
    assert_eq!(
        refused.message,
        "this driver runs nothing: its config has no `allow`; to allow it, say `allow: {commands: [true], pipelines: [line]}` in exec.yaml"
    );
    let (mut world, _driver) = exec("allow: {commands: [\"true\"], pipelines: [line]}").await;
    assert!(told(&mut world, json!({"run": ["true"]})).await.success);
    for with in [
        json!({"run": ["/bin/true"]}),
        json!({"run": ["true"], "env": {"LD_PRELOAD": "x"}}),
    ] {
        let refused = told(&mut world, with).await;
        assert_eq!(
            refused.failure,
            Some(DriverFailure::Permanent),
            "{}",
            refused.message
        );
    }
}

#[tokio::test]
async fn without_a_workspace_it_fails_by_name() {
    let (mut world, _driver) = exec(ALL).await;
    world.dispatch("none", json!({"run": ["true"]})).await;
    let refused = world.result().await.driverresult;
    assert!(
        refused.message.contains("this run has no workspace"),
        "{}",
        refused.message
    );
    let elsewhere = |attempt: &mut beltline_wire::DispatchedAttempt| {
        attempt.workspace = Some("/there".to_owned());
        attempt.machine = Some("another".to_owned());
    };
    world
        .send("other", json!({"run": ["true"]}), elsewhere)
        .await;
    let refused = world.result().await.driverresult;
    assert!(
        refused
            .message
            .starts_with("the workspace /there is on the host's machine")
    );
}

#[test]
fn a_broker_that_knows_nobody_is_refused() {
    let output = Command::new(env!("CARGO_BIN_EXE_belt-exec"))
        .args(["--nats", "nats://127.0.0.1:1"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--insecure-broker"));
}

#[test]
fn credentials_that_the_broker_does_not_ask_for_are_none() {
    let server = crate::server::Server::start();
    let output = Command::new(env!("CARGO_BIN_EXE_belt-exec"))
        .args(["--nats", &server.url.replace("//", "//user:password@")])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("asks nobody who they are"), "{said}");
}
