//! Computes for as long as `with.turns` says, and leaves what came of it: a guest that never looks up by itself.

use guests::{Failure, Outcome, Request, json, left};

guests::guest!(reconcile);

fn reconcile(request: Request) -> Result<Outcome, Failure> {
    let turns = guests::with(&request)["turns"].as_u64().unwrap_or(0);
    // One turn of a linear congruential generator: nothing that a compiler would take out of the loop.
    let turn = |state: u64, _| {
        state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1)
    };
    left(json!({"state": (0..turns).fold(1, turn).to_string()}))
}
