//! What is not a host: guests in its process, native drivers, the stream that carries their answers,
//! and a person.

use beltline_engine::{Answer, Failure, FailureKind, Input, Phase, Run};

use crate::scenario;
use crate::violation::Violation;
use crate::world::{Happening, Sabotage, Stop, World};

/// How often a person asks again who finds no host.
const TRIES_MAX: u32 = 100;

/// An answer on the stream. It comes again to every host that starts until it is acknowledged.
pub(crate) struct Message {
    step: u32,
    attempt: u32,
    answer: Answer,
    acknowledged: bool,
}

/// What somebody outside waits for until it is safe to say.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ack {
    /// A person sees how the run stands.
    Shown,
    /// A person's request is taken.
    Request,
    /// The stream need not bring this message again.
    Message(usize),
}

impl World {
    pub(crate) fn guest_begins(&mut self, host: usize, step: u32, attempt: u32) {
        let course = scenario::course(&mut self.random, step, attempt);
        if self.characters[step as usize].kills_its_host {
            self.after(
                course.takes_ms,
                Happening::GuestKillsHost {
                    host,
                    step,
                    attempt,
                },
            );
        } else if let Some(answer) = course.answer {
            self.after(
                course.takes_ms,
                Happening::GuestEnds {
                    host,
                    step,
                    attempt,
                    answer,
                },
            );
        }
    }

    /// A guest that was told to stop may do so.
    pub(crate) fn guest_is_told_to_stop(&mut self, host: usize, step: u32, attempt: u32) {
        if self.random.percent(50) {
            let words = format!("{step}.{attempt}");
            let answer = Answer::Failed(Failure::new(FailureKind::Cancelled, words));
            let in_ms = self.random.magnitude(1, 20_000);
            self.after(
                in_ms,
                Happening::GuestEnds {
                    host,
                    step,
                    attempt,
                    answer,
                },
            );
        }
    }

    pub(crate) fn guest_ends(
        &mut self,
        host: usize,
        step: u32,
        attempt: u32,
        answer: Answer,
    ) -> Result<(), Stop> {
        // One that was stopped may have answered at the same moment.
        let performs = self.hosts[host].performs.contains_key(&(step, attempt));
        if !performs && self.random.percent(50) {
            return Ok(());
        }
        let repeats = self.random.percent(5);
        if repeats {
            let again = Happening::GuestEnds {
                host,
                step,
                attempt,
                answer: answer.clone(),
            };
            self.after(1, again);
        }
        self.answer(host, step, attempt, answer)
    }

    fn answer(&mut self, host: usize, step: u32, attempt: u32, answer: Answer) -> Result<(), Stop> {
        let mut attempt = attempt;
        if self.sabotaged(Sabotage::ForgetsTheAttempt) {
            attempt = self.run(host).steps[step as usize]
                .open_attempt()
                .unwrap_or(attempt);
        }
        self.host_hears(
            host,
            &Input::Answer {
                step,
                attempt,
                answer,
            },
        )
    }

    /// A host publishes an attempt for its native driver.
    pub(crate) fn dispatch(&mut self, step: u32, attempt: u32) {
        if self.random.percent(5) {
            self.ledger.counts.lost_deliveries += 1;
            return;
        }
        let absent_ms = self.characters[step as usize]
            .absent_until_ms
            .saturating_sub(self.time_ms);
        let in_ms = absent_ms + self.random.magnitude(1, 2_000);
        self.after(in_ms, Happening::DriverTakes { step, attempt });
        if self.random.percent(5) {
            self.ledger.counts.repeated_dispatches += 1;
            let in_ms = in_ms + self.random.magnitude(1, 60_000);
            self.after(in_ms, Happening::DriverTakes { step, attempt });
        }
    }

    pub(crate) fn driver_takes(&mut self, step: u32, attempt: u32) {
        if !self.random.percent(15) {
            let in_ms = self.random.magnitude(1, 500);
            self.after(in_ms, Happening::HintArrives { step, attempt });
        }
        let course = scenario::course(&mut self.random, step, attempt);
        if let Some(answer) = course.answer {
            self.after(
                course.takes_ms,
                Happening::DriverAnswers {
                    step,
                    attempt,
                    answer,
                },
            );
        }
    }

    pub(crate) fn driver_answers(&mut self, step: u32, attempt: u32, answer: Answer) {
        if self.random.percent(5) {
            self.ledger.counts.lost_answers += 1;
            return;
        }
        self.stream.push(Message {
            step,
            attempt,
            answer,
            acknowledged: false,
        });
        let message = self.stream.len() - 1;
        for host in 0..self.hosts.len() {
            self.deliver(host, message);
        }
        if self.random.percent(10) {
            self.ledger.counts.repeated_answers += 1;
            for host in 0..self.hosts.len() {
                self.deliver(host, message);
            }
        }
    }

    /// Brings a host that has just started what nobody acknowledged, in any order.
    pub(crate) fn deliver_again(&mut self, host: usize) {
        for message in 0..self.stream.len() {
            if !self.stream[message].acknowledged {
                self.deliver(host, message);
            }
        }
    }

    fn deliver(&mut self, host: usize, message: usize) {
        let in_ms = self.random.magnitude(1, 5_000);
        self.after(in_ms, Happening::MessageArrives { host, message });
    }

    pub(crate) fn message_arrives(&mut self, host: usize, message: usize) -> Result<(), Stop> {
        let Message {
            step,
            attempt,
            ref answer,
            ..
        } = self.stream[message];
        let answer = answer.clone();
        self.answer(host, step, attempt, answer)?;
        self.acknowledge(host, Ack::Message(message));
        Ok(())
    }

    pub(crate) fn person_asks(&mut self, input: Input, tries: u32) -> Result<(), Violation> {
        let Some(host) = self.a_host() else {
            if tries < TRIES_MAX {
                self.after(
                    5_000,
                    Happening::PersonAsks {
                        input,
                        tries: tries + 1,
                    },
                );
            }
            return Ok(());
        };
        if self.run(host).refuses(&input).is_some() {
            self.ledger.counts.refusals += 1;
            return Ok(());
        }
        if let Input::Cancel { force } = input {
            self.ledger.counts.cancels += 1;
            self.ledger.counts.forced_cancels += u64::from(force);
        }
        self.by_host(host, |world, host| {
            world.host_hears(host, &input)?;
            world.acknowledge(host, Ack::Request);
            Ok(())
        })
    }

    /// Somebody outside is told, now that it is safe.
    pub(crate) fn somebody_learns(&mut self, ack: Ack, run: &Run) {
        match ack {
            Ack::Message(message) => self.stream[message].acknowledged = true,
            Ack::Request => {}
            Ack::Shown => {
                let ended = matches!(run.head.phase, Phase::Ended { .. });
                if ended && self.rounds_left > 0 && self.random.percent(60) {
                    self.rounds_left -= 1;
                    let steps = run.steps.len() as u64;
                    let from = (steps > 0 && self.random.percent(50))
                        .then(|| self.random.below(steps) as u32);
                    let in_ms = self.random.magnitude(1, 100_000);
                    let input = Input::Retry { from };
                    self.after(in_ms, Happening::PersonAsks { input, tries: 0 });
                }
            }
        }
    }
}
