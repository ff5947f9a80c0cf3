//! Works until it is asked to stop, and then says that it was.

use guests::{Failure, Outcome, Request, cancel};
use std::time::Duration;

guests::guest!(reconcile);

fn reconcile(_: Request) -> Result<Outcome, Failure> {
    eprintln!("waiting");
    while !cancel::requested() {
        std::thread::sleep(Duration::from_millis(1));
    }
    Err(Failure::Cancelled)
}
