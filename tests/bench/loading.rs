//! Loading compiled code from the cache.

use super::attempts::resident_bytes;
use super::material::{guest, load, load_known, root};
use super::rounds::{Effort, medians, timed};
use super::table::{Goal, Table};
use beltline::digest::Digest;
use beltline::drivers;
use beltline::wasm::{Cache, HostSettings, WasmHost};
use std::process::Command;
use std::sync::Arc;

const DRIVERS: u32 = 100;

/// Before anything else has needed memory.
pub fn measure_resident(_: Effort, table: &mut Table) {
    let host = super::material::host();
    let before = resident_bytes();
    for number in 0..DRIVERS {
        load(&host, &distinct(&guest("noop"), number));
    }
    let grown = resident_bytes().saturating_sub(before);
    table.figure(
        "resident with 100 small drivers loaded",
        mib(resident_bytes()),
        "MiB",
    );
    table.figure(
        "of it a driver",
        mib(grown) * 1_024.0 / f64::from(DRIVERS),
        "KiB",
    );
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

pub fn measure(effort: Effort, table: &mut Table) {
    let folder = tempfile::tempdir_in(root().join("target")).expect("target is there");
    let host = || {
        let cache = Some(Cache::open(&folder.path().join("cache")).expect("it is new"));
        let settings = HostSettings {
            guest_memory: None,
            cache,
            compiler: None,
        };
        WasmHost::new(settings, Arc::new(|_| {})).expect("wasmtime starts here")
    };
    let large = javascript();
    let digest = Digest::of(&large);
    load_known(&host(), digest, &large);
    let entry = std::fs::read_dir(folder.path().join("cache")).expect("the cache is there");
    let entries = entry.map(|entry| entry.expect("it can be listed").path());
    let code = entries.max_by_key(|path| path.metadata().map_or(0, |found| found.len()));
    let code = std::fs::read(code.expect("it was kept")).expect("it can be read");
    let [look, engine, loaded, hash] = medians(
        effort,
        [
            timed(|| drivers::inspect(&large).expect("it is a component")),
            timed(host),
            timed(|| load_known(&host(), digest, &large)),
            timed(|| blake3::keyed_hash(&[7; blake3::KEY_LEN], &code)),
        ],
    );
    let code_mib = mib(code.len() as u64);
    table.figure(
        "a component made from JavaScript",
        mib(large.len() as u64),
        "MiB",
    );
    table.figure("its compiled code", code_mib, "MiB");
    table.figure("sha256 and a look at the component", look / 1e3, "ms");
    table.figure("a host with its pool and cache", engine / 1e3, "ms");
    table.figure("one keyed hash pass over the code", hash / 1e3, "ms");
    table.bound(
        "loading it from the cache, beyond that pass",
        (loaded - engine - hash) / 1e3,
        "ms",
        Goal::AtMost(10.0),
    );
}

/// The same component with another digest: a custom section more.
fn distinct(component: &[u8], number: u32) -> Vec<u8> {
    let number = number.to_le_bytes();
    let name = b"bench";
    let mut bytes = component.to_vec();
    let size = 1 + name.len() + number.len();
    bytes.extend([0, size as u8, name.len() as u8]);
    bytes.extend(name);
    bytes.extend(number);
    bytes
}

/// A driver in JavaScript, built with componentize-js: the runtime of the language is in it.
fn javascript() -> Vec<u8> {
    let built = Command::new(root().join("tests/bench/javascript/build"))
        .arg(root().join("target/bench"))
        .output()
        .expect("bash is there");
    let said = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success(), "{said}");
    std::fs::read(root().join("target/bench/driver.wasm")).expect("it was built")
}
