//! Leaves what is no JSON.

use guests::{Failure, Outcome, Request, raw};

guests::guest!(reconcile);

fn reconcile(_: Request) -> Result<Outcome, Failure> {
    raw("{\"a\": nothing}".to_owned())
}
