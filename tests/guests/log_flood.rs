//! Logs for ever, or `with.lines` lines.

use guests::{Failure, Outcome, Request, json, left};

guests::guest!(reconcile);

fn reconcile(request: Request) -> Result<Outcome, Failure> {
    let lines = guests::with(&request)["lines"].as_u64().unwrap_or(u64::MAX);
    for line in 0..lines {
        println!("line {line}");
    }
    left(json!(lines))
}
