//! The world `beltline:driver/driver` in Rust, generated from `wit/` when this crate is compiled. Public for
//! the expansion of `driver!` alone.

#![allow(
    missing_docs,
    unsafe_code,
    unused_qualifications,
    unreachable_pub,
    clippy::all,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "generated: what is documented is documented in wit/, and crossing the component's border is unsafe"
)]

wit_bindgen::generate!({
    path: "wit",
    world: "driver",
    generate_all,
    pub_export_macro: true,
    export_macro_name: "export_reconciler",
    default_bindings_module: "beltline_sdk::__private::bindings",
    runtime_path: "wit_bindgen::rt",
});
