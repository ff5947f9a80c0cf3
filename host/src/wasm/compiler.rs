//! Compiling drivers in a child process with limits of its own: what a compiler makes of a hostile component, nobody
//! knows beforehand.
//!
//! Owns how a compiler is asked, what it may use, and what its end means. Never decides whether a driver is compiled
//! (the loader does), never keeps code (the cache does), and takes code from no other process than its own child.
//!
//! The child is the host's own executable, called with [`VERB`]. Three pipes are all that it is given: the component
//! on stdin, its code or why there is none on stdout, last words on stderr. Of the environment it has two settings of
//! its libraries, and `/` is its folder. It sets its limits itself, before it reads the first byte, and dies with the
//! host. Files that the host opens are closed in it; those that the host was started with, it inherits like any child.

mod child;
mod limits;
mod order;
mod process;

pub use child::compile_driver;
pub(super) use limits::CODE_BYTES_MAX;
pub use limits::{CompileLimit, CompileLimits};
pub use order::{Order, VERB};

use super::engine::Allocation;
use super::loader::LoadError;
use std::path::PathBuf;

/// Who compiles the drivers of a host.
#[derive(Debug, Clone)]
pub struct Compiler {
    /// An executable that hands [`VERB`] to [`compile_driver`], built together with this host.
    pub executable: PathBuf,
    /// What it may use for one driver.
    pub limits: CompileLimits,
}

impl Compiler {
    /// The executable of this very process: the same even where another has been put in its place on the disk.
    /// For `belt` alone: another program's does not know [`VERB`].
    pub fn this_executable(limits: CompileLimits) -> Self {
        Compiler {
            executable: PathBuf::from("/proc/self/exe"),
            limits,
        }
    }

    /// The code of a component, for an engine with that allocation. Blocks until the child has ended.
    ///
    /// # Errors
    /// [`LoadError::Compile`] with wasmtime's words; [`LoadError::CompileLimit`]; [`LoadError::CompilerEnded`];
    /// [`LoadError::Compiler`].
    pub(super) fn code(
        &self,
        allocation: Allocation,
        component: &[u8],
    ) -> Result<Vec<u8>, LoadError> {
        let order = Order::new(allocation, &self.limits);
        process::code(&self.executable, &order, &self.limits, component)
    }
}
