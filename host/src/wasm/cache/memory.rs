//! Compiled code in memory: the one place with `unsafe`, for native code cannot be checked, only its writer.
//!
//! A file of the cache is read into memory of our own, hashed there and run from there. A mapping of the file would be faster by some
//! milliseconds, and would end the process when somebody cuts the file short.

#![allow(unsafe_code)]

use memmap2::{Mmap, MmapOptions};
use rustix::mm::{MprotectFlags, mprotect};
use std::fs::File;
use std::io::{self, Read};
use std::ptr::NonNull;
use wasmtime::component::Component;
use wasmtime::{CustomCodeMemory, Engine};

/// What is read at once: while it is near, it is hashed.
const PART_BYTES: usize = 1 << 20;

/// Reads a file of that length into memory that can be made executable, and shows each part where it then stands.
pub(super) fn read(file: &mut File, len: usize, mut show: impl FnMut(&[u8])) -> io::Result<Mmap> {
    // All its pages at once: that takes half of what taking them one by one does.
    let mut memory = MmapOptions::new().len(len).populate().map_anon()?;
    for part in memory.chunks_mut(PART_BYTES) {
        file.read_exact(part)?;
        show(part);
    }
    memory.make_read_only()
}

/// Loads the code in that memory.
///
/// The memory is never given back: a component may be held by any attempt under way.
pub(super) fn load(engine: &Engine, memory: Mmap) -> wasmtime::Result<Component> {
    let memory: &'static Mmap = Box::leak(Box::new(memory));
    let code = NonNull::from(&**memory);
    // SAFETY: the bytes are what `Component::serialize` gave to a host of this user: their keyed hash, taken in this
    // very memory, says so. They stay there unchanged as long as the process lives.
    unsafe { Component::deserialize_raw(engine, code) }
}

/// Loads code that was compiled just now, from a copy that goes with the component.
pub(in crate::wasm) fn load_new(engine: &Engine, code: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: the bytes are what wasmtime's compiler gave in this process, or in a child that this process started
    // for it and whose only writer is the pipe's other end. They have been nowhere else.
    unsafe { Component::deserialize(engine, code) }
}

/// Makes compiled code executable: wasmtime leaves that to whoever owns the memory, and for `deserialize_raw` that
/// is us.
#[derive(Debug)]
pub struct Publisher;

impl CustomCodeMemory for Publisher {
    fn required_alignment(&self) -> usize {
        rustix::param::page_size()
    }

    fn publish_executable(&self, start: *const u8, len: usize) -> wasmtime::Result<()> {
        protect(start, len, MprotectFlags::READ | MprotectFlags::EXEC)
    }

    fn unpublish_executable(&self, start: *const u8, len: usize) -> wasmtime::Result<()> {
        protect(start, len, MprotectFlags::READ | MprotectFlags::WRITE)
    }
}

fn protect(start: *const u8, len: usize, flags: MprotectFlags) -> wasmtime::Result<()> {
    // SAFETY: wasmtime gives whole pages of code that it holds and that nobody runs yet, or any more.
    let done = unsafe { mprotect(start.cast_mut().cast(), len, flags) };
    Ok(done.map_err(io::Error::from)?)
}
