//! Plays a script to a run and writes down what happens.
//!
//! The first lines are the plan. Steps run in order unless they say otherwise:
//!
//! ```text
//! run timeout 1h
//! step NAME [wasm|effects|native] [alone | after A,B] [timeout 10m] [queue 1h]
//!           [attempts 3] [backoff 1s] [factor 2] [max 1m] [on_lost fail]
//! ```
//!
//! Then come sentences, each with its time since the run was made:
//!
//! ```text
//! T tick
//! T step NAME attempt N ok | ok with output | delivered | starts [wasm|effects|native]
//! T step NAME attempt N fails permanent | retryable [after 30s] | other | trap | limit | cancelled
//! T crash                  the host dies and is back at once
//! T cancel [by force]
//! T retry [from NAME]
//! T claim EPOCH
//! ```
//!
//! After each sentence the player does the shell's part: it starts what the run wants and it is not
//! performing, and ticks where a deadline has passed. `hold` as the first line stops it from doing so.
//! The transcript has the events of each sentence, and at its end the run's state and what it wants.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::sync::Arc;

use beltline_engine::{Effect, End, Input, Phase, Placement, Plan, Run, RunId, events};
use expect_test::Expect;

use crate::sentences::{at, millis, plan_step};
use crate::transcript::{list, since};

/// When every run of a script is made: its sentences count from here.
pub(crate) const MADE_MS: u64 = 1_700_000_000_000;
/// The id of every run of a script; jitter depends on it.
const RUN: RunId = RunId(0x0190_d6c8_7f5e_7cc0_98a5_2f3a_5d8a_1b6e);

pub(crate) fn check(script: &str, expected: Expect) {
    let mut player = Player::read(script);
    for line in player.sentences.clone() {
        player.play(&line);
    }
    player.finish();
    expected.assert_eq(&player.transcript);
}

pub(crate) struct Player {
    pub(crate) run: Run,
    pub(crate) placements: Vec<Placement>,
    sentences: Vec<String>,
    hold: bool,
    /// Attempts that the host performs, by step and attempt. They die with it.
    performing: HashSet<(u32, u32)>,
    transcript: String,
}

impl Player {
    fn read(script: &str) -> Player {
        let mut plan = Plan {
            timeout_ms: 3_600_000,
            steps: vec![],
        };
        let (mut placements, mut sentences, mut hold) = (vec![], vec![], false);
        for line in script
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
        {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words.as_slice() {
                ["hold"] => hold = true,
                ["run", "timeout", time] => plan.timeout_ms = millis(time),
                ["step", id, rest @ ..] => {
                    let (step, placement) = plan_step(&plan, id, rest);
                    plan.steps.push(step);
                    placements.push(placement);
                }
                _ => sentences.push(line.to_owned()),
            }
        }
        plan.check().unwrap();
        let run = Run::new(RUN, Arc::new(plan), 1, MADE_MS);
        let mut player = Player {
            placements,
            sentences,
            hold,
            performing: HashSet::new(),
            transcript: "0s\n".to_owned(),
            run,
        };
        player.tell(None);
        player.perform(MADE_MS);
        player
    }

    fn play(&mut self, line: &str) {
        writeln!(self.transcript, "{line}").unwrap();
        let (time, sentence) = line.split_once(' ').unwrap();
        let now_ms = at(time);
        if sentence == "crash" {
            self.performing.clear();
        } else {
            let input = self.input(sentence);
            let refusal = self.run.refuses(&input);
            if !self.fold(&input, now_ms) {
                match &refusal {
                    Some(refusal) => writeln!(self.transcript, "    refused: {refusal}").unwrap(),
                    None => self.transcript.push_str("    nothing changes\n"),
                }
            }
        }
        self.perform(now_ms);
    }

    /// The shell's part: starts what is wanted and not performed, looks at the clock, and forgets what
    /// is no longer wanted.
    fn perform(&mut self, now_ms: u64) {
        if self.hold {
            return;
        }
        while let Some((step, attempt)) = self.unperformed() {
            let placement = self.placements[step as usize];
            let changed = self.fold(
                &Input::Start {
                    step,
                    attempt,
                    placement,
                },
                now_ms,
            );
            if self.run.is_open(step, attempt) {
                self.performing.insert((step, attempt));
            } else {
                assert!(changed, "the start of what is wanted changes something");
            }
        }
        let due = |effect: &Effect| matches!(effect, Effect::Wake { at_ms } if *at_ms <= now_ms);
        if self.run.wanted().iter().any(due) {
            self.transcript.push_str("  then tick\n");
            self.fold(&Input::Tick, now_ms);
            self.perform(now_ms);
        }
        let run = &self.run;
        self.performing
            .retain(|(step, attempt)| run.is_open(*step, *attempt));
    }

    fn unperformed(&self) -> Option<(u32, u32)> {
        self.run
            .wanted()
            .into_iter()
            .find_map(|effect| match effect {
                Effect::Attempt { step, attempt, .. } => {
                    Some((step, attempt)).filter(|attempt| !self.performing.contains(attempt))
                }
                Effect::Wake { .. } => None,
            })
    }

    /// Folds an input, checks what must hold for every fold, and tells what happened.
    fn fold(&mut self, input: &Input, now_ms: u64) -> bool {
        let Some(next) = self.run.on(input, now_ms) else {
            return false;
        };
        assert_eq!(next.head.revision, self.run.head.revision + 1);
        assert!(next.head.updated_ms >= self.run.head.updated_ms);
        for (old, new) in self.run.steps.iter().zip(&next.steps) {
            assert_eq!(
                Arc::ptr_eq(old, new),
                old == new,
                "a step that stays is the same `Arc`"
            );
        }
        if *input == Input::Tick {
            assert_eq!(
                next.on(input, now_ms),
                None,
                "a second look changes nothing"
            );
            match next.wanted().last() {
                Some(Effect::Wake { at_ms }) => assert!(*at_ms > now_ms && !next.is_ended()),
                Some(Effect::Attempt { .. }) | None => assert!(next.is_ended()),
            }
        }
        let before = std::mem::replace(&mut self.run, next);
        self.tell(Some(&before));
        true
    }

    fn tell(&mut self, before: Option<&Run>) {
        let told = events(before, &self.run);
        if told.is_empty() {
            self.transcript.push_str("    (changed)\n");
        }
        for event in told {
            let sentence = self.sentence(&event);
            writeln!(self.transcript, "    {sentence}").unwrap();
        }
    }

    fn finish(&mut self) {
        let run = &self.run;
        let states: Vec<String> = (0u32..)
            .zip(&run.plan.steps)
            .map(|(index, step)| format!("{} {}", step.id, run.step_status(index).unwrap()))
            .collect();
        let phase = match &run.head.phase {
            Phase::Running { .. } => String::new(),
            Phase::Cancelling { .. } => " (stopping)".to_owned(),
            Phase::Ended { at_ms, end } => match end {
                End::Failed { step, failure } => {
                    format!(" at {}, {}: {failure}", since(*at_ms), self.name(*step))
                }
                End::Succeeded | End::Cancelled | End::TimedOut => format!(" at {}", since(*at_ms)),
            },
        };
        let wants: Vec<String> = run
            .wanted()
            .iter()
            .map(|effect| self.want(effect))
            .collect();
        let line = format!("run {}{phase}: {}", run.status(), list(&states));
        writeln!(self.transcript, "{line}\nwants {}", list(&wants)).unwrap();
    }
}
