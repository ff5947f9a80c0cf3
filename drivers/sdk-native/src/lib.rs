#![doc = include_str!("../README.md")]
//!
//! # What is where
//! [`main`] and [`run`] are the program; [`Options`] its flags. `listener` asks the broker for as many messages as there
//! is room for and gives each to an attempt; `attempt` takes one message from its arrival to its acknowledgement.
//!
//! # Guarantees
//! A message is acknowledged when the broker has its result on disk, or when no answer to it counts any more. So a driver
//! that dies at any instruction is called again, here or in a replica.
//!
//! # Assumptions
//! The clocks of host and driver agree to within what the deadlines leave: a message is past its own by this machine's clock.

mod answer;
mod attempt;
mod clock;
mod connect;
mod console;
mod consumer;
mod hand;
mod host;
mod lines;
mod listener;
mod options;
mod present;
mod publish;
mod pulls;
mod signals;
mod turns;

pub use options::Options;

use std::process::ExitCode;
use std::time::Duration;

use beltline_sdk::native::Driver;
use clap::{CommandFactory, FromArgMatches, Parser};

/// How long the threads of drivers that do not stop are waited for when the program ends.
const THREADS_END: Duration = Duration::from_millis(100);

#[derive(Parser)]
struct Program {
    #[command(flatten)]
    options: Options,
}

/// A whole native driver: reads the flags, listens until it is told to stop.
///
/// 0 when everything in hand was finished, 1 when something had to be left or the broker refuses the driver, 2 for flags that
/// are none.
pub fn main(driver: Driver) -> ExitCode {
    let command = Program::command().name(driver.name).about(format!(
        "The Beltline driver `{}`, over NATS JetStream",
        driver.name
    ));
    let parsed = command
        .try_get_matches()
        .and_then(|matches| Program::from_arg_matches(&matches));
    match parsed {
        Ok(program) => run(driver, program.options),
        Err(error) => {
            let _ = error.print();
            ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
        }
    }
}

/// The same for a program with flags of its own beside [`Options`].
pub fn run(driver: Driver, options: Options) -> ExitCode {
    let name = options.name.clone().unwrap_or(driver.name.to_owned());
    if let Err(why) = beltline_wire::check_name(&name) {
        console::error(&format!("the name `{name}` {why}"), &[]);
        return ExitCode::from(2);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(options.room().saturating_add(16))
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            console::error("no threads to be had", &[("error", &error)]);
            return ExitCode::FAILURE;
        }
    };
    let ended = runtime.block_on(listener::listen(driver, name, options));
    runtime.shutdown_timeout(THREADS_END);
    match ended {
        Ok(0) => ExitCode::SUCCESS,
        Ok(left) => {
            console::error("ended with work in hand", &[("attempts", &left)]);
            ExitCode::FAILURE
        }
        Err(error) => {
            console::error(&error.to_string(), &[]);
            ExitCode::FAILURE
        }
    }
}
