//! Uses what `with` says, `{asks, lines, line_bytes, pages}`, and then ends as `then` says, if it does.

use guests::{Failure, Outcome, Request, json, left, log};
use std::time::Duration;

guests::guest!(reconcile);

fn reconcile(request: Request) -> Result<Outcome, Failure> {
    let with = guests::with(&request);
    let number = |name: &str| with[name].as_u64().unwrap_or(0) as usize;
    for _ in 0..number("asks") {
        log::enabled(log::Level::Info);
    }
    let line = "x".repeat(number("line_bytes"));
    for _ in 0..number("lines") {
        log::write(log::Level::Info, &line, &[]);
    }
    let before = core::arch::wasm32::memory_grow::<0>(number("pages"));
    assert_ne!(before, usize::MAX, "there is room");
    match with["then"].as_str() {
        Some("trap") => core::arch::wasm32::unreachable(),
        Some("sleep") => std::thread::sleep(Duration::from_secs(100_000)),
        Some("spin") => loop {
            std::hint::black_box(&line);
        },
        _ => {}
    }
    left(json!(null))
}
