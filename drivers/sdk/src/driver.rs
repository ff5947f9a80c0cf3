//! The macro that makes a driver of a function.

/// Makes a driver of a function `fn(Request<S, W>) -> Result<Outcome<O>, Failure>`.
///
/// ```
/// # use beltline_sdk::{Failure, Outcome, Request};
/// # fn reconcile(_: Request) -> Result<Outcome, Failure> { Ok(Outcome::new("")) }
/// beltline_sdk::driver! {
///     name: "sbom",
///     kinds: ["workspace"],                                   // [] for any kind
///     wants: { workspace: ro, out: rw },                      // none where nothing is said
///     config: r#"{"type": "object"}"#,                        // optional: JSON Schema of the operator's config
///     reconcile
/// }
/// # fn main() {}
/// ```
///
/// In a component it exports `beltline:driver/reconciler` and writes the manifest into the custom section
/// `beltline:manifest`. Elsewhere the crate stays an ordinary library, with `DRIVER` in it, which `beltline-sdk-native` makes
/// a native driver of. In both it defines `MANIFEST`, the manifest's JSON text, with the version of the crate that the
/// macro is used in.
///
/// A name that is no subject token, an unknown want or a manifest over 64 KiB is a compile error:
/// ```compile_fail,E0080
/// # use beltline_sdk::{Failure, Outcome, Request};
/// # fn reconcile(_: Request) -> Result<Outcome, Failure> { Ok(Outcome::new("")) }
/// beltline_sdk::driver! { name: "not.a.token", kinds: [], wants: {}, reconcile }
/// # fn main() { println!("{MANIFEST}") }
/// ```
/// ```compile_fail,E0080
/// # use beltline_sdk::{Failure, Outcome, Request};
/// # fn reconcile(_: Request) -> Result<Outcome, Failure> { Ok(Outcome::new("")) }
/// beltline_sdk::driver! { name: "sbom", kinds: [], wants: { wrokspace: ro }, reconcile }
/// # fn main() { println!("{MANIFEST}") }
/// ```
#[macro_export]
macro_rules! driver {
    (
        name: $name:expr,
        kinds: [$($kind:expr),* $(,)?],
        wants: { $($want:ident : $access:ident),* $(,)? },
        config: $config:expr,
        $reconcile:path $(,)?
    ) => {
        $crate::driver! { @parts
            $name, [$($kind),*], [$((stringify!($want), stringify!($access))),*],
            ::core::option::Option::Some($config), $reconcile
        }
    };
    (
        name: $name:expr,
        kinds: [$($kind:expr),* $(,)?],
        wants: { $($want:ident : $access:ident),* $(,)? },
        $reconcile:path $(,)?
    ) => {
        $crate::driver! { @parts
            $name, [$($kind),*], [$((stringify!($want), stringify!($access))),*],
            ::core::option::Option::None, $reconcile
        }
    };
    (@parts $name:expr, [$($kind:expr),*], [$($want:expr),*], $config:expr, $reconcile:path) => {
        const MANIFEST_PARTS: $crate::__private::Parts = $crate::__private::Parts {
            name: $name,
            version: env!("CARGO_PKG_VERSION"),
            kinds: &[$($kind),*],
            wants: &[$($want),*],
            config: $config,
        };
        const MANIFEST_BYTES: [u8; $crate::__private::length(&MANIFEST_PARTS)] =
            $crate::__private::write(&MANIFEST_PARTS);

        /// What this driver says about itself, as its file carries it.
        pub const MANIFEST: &str = $crate::__private::text(&MANIFEST_BYTES);

        /// This driver, for whoever runs it outside a component.
        #[cfg(not(target_family = "wasm"))]
        #[allow(dead_code, reason = "a component has no use for it")]
        pub const DRIVER: $crate::native::Driver =
            $crate::native::Driver::new($name, &[$($kind),*], MANIFEST, |request| {
                $crate::__private::reconcile($reconcile, request)
            });

        #[cfg(target_family = "wasm")]
        const _: () = {
            #[used]
            #[unsafe(link_section = "beltline:manifest")]
            static SECTION: [u8; MANIFEST_BYTES.len()] = MANIFEST_BYTES;

            struct Driver;

            impl $crate::__private::Guest for Driver {
                fn reconcile(
                    request: $crate::__private::Request,
                ) -> ::core::result::Result<$crate::__private::Outcome, $crate::__private::Failure> {
                    $crate::__private::reconcile($reconcile, request)
                }
            }

            $crate::__private::bindings::export_reconciler!(
                Driver with_types_in $crate::__private::bindings
            );
        };
    };
}
