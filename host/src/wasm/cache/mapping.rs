//! Compiled code in memory: the one place with `unsafe`, for native code cannot be checked, only its writer.

#![allow(unsafe_code)]

use memmap2::Mmap;
use rustix::mm::{MprotectFlags, mprotect};
use std::fs::File;
use std::io;
use std::ptr::NonNull;
use wasmtime::component::Component;
use wasmtime::{CustomCodeMemory, Engine};

/// Maps a file whole, to read: privately, so that nobody who gives out its pages for writing writes to the file.
pub(super) fn map(file: &File) -> io::Result<Mmap> {
    // SAFETY: nobody changes the file while it is mapped: entries are written under another name and renamed, and
    // the folder and the file were found to be this user's alone. Whoever is this user can do as he likes anyway.
    unsafe {
        memmap2::MmapOptions::new()
            .populate()
            .map_copy_read_only(file)
    }
}

/// Loads the code at the start of a mapping, all of it but the last `behind` bytes.
///
/// The mapping is never taken away again: a component may be held by any attempt under way. It is the file's own
/// pages, which the system can drop and read again.
pub(super) fn load(engine: &Engine, mapping: Mmap, behind: usize) -> wasmtime::Result<Component> {
    let mapping: &'static Mmap = Box::leak(Box::new(mapping));
    let code = mapping.get(..mapping.len().saturating_sub(behind));
    let code = NonNull::from(code.unwrap_or_default());
    // SAFETY: the bytes are what `Component::serialize` gave to a host of this user: their keyed hash, taken on this
    // mapping, says so. They stay mapped and unchanged as long as the process lives.
    unsafe { Component::deserialize_raw(engine, code) }
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
