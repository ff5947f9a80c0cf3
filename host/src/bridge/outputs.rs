//! Outputs that a message did not carry, for whoever shows the token of an open attempt.

use super::Bridge;
use crate::owner::Owner;
use async_nats::Message;
use beltline_engine::{RunId, StepState};
use beltline_wire::{OutputReply, OutputRequest};
use std::future::ready;
use std::sync::Arc;

impl Bridge {
    /// Answers for as long as the host is there.
    pub(super) async fn serve_outputs(self: Arc<Self>) {
        self.listen("live.outputs.*", |owner, message| {
            let bridge = Arc::clone(&self);
            tokio::spawn(async move { bridge.serve_output(&owner, message).await });
            ready(())
        })
        .await;
    }

    /// Runs that this host has not are another's to answer.
    async fn serve_output(&self, owner: &Owner, message: Message) {
        let named = message.subject.rsplit('.').next().unwrap_or_default();
        let (Ok(run), Some(reply)) = (named.parse::<RunId>(), message.reply) else {
            return;
        };
        let outs = self.outs.lock().of_run(run).to_vec();
        if outs.is_empty() {
            return;
        }
        let answer = match serde_json::from_slice::<OutputRequest>(&message.payload) {
            Err(error) => OutputReply::Refused(error.to_string()),
            Ok(request) => {
                let mut outs = outs.iter();
                let is_his = outs.any(|out| {
                    *out.step_id == *request.step_id
                        && out.attempt == request.attempt
                        && self
                            .tokens
                            .is_of(&request.token, run, out.step, out.attempt)
                });
                match is_his {
                    true => output(owner, run, &request.of).await,
                    false => OutputReply::Refused("the token is of no open attempt".to_owned()),
                }
            }
        };
        let body = serde_json::to_vec(&answer).expect("it has string keys");
        let _ = self.connection.client.publish(reply, body.into()).await;
    }
}

async fn output(owner: &Owner, run: RunId, of: &str) -> OutputReply {
    let refused = |why: &str| OutputReply::Refused(why.to_owned());
    let Ok(Some(stored)) = owner.runs().load(run).await else {
        return refused("the run cannot be read");
    };
    let mut steps = (0_u32..).zip(stored.run.plan.steps.iter().zip(&stored.run.steps));
    let Some((index, (_, step))) = steps.find(|(_, (plan, _))| plan.id == of) else {
        return refused("the run has no such step");
    };
    if !matches!(step.state, StepState::Succeeded { output: true, .. }) {
        return OutputReply::Output(None);
    }
    match owner.runs().output(run, index, step.attempts).await {
        Ok(text) => OutputReply::Output(text.and_then(|text| serde_json::from_str(&text).ok())),
        Err(_) => refused("the output cannot be read"),
    }
}
