//! A group of cases: built, warmed up, then measured in interleaved rounds.

use super::card::{Card, THROTTLED};
use super::window::{Bench, WRONG_ANSWER, batch};
use super::{End, MeasureError, Progress, Run, order, state, warm_up};
use crate::backends::{BackendError, Workload};
use crate::kernels::{Role, find, random::case_seed};
use crate::meter::bank;
use crate::record::{CoolDown, Event, Prepared};
use crate::sensors::perf::ActivityCounters;
use crate::suite::{Case, DeviceId};
use crate::units::Seconds;
use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

/// How far the run is, for those who watch.
pub(super) struct Tally {
    pub(super) done: usize,
    pub(super) planned: usize,
    pub(super) prepared: usize,
    pub(super) cases: usize,
}

/// A case that is in memory and warm.
struct Live {
    workload: Box<dyn Workload>,
    threads: Vec<i32>,
    watch: state::Watch,
    length: Seconds,
    per_iteration: Seconds,
    retries: u32,
    open: Vec<u32>,
}

impl Run<'_> {
    pub(super) fn group(
        &mut self,
        cases: &[usize],
        dither: &order::Dither,
        tally: &mut Tally,
        observe: &mut dyn FnMut(Progress<'_>),
    ) -> Result<End, MeasureError> {
        let mut live: BTreeMap<usize, Live> = BTreeMap::new();
        for &index in cases {
            if self.stop.load(Ordering::Relaxed) {
                return Ok(End::Interrupted);
            }
            tally.prepared += 1;
            let case = &self.plan.cases[index];
            observe(Progress::Preparing { case: &case.id, number: tally.prepared, of: tally.cases });
            match self.prepare(case)? {
                Ok(ready) => drop(live.insert(index, ready)),
                Err(failure) => {
                    tally.planned = tally.planned.saturating_sub(self.remaining.repeats(&case.id).len());
                    self.void(index, &failure, observe)?;
                }
            }
        }
        let mut counters: BTreeMap<Vec<i32>, ActivityCounters> = BTreeMap::new();
        for repeat in 0..self.profile.repeats {
            for index in order::round(cases, repeat) {
                if self.stop.load(Ordering::Relaxed) {
                    return Ok(End::Interrupted);
                }
                let Some(case) = live.get_mut(&index).filter(|l| l.open.contains(&repeat)) else { continue };
                let perf =
                    counters.entry(case.threads.clone()).or_insert_with(|| ActivityCounters::open(&case.threads));
                let verdict = self.window(index, repeat, case, perf, dither, tally, observe)?;
                tally.done += 1;
                match verdict {
                    Window::Stopped => return Ok(End::Interrupted),
                    Window::Taken => {}
                    Window::Void(failure) => {
                        let left = case.open.iter().filter(|&&r| r > repeat).count();
                        tally.planned = tally.planned.saturating_sub(left);
                        self.void(index, &failure, observe)?;
                        live.remove(&index);
                    }
                }
                self.report_lost(observe)?;
            }
        }
        Ok(End::Complete)
    }

    /// Builds and warms up a case. The inner error is why it comes to nothing.
    fn prepare(&mut self, case: &Case) -> Result<Result<Live, Failure>, MeasureError> {
        let begin = self.clock.now();
        let mut workload = match self.backend.prepare(case, case_seed(&case.id, self.seed)) {
            Ok(workload) => workload,
            Err(error) => return Ok(Err(Failure::new(&error))),
        };
        let Some(kernel) = find(&case.kernel) else {
            return Ok(Err(Failure::new(&BackendError::UnknownKernel(case.kernel.clone()))));
        };
        let work = match kernel.work_on(&case.params, case.device.api()) {
            Ok(work) => work,
            Err(error) => return Ok(Err(Failure::new(&error))),
        };
        let canary = workload.canary();
        let prepare = self.clock.now().since(begin);
        if let Some(failed) = canary.as_ref().filter(|c| !c.passed()) {
            let error = failed.error.map_or_else(|| "not finite".to_owned(), |e| format!("{e:.3e}"));
            let reason =
                format!("precision canary `{}` failed: error {error}, limit {:.3e}", failed.name, failed.limit);
            return Ok(Err(Failure { reason, wrong_answer: true }));
        }
        let tau = self.slowest_period(&case.device);
        let warm = warm_up::warm_up(workload.as_mut(), self.profile, &self.clock, (&self.bank, tau), self.stop);
        let (warm_up, per_iteration) = match warm {
            Ok(warm) => warm,
            Err(error) => return Ok(Err(Failure::new(&error))),
        };
        self.append(&Event::Prepared(Prepared {
            case: case.id.clone(),
            device: case.device.clone(),
            program: workload.program(),
            work,
            prepare,
            warm_up,
            canary,
        }))?;
        let length = if kernel.info().role == Role::Workload { self.window_length(tau) } else { self.profile.probe };
        Ok(Ok(Live {
            threads: workload.thread_ids(),
            watch: state::Watch::new(self.host, self.profile, &workload.program().cpus),
            length,
            per_iteration,
            retries: self.profile.retries,
            open: self.remaining.repeats(&case.id).to_vec(),
            workload,
        }))
    }

    /// Update period of the slowest counter that is rated for a case on `device`.
    fn slowest_period(&self, device: &DeviceId) -> Option<Seconds> {
        let own = self.devices.iter().find(|d| d.planned.id == *device).and_then(|d| d.domain.as_ref());
        self.bank.lock().unwrap_or_else(PoisonError::into_inner).slowest_period(own)
    }

    /// The longest of: the floor, m update periods of the slowest counter, and the length at
    /// which the alignment error τ/(T·√6) reaches its limit.
    fn window_length(&self, tau: Option<Seconds>) -> Seconds {
        let of_tau = tau.map_or(0.0, |t| {
            let aligned = t.get() / (self.profile.alignment_limit * 6f64.sqrt());
            (t.get() * f64::from(self.profile.window_tau_multiple)).max(aligned)
        });
        Seconds::new(self.profile.window_floor.get().max(of_tau)).unwrap_or(self.profile.window_floor)
    }

    #[expect(clippy::too_many_arguments, reason = "the pieces of one window, borrowed apart")]
    fn window(
        &self,
        index: usize,
        repeat: u32,
        live: &mut Live,
        counters: &mut ActivityCounters,
        dither: &order::Dither,
        tally: &Tally,
        observe: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Window, MeasureError> {
        let case = &self.plan.cases[index];
        let card = self.devices.iter().find(|d| d.planned.id == case.device);
        let limit = self.profile.foreign_load_limit;
        let card = card.and_then(|device| Card::of(device, limit));
        let bench = Bench { clock: &self.clock, bank: &self.bank, stop: self.stop, card };
        let mut cool_down: Option<CoolDown> = None;
        loop {
            let tau = self.slowest_period(&case.device);
            let power = self.bank.lock().unwrap_or_else(PoisonError::into_inner).power_now();
            observe(Progress::Window {
                case: &case.id,
                repeat: repeat + 1,
                repeats: self.profile.repeats,
                done: tally.done,
                planned: tally.planned,
                power,
            });
            // A phase against the updates of polled power needs to know when these are.
            let polled = bank::await_update(&self.bank, &self.clock);
            let pause = dither.pause(polled.or(tau), index, repeat, self.profile.repeats);
            std::thread::sleep(pause.to_duration());
            let timed = bench.time(live.workload.as_mut(), counters, &mut live.watch, live.length, live.per_iteration);
            let timed = match timed {
                Ok(Some(timed)) => timed,
                Ok(None) => return Ok(Window::Stopped),
                Err(error) => return Ok(Window::Void(Failure::new(&error))),
            };
            let mut sample = timed.into_sample(&case.id, repeat, live.workload.as_mut());
            if let Some(card) = &mut sample.state.card {
                card.cool_down = cool_down.take();
            }
            let throttled = sample.flags.iter().any(|flag| flag.code == THROTTLED);
            let flag = sample.flags.first().cloned();
            self.append(&Event::Sample(sample))?;
            match flag {
                None => return Ok(Window::Taken),
                Some(flag) if flag.code == WRONG_ANSWER => {
                    return Ok(Window::Void(Failure { reason: flag.detail, wrong_answer: true }));
                }
                Some(flag) => {
                    let again = live.retries > 0;
                    observe(Progress::Discarded { case: &case.id, flag: &flag, again });
                    if !again {
                        return Ok(Window::Taken);
                    }
                    live.retries -= 1;
                    if let Some(card) = bench.card.as_ref().filter(|_| throttled) {
                        cool_down = match self.cooled(card, live, &case.id, observe) {
                            Ok(cool_down) => cool_down,
                            Err(error) => return Ok(Window::Void(Failure::new(&error))),
                        };
                    }
                }
            }
        }
    }

    /// Lets a card that slowed itself down cool off, as long as the profile lets a warm-up last, and brings it back to
    /// work for the shortest warm-up: a card that begins a window at rest is in another state than in the other windows.
    fn cooled(
        &self,
        card: &Card<'_>,
        live: &mut Live,
        case: &str,
        observe: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Option<CoolDown>, BackendError> {
        let longest = self.profile.warm_up_max;
        observe(Progress::CoolingDown { case, longest });
        let pause = card.cool_down(&self.clock, &self.bank, longest, self.stop);
        let begin = self.clock.now();
        while pause.is_some() && !self.stop.load(Ordering::Relaxed) {
            let left = self.profile.warm_up_min - self.clock.now().since(begin);
            if left <= Seconds::ZERO {
                break;
            }
            live.workload.run(batch(left, live.per_iteration))?;
        }
        Ok(pause)
    }

    fn void(&self, index: usize, failure: &Failure, observe: &mut dyn FnMut(Progress<'_>)) -> Result<(), MeasureError> {
        let case = &self.plan.cases[index].id;
        observe(Progress::Void { case, reason: &failure.reason });
        self.append(&Event::Void {
            case: case.clone(),
            wrong_answer: failure.wrong_answer,
            reason: failure.reason.clone(),
        })
    }
}

/// What became of a window.
enum Window {
    Taken,
    Stopped,
    Void(Failure),
}

/// Why a case comes to nothing.
struct Failure {
    reason: String,
    wrong_answer: bool,
}

impl Failure {
    fn new(error: &dyn std::error::Error) -> Self {
        Self { reason: error.to_string(), wrong_answer: false }
    }
}
