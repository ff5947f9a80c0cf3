//! Drivers that are made to be a burden to a compiler.

use crate::driver_files_made::driver;
use std::fmt::Write;

/// A driver that traps, with these functions beside it.
fn with(functions: &str) -> Vec<u8> {
    driver(&format!(
        r#"(memory (export "memory") 1)
        (func (export "reconcile") (param i32) (result i32) unreachable)
        {functions}"#
    ))
}

/// Variables that are read in the innermost of many loops: a compiler that does not know whether a loop sets them
/// makes each of them anew in each.
fn loops(variables: usize, loops: usize) -> Vec<u8> {
    let mut text = format!("(func (local {})", "i32 ".repeat(variables));
    text.push_str(&"loop ".repeat(loops));
    for variable in 0..variables {
        write!(text, "local.get {variable} drop ").unwrap();
    }
    text.push_str(&"end ".repeat(loops));
    with(&(text + ")"))
}

/// 190 KB, and more memory than any machine has.
pub fn with_all_memory() -> Vec<u8> {
    loops(40_000, 2_000)
}

/// 80 KB, two minutes of CPU time and half a gigabyte.
pub fn in_minutes() -> Vec<u8> {
    loops(20_000, 200)
}

pub fn many_functions(number: usize) -> Vec<u8> {
    let function = "(func (param i32) (result i32) local.get 0 local.get 0 i32.mul)";
    with(&function.repeat(number))
}

/// One function with that many blocks in one another.
pub fn nested(blocks: usize) -> Vec<u8> {
    with(&format!(
        "(func {} {})",
        "block ".repeat(blocks),
        "end ".repeat(blocks)
    ))
}

/// One function that may go on in that many places.
pub fn branches(places: usize) -> Vec<u8> {
    let table = "0 ".repeat(places);
    let one = format!("block local.get 0 br_table {table} end ");
    with(&format!("(func (param i32) {})", one.repeat(20)))
}

/// One function of that many additions.
pub fn long(additions: usize) -> Vec<u8> {
    let one = "local.get 0 i32.mul local.get 0 i32.add ";
    with(&format!(
        "(func (param i32) (result i32) local.get 0 {})",
        one.repeat(additions)
    ))
}
