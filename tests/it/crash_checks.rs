//! What must be true of a run that was killed and has ended.

use crate::belt::Said;
use crate::crash::STEPS;
use serde_json::Value;
use std::collections::BTreeMap;

/// How often each key had its effect.
pub type Effects = BTreeMap<String, usize>;

/// Steps that were shown as finished before a kill, and how often they had had their effect by then.
#[derive(Debug, Default, PartialEq)]
pub struct Finished {
    steps: BTreeMap<String, usize>,
}

impl Finished {
    pub fn note(&mut self, said: &Said, effects: &Effects) {
        let shown = said.stderr.lines();
        for line in shown.filter_map(|line| line.strip_prefix("✓ ")) {
            let step = line.split_whitespace().next().unwrap();
            let count = effects_of(step, effects);
            self.steps.entry(step.to_owned()).or_insert(count);
        }
    }

    /// None of them has run again.
    pub fn held(&self, run: &Value, effects: &Effects) {
        for (step, before) in &self.steps {
            let after = effects_of(step, effects);
            assert_eq!(*before, after, "step {step} ran after its end: {run:#}");
        }
    }
}

/// Over all runs: only one is under way at a time.
fn effects_of(step: &str, effects: &Effects) -> usize {
    let place = format!("/{step}/");
    let mine = effects.iter().filter(|(key, _)| key.contains(&place));
    mine.map(|(_, count)| count).sum()
}

/// Every step succeeded, read what came before it, and had its effect as often as it was started and no more.
pub fn ends_right(run: &Value, effects: &Effects) {
    assert_eq!(run["status"], "succeeded", "{run:#}");
    let steps = run["steps"].as_array().unwrap();
    assert_eq!(steps.len(), STEPS.len());
    for (index, step) in steps.iter().enumerate() {
        assert_eq!(step["status"], "succeeded", "{run:#}");
        let (run_id, id) = (run["run"].as_str().unwrap(), step["id"].as_str().unwrap());
        let key = format!("{run_id}/{id}/1");
        assert_eq!(step["output"]["key"], key);
        let before = step["output"]["before"].as_object().unwrap();
        assert_eq!(before.len(), index);
        for earlier in &steps[..index] {
            assert_eq!(before[earlier["id"].as_str().unwrap()], earlier["output"]);
        }
        check_attempts(step, effects.get(&key).copied().unwrap_or_default());
    }
}

/// Numbered on without a gap, none started a third time, and each that ended by itself has had its effect.
fn check_attempts(step: &Value, effects: usize) {
    let attempts = step["attempts"].as_array().unwrap();
    let numbers = attempts.iter().map(|one| one["attempt"].as_u64().unwrap());
    assert!(numbers.eq(1..=attempts.len() as u64), "{step:#}");
    let starts = attempts.iter().map(|one| one["starts"].as_u64().unwrap());
    let starts: Vec<_> = starts.collect();
    assert!(starts.iter().all(|starts| *starts <= 2), "{step:#}");
    let lost = |one: &&Value| one["failure"]["kind"] == "lost";
    let answered = attempts.len() - attempts.iter().filter(lost).count();
    let (least, most) = match step["driver"].as_str().unwrap() {
        "effect" => (answered as u64, starts.iter().sum()),
        _ => (0, 0),
    };
    let effects = effects as u64;
    assert!(
        (least..=most).contains(&effects),
        "{effects} effects of {step:#}"
    );
}
