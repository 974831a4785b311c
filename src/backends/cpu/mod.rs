//! The CPU: pinned threads and the kernels' own programs.
//!
//! While a workload exists, the thread that prepared it is pinned to the first CPU of the case,
//! because it is thread 0 of the team. Threads started meanwhile inherit that mask: start samplers
//! before preparing, or give them a mask of their own.

mod pool;
mod topology;

pub(super) use topology::Home;
pub use topology::{TooManyThreads, Topology};

use super::rotation::Rotation;
use super::{Backend, BackendError, DeviceId, ProgramInfo, Workload};
use crate::host::Host;
use crate::kernels::{self, Array, BuildContext, Canary, Correctness, Isa, Program, Team};
use crate::suite::Case;
use pool::Pool;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::{Rc, Weak};

/// The CPU as a device.
pub struct CpuBackend {
    topology: Topology,
    isa: Isa,
    pools: BTreeMap<Vec<u32>, Rc<Pool>>,
    pin: Weak<topology::Pin>,
}

impl CpuBackend {
    /// The CPUs that the calling thread may use, with the widest instruction set they have.
    #[must_use]
    pub fn new(host: &Host) -> Self {
        Self { topology: Topology::read(host), isa: Isa::detect(), pools: BTreeMap::new(), pin: Weak::new() }
    }

    /// Restricts programs to `isa` (or what is available below it). The `gemm` crate, which serves
    /// where we have no vector code, dispatches by itself and is not restricted.
    #[must_use]
    pub fn with_isa(mut self, isa: Isa) -> Self {
        self.isa = isa.at_most_detected();
        self
    }

    /// The usable CPUs.
    #[must_use]
    pub const fn topology(&self) -> &Topology {
        &self.topology
    }

    /// The instruction set programs are built for.
    #[must_use]
    pub const fn isa(&self) -> Isa {
        self.isa
    }

    fn pool(&mut self, cpus: &[u32]) -> Result<Rc<Pool>, BackendError> {
        if let Some(pool) = self.pools.get(cpus) {
            return Ok(Rc::clone(pool));
        }
        let pool = Rc::new(Pool::new(cpus).map_err(|e| failed(e.to_string()))?);
        self.pools.insert(cpus.to_vec(), Rc::clone(&pool));
        Ok(pool)
    }

    /// The pin that all workloads share; every assignment starts on the same first CPU.
    fn pin(&mut self, cpus: &[u32]) -> Option<Rc<topology::Pin>> {
        if let Some(pin) = self.pin.upgrade() {
            return Some(pin);
        }
        let pin = Rc::new(pool::pin_caller(cpus)?);
        self.pin = Rc::downgrade(&pin);
        Some(pin)
    }
}

fn device() -> DeviceId {
    DeviceId::cpu()
}

fn failed(detail: String) -> BackendError {
    BackendError::Device { device: device(), detail }
}

impl Backend for CpuBackend {
    fn serves(&self, device: &DeviceId) -> bool {
        device.is_cpu()
    }

    fn prepare(&mut self, case: &Case, seed: u64) -> Result<Box<dyn Workload>, BackendError> {
        let kernel = kernels::find(&case.kernel).ok_or_else(|| BackendError::UnknownKernel(case.kernel.clone()))?;
        let cpus = self.topology.assign(case.threads).map_err(|e| failed(e.to_string()))?;
        let rotation = Rotation::of(case.cache).map_err(failed)?;
        let work = kernel.work(&case.params).map_err(kernels::KernelError::from)?;
        let pool = self.pool(&cpus)?;
        let pin = self.pin(&cpus);
        let context = BuildContext { seed, isa: self.isa, team: pool.as_ref() };
        let mut programs = Vec::new();
        for _ in 0..rotation.copies() {
            let built = catch_unwind(AssertUnwindSafe(|| kernel.build(&case.params, &context)));
            programs.push(match (built, pool.take_panic()) {
                (Ok(program), None) => program?,
                (_, Some(panic)) => return Err(failed(format!("building `{}`: {panic}", case.id))),
                (Err(_), None) => return Err(failed(format!("building `{}` panicked", case.id))),
            });
        }
        let facts = rotation.facts(&work);
        let cpus = if pin.is_some() && pool.is_pinned() { cpus } else { Vec::new() };
        let (isa, caller) = (self.isa, topology::thread_id());
        Ok(Box::new(CpuWorkload { programs, rotation, facts, failed: None, cpus, isa, pool, caller, _pin: pin }))
    }
}

/// A program, or the copies of one of a cold case, and the threads it runs on.
struct CpuWorkload {
    programs: Vec<Box<dyn Program>>,
    rotation: Rotation,
    /// What is to be said of the copies.
    facts: Vec<(String, String)>,
    /// What went wrong where nothing could be answered.
    failed: Option<BackendError>,
    cpus: Vec<u32>,
    isa: Isa,
    pool: Rc<Pool>,
    caller: i32,
    _pin: Option<Rc<topology::Pin>>,
}

impl CpuWorkload {
    fn iterate(&mut self, iterations: u64) -> Result<(), BackendError> {
        let (programs, rotation, pool) = (&mut self.programs, &mut self.rotation, self.pool.as_ref());
        let ran = catch_unwind(AssertUnwindSafe(|| {
            for _ in 0..iterations {
                programs[rotation.advance()].run(pool);
            }
        }));
        match (ran, self.pool.take_panic()) {
            (Ok(()), None) => Ok(()),
            (_, Some(panic)) => Err(failed(panic)),
            (Err(_), None) => Err(failed("the program panicked".to_owned())),
        }
    }
}

impl Workload for CpuWorkload {
    fn program(&self) -> ProgramInfo {
        let own = self.programs[0].facts().into_iter().map(|(name, value)| (name.to_owned(), value));
        ProgramInfo {
            path: self.programs[0].path(),
            cpus: self.cpus.clone(),
            threads: u32::try_from(self.pool.threads()).unwrap_or(u32::MAX),
            software: false,
            facts: own.chain([("isa".to_owned(), self.isa.name().to_owned())]).chain(self.facts.clone()).collect(),
        }
    }

    fn poison(&mut self) {
        let copies = self.programs.len();
        if copies > 1 {
            // Judging the last window may have read operands of any copy. One turn of all brings the caches to what they
            // are in the middle of a window.
            self.failed = self.iterate(copies as u64).err();
        }
        self.programs.iter_mut().for_each(|program| program.poison());
        self.rotation.begin();
    }

    fn run(&mut self, iterations: u64) -> Result<(), BackendError> {
        match self.failed.take() {
            Some(error) => Err(error),
            None => self.iterate(iterations),
        }
    }

    fn check(&mut self) -> Correctness {
        self.rotation.judge(|copy| self.programs[copy].check())
    }

    fn output(&self) -> Option<Array> {
        self.programs[self.rotation.last()].output()
    }

    fn canary(&mut self) -> Option<Canary> {
        let mut canary = self.programs[0].canary(self.pool.as_ref());
        // A canary that panicked half-way proves nothing.
        if self.pool.take_panic().is_some()
            && let Some(canary) = &mut canary
        {
            canary.error = None;
        }
        canary
    }

    fn thread_ids(&self) -> Vec<i32> {
        std::iter::once(self.caller).chain(self.pool.worker_ids().iter().copied()).collect()
    }
}

#[cfg(test)]
mod tests;
