//! Traps without a word.

use guests::{Failure, Outcome, Request};

guests::guest!(reconcile);

fn reconcile(_: Request) -> Result<Outcome, Failure> {
    step_on_it()
}

#[inline(never)]
fn step_on_it() -> ! {
    #[cfg(target_arch = "wasm32")]
    core::arch::wasm32::unreachable();
    #[cfg(not(target_arch = "wasm32"))]
    std::process::abort();
}
