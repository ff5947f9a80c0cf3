//! What a run does when all is well: order, context, outputs, retries, rounds.

use crate::belt::Bench;
use serde_json::json;

#[test]
fn three_drivers_read_the_same_context_and_what_came_before() {
    let bench = Bench::new(&["echo"]);
    let steps = [
        "{id: one, driver: echo, with: {n: 1}}",
        "{id: two, driver: echo}",
        "{id: three, driver: echo}",
    ];
    bench.pipeline("context: {severity: high, deep: {list: [1, null]}}", &steps);
    let run = bench.run(&["-o", "json"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let run = run.json();
    let context = json!({"severity": "high", "deep": {"list": [1, null]}});
    for (index, step) in run["steps"].as_array().unwrap().iter().enumerate() {
        assert_eq!(step["status"], "succeeded");
        assert_eq!(step["output"]["context"], context);
        assert_eq!(step["output"]["outputs"].as_object().unwrap().len(), index);
        assert_eq!(step["output"]["resource"]["spec"], json!({"size": 3}));
        assert_eq!(step["output"]["resource"]["generation"], 1);
        assert_eq!(step["output"]["attempt"], 1);
        assert_eq!(step["output"]["has_deadline"], true);
    }
    let third = &run["steps"][2]["output"];
    assert_eq!(third["outputs"]["one"]["with"], json!({"n": 1}));
    assert_eq!(third["outputs"]["two"]["outputs"]["one"]["step"], "one");
    assert_eq!(third["steps"][1]["status"], "succeeded");
    assert_eq!(third["steps"][2]["status"], "running");
    assert_eq!(
        third["key"],
        format!("{}/three/1", run["run"].as_str().unwrap())
    );
}
