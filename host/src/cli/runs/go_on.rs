//! `belt runs retry`, `rerun`, `resume`, `watch` and `cancel`: stored runs that are moved, and watched to their end.

use super::super::broker::BrokerArgs;
use super::super::connection::{Connection, block_on};
use super::super::follow::follow;
use super::super::run::say;
use super::super::stop::{Stop, exit_code};
use super::super::{Format, output, print};
use super::{Anew, Which, say_cut_off};
use crate::api::{GoOn, LocalRun, RunsPage};
use crate::client::{Payload, json};
use crate::view::RunView;
use axum::http::{Method, StatusCode};
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;

/// Runs that are looked at where an open one is looked for, to name it.
const LOOKED_AT: usize = 100;

impl Anew {
    fn open(&self, which: &Which) -> Result<Connection, Stop> {
        let common = &which.common;
        let connection = common.place.open_over(&self.broker, common.output)?;
        match self.broker.flag().filter(|_| !connection.is_local()) {
            Some(flag) => Err(Stop::invalid(anyhow::anyhow!(
                "`{flag}` is for runs on this machine; a server has a broker of its own"
            ))),
            None => Ok(connection),
        }
    }

    /// What goes with the request: nothing where nothing is given.
    fn local(&self, connection: &Connection) -> Result<Option<LocalRun>, Stop> {
        let absolute = |path: &Option<PathBuf>| {
            let path = path.as_ref().map(std::path::absolute);
            path.transpose().map_err(Stop::fault)
        };
        let local = LocalRun {
            config: absolute(&self.config)?,
            workspace: absolute(&self.workspace)?,
            out: absolute(&self.out)?,
            locked: false,
        };
        let is_given = local.config.is_some() || local.workspace.is_some() || local.out.is_some();
        match is_given && !connection.is_local() {
            true => Err(Stop::invalid(anyhow::anyhow!(
                "`--config`, `--workspace` and `--out` are for runs on this machine; leave them out"
            ))),
            false => Ok(is_given.then_some(local)),
        }
    }
}

pub(super) fn retry(which: &Which, anew: &Anew, from: Option<String>) -> Result<ExitCode, Stop> {
    let connection = anew.open(which)?;
    let how = GoOn {
        from,
        local: anew.local(&connection)?,
    };
    let path = which.path("/retry")?;
    let run: RunView = block_on(connection.client.post(&path, &how))?;
    to_the_end(connection, &run, which.common.output)
}

pub(super) fn rerun(which: &Which, anew: &Anew) -> Result<ExitCode, Stop> {
    let connection = anew.open(which)?;
    let how = GoOn {
        from: None,
        local: anew.local(&connection)?,
    };
    let path = which.path("/rerun")?;
    let run: RunView = block_on(connection.client.post(&path, &how))?;
    say(&run, which.common.output);
    to_the_end(connection, &run, which.common.output)
}

pub(super) fn resume(which: &Which, anew: &Anew) -> Result<ExitCode, Stop> {
    let format = which.common.output;
    let connection = anew.open(which)?;
    let how = GoOn {
        from: None,
        local: anew.local(&connection)?,
    };
    let path = which.path("/resume")?;
    let ask = async || {
        let payload = Payload::Json(json(&how));
        let client = &connection.client;
        client.send(Method::POST, &path, &[], payload).await
    };
    // A run that goes on is left alone: it can be asked again.
    let answer = block_on(connection.client.repeat(ask))?;
    let had_ended = answer.status == StatusCode::OK;
    let run: RunView = block_on(answer.json())?;
    if !had_ended {
        return to_the_end(connection, &run, format);
    }
    output::note("the run has ended already, there is nothing to resume");
    let page = format!("/runs?limit={LOOKED_AT}");
    let page: RunsPage = block_on(connection.client.get(&page))?;
    for open in page.runs.iter().filter(|run| run.cut_off) {
        say_cut_off(&open.run);
    }
    show(connection, &run.run, format)
}

pub(super) fn watch(which: &Which) -> Result<ExitCode, Stop> {
    let connection = which.common.place.look()?;
    let run: RunView = connection.see(&which.path("")?)?;
    if run.cut_off {
        say_cut_off(&run.run);
        return show(connection, &run.run, which.common.output);
    }
    to_the_end(connection, &run, which.common.output)
}

pub(super) fn cancel(which: &Which, broker: &BrokerArgs, force: bool) -> Result<ExitCode, Stop> {
    let format = which.common.output;
    let connection = which.common.place.open_over(broker, format)?;
    let path = which.path("/cancel")?;
    let ask = json!({"force": force});
    let run: RunView = block_on(connection.client.post(&path, &ask))?;
    to_the_end(connection, &run, format)
}

fn to_the_end(mut connection: Connection, run: &RunView, format: Format) -> Result<ExitCode, Stop> {
    let view = follow(&mut connection, run, format)?;
    print(connection, &view, format)
}

fn show(connection: Connection, run: &str, format: Format) -> Result<ExitCode, Stop> {
    let view: RunView = block_on(connection.client.get(&format!("/runs/{run}")))?;
    print(connection, &view, format)
}

fn print(connection: Connection, view: &RunView, format: Format) -> Result<ExitCode, Stop> {
    let made = print::made(&connection, view);
    output::document(format, view, |view| print::run(view, &made))?;
    connection.finish(&view.run);
    Ok(exit_code(view.status))
}
