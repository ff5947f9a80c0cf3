//! `belt up` as a process, and whoever asks it as another: what a run costs over HTTP.

#![allow(
    clippy::indexing_slicing,
    reason = "of JSON: what is not there is null"
)]

mod alone;
mod full;
mod http;
mod load;
mod syncs;
mod up;
mod waiting;
mod watched;

pub use load::{Done, Load, What, run as run_load};
pub use syncs::Syncs;
pub use up::{Place, Up};

use super::rounds::Effort;
use super::table::Table;
use std::time::Duration;

/// The kind of the resources, and the pipelines that they go through.
const KIND: &str = "app";
const LINE: &str = "line";

pub fn measure(effort: Effort, table: &mut Table) {
    alone::measure(effort, table);
    alone::measure_clients(effort, table);
    full::measure(effort, table);
    waiting::measure(effort, table);
    watched::measure(effort, table);
}

/// Which of these times, in order, as many are below.
pub fn percentile(times: &mut [f64], percent: f64) -> f64 {
    times.sort_by(f64::total_cmp);
    let place = (times.len() as f64 * percent / 100.0) as usize;
    let last = times.len().saturating_sub(1);
    times.get(place.min(last)).copied().unwrap_or_default()
}

pub fn median(mut times: Vec<f64>) -> f64 {
    percentile(&mut times, 50.0)
}

/// Until the next look, or the next time of the clock.
#[allow(clippy::disallowed_methods, reason = "a load has a clock of its own")]
pub fn pause(duration: Duration) {
    if !duration.is_zero() {
        std::thread::sleep(duration);
    }
}
