//! Sleeps in a host call, far longer than anybody waits.

use guests::{Failure, Outcome, Request, json, left};
use std::time::Duration;

guests::guest!(reconcile);

fn reconcile(_: Request) -> Result<Outcome, Failure> {
    eprintln!("sleeping");
    std::thread::sleep(Duration::from_secs(100_000));
    left(json!(null))
}
