use super::*;
use crate::bridge::outs::Sent;
use crate::bridge::token::pack;
use crate::digest::Digest;
use crate::documents::{NativeDriver, Wire};
use serde_json::{Value, json};

const RUN: RunId = RunId(7);

fn tokens() -> Tokens {
    Tokens::new(Digest::of(b"key"))
}

fn out(step: u32, driver: &str, attempt: u32, token: Token) -> Out {
    Out {
        step,
        step_id: format!("s{step}").into(),
        attempt,
        driver: driver.into(),
        entry: Arc::new(NativeDriver {
            wire: Wire::Default,
            token,
            kinds: Vec::new(),
            config: serde_json::Map::new(),
        }),
        kind: "app".into(),
        sent: Some(Sent {
            sequence: 1,
            stream_ms: 0,
            consumer_ms: 0,
            at_ms: 0,
            is_shared: false,
        }),
        answers_before: 10,
        until_ms: 0,
        is_stopping: false,
        trouble: None,
        is_taken: false,
        is_answered: false,
    }
}

fn answer(driver: &str, more: Value) -> DriverResult {
    let mut result =
        json!({"run_id": RUN.to_string(), "driverresult": {"success": true, "driver": driver}});
    let more = more.as_object().unwrap().clone();
    result.as_object_mut().unwrap().extend(more);
    serde_json::from_value(result).unwrap()
}

/// `<step>/<attempt> fenced`, or why not.
fn chosen(outs: &[Out], result: &DriverResult, sequence: u64) -> String {
    match choose(&tokens(), RUN, outs, result, sequence) {
        Ok((out, fenced)) => format!("{}/{} fenced {fenced}", out.step_id, out.attempt),
        Err(why) => why,
    }
}

#[test]
fn an_answer_is_to_the_attempt_whose_token_it_has() {
    let outs = [
        out(0, "a", 1, Token::Optional),
        out(1, "a", 4, Token::Required),
    ];
    let token = tokens().of(RUN, 1, 4);
    let own = json!({"step_id": "s1", "attempt": 4, "token": token});
    assert_eq!(chosen(&outs, &answer("a", own), 11), "s1/4 fenced true");
    let echoed = json!({"resource": {"metadata": {"beltline": pack("s1", 4, &token)}}});
    assert_eq!(chosen(&outs, &answer("a", echoed), 11), "s1/4 fenced true");

    let forged = json!({"step_id": "s1", "attempt": 4, "token": tokens().of(RUN, 1, 3)});
    let said = chosen(&outs, &answer("a", forged), 11);
    assert_eq!(said, "its token is not that of the attempt");
    let older = json!({"step_id": "s1", "attempt": 3, "token": tokens().of(RUN, 1, 3)});
    let said = chosen(&outs, &answer("a", older), 11);
    assert_eq!(said, "attempt 3 of step `s1` is not open");
    let others = json!({"step_id": "s1", "attempt": 4, "token": token});
    assert_eq!(
        chosen(&outs, &answer("b", others), 11),
        "the step is driver `a`'s"
    );
}

#[test]
fn one_without_a_token_is_taken_where_there_is_no_doubt() {
    let none = json!({});
    let open = [
        out(0, "a", 1, Token::Optional),
        out(1, "b", 1, Token::Required),
    ];
    assert_eq!(
        chosen(&open, &answer("a", none.clone()), 11),
        "s0/1 fenced false"
    );
    assert_eq!(
        chosen(&open, &answer("a", none.clone()), 10),
        "it may be older than the attempt, and does not say which it is of"
    );
    let required = "it has no token, and belt.yaml says `token: required`";
    assert_eq!(chosen(&open, &answer("b", none.clone()), 11), required);
    let nobody = "the run has no open attempt of its driver";
    assert_eq!(chosen(&open, &answer("c", none.clone()), 11), nobody);
    let other = answer("a", json!({"attempt": 2}));
    assert_eq!(
        chosen(&open, &other, 11),
        "it names an attempt that is not open"
    );
    let twice = [
        out(0, "a", 1, Token::Optional),
        out(1, "a", 1, Token::Optional),
    ];
    let several = "it has no token, and the run has several open attempts of its driver";
    assert_eq!(chosen(&twice, &answer("a", none), 11), several);
}

#[test]
fn an_answer_becomes_what_the_engine_knows() {
    let of = |outcome: Value| {
        let mut whole = json!({"driver": "a", "success": false});
        whole
            .as_object_mut()
            .unwrap()
            .extend(outcome.as_object().unwrap().clone());
        told(&serde_json::from_value(whole).unwrap())
    };
    let kind = |outcome: Value| match of(outcome).answer {
        Answer::Failed(failure) => failure.kind,
        Answer::Succeeded { .. } => panic!("it failed"),
    };
    assert_eq!(kind(json!({})), FailureKind::Retryable { after_ms: None });
    assert_eq!(kind(json!({"retryable": false})), FailureKind::Permanent);
    let after = kind(json!({"failure": "retryable", "retry_after_ms": 5}));
    assert_eq!(after, FailureKind::Retryable { after_ms: Some(5) });
    assert_eq!(
        kind(json!({"failure": "permanent"})),
        FailureKind::Permanent
    );
    assert_eq!(
        kind(json!({"failure": "cancelled"})),
        FailureKind::Cancelled
    );
    let large = "x".repeat(OUTPUT_BYTES_MAX);
    assert_eq!(
        kind(json!({"success": true, "data": large})),
        FailureKind::Limit
    );
    let good =
        of(json!({"success": true, "data": {"a": 1}, "message": "m", "requeue_after_ms": 3}));
    assert_eq!(good.output.as_deref(), Some(r#"{"a":1}"#));
    assert_eq!(good.requeue_after_ms, Some(3));
    assert!(of(json!({"success": true, "data": null})).output.is_none());
}

#[test]
fn what_is_no_answer_is_told_from_one() {
    assert!(parse(b"nonsense").is_err());
    assert!(parse(br#"{"run_id": "x"}"#).is_err());
    let large = vec![b' '; RESULT_BYTES_MAX + 1];
    assert!(
        parse(&large)
            .unwrap_err()
            .contains("at most 8388608 are read")
    );
    // As Conveyor's drivers send it, keys that nobody here knows included.
    let theirs = br#"{"event":"driver.result","run_id":"r","resource":{"id":"1"},"driverresult":{"success":true,"message":"","data":null,"driver":"d","x":1},"y":2}"#;
    assert_eq!(parse(theirs).unwrap().driverresult.driver, "d");
}
