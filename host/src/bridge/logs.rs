//! What native drivers say, into the logs of their runs: in the order in which the broker has it.

use super::Bridge;
use crate::clock;
use crate::logs::{Level, LogLine, LogSink, RunLog};
use crate::owner::Owner;
use crate::text;
use async_nats::jetstream::Message;
use beltline_engine::{Run, RunId};
use beltline_wire::DriverLog;
use beltline_wire::subjects::LOGS_STREAM;
use futures::StreamExt;
use std::sync::Arc;
use std::time::Duration;

/// The longest line that is kept.
const LINE_BYTES_MAX: usize = 16 << 10;

/// The most that native drivers may say in one run.
const RUN_LOG_BYTES_MAX: u64 = 64 << 20;

/// Between two tries to have lines delivered.
const PAUSE: Duration = Duration::from_secs(1);

impl Bridge {
    /// Takes lines for as long as the host is there.
    pub(super) async fn take_logs(self: Arc<Self>) {
        loop {
            match self.messages_of(LOGS_STREAM, "logs.>").await {
                Ok(mut messages) => {
                    while let Some(Ok(message)) = messages.next().await {
                        let Some(owner) = self.owner() else { return };
                        self.take_line(&owner, &message).await;
                        let _ = message.ack().await;
                        if let Ok(info) = message.info() {
                            self.logged.send_replace(info.stream_sequence);
                        }
                    }
                }
                Err(error) => {
                    tracing::warn!(error = %text::chain(&error), "lines of drivers cannot be had");
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Lines of runs that this host has not, and what is no line, are passed over.
    async fn take_line(&self, owner: &Owner, message: &Message) {
        let Ok(said) = serde_json::from_slice::<DriverLog>(&message.payload) else {
            return;
        };
        self.saw(&said.driver);
        let named = message.subject.strip_prefix("logs.").unwrap_or_default();
        let Ok(id) = named.parse::<RunId>() else {
            return;
        };
        let Ok(Some(stored)) = owner.runs().load(id).await else {
            return;
        };
        let folder = owner.state().logs();
        if crate::logs::bytes(&folder, id) > RUN_LOG_BYTES_MAX {
            return;
        }
        RunLog::of(&folder, id).append(line(&stored.run, said));
        owner.said(id);
    }
}

/// The line as the log has it. One that names no step is that of the driver's open step.
fn line(run: &Run, said: DriverLog) -> LogLine {
    let mut steps = run.plan.steps.iter().zip(&run.steps);
    let by = match &said.step_id {
        Some(id) => steps.find(|(plan, _)| plan.id == *id && plan.driver == said.driver),
        None => steps.find(|(plan, step)| plan.driver == said.driver && !step.state.is_ended()),
    };
    let level = match said.level.as_deref() {
        Some("trace") => Level::Trace,
        Some("debug") => Level::Debug,
        Some("warn") => Level::Warn,
        Some("error") => Level::Error,
        Some(_) | None => Level::Info,
    };
    LogLine {
        at_ms: said.at_ms.unwrap_or_else(clock::now_ms),
        step: by.map_or_else(|| said.driver.clone(), |(plan, _)| plan.id.clone()),
        attempt: said
            .attempt
            .or(by.map(|(_, step)| step.attempts))
            .unwrap_or_default(),
        level,
        message: text::cut(&said.message, LINE_BYTES_MAX),
        fields: said.fields,
    }
}
