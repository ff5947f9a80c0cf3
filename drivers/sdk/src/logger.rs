//! The `log` crate's macros, and with its `log` feature `tracing`'s, write to the step's log.

use log::kv::{Error, Key, Value, VisitSource, VisitValue};
use log::{Log, Metadata, Record};
use serde_json::json;

use crate::host;

struct StepLog;

/// Makes this the process's logger, unless the driver has set one of its own, and keeps what the host keeps.
pub(crate) fn install() {
    // Set already: by the call before (natively, tests share a process), or by the driver, whose wish it is.
    let _ = log::set_logger(&StepLog);
    log::set_max_level(host::log_filter());
}

impl Log for StepLog {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        let mut fields = Fields(Vec::new());
        // A target that was set by hand says something; the module's path would be noise on every line.
        if Some(record.target()) != record.module_path() {
            fields
                .0
                .push(("target".to_owned(), json!(record.target()).to_string()));
        }
        // `Fields` never fails, and a source of a driver's own that does keeps its line.
        let _ = record.key_values().visit(&mut fields);
        host::log(record.level(), &record.args().to_string(), &fields.0);
    }

    fn flush(&self) {}
}

/// Names and JSON texts.
struct Fields(Vec<(String, String)>);

impl<'kvs> VisitSource<'kvs> for Fields {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), Error> {
        let mut json = Json(serde_json::Value::Null);
        value.visit(&mut json)?;
        self.0.push((key.to_string(), json.0.to_string()));
        Ok(())
    }
}

/// A value of `log` as JSON: numbers, booleans and strings as such, anything else as it prints.
struct Json(serde_json::Value);

impl<'v> VisitValue<'v> for Json {
    fn visit_any(&mut self, value: Value<'_>) -> Result<(), Error> {
        self.0 = json!(value.to_string());
        Ok(())
    }

    fn visit_null(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn visit_u64(&mut self, value: u64) -> Result<(), Error> {
        self.0 = json!(value);
        Ok(())
    }

    fn visit_i64(&mut self, value: i64) -> Result<(), Error> {
        self.0 = json!(value);
        Ok(())
    }

    fn visit_f64(&mut self, value: f64) -> Result<(), Error> {
        self.0 = json!(value);
        Ok(())
    }

    fn visit_bool(&mut self, value: bool) -> Result<(), Error> {
        self.0 = json!(value);
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing)]
mod tests {
    use log::Level;
    use serde_json::json;

    use crate::testing::{Harness, Line};
    use crate::{Failure, Outcome, Request};

    fn logged(level: Level, write: fn()) -> Vec<Line> {
        let driver = |_: Request| {
            write();
            Ok::<_, Failure>(Outcome::<()>::new(""))
        };
        Harness::new().log_level(level).run(driver).logs
    }

    #[test]
    fn named_values_keep_their_types() {
        let lines = logged(Level::Trace, || {
            let path = std::path::Path::new("a/b");
            log::warn!(count = 3, ratio = 0.5, ok = true, name = "x\"y", path:? = path; "seen {}", 1);
        });
        assert_eq!(
            (lines[0].level, lines[0].message.as_str()),
            (Level::Warn, "seen 1")
        );
        let fields =
            json!({"count": 3, "ratio": 0.5, "ok": true, "name": "x\"y", "path": "\"a/b\""});
        assert_eq!(json!(lines[0].fields), fields);
    }

    #[test]
    fn levels_that_are_not_kept_are_not_written() {
        let lines = logged(Level::Info, || {
            log::debug!("no");
            log::info!("yes");
        });
        assert_eq!(lines.len(), 1);
    }

    #[test]
    fn a_target_set_by_hand_is_a_field() {
        let lines = logged(Level::Info, || log::info!(target: "audit", "x"));
        assert_eq!(json!(lines[0].fields), json!({"target": "audit"}));
    }

    #[test]
    fn tracing_writes_here_too() {
        let lines = logged(Level::Info, || tracing::error!(code = 7, "broken"));
        assert_eq!(
            (lines[0].level, lines[0].message.as_str()),
            (Level::Error, "broken code=7")
        );
    }
}
