use std::sync::LazyLock;

use jsonschema::{Registry, Validator};

use super::*;

static SCHEMA: LazyLock<Validator> = LazyLock::new(|| {
    let parse = |text| serde_json::from_str::<Value>(text).unwrap();
    let spdx = parse(include_str!("../../tests/schema/spdx.schema.json"));
    let jsf = parse(include_str!("../../tests/schema/jsf-0.82.schema.json"));
    let registry = Registry::new()
        .add("http://cyclonedx.org/schema/spdx.schema.json", spdx)
        .and_then(|registry| registry.add("http://cyclonedx.org/schema/jsf-0.82.schema.json", jsf))
        .and_then(|registry| registry.prepare())
        .unwrap();
    let bom = parse(include_str!("../../tests/schema/bom-1.6.schema.json"));
    jsonschema::options()
        .with_registry(&registry)
        .should_validate_formats(true)
        .build(&bom)
        .unwrap()
});

#[track_caller]
pub(super) fn assert_valid(bill: &Value) {
    let errors: Vec<String> = SCHEMA
        .iter_errors(bill)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(errors.is_empty(), "not CycloneDX 1.6: {errors:#?}");
    // What the schema cannot say: every reference is of a component, and no component's is there twice.
    let dependencies = bill["dependencies"].as_array().unwrap();
    let refs: Vec<&Value> = dependencies.iter().map(|entry| &entry["ref"]).collect();
    for entry in dependencies {
        let known = entry["dependsOn"]
            .as_array()
            .unwrap()
            .iter()
            .all(|needed| refs.contains(&needed));
        assert!(known, "{entry} needs what is not there");
        assert_eq!(
            refs.iter().filter(|other| ***other == entry["ref"]).count(),
            1,
            "{entry}"
        );
    }
    assert_eq!(
        refs.len(),
        bill["components"].as_array().unwrap().len() + 1,
        "and the root"
    );
}

#[test]
fn the_schema_refuses_what_is_not_valid() {
    assert!(
        !SCHEMA.is_valid(
            &json!({"bomFormat": "CycloneDX", "specVersion": "1.6", "serialNumber": "1"})
        )
    );
    let licence =
        json!({"type": "library", "name": "a", "licenses": [{"license": {"id": "no-spdx-id"}}]});
    let bill = json!({"bomFormat": "CycloneDX", "specVersion": "1.6", "components": [licence]});
    assert!(!SCHEMA.is_valid(&bill));
}

#[test]
fn this_repository() {
    let lock = include_str!("../../../../Cargo.lock");
    let packages = lock.matches("[[package]]").count();
    let report = run(&[("Cargo.lock", lock)]);
    let output = report.output();
    assert_eq!(output["components"], packages);
    assert_eq!(output["ecosystems"], json!({"cargo": packages}));
    assert_eq!(output["list"].as_array().unwrap().len(), packages);

    let text = report.out_file("sbom.cdx.json");
    let sha256 = data_encoding::HEXLOWER.encode(&<sha2::Sha256 as sha2::Digest>::digest(&text));
    assert_eq!(output["sha256"], sha256);
    let bill: Value = serde_json::from_str(&text).unwrap();
    assert_valid(&bill);
    let own = format!("Cargo.lock#beltline-sdk@{}", env!("CARGO_PKG_VERSION"));
    assert!(
        needs(&bill, &own)
            .as_array()
            .unwrap()
            .iter()
            .any(|need| { need.as_str().unwrap().starts_with("pkg:cargo/serde@1.") })
    );
}

#[test]
fn the_same_lockfiles_give_the_same_bytes_and_others_another_serial_number() {
    let lock = |version: &str| format!("[[package]]\nname = \"a\"\nversion = \"{version}\"\n");
    let text = |version: &str| run(&[("Cargo.lock", &lock(version))]).out_file("sbom.cdx.json");
    assert_eq!(text("1"), text("1"));
    let serial =
        |version| serde_json::from_str::<Value>(&text(version)).unwrap()["serialNumber"].clone();
    assert_ne!(serial("1"), serial("2"));
    assert!(serial("1").as_str().unwrap().starts_with("urn:uuid:"));
}

#[test]
fn a_package_in_two_lockfiles_is_one_component() {
    let lock = "[[package]]\nname = \"a\"\nversion = \"1\"\nsource = \"sparse+https://index.crates.io/\"\n";
    let bill = bill(&[
        ("Cargo.lock", lock),
        ("sub/Cargo.lock", lock),
        ("node_modules/x/Cargo.lock", "no"),
    ]);
    let lockfiles: Vec<&Value> = bill["components"][0]["properties"]
        .as_array()
        .unwrap()
        .iter()
        .map(|property| &property["value"])
        .collect();
    assert_eq!(lockfiles, ["Cargo.lock", "sub/Cargo.lock"]);
    assert_eq!(bill["components"].as_array().unwrap().len(), 1);
}

#[test]
fn where_it_looks_and_writes() {
    let lock = "[[package]]\nname = \"a\"\nversion = \"1\"\n";
    let call = || {
        Harness::new()
            .spec(json!({"path": "app"}))
            .file("app/Cargo.lock", lock)
            .out()
    };
    let report = call()
        .with(json!({"path": "bills/app.json"}))
        .run(reconcile);
    assert_eq!(
        report.outcome().message,
        "1 component from Cargo.lock in bills/app.json"
    );
    report.out_file("bills/app.json");

    let reason = |with: Value| {
        call()
            .with(with)
            .run(reconcile)
            .failure()
            .reason()
            .to_owned()
    };
    assert_eq!(
        reason(json!({"path": "../x"})),
        "with.path: `../x` is no path below the out folder"
    );
    assert!(reason(json!({"lockfiles": ["b/Cargo.lock"]})).starts_with("b/Cargo.lock: "));
    assert!(
        reason(json!({"lockfiles": ["yarn.lock"]}))
            .contains("yarn.lock is no lockfile that this driver")
    );
    assert!(reason(json!({"lockfile": []})).starts_with("with.lockfile: unknown field"));
    let empty = Harness::new().workspace().out().run(reconcile);
    assert!(
        empty
            .failure()
            .reason()
            .starts_with("no lockfile found in the workspace")
    );
    let bytes = Harness::new()
        .file("Cargo.lock", b"name = \"\xff\"")
        .out()
        .run(reconcile);
    assert_eq!(bytes.failure().reason(), "Cargo.lock: not UTF-8 at byte 8");
}

#[test]
fn the_output_stays_below_its_limit() {
    use std::fmt::Write;
    let mut lock = String::new();
    for number in 0..8_000 {
        writeln!(
            lock,
            "[[package]]\nname = \"package-{number}\"\nversion = \"1.0.0\""
        )
        .unwrap();
    }
    let report = run(&[("Cargo.lock", &lock)]);
    let output = report.output();
    let listed = output["list"].as_array().unwrap().len();
    assert_eq!(output["components"], 8_000);
    assert_eq!(output["list_omitted"], 8_000 - listed);
    assert!(listed > 2_000, "{listed}");
}
