//! Says that it begins, lingers for `with.ms` milliseconds without an effect, and says that it ends.

use guests::{Failure, Outcome, Request, json, left};
use std::time::Duration;

guests::guest!(reconcile);

fn reconcile(request: Request) -> Result<Outcome, Failure> {
    println!("begin");
    let ms = guests::with(&request)["ms"]
        .as_u64()
        .expect("`ms` is a number");
    std::thread::sleep(Duration::from_millis(ms));
    println!("end");
    left(json!(request.info.deadline_ms))
}
