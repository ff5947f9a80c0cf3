//! The same driver as a program of its own, which takes its work from a broker.

#[cfg(not(target_family = "wasm"))]
fn main() -> std::process::ExitCode {
    beltline_sdk_native::main(both_ways::DRIVER)
}

/// A component is made of the library alone.
#[cfg(target_family = "wasm")]
fn main() {}
