//! Plan → record: the only room that sees backends and sensors together.
//!
//! Idle, then every case built, warmed up and measured in interleaved windows, then idle again.
//! Every event goes to disk when it happens; whoever watches gets [`Progress`].

mod order;
mod progress;
mod remaining;
mod round;
mod state;
mod warm_up;
mod window;

pub use progress::Progress;
pub use remaining::Remaining;

use crate::backends::Backend;
use crate::clock::Clock;
use crate::host::Host;
use crate::meter::SharedBank;
use crate::meter::bank;
use crate::meter::sampler::Sampler;
use crate::plan::{Plan, PlannedDevice, device_bytes};
use crate::record::store::{StoreError, Writer};
use crate::record::{Event, IdlePhase, IdleWindow};
use crate::sensors::Domain;
use crate::suite::{Catalog, Profile};
use crate::units::{Bytes, Seconds};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// What a run needs. The caller probes sensors and opens the record; the run fills it.
pub struct Run<'a> {
    /// What to measure.
    pub plan: &'a Plan,
    /// How.
    pub profile: &'a Profile,
    /// Seed of inputs and dither.
    pub seed: u64,
    /// The run's clock.
    pub clock: Clock,
    /// The machine, for its state between windows.
    pub host: &'a Host,
    /// Where cases run.
    pub backend: &'a mut dyn Backend,
    /// The sensors that are ready.
    pub bank: SharedBank,
    /// The record.
    pub writer: Arc<Mutex<Writer>>,
    /// Set by Ctrl-C: the run ends cleanly after the window in progress.
    pub stop: &'a AtomicBool,
    /// Windows still to take: all of them, or what an earlier part of the run left over.
    pub remaining: Remaining,
    /// Memory that cases may occupy together; `None` when it is unknown, and then all are
    /// interleaved.
    pub memory: Option<Bytes>,
    /// The devices besides the processor that cases run on.
    pub devices: &'a [UsedDevice],
    /// Length of the load of the pulses before and after the cases, by which the log of a wall meter
    /// is aligned; `None` without such a meter.
    pub pulse: Option<Seconds>,
}

/// A device that cases run on.
pub struct UsedDevice {
    /// What it can do, and how much memory is free on it.
    pub planned: PlannedDevice,
    /// The domain whose energy is its own; `None` where no sensor has one.
    pub domain: Option<Domain>,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Every case came to an outcome.
    Complete,
    /// The user stopped it.
    Interrupted,
}

/// Why a run could not go on. What was measured until then is on disk.
#[derive(Debug, thiserror::Error)]
pub enum MeasureError {
    /// The record cannot be written any more.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Run<'_> {
    /// Measures until the end, or until the user stops it.
    ///
    /// # Errors
    /// [`MeasureError`] when the record cannot be written. A case that fails is an event, not an error.
    pub fn execute(&mut self, observe: &mut dyn FnMut(Progress<'_>)) -> Result<End, MeasureError> {
        let dither = order::Dither::new(self.seed);
        let sampler = self.sampler();
        self.pulse(observe)?;
        self.idle(IdlePhase::Before, observe)?;
        let end = self.cases(&dither, observe);
        let end = match end {
            Ok(End::Complete) => {
                self.idle(IdlePhase::After, observe).and_then(|()| self.pulse(observe)).map(|()| self.ended())
            }
            other => other,
        };
        if let Some(sampler) = sampler {
            let summary = sampler.stop()?;
            self.append(&Event::Sampler(summary))?;
        }
        self.report_lost(observe)?;
        end
    }

    /// Starts the background sampler at the profile's rate, or faster where a counter would wrap.
    /// `None` when there is no sensor to sample, or the rate is zero.
    fn sampler(&self) -> Option<Sampler<StoreError>> {
        let wraps = {
            let bank = self.bank.lock().unwrap_or_else(PoisonError::into_inner);
            bank.infos().next()?;
            bank.poll_interval()
        };
        let period = Seconds::new(1.0 / self.profile.sampler.get()).ok()?;
        let period = wraps.filter(|w| *w < period).unwrap_or(period);
        let (bank, writer, clock) = (Arc::clone(&self.bank), Arc::clone(&self.writer), self.clock);
        Sampler::start(period, clock, move || {
            let point = bank.lock().unwrap_or_else(PoisonError::into_inner).trace(&clock);
            let Some(point) = point else { return Ok(false) };
            writer.lock().unwrap_or_else(PoisonError::into_inner).append(&Event::Trace(point))?;
            Ok(true)
        })
    }

    fn ended(&self) -> End {
        if self.stop.load(Ordering::Relaxed) { End::Interrupted } else { End::Complete }
    }

    fn cases(&mut self, dither: &order::Dither, observe: &mut dyn FnMut(Progress<'_>)) -> Result<End, MeasureError> {
        let open: Vec<usize> = (0..self.plan.cases.len())
            .filter(|&i| !self.remaining.repeats(&self.plan.cases[i].id).is_empty())
            .collect();
        let footprints: Vec<Vec<f64>> = open.iter().map(|&i| self.footprint(i)).collect();
        // Half of what is free, as on the host: drivers keep some for themselves.
        let budget = |memory: Option<Bytes>| memory.map_or(f64::INFINITY, Bytes::get);
        let devices = self.devices.iter().map(|d| budget(d.planned.memory.map(|m| m * 0.5)));
        let budgets: Vec<f64> = std::iter::once(budget(self.memory)).chain(devices).collect();
        let mut tally = round::Tally { done: 0, planned: self.remaining.windows(), prepared: 0, cases: open.len() };
        for group in order::groups(&footprints, &budgets) {
            let indices: Vec<usize> = group.iter().map(|&g| open[g]).collect();
            if self.group(&indices, dither, &mut tally, observe)? == End::Interrupted {
                return Ok(End::Interrupted);
            }
        }
        Ok(End::Complete)
    }

    /// Bytes that a case takes on the host and on each device.
    fn footprint(&self, case: usize) -> Vec<f64> {
        let case = &self.plan.cases[case];
        // Copies of a cold case are made where it runs; on a card the host holds one, to judge the answers.
        let host_copies = if case.device.is_cpu() { f64::from(case.cache.copies().unwrap_or(1)) } else { 1.0 };
        let host = crate::kernels::find(&case.kernel)
            .and_then(|k| k.work(&case.params).ok())
            .map_or(0.0, |work| work.footprint.get() * host_copies);
        let on = |device: &UsedDevice| match device.planned.id == case.device {
            true => device_bytes(case, &device.planned, &Catalog::builtin()).map_or(0.0, Bytes::get),
            false => 0.0,
        };
        std::iter::once(host).chain(self.devices.iter().map(on)).collect()
    }

    fn idle(&mut self, phase: IdlePhase, observe: &mut dyn FnMut(Progress<'_>)) -> Result<(), MeasureError> {
        let length = self.profile.idle;
        if length <= Seconds::ZERO || self.stop.load(Ordering::Relaxed) {
            return Ok(());
        }
        observe(Progress::Idle { phase, length });
        let mut watch = state::Watch::new(self.host, self.profile, &[]);
        watch.begin(&self.clock);
        let first = bank::edge(&self.bank, &self.clock);
        let start = self.clock.now();
        while self.clock.now().since(start) < length && !self.stop.load(Ordering::Relaxed) {
            let left = length - self.clock.now().since(start);
            std::thread::sleep(left.to_duration().min(std::time::Duration::from_millis(100)));
        }
        let wall = self.clock.now().since(start);
        let last = bank::edge(&self.bank, &self.clock);
        let (state, mut flags) = watch.end(&self.clock);
        let (energy, energy_flags) = bank::Edge::spans(&first, &last);
        flags.extend(energy_flags);
        self.append(&Event::Idle(IdleWindow { phase, start, wall, energy, state, flags }))
    }

    /// A pulse of load for the wall meter, where there is one; none once the user asked to stop.
    fn pulse(&self, observe: &mut dyn FnMut(Progress<'_>)) -> Result<(), MeasureError> {
        let Some(length) = self.pulse else { return Ok(()) };
        observe(Progress::Pulse { length: length * 3.0 });
        match crate::meter::pulse(&self.clock, length, &|| self.stop.load(Ordering::Relaxed)) {
            Some(pulse) => self.append(&Event::Pulse(pulse)),
            None => Ok(()),
        }
    }

    fn append(&self, event: &Event) -> Result<(), MeasureError> {
        Ok(self.writer.lock().unwrap_or_else(PoisonError::into_inner).append(event)?)
    }

    /// Writes down sensors that were lost since the last call.
    fn report_lost(&self, observe: &mut dyn FnMut(Progress<'_>)) -> Result<(), MeasureError> {
        let lost = self.bank.lock().unwrap_or_else(PoisonError::into_inner).take_lost();
        for loss in lost {
            observe(Progress::SensorLost { sensor: &loss.sensor, reason: &loss.reason });
            self.append(&Event::SensorLost { at: loss.at, sensor: loss.sensor, reason: loss.reason })?;
        }
        Ok(())
    }
}
