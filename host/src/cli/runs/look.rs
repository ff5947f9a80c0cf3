//! `belt runs list`, `get`, `logs` and `wait`: what there is.

use super::super::connection::{Connection, block_on};
use super::super::stop::{Stop, exit_code};
use super::super::{Format, output, print};
use super::{Common, Which, is_open, say_cut_off};
use crate::api::RunsPage;
use crate::client::{Client, ClientError};
use crate::clock::{self, rfc3339};
use crate::documents::parse_duration;
use crate::logs::LogLine;
use crate::text;
use crate::view::RunView;
use std::process::ExitCode;
use std::time::Duration;

const LOST: &str = "something of the state is lost, and nobody can tell what";

/// How long one request of `wait` waits.
const WAIT: &str = "60s";

/// Which runs are listed.
pub(super) struct Filters {
    pub(super) limit: usize,
    pub(super) status: Option<String>,
    pub(super) pipeline: Option<String>,
    pub(super) resource: Option<String>,
}

impl Filters {
    fn query(&self, limit: usize, cursor: Option<&str>) -> Result<String, Stop> {
        let mut query = vec![("limit", limit.clamp(1, 1_000).to_string())];
        let (kind, name) = match &self.resource {
            None => (None, None),
            Some(resource) => match resource.split_once('/') {
                Some((kind, name)) => (Some(kind), Some(name)),
                None => {
                    return Err(Stop::invalid(anyhow::anyhow!(
                        "`--resource {resource}` is not KIND/NAME"
                    )));
                }
            },
        };
        let filters = [
            ("status", self.status.as_deref()),
            ("pipeline", self.pipeline.as_deref()),
            ("kind", kind),
            ("resource", name),
            ("cursor", cursor),
        ];
        let given = filters
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)));
        query.extend(given.map(|(name, value)| (name, value.to_owned())));
        for (name, value) in &query {
            let is_plain = |part: char| part.is_ascii_alphanumeric() || "-_.".contains(part);
            if !value.chars().all(is_plain) {
                return Err(Stop::invalid(anyhow::anyhow!(
                    "no {name} is called `{value}`"
                )));
            }
        }
        let parts = query.iter().map(|(name, value)| format!("{name}={value}"));
        Ok(parts.collect::<Vec<_>>().join("&"))
    }
}

pub(super) fn list(common: &Common, filters: &Filters) -> Result<ExitCode, Stop> {
    let place = &common.place;
    // A folder where nothing has run yet has an empty list.
    let page = match place.look() {
        Ok(connection) => pages(&connection, filters)?,
        Err(stop) if stop.is_no_runs() => RunsPage::default(),
        Err(stop) => return Err(stop),
    };
    for damaged in &page.damaged {
        let (run, error) = (&damaged.run, &damaged.error);
        output::notice(&format!("run {run} cannot be read: {error}"));
    }
    output::document(common.output, &page.runs, |views| print::list(views))?;
    for view in page.runs.iter().filter(|view| view.cut_off) {
        say_cut_off(&view.run);
    }
    match page.damaged.len() {
        0 => sure(page.unsure),
        damaged => {
            let more = if page.unsure {
                format!(", and {LOST}")
            } else {
                String::new()
            };
            Err(Stop::fault(anyhow::anyhow!(
                "{damaged} of the runs cannot be read{more}"
            )))
        }
    }
}

/// As many runs as were asked for, a page at a time.
fn pages(connection: &Connection, filters: &Filters) -> Result<RunsPage, Stop> {
    let mut all = RunsPage::default();
    loop {
        let left = filters
            .limit
            .saturating_sub(all.runs.len() + all.damaged.len());
        if left == 0 {
            return Ok(all);
        }
        let query = filters.query(left, all.next.as_deref())?;
        let page: RunsPage = block_on(connection.client.get(&format!("/runs?{query}")))?;
        all.runs.extend(page.runs);
        all.damaged.extend(page.damaged);
        all.unsure |= page.unsure;
        all.next = page.next;
        if all.next.is_none() {
            return Ok(all);
        }
    }
}

pub(super) fn get(which: &Which) -> Result<ExitCode, Stop> {
    let (view, made, unsure) = {
        // Whoever reads slowly holds up nobody: the state is closed before anything is printed.
        let connection = which.common.place.look()?;
        let found = connection.see::<RunView>(&which.path("")?);
        let view = found.map_err(|stop| doubted(&connection, stop))?;
        let made = print::made(&connection, &view);
        (view, made, is_unsure(&connection))
    };
    output::document(which.common.output, &view, |view| {
        print::details(view, &made)
    })?;
    if view.cut_off {
        say_cut_off(&view.run);
    }
    sure(unsure)
}

pub(super) fn logs(which: &Which, step: Option<&str>, follow: bool) -> Result<ExitCode, Stop> {
    let connection = which.common.place.look()?;
    let query = step.map(|step| format!("?step={step}")).unwrap_or_default();
    if follow {
        return followed(connection, which, &query);
    }
    let path = which.path(&format!("/logs{query}"))?;
    let found = connection.see::<Vec<LogLine>>(&path);
    let lines = found.map_err(|stop| doubted(&connection, stop))?;
    drop(connection);
    output::document(which.common.output, &lines, |lines| log_lines(lines))?;
    Ok(ExitCode::SUCCESS)
}

/// Follows to the end, and says where that is the end of what there is and not of the run.
fn followed(mut connection: Connection, which: &Which, query: &str) -> Result<ExitCode, Stop> {
    let format = which.common.output;
    // By its id: which one is the latest may change meanwhile.
    let run = connection.see::<RunView>(&which.path("")?)?.run;
    let path = format!("/runs/{run}");
    let logs = format!("{path}/logs{query}");
    // The id of the last line that was shown, so that none is shown twice.
    let mut last = None;
    let view = loop {
        match block_on(follow_logs(
            &connection.client,
            &path,
            &logs,
            &mut last,
            format,
        )) {
            Ok(view) => break view,
            Err(stop) if stop.is_unreachable() => {
                connection = connection.without_owner()?.ok_or(stop)?;
            }
            Err(stop) => return Err(stop),
        }
    };
    drop(connection);
    if view.cut_off {
        say_cut_off(&view.run);
    }
    Ok(ExitCode::SUCCESS)
}

/// The run as it is when there is no more to follow.
async fn follow_logs(
    client: &Client,
    run: &str,
    logs: &str,
    last: &mut Option<String>,
    format: Format,
) -> Result<RunView, Stop> {
    let mut stream = client.stream(logs, last.as_deref()).await?;
    loop {
        while let Some(event) = stream.next().await? {
            show_line(&event.data, format)?;
            *last = stream.last().map(str::to_owned);
        }
        let view = client.get::<RunView>(run).await?;
        match client.waits() && is_open(view.status) && !view.cut_off {
            // Its host left it to be started again.
            true => stream.again(ClientError::left(client.place())).await?,
            false => return Ok(view),
        }
    }
}

fn show_line(data: &str, format: Format) -> Result<(), Stop> {
    let line: LogLine = serde_json::from_str(data).map_err(Stop::fault)?;
    match format {
        Format::Text => output::bytes(log_lines(std::slice::from_ref(&line)).as_bytes()),
        // One document a line.
        Format::Json => output::bytes(format!("{data}\n").as_bytes()),
        Format::Yaml => {
            output::bytes(b"---\n")?;
            output::document(format, &line, |_| String::new())
        }
    }
}

pub(super) fn wait(which: &Which, timeout: Option<&str>) -> Result<ExitCode, Stop> {
    let connection = which.common.place.look()?;
    let timeout = timeout
        .map(parse_duration)
        .transpose()
        .map_err(Stop::invalid)?;
    let until = timeout.map(|timeout| clock::now_ms().saturating_add(clock::millis(timeout)));
    let mut run = which.path("")?;
    loop {
        let left = until.map(clock::until);
        let wait = left.map_or_else(
            || WAIT.to_owned(),
            |left| {
                format!(
                    "{}ms",
                    clock::millis(left.min(Duration::from_secs(60))).max(1)
                )
            },
        );
        let view: RunView = connection.see(&format!("{run}?wait={wait}"))?;
        let is_over = left.is_some_and(|left| left.is_zero());
        if !is_open(view.status) || view.cut_off || is_over {
            let made = print::made(&connection, &view);
            output::document(which.common.output, &view, |view| print::run(view, &made))?;
            if view.cut_off {
                say_cut_off(&view.run);
            }
            return Ok(exit_code(view.status));
        }
        // Which one is the latest may change meanwhile.
        run = format!("/runs/{}", view.run);
    }
}

fn log_lines(lines: &[LogLine]) -> String {
    let width = lines
        .iter()
        .map(|line| line.step.chars().count())
        .max()
        .unwrap_or_default();
    let line = |line: &LogLine| {
        let (at, level) = (rfc3339(line.at_ms), line.level.as_str());
        let fields = print::fields(&line.fields);
        format!(
            "{at} {:>width$} {level:<5} {}{fields}\n",
            line.step,
            text::shown(&line.message)
        )
    };
    lines.iter().map(line).collect()
}

/// A run that is not found in a state of which something is lost may have been there.
fn doubted(connection: &Connection, stop: Stop) -> Stop {
    match is_unsure(connection) {
        true => stop.because(LOST),
        false => stop,
    }
}

fn is_unsure(connection: &Connection) -> bool {
    let owned = connection.owned.as_ref();
    owned.is_some_and(|owned| owned.owner.is_unsure())
}

fn sure(unsure: bool) -> Result<ExitCode, Stop> {
    if unsure {
        return Err(Stop::fault(anyhow::anyhow!(
            "{LOST}: what is shown may lack it"
        )));
    }
    Ok(ExitCode::SUCCESS)
}
