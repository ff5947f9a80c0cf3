//! Lockfiles in, bills out: through the driver's own `reconcile`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use beltline_sdk::testing::{Harness, Report};
use serde_json::{Value, json};

use crate::reconcile;

mod cargo;
mod go;
mod npm;
mod python;
mod whole;

/// The report of a call with these files in the workspace.
fn run(files: &[(&str, &str)]) -> Report {
    let call = files
        .iter()
        .fold(Harness::new().workspace().out(), |call, (path, text)| {
            call.file(path, text)
        });
    call.run(reconcile)
}

/// The bill of a call with these files in the workspace, which must be valid.
fn bill(files: &[(&str, &str)]) -> Value {
    let report = run(files);
    report.outcome();
    let bill = serde_json::from_str(&report.out_file("sbom.cdx.json")).unwrap();
    whole::assert_valid(&bill);
    bill
}

/// The component of that reference.
fn component<'a>(bill: &'a Value, reference: &str) -> &'a Value {
    let components = bill["components"].as_array().unwrap();
    components
        .iter()
        .find(|component| component["bom-ref"] == reference)
        .unwrap_or_else(|| {
            let refs: Vec<&Value> = components
                .iter()
                .map(|component| &component["bom-ref"])
                .collect();
            panic!("no {reference} in {refs:?}")
        })
}

/// What the component of that reference needs, by reference.
fn needs(bill: &Value, reference: &str) -> Value {
    let dependencies = bill["dependencies"].as_array().unwrap();
    dependencies
        .iter()
        .find(|entry| entry["ref"] == reference)
        .unwrap()["dependsOn"]
        .clone()
}

#[track_caller]
fn refused(files: &[(&str, &str)], reason: &str) {
    assert_eq!(run(files).failure().reason(), reason);
}
