//! What a seed decides beforehand: the plan, where its drivers run, and how they behave.

use beltline_engine::{Answer, Failure, FailureKind, OnLost, Placement, Plan, PlanStep, Retry};

use crate::random::Random;

/// What the world knows about a step and the plan does not say.
#[derive(Clone, Copy)]
pub(crate) struct Character {
    pub(crate) placement: Placement,
    /// Its guest takes the host down, each time.
    pub(crate) kills_its_host: bool,
    /// Before this time its native driver is not there.
    pub(crate) absent_until_ms: u64,
}

/// How an attempt goes: after this time, with this answer or with none.
pub(crate) struct Course {
    pub(crate) takes_ms: u64,
    pub(crate) answer: Option<Answer>,
}

pub(crate) fn plan(random: &mut Random) -> Plan {
    let is_ordered = random.percent(50);
    let count = if random.percent(2) {
        0
    } else {
        random.between(1, 6) as u32
    };
    let steps = (0..count)
        .map(|index| step(random, index, is_ordered))
        .collect();
    Plan {
        timeout_ms: random.magnitude(5_000, 3_600_000),
        steps,
    }
}

fn step(random: &mut Random, index: u32, is_ordered: bool) -> PlanStep {
    let after = if is_ordered {
        index.checked_sub(1).into_iter().collect()
    } else {
        (0..index).filter(|_| random.percent(35)).collect()
    };
    let backoff_ms = random.between(0, 5_000);
    PlanStep {
        id: format!("step-{index}"),
        driver: format!("driver-{}", random.below(3)),
        after,
        timeout_ms: random.magnitude(1_000, 300_000),
        queue_timeout_ms: random.magnitude(1_000, 300_000),
        retry: Retry {
            max_attempts: random.between(1, 4) as u32,
            backoff_ms,
            factor: random.between(10, 30) as f64 / 10.0,
            max_backoff_ms: backoff_ms + random.between(0, 20_000),
        },
        on_lost: if random.percent(40) {
            OnLost::Fail
        } else {
            OnLost::Retry
        },
    }
}

pub(crate) fn character(random: &mut Random) -> Character {
    let placement = match random.below(10) {
        0..=3 => Placement::Wasm { effects: false },
        4..=6 => Placement::Wasm { effects: true },
        _ => Placement::Native,
    };
    Character {
        placement,
        kills_its_host: random.percent(4),
        absent_until_ms: if random.percent(15) {
            random.magnitude(1_000, 600_000)
        } else {
            0
        },
    }
}

/// How this attempt of this step will go. The words name the attempt, so that an answer which is
/// counted for another is recognised.
pub(crate) fn course(random: &mut Random, step: u32, attempt: u32) -> Course {
    let words = format!("{step}.{attempt}");
    let failed = |kind| Some(Answer::Failed(Failure::new(kind, words.clone())));
    let answer = match random.below(100) {
        0..=64 => Some(Answer::Succeeded {
            message: words.clone(),
            output: random.percent(50),
        }),
        65..=79 => {
            let after_ms = random.percent(30).then(|| random.magnitude(1, 100_000));
            failed(FailureKind::Retryable { after_ms })
        }
        80..=83 => failed(FailureKind::Permanent),
        84..=85 => failed(FailureKind::Other),
        86..=87 => failed(FailureKind::Trap),
        88..=89 => failed(FailureKind::Limit),
        90..=91 => failed(FailureKind::Cancelled),
        _ => None,
    };
    Course {
        takes_ms: random.magnitude(1, 200_000),
        answer,
    }
}

/// The step and attempt that an answer was given for.
pub(crate) fn origin(answer: &Answer) -> (u32, u32) {
    let words = match answer {
        Answer::Succeeded { message, .. } => message,
        Answer::Failed(failure) => &failure.reason,
    };
    let (step, attempt) = words.split_once('.').unwrap();
    (step.parse().unwrap(), attempt.parse().unwrap())
}
