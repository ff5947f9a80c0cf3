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
