//! Hands the host `with.bytes` bytes in one call, as a line of the log.

use guests::{Failure, Outcome, Request, json, left, log};

guests::guest!(reconcile);

fn reconcile(request: Request) -> Result<Outcome, Failure> {
    let bytes = guests::with(&request)["bytes"]
        .as_u64()
        .expect("`bytes` is a number") as usize;
    log::write(log::Level::Info, &"x".repeat(bytes), &[]);
    left(json!(bytes))
}
