//! What native drivers say, into the logs of their runs: in the order in which the broker has it.

use super::Bridge;
use crate::logs::{LogSink, RunLog};
use crate::owner::Owner;
use crate::said;
use async_nats::jetstream::Message;
use beltline_engine::RunId;
use beltline_wire::DriverLog;
use beltline_wire::subjects::LOGS_STREAM;
use std::sync::Arc;

impl Bridge {
    /// Takes lines for as long as the host is there.
    pub(super) async fn take_logs(self: Arc<Self>) {
        let begin = |taken| self.lines.begin_after(taken);
        self.take_each(LOGS_STREAM, "logs.>", begin, |owner, message| {
            let bridge = Arc::clone(&self);
            async move {
                bridge.take_line(&owner, &message).await;
                let _ = message.ack().await;
                if let Ok(info) = message.info() {
                    bridge.lines.is_logged(info.stream_sequence);
                }
            }
        })
        .await;
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
        if said::is_full(&folder, id) {
            return;
        }
        let (log, line) = (RunLog::of(&folder, id), said::line(&stored.run, said));
        log.append(line.clone());
        if said::is_full(&folder, id) {
            log.append(said::last(&line));
        }
        owner.said(id);
    }
}
