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

use beltline_engine::{
    Answer, AttemptEnd, Effect, Event, Failure, FailureKind, Input, OnLost, Phase, Placement, Plan,
    PlanStep, Retry, Run, RunId, events,
};
use expect_test::Expect;

/// When every run of a script is made: its sentences count from here.
const MADE_MS: u64 = 1_700_000_000_000;
/// The id of every run of a script; jitter depends on it.
pub(crate) const RUN: RunId = RunId(0x0190_d6c8_7f5e_7cc0_98a5_2f3a_5d8a_1b6e);

pub(crate) fn check(script: &str, expected: Expect) {
    let mut player = Player::read(script);
    for line in player.sentences.clone() {
        player.play(&line);
    }
    player.finish();
    expected.assert_eq(&player.transcript);
}

struct Player {
    run: Run,
    placements: Vec<Placement>,
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
            self.fold(
                &Input::Start {
                    step,
                    attempt,
                    placement,
                },
                now_ms,
            );
            if self.run.is_open(step, attempt) {
                self.performing.insert((step, attempt));
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
                beltline_engine::End::Failed { step, failure } => {
                    format!(" at {}, {}: {failure}", since(*at_ms), self.name(*step))
                }
                beltline_engine::End::Succeeded
                | beltline_engine::End::Cancelled
                | beltline_engine::End::TimedOut => format!(" at {}", since(*at_ms)),
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

    fn want(&self, effect: &Effect) -> String {
        match effect {
            Effect::Attempt {
                step,
                attempt,
                started,
                cancel,
            } => {
                let what = match (started, cancel) {
                    (false, _) => " to start",
                    (true, false) => "",
                    (true, true) => " to stop",
                };
                format!("{} {attempt}{what}", self.name(*step))
            }
            Effect::Wake { at_ms } => format!("to wake at {}", since(*at_ms)),
        }
    }

    fn name(&self, step: u32) -> &str {
        &self.run.plan.steps[step as usize].id
    }

    fn index(&self, name: &str) -> u32 {
        let index = self.run.plan.steps.iter().position(|step| step.id == name);
        index.map_or_else(
            || name.parse().unwrap(),
            |index| u32::try_from(index).unwrap(),
        )
    }

    fn input(&self, sentence: &str) -> Input {
        let words: Vec<&str> = sentence.split_whitespace().collect();
        match words.as_slice() {
            ["tick"] => Input::Tick,
            ["cancel"] => Input::Cancel { force: false },
            ["cancel", "by", "force"] => Input::Cancel { force: true },
            ["retry"] => Input::Retry { from: None },
            ["retry", "from", step] => Input::Retry {
                from: Some(self.index(step)),
            },
            ["claim", epoch] => Input::Claim {
                epoch: epoch.parse().unwrap(),
            },
            ["step", step, "attempt", attempt, rest @ ..] => {
                self.of_attempt(self.index(step), attempt.parse().unwrap(), rest)
            }
            other => panic!("no such sentence: {other:?}"),
        }
    }

    fn of_attempt(&self, step: u32, attempt: u32, words: &[&str]) -> Input {
        let answer = |answer| Input::Answer {
            step,
            attempt,
            answer,
        };
        let ok = |output| {
            answer(Answer::Succeeded {
                message: "done".to_owned(),
                output,
            })
        };
        match words {
            ["ok"] => ok(false),
            ["ok", "with", "output"] => ok(true),
            ["delivered"] => Input::Delivered { step, attempt },
            ["starts"] => Input::Start {
                step,
                attempt,
                placement: self.placements[step as usize],
            },
            ["starts", place] => Input::Start {
                step,
                attempt,
                placement: placement(place).unwrap(),
            },
            ["fails", kind @ ..] => answer(Answer::Failed(Failure::new(failure(kind), "no luck"))),
            other => panic!("no such sentence: {other:?}"),
        }
    }

    fn sentence(&self, event: &Event) -> String {
        match event {
            Event::RunStarted { steps } => format!("run started, {steps} steps"),
            Event::RoundStarted { round, steps } => {
                let steps: Vec<&str> = steps.iter().map(|step| self.name(*step)).collect();
                format!("round {round} started: {}", steps.join(", "))
            }
            Event::RunClaimed { epoch } => format!("claimed by epoch {epoch}"),
            Event::RunCancelling { until_ms } => format!("stopping until {}", since(*until_ms)),
            Event::AttemptWaiting {
                step,
                attempt,
                deadline_ms,
            } => {
                let until = since(*deadline_ms);
                format!(
                    "{} {attempt} waits for its driver until {until}",
                    self.name(*step)
                )
            }
            Event::AttemptStarted {
                step,
                attempt,
                start,
                placement,
            } => {
                let place = match placement {
                    Placement::Wasm { effects: false } => "wasm",
                    Placement::Wasm { effects: true } => "effects",
                    Placement::Native => "native",
                };
                format!(
                    "{} {attempt} started, start {start}, {place}",
                    self.name(*step)
                )
            }
            Event::AttemptEnded { step, attempt, end } => {
                let end = match end {
                    AttemptEnd::Succeeded {
                        message,
                        output: false,
                    } => message.clone(),
                    AttemptEnd::Succeeded {
                        message,
                        output: true,
                    } => format!("{message}, output"),
                    AttemptEnd::Failed(failure) => failure.to_string(),
                    AttemptEnd::Cancelled { reason: None } => "cancelled".to_owned(),
                    AttemptEnd::Cancelled {
                        reason: Some(reason),
                    } => format!("cancelled: {reason}"),
                };
                format!("{} {attempt} ended: {end}", self.name(*step))
            }
            Event::RetryScheduled {
                step,
                attempt,
                at_ms,
            } => {
                format!("{} {attempt} is due at {}", self.name(*step), since(*at_ms))
            }
            Event::StepEnded { step, status } => format!("{} {status}", self.name(*step)),
            Event::RunEnded { status, step: None } => format!("run {status}"),
            Event::RunEnded {
                status,
                step: Some(step),
            } => {
                format!("run {status} by {}", self.name(*step))
            }
        }
    }
}

fn plan_step(plan: &Plan, id: &str, words: &[&str]) -> (PlanStep, Placement) {
    let before = u32::try_from(plan.steps.len()).unwrap().checked_sub(1);
    let mut step = PlanStep {
        id: id.to_owned(),
        driver: "driver".to_owned(),
        after: before.into_iter().collect(),
        timeout_ms: 600_000,
        queue_timeout_ms: 3_600_000,
        retry: Retry::default(),
        on_lost: OnLost::Retry,
    };
    let mut place = Placement::Wasm { effects: false };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut value = || *words.next().unwrap();
        match *word {
            "alone" => step.after.clear(),
            "after" => {
                let index = |name| plan.steps.iter().position(|step| step.id == name).unwrap();
                step.after = value().split(',').map(|name| index(name) as u32).collect();
            }
            "timeout" => step.timeout_ms = millis(value()),
            "queue" => step.queue_timeout_ms = millis(value()),
            "attempts" => step.retry.max_attempts = value().parse().unwrap(),
            "backoff" => step.retry.backoff_ms = millis(value()),
            "factor" => step.retry.factor = value().parse().unwrap(),
            "max" => step.retry.max_backoff_ms = millis(value()),
            "on_lost" => step.on_lost = Some(OnLost::Fail).filter(|_| value() == "fail").unwrap(),
            word => place = placement(word).unwrap(),
        }
    }
    (step, place)
}

fn placement(word: &str) -> Option<Placement> {
    match word {
        "wasm" => Some(Placement::Wasm { effects: false }),
        "effects" => Some(Placement::Wasm { effects: true }),
        "native" => Some(Placement::Native),
        _ => None,
    }
}

fn failure(words: &[&str]) -> FailureKind {
    match words {
        ["permanent"] => FailureKind::Permanent,
        ["retryable"] => FailureKind::Retryable { after_ms: None },
        ["retryable", "after", time] => FailureKind::Retryable {
            after_ms: Some(millis(time)),
        },
        ["other"] => FailureKind::Other,
        ["trap"] => FailureKind::Trap,
        ["limit"] => FailureKind::Limit,
        ["cancelled"] => FailureKind::Cancelled,
        other => panic!("no such failure: {other:?}"),
    }
}

fn list(words: &[String]) -> String {
    if words.is_empty() {
        "nothing".to_owned()
    } else {
        words.join(", ")
    }
}

fn millis(time: &str) -> u64 {
    let digits = time.trim_end_matches(char::is_alphabetic);
    let unit = match &time[digits.len()..] {
        "ms" => 1.0,
        "s" => 1_000.0,
        "m" => 60_000.0,
        "h" => 3_600_000.0,
        other => panic!("no such unit: `{other}` of `{time}`"),
    };
    (digits.parse::<f64>().unwrap() * unit).round() as u64
}

fn at(time: &str) -> u64 {
    match time.strip_prefix('-') {
        Some(time) => MADE_MS - millis(time),
        None => MADE_MS + millis(time),
    }
}

fn since(ms: u64) -> String {
    if ms < MADE_MS {
        return format!("-{}s", (MADE_MS - ms) as f64 / 1_000.0);
    }
    format!("{}s", (ms - MADE_MS) as f64 / 1_000.0)
}
