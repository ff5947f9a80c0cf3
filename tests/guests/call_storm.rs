//! Computes for ever inside a storm of host calls.

use guests::{Failure, Outcome, Request, run_context};

guests::guest!(reconcile);

fn reconcile(_: Request) -> Result<Outcome, Failure> {
    loop {
        std::hint::black_box(run_context::keys());
    }
}
