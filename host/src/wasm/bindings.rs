//! Bindings generated from `wit/`: nothing here is written by hand.

#![allow(missing_docs, unreachable_pub, clippy::all)]

wasmtime::component::bindgen!({
    path: "../wit",
    world: "beltline:driver/driver",
    imports: {
        // An earlier output may have to be fetched from the store.
        "beltline:driver/run-context": async | trappable,
        default: trappable,
    },
    exports: { default: async },
});
