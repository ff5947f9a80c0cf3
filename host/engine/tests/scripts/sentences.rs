//! Reading a script: its plan, its times and its sentences.

use beltline_engine::{
    Answer, Failure, FailureKind, Input, OnLost, Placement, Plan, PlanStep, Retry,
};

use crate::script::{MADE_MS, Player};

impl Player {
    pub(crate) fn index(&self, name: &str) -> u32 {
        let index = self.run.plan.steps.iter().position(|step| step.id == name);
        index.map_or_else(
            || name.parse().unwrap(),
            |index| u32::try_from(index).unwrap(),
        )
    }

    pub(crate) fn input(&self, sentence: &str) -> Input {
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
}

pub(crate) fn plan_step(plan: &Plan, id: &str, words: &[&str]) -> (PlanStep, Placement) {
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

pub(crate) fn millis(time: &str) -> u64 {
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

pub(crate) fn at(time: &str) -> u64 {
    match time.strip_prefix('-') {
        Some(time) => MADE_MS - millis(time),
        None => MADE_MS + millis(time),
    }
}
