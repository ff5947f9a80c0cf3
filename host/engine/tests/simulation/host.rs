//! A host: the shell's protocol in small. Load, fold, save with compare-and-swap, perform, acknowledge;
//! between any two of these it may die.

use std::collections::BTreeMap;

use beltline_engine::{Effect, Input, Phase, Placement, Run, RunId, StepState};

use crate::ledger::Save;
use crate::outside::Ack;
use crate::store::Stale;
use crate::violation::must;
use crate::world::{Happening, Sabotage, Stop, World};

/// What the first host's clock says when the world begins.
const CLOCK_MS: i64 = 1_700_000_000_000;
/// After this time what was written is synced, whoever waits for it.
pub(crate) const SYNC_AFTER_MS: u64 = 100;

/// One life of a host's process.
pub(crate) struct Host {
    pub(crate) alive: bool,
    epoch: u64,
    /// By how much its clock differs from the time.
    clock_ms: i64,
    /// What its operator grants, or where it finds the drivers.
    placements: Vec<Placement>,
    run: Option<Run>,
    /// Where in the store it found or put `run`.
    place: usize,
    /// The attempts it performs, and whether it has told them to stop.
    pub(crate) performs: BTreeMap<(u32, u32), bool>,
    /// What it will acknowledge when the state at that place is synced.
    acks: Vec<(usize, Ack)>,
    syncs_soon: bool,
    ticks_at_ms: Option<u64>,
}

impl Host {
    /// Its process ends: all that it has in memory is gone.
    pub(crate) fn die(&mut self) {
        self.alive = false;
        self.run = None;
        self.performs.clear();
        self.acks.clear();
    }
}

impl World {
    /// A host's process begins, with a clock that may have jumped and grants that may have changed.
    pub(crate) fn host_appears(&mut self) -> usize {
        let before_ms = self.hosts.last().map_or(CLOCK_MS, |host| host.clock_ms);
        let jump_ms = if !self.hosts.is_empty() && self.random.percent(30) {
            let size_ms = self.random.magnitude(10, 100_000_000) as i64;
            if self.random.percent(50) {
                size_ms
            } else {
                -size_ms
            }
        } else {
            0
        };
        self.ledger.counts.backward_jumps += u64::from(jump_ms < 0);
        self.ledger.counts.takeovers += u64::from(self.a_host().is_some());
        let mut placements: Vec<Placement> = self
            .characters
            .iter()
            .map(|character| character.placement)
            .collect();
        for placement in &mut placements {
            if *placement == (Placement::Wasm { effects: false }) && self.random.percent(10) {
                *placement = Placement::Wasm { effects: true };
            }
        }
        self.hosts.push(Host {
            alive: true,
            epoch: self.hosts.len() as u64 + 1,
            clock_ms: before_ms + jump_ms,
            placements,
            run: None,
            place: 0,
            performs: BTreeMap::new(),
            acks: vec![],
            syncs_soon: false,
            ticks_at_ms: None,
        });
        self.hosts.len() - 1
    }

    fn now_ms(&self, host: usize) -> u64 {
        u64::try_from(self.hosts[host].clock_ms + self.time_ms as i64).unwrap()
    }

    /// Makes the run, or loads and claims it, and sees to what it wants.
    pub(crate) fn host_starts(&mut self, host: usize) -> Result<(), Stop> {
        match self.store.load() {
            None => self.make(host)?,
            Some((place, run)) => {
                self.hosts[host].place = place;
                self.hosts[host].run = Some(run);
                let epoch = self.hosts[host].epoch;
                self.fold(host, &Input::Claim { epoch })?;
            }
        }
        self.acknowledge(host, Ack::Shown);
        self.deliver_again(host);
        self.perform(host)
    }

    fn make(&mut self, host: usize) -> Result<(), Stop> {
        let (plan, now_ms) = (std::sync::Arc::clone(&self.plan), self.now_ms(host));
        let run = Run::new(RunId(7), plan, self.hosts[host].epoch, now_ms);
        self.may_die()?;
        let Ok(place) = self.store.save(None, run.clone(), true) else {
            return Err(Stop::Superseded);
        };
        self.ledger.made(&run, self.time_ms)?;
        self.may_die()?;
        self.hosts[host].place = place;
        self.hosts[host].run = Some(run);
        Ok(())
    }

    /// Folds an input and saves what comes of it. False: nothing changed.
    fn fold(&mut self, host: usize, input: &Input) -> Result<bool, Stop> {
        self.may_die()?;
        let now_ms = self.now_ms(host);
        let before = self.run(host).clone();
        let Some(next) = before.on(input, now_ms) else {
            return Ok(false);
        };
        let before_place = self.hosts[host].place;
        let replaces = Some((before.head.revision, before.head.epoch));
        let compares = !self.sabotaged(Sabotage::SavesWithoutComparing);
        let place = match self.store.save(replaces, next.clone(), compares) {
            Ok(place) => place,
            Err(Stale) => {
                self.ledger.counts.stale_saves += 1;
                return Err(Stop::Superseded);
            }
        };
        self.tell(|| {
            format!(
                "host {host} saves {place} after {input:?}: {}",
                summary(&next)
            )
        });
        let time_ms = self.time_ms;
        let (before, next) = (&before, &next);
        self.ledger.saved(&Save {
            before,
            next,
            input,
            before_place,
            place,
            now_ms,
            time_ms,
        })?;
        self.may_die()?;
        self.hosts[host].place = place;
        self.hosts[host].run = Some(next.clone());
        Ok(true)
    }

    /// Something came to a host's ears.
    pub(crate) fn host_hears(&mut self, host: usize, input: &Input) -> Result<(), Stop> {
        let changed = self.fold(host, input)?;
        if matches!(input, Input::Answer { .. }) {
            self.ledger.counts.late_answers += u64::from(!changed);
        }
        self.perform(host)
    }

    pub(crate) fn host_ticks(&mut self, host: usize) -> Result<(), Stop> {
        if self.hosts[host].ticks_at_ms != Some(self.time_ms) {
            return Ok(());
        }
        self.hosts[host].ticks_at_ms = None;
        self.host_hears(host, &Input::Tick)
    }

    /// Sees to what the run wants, and to nothing else.
    fn perform(&mut self, host: usize) -> Result<(), Stop> {
        loop {
            self.start_what_is_wanted(host)?;
            let now_ms = self.now_ms(host);
            let due = self.wake_ms(host).is_some_and(|at_ms| at_ms <= now_ms);
            if !due || self.sabotaged(Sabotage::NeverWakes) || !self.fold(host, &Input::Tick)? {
                break;
            }
        }
        self.stop_what_is_not_wanted(host);
        self.tell_what_is_to_stop(host);
        self.sleep(host);
        if self.run(host).is_ended() {
            self.acknowledge(host, Ack::Shown);
        }
        Ok(())
    }

    fn start_what_is_wanted(&mut self, host: usize) -> Result<(), Stop> {
        while let Some((step, attempt)) = self.unperformed(host) {
            let placement = self.hosts[host].placements[step as usize];
            let changed = self.fold(
                host,
                &Input::Start {
                    step,
                    attempt,
                    placement,
                },
            )?;
            if self.run(host).is_open(step, attempt) {
                self.begin(host, step, attempt)?;
            } else {
                let what = || format!("the start of step {step} attempt {attempt} changed nothing");
                must(changed, "wanted", what)?;
            }
        }
        Ok(())
    }

    fn unperformed(&self, host: usize) -> Option<(u32, u32)> {
        let performs = &self.hosts[host].performs;
        self.run(host)
            .wanted()
            .into_iter()
            .find_map(|effect| match effect {
                Effect::Attempt { step, attempt, .. } => {
                    Some((step, attempt)).filter(|attempt| !performs.contains_key(attempt))
                }
                Effect::Wake { .. } => None,
            })
    }

    /// The effect barrier, and then the world.
    fn begin(&mut self, host: usize, step: u32, attempt: u32) -> Result<(), Stop> {
        let placement = match self.run(host).steps[step as usize].state {
            StepState::Running { placement, .. } => placement,
            StepState::Pending
            | StepState::Waiting { .. }
            | StepState::Retrying { .. }
            | StepState::Succeeded { .. }
            | StepState::Failed { .. }
            | StepState::Skipped { .. }
            | StepState::Cancelled { .. }
            | StepState::TimedOut { .. } => Placement::Native,
        };
        if placement.has_effects() && !self.sabotaged(Sabotage::SkipsTheBarrier) {
            self.may_die()?;
            self.sync(host);
            self.may_die()?;
        }
        let run = self.run(host).clone();
        let place = self.hosts[host].place;
        let mut key = run.key(step);
        if self.sabotaged(Sabotage::KeysAttempts) {
            key += &format!("/{attempt}");
        }
        let real = self.really(host, step, placement);
        self.ledger
            .begun(&self.store, &run, place, (step, attempt), real, key)?;
        self.tell(|| format!("host {host} begins step {step} attempt {attempt} as {real:?}"));
        self.hosts[host].performs.insert((step, attempt), false);
        match real {
            Placement::Native => self.dispatch(step, attempt),
            Placement::Wasm { .. } => self.guest_begins(host, step, attempt),
        }
        Ok(())
    }

    /// Where the attempt really runs, whatever the record says.
    fn really(&self, host: usize, step: u32, recorded: Placement) -> Placement {
        match recorded {
            Placement::Native => Placement::Native,
            Placement::Wasm { .. } => self.hosts[host].placements[step as usize],
        }
    }

    fn stop_what_is_not_wanted(&mut self, host: usize) {
        let mut performs = std::mem::take(&mut self.hosts[host].performs);
        let run = self.run(host);
        performs.retain(|(step, attempt), _| run.is_open(*step, *attempt));
        self.hosts[host].performs = performs;
    }

    fn tell_what_is_to_stop(&mut self, host: usize) {
        if !matches!(self.run(host).head.phase, Phase::Cancelling { .. }) {
            return;
        }
        let untold: Vec<(u32, u32)> = self.hosts[host]
            .performs
            .iter()
            .filter(|(_, told)| !**told)
            .map(|(at, _)| *at)
            .collect();
        for (step, attempt) in untold {
            self.hosts[host].performs.insert((step, attempt), true);
            self.guest_is_told_to_stop(host, step, attempt);
        }
    }

    fn wake_ms(&self, host: usize) -> Option<u64> {
        self.run(host)
            .wanted()
            .into_iter()
            .find_map(|effect| match effect {
                Effect::Wake { at_ms } => Some(at_ms),
                Effect::Attempt { .. } => None,
            })
    }

    fn sleep(&mut self, host: usize) {
        if !self.hosts[host].syncs_soon {
            self.hosts[host].syncs_soon = true;
            self.after(SYNC_AFTER_MS, Happening::HostSyncs { host });
        }
        let Some(at_ms) = self.wake_ms(host) else {
            return;
        };
        if self.sabotaged(Sabotage::NeverWakes) {
            return;
        }
        let in_ms = at_ms.saturating_sub(self.now_ms(host));
        let ticks_at_ms = self.time_ms + in_ms;
        if self.hosts[host].ticks_at_ms != Some(ticks_at_ms) {
            self.hosts[host].ticks_at_ms = Some(ticks_at_ms);
            self.after(in_ms, Happening::HostTicks { host });
        }
    }

    pub(crate) fn host_syncs(&mut self, host: usize) -> Result<(), Stop> {
        self.hosts[host].syncs_soon = false;
        self.may_die()?;
        self.sync(host);
        Ok(())
    }

    fn sync(&mut self, host: usize) {
        self.ledger.counts.syncs += 1;
        self.store.sync();
        let waiting = std::mem::take(&mut self.hosts[host].acks);
        for (place, ack) in waiting {
            self.acknowledged(host, place, ack);
        }
    }

    /// Acknowledges something as soon as the state that the host has now is synced.
    pub(crate) fn acknowledge(&mut self, host: usize, ack: Ack) {
        let place = self.hosts[host].place;
        if self.store.is_synced(place) || self.sabotaged(Sabotage::AcknowledgesBeforeSync) {
            self.acknowledged(host, place, ack);
        } else {
            self.hosts[host].acks.push((place, ack));
        }
    }

    fn acknowledged(&mut self, host: usize, place: usize, ack: Ack) {
        let Some(run) = self.store.at(place).cloned() else {
            return;
        };
        self.tell(|| format!("host {host} acknowledges {ack:?} on {place}"));
        self.ledger.acknowledged(place, &run);
        self.somebody_learns(ack, &run);
    }

    pub(crate) fn run(&self, host: usize) -> &Run {
        self.hosts[host]
            .run
            .as_ref()
            .expect("a host that is alive has loaded the run")
    }

    /// A host may die between any two instructions.
    fn may_die(&mut self) -> Result<(), Stop> {
        if self.crashes_left == 0 || !self.random.percent(4) {
            return Ok(());
        }
        self.crashes_left -= 1;
        Err(if self.random.percent(40) {
            Stop::PowerFailed
        } else {
            Stop::Killed
        })
    }
}

fn summary(run: &Run) -> String {
    let steps: Vec<String> = run
        .steps
        .iter()
        .map(|step| format!("{:?}", step.state))
        .collect();
    format!("{:?} {}", run.head, steps.join("; "))
}
