//! What the guests share: bindings made from `wit/`, and a macro that turns a function into a driver.
//!
//! No SDK here: a guest must be able to lie where the SDK would not let it.

#![allow(clippy::all)]

wit_bindgen::generate!({
    path: "../../wit",
    world: "beltline:driver/driver",
    pub_export_macro: true,
    default_bindings_module: "guests",
    generate_all,
});

/// What of WASI the standard library does not reach.
mod beyond_std {
    wit_bindgen::generate!({
        inline: r#"
            package guests:beyond-std;

            world beyond-std {
                import wasi:clocks/monotonic-clock@0.2.0;
                import wasi:random/random@0.2.0;
            }

            package wasi:io@0.2.0 {
                interface poll {
                    resource pollable;
                }
            }

            package wasi:clocks@0.2.0 {
                interface monotonic-clock {
                    use wasi:io/poll@0.2.0.{pollable};
                    type duration = u64;
                    subscribe-duration: func(when: duration) -> pollable;
                }
            }

            package wasi:random@0.2.0 {
                interface random {
                    get-random-bytes: func(len: u64) -> list<u8>;
                }
            }
        "#,
        generate_all,
    });
}

pub use beltline::driver::types::{Failure, Outcome, Request, RetryHint};
pub use beltline::driver::{cancel, config, log, run_context};
pub use beyond_std::wasi;
pub use exports::beltline::driver::reconciler::Guest;
pub use serde_json::{Value, json};

/// Makes `fn(Request) -> Result<Outcome, Failure>` the guest's `reconcile`.
#[macro_export]
macro_rules! guest {
    ($reconcile:path) => {
        struct Component;

        impl $crate::Guest for Component {
            fn reconcile(request: $crate::Request) -> Result<$crate::Outcome, $crate::Failure> {
                $reconcile(request)
            }
        }

        $crate::export!(Component with_types_in $crate);
    };
}

/// Writes the manifest section: what the guest wants.
#[macro_export]
macro_rules! manifest {
    ($text:literal) => {
        #[unsafe(link_section = "beltline:manifest")]
        #[used]
        static MANIFEST: [u8; $text.len()] = {
            let mut bytes = [0; $text.len()];
            let mut index = 0;
            while index < bytes.len() {
                bytes[index] = $text.as_bytes()[index];
                index += 1;
            }
            bytes
        };
    };
}

/// The step's `with`.
pub fn with(request: &Request) -> Value {
    serde_json::from_str(&request.with).expect("the host sends JSON")
}

/// A success that leaves this.
pub fn left(output: Value) -> Result<Outcome, Failure> {
    raw(output.to_string())
}

/// A success that leaves this text, JSON or not.
pub fn raw(output: String) -> Result<Outcome, Failure> {
    let (message, output) = ("done".to_owned(), Some(output));
    Ok(Outcome {
        message,
        output,
        requeue_after_ms: None,
        extra: Vec::new(),
    })
}
