//! Succeeds with far too many words.

use guests::{Failure, Outcome, Request};

guests::guest!(reconcile);

fn reconcile(_: Request) -> Result<Outcome, Failure> {
    let message = "word ".repeat(100_000);
    Ok(Outcome {
        message,
        output: None,
        requeue_after_ms: None,
        extra: Vec::new(),
    })
}
