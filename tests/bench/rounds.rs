//! Measuring in turns.

use beltline::clock;
use std::time::Duration;

/// How much is measured.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    Quick,
    Whole,
}

impl Effort {
    /// Rounds of a comparison.
    pub fn rounds(self) -> usize {
        match self {
            Effort::Quick => 5,
            Effort::Whole => 11,
        }
    }

    /// A number of turns, less of them in a hurry.
    pub fn turns(self, whole: u32) -> u32 {
        match self {
            Effort::Quick => (whole / 5).max(1),
            Effort::Whole => whole,
        }
    }
}

/// One side of a comparison: does its work and says how long that took.
pub type Side<'a> = Box<dyn FnMut() -> Duration + 'a>;

/// A side that is timed as a whole.
pub fn timed<'a, T>(mut work: impl FnMut() -> T + 'a) -> Side<'a> {
    Box::new(move || {
        let before = clock::monotonic();
        std::hint::black_box(work());
        clock::monotonic().saturating_sub(before)
    })
}

/// The medians of all sides, in microseconds, measured in turns after a round that does not count.
pub fn medians<const N: usize>(effort: Effort, mut sides: [Side<'_>; N]) -> [f64; N] {
    let mut all: [Vec<f64>; N] = std::array::from_fn(|_| Vec::new());
    for round in 0..=effort.rounds() {
        for (side, times) in sides.iter_mut().zip(&mut all) {
            let time = side().as_secs_f64() * 1e6;
            if round > 0 {
                times.push(time);
            }
        }
    }
    all.map(|mut times| {
        times.sort_by(f64::total_cmp);
        times.get(times.len() / 2).copied().unwrap_or_default()
    })
}
