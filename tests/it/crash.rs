//! `kill -9` at random moments, and `belt runs resume` after each: every run ends right, no step is lost, none
//! that has finished runs again.
//!
//! A moment is a number of lines on stderr and a number of spins after them. `BELTLINE_KILLS` says how many
//! (default 200), `BELTLINE_SEED` repeats the moments of another time, as far as the machine does.

use crate::belt::{Bench, Said, guest};
use crate::crash_checks::{Effects, Finished, ends_right};
use crate::live::Live;
use serde_json::Value;
use std::env;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::thread;

/// Two of these steps have an effect, the others have none; two fail at first; each reads all before it. An
/// attempt that was lost is tried again, so every run succeeds in the end.
pub const STEPS: [&str; 5] = [
    "{id: a, driver: effect, retry: {max_attempts: 9, backoff: 1ms}}",
    "{id: b, driver: pure, retry: {max_attempts: 9, backoff: 1ms}}",
    "{id: c, driver: pure, with: {flaky: true}, retry: {max_attempts: 9, backoff: 1ms}}",
    "{id: d, driver: effect, with: {flaky: true}, retry: {max_attempts: 9, backoff: 1ms}}",
    "{id: e, driver: pure, retry: {max_attempts: 9, backoff: 1ms}}",
];

/// Lines that an unharmed run says, and one more: then it has ended.
const LINES_MAX: u64 = 13;
/// Spins as a power of two, from nothing to longer than a process takes to its first line, or from line to line.
const SPINS_LOG2_MAX_AT_FIRST: u64 = 17;
const SPINS_LOG2_MAX: u64 = 12;
/// Kills after which a state folder gets no more runs: its making is worth being cut off, too.
const KILLS_PER_STATE: u32 = 10;
/// From so many on, chance leaves no sort of moment out.
const KILLS_FOR_ALL_MOMENTS: u32 = 100;
const WORKERS: u64 = 2;

#[test]
fn every_run_ends_right_however_often_the_host_is_killed() {
    let kills: u32 = env::var("BELTLINE_KILLS").map_or(200, |kills| kills.parse().unwrap());
    let seed = env::var("BELTLINE_SEED").map_or_else(|_| any_seed(), |seed| seed.parse().unwrap());
    println!("BELTLINE_SEED={seed} BELTLINE_KILLS={kills}");
    let moments = thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS)
            .map(|worker| scope.spawn(move || worked(seed ^ worker, kills / WORKERS as u32)))
            .collect();
        let moments = workers.into_iter().map(|worker| worker.join().unwrap());
        moments.reduce(Moments::and).unwrap()
    });
    println!("{moments:?}");
    if kills >= KILLS_FOR_ALL_MOMENTS {
        let Moments {
            before,
            during,
            after,
            resumes,
        } = moments;
        assert!(
            before > 0 && during > 0 && after > 0 && resumes > 0,
            "{moments:?}"
        );
    }
}

/// Where the kills fell.
#[derive(Debug, Clone, Copy, Default)]
struct Moments {
    /// Before the run was there.
    before: u32,
    /// While it was going on.
    during: u32,
    /// After it had ended.
    after: u32,
    /// While it was being resumed after another kill.
    resumes: u32,
}

impl Moments {
    fn and(self, other: Moments) -> Moments {
        Moments {
            before: self.before + other.before,
            during: self.during + other.during,
            after: self.after + other.after,
            resumes: self.resumes + other.resumes,
        }
    }
}

fn worked(seed: u64, kills: u32) -> Moments {
    let mut random = Random(seed);
    let mut moments = Moments::default();
    let mut left = kills;
    while left > 0 {
        let now = left.min(KILLS_PER_STATE);
        left -= now;
        let mut victim = Victim::new();
        for _ in 0..now {
            victim.strike(&mut random, &mut moments);
        }
        victim.look_back();
    }
    moments
}

/// A state folder and the runs that are known to be in it.
struct Victim {
    bench: Bench,
    runs: Vec<String>,
}

impl Victim {
    fn new() -> Self {
        let bench = Bench::with_steps(&[], &STEPS);
        let relay = guest("relay").display().to_string();
        let config = format!(
            "drivers:\n  effect: {{path: {relay}, grants: {{workspace: rw}}}}\n  pure: {{path: {relay}}}\n"
        );
        bench.write("belt.yaml", config);
        bench.write("work/effects", "");
        Victim {
            bench,
            runs: Vec::new(),
        }
    }

    /// Kills a run, perhaps its resumption, too, and sees it end right.
    fn strike(&mut self, random: &mut Random, moments: &mut Moments) {
        let mut finished = Finished::default();
        let said = random.kill(Live::run(&self.bench, &[]));
        finished.note(&said, &self.effects());
        if !said.stdout.is_empty() {
            moments.after += 1;
        }
        while random.below(3) == 0 {
            let said = random.kill(Live::runs(&self.bench, "resume", &[]));
            finished.note(&said, &self.effects());
            moments.resumes += u32::from(said.code < 0);
        }
        let resumed = self
            .bench
            .belt(&["runs", "resume", "--state", "state", "-o", "json"]);
        match self.new_run(&resumed) {
            None => {
                assert_eq!(
                    finished,
                    Finished::default(),
                    "a run that was shown is gone"
                );
                moments.before += 1;
            }
            Some(run) => {
                moments.during += u32::from(!resumed.stderr.contains("has ended already"));
                ends_right(&run, &self.effects());
                finished.held(&run, &self.effects());
                self.runs.push(run["run"].as_str().unwrap().to_owned());
            }
        }
    }

    /// The run that was struck; `None` where it was not there yet.
    fn new_run(&self, resumed: &Said) -> Option<Value> {
        if resumed.code == 2 && self.runs.is_empty() {
            let none = ["there are no runs yet", "there is no state folder `state`"];
            assert!(
                none.iter().any(|none| resumed.stderr.contains(none)),
                "{resumed:?}"
            );
            return None;
        }
        assert_eq!(resumed.code, 0, "{resumed:?}");
        let run = resumed.json();
        (run["run"].as_str() != self.runs.last().map(String::as_str)).then_some(run)
    }

    /// How often each key had its effect.
    fn effects(&self) -> Effects {
        let mut effects = Effects::new();
        for key in self.bench.read("work/effects").lines() {
            *effects.entry(key.to_owned()).or_default() += 1;
        }
        effects
    }

    /// All runs are there, each as it ended, and no effect is of a run that is not.
    fn look_back(&self) {
        if self.runs.is_empty() {
            return;
        }
        let args = [
            "runs", "list", "--state", "state", "--limit", "1000", "-o", "json",
        ];
        let said = self.bench.belt(&args);
        assert_eq!((said.code, said.stderr.as_str()), (0, ""));
        let listed = said.json();
        let listed = listed.as_array().unwrap();
        assert!(
            listed.iter().all(|run| run["status"] == "succeeded"),
            "{listed:?}"
        );
        let mut ids: Vec<_> = listed
            .iter()
            .map(|run| run["run"].as_str().unwrap())
            .collect();
        ids.reverse();
        assert_eq!(ids, self.runs);
        for key in self.effects().keys() {
            assert!(
                ids.contains(&key.split('/').next().unwrap()),
                "{key} of no run"
            );
        }
    }
}

fn any_seed() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// Kills it after some lines and some spins more.
    fn kill(&mut self, mut live: Live) -> Said {
        let lines = self.below(LINES_MAX + 1);
        for _ in 0..lines {
            if live.line().is_none() {
                break;
            }
        }
        let log2_max = if lines == 0 {
            SPINS_LOG2_MAX_AT_FIRST
        } else {
            SPINS_LOG2_MAX
        };
        let spins_max = 1 << self.below(log2_max + 1);
        for _ in 0..self.below(spins_max) {
            thread::yield_now();
        }
        live.kill()
    }
}
