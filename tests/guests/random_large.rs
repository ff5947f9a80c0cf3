//! Asks for `with.bytes` random bytes in one call.

use guests::{Failure, Outcome, Request, json, left, wasi};

guests::guest!(reconcile);

fn reconcile(request: Request) -> Result<Outcome, Failure> {
    let bytes = guests::with(&request)["bytes"]
        .as_u64()
        .expect("`bytes` is a number");
    left(json!(wasi::random::random::get_random_bytes(bytes).len()))
}
