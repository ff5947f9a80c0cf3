//! Leaves `with.bytes` bytes of JSON.

use guests::{Failure, Outcome, Request, raw};

guests::guest!(reconcile);

fn reconcile(request: Request) -> Result<Outcome, Failure> {
    let bytes = guests::with(&request)["bytes"]
        .as_u64()
        .expect("`bytes` is a number") as usize;
    raw(format!("\"{}\"", "x".repeat(bytes - 2)))
}
