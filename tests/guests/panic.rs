//! Panics, two functions deep.

use guests::{Failure, Outcome, Request};

guests::guest!(reconcile);

fn reconcile(request: Request) -> Result<Outcome, Failure> {
    open_the_safe(&request.info.step_id)
}

#[inline(never)]
fn open_the_safe(step: &str) -> Result<Outcome, Failure> {
    panic!("the safe of `{step}` is empty")
}
