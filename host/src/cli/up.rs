//! `belt up`: the host that stays. Resources come in over HTTP, runs happen, people watch them.

use super::broker::BrokerArgs;
use super::connection::{Owned, block_on, read_token, settings};
use super::signals::Signals;
use super::stop::Stop;
use super::{Format, log, output};
use crate::api::{Listening, OwnerView};
use crate::client::Client;
use crate::clock;
use crate::owner::Owner;
use crate::state::StateFolder;
use crate::store::{Embedded, StoreError};
use anyhow::Context;
use clap::Args;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// Between two looks whether a `belt run` has ended.
const TRY_PAUSE: Duration = Duration::from_millis(50);

/// How long a folder is tried that somebody has and nobody answers for.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);

#[derive(Args)]
pub(super) struct UpArgs {
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// The state folder [default: the nearest .belt upwards, else a new one here]
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// The operator's file
    #[arg(long, value_name = "FILE", default_value = "belt.yaml")]
    config: PathBuf,
    /// The file with the token that clients must show; needed where the address is not loopback
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// How long runs under way may go on after SIGTERM or Ctrl-C; then they are left as they are, to be resumed
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = crate::documents::parse_duration)]
    drain: Duration,
    /// Every line on stderr as a JSON object: `timestamp`, `level`, `message`, `target`, and fields of their own
    #[arg(long)]
    log_json: bool,
    #[command(flatten)]
    broker: BrokerArgs,
}

pub(super) fn up(args: &UpArgs) -> Result<ExitCode, Stop> {
    log::start(args.log_json);
    let token = args.token_file.as_deref().map(read_token).transpose()?;
    if token.is_none() && !args.listen.ip().is_loopback() {
        return Err(Stop::invalid(anyhow::anyhow!(
            "`{}` can be reached from elsewhere; name a file with the token that clients must show: --token-file FILE",
            args.listen
        )));
    }
    let config = std::path::absolute(&args.config).map_err(Stop::fault)?;
    if !config.exists() {
        return Err(Stop::invalid(anyhow::anyhow!(
            "there is no `{}`; name the operator's file with --config FILE (`drivers: {{}}` will do to begin with)",
            args.config.display()
        )));
    }
    // What is wrong with it is said before anything is made.
    crate::documents::read_files(std::slice::from_ref(&config))?;
    let state = StateFolder::locate(args.state.as_deref())?;
    state.make()?;
    let store = take(&state)?;
    let owned = Owned::new(
        state.clone(),
        store,
        settings(Some(config), Format::Json, None),
        &args.broker,
    )?;
    let owner = Arc::clone(&owned.owner);
    let serving = owned
        .serving()
        .context("there are no threads")
        .map_err(Stop::fault)?;
    let (address, taken_up) = serving.block_on(start(&owned, args.listen, token))?;
    // Whoever reads that it is up may end it at once.
    let signals = serving.block_on(async { Signals::new() })?;
    output::notice(&format!(
        "belt is up at http://{address}; its API is shown at http://{address}/docs"
    ));
    tracing::info!(%address, open = taken_up, "up");
    serving.block_on(until_signal(&owner, signals, args.drain));
    owned.end();
    Ok(ExitCode::SUCCESS)
}

/// Serves the drivers, listens, and takes up every open run.
async fn start(
    owned: &Owned,
    listen: SocketAddr,
    token: Option<Arc<str>>,
) -> Result<(SocketAddr, usize), Stop> {
    let owner = &owned.owner;
    owner.serve_drivers().await?;
    let listening = Listening::tcp(listen, token).await;
    let listening = listening.with_context(|| format!("cannot listen on {listen}"));
    let (listening, address) = listening.map_err(Stop::fault)?;
    let taken_up = owner.take_up_all().await?;
    owned.listen(listening);
    Ok((address, taken_up))
}

/// The store of a folder, for this process alone. A `belt run` that has it is waited for.
fn take(state: &StateFolder) -> Result<Embedded, Stop> {
    let mut give_up = clock::now_ms() + clock::millis(ANSWER_TIME_MAX);
    let mut is_told = false;
    loop {
        let error = match Embedded::open(&state.store()) {
            Ok(store) => return Ok(store),
            Err(error) => error,
        };
        if !matches!(error, StoreError::Locked { .. }) {
            return Err(error.into());
        }
        match owner_of(state) {
            Some(owner) if owner.stays => {
                return Err(Stop::fault(anyhow::anyhow!(
                    "a `belt up` has `{}` already, process {}",
                    state.root().display(),
                    owner.pid
                )));
            }
            Some(owner) => {
                give_up = clock::now_ms() + clock::millis(ANSWER_TIME_MAX);
                if !std::mem::replace(&mut is_told, true) {
                    output::notice(&format!(
                        "waiting for a `belt run` to end, process {}, which has the state with {} runs",
                        owner.pid, owner.runs
                    ));
                }
            }
            None if clock::now_ms() > give_up => return Err(error.into()),
            None => {}
        }
        block_on(async { tokio::time::sleep(TRY_PAUSE).await });
    }
}

fn owner_of(state: &StateFolder) -> Option<OwnerView> {
    let client = Client::of_folder(state.root()).ok()?;
    block_on(client.get("/owner")).ok()
}

/// Waits for a signal; then no new runs begin, and those under way may end their attempts. What has not by then is left
/// as it is in the store: the next start takes it up.
async fn until_signal(owner: &Arc<Owner>, mut signals: Signals, drain: Duration) {
    signals.next().await;
    tracing::info!(under_way = owner.under_way(), "draining");
    owner.close();
    tokio::select! {
        () = signals.next() => {}
        _ = tokio::time::timeout(drain, owner.until_quiet()) => {}
    }
    tracing::info!(left = owner.carries(), "down");
}
