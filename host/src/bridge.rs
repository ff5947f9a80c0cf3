//! The bridge to native drivers, over NATS JetStream.
//!
//! JetStream is a channel that may lose, repeat and delay; the truth is the store. So the bridge keeps a book of the
//! attempts that are out ([`outs`]), hands an attempt over again when its message, its stream or its consumer is not there
//! any more, and takes an answer only where it shows, by its token, which attempt it is the answer to. Deadlines and
//! retries are the engine's. The bridge never decides what becomes of a run.
//!
//! ```text
//! connection   the client, and how often it had to connect anew
//! streams      the three streams, read back
//! consumers    the durable consumer of each driver, read back
//! dispatch     an attempt as a message, and its way out
//! way          an attempt on its way to the broker
//! outs         which attempts are out; pure
//! back         taking back what is out
//! keeper       looks after all of that for as long as something is out
//! poison       messages that kill their driver
//! listen       hearing what is published, and taking it in order
//! present      how native drivers stand
//! results      answers: fenced, taken, then acknowledged
//! logs         what native drivers say
//! lines        how far that is in the logs
//! outputs      outputs that a message did not carry
//! words        names and entries that many attempts share
//! announce     what ran here, told to those who watch
//! spawn        a nats-server of the host's own
//! ```

mod announce;
mod back;
mod connection;
mod consumers;
mod dispatch;
mod keeper;
mod lines;
mod listen;
mod logs;
mod outputs;
mod outs;
mod poison;
mod present;
mod results;
pub mod spawn;
mod streams;
mod token;
mod way;
mod words;

pub(crate) use announce::EndedHere;
pub use connection::NatsSettings;
pub use dispatch::NativeStep;
pub use present::NativeState;

use crate::digest::Digest;
use crate::owner::Owner;
use crate::records::{decode, encode};
use crate::runs::RunsError;
use crate::store::{Batch, Store, StoreError};
use async_nats::jetstream;
use back::Owed;
use beltline_engine::RunId;
use connection::Connection;
use consumers::Consumers;
use lines::Lines;
use outs::Outs;
use parking_lot::Mutex;
use poison::Suspects;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;
use token::Tokens;
use tokio::sync::{Notify, OnceCell};
use uuid::Uuid;
use words::Words;

/// Who this host is on the broker, and the key of its tokens; made once for a state folder.
const IDENTITY: &str = "bridge/identity";

/// Drivers of which it is known when they were last seen.
const NAMES_MAX: usize = 10_000;

/// How long the broker may take for one request.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(2);

/// A broker that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BridgeError {
    /// It cannot be reached, or lets nobody in.
    #[error("NATS at `{url}` cannot be reached")]
    Connect {
        /// Where, without credentials.
        url: String,
        /// Why.
        #[source]
        source: async_nats::ConnectError,
    },
    /// Settings that are none.
    #[error("{0}")]
    Settings(String),
    /// It refuses a request, or does not answer.
    #[error("NATS does not {doing}: {why}")]
    Request {
        /// What was asked for.
        doing: String,
        /// What it says.
        why: String,
    },
    /// A stream or a consumer that is not as it has to be.
    #[error("{what} `{name}` on the broker {why}")]
    Differs {
        /// `stream` or `consumer`.
        what: &'static str,
        /// Its name.
        name: String,
        /// What is not as it has to be, and the next move.
        why: String,
    },
    /// A server that is too old for what is asked of it.
    #[error(
        "driver `{driver}` is reached by `wire: conveyor`, whose consumers have several subjects, and nats-server {version} drops them without a word; take nats-server 2.10 or later, or the default wire"
    )]
    Old {
        /// The driver.
        driver: String,
        /// The server's version.
        version: String,
    },
    /// The store refuses.
    #[error(transparent)]
    Runs(#[from] RunsError),
}

impl From<StoreError> for BridgeError {
    fn from(error: StoreError) -> Self {
        BridgeError::Runs(error.into())
    }
}

fn request(doing: impl Into<String>) -> impl FnOnce(&dyn std::error::Error) -> BridgeError {
    let doing = doing.into();
    move |why| BridgeError::Request {
        doing,
        why: crate::text::chain(why),
    }
}

/// Refuses a stream or a consumer for the first of these reasons that is so; `nats` with these words removes it.
fn check(
    what: &'static str,
    name: &str,
    reasons: &[(bool, &str)],
    removal: &str,
) -> Result<(), BridgeError> {
    match reasons.iter().find(|(is_so, _)| *is_so) {
        None => Ok(()),
        Some((_, why)) => Err(BridgeError::Differs {
            what,
            name: name.to_owned(),
            why: format!("{why}; remove it, so that it is made anew (`nats {removal}`)"),
        }),
    }
}

/// Why there is no answer, where nobody gives one.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Silent(&'static str);

/// What is counted of the bridge.
#[derive(Debug, Default)]
pub struct Counts {
    /// Answers that were not taken.
    pub ignored: AtomicU64,
    /// Messages that were handed over once more.
    pub again: AtomicU64,
    /// How often the connection was lost and made anew.
    pub reconnects: AtomicU64,
    /// Steps that ran here and could not be told to those who watch.
    pub unannounced: AtomicU64,
}

/// The bridge of one host.
pub struct Bridge {
    connection: Connection,
    /// Lasts as long as the host.
    runtime: tokio::runtime::Handle,
    jetstream: jetstream::Context,
    /// Who this host is.
    identity: IdentityRecord,
    /// Whether it reads no more.
    has_left: AtomicBool,
    /// Held by whoever makes or removes this host's own consumers.
    own_consumers: tokio::sync::Mutex<()>,
    tokens: Tokens,
    words: Words,
    store: Arc<dyn Store>,
    owner: OnceLock<Weak<Owner>>,
    streams: Mutex<streams::Known>,
    consumers: Consumers,
    outs: Mutex<Outs>,
    owed: Owed,
    suspects: Suspects,
    /// Messages that all drivers of a kind share, by run.
    shared: Mutex<HashMap<RunId, Arc<Shared>>>,
    seen: Mutex<BTreeMap<String, u64>>,
    lines: Lines,
    /// Wakes the keeper.
    look: Notify,
    announced: announce::Queue,
    counts: Arc<Counts>,
}

/// A message that all drivers of a kind share.
#[derive(Default)]
struct Shared {
    /// Its place in the stream, once it is published.
    sequence: OnceCell<u64>,
    /// Its place, where one of them is not to have it any more.
    withdrawn: Mutex<Option<outs::Place>>,
}

#[derive(Clone, Serialize, Deserialize)]
struct IdentityRecord {
    host: String,
    key: Digest,
    /// What was published before concerns others, or is over; in milliseconds since the Unix epoch.
    #[serde(default)]
    since_ms: u64,
}

impl Bridge {
    /// Connects, and makes sure of the streams.
    ///
    /// # Errors
    /// A broker that cannot be used; it names why.
    pub async fn connect(
        settings: &NatsSettings,
        store: Arc<dyn Store>,
    ) -> Result<Arc<Self>, BridgeError> {
        let identity = identity(&*store).await?;
        let counts: Arc<Counts> = Arc::default();
        let connection = Connection::open(settings, &identity.host, Arc::clone(&counts)).await?;
        let jetstream = connection.jetstream();
        let bridge = Arc::new(Bridge {
            connection,
            runtime: tokio::runtime::Handle::current(),
            jetstream,
            has_left: AtomicBool::new(false),
            own_consumers: tokio::sync::Mutex::default(),
            tokens: Tokens::new(identity.key),
            identity,
            words: Words::default(),
            store,
            owner: OnceLock::new(),
            streams: Mutex::default(),
            consumers: Consumers::default(),
            outs: Mutex::default(),
            owed: Owed::default(),
            suspects: Suspects::default(),
            shared: Mutex::default(),
            seen: Mutex::default(),
            lines: Lines::default(),
            look: Notify::new(),
            announced: announce::Queue::default(),
            counts,
        });
        bridge.make_sure_of_streams(&[]).await?;
        Ok(bridge)
    }

    /// Begins to carry for this owner.
    pub(crate) fn carry_for(self: &Arc<Self>, owner: &Arc<Owner>) {
        if self.owner.set(Arc::downgrade(owner)).is_err() {
            return;
        }
        self.runtime.spawn(Arc::clone(self).keep());
        self.runtime.spawn(Arc::clone(self).listen_to_advisories());
        self.runtime.spawn(Arc::clone(self).listen_to_requests());
        self.runtime.spawn(Arc::clone(self).take_results());
        self.runtime.spawn(Arc::clone(self).take_logs());
        self.runtime.spawn(Arc::clone(self).serve_outputs());
        self.runtime.spawn(Arc::clone(self).announce());
    }

    fn owner(&self) -> Option<Arc<Owner>> {
        self.owner.get().and_then(Weak::upgrade)
    }

    /// What is counted.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Attempts that are out and that nobody has taken yet.
    pub fn waiting(&self) -> usize {
        self.outs.lock().waiting()
    }

    /// Messages that are open and that the broker has delivered more than once.
    pub fn redelivered(&self) -> usize {
        self.consumers.redelivered()
    }

    /// Ends for good, with nothing out: nothing is read for this host until it is here again, and then from now on.
    ///
    /// # Errors
    /// The store's.
    pub async fn leave(&self) -> Result<(), BridgeError> {
        self.has_left.store(true, Ordering::Release);
        let record = IdentityRecord {
            since_ms: crate::clock::now_ms(),
            ..self.identity.clone()
        };
        let batch = Batch::new().put(IDENTITY, encode(&record));
        let revision = self.store.commit(batch).await?;
        self.store.sync(revision).await?;
        if self.connection.is_there() {
            self.pay_owed().await;
            self.read_no_more().await;
            // What was said goes out before the connection does.
            let _ = tokio::time::timeout(REQUEST_TIME_MAX, self.connection.client.flush()).await;
        }
        Ok(())
    }

    fn saw(&self, driver: &str) {
        let now_ms = crate::clock::now_ms();
        let mut seen = self.seen.lock();
        // Whoever may publish could otherwise fill the memory with names.
        if seen.contains_key(driver) || seen.len() < NAMES_MAX {
            seen.insert(driver.to_owned(), now_ms);
        }
    }

    fn count_ignored(&self) {
        self.counts.ignored.fetch_add(1, Ordering::Relaxed);
    }
}

async fn identity(store: &dyn Store) -> Result<IdentityRecord, BridgeError> {
    if let Some(found) = store.get(IDENTITY).await? {
        return Ok(decode(IDENTITY, &found.value).map_err(RunsError::from)?);
    }
    let record = IdentityRecord {
        host: Uuid::now_v7().simple().to_string(),
        key: random()?,
        since_ms: crate::clock::now_ms(),
    };
    let batch = Batch::new()
        .expect_absent(IDENTITY)
        .put(IDENTITY, encode(&record));
    let revision = store.commit(batch).await?;
    store.sync(revision).await?;
    Ok(record)
}

/// What nobody can guess.
fn random() -> Result<Digest, BridgeError> {
    let mut bytes = [0; 32];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()).map_err(
        |error| BridgeError::Settings(format!("the system gives no randomness: {error}")),
    )?;
    Ok(Digest::of(&bytes))
}
