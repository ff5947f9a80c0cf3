//! An attempt's way out: its message, published once what it needs is there, and written down.
//!
//! A message carries no `Nats-Msg-Id`: inside the broker's window for duplicates that would make a second one a silent
//! nothing. What tells repetitions apart is the key.

use super::consumers::Seen;
use super::outs::{Out, Sent, UNNAMED};
use super::token::pack;
use super::way::OnItsWay;
use super::{Bridge, BridgeError, REQUEST_TIME_MAX, Shared, Silent, request};
use crate::clock;
use crate::documents::{DRIVER_RESULT, NativeDriver, Wire};
use crate::logs::{Level, LogLine, LogSink, RunLog};
use crate::owner::new_resource_id;
use crate::records::{DispatchRecord, decode, encode};
use crate::runner::{Perform, Performed};
use crate::runs::{RunsError, StoredRun, conveyor_result};
use crate::store::{Batch, Order};
use crate::wasm::{Admission, Attempt, Ended, GuestFailure, StepSummary};
use async_nats::HeaderMap;
use beltline_engine::RunId;
use beltline_wire::subjects::{
    KEY_HEADER, MESSAGES_STREAM, RESULTS_STREAM, conveyor_subject, driver_subject, resource_subject,
};
use beltline_wire::{Dispatch, DispatchedAttempt, DispatchedStep, OUTPUTS_BYTES_MAX};
use futures::FutureExt;
use futures::future::{BoxFuture, ready};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, LazyLock};

/// Of this boot of this machine: a driver that reads another is elsewhere.
static MACHINE: LazyLock<Option<String>> = LazyLock::new(|| {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned())
});

/// What a message has beside its resource, as a rule.
const USUAL_BYTES: usize = 2_048;

/// A step of a run, performed by a native driver.
pub struct NativeStep {
    bridge: Arc<Bridge>,
    run: RunId,
    step: u32,
    step_id: Arc<str>,
    driver: Arc<str>,
    entry: Arc<NativeDriver>,
    kind: Arc<str>,
    /// Whether the run is of no pipeline.
    is_alone: bool,
    timeout_ms: u64,
    workspace: Option<PathBuf>,
    out: Option<PathBuf>,
}

impl NativeStep {
    /// The step of this index; `out` where the run has a folder for what its steps make.
    pub fn new(
        bridge: &Arc<Bridge>,
        entry: &NativeDriver,
        stored: &StoredRun,
        step: u32,
        out: Option<PathBuf>,
    ) -> Self {
        let plan = stored.run.plan.steps.get(step as usize);
        let plan = plan.expect("the plan has the steps of its pipeline");
        NativeStep {
            bridge: Arc::clone(bridge),
            run: stored.run.id,
            step,
            step_id: bridge.words.of(&plan.id),
            driver: bridge.words.of(&plan.driver),
            entry: bridge.words.entry(&plan.driver, entry),
            kind: bridge.words.of(&stored.record.kind),
            is_alone: stored.record.pipeline.is_empty(),
            timeout_ms: plan.timeout_ms,
            workspace: stored.record.workspace.clone(),
            out,
        }
    }

    fn out(&self, call: &Attempt, sent: Option<Sent>, answers_before: u64) -> Out {
        let info = &call.request.info;
        let (attempt, until_ms) = (info.attempt, info.deadline_ms.unwrap_or(u64::MAX));
        Out {
            step: self.step,
            step_id: Arc::clone(&self.step_id),
            attempt,
            driver: Arc::clone(&self.driver),
            entry: Arc::clone(&self.entry),
            kind: Arc::clone(&self.kind),
            sent,
            answers_before,
            until_ms,
            is_taken: false,
            is_answered: false,
            is_stopping: false,
            trouble: None,
        }
    }

    /// Whether this attempt goes to all of Conveyor's drivers at once: the first of each, of a resource without a pipeline.
    fn is_shared(&self, attempt: u32) -> bool {
        self.is_alone && self.entry.wire == Wire::Conveyor && attempt == 1
    }

    fn subject(&self) -> String {
        match self.entry.wire {
            Wire::Default => driver_subject(&self.driver, &self.kind),
            Wire::Conveyor => conveyor_subject(&self.driver, &self.kind),
        }
    }

    async fn hand_over(&self, call: &Attempt) -> Result<Performed, anyhow::Error> {
        let bridge = &self.bridge;
        let attempt = call.request.info.attempt;
        let before = bridge.dispatched(self.run, self.step, attempt).await?;
        let answers_before = match &before {
            Some(before) => Ok(before.answers_before),
            None => self.answers_before(call).await,
        };
        let before = before.as_ref().map(Sent::from);
        let known = *answers_before.as_ref().unwrap_or(&UNNAMED);
        let mut out = self.out(call, before, known);
        // Who answers before this returns is taken for what he answers all the same: it stands in the book first.
        let earlier = bridge.outs.lock().stand_for(self.run, &mut out);
        let mut way = OnItsWay::new(bridge, self.run, self.step, attempt);
        // Its time was over before it was known to be out.
        if let Some(earlier) = earlier {
            bridge.take_back(self.run, &earlier).await;
        }
        let sent = match answers_before {
            Ok(_) => self.sent(call, before, &mut way).await,
            Err(error) => Err(Refused::Broker(error)),
        };
        match sent {
            Ok(sent) => {
                out.sent = Some(sent);
                bridge.is_sent(self.run, &out);
                way.settle();
                if before != Some(sent) {
                    bridge.write_down(self.run, &out, sent).await;
                }
                Ok(Performed::HandedOver)
            }
            Err(Refused::Attempt(reason)) => {
                let failure = GuestFailure::Permanent(reason);
                Ok(Performed::Ended(Ended::Failure(failure)))
            }
            Err(Refused::Broker(error)) => {
                way.settle();
                bridge.waits(self.run, &out, &error);
                Ok(Performed::HandedOver)
            }
        }
    }

    /// The message, published unless the broker has it.
    async fn sent(
        &self,
        call: &Attempt,
        before: Option<Sent>,
        way: &mut OnItsWay,
    ) -> Result<Sent, Refused> {
        let bridge = &self.bridge;
        let kinds = BTreeSet::from([self.kind.to_string()]);
        let seen = bridge
            .make_sure_of_consumer(&self.driver, &self.entry, &kinds)
            .await?;
        let stream_ms = bridge.streams.lock().messages_ms;
        if let Some(before) = before.filter(|before| before.is_there(stream_ms, seen)) {
            return Ok(before);
        }
        if before.is_some() {
            bridge.counts.again.fetch_add(1, Ordering::Relaxed);
        }
        let attempt = call.request.info.attempt;
        if self.is_shared(attempt) && before.is_none() {
            return self.publish_shared(call, stream_ms, seen, way).await;
        }
        let body = self.body(call, Some(attempt)).await?;
        let key = Some(call.request.info.key.as_str());
        let message = Message {
            subject: self.subject(),
            key,
            body,
            stream_ms,
        };
        Ok(Sent {
            sequence: bridge.publish(message, way).await?,
            stream_ms,
            consumer_ms: seen.made_ms,
            at_ms: clock::now_ms(),
            is_shared: false,
        })
    }

    /// One message for all of the run's drivers of Conveyor's, published by whichever comes first.
    async fn publish_shared(
        &self,
        call: &Attempt,
        stream_ms: i64,
        seen: Seen,
        way: &mut OnItsWay,
    ) -> Result<Sent, Refused> {
        let bridge = &self.bridge;
        let shared = bridge.shared_of(self.run);
        let publish = || async move {
            if let Some(known) = bridge.shared_before(self.run, stream_ms).await? {
                return Ok(known);
            }
            let body = self.body(call, None).await?;
            let message = Message {
                subject: resource_subject(&self.kind),
                key: None,
                body,
                stream_ms,
            };
            let sequence = bridge.publish(message, way).await;
            sequence.map_err(Refused::from)
        };
        let sequence = *shared.sequence.get_or_try_init(publish).await?;
        Ok(Sent {
            sequence,
            stream_ms,
            consumer_ms: seen.made_ms,
            at_ms: clock::now_ms(),
            is_shared: true,
        })
    }

    /// How many answers were on the broker before this attempt goes out. Only of a driver that has had one of this run before is
    /// there anything that could be taken for its answer; one that is not Conveyor's can say which attempt it means.
    async fn answers_before(&self, call: &Attempt) -> Result<u64, BridgeError> {
        let steps = call.context.steps();
        let had = |step: &StepSummary| step.driver == *self.driver;
        let earlier: u32 = steps
            .iter()
            .filter(|step| had(step))
            .map(|step| step.attempts)
            .sum();
        if earlier <= 1 {
            return Ok(0);
        }
        if self.entry.wire == Wire::Default {
            return Ok(UNNAMED);
        }
        let stream = self.bridge.jetstream.get_stream(RESULTS_STREAM).await;
        let stream = stream.map_err(|error| request("show its answers")(&error))?;
        Ok(stream.cached_info().state.last_sequence)
    }

    /// What earlier steps answered and left. Conveyor's drivers find all of it in the resource; ours ask for what is too much.
    async fn gather(&self, call: &Attempt, steps: &[StepSummary]) -> Result<Gathered, Refused> {
        let mut gathered = Gathered::default();
        let mut bytes = 0;
        // A driver's later result stands in the place of its earlier ones.
        let last: HashMap<&str, &str> = steps
            .iter()
            .filter(|step| success_of(step).is_some())
            .map(|step| (step.driver.as_str(), step.step_id.as_str()))
            .collect();
        for step in steps {
            let output = match step.has_output {
                true => call.context.output(&step.step_id).await.map_err(fault)?,
                false => None,
            };
            let length = output.as_ref().map_or(0, |text| text.len());
            let fits = bytes + length <= OUTPUTS_BYTES_MAX;
            if let Some(text) = output.as_deref().filter(|_| fits) {
                bytes += length;
                let value = serde_json::from_str::<Value>(text).unwrap_or_default();
                gathered.outputs.insert(step.step_id.clone(), value);
            } else if output.is_some() {
                gathered.left.push(step.step_id.clone());
            }
            let Some(success) = success_of(step) else {
                continue;
            };
            if last.get(step.driver.as_str()) != Some(&step.step_id.as_str()) {
                continue;
            }
            let told = output
                .as_deref()
                .filter(|_| fits || self.entry.wire == Wire::Conveyor);
            let result = conveyor_result(&step.driver, success, &step.message, told);
            let name = format!("{DRIVER_RESULT}{}", step.driver);
            gathered.results.insert(name, result);
        }
        Ok(gathered)
    }

    /// The message's JSON; of no attempt where all drivers of a kind share it.
    async fn body(&self, call: &Attempt, attempt: Option<u32>) -> Result<Vec<u8>, Refused> {
        let request = &call.request;
        let steps = call.context.steps();
        let Gathered {
            results,
            outputs,
            left,
        } = self.gather(call, &steps).await?;
        let token = attempt.map(|attempt| self.bridge.tokens.of(self.run, self.step, attempt));
        let packed = attempt.zip(token.as_deref());
        let packed = packed.map(|(attempt, token)| pack(&self.step_id, attempt, token));
        let payload = payload(&request.resource, results, packed);
        let event = match self.entry.wire {
            Wire::Conveyor if self.step > 0 && !self.is_alone => "process",
            Wire::Default | Wire::Conveyor => request.event.as_str(),
        };
        let own = attempt
            .zip(token)
            .map(|(attempt, token)| DispatchedAttempt {
                step_id: self.step_id.to_string(),
                attempt,
                token,
                key: request.info.key.clone(),
                pipeline: request.info.pipeline.clone(),
                kind: self.kind.to_string(),
                deadline_ms: request
                    .info
                    .deadline_ms
                    .unwrap_or_else(clock::now_ms)
                    .saturating_add(self.timeout_ms),
                timeout_ms: self.timeout_ms,
                with: object(&request.with),
                config: self.entry.config.clone(),
                context: call.context.values().clone(),
                steps: steps
                    .iter()
                    .map(|step| DispatchedStep {
                        id: step.step_id.clone(),
                        driver: step.driver.clone(),
                        status: step.status.to_owned(),
                    })
                    .collect(),
                outputs,
                outputs_left: left,
                workspace: self
                    .workspace
                    .as_ref()
                    .map(|path| path.display().to_string()),
                out: self.out.as_ref().map(|path| path.display().to_string()),
                machine: MACHINE.clone(),
                traceparent: request.info.traceparent.clone(),
            });
        let dispatch = Dispatch {
            event: event.to_owned(),
            payload,
            id: new_resource_id(),
            run_id: self.run.to_string(),
            attempt: own,
        };
        let mut body = Vec::with_capacity(dispatch.payload.len() + USUAL_BYTES);
        serde_json::to_writer(&mut body, &dispatch).expect("it has string keys");
        let most = self.bridge.connection.client.max_payload();
        if most > 0 && body.len() > most {
            return Err(Refused::Attempt(format!(
                "the message for driver `{}` has {} bytes, and the broker takes {most} (`max_payload`); let earlier steps leave less, or raise it",
                self.driver,
                body.len()
            )));
        }
        Ok(body)
    }
}

/// What a message tells of earlier steps.
#[derive(Default)]
struct Gathered {
    /// What each driver answered, as `metadata` of the resource has it.
    results: Map<String, Value>,
    /// What they left, as far as it fits.
    outputs: BTreeMap<String, Value>,
    /// The steps whose outputs do not.
    left: Vec<String>,
}

/// Of a step that has been answered.
fn success_of(step: &StepSummary) -> Option<bool> {
    match step.status {
        "succeeded" => Some(true),
        "failed" | "timed_out" => Some(false),
        _ => None,
    }
}

/// A message to be published.
struct Message<'a> {
    subject: String,
    /// Of an attempt; none where all drivers of a kind share it.
    key: Option<&'a str>,
    body: Vec<u8>,
    /// When the stream was made.
    stream_ms: i64,
}

/// Why an attempt is not on its way.
enum Refused {
    /// It cannot be made at all.
    Attempt(String),
    /// The broker is not there, or not as it has to be: later.
    Broker(BridgeError),
}

impl From<BridgeError> for Refused {
    fn from(error: BridgeError) -> Self {
        Refused::Broker(error)
    }
}

fn fault(error: anyhow::Error) -> Refused {
    Refused::Broker(BridgeError::Request {
        doing: "get an output from the store".to_owned(),
        why: format!("{error:#}"),
    })
}

/// The resource's JSON text, with what its drivers answered and what an answer has to echo.
fn payload(resource: &str, results: Map<String, Value>, packed: Option<String>) -> String {
    let mut resource = object(resource);
    let metadata = resource
        .entry("metadata")
        .or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(metadata) = metadata {
        metadata.extend(results);
        if let Some(packed) = packed {
            metadata.insert("beltline".to_owned(), packed.into());
        }
    }
    Value::Object(resource).to_string()
}

fn object(text: &str) -> Map<String, Value> {
    serde_json::from_str(text).unwrap_or_default()
}

impl Perform for NativeStep {
    fn admit(&self) -> BoxFuture<'static, Option<Admission>> {
        ready(None).boxed()
    }

    fn attempt(self: Arc<Self>, attempt: Attempt) -> BoxFuture<'static, anyhow::Result<Performed>> {
        async move { self.hand_over(&attempt).await }.boxed()
    }

    fn cancel(&self, attempt: u32) {
        let (bridge, run, step) = (Arc::clone(&self.bridge), self.run, self.step);
        let stop = async move { bridge.stop(run, step, attempt).await };
        // Whoever asks does not wait for it.
        self.bridge.runtime.spawn(stop);
    }

    fn withdraw(&self, attempt: u32) -> BoxFuture<'static, ()> {
        let (bridge, run, step) = (Arc::clone(&self.bridge), self.run, self.step);
        async move {
            if let Some(out) = bridge.is_out_no_more(run, step, attempt) {
                bridge.take_back(run, &out).await;
            }
        }
        .boxed()
    }
}

impl Bridge {
    /// Publishes a message, and returns its place in the stream.
    async fn publish(&self, message: Message<'_>, way: &mut OnItsWay) -> Result<u64, BridgeError> {
        let doing = || request(format!("take a message on `{}`", message.subject));
        if !self.connection.is_there() {
            return Err(doing()(&Silent("it is not there")));
        }
        let mut headers = HeaderMap::new();
        if let Some(key) = message.key {
            headers.insert(KEY_HEADER, key);
        }
        headers.insert("Nats-Expected-Stream", MESSAGES_STREAM);
        let published = async {
            let subject = message.subject.clone();
            let body = message.body.into();
            let asked = self.jetstream.publish_with_headers(subject, headers, body);
            let asked = asked.await.map_err(|error| doing()(&error))?;
            let taken = way.asked(message.stream_ms, asked.into_future()).await;
            taken.map_err(|error| doing()(&error))
        };
        match tokio::time::timeout(REQUEST_TIME_MAX, published).await {
            Ok(published) => Ok(published?.sequence),
            Err(_) => Err(doing()(&Silent("there was no answer in time"))),
        }
    }

    /// The message of an attempt is on the broker. It may have been answered, and its step may be another attempt's, meanwhile.
    fn is_sent(&self, run: RunId, out: &Out) {
        let mut outs = self.outs.lock();
        let mut out = out.clone();
        let known = outs.get(run, out.step);
        if let Some(known) = known.filter(|known| known.attempt == out.attempt) {
            out.is_answered = known.is_answered;
            out.is_stopping = known.is_stopping;
            outs.put(run, out);
        }
    }

    /// An attempt waits for the broker, which its run's log says once.
    fn waits(&self, run: RunId, out: &Out, error: &BridgeError) {
        let why: Arc<str> = crate::text::chain(error).into();
        self.outs.lock().change(run, out.step, |known| {
            known.trouble = Some(Arc::clone(&why));
        });
        if out.trouble.as_ref() == Some(&why) {
            return;
        }
        let Some(owner) = self.owner() else { return };
        RunLog::of(&owner.state().logs(), run).append(LogLine {
            at_ms: clock::now_ms(),
            step: out.step_id.to_string(),
            attempt: out.attempt,
            level: Level::Warn,
            message: format!("it is not with driver `{}` yet: {why}", out.driver),
            fields: Map::new(),
        });
        owner.said(run);
    }

    /// Writes down where a message is. It is not synced: where that is lost, the attempt is handed over once more.
    async fn write_down(&self, run: RunId, out: &Out, sent: Sent) {
        let record = DispatchRecord {
            attempt: out.attempt,
            sequence: sent.sequence,
            stream_ms: sent.stream_ms,
            consumer_ms: sent.consumer_ms,
            at_ms: sent.at_ms,
            shared: sent.is_shared,
            answers_before: out.answers_before,
        };
        let batch = Batch::new().put(dispatch_key(run, out.step), encode(&record));
        if let Err(error) = self.store.commit(batch).await {
            let error = crate::text::chain(&error);
            tracing::warn!(%run, error, "where a message is could not be written down");
        }
    }

    /// The message that an attempt is in, where it was published before.
    pub(super) async fn dispatched(
        &self,
        run: RunId,
        step: u32,
        attempt: u32,
    ) -> Result<Option<DispatchRecord>, RunsError> {
        let key = dispatch_key(run, step);
        let Some(found) = self.store.get(&key).await? else {
            return Ok(None);
        };
        let record: DispatchRecord = decode(&key, &found.value)?;
        Ok(Some(record).filter(|record| record.attempt == attempt))
    }

    pub(super) fn shared_of(&self, run: RunId) -> Arc<Shared> {
        Arc::clone(self.shared.lock().entry(run).or_default())
    }

    /// The message that drivers of a run share, where one was published before.
    async fn shared_before(&self, run: RunId, stream_ms: i64) -> Result<Option<u64>, BridgeError> {
        let prefix = format!("dispatch/{run}/");
        let found = self
            .store
            .scan(&prefix, None, Order::Ascending, 1_000)
            .await?;
        for one in found {
            let record: DispatchRecord = decode(&one.key, &one.value).map_err(RunsError::from)?;
            if record.shared && record.stream_ms == stream_ms {
                return Ok(Some(record.sequence));
            }
        }
        Ok(None)
    }
}

impl From<&DispatchRecord> for Sent {
    fn from(record: &DispatchRecord) -> Self {
        Sent {
            sequence: record.sequence,
            stream_ms: record.stream_ms,
            consumer_ms: record.consumer_ms,
            at_ms: record.at_ms,
            is_shared: record.shared,
        }
    }
}

fn dispatch_key(run: RunId, step: u32) -> String {
    format!("dispatch/{run}/{step}")
}
