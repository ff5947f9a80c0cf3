//! Ends its process, as if it had one.

use guests::{Failure, Outcome, Request};

guests::guest!(reconcile);

fn reconcile(_: Request) -> Result<Outcome, Failure> {
    std::process::exit(7)
}
