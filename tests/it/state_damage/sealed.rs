//! The same in a segment that is sealed: opening the store does not read its values.

use super::{LOG, damage_behind, runs};
use crate::belt::Bench;

/// A run of so many outputs that they fill a segment, and a run after it.
fn run_in_a_sealed_segment() -> (Bench, [String; 2]) {
    const STEPS: usize = 70;
    let bench = Bench::new(&["output_large"]);
    let ids = [STEPS, 1].map(|steps| {
        let step = |n| format!("{{id: s{n}, driver: output_large, with: {{bytes: 250000}}}}");
        let steps: Vec<_> = (0..steps).map(step).collect();
        let steps: Vec<_> = steps.iter().map(String::as_str).collect();
        bench.pipeline("", &steps);
        let said = bench.run(&["-o", "json"]);
        assert_eq!(said.code, 0, "{}", said.stderr);
        said.json()["run"].as_str().unwrap().to_owned()
    });
    assert!(bench.path(LOG).with_extension("log.keys").is_file());
    (bench, ids)
}

/// Whoever needs the value finds that it is damaged, and must not take the step for one that has not begun.
#[test]
fn a_damaged_step_in_a_sealed_segment_is_never_shown_as_pending() {
    let (bench, [first, second]) = run_in_a_sealed_segment();
    let step = format!("step/{first}/0030");
    // The last commit that names the step writes it behind the head, and before the step that comes next.
    let before_values = |places: &[usize]| places[places.len() - 2];
    damage_behind(&bench, &step, before_values, "\"attempts\":");
    let damage = "00000000000000000001.log at byte ";
    let named = format!("a value is damaged (`{step}`)");

    for verb in ["get", "resume", "retry", "rerun"] {
        let said = runs(&bench, &[verb, &first]);
        assert_eq!(
            (said.code, said.stdout.as_str()),
            (4, ""),
            "{verb}: {said:?}"
        );
        let last = said.stderr.lines().last().unwrap();
        assert!(
            last.contains(damage) && last.contains(&named),
            "{verb}: {last}"
        );
    }
    let list = runs(&bench, &["list", "-o", "json"]);
    assert_eq!(list.code, 4, "{}", list.stderr);
    let unreadable = format!("run {first} cannot be read: ");
    assert!(
        list.stderr.contains(&unreadable) && list.stderr.contains(&named),
        "{}",
        list.stderr
    );
    let listed = list.json();
    assert_eq!(
        (listed.as_array().unwrap().len(), &listed[0]["run"]),
        (1, &second.as_str().into())
    );
    let get = runs(&bench, &["get", &second, "-o", "json"]);
    assert_eq!((get.code, &get.json()["status"]), (0, &"succeeded".into()));
}
