//! The way from the WIT types to the driver's own and back: one function, the same in a component and in
//! the testing harness.

use std::time::Duration;

use beltline_wire::{MESSAGE_BYTES_MAX, OUTPUT_BYTES_MAX};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bindings::beltline::driver::types;
use crate::{Failure, Outcome, Request, logger};

/// Ends a text that was cut.
const ELLIPSIS: &str = "…";

/// Decodes a request, calls the driver, encodes what it says.
///
/// # Errors
/// The driver's failure; or a permanent one of its own, where the resource or `with` is not of the driver's
/// shape, or the output cannot be written as JSON or is too large.
pub fn reconcile<S, W, O>(
    driver: impl FnOnce(Request<S, W>) -> Result<Outcome<O>, Failure>,
    request: types::Request,
) -> Result<types::Outcome, types::Failure>
where
    S: DeserializeOwned,
    W: DeserializeOwned,
    O: Serialize,
{
    logger::install();
    decode_request(request)
        .and_then(driver)
        .and_then(encode_outcome)
        .map_err(encode_failure)
}

/// Decodes a JSON text that the host gave; `what` names it in the failure.
pub(crate) fn decode<T: DeserializeOwned>(what: &str, text: &str) -> Result<T, Failure> {
    let mut json = serde_json::Deserializer::from_str(text);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let place = match path.as_str() {
            "." => what.to_owned(),
            path if path.starts_with('[') => format!("{what}{path}"),
            path => format!("{what}.{path}"),
        };
        Failure::permanent(format!(
            "{place}: {}",
            without_position(&error.into_inner())
        ))
    })?;
    json.end()
        .map_err(|error| Failure::permanent(format!("{what}: {error}")))?;
    Ok(value)
}

/// The position in a text that no person has seen says nothing: the path names the place. A syntax error's
/// does, for it has no path.
fn without_position(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let position = format!(" at line {} column {}", error.line(), error.column());
    if error.is_data() {
        text.trim_end_matches(&position).to_owned()
    } else {
        text
    }
}

fn decode_request<S, W>(request: types::Request) -> Result<Request<S, W>, Failure>
where
    S: DeserializeOwned,
    W: DeserializeOwned,
{
    Ok(Request {
        event: request.event.as_str().into(),
        kind: request.kind,
        resource: decode("resource", &request.resource)?,
        with: decode("with", &request.with)?,
        run: request.info.into(),
    })
}

fn encode_outcome<O: Serialize>(outcome: Outcome<O>) -> Result<types::Outcome, Failure> {
    Ok(types::Outcome {
        message: cut(outcome.message),
        output: outcome
            .output
            .map(|output| encode_output(&output))
            .transpose()?,
        requeue_after_ms: outcome.requeue_after.map(milliseconds),
        extra: Vec::new(),
    })
}

fn encode_output(output: &impl Serialize) -> Result<String, Failure> {
    let text = serde_json::to_string(output).map_err(|error| {
        Failure::permanent(format!("the output cannot be written as JSON: {error}"))
    })?;
    if text.len() > OUTPUT_BYTES_MAX {
        return Err(Failure::permanent(format!(
            "the output has {} bytes; at most {OUTPUT_BYTES_MAX} are allowed; write what is large into the out folder",
            text.len()
        )));
    }
    Ok(text)
}

fn encode_failure(failure: Failure) -> types::Failure {
    match failure {
        Failure::Permanent(reason) => types::Failure::Permanent(cut(reason)),
        Failure::Retryable { reason, after } => types::Failure::Retryable(types::RetryHint {
            reason: cut(reason),
            after_ms: after.map(milliseconds),
        }),
        Failure::Cancelled => types::Failure::Cancelled,
        Failure::Other(reason) => types::Failure::Other(cut(reason)),
    }
}

/// A message that is too long would cost the driver its whole answer; its beginning says most.
fn cut(mut text: String) -> String {
    if text.len() > MESSAGE_BYTES_MAX {
        text.truncate(text.floor_char_boundary(MESSAGE_BYTES_MAX - ELLIPSIS.len()));
        text.push_str(ELLIPSIS);
    }
    text
}

/// Over half a billion years is for ever.
fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::{Value, json};

    use super::*;
    use crate::Event;
    use crate::testing::Harness;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Spec {
        hosts: Vec<Host>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Host {
        port: u16,
    }

    fn ports(request: Request<Spec>) -> Result<Outcome<Vec<u16>>, Failure> {
        Ok(Outcome::new("ports").output(
            request
                .resource
                .spec
                .hosts
                .iter()
                .map(|host| host.port)
                .collect(),
        ))
    }

    #[track_caller]
    fn refused(spec: Value, reason: &str) {
        assert_eq!(
            Harness::new().spec(spec).run(ports).failure(),
            &Failure::permanent(reason)
        );
    }

    #[test]
    fn a_wrong_field_is_named_by_its_path() {
        refused(
            json!({"hosts": [{"port": 1}, {"port": "x"}]}),
            "resource.spec.hosts[1].port: invalid type: string \"x\", expected u16",
        );
        refused(json!({}), "resource.spec: missing field `hosts`");
        refused(
            json!({"hosts": [{"port": 1, "name": ""}]}),
            "resource.spec.hosts[0].name: unknown field `name`, expected `port`",
        );
    }

    #[test]
    fn a_wrong_whole_is_named_too() {
        #[derive(Debug, Deserialize)]
        struct Pair(#[allow(dead_code)] u8, #[allow(dead_code)] u8);
        let driver = |_: Request<Value, Pair>| Ok(Outcome::<()>::new(""));
        let reason = |with| {
            Harness::new()
                .with(with)
                .run(driver)
                .failure()
                .reason()
                .to_owned()
        };
        assert_eq!(
            reason(json!({})),
            "with: invalid type: map, expected tuple struct Pair"
        );
        assert_eq!(
            reason(json!([1, true])),
            "with[1]: invalid type: boolean `true`, expected u8"
        );
        let syntax = decode::<Value>("config", "{\"a\": }").unwrap_err();
        assert_eq!(
            syntax.reason(),
            "config.a: expected value at line 1 column 7"
        );
        assert_eq!(
            decode::<Value>("config", "1 2").unwrap_err().reason(),
            "config: trailing characters at line 1 column 3"
        );
    }

    #[test]
    fn everything_reaches_the_driver() {
        let driver = |request: Request<Value, Value>| {
            assert_eq!(request.event, Event::Delete);
            assert_eq!(
                (request.kind.as_str(), request.resource.kind.as_str()),
                ("app", "app")
            );
            assert_eq!(request.resource.rest["owner"], "x");
            assert_eq!(
                (request.run.attempt, request.with["a"].as_u64()),
                (3, Some(1))
            );
            crate::cancel::check()?;
            Ok(Outcome::<()>::new("").requeue_after(Duration::from_secs(2)))
        };
        let call = || {
            let call = Harness::new()
                .event("delete")
                .resource("resource", "app")
                .resource("owner", "x");
            call.attempt(3).with(json!({"a": 1}))
        };
        assert_eq!(
            call().run(driver).outcome().requeue_after,
            Some(Duration::from_secs(2))
        );
        assert_eq!(
            call().cancelled().run(driver).failure(),
            &Failure::Cancelled
        );
    }

    #[test]
    fn an_output_over_the_limit_is_refused_and_one_at_it_is_not() {
        let driver =
            |length: usize| move |_: Request| Ok(Outcome::new("").output("x".repeat(length)));
        let quotes = 2;
        assert!(
            Harness::new()
                .run(driver(OUTPUT_BYTES_MAX - quotes))
                .outcome()
                .output
                .is_some()
        );
        let reason = Harness::new()
            .run(driver(OUTPUT_BYTES_MAX))
            .failure()
            .reason()
            .to_owned();
        assert!(
            reason.starts_with("the output has 262146 bytes; at most 262144"),
            "{reason}"
        );
    }

    #[test]
    fn messages_are_cut_between_characters() {
        let driver =
            |_: Request| Err::<Outcome, _>(Failure::retryable("ä".repeat(MESSAGE_BYTES_MAX)));
        let report = Harness::new().run(driver);
        let reason = report.failure().reason();
        assert!(reason.len() <= MESSAGE_BYTES_MAX && reason.len() > MESSAGE_BYTES_MAX - 8);
        assert!(reason.ends_with("ä…"));
        assert_eq!(cut("as it is".to_owned()), "as it is");
    }

    #[test]
    fn what_was_not_granted_says_what_to_grant() {
        let driver = |_: Request| crate::out().map(|_| Outcome::<()>::new(""));
        assert!(
            Harness::new()
                .run(driver)
                .failure()
                .reason()
                .contains("`grants: {out: rw}` in belt.yaml")
        );
        assert!(Harness::new().out().run(driver).result.is_ok());
    }

    #[test]
    fn paths_stay_below_the_out_folder() {
        for path in ["", "/etc/x", "../x", "a/../../x", "."] {
            let driver = |_: Request| crate::out_path(path).map(|_| Outcome::<()>::new(""));
            let reason = format!("`{path}` is no path below the out folder");
            assert_eq!(
                Harness::new().out().run(driver).failure(),
                &Failure::permanent(reason)
            );
        }
    }
}
