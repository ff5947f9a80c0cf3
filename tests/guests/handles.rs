//! Keeps `with.count` handles of the host alive at once.

use guests::{Failure, Outcome, Request, json, left, wasi};

guests::guest!(reconcile);

fn reconcile(request: Request) -> Result<Outcome, Failure> {
    let count = guests::with(&request)["count"]
        .as_u64()
        .expect("`count` is a number");
    let timers = (0..count).map(|_| wasi::clocks::monotonic_clock::subscribe_duration(1));
    left(json!(timers.collect::<Vec<_>>().len()))
}
