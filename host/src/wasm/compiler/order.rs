//! What a host tells its compiler on the command line.
//!
//! Both sides are of one build, so there is no version in it. It is no command of people's: neither help nor
//! completions have it.

use super::limits::CompileLimits;
use crate::wasm::engine::Allocation;
use std::ffi::OsString;

/// The first argument of an executable that is called to compile a driver.
pub const VERB: &str = "compile-driver";

/// For whom, with what and within which limits to compile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order {
    /// The process that asks, and whose end is the compiler's.
    pub(super) parent: u32,
    /// Of the engine that the code is for.
    pub(super) allocation: Allocation,
    pub(super) memory_bytes: u64,
    pub(super) cpu_seconds: u64,
}

impl Order {
    /// Of this process.
    pub(super) fn new(allocation: Allocation, limits: &CompileLimits) -> Self {
        Order {
            parent: std::process::id(),
            allocation,
            memory_bytes: limits.memory_bytes(),
            cpu_seconds: limits.cpu_seconds(),
        }
    }

    /// As arguments, behind the executable.
    pub(super) fn args(&self) -> [String; 5] {
        let numbers = [u64::from(self.parent), self.memory_bytes, self.cpu_seconds];
        let [parent, memory, cpu] = numbers.map(|number| number.to_string());
        let allocation = word(self.allocation).to_owned();
        [VERB.to_owned(), allocation, parent, memory, cpu]
    }

    /// From the arguments behind [`VERB`]; `None` where they are not what a host gives.
    pub fn read(args: impl IntoIterator<Item = OsString>) -> Option<Self> {
        let mut args = args.into_iter().map(OsString::into_string);
        let mut next = || args.next()?.ok();
        let allocation = next()?;
        let mut allocations = Allocation::ALL.into_iter();
        let order = Order {
            allocation: allocations.find(|one| word(*one) == allocation)?,
            parent: next()?.parse().ok()?,
            memory_bytes: next()?.parse().ok()?,
            cpu_seconds: next()?.parse().ok()?,
        };
        args.next().is_none().then_some(order)
    }
}

fn word(allocation: Allocation) -> &'static str {
    match allocation {
        Allocation::Pooling => "pooling",
        Allocation::PoolingWithoutScan => "pooling-without-scan",
        Allocation::OnDemand => "on-demand",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_host_says_its_compiler_reads() {
        for allocation in Allocation::ALL {
            let order = Order::new(allocation, &CompileLimits::default());
            let read = |args: &[String]| Order::read(args.iter().map(OsString::from));
            let [verb, args @ ..] = order.args();
            assert_eq!((verb.as_str(), read(&args)), (VERB, Some(order)));
            assert_eq!(read(&args[..3]), None);
            assert_eq!(read(&[&args[..], &args[..1]].concat()), None);
        }
    }
}
