//! A run's head and its steps, as stored.

use beltline_engine::{End, Failure, Head, Phase, Placement, Step, StepState};
use serde::{Deserialize, Serialize};

/// What concerns the run as a whole and changes. See [`Head`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HeadRecord {
    revision: u64,
    epoch: u64,
    round: u32,
    updated: u64,
    #[serde(flatten)]
    phase: PhaseRecord,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "snake_case")]
enum PhaseRecord {
    Running { deadline: u64 },
    Cancelling { until: u64 },
    Ended { at: u64, end: EndRecord },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum EndRecord {
    Succeeded,
    Failed { step: u32, failure: Failure },
    Cancelled,
    TimedOut,
}

/// One step. See [`Step`]. What is mostly 1 is written where it is not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    #[serde(default = "one", skip_serializing_if = "is_one")]
    round: u32,
    attempts: u32,
    #[serde(default = "one", skip_serializing_if = "is_one")]
    first_attempt: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    first_started: Option<u64>,
    #[serde(flatten)]
    state: StateRecord,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
enum StateRecord {
    Pending,
    Waiting {
        attempt: u32,
        since: u64,
        deadline: u64,
    },
    Running {
        attempt: u32,
        #[serde(default = "one", skip_serializing_if = "is_one")]
        starts: u32,
        started: u64,
        deadline: u64,
        placement: Placement,
    },
    Retrying {
        at: u64,
        failure: Failure,
    },
    Succeeded {
        at: u64,
        message: String,
        output: bool,
    },
    Failed {
        at: u64,
        failure: Failure,
    },
    Skipped {
        at: u64,
    },
    Cancelled {
        at: u64,
        reason: Option<String>,
    },
    TimedOut {
        at: u64,
        failure: Failure,
    },
}

fn one() -> u32 {
    1
}

fn is_one(number: &u32) -> bool {
    *number == 1
}

impl From<&Head> for HeadRecord {
    fn from(head: &Head) -> Self {
        let phase = match head.phase.clone() {
            Phase::Running {
                deadline_ms: deadline,
            } => PhaseRecord::Running { deadline },
            Phase::Cancelling { until_ms: until } => PhaseRecord::Cancelling { until },
            Phase::Ended { at_ms: at, end } => PhaseRecord::Ended {
                at,
                end: end.into(),
            },
        };
        HeadRecord {
            revision: head.revision,
            epoch: head.epoch,
            round: head.round,
            updated: head.updated_ms,
            phase,
        }
    }
}

impl HeadRecord {
    /// The head of a run that was made at `created_ms`.
    pub fn head(self, created_ms: u64) -> Head {
        let phase = match self.phase {
            PhaseRecord::Running {
                deadline: deadline_ms,
            } => Phase::Running { deadline_ms },
            PhaseRecord::Cancelling { until: until_ms } => Phase::Cancelling { until_ms },
            PhaseRecord::Ended { at: at_ms, end } => Phase::Ended {
                at_ms,
                end: end.into(),
            },
        };
        Head {
            revision: self.revision,
            epoch: self.epoch,
            round: self.round,
            created_ms,
            updated_ms: self.updated,
            phase,
        }
    }
}

impl From<End> for EndRecord {
    fn from(end: End) -> Self {
        match end {
            End::Succeeded => EndRecord::Succeeded,
            End::Failed { step, failure } => EndRecord::Failed { step, failure },
            End::Cancelled => EndRecord::Cancelled,
            End::TimedOut => EndRecord::TimedOut,
        }
    }
}

impl From<EndRecord> for End {
    fn from(record: EndRecord) -> Self {
        match record {
            EndRecord::Succeeded => End::Succeeded,
            EndRecord::Failed { step, failure } => End::Failed { step, failure },
            EndRecord::Cancelled => End::Cancelled,
            EndRecord::TimedOut => End::TimedOut,
        }
    }
}

impl From<&Step> for StepRecord {
    fn from(step: &Step) -> Self {
        StepRecord {
            round: step.round,
            attempts: step.attempts,
            first_attempt: step.first_attempt,
            first_started: step.first_started_ms,
            state: step.state.clone().into(),
        }
    }
}

impl From<StepRecord> for Step {
    fn from(record: StepRecord) -> Self {
        Step {
            round: record.round,
            attempts: record.attempts,
            first_attempt: record.first_attempt,
            first_started_ms: record.first_started,
            state: record.state.into(),
        }
    }
}

impl From<StepState> for StateRecord {
    fn from(state: StepState) -> Self {
        match state {
            StepState::Pending => StateRecord::Pending,
            StepState::Waiting {
                attempt,
                since_ms: since,
                deadline_ms: deadline,
            } => StateRecord::Waiting {
                attempt,
                since,
                deadline,
            },
            StepState::Running {
                attempt,
                starts,
                started_ms: started,
                deadline_ms: deadline,
                placement,
            } => StateRecord::Running {
                attempt,
                starts,
                started,
                deadline,
                placement,
            },
            StepState::Retrying { at_ms: at, failure } => StateRecord::Retrying { at, failure },
            StepState::Succeeded {
                at_ms: at,
                message,
                output,
            } => StateRecord::Succeeded {
                at,
                message,
                output,
            },
            StepState::Failed { at_ms: at, failure } => StateRecord::Failed { at, failure },
            StepState::Skipped { at_ms: at } => StateRecord::Skipped { at },
            StepState::Cancelled { at_ms: at, reason } => StateRecord::Cancelled { at, reason },
            StepState::TimedOut { at_ms: at, failure } => StateRecord::TimedOut { at, failure },
        }
    }
}

impl From<StateRecord> for StepState {
    fn from(record: StateRecord) -> Self {
        match record {
            StateRecord::Pending => StepState::Pending,
            StateRecord::Waiting {
                attempt,
                since: since_ms,
                deadline: deadline_ms,
            } => StepState::Waiting {
                attempt,
                since_ms,
                deadline_ms,
            },
            StateRecord::Running {
                attempt,
                starts,
                started: started_ms,
                deadline: deadline_ms,
                placement,
            } => StepState::Running {
                attempt,
                starts,
                started_ms,
                deadline_ms,
                placement,
            },
            StateRecord::Retrying { at: at_ms, failure } => StepState::Retrying { at_ms, failure },
            StateRecord::Succeeded {
                at: at_ms,
                message,
                output,
            } => StepState::Succeeded {
                at_ms,
                message,
                output,
            },
            StateRecord::Failed { at: at_ms, failure } => StepState::Failed { at_ms, failure },
            StateRecord::Skipped { at: at_ms } => StepState::Skipped { at_ms },
            StateRecord::Cancelled { at: at_ms, reason } => StepState::Cancelled { at_ms, reason },
            StateRecord::TimedOut { at: at_ms, failure } => StepState::TimedOut { at_ms, failure },
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::{decode, encode};
    use super::*;
    use beltline_engine::FailureKind;
    use expect_test::{Expect, expect};

    fn check_step(state: StepState, expected: &Expect) {
        let step = Step {
            round: 1,
            attempts: 2,
            first_attempt: 1,
            first_started_ms: Some(5),
            state,
        };
        let bytes = encode(StepRecord::from(&step));
        expected.assert_eq(std::str::from_utf8(&bytes).unwrap());
        assert_eq!(
            Step::from(decode::<StepRecord>("step", &bytes).unwrap()),
            step
        );
    }

    /// Records already on people's disks: a text here changes only with the record version.
    #[test]
    fn steps_are_stored_so_and_read_back() {
        let failure = Failure::new(FailureKind::Retryable { after_ms: Some(9) }, "busy");
        let cases = [
            (
                StepState::Running {
                    attempt: 2,
                    starts: 1,
                    started_ms: 5,
                    deadline_ms: 9,
                    placement: Placement::Wasm { effects: true },
                },
                expect![[
                    r#"{"v":1,"attempts":2,"first_started":5,"state":"running","attempt":2,"started":5,"deadline":9,"placement":"wasm_with_effects"}"#
                ]],
            ),
            (
                StepState::Retrying {
                    at_ms: 7,
                    failure: failure.clone(),
                },
                expect![[
                    r#"{"v":1,"attempts":2,"first_started":5,"state":"retrying","at":7,"failure":{"kind":{"retryable":{"after_ms":9}},"reason":"busy"}}"#
                ]],
            ),
            (
                StepState::Succeeded {
                    at_ms: 7,
                    message: "ok".into(),
                    output: true,
                },
                expect![[
                    r#"{"v":1,"attempts":2,"first_started":5,"state":"succeeded","at":7,"message":"ok","output":true}"#
                ]],
            ),
        ];
        for (state, expected) in cases {
            check_step(state, &expected);
        }
        let others = [
            StepState::Pending,
            StepState::Waiting {
                attempt: 2,
                since_ms: 1,
                deadline_ms: 2,
            },
            StepState::Failed {
                at_ms: 1,
                failure: failure.clone(),
            },
            StepState::Skipped { at_ms: 1 },
            StepState::Cancelled {
                at_ms: 1,
                reason: Some("asked".into()),
            },
            StepState::TimedOut { at_ms: 1, failure },
        ];
        for state in others {
            let record = StateRecord::from(state.clone());
            assert_eq!(StepState::from(record), state);
        }
    }

    #[test]
    fn a_head_is_stored_so_and_read_back() {
        let ends = [
            (
                End::Succeeded,
                expect![[
                    r#"{"v":1,"revision":3,"epoch":1,"round":2,"updated":4,"phase":"ended","at":4,"end":"succeeded"}"#
                ]],
            ),
            (
                End::Failed {
                    step: 1,
                    failure: Failure::new(FailureKind::Trap, "boom"),
                },
                expect![[
                    r#"{"v":1,"revision":3,"epoch":1,"round":2,"updated":4,"phase":"ended","at":4,"end":{"failed":{"step":1,"failure":{"kind":"trap","reason":"boom"}}}}"#
                ]],
            ),
        ];
        for (end, expected) in ends {
            let phase = Phase::Ended { at_ms: 4, end };
            let head = Head {
                revision: 3,
                epoch: 1,
                round: 2,
                created_ms: 1,
                updated_ms: 4,
                phase,
            };
            let bytes = encode(HeadRecord::from(&head));
            expected.assert_eq(std::str::from_utf8(&bytes).unwrap());
            assert_eq!(decode::<HeadRecord>("head", &bytes).unwrap().head(1), head);
        }
    }

    #[test]
    fn a_record_of_another_version_is_refused_by_name() {
        let error = decode::<StepRecord>("step/1", br#"{"v":2,"anything":1}"#).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the record `step/1` is of version 2; this host reads version 1"
        );
        let error = decode::<StepRecord>("step/1", br#"{"v":1}"#).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("the record `step/1` cannot be read: missing field")
        );
    }
}
