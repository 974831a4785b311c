//! A case on a device.

#![expect(unsafe_code, reason = "events of the driver")]

use super::device::Gpu;
use super::driver::{CudaError, call};
use super::library::Either;
use super::memory::Stage;
use super::program::ProgramError;
use crate::backends::{BackendError, Judge, ProgramInfo, Workload};
use crate::kernels::{Array, Canary, Correctness, Values};
use crate::units::Seconds;
use cudarc::driver::{result, sys};
use std::rc::Rc;

/// Iterations between two waits at most: enough to hide the wait, few enough that the queue never holds a run up.
const QUEUED: u64 = 4096;

/// Two events that measure time by the device's clock.
struct Timer {
    gpu: Rc<Gpu>,
    first: sys::CUevent,
    last: sys::CUevent,
}

impl Timer {
    fn new(gpu: &Rc<Gpu>) -> Result<Self, CudaError> {
        let event = || call("cuEventCreate", || result::event::create(sys::CUevent_flags_enum::CU_EVENT_DEFAULT));
        Ok(Self { gpu: Rc::clone(gpu), first: event()?, last: event()? })
    }

    fn record(&self, event: sys::CUevent) -> Result<(), CudaError> {
        // SAFETY: event and stream live as long as `self`.
        call("cuEventRecord", || unsafe { result::event::record(event, self.gpu.stream()) })
    }

    /// Between both events, once the device is done.
    fn elapsed(&self) -> Result<f64, CudaError> {
        // SAFETY: both events were recorded.
        call("cuEventElapsedTime", || unsafe { result::event::elapsed(self.first, self.last) })
            .map(|ms| f64::from(ms) / 1e3)
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        if self.gpu.enter().is_ok() {
            for event in [self.first, self.last] {
                // SAFETY: created by `new`, destroyed once.
                drop(call("cuEventDestroy", || unsafe { result::event::destroy(event) }));
            }
        }
    }
}

/// A case ready to run on a device.
pub(super) struct CudaWorkload {
    gpu: Rc<Gpu>,
    ready: Either,
    stage: Stage,
    timer: Timer,
    judge: Judge,
    canary: Option<Canary>,
    device_time: f64,
    /// What went wrong where nothing could be answered.
    failed: Option<CudaError>,
    facts: Vec<(String, String)>,
}

impl CudaWorkload {
    pub(super) fn new(
        gpu: &Rc<Gpu>,
        ready: Either,
        stage: Stage,
        judge: Judge,
        canary: Option<Canary>,
        facts: Vec<(String, String)>,
    ) -> Result<Self, ProgramError> {
        let timer = Timer::new(gpu)?;
        Ok(Self { gpu: Rc::clone(gpu), ready, stage, timer, judge, canary, device_time: 0.0, failed: None, facts })
    }

    fn iterate(&mut self, iterations: u64) -> Result<(), CudaError> {
        self.gpu.enter()?;
        let mut left = iterations;
        while left > 0 {
            let batch = left.min(QUEUED);
            self.timer.record(self.timer.first)?;
            for _ in 0..batch {
                self.ready.launch()?;
            }
            self.timer.record(self.timer.last)?;
            self.gpu.wait()?;
            self.device_time += self.timer.elapsed()?;
            left -= batch;
        }
        Ok(())
    }

    fn error(&self, error: &CudaError) -> BackendError {
        self.gpu.note(error);
        BackendError::Device { device: self.gpu.id.clone(), detail: error.to_string() }
    }
}

impl Workload for CudaWorkload {
    fn program(&self) -> ProgramInfo {
        let own = self.judge.facts().into_iter().chain(self.facts.iter().cloned());
        ProgramInfo {
            path: self.ready.path(),
            cpus: Vec::new(),
            threads: 1,
            software: self.gpu.info.software,
            facts: own.collect(),
        }
    }

    fn poison(&mut self) {
        self.device_time = 0.0;
        if let Err(error) = self.ready.poison() {
            self.failed = Some(error);
        }
    }

    fn run(&mut self, iterations: u64) -> Result<(), BackendError> {
        let ran = match self.failed.take() {
            Some(error) => Err(error),
            None => self.iterate(iterations),
        };
        ran.map_err(|error| self.error(&error))
    }

    fn device_time(&mut self) -> Option<Seconds> {
        Seconds::new(self.device_time).ok().filter(|s| *s > Seconds::ZERO)
    }

    fn check(&mut self) -> Correctness {
        let answer = self.ready.answer(&mut self.stage).unwrap_or_else(|error| {
            self.gpu.note(&error);
            Array { name: "nothing", shape: Vec::new(), values: Values::F32(Vec::new()) }
        });
        self.judge.check(&answer)
    }

    fn output(&self) -> Option<Array> {
        let mut stage = Stage::new(&self.gpu).ok()?;
        self.ready.answer(&mut stage).inspect_err(|error| self.gpu.note(error)).ok()
    }

    fn canary(&mut self) -> Option<Canary> {
        self.canary.take()
    }

    fn thread_ids(&self) -> Vec<i32> {
        Vec::new()
    }
}
