//! Takes memory for ever.

use guests::{Failure, Outcome, Request};

guests::guest!(reconcile);

fn reconcile(_: Request) -> Result<Outcome, Failure> {
    let mut all = Vec::new();
    loop {
        all.push(vec![1_u8; 1 << 20]);
        std::hint::black_box(&all);
    }
}
