//! Takes resources of one kind, and settings of one form.

use guests::{Failure, Outcome, Request, json, left};

guests::guest!(reconcile);
guests::manifest!(
    r#"{"manifest":1,"name":"kind","version":"1.0.0","kinds":["app","site"],"config":{"type":"object","properties":{"port":{"type":"integer"}},"additionalProperties":false}}"#
);

fn reconcile(_: Request) -> Result<Outcome, Failure> {
    left(json!(null))
}
