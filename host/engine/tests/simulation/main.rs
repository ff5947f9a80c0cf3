//! A world in miniature for the run machine, driven by a seed: hosts that crash at any instruction, a
//! store that loses what was not synced, clocks that jump across restarts, a stream that loses, repeats,
//! delays and reorders answers, guests that hang or take their host down, a second host that takes the
//! run over, and a person who cancels and retries. The host follows the real shell's protocol: load,
//! fold, save with compare-and-swap, sync before an effect, sync before an acknowledgement.
//!
//! Checked are the invariants of the design: A (nothing acknowledged is lost), B (one outcome per step
//! and round), C (no effect on what could still be lost), D (one owner moves a run), F (every open state
//! has a deadline, and every run ends), H (one key per step and round).
//!
//! A seed that fails is printed with its last events. To play it again:
//!
//! ```text
//! BELTLINE_SEED=17 cargo test -p beltline-engine --test simulation every_seed -- --nocapture
//! ```
//!
//! `BELTLINE_SEEDS` sets how many are played.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

// In reading order: the world and who acts in it, then who watches it, then where chance comes from.
mod world;

mod host;
mod outside;
mod store;

mod counts;
mod ledger;
mod states;
mod violation;

mod random;
mod scenario;

use std::time::Instant;

use counts::Counts;
use violation::Violation;
use world::{Sabotage, World};

/// How many seeds are played unless `BELTLINE_SEEDS` says otherwise.
const SEEDS: u64 = 50_000;

/// Seeds that once found something, and what.
const KNOWN: [u64; 1] = [
    3, // a start in a run whose timeout had passed left the attempt open and unstarted
];

/// How much of the end of a failing world is printed.
const TOLD: usize = 80;

#[test]
fn every_seed_holds_every_invariant() {
    if let Some(seed) = number("BELTLINE_SEED") {
        println!("{}", World::told(seed, None, usize::MAX));
        if let Err(violation) = World::play(seed, None) {
            panic!("seed {seed}: {violation}");
        }
        return;
    }
    let seeds = number("BELTLINE_SEEDS").unwrap_or(SEEDS);
    #[expect(
        clippy::disallowed_methods,
        reason = "how long the test took, which no world sees"
    )]
    let began = Instant::now();
    let counts = play_all(seeds);
    println!("{seeds} seeds in {:.1?}: {counts:#?}", began.elapsed());
    counts.assert_everything_happened();
}

#[test]
fn known_seeds_hold() {
    for seed in KNOWN {
        play(seed);
    }
}

#[test]
fn the_same_seed_is_the_same_world() {
    for seed in 0..50 {
        assert_eq!(
            World::told(seed, None, usize::MAX),
            World::told(seed, None, usize::MAX)
        );
    }
}

#[test]
fn acknowledging_before_the_sync_is_found() {
    found(Sabotage::AcknowledgesBeforeSync, "A");
}

#[test]
fn answers_without_their_attempt_are_found() {
    found(Sabotage::ForgetsTheAttempt, "B");
}

#[test]
fn effects_before_the_barrier_are_found() {
    found(Sabotage::SkipsTheBarrier, "C");
}

#[test]
fn saving_without_comparing_is_found() {
    found(Sabotage::SavesWithoutComparing, "D");
}

#[test]
fn a_host_that_does_not_wake_is_found() {
    found(Sabotage::NeverWakes, "F");
}

#[test]
fn keys_that_differ_between_attempts_are_found() {
    found(Sabotage::KeysAttempts, "H");
}

/// A shell that breaks the protocol in this way is caught by this invariant, and soon.
fn found(sabotage: Sabotage, invariant: &str) {
    let caught = (0..1_000).find_map(|seed| World::play(seed, Some(sabotage)).err());
    let violation = caught.expect("nothing was found in 1000 seeds");
    assert_eq!(violation.invariant, invariant, "{violation}");
}

fn play(seed: u64) -> Counts {
    World::play(seed, None).unwrap_or_else(|violation| fail(seed, &violation))
}

fn fail(seed: u64, violation: &Violation) -> ! {
    println!("{}", World::told(seed, None, TOLD));
    panic!(
        "seed {seed}: {violation}\nplay it again: BELTLINE_SEED={seed} cargo test -p beltline-engine \
         --test simulation every_seed -- --nocapture"
    );
}

/// Plays the seeds from 0 on all processors.
fn play_all(seeds: u64) -> Counts {
    let threads = std::thread::available_parallelism().map_or(1, |count| count.get() as u64);
    std::thread::scope(|scope| {
        let share = |first: u64| {
            (first..seeds)
                .step_by(threads as usize)
                .map(play)
                .sum::<Counts>()
        };
        let workers: Vec<_> = (0..threads)
            .map(|first| scope.spawn(move || share(first)))
            .collect();
        let total = workers.into_iter().map(|worker| match worker.join() {
            Ok(counts) => counts,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        total.sum()
    })
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{variable} is `{text}`, not a number")),
    )
}
