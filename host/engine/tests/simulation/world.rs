//! The world: its time, what is about to happen in it, and what can go wrong. Hosts are in `host.rs`,
//! all else in `outside.rs`.

use std::collections::BTreeMap;
use std::sync::Arc;

use beltline_engine::{Answer, Input, Plan};

use crate::counts::Counts;
use crate::host::Host;
use crate::ledger::Ledger;
use crate::outside::Message;
use crate::random::Random;
use crate::scenario::{self, Character};
use crate::store::Store;
use crate::violation::{Violation, must};

/// More than any world needs to come to rest; one that needs more goes round in circles.
const HAPPENINGS_MAX: u64 = 20_000;

/// A rule of the shell's protocol, taken away to see that its lack is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sabotage {
    AcknowledgesBeforeSync,
    ForgetsTheAttempt,
    SkipsTheBarrier,
    SavesWithoutComparing,
    NeverWakes,
    KeysAttempts,
}

/// Something that is about to happen.
#[derive(Clone, Debug)]
pub(crate) enum Happening {
    HostStarts,
    HostTicks {
        host: usize,
    },
    HostSyncs {
        host: usize,
    },
    GuestEnds {
        host: usize,
        step: u32,
        attempt: u32,
        answer: Answer,
    },
    GuestKillsHost {
        host: usize,
        step: u32,
        attempt: u32,
    },
    DriverTakes {
        step: u32,
        attempt: u32,
    },
    DriverAnswers {
        step: u32,
        attempt: u32,
        answer: Answer,
    },
    HintArrives {
        step: u32,
        attempt: u32,
    },
    MessageArrives {
        host: usize,
        message: usize,
    },
    PersonAsks {
        input: Input,
        tries: u32,
    },
    HostIsKilled,
    PowerFails,
}

/// Why a host did not come to the end of what it was doing.
pub(crate) enum Stop {
    /// Its process ended here.
    Killed,
    /// The machine lost power here.
    PowerFailed,
    /// Another host has the run.
    Superseded,
    Violated(Violation),
}

impl From<Violation> for Stop {
    fn from(violation: Violation) -> Stop {
        Stop::Violated(violation)
    }
}

pub(crate) struct World {
    pub(crate) random: Random,
    pub(crate) time_ms: u64,
    pub(crate) plan: Arc<Plan>,
    pub(crate) characters: Vec<Character>,
    pub(crate) store: Store,
    pub(crate) hosts: Vec<Host>,
    pub(crate) stream: Vec<Message>,
    pub(crate) ledger: Ledger,
    pub(crate) sabotage: Option<Sabotage>,
    /// How often hosts may still die between two instructions.
    pub(crate) crashes_left: u32,
    pub(crate) rounds_left: u32,
    about_to: BTreeMap<(u64, u64), Happening>,
    scheduled: u64,
    told: Option<Vec<String>>,
}

impl World {
    /// Plays the world of this seed until nothing more happens.
    pub(crate) fn play(seed: u64, sabotage: Option<Sabotage>) -> Result<Counts, Violation> {
        let mut world = World::of(seed, sabotage);
        world.comes_to_rest()?;
        Ok(world.ledger.counts)
    }

    /// The last lines of what happens in the world of this seed.
    pub(crate) fn told(seed: u64, sabotage: Option<Sabotage>, lines: usize) -> String {
        let mut world = World::of(seed, sabotage);
        world.told = Some(vec![format!("seed {seed}: {:#?}", world.plan)]);
        let ended = world.comes_to_rest();
        let mut told = world.told.take().unwrap_or_default();
        if let Err(violation) = ended {
            told.push(violation.to_string());
        }
        told.split_off(told.len().saturating_sub(lines)).join("\n")
    }

    fn of(seed: u64, sabotage: Option<Sabotage>) -> World {
        let mut random = Random::of(seed);
        let plan = Arc::new(scenario::plan(&mut random));
        plan.check().unwrap();
        let characters = plan
            .steps
            .iter()
            .map(|_| scenario::character(&mut random))
            .collect();
        let crashes_left = if random.percent(60) {
            random.between(1, 5) as u32
        } else {
            0
        };
        let mut world = World {
            time_ms: 0,
            plan,
            characters,
            store: Store::default(),
            hosts: vec![],
            stream: vec![],
            ledger: Ledger::default(),
            sabotage,
            crashes_left,
            rounds_left: random.between(0, 2) as u32,
            about_to: BTreeMap::new(),
            scheduled: 0,
            told: None,
            random,
        };
        world.after(0, Happening::HostStarts);
        world.plan_misfortune();
        world
    }

    /// What comes from outside at a time of its own.
    fn plan_misfortune(&mut self) {
        let horizon_ms = self.plan.timeout_ms.min(400_000);
        for _ in 0..self.crashes_left {
            let happening = match self.random.below(3) {
                0 => Happening::HostIsKilled,
                1 => Happening::PowerFails,
                _ => Happening::HostStarts,
            };
            let in_ms = self.random.magnitude(1, horizon_ms);
            self.after(in_ms, happening);
        }
        while self.random.percent(25) {
            let in_ms = self.random.magnitude(1, horizon_ms);
            let force = self.random.percent(30);
            self.after(
                in_ms,
                Happening::PersonAsks {
                    input: Input::Cancel { force },
                    tries: 0,
                },
            );
        }
    }

    fn comes_to_rest(&mut self) -> Result<(), Violation> {
        let mut happenings = 0;
        while let Some(((time_ms, _), happening)) = self.about_to.pop_first() {
            self.time_ms = time_ms;
            happenings += 1;
            must(happenings <= HAPPENINGS_MAX, "F", || {
                "the world does not come to rest".to_owned()
            })?;
            self.tell(|| format!("{happening:?}"));
            self.happens(happening)?;
        }
        self.ledger.at_rest(&self.store)
    }

    fn happens(&mut self, happening: Happening) -> Result<(), Violation> {
        match happening {
            Happening::HostStarts => {
                let host = self.host_appears();
                self.by_host(host, World::host_starts)
            }
            Happening::HostTicks { host } => self.by_host(host, World::host_ticks),
            Happening::HostSyncs { host } => self.by_host(host, World::host_syncs),
            Happening::GuestEnds {
                host,
                step,
                attempt,
                answer,
            } => self.by_host(host, |world, host| {
                world.guest_ends(host, step, attempt, answer)
            }),
            Happening::GuestKillsHost {
                host,
                step,
                attempt,
            } => self.by_host(host, |world, host| {
                let runs = world.hosts[host].performs.contains_key(&(step, attempt));
                if runs { Err(Stop::Killed) } else { Ok(()) }
            }),
            Happening::DriverTakes { step, attempt } => {
                self.driver_takes(step, attempt);
                Ok(())
            }
            Happening::DriverAnswers {
                step,
                attempt,
                answer,
            } => {
                self.driver_answers(step, attempt, answer);
                Ok(())
            }
            Happening::HintArrives { step, attempt } => self.by_each_host(|world, host| {
                world.host_hears(host, &Input::Delivered { step, attempt })
            }),
            Happening::MessageArrives { host, message } => {
                self.by_host(host, |world, host| world.message_arrives(host, message))
            }
            Happening::PersonAsks { input, tries } => self.person_asks(input, tries),
            Happening::HostIsKilled => {
                let host = self.a_host();
                host.map_or(Ok(()), |host| self.by_host(host, |_, _| Err(Stop::Killed)))
            }
            Happening::PowerFails => {
                let host = self.a_host();
                host.map_or(Ok(()), |host| {
                    self.by_host(host, |_, _| Err(Stop::PowerFailed))
                })
            }
        }
    }

    /// Lets a host that is alive do something, and buries it if it dies of it.
    pub(crate) fn by_host(
        &mut self,
        host: usize,
        does: impl FnOnce(&mut World, usize) -> Result<(), Stop>,
    ) -> Result<(), Violation> {
        if !self.hosts[host].alive {
            return Ok(());
        }
        match does(self, host) {
            Ok(()) => Ok(()),
            Err(Stop::Violated(violation)) => Err(violation),
            Err(Stop::Superseded) => {
                self.tell(|| format!("host {host} gives up: another has the run"));
                self.hosts[host].die();
                Ok(())
            }
            Err(Stop::Killed) => {
                self.tell(|| format!("host {host} is killed"));
                self.ledger.counts.kills += 1;
                self.hosts[host].die();
                self.host_comes_back();
                Ok(())
            }
            Err(Stop::PowerFailed) => {
                let lost = self.store.power_failure(&mut self.random);
                self.tell(|| format!("the power fails: {lost} states are lost"));
                self.hosts.iter_mut().for_each(Host::die);
                self.host_comes_back();
                self.ledger.power_failed(&self.store, lost)
            }
        }
    }

    fn by_each_host(
        &mut self,
        does: impl Fn(&mut World, usize) -> Result<(), Stop>,
    ) -> Result<(), Violation> {
        (0..self.hosts.len()).try_for_each(|host| self.by_host(host, &does))
    }

    fn host_comes_back(&mut self) {
        let downtime_ms = self.random.magnitude(1, 200_000);
        self.ledger.down_for(downtime_ms);
        self.after(downtime_ms, Happening::HostStarts);
    }

    /// One that is alive, the latest first.
    pub(crate) fn a_host(&self) -> Option<usize> {
        self.hosts.iter().rposition(|host| host.alive)
    }

    pub(crate) fn after(&mut self, in_ms: u64, happening: Happening) {
        self.scheduled += 1;
        self.about_to.insert(
            (self.time_ms.saturating_add(in_ms), self.scheduled),
            happening,
        );
    }

    pub(crate) fn sabotaged(&self, sabotage: Sabotage) -> bool {
        self.sabotage == Some(sabotage)
    }

    pub(crate) fn tell(&mut self, words: impl FnOnce() -> String) {
        if let Some(told) = &mut self.told {
            told.push(format!("{:>9} ms  {}", self.time_ms, words()));
        }
    }
}
