//! Fails as `with` says: `{kind, reason, after_ms, before_attempt}`; from attempt `before_attempt` on it succeeds.

use guests::{Failure, Outcome, Request, RetryHint, json, left};

guests::guest!(reconcile);

fn reconcile(request: Request) -> Result<Outcome, Failure> {
    let with = guests::with(&request);
    let before = with["before_attempt"].as_u64().unwrap_or(u64::MAX);
    if u64::from(request.info.attempt) >= before {
        return left(json!({"attempt": request.info.attempt, "key": request.info.key}));
    }
    let reason = with["reason"].as_str().unwrap_or("it failed").to_owned();
    Err(match with["kind"].as_str() {
        Some("permanent") => Failure::Permanent(reason),
        Some("retryable") => Failure::Retryable(RetryHint {
            reason,
            after_ms: with["after_ms"].as_u64(),
        }),
        Some("cancelled") => Failure::Cancelled,
        _ => Failure::Other(reason),
    })
}
