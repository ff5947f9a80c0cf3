//! Succeeds and does nothing: what is left is the cost of an attempt. What it wants makes it one with folders, or with
//! effects, where that is granted.

use guests::{Failure, Outcome, Request};

guests::guest!(reconcile);
guests::manifest!(
    r#"{"manifest":1,"name":"noop","version":"1.0.0","wants":{"workspace":"rw","out":"rw"}}"#
);

fn reconcile(_: Request) -> Result<Outcome, Failure> {
    Ok(Outcome {
        message: String::new(),
        output: None,
        requeue_after_ms: None,
        extra: Vec::new(),
    })
}
