//! Limits of what crosses between host and driver, the same for every store and placement.

/// The longest output of a step, in bytes of JSON: larger things belong into the out folder.
pub const OUTPUT_BYTES_MAX: usize = 256 * 1024;

/// The longest message of an outcome or reason of a failure, in bytes: they are lines for a person.
pub const MESSAGE_BYTES_MAX: usize = 4 * 1024;
