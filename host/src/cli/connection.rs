//! How a command reaches the runs that it is about: a server, the owner of a state folder, or itself as that owner.
//!
//! Whoever finds a folder without an owner becomes it, listens on its socket, and stays until the runs that it carries
//! have ended. Whoever only looks opens it to read.

use super::broker::BrokerArgs;
use super::stop::Stop;
use super::{Format, output};
use crate::api::{self, Listening, SOCKET, Server};
use crate::bridge::spawn::Spawned;
use crate::client::{Client, ClientError};
use crate::clock;
use crate::documents::Config;
use crate::owner::{OPEN_MAX, Owner, SLOTS, Settings};
use crate::state::StateFolder;
use crate::store::{Embedded, StoreError};
use crate::text;
use crate::wasm::{Cache, Compiler, HostSettings, Notice, Tell, WasmHost};
use anyhow::Context;
use clap::Args;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;

/// How long a folder is tried that somebody has and nobody answers for: an owner that starts, or one that ends.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);

/// Between two tries.
pub(super) const TRY_PAUSE: Duration = Duration::from_millis(20);

/// A token of a file has at most so many bytes.
const TOKEN_BYTES_MAX: u64 = 4096;

/// The server, where neither one nor a folder is named.
const SERVER: &str = "BELT_SERVER";

/// The file with its token, where none is named.
const TOKEN_FILE: &str = "BELT_TOKEN_FILE";

/// Which runs a command is about.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct Place {
    // Both are read from the environment below: for clap what is there would contradict a folder that is named.
    /// The server, http://HOST:PORT, instead of a state folder [env: BELT_SERVER]
    #[arg(long, value_name = "URL", conflicts_with = "state")]
    server: Option<String>,
    /// The file with the server's token [env: BELT_TOKEN_FILE]
    #[arg(long, value_name = "FILE", conflicts_with = "state")]
    token_file: Option<PathBuf>,
    /// The state folder [default: the nearest .belt upwards]
    #[arg(long, value_name = "DIR")]
    pub(super) state: Option<PathBuf>,
}

/// A way to the runs.
pub(super) struct Connection {
    pub(super) client: Client,
    /// The folder, where there is one.
    folder: Option<StateFolder>,
    /// What this process reaches native drivers by, where it is the owner or becomes it.
    broker: BrokerArgs,
    /// This process, where it is the owner.
    pub(super) owned: Option<Owned>,
}

/// An owner that this process is.
pub(super) struct Owned {
    pub(super) owner: Arc<Owner>,
    runs: Option<Runtime>,
    serving: Option<Runtime>,
    server: Server,
    listens: bool,
    ends: watch::Sender<bool>,
    /// The broker, where it is one of its own: it ends when everything else has.
    broker: Option<Spawned>,
}

impl Place {
    /// To look only: nothing changes.
    pub(super) fn look(&self) -> Result<Connection, Stop> {
        if let Some(server) = self.server()? {
            return Ok(server);
        }
        let state = StateFolder::find(self.state.as_deref())?;
        Connection::looking(state)
    }

    /// To move runs that are there.
    pub(super) fn open(&self, format: Format) -> Result<Connection, Stop> {
        self.open_over(&BrokerArgs::default(), format)
    }

    /// The same, with native drivers.
    pub(super) fn open_over(
        &self,
        broker: &BrokerArgs,
        format: Format,
    ) -> Result<Connection, Stop> {
        if let Some(server) = self.server()? {
            return Ok(server);
        }
        let state = StateFolder::find(self.state.as_deref())?;
        if !state.has_store() {
            return Err(Stop::no_runs());
        }
        Connection::of_folder(state, format, None, broker.clone())
    }

    /// To bring something: a folder that is not there is made.
    pub(super) fn open_or_make(&self, format: Format) -> Result<Connection, Stop> {
        if let Some(server) = self.server()? {
            return Ok(server);
        }
        let state = StateFolder::locate(self.state.as_deref())?;
        state.make()?;
        Connection::of_folder(state, format, None, BrokerArgs::default())
    }

    /// The server, where one is named.
    pub(super) fn server(&self) -> Result<Option<Connection>, Stop> {
        if self.state.is_some() {
            return Ok(None);
        }
        let Some(url) = self.server.clone().or_else(|| of_environment(SERVER)) else {
            return match self.token_file {
                Some(_) => Err(Stop::invalid(anyhow::anyhow!(
                    "`--token-file` is for a server, and none is named; name it with --server URL"
                ))),
                None => Ok(None),
            };
        };
        let token_file = self.token_file.clone();
        let token_file = token_file.or_else(|| of_environment(TOKEN_FILE).map(PathBuf::from));
        let token = token_file.as_deref().map(read_token).transpose()?;
        Ok(Some(Connection {
            client: Client::of_server(&url, token)?.waiting(Arc::new(output::note)),
            folder: None,
            broker: BrokerArgs::default(),
            owned: None,
        }))
    }
}

/// What the environment says; empty is nothing.
fn of_environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The token in a file, without the line's end.
pub(super) fn read_token(path: &Path) -> Result<Arc<str>, Stop> {
    let shown = path.display();
    let bytes = fs::metadata(path).map(|found| found.len()).unwrap_or(0);
    let text = match bytes <= TOKEN_BYTES_MAX {
        true => fs::read_to_string(path),
        false => Err(std::io::Error::other("it is too large")),
    };
    let text = text.with_context(|| format!("cannot read the token in `{shown}`"));
    let text = text.map_err(Stop::invalid)?;
    let token = text.trim();
    let is_visible = |byte: u8| byte.is_ascii_graphic();
    if token.len() < 16 || !token.bytes().all(is_visible) {
        return Err(Stop::invalid(anyhow::anyhow!(
            "the token in `{shown}` must be 16 visible characters or more, without spaces"
        )));
    }
    Ok(token.into())
}

impl Connection {
    /// The owner of a folder, this process where it has none. `wasm` is the sandbox, where it has been started.
    pub(super) fn of_folder(
        state: StateFolder,
        format: Format,
        wasm: Option<WasmHost>,
        broker: BrokerArgs,
    ) -> Result<Self, Stop> {
        let open = || Ok(Embedded::open(&state.store()));
        let connection = match reach(&state, open)? {
            Reached::Owner(client) => Connection::to_owner(state, client),
            Reached::Nobody(store) => {
                let settings = settings(None, format, wasm);
                let owned = Owned::new(state.clone(), *store, settings, &broker)?;
                Connection::to_own(state, owned)
            }
        };
        Ok(Connection {
            broker,
            ..connection
        })
    }

    /// The owner of a folder; where it has none, what lies there.
    fn looking(state: StateFolder) -> Result<Self, Stop> {
        let open = || match state.has_store() {
            true => Ok(Embedded::open_read_only(&state.store())),
            false => Err(Stop::no_runs()),
        };
        match reach(&state, open)? {
            Reached::Owner(client) => Ok(Connection::to_owner(state, client)),
            Reached::Nobody(store) => {
                for damage in store.damage() {
                    output::notice(&format!("damaged: {damage}"));
                }
                let settings = settings(None, Format::Json, None);
                let owner = Owner::new(state.clone(), *store, settings);
                let (owner, runs) = owner.map_err(Stop::fault)?;
                Ok(Connection::to_own(state, Owned::quiet(owner, runs)))
            }
        }
    }

    fn to_owner(state: StateFolder, client: Client) -> Self {
        Connection {
            client,
            folder: Some(state),
            broker: BrokerArgs::default(),
            owned: None,
        }
    }

    fn to_own(state: StateFolder, owned: Owned) -> Self {
        Connection {
            client: owned.client(),
            folder: Some(state),
            broker: BrokerArgs::default(),
            owned: Some(owned),
        }
    }

    /// The same way again, after it broke: the owner's death makes this process the owner.
    pub(super) fn again(&mut self, format: Format) -> Result<(), Stop> {
        if let (None, Some(state)) = (&self.owned, &self.folder) {
            *self = Connection::of_folder(state.clone(), format, None, self.broker.clone())?;
        }
        Ok(())
    }

    /// What there is to see, also where the owner has ended since.
    pub(super) fn see<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<T, Stop> {
        let error = match block_on(self.client.get(path)) {
            Err(error @ ClientError::Unreachable { .. }) => error,
            found => return Ok(found?),
        };
        match self.without_owner()? {
            Some(looking) => Ok(block_on(looking.client.get(path))?),
            None => Err(error.into()),
        }
    }

    /// The way to look that is left where the owner that this one led to has ended.
    pub(super) fn without_owner(&self) -> Result<Option<Self>, Stop> {
        match (&self.folder, &self.owned) {
            (Some(state), None) => Connection::looking(state.clone()).map(Some),
            (None, _) | (_, Some(_)) => Ok(None),
        }
    }

    /// Whether paths mean the same here and there.
    pub(super) fn is_local(&self) -> bool {
        self.folder.is_some()
    }

    /// Stays until the runs that this process carries beside its own have ended, if it is an owner.
    pub(super) fn finish(mut self, own: &str) {
        let Some(owned) = self.owned.take() else {
            return;
        };
        owned.finish(own);
    }
}

/// A client of the folder's owner, if one answers.
fn answering(state: &StateFolder) -> Result<Option<Client>, Stop> {
    if !state.root().is_dir() {
        return Ok(None);
    }
    let client = Client::of_folder(state.root())?;
    let asked = block_on(client.get::<api::OwnerView>("/owner"));
    match asked {
        Ok(_) => Ok(Some(client)),
        Err(ClientError::Unreachable { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Whom a state folder leads to.
enum Reached {
    Owner(Client),
    /// Nobody has it; here is its store.
    Nobody(Box<Embedded>),
}

/// Finds the owner of a folder, or opens its store; tries again, for a while, where somebody has it and does not answer.
fn reach(
    state: &StateFolder,
    open: impl Fn() -> Result<Result<Embedded, StoreError>, Stop>,
) -> Result<Reached, Stop> {
    let give_up_ms = clock::now_ms() + clock::millis(ANSWER_TIME_MAX);
    loop {
        if let Some(client) = answering(state)? {
            return Ok(Reached::Owner(client));
        }
        match open()? {
            Ok(store) => return Ok(Reached::Nobody(Box::new(store))),
            Err(StoreError::Locked { .. }) if clock::now_ms() <= give_up_ms => {
                block_on(async { tokio::time::sleep(TRY_PAUSE).await });
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// What an owner starts with. What an operator may want to know of drivers is said as it comes up; that a driver is
/// compiled only in text, where somebody waits.
pub(super) fn settings(
    config: Option<PathBuf>,
    format: Format,
    wasm: Option<WasmHost>,
) -> Settings {
    Settings {
        stays: config.is_some(),
        config,
        slots: SLOTS,
        open_max: OPEN_MAX,
        tell: tell(format),
        sandbox: host_settings,
        wasm,
    }
}

fn tell(format: Format) -> Tell {
    Arc::new(move |notice: Notice| match notice {
        Notice::Compiling(_) if format != Format::Text => {}
        Notice::Compiling(_) => output::notice(&notice.to_string()),
        Notice::Allocation(_) | Notice::Cache { .. } => output::note(&notice.to_string()),
    })
}

fn host_settings(config: &Config) -> HostSettings {
    let cache = Cache::default_path().and_then(|path| Cache::open(&path));
    if let Err(error) = &cache {
        let error = text::chain(error);
        output::note(&format!("compiled code is not cached: {error}"));
    }
    HostSettings {
        guest_memory: config.guest_memory,
        cache: cache.ok(),
        compiler: Some(Compiler::this_executable(config.compile.into())),
    }
}

/// The sandbox as an operator's file has it.
pub(super) fn sandbox(config: &Config, format: Format) -> Result<WasmHost, Stop> {
    WasmHost::new(host_settings(config), tell(format)).map_err(Stop::fault)
}

impl Owned {
    /// Takes a folder whose store is open to write, and listens on its socket; connected to the broker first, so that nobody who
    /// comes finds none.
    pub(super) fn new(
        state: StateFolder,
        store: Embedded,
        settings: Settings,
        broker: &BrokerArgs,
    ) -> Result<Self, Stop> {
        let folder = state.root().to_owned();
        let (owner, runs) = Owner::new(state.clone(), store, settings).map_err(Stop::fault)?;
        let mut owned = Owned::quiet(owner, runs);
        owned.broker = block_on(broker.connect(&owned.owner, &state))?;
        let serving = serving_threads()?;
        let listening = {
            let _entered = serving.enter();
            Listening::socket(&folder)
                .with_context(|| format!("cannot listen in `{}`", folder.display()))
                .map_err(Stop::fault)?
        };
        owned.serving = Some(serving);
        owned.listens = true;
        owned.listen(listening);
        Ok(owned)
    }

    /// One that nobody else reaches.
    fn quiet(owner: Arc<Owner>, runs: Runtime) -> Self {
        let ends = watch::Sender::new(false);
        let service = api::service_until(Arc::clone(&owner), ends.subscribe());
        let server = Server::new(service, ends.subscribe());
        Owned {
            owner,
            runs: Some(runs),
            serving: None,
            server,
            listens: false,
            ends,
            broker: None,
        }
    }

    /// Serves one more listener.
    pub(super) fn listen(&self, listening: Listening) {
        let server = self.server.clone();
        if let Some(serving) = &self.serving {
            serving.spawn(async move { server.serve(listening).await });
        }
    }

    /// Where listeners run.
    pub(super) fn serving(&self) -> Option<&Runtime> {
        self.serving.as_ref()
    }

    pub(super) fn client(&self) -> Client {
        Client::of_service(api::service(Arc::clone(&self.owner)))
    }

    /// Stays until nothing is carried any more, and ends.
    fn finish(self, own: &str) {
        if self.serving.is_some() {
            // Its own has ended, though that may not be in the books yet.
            let others = self.owner.carries_beside(own.parse().ok());
            if others > 0 {
                output::note(&format!(
                    "{others} more runs of others are carried here; waiting for their end"
                ));
            }
            block_on(self.owner.until_idle());
        }
        if let Some(bridge) = self.owner.bridge().filter(|_| self.owner.carries() == 0)
            && let Err(error) = block_on(bridge.leave())
        {
            output::warning(&format!("{:#}", anyhow::Error::new(error)));
        }
        self.end();
    }

    /// Ends: no more requests, no more runs.
    pub(super) fn end(mut self) {
        self.owner.close();
        let _ = self.ends.send(true);
        if let Some(serving) = self.serving.take() {
            let quiet =
                async { tokio::time::timeout(END_TIME_MAX, self.server.until_quiet()).await };
            // Who still listens then is cut off.
            let _ = serving.block_on(quiet);
            serving.shutdown_background();
        }
        if let Some(failure) = self.owner.store().compaction_failure() {
            let failure = anyhow::Error::new(failure);
            output::warning(&format!("the state could not give back space: {failure:#}"));
        }
        if let Some(runs) = self.runs.take() {
            runs.shutdown_background();
        }
    }
}

/// How long connections may take to end with the process.
const END_TIME_MAX: Duration = Duration::from_millis(500);

impl Drop for Owned {
    /// The socket goes while the store is still ours: it is not yet that of the next owner.
    fn drop(&mut self) {
        if self.listens {
            let _ = fs::remove_file(self.owner.state().root().join(SOCKET));
        }
        // Not from inside a runtime, where a blocking end is not allowed.
        for runtime in [self.serving.take(), self.runs.take()]
            .into_iter()
            .flatten()
        {
            runtime.shutdown_background();
        }
    }
}

/// Threads for listeners: apart from those of the runs, so that a spinning guest holds up no request.
pub(super) fn serving_threads() -> Result<Runtime, Stop> {
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("serving")
        .enable_all()
        .build();
    runtime.context("cannot start threads").map_err(Stop::fault)
}

/// Runs a future on this thread.
pub(super) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime
        .expect("a runtime needs but an epoll and an event descriptor")
        .block_on(future)
}
