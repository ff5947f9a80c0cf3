//! The variables that a command starts with: no others of the driver's own.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use beltline_sdk::{Failure, RunInfo};

use crate::config::Config;
use crate::files::Files;

/// Where programs are looked for if the driver itself has no `PATH`.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

pub struct Environment {
    pub variables: Vec<(String, OsString)>,
    /// The driver's own search path.
    pub search: OsString,
}

/// # Errors
/// Permanent, naming a variable that a step may not set.
pub fn of(
    config: &Config,
    asked: &BTreeMap<String, String>,
    run: &RunInfo,
    workspace: &Path,
    files: &Files,
) -> Result<Environment, Failure> {
    if let Some(name) = asked.keys().find(|name| !may_set(config, name)) {
        return Err(Failure::permanent(format!(
            "with.env: `{name}` is not a step's to set"
        )));
    }
    let own = |name: &str| std::env::var_os(name);
    let search = own("PATH").unwrap_or_else(|| PATH.into());
    let mut variables = vec![("PATH".to_owned(), search.clone())];
    variables.extend(own("HOME").map(|home| ("HOME".to_owned(), home)));
    let asked = asked
        .iter()
        .map(|(name, value)| (name.clone(), value.into()));
    variables.extend(asked);
    let passed = config.passed.iter();
    variables.extend(passed.map(|(name, value)| (name.clone(), value.into())));
    variables.extend(files.variables());
    variables.push(("BELT_WORKSPACE".to_owned(), workspace.into()));
    let told = [
        ("BELT_RUN", run.run_id.clone()),
        ("BELT_STEP", run.step_id.clone()),
        ("BELT_ATTEMPT", run.attempt.to_string()),
        ("BELT_KEY", run.key.clone()),
    ];
    variables.extend(told.map(|(name, value)| (name.to_owned(), value.into())));
    if let Ok(out) = beltline_sdk::out() {
        variables.push(("BELT_OUT".to_owned(), out.into()));
    }
    Ok(Environment { variables, search })
}

/// `BELT_…` is the driver's, what is handed over the operator's; and where only some programs may run, what makes others of them
/// is neither.
fn may_set(config: &Config, name: &str) -> bool {
    let well_formed = !name.is_empty() && !name.contains(['=', '\0']);
    let handed_over = config.passed.iter().any(|(passed, _)| passed == name);
    let chooses = name == "PATH" || name.starts_with("LD_");
    well_formed
        && !name.starts_with("BELT_")
        && !handed_over
        && (!chooses || config.allows_all_commands())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_variables_are_not_a_step_s_to_set() {
        let config = Config {
            passed: vec![("TOKEN".to_owned(), "secret".to_owned())],
            ..Config::default()
        };
        for name in ["BELT_OUTPUT", "TOKEN", "LD_PRELOAD", "PATH", "", "A=B"] {
            assert!(!may_set(&config, name), "{name}");
        }
        assert!(may_set(&config, "LANG"));
    }
}
