//! What a driver said, as the host reads it.

use std::time::Duration;

use beltline_sdk::{Failure, Outcome};
use beltline_wire::{DriverFailure, DriverOutcome, DriverResult};
use serde_json::Value;

use crate::hand::{Id, Why, Wish};

/// Conveyor's name of the event.
const EVENT: &str = "driver.result";

/// What a driver is taken to have said, given what was wished of it meanwhile: one that stopped was told to, and the host has to
/// hear by what.
pub(crate) fn settled(
    said: Result<Outcome<Value>, Failure>,
    wish: Wish,
    timeout_ms: u64,
) -> Result<Outcome<Value>, Failure> {
    match (said, wish) {
        (Err(Failure::Cancelled), Wish::Stop(Why::Timeout)) => Err(Failure::retryable(format!(
            "stopped at the end of its timeout of {timeout_ms} ms"
        ))),
        (Err(Failure::Cancelled), Wish::Stop(Why::Shutdown)) => Err(Failure::retryable(
            "the driver was shut down before it had finished",
        )),
        (said, _) => said,
    }
}

/// The message for the host, in bytes; a permanent failure where it would be more than the broker takes.
pub(crate) fn encoded(
    driver: &str,
    id: &Id,
    said: Result<Outcome<Value>, Failure>,
    lines_kept: Option<u64>,
    bytes_max: usize,
) -> Vec<u8> {
    let bytes = bytes(&result(driver, id, said, lines_kept));
    if bytes.len() <= bytes_max {
        return bytes;
    }
    let reason = format!(
        "the result has {} bytes; the broker takes {bytes_max} (its `max_payload`); write what is large into the out folder",
        bytes.len()
    );
    self::bytes(&result(
        driver,
        id,
        Err(Failure::permanent(reason)),
        lines_kept,
    ))
}

fn bytes(result: &DriverResult) -> Vec<u8> {
    serde_json::to_vec(result).expect("it is made of strings, numbers and JSON")
}

fn result(
    driver: &str,
    id: &Id,
    said: Result<Outcome<Value>, Failure>,
    lines_kept: Option<u64>,
) -> DriverResult {
    DriverResult {
        event: EVENT.to_owned(),
        run_id: id.run.clone(),
        resource: Value::Null,
        driverresult: DriverOutcome {
            driver: driver.to_owned(),
            ..outcome(said)
        },
        step_id: Some(id.step.clone()).filter(|step| !step.is_empty()),
        attempt: Some(id.attempt).filter(|attempt| *attempt > 0),
        token: Some(id.token.clone()).filter(|token| !token.is_empty()),
        log_sequence: lines_kept,
        host: None,
    }
}

fn outcome(said: Result<Outcome<Value>, Failure>) -> DriverOutcome {
    let failed = |failure, message| DriverOutcome {
        message,
        failure: Some(failure),
        ..DriverOutcome::default()
    };
    match said {
        Ok(outcome) => DriverOutcome {
            success: true,
            message: outcome.message,
            data: outcome.output.unwrap_or_default(),
            requeue_after_ms: outcome.requeue_after.map(milliseconds),
            ..DriverOutcome::default()
        },
        Err(Failure::Permanent(reason)) => DriverOutcome {
            retryable: Some(false),
            ..failed(DriverFailure::Permanent, reason)
        },
        Err(Failure::Retryable { reason, after }) => DriverOutcome {
            retryable: Some(true),
            retry_after_ms: after.map(milliseconds),
            ..failed(DriverFailure::Retryable, reason)
        },
        Err(Failure::Cancelled) => failed(DriverFailure::Cancelled, "cancelled".to_owned()),
        Err(Failure::Other(reason)) => DriverOutcome {
            retryable: Some(false),
            ..failed(DriverFailure::Other, reason)
        },
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(said: Result<Outcome<Value>, Failure>) -> Value {
        let id = Id {
            run: "r".to_owned(),
            step: "s".to_owned(),
            attempt: 2,
            token: "t".to_owned(),
        };
        serde_json::from_slice(&encoded("exec", &id, said, None, 1_000)).unwrap()
    }

    #[test]
    fn a_success_carries_what_shows_whose_it_is() {
        let outcome = Outcome::new("done").output(json!({"a": 1}));
        assert_eq!(
            told(Ok(outcome.requeue_after(Duration::from_secs(1)))),
            json!({"event": "driver.result", "run_id": "r", "resource": null, "step_id": "s", "attempt": 2, "token": "t",
                "driverresult": {"success": true, "message": "done", "data": {"a": 1}, "driver": "exec", "requeue_after_ms": 1000}})
        );
        assert_eq!(
            told(Ok(Outcome::new("")))["driverresult"]["data"],
            Value::Null
        );
    }

    #[test]
    fn each_failure_is_of_its_kind() {
        let failed = |failure| told(Err(failure))["driverresult"].take();
        assert_eq!(
            failed(Failure::permanent("no")),
            json!({"success": false, "message": "no", "data": null, "driver": "exec", "failure": "permanent", "retryable": false})
        );
        let later = failed(Failure::retryable("busy").after(Duration::from_millis(5)));
        assert_eq!(
            (&later["failure"], &later["retry_after_ms"]),
            (&json!("retryable"), &json!(5))
        );
        assert_eq!(failed(Failure::Cancelled)["failure"], "cancelled");
        let other = failed(Failure::Other("what".to_owned()));
        assert_eq!(
            (&other["failure"], &other["retryable"]),
            (&json!("other"), &json!(false))
        );
    }

    #[test]
    fn what_the_broker_does_not_take_is_a_failure_that_says_so() {
        let big = told(Ok(Outcome::new("").output(json!("x".repeat(2_000)))));
        assert_eq!(big["driverresult"]["failure"], "permanent");
        let message = big["driverresult"]["message"].as_str().unwrap();
        assert!(
            message.contains("the broker takes 1000 (its `max_payload`)"),
            "{message}"
        );
    }

    #[test]
    fn only_a_cancelled_run_is_told_that_it_was() {
        let reason = |why| settled(Err(Failure::Cancelled), Wish::Stop(why), 50).unwrap_err();
        assert_eq!(reason(Why::Cancelled), Failure::Cancelled);
        assert!(reason(Why::Timeout).reason().contains("timeout of 50 ms"));
        assert!(reason(Why::Shutdown).reason().contains("shut down"));
        let own = settled(Err(Failure::Cancelled), Wish::Work, 50);
        assert_eq!(own.unwrap_err(), Failure::Cancelled);
    }
}
