//! Computes for ever.

use guests::{Failure, Outcome, Request};

guests::guest!(reconcile);

fn reconcile(_: Request) -> Result<Outcome, Failure> {
    eprintln!("spinning");
    let mut number = 0_u64;
    loop {
        number = std::hint::black_box(number.wrapping_add(1));
    }
}
