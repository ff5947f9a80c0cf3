//! Asks for more memory than there can be, takes no for an answer, and panics of something else.

use guests::{Failure, Outcome, Request};

guests::guest!(reconcile);

fn reconcile(_: Request) -> Result<Outcome, Failure> {
    let mut room: Vec<u8> = Vec::new();
    let refused = room.try_reserve_exact(1 << 30).is_err();
    std::hint::black_box(&room);
    panic!("a bug of mine, refused: {refused}")
}
