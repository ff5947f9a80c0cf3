//! Answers of native drivers: found out which attempt each is to, folded, made durable, and only then acknowledged.
//!
//! Answers of runs that this host has not are another's. Those that are not taken are written down with the reason.

mod arrived;

use self::arrived::{Arrived, at_once};
use super::Bridge;
use super::listen::BATCH;
use super::outs::{Out, Sent, UNNAMED};
use super::token::{Tokens, unpack};
use crate::clock;
use crate::documents::Token;
use crate::owner::{Owner, OwnerError};
use crate::records::{IgnoredRecord, encode};
use crate::runner::{Answered, Told};
use crate::runs::{StoredRun, ignored_prefix};
use crate::store::{Batch, Order};
use crate::text;
use crate::wasm::MESSAGE_BYTES;
use beltline_engine::{Answer, Failure, FailureKind, RunId};
use beltline_wire::subjects::{RESULT_SUBJECT, RESULTS_STREAM};
use beltline_wire::{DriverFailure, DriverOutcome, DriverResult, OUTPUT_BYTES_MAX};
use futures::FutureExt;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Answers that are in hand at once.
const IN_HAND_MAX: usize = BATCH;
/// The longest answer that is read. Drivers of Conveyor's send back the resource with all that was answered before them.
const RESULT_BYTES_MAX: usize = 8 << 20;

/// How many answers of a run are written down that were not taken.
const IGNORED_MAX: usize = 100;

impl Bridge {
    /// Takes answers for as long as the host is there.
    pub(super) async fn take_results(self: Arc<Self>) {
        let room = Arc::new(Semaphore::new(IN_HAND_MAX));
        self.take_each(
            RESULTS_STREAM,
            RESULT_SUBJECT,
            |_| {},
            |owner, message| {
                let (bridge, room) = (Arc::clone(&self), Arc::clone(&room));
                async move {
                    // It is closed by nobody.
                    let Ok(permit) = room.acquire_owned().await else {
                        return;
                    };
                    let arrived = Arrived::new(bridge, message, permit);
                    at_once(async move { arrived.take(&owner).await }.boxed());
                }
            },
        )
        .await;
    }

    /// The attempt that a message answers, where it is one of this host's and counts for something.
    async fn chosen(
        &self,
        owner: &Owner,
        payload: &[u8],
        sequence: u64,
    ) -> Result<Found, OwnerError> {
        let result = match parse(payload) {
            Ok(result) => result,
            Err(why) => {
                let why = format!("it is no answer: {why}");
                return Ok(Found::Ignored(None, About::default(), why));
            }
        };
        let about = || About::of(&result);
        let Ok(run) = result.run_id.parse::<RunId>() else {
            let why = format!("`run_id` is no run's: {}", text::cut(&result.run_id, 100));
            return Ok(Found::Ignored(None, about(), why));
        };
        // What hosts tell of their own steps is for those who watch.
        if result.host.is_some() {
            return Ok(match self.is_out(run, &result) {
                true => {
                    let why = "`host` says that the step ran in a host".to_owned();
                    Found::Ignored(Some(run), about(), why)
                }
                false => Found::Nothing,
            });
        }
        self.saw(&result.driverresult.driver);
        let Some(outs) = self.open_of(owner, run).await? else {
            return Ok(Found::Nothing);
        };
        let (out, is_fenced) = match choose(&self.tokens, run, &outs, &result, sequence) {
            Ok(chosen) => chosen,
            Err(why) => return Ok(Found::Ignored(Some(run), about(), why)),
        };
        let answers = |known: &mut Out| known.is_answered |= known.attempt == out.attempt;
        self.outs.lock().change(run, out.step, answers);
        if let Some(sequence) = result.log_sequence {
            self.lines.until(sequence, &out.driver).await;
        }
        let answered = Answered {
            step: out.step,
            attempt: out.attempt,
            told: told(&result.driverresult),
            is_fenced,
        };
        Ok(Found::Answer(run, about(), answered))
    }

    /// Whether the attempt that an answer names is with a driver.
    fn is_out(&self, run: RunId, result: &DriverResult) -> bool {
        let outs = self.outs.lock();
        let named = (result.step_id.as_deref(), result.attempt);
        let is_it = |out: &Out| named == (Some(&*out.step_id), Some(out.attempt));
        outs.of_run(run).iter().any(is_it)
    }

    /// An attempt is out no more. Returns it, if it was.
    pub(super) fn is_out_no_more(&self, run: RunId, step: u32, attempt: u32) -> Option<Out> {
        let mut outs = self.outs.lock();
        let is_out = outs
            .get(run, step)
            .is_some_and(|out| out.attempt == attempt);
        is_out.then(|| outs.remove(run, step)).flatten()
    }

    /// The attempts of a run that are out, from the book or, before it is taken up, from the store; `None` where there is no
    /// such run here.
    async fn open_of(&self, owner: &Owner, run: RunId) -> Result<Option<Vec<Out>>, OwnerError> {
        let outs = self.outs.lock().of_run(run).to_vec();
        if !outs.is_empty() {
            return Ok(Some(outs));
        }
        let Some(stored) = owner.runs().load(run).await? else {
            return Ok(None);
        };
        Ok(Some(self.open_in(owner, &stored).await?))
    }

    /// The attempts of a run that are out by what the store has of it.
    pub(super) async fn open_in(
        &self,
        owner: &Owner,
        stored: &StoredRun,
    ) -> Result<Vec<Out>, OwnerError> {
        let (run, record) = (stored.run.id, &stored.record);
        let config = owner.registry().config_of(record);
        let mut open = Vec::new();
        let steps = (0_u32..).zip(stored.run.plan.steps.iter().zip(&stored.run.steps));
        for (index, (plan, step)) in steps {
            let Some(attempt) = step.native_attempt() else {
                continue;
            };
            let Some(entry) = owner.registry().native(&config, &plan.driver) else {
                continue;
            };
            let dispatched = self.dispatched(run, index, attempt).await?;
            let dispatched = dispatched.as_ref();
            open.push(Out {
                step: index,
                step_id: self.words.of(&plan.id),
                attempt,
                driver: self.words.of(&plan.driver),
                entry: self.words.entry(&plan.driver, &entry),
                kind: self.words.of(&record.kind),
                sent: dispatched.map(Sent::from),
                answers_before: dispatched.map_or(UNNAMED, |record| record.answers_before),
                until_ms: stored.run.attempt_deadline_ms(index).unwrap_or(u64::MAX),
                is_taken: false,
                is_answered: false,
                is_stopping: false,
                trouble: None,
            });
        }
        Ok(open)
    }

    /// Writes down one that was not taken: with its run, or among those that name none.
    async fn ignore(
        &self,
        run: Option<RunId>,
        place: (u64, i64),
        about: About,
        reason: String,
    ) -> Result<(), OwnerError> {
        self.count_ignored();
        let (sequence, at_ms) = place;
        let at_ms = u64::try_from(at_ms).unwrap_or_else(|_| clock::now_ms());
        let (named, driver) = (run.map(tracing::field::display), &about.driver);
        tracing::info!(run = named, driver, reason, "an answer was not taken");
        let prefix = ignored_prefix(run);
        let key = format!("{prefix}{at_ms:020}-{sequence:020}");
        // Those in hand at once may have been written down at once.
        let most = IGNORED_MAX + IN_HAND_MAX;
        let keys = self.store.keys(&prefix, None, Order::Ascending, most);
        let known = keys.await?;
        // A run keeps the first of them; of what is nobody's the latest tell more.
        let is_full = run.is_some() && known.len() >= IGNORED_MAX;
        if is_full || known.contains(&key) {
            return Ok(());
        }
        let too_many = (known.len() + 1).saturating_sub(IGNORED_MAX);
        let batch = known.iter().take(too_many);
        let batch = batch.fold(Batch::new(), |batch, key| batch.delete(key));
        let record = IgnoredRecord {
            at_ms,
            driver: about.driver,
            step: about.step,
            attempt: about.attempt,
            reason,
        };
        let revision = self.store.commit(batch.put(key, encode(&record))).await?;
        self.store.sync(revision).await?;
        Ok(())
    }
}

/// What a message came to.
enum Found {
    /// It is acknowledged, and that is all.
    Nothing,
    /// It is written down, with the run that it names.
    Ignored(Option<RunId>, About, String),
    Answer(RunId, About, Answered),
}

/// What an answer says of itself, for the record of one that is not taken.
#[derive(Debug, Clone, Default)]
struct About {
    driver: String,
    step: Option<String>,
    attempt: Option<u32>,
}

impl About {
    fn of(result: &DriverResult) -> Self {
        About {
            driver: text::cut(&result.driverresult.driver, 100),
            step: result.step_id.as_ref().map(|step| text::cut(step, 100)),
            attempt: result.attempt,
        }
    }
}

fn parse(payload: &[u8]) -> Result<DriverResult, String> {
    if payload.len() > RESULT_BYTES_MAX {
        return Err(format!(
            "it has {} bytes; at most {RESULT_BYTES_MAX} are read",
            payload.len()
        ));
    }
    serde_json::from_slice(payload).map_err(|error| error.to_string())
}

/// The attempt that an answer is to, and whether it shows that; else why it is none's.
fn choose(
    tokens: &Tokens,
    run: RunId,
    outs: &[Out],
    result: &DriverResult,
    sequence: u64,
) -> Result<(Out, bool), String> {
    let driver = &result.driverresult.driver;
    let packed = result.resource.pointer("/metadata/beltline");
    let packed = packed.and_then(|packed| packed.as_str()).and_then(unpack);
    let own = match (&result.step_id, result.attempt, &result.token) {
        (Some(step), Some(attempt), Some(token)) => Some((step.as_str(), attempt, token.as_str())),
        (None | Some(_), None | Some(_), None | Some(_)) => None,
    };
    if let Some((step, attempt, token)) = own.or(packed) {
        let mut outs = outs.iter();
        let out = outs.find(|out| &*out.step_id == step && out.attempt == attempt);
        let out = out.ok_or_else(|| format!("attempt {attempt} of step `{step}` is not open"))?;
        if !tokens.is_of(token, run, out.step, attempt) {
            return Err("its token is not that of the attempt".to_owned());
        }
        if *driver != *out.driver {
            return Err(format!("the step is driver `{}`'s", out.driver));
        }
        return Ok((out.clone(), true));
    }
    let mut of_driver = outs.iter().filter(|out| *out.driver == **driver);
    let fits = |out: &&Out| {
        let step = result.step_id.as_ref();
        step.is_none_or(|step| **step == *out.step_id)
            && result.attempt.is_none_or(|attempt| attempt == out.attempt)
    };
    let out = match (of_driver.next(), of_driver.next()) {
        (None, _) => return Err("the run has no open attempt of its driver".to_owned()),
        (Some(_), Some(_)) => {
            return Err(
                "it has no token, and the run has several open attempts of its driver".to_owned(),
            );
        }
        (Some(one), None) => one,
    };
    if out.entry.token == Token::Required {
        return Err("it has no token, and belt.yaml says `token: required`".to_owned());
    }
    if !fits(&out) {
        return Err("it names an attempt that is not open".to_owned());
    }
    let is_named = result.step_id.is_some() && result.attempt.is_some();
    if sequence <= out.answers_before && !is_named {
        return Err("it may be older than the attempt, and does not say which it is of".to_owned());
    }
    Ok((out.clone(), false))
}

/// What the engine is told of an answer.
fn told(outcome: &DriverOutcome) -> Told {
    let message = text::cut(&outcome.message, MESSAGE_BYTES);
    if !outcome.success {
        let failure = Failure::new(kind(outcome), message);
        return failed(failure);
    }
    let output = Some(&outcome.data)
        .filter(|data| !data.is_null())
        .map(|data| data.to_string());
    if let Some(output) = output
        .as_ref()
        .filter(|output| output.len() > OUTPUT_BYTES_MAX)
    {
        let reason = format!(
            "over its output limit of {OUTPUT_BYTES_MAX} bytes: it left {}",
            output.len()
        );
        return failed(Failure::new(FailureKind::Limit, reason));
    }
    Told {
        answer: Answer::Succeeded {
            message,
            output: output.is_some(),
        },
        output: output.map(Into::into),
        requeue_after_ms: outcome.requeue_after_ms,
    }
}

pub(super) fn failed(failure: Failure) -> Told {
    Told {
        answer: Answer::Failed(failure),
        output: None,
        requeue_after_ms: None,
    }
}

/// A failure that does not say how may be tried again.
fn kind(outcome: &DriverOutcome) -> FailureKind {
    let after_ms = outcome.retry_after_ms;
    match (outcome.failure, outcome.retryable) {
        (Some(DriverFailure::Permanent), _) | (None, Some(false)) => FailureKind::Permanent,
        (Some(DriverFailure::Retryable), _) | (None, Some(true) | None) => {
            FailureKind::Retryable { after_ms }
        }
        (Some(DriverFailure::Cancelled), _) => FailureKind::Cancelled,
        (Some(DriverFailure::Other), _) => FailureKind::Other,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests;
