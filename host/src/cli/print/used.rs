//! What attempts have used, for people: two columns of the table at a run's end and a line under it, and a table with a
//! line for each attempt.

use super::{first_line, table};
use crate::text;
use crate::view::{AttemptView, LedgerView, RunView, StepView};

/// What is there for nothing used. Where nobody saw an attempt's end, and so nobody knows, nothing is there.
const NONE: &str = "-";

/// A step's CPU time, all attempts of its round together, and the most memory that one of them held.
pub(super) fn of_step(step: &StepView) -> [String; 2] {
    let attempts = step.attempts.iter().flatten();
    let ledgers = ledgers(attempts.filter(|attempt| attempt.round == step.round));
    let Some(memory_bytes) = ledgers.iter().map(|ledger| ledger.memory_bytes).max() else {
        return Default::default();
    };
    let cpu_ms = ledgers.iter().map(|ledger| ledger.cpu_ms).sum();
    [text::milliseconds(cpu_ms), size(memory_bytes)]
}

/// The rest of the ledger, of all attempts together, in one line; nothing where there was none.
pub(super) fn in_all(view: &RunView) -> Option<String> {
    let steps = view.steps.iter();
    let ledgers = ledgers(steps.flat_map(|step| step.attempts.iter().flatten()));
    let sum = |of: fn(&LedgerView) -> u64| ledgers.iter().map(|ledger| of(ledger)).sum::<u64>();
    let wall_ms = ledgers.iter().map(|ledger| ledger.wall_ms).sum();
    let line = format!(
        "{} in drivers, {} calls of the host, {} denied, read {}, wrote {}, logged {}",
        text::milliseconds(wall_ms),
        sum(|ledger| ledger.host_calls),
        sum(|ledger| ledger.calls_denied),
        text::size(sum(|ledger| ledger.bytes_read)),
        text::size(sum(|ledger| ledger.bytes_written)),
        text::size(sum(|ledger| ledger.log_bytes)),
    );
    (!ledgers.is_empty()).then_some(line)
}

/// Of those attempts whose end was seen.
fn ledgers<'v>(attempts: impl Iterator<Item = &'v AttemptView>) -> Vec<&'v LedgerView> {
    attempts
        .filter_map(|attempt| attempt.ledger.as_ref())
        .collect()
}

/// Every attempt of a run with its ledger, one a line; nothing where there is none.
pub(super) fn attempts(view: &RunView) -> String {
    let all = view.steps.iter().flat_map(|step| {
        let attempts = step.attempts.iter().flatten();
        attempts.map(move |attempt| row(step, attempt))
    });
    let header = [
        "STEP", "ROUND", "ATTEMPT", "TIME", "CPU", "MEMORY", "CALLS", "DENIED", "READ", "WRITTEN",
        "LOG", "END",
    ];
    let mut rows = vec![header.map(str::to_owned)];
    rows.extend(all);
    match rows.len() {
        1 => String::new(),
        _ => table(&rows).join("\n") + "\n",
    }
}

fn row(step: &StepView, attempt: &AttemptView) -> [String; 12] {
    let end = match (&attempt.message, &attempt.failure) {
        (Some(message), _) => first_line(message).into_owned(),
        (None, Some(failure)) => {
            let kind = failure.kind.replace('_', " ");
            format!("{kind}: {}", first_line(&failure.reason))
        }
        (None, None) => "no end recorded".to_owned(),
    };
    let end = text::cut(&end, super::MESSAGE_MAX);
    let end = match attempt.starts {
        0 | 1 => end,
        starts => format!("{end} (started {starts} times)"),
    };
    let time = attempt.elapsed_ms.map(text::duration).unwrap_or_default();
    let ledger = attempt.ledger.as_ref().map(cells).unwrap_or_default();
    let [cpu, memory, calls, denied, read, written, log] = ledger;
    [
        step.id.clone(),
        attempt.round.to_string(),
        attempt.attempt.to_string(),
        time,
        cpu,
        memory,
        calls,
        denied,
        read,
        written,
        log,
        end,
    ]
}

fn cells(ledger: &LedgerView) -> [String; 7] {
    [
        text::milliseconds(ledger.cpu_ms),
        size(ledger.memory_bytes),
        count(ledger.host_calls),
        count(ledger.calls_denied),
        size(ledger.bytes_read),
        size(ledger.bytes_written),
        size(ledger.log_bytes),
    ]
}

fn size(bytes: u64) -> String {
    match bytes {
        0 => NONE.to_owned(),
        _ => text::size(bytes),
    }
}

fn count(count: u64) -> String {
    match count {
        0 => NONE.to_owned(),
        _ => count.to_string(),
    }
}

#[cfg(test)]
mod tests;
