//! Computes for ever on its first attempt, and succeeds on the second.

use guests::{Failure, Outcome, Request, json, left};

guests::guest!(reconcile);

fn reconcile(request: Request) -> Result<Outcome, Failure> {
    while request.info.attempt == 1 {
        std::hint::black_box(());
    }
    left(json!({"attempt": request.info.attempt}))
}
