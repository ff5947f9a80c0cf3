//! What the verbs that move runs share: the state folder, its store, the sandbox, and driving a run while the
//! terminal shows how it goes.
//!
//! A run is driven on a thread of its own. The main thread waits for it and for Ctrl-C: the first asks the run to
//! stop, the second ends it at once.

use super::progress::Progress;
use super::stop::Stop;
use super::{Format, output};
use crate::documents::Config;
use crate::drivers::Driver;
use crate::launch::Launch;
use crate::logs::{LogLine, LogSink, RunLog};
use crate::runner::{Runner, RunnerError};
use crate::runs::Runs;
use crate::state::StateFolder;
use crate::store::Embedded;
use crate::text;
use crate::view::RunView;
use crate::wasm::{Cache, Compiler, HostSettings, Notice, WasmHost};
use anyhow::Context;
use beltline_engine::{Input, Run, RunId};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

/// An opened state folder.
pub(super) struct Workbench {
    pub(super) state: StateFolder,
    pub(super) runs: Runs,
    store: Arc<Embedded>,
}

impl Workbench {
    /// Opens the store of a state folder, for this process alone.
    pub(super) fn open(state: StateFolder) -> Result<Self, Stop> {
        let store = Embedded::open(&state.store())?;
        Ok(Workbench::of(state, store))
    }

    /// Opens what is whole of the store, to read; what is not is said.
    pub(super) fn open_read_only(state: StateFolder) -> Result<Self, Stop> {
        let store = Embedded::open_read_only(&state.store())?;
        for damage in store.damage() {
            output::notice(&format!("damaged: {damage}"));
        }
        Ok(Workbench::of(state, store))
    }

    fn of(state: StateFolder, store: Embedded) -> Self {
        let store = Arc::new(store);
        let runs = Runs::new(Arc::<Embedded>::clone(&store));
        Workbench { state, runs, store }
    }

    /// Whether something of the store is lost and nobody can tell what: then nothing that is shown is sure to be whole.
    pub(super) fn is_unsure(&self) -> bool {
        self.store
            .damage()
            .iter()
            .any(|damage| damage.keys.is_empty())
    }

    /// Drives a run to its end. `inputs` is `None` for a new run.
    pub(super) fn drive(
        &self,
        launch: Launch,
        inputs: Option<Vec<Input>>,
        format: Format,
    ) -> Result<Run, Stop> {
        let id = launch.stored.run.id.to_string();
        let log = RunLog::open(&self.state.logs(), &id).map_err(Stop::fault)?;
        let progress = Arc::new(Progress::new(&launch.stored, format));
        let sink = Arc::new(Tee {
            log,
            progress: Arc::clone(&progress),
        });
        let (ask, inbox) = mpsc::unbounded_channel();
        let runs = self.runs.clone();
        let observer = Arc::<Progress>::clone(&progress);
        let drive = move || {
            let runner = Runner::new(runs, launch.stored, launch.drivers, sink, inbox, observer);
            block_on(async {
                match inputs {
                    None => runner.create().await,
                    Some(inputs) => runner.drive(inputs).await,
                }
            })
        };
        let ended = block_on(wait(drive, &ask, &progress));
        progress.finish();
        if let Some(failure) = self.store.compaction_failure() {
            let failure = anyhow::Error::new(failure);
            output::notice(&format!(
                "warning: the state could not give back space: {failure:#}"
            ));
        }
        ended?.map_err(Stop::from)
    }

    /// Everything about a run that is shown.
    pub(super) fn view(&self, id: RunId) -> Result<RunView, Stop> {
        block_on(async {
            let stored = self.runs.load(id).await?;
            let stored = stored.ok_or_else(|| no_such_run(id))?;
            let events = self.runs.events(id).await?;
            let mut outputs = Vec::new();
            for (index, step) in (0_u32..).zip(&stored.run.steps) {
                outputs.push(self.runs.output(id, index, step.attempts).await?);
            }
            Ok(RunView::new(&stored, &events, &outputs))
        })
    }
}

/// A run that is not there.
pub(super) fn no_such_run(id: RunId) -> Stop {
    Stop::invalid(anyhow::anyhow!(
        "there is no run {id}; `belt runs list` names those there are"
    ))
}

/// Starts the sandbox as the operator's file has it. What he may want to know is said as it comes up; that a driver
/// is compiled only in text, where somebody waits.
pub(super) fn sandbox(config: &Config, format: Format) -> Result<WasmHost, Stop> {
    let tell = move |notice: Notice| match notice {
        Notice::Compiling(_) if format != Format::Text => {}
        Notice::Compiling(_) => output::notice(&notice.to_string()),
        Notice::Allocation(_) | Notice::Cache { .. } => output::notice(&format!("note: {notice}")),
    };
    let cache = Cache::default_path().and_then(|path| Cache::open(&path));
    if let Err(error) = &cache {
        let error = text::chain(error);
        output::notice(&format!("note: compiled code is not cached: {error}"));
    }
    let settings = HostSettings {
        guest_memory: config.guest_memory,
        cache: cache.ok(),
        compiler: Some(Compiler::this_executable()),
    };
    WasmHost::new(settings, Arc::new(tell)).map_err(Stop::fault)
}

/// Which bytes run, and what they are not granted though they want it.
pub(super) fn say_drivers(used: &BTreeMap<String, Driver>, format: Format) {
    for driver in used.values() {
        if format == Format::Text {
            let version = text::shown(driver.version.as_deref().unwrap_or("(no version)"));
            let (name, digest) = (&driver.name, driver.digest);
            output::notice(&format!("driver {name} {version} {digest}"));
        }
        for lacking in &driver.lacks {
            let name = &driver.name;
            output::notice(&format!(
                "note: driver `{name}` wants `{lacking}` and belt.yaml grants less"
            ));
        }
    }
}

/// Runs a future on this thread.
pub(super) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime
        .expect("a runtime needs but an epoll and an event descriptor")
        .block_on(future)
}

/// The Ctrl-C that ends a run at once. One more leaves it behind.
const FORCED: u32 = 2;

/// How often the main thread looks whether the run's thread is held up.
const LOOK: Duration = Duration::from_secs(1);

/// Has a thread drive the run and waits for it, handing it what Ctrl-C or a SIGTERM asks for. Listens before the run
/// begins: no signal is missed, and none ends the process.
async fn wait(
    drive: impl FnOnce() -> Result<Run, RunnerError> + Send + 'static,
    ask: &mpsc::UnboundedSender<Input>,
    progress: &Progress,
) -> Result<Result<Run, RunnerError>, Stop> {
    let listen = |kind| {
        signal(kind)
            .context("cannot listen for signals")
            .map_err(Stop::fault)
    };
    let mut interrupts = listen(SignalKind::interrupt())?;
    let mut terminations = listen(SignalKind::terminate())?;
    let driving = thread::Builder::new()
        .name("run".into())
        .spawn(drive)
        .context("cannot start a thread for the run")
        .map_err(Stop::fault)?;
    let mut driven = tokio::task::spawn_blocking(move || driving.join());
    let mut look = tokio::time::interval(LOOK);
    let mut asked = 0_u32;
    loop {
        tokio::select! {
            joined = &mut driven => {
                let joined = joined.context("the run's thread is gone").map_err(Stop::fault)?;
                let panicked = || anyhow::anyhow!("the host panicked; the run can be resumed");
                return joined.map_err(|_| Stop::fault(panicked()));
            }
            Some(()) = async { tokio::select! { one = interrupts.recv() => one, one = terminations.recv() => one } } => {
                asked += 1;
                if asked > FORCED {
                    leave("left the run as it is");
                }
                // The run may have ended meanwhile: then there is nobody left to ask.
                let _ = ask.send(Input::Cancel { force: asked > 1 });
                progress.cancelling(asked > 1);
            }
            _ = look.tick() => if progress.is_held_up() {
                leave("a step is past its deadline in a file call that does not return (a network file system?)");
            }
        }
    }
}

/// Ends the process beside a run whose thread cannot be ended: it would hold us up as well. The next start of that
/// attempt is its second, and a third makes it `lost`.
fn leave(why: &str) -> ! {
    Stop::fault(anyhow::anyhow!("{why}; `belt runs resume` goes on with it")).leave()
}

/// A run's lines go into its log and past the eyes of whoever watches.
struct Tee {
    log: RunLog,
    progress: Arc<Progress>,
}

impl LogSink for Tee {
    fn append(&self, line: LogLine) {
        self.progress.line(&line);
        self.log.append(line);
    }
}
