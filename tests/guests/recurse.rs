//! Recurses without end.

use guests::{Failure, Outcome, Request, json, left};

guests::guest!(reconcile);

fn reconcile(_: Request) -> Result<Outcome, Failure> {
    left(json!(deeper(1)))
}

#[inline(never)]
#[allow(unconditional_recursion)]
fn deeper(depth: u64) -> u64 {
    let kept = std::hint::black_box([depth; 16]);
    deeper(depth + 1).wrapping_add(kept[(depth % 16) as usize])
}
