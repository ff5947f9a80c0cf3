//! The plan of a run: its steps, what each waits for, and how long and how often each may try.
//! A plan is fixed for the life of its run. This module never reads a pipeline file.

use std::collections::HashSet;
use std::fmt;

use serde::{Deserialize, Serialize};

/// Most steps in one run. The cost of a transition is proportional to it: a thousand steps are some
/// ten microseconds each, and nobody has written a longer pipeline by hand.
pub const STEPS_MAX: usize = 1_000;
/// Most attempts of a step in one round.
pub const ATTEMPTS_MAX: u32 = 1_000;
/// Longest timeout and backoff, in milliseconds: a year. Longer ones are mistakes in the unit.
pub const TIMEOUT_MS_MAX: u64 = 366 * 24 * 60 * 60 * 1_000;
/// Largest factor of a backoff.
pub const FACTOR_MAX: f64 = 1_000.0;

/// What a run does, unchanged for its life.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Time that a round may take, in milliseconds.
    pub timeout_ms: u64,
    /// The steps, in the order of the pipeline.
    pub steps: Vec<PlanStep>,
}

/// One step of a plan.
#[derive(Clone, Debug, PartialEq)]
pub struct PlanStep {
    /// Its name, unique in the plan.
    pub id: String,
    /// The driver that performs it. Several steps may name the same one.
    pub driver: String,
    /// The steps that it waits for, by index, ascending, each earlier than itself.
    pub after: Vec<u32>,
    /// Time that one attempt may take, in milliseconds.
    pub timeout_ms: u64,
    /// Time that an attempt may wait for its native driver, in milliseconds.
    pub queue_timeout_ms: u64,
    /// How often it is tried in one round, and how long it rests in between.
    pub retry: Retry,
    /// What becomes of an attempt with effects whose end nobody recorded.
    pub on_lost: OnLost,
}

/// How often a step is tried in one round, and how long it rests in between.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub struct Retry {
    /// Attempts in one round, the first included.
    pub max_attempts: u32,
    /// Rest before the second attempt, in milliseconds.
    pub backoff_ms: u64,
    /// By what the rest grows with each further attempt.
    pub factor: f64,
    /// Longest rest, in milliseconds. Only a driver that asks for a longer one gets it.
    pub max_backoff_ms: u64,
}

impl Default for Retry {
    /// One attempt.
    fn default() -> Retry {
        Retry {
            max_attempts: 1,
            backoff_ms: 1_000,
            factor: 2.0,
            max_backoff_ms: 60_000,
        }
    }
}

/// What becomes of a wasm attempt with effects whose end nobody recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnLost {
    /// It starts again under its own number.
    #[default]
    Retry,
    /// It fails for good: what it did to the world is not known, and doing it twice is worse.
    Fail,
}

/// Why a plan cannot be run.
#[derive(Clone, Debug, PartialEq)]
pub enum PlanError {
    /// More steps than [`STEPS_MAX`].
    TooManySteps {
        /// How many there are.
        steps: usize,
    },
    /// Two steps of one id.
    DuplicateStep {
        /// The id.
        id: String,
    },
    /// A step waits for one that is not earlier, or names one twice or out of order.
    Order {
        /// The step.
        id: String,
        /// The index it names.
        after: u32,
    },
    /// A number out of its range.
    Number {
        /// The step; `None` for the run.
        id: Option<String>,
        /// Which number, as the pipeline file has it.
        field: &'static str,
        /// Its value.
        value: f64,
        /// Its least value.
        least: f64,
        /// Its greatest value.
        most: f64,
    },
}

impl Plan {
    /// Says whether this plan can be run: unique ids, each step after earlier ones only, and numbers
    /// within their ranges.
    ///
    /// # Errors
    ///
    /// The first thing found wrong, with its step and value.
    pub fn check(&self) -> Result<(), PlanError> {
        if self.steps.len() > STEPS_MAX {
            return Err(PlanError::TooManySteps {
                steps: self.steps.len(),
            });
        }
        number(
            None,
            "timeout",
            self.timeout_ms as f64,
            1.0,
            TIMEOUT_MS_MAX as f64,
        )?;
        let mut ids = HashSet::new();
        for (index, step) in self.steps.iter().enumerate() {
            if !ids.insert(step.id.as_str()) {
                return Err(PlanError::DuplicateStep {
                    id: step.id.clone(),
                });
            }
            step.check_order(index)?;
            step.check_numbers()?;
        }
        Ok(())
    }

    /// The step of this index.
    pub(crate) fn step(&self, step: u32) -> Option<&PlanStep> {
        self.steps.get(step as usize)
    }
}

impl PlanStep {
    fn check_order(&self, index: usize) -> Result<(), PlanError> {
        let mut before = None;
        for &after in &self.after {
            if after as usize >= index || before.is_some_and(|before| before >= after) {
                return Err(PlanError::Order {
                    id: self.id.clone(),
                    after,
                });
            }
            before = Some(after);
        }
        Ok(())
    }

    fn check_numbers(&self) -> Result<(), PlanError> {
        let id = Some(self.id.as_str());
        let year = TIMEOUT_MS_MAX as f64;
        let retry = &self.retry;
        number(id, "timeout", self.timeout_ms as f64, 1.0, year)?;
        number(id, "queue_timeout", self.queue_timeout_ms as f64, 1.0, year)?;
        number(
            id,
            "max_attempts",
            f64::from(retry.max_attempts),
            1.0,
            f64::from(ATTEMPTS_MAX),
        )?;
        number(id, "backoff", retry.backoff_ms as f64, 0.0, year)?;
        number(id, "factor", retry.factor, 1.0, FACTOR_MAX)?;
        number(
            id,
            "max_backoff",
            retry.max_backoff_ms as f64,
            retry.backoff_ms as f64,
            year,
        )
    }
}

fn number(
    id: Option<&str>,
    field: &'static str,
    value: f64,
    least: f64,
    most: f64,
) -> Result<(), PlanError> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(PlanError::Number {
        id: id.map(str::to_owned),
        field,
        value,
        least,
        most,
    })
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PlanError::TooManySteps { steps } => {
                write!(
                    f,
                    "{steps} steps are more than the {STEPS_MAX} that a run may have"
                )
            }
            PlanError::DuplicateStep { id } => {
                write!(f, "two steps have the id `{id}`; give each its own `id`")
            }
            PlanError::Order { id, after } => {
                write!(
                    f,
                    "step `{id}` waits for step number {after}, which is not earlier"
                )
            }
            PlanError::Number {
                id,
                field,
                value,
                least,
                most,
            } => {
                match id {
                    Some(id) => write!(f, "step `{id}`: ")?,
                    None => write!(f, "the run: ")?,
                }
                write!(f, "`{field}` is {value}, outside {least} to {most}")
            }
        }
    }
}

impl std::error::Error for PlanError {}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        let step = |id: &str, after: Vec<u32>| PlanStep {
            id: id.to_owned(),
            driver: "d".to_owned(),
            after,
            timeout_ms: 1,
            queue_timeout_ms: 1,
            retry: Retry::default(),
            on_lost: OnLost::default(),
        };
        Plan {
            timeout_ms: 1,
            steps: vec![step("a", vec![]), step("b", vec![0])],
        }
    }

    fn refused(change: impl FnOnce(&mut Plan)) -> String {
        let mut plan = plan();
        change(&mut plan);
        plan.check().unwrap_err().to_string()
    }

    #[test]
    fn a_sane_plan_passes() {
        assert_eq!(plan().check(), Ok(()));
        assert_eq!(
            Plan {
                timeout_ms: 1,
                steps: vec![]
            }
            .check(),
            Ok(())
        );
    }

    #[test]
    fn steps_are_few_and_have_their_own_ids() {
        assert_eq!(
            refused(|plan| plan.steps[1].id = "a".to_owned()),
            "two steps have the id `a`; give each its own `id`"
        );
        assert_eq!(
            refused(|plan| plan.steps = vec![plan.steps[0].clone(); 1_001]),
            "1001 steps are more than the 1000 that a run may have"
        );
    }

    #[test]
    fn a_step_waits_for_earlier_ones_only() {
        for after in [vec![1], vec![2], vec![0, 0]] {
            let error = refused(|plan| plan.steps[1].after = after);
            assert!(
                error.starts_with("step `b` waits for step number"),
                "{error}"
            );
        }
    }

    #[test]
    fn numbers_have_ranges() {
        type Change = fn(&mut Plan);
        let cases: [(&str, Change); 10] = [
            ("the run: `timeout` is 0", |plan| plan.timeout_ms = 0),
            ("the run: `timeout` is", |plan| plan.timeout_ms = u64::MAX),
            ("step `a`: `timeout` is 0", |plan| {
                plan.steps[0].timeout_ms = 0
            }),
            ("step `a`: `queue_timeout` is 0", |plan| {
                plan.steps[0].queue_timeout_ms = 0
            }),
            ("step `a`: `max_attempts` is 0", |plan| {
                plan.steps[0].retry.max_attempts = 0
            }),
            ("step `a`: `max_attempts` is", |plan| {
                plan.steps[0].retry.max_attempts = 1_001
            }),
            ("step `a`: `factor` is 0.5", |plan| {
                plan.steps[0].retry.factor = 0.5
            }),
            ("step `a`: `factor` is NaN", |plan| {
                plan.steps[0].retry.factor = f64::NAN
            }),
            ("step `a`: `factor` is inf", |plan| {
                plan.steps[0].retry.factor = f64::INFINITY
            }),
            ("step `a`: `max_backoff` is 1,", |plan| {
                plan.steps[0].retry.max_backoff_ms = 1
            }),
        ];
        for (expected, change) in cases {
            let error = refused(change);
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
