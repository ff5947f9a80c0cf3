//! Tries to retitle and to overwrite the terminal of whoever watches: in a line, in a field, in its last words.

use guests::{Failure, Outcome, Request, log};

guests::guest!(reconcile);

const EVIL: &str = "\u{1b}]0;owned\u{7}\u{1b}[2Kall is well\r";

fn reconcile(_: Request) -> Result<Outcome, Failure> {
    println!("{EVIL}");
    log::write(
        log::Level::Info,
        EVIL,
        &[("evil".to_owned(), EVIL.to_owned())],
    );
    Err(Failure::Permanent(EVIL.to_owned()))
}
