//! What must hold of one state, and of one step from a state to the next, whoever made it.

use beltline_engine::{CANCEL_GRACE_MS, Effect, End, FailureKind, Phase, Run, StepState};

use crate::violation::{Violation, must};

/// Whether all that this step waits for succeeded.
pub(crate) fn succeeded_before(run: &Run, step: usize) -> bool {
    run.plan.steps[step]
        .after
        .iter()
        .all(|after| run.steps[*after as usize].state.is_succeeded())
}

/// A step begins only in a run that goes on, and after all that it waits for.
pub(crate) fn order(before: &Run, next: &Run, step: usize) -> Result<(), Violation> {
    let began = next.steps[step].attempts > before.steps[step].attempts;
    let may = succeeded_before(before, step) && matches!(before.head.phase, Phase::Running { .. });
    must(!began || may, "order", || {
        format!("step {step} began too early")
    })
}

/// The end of a run says what its steps say.
pub(crate) fn ends_well(run: &Run) -> Result<(), Violation> {
    let Phase::Ended { end, .. } = &run.head.phase else {
        return Ok(());
    };
    let all_succeeded = run.steps.iter().all(|step| step.state.is_succeeded());
    let holds = match end {
        End::Succeeded => all_succeeded,
        End::Failed { step, failure } => match &run.steps[*step as usize].state {
            StepState::Failed { failure: own, .. } | StepState::TimedOut { failure: own, .. } => {
                own == failure
            }
            StepState::Pending
            | StepState::Waiting { .. }
            | StepState::Running { .. }
            | StepState::Retrying { .. }
            | StepState::Succeeded { .. }
            | StepState::Skipped { .. }
            | StepState::Cancelled { .. } => false,
        },
        End::Cancelled => true,
        End::TimedOut => !all_succeeded,
    };
    let over = run.steps.iter().all(|step| step.state.is_ended()) && run.wanted().is_empty();
    must(holds && over, "end", || {
        format!("{end:?} with {:?}", run.steps)
    })
}

/// F: every open state has a deadline, none gives more than its allowance, and the earliest is known.
pub(crate) fn deadlines(run: &Run, now_ms: u64) -> Result<(), Violation> {
    let of_run = match run.head.phase {
        Phase::Running { deadline_ms } => (deadline_ms, run.plan.timeout_ms),
        Phase::Cancelling { until_ms } => (until_ms, CANCEL_GRACE_MS),
        Phase::Ended { .. } => {
            return must(run.wanted().is_empty(), "F", || "wants more".to_owned());
        }
    };
    let of_steps = run
        .steps
        .iter()
        .zip(&run.plan.steps)
        .filter_map(|(step, plan)| match &step.state {
            StepState::Waiting { deadline_ms, .. } => Some((*deadline_ms, plan.queue_timeout_ms)),
            StepState::Running { deadline_ms, .. } => Some((*deadline_ms, plan.timeout_ms)),
            StepState::Retrying { at_ms, failure } => {
                let asked_ms = asked_ms(failure.kind);
                Some((*at_ms, plan.retry.max_backoff_ms.max(asked_ms).max(1)))
            }
            StepState::Pending
            | StepState::Succeeded { .. }
            | StepState::Failed { .. }
            | StepState::Skipped { .. }
            | StepState::Cancelled { .. }
            | StepState::TimedOut { .. } => None,
        });
    let all: Vec<(u64, u64)> = of_steps.chain([of_run]).collect();
    for (deadline_ms, allowance_ms) in &all {
        must(*deadline_ms <= now_ms + allowance_ms, "F", || {
            format!(
                "a deadline lies {} ms ahead, {allowance_ms} are allowed",
                deadline_ms - now_ms
            )
        })?;
    }
    let earliest = all.iter().map(|(deadline_ms, _)| *deadline_ms).min();
    let wake = run.wanted().last().copied();
    must(
        wake == earliest.map(|at_ms| Effect::Wake { at_ms }),
        "F",
        || format!("the earliest deadline is {earliest:?}, wanted is {wake:?}"),
    )
}

fn asked_ms(kind: FailureKind) -> u64 {
    if let FailureKind::Retryable { after_ms } = kind {
        after_ms.unwrap_or(0)
    } else {
        0
    }
}

/// F: after a tick nothing is due.
pub(crate) fn enforced(run: &Run, now_ms: u64) -> Result<(), Violation> {
    let due = run
        .wanted()
        .iter()
        .any(|effect| matches!(effect, Effect::Wake { at_ms } if *at_ms <= now_ms));
    must(!due, "F", || {
        format!(
            "a deadline has passed and nothing came of it: {:?}",
            run.steps
        )
    })
}
