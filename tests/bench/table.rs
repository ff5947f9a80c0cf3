//! The rows, as people and programs read them.

use serde::Serialize;
use std::fmt;

/// What was measured.
#[derive(Default)]
pub struct Table(Vec<Row>);

#[derive(Serialize)]
struct Row {
    name: String,
    value: f64,
    unit: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ratio: Option<Ratio>,
}

/// A value against another of the same run.
#[derive(Serialize)]
struct Ratio {
    of: f64,
    against: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    goal: Option<Goal>,
    #[serde(skip_serializing_if = "Option::is_none")]
    is_met: Option<bool>,
}

/// What a ratio, or a value, should be.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    AtMost(f64),
    AtLeast(f64),
}

impl Goal {
    fn is_met(self, by: f64) -> bool {
        match self {
            Goal::AtMost(most) => by <= most,
            Goal::AtLeast(least) => by >= least,
        }
    }
}

impl Table {
    /// A figure that stands for itself.
    pub fn figure(&mut self, name: impl Into<String>, value: f64, unit: &'static str) {
        self.0.push(Row {
            name: name.into(),
            value,
            unit,
            ratio: None,
        });
    }

    /// A figure, its ratio to another, and what that should be.
    pub fn ratio(
        &mut self,
        name: impl Into<String>,
        (value, unit): (f64, &'static str),
        (other, against): (f64, &str),
        goal: Option<Goal>,
    ) {
        let of = value / other;
        let ratio = Ratio {
            of,
            against: against.to_owned(),
            goal,
            is_met: goal.map(|goal| goal.is_met(of)),
        };
        self.0.push(Row {
            name: name.into(),
            value,
            unit,
            ratio: Some(ratio),
        });
    }

    /// A figure with a bound of its own.
    pub fn bound(&mut self, name: impl Into<String>, value: f64, unit: &'static str, goal: Goal) {
        let bound = match goal {
            Goal::AtMost(bound) | Goal::AtLeast(bound) => bound,
        };
        let scaled = match goal {
            Goal::AtMost(_) => Goal::AtMost(1.0),
            Goal::AtLeast(_) => Goal::AtLeast(1.0),
        };
        let against = format!("{bound} {unit}");
        self.ratio(name, (value, unit), (bound, &against), Some(scaled));
    }

    /// How many goals are met.
    pub fn summary(&self) -> String {
        let goals = self.0.iter().filter_map(|row| row.ratio.as_ref()?.is_met);
        let (met, all) = goals.fold((0, 0), |(met, all), is_met| {
            (met + u32::from(is_met), all + 1)
        });
        format!("{met} of {all} goals are met")
    }

    pub fn json(&self) -> String {
        serde_json::to_string_pretty(&self.0).expect("rows have string keys")
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.0.iter().map(|row| row.name.chars().count()).max();
        let width = width.unwrap_or_default();
        for Row {
            name,
            value,
            unit,
            ratio,
        } in &self.0
        {
            let value = shown(*value);
            write!(f, "{name:width$}  {value:>9} {unit:<8}")?;
            if let Some(ratio) = ratio {
                write!(f, "  {:>6.2}× {}", ratio.of, ratio.against)?;
                let bound = match ratio.goal {
                    Some(Goal::AtMost(most)) => format!("≤ {most}"),
                    Some(Goal::AtLeast(least)) => format!("≥ {least}"),
                    None => String::new(),
                };
                match ratio.is_met {
                    Some(true) => write!(f, "  ✓ {bound}")?,
                    Some(false) => write!(f, "  ✗ {bound}")?,
                    None => {}
                }
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

fn shown(value: f64) -> String {
    match value.abs() {
        below if below < 10.0 => format!("{value:.2}"),
        below if below < 1_000.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}
