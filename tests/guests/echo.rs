//! Leaves everything that it was given: the request, the context, what earlier steps left. Uses every import.

use guests::{Failure, Outcome, Request, Value, cancel, config, json, left, log, run_context};

guests::guest!(reconcile);

fn reconcile(request: Request) -> Result<Outcome, Failure> {
    let parse = |text: String| serde_json::from_str::<Value>(&text).expect("the host sends JSON");
    let context = run_context::keys().into_iter().map(|key| {
        let value = run_context::get(&key).map(parse);
        (key, value.unwrap_or_default())
    });
    let outputs = run_context::outputs().into_iter().map(|step| {
        let output = run_context::output(&step).map(parse);
        (step, output.unwrap_or_default())
    });
    let steps = run_context::steps().into_iter().map(|step| {
        json!({"id": step.step_id, "driver": step.driver, "status": step.status, "message": step.message})
    });
    let info = &request.info;
    left(json!({
        "event": request.event,
        "kind": request.kind,
        "resource": parse(request.resource.clone()),
        "with": guests::with(&request),
        "run": info.run_id,
        "pipeline": info.pipeline,
        "step": info.step_id,
        "attempt": info.attempt,
        "key": info.key,
        "has_deadline": info.deadline_ms.is_some(),
        "dry_run": info.dry_run,
        "context": context.collect::<serde_json::Map<_, _>>(),
        "none": run_context::get("no such key"),
        "outputs": outputs.collect::<serde_json::Map<_, _>>(),
        "steps": steps.collect::<Vec<_>>(),
        "config": parse(config::get()),
        "cancel_requested": cancel::requested(),
        "trace_is_kept": log::enabled(log::Level::Trace),
    }))
}
