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
                import wasi:filesystem/preopens@0.2.0;
                import wasi:random/random@0.2.0;
            }

            package wasi:io@0.2.0 {
                interface poll {
                    resource pollable {
                        block: func();
                    }
                }
                interface error {
                    resource error;
                }
                interface streams {
                    use error.{error};
                    use poll.{pollable};
                    variant stream-error { last-operation-failed(error), closed }
                    resource input-stream {
                        read: func(len: u64) -> result<list<u8>, stream-error>;
                        blocking-read: func(len: u64) -> result<list<u8>, stream-error>;
                    }
                    resource output-stream {
                        check-write: func() -> result<u64, stream-error>;
                        write: func(contents: list<u8>) -> result<_, stream-error>;
                        blocking-write-and-flush: func(contents: list<u8>) -> result<_, stream-error>;
                        subscribe: func() -> pollable;
                    }
                }
            }

            package wasi:filesystem@0.2.0 {
                interface types {
                    use wasi:io/streams@0.2.0.{input-stream, output-stream};
                    type filesize = u64;
                    flags descriptor-flags {
                        read, write, file-integrity-sync, data-integrity-sync,
                        requested-write-sync, mutate-directory,
                    }
                    flags path-flags { symlink-follow }
                    flags open-flags { create, directory, exclusive, truncate }
                    enum error-code {
                        access, would-block, already, bad-descriptor, busy, deadlock, quota, exist,
                        file-too-large, illegal-byte-sequence, in-progress, interrupted, invalid, io,
                        is-directory, loop, too-many-links, message-size, name-too-long, no-device,
                        no-entry, no-lock, insufficient-memory, insufficient-space, not-directory,
                        not-empty, not-recoverable, unsupported, no-tty, no-such-device, overflow,
                        not-permitted, pipe, read-only, invalid-seek, text-file-busy, cross-device,
                    }
                    resource directory-entry-stream;
                resource descriptor {
                    read-directory: func() -> result<directory-entry-stream, error-code>;
                        read-via-stream: func(offset: filesize) -> result<input-stream, error-code>;
                        write-via-stream: func(offset: filesize) -> result<output-stream, error-code>;
                        append-via-stream: func() -> result<output-stream, error-code>;
                        set-size: func(size: filesize) -> result<_, error-code>;
                        read: func(length: filesize, offset: filesize)
                            -> result<tuple<list<u8>, bool>, error-code>;
                        write: func(buffer: list<u8>, offset: filesize)
                            -> result<filesize, error-code>;
                        create-directory-at: func(path: string) -> result<_, error-code>;
                        link-at: func(
                            old-path-flags: path-flags, old-path: string,
                            new-descriptor: borrow<descriptor>, new-path: string,
                        ) -> result<_, error-code>;
                        open-at: func(
                            path-flags: path-flags, path: string, open-flags: open-flags,
                            %flags: descriptor-flags,
                        ) -> result<descriptor, error-code>;
                        symlink-at: func(old-path: string, new-path: string)
                            -> result<_, error-code>;
                    }
                }
                interface preopens {
                    use types.{descriptor};
                    get-directories: func() -> list<tuple<descriptor, string>>;
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
