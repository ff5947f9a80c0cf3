//! Computes for as long as `with.turns` says, and leaves what came of it: a guest that never looks up by itself.

use guests::{Failure, Outcome, Request, json, left};

guests::guest!(reconcile);

fn reconcile(request: Request) -> Result<Outcome, Failure> {
    let turns = guests::with(&request)["turns"].as_u64().unwrap_or(0);
    // One turn of a xorshift generator: nothing that a compiler could take out of the loop, or do many of at once.
    let turn = |state: u64, _| {
        let state = state ^ (state << 13);
        let state = state ^ (state >> 7);
        state ^ (state << 17)
    };
    left(json!({"state": (0..turns).fold(1, turn).to_string()}))
}
