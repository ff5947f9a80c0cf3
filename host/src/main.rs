//! The `belt` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    beltline::cli::main()
}
