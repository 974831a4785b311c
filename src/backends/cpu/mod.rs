//! The CPU: pinned threads and the kernels' own programs.
//!
//! While a workload exists, the thread that prepared it is pinned to the first CPU of the case,
//! because it is thread 0 of the team. Threads started meanwhile inherit that mask: start samplers
//! before preparing, or give them a mask of their own.

mod pool;
mod topology;

pub(super) use topology::Home;
pub use topology::{TooManyThreads, Topology};

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
        let pool = self.pool(&cpus)?;
        let pin = self.pin(&cpus);
        let context = BuildContext { seed, isa: self.isa, team: pool.as_ref() };
        let built = catch_unwind(AssertUnwindSafe(|| kernel.build(&case.params, &context)));
        let program = match (built, pool.take_panic()) {
            (Ok(program), None) => program?,
            (_, Some(panic)) => return Err(failed(format!("building `{}`: {panic}", case.id))),
            (Err(_), None) => return Err(failed(format!("building `{}` panicked", case.id))),
        };
        let cpus = if pin.is_some() && pool.is_pinned() { cpus } else { Vec::new() };
        Ok(Box::new(CpuWorkload { program, cpus, isa: self.isa, pool, caller: topology::thread_id(), _pin: pin }))
    }
}

/// A program and the threads it runs on.
struct CpuWorkload {
    program: Box<dyn Program>,
    cpus: Vec<u32>,
    isa: Isa,
    pool: Rc<Pool>,
    caller: i32,
    _pin: Option<Rc<topology::Pin>>,
}

impl Workload for CpuWorkload {
    fn program(&self) -> ProgramInfo {
        let own = self.program.facts().into_iter().map(|(name, value)| (name.to_owned(), value));
        ProgramInfo {
            path: self.program.path(),
            cpus: self.cpus.clone(),
            threads: u32::try_from(self.pool.threads()).unwrap_or(u32::MAX),
            software: false,
            facts: own.chain([("isa".to_owned(), self.isa.name().to_owned())]).collect(),
        }
    }

    fn poison(&mut self) {
        self.program.poison();
    }

    fn run(&mut self, iterations: u64) -> Result<(), BackendError> {
        let (program, pool) = (&mut self.program, self.pool.as_ref());
        let ran = catch_unwind(AssertUnwindSafe(|| {
            for _ in 0..iterations {
                program.run(pool);
            }
        }));
        match (ran, self.pool.take_panic()) {
            (Ok(()), None) => Ok(()),
            (_, Some(panic)) => Err(failed(panic)),
            (Err(_), None) => Err(failed("the program panicked".to_owned())),
        }
    }

    fn check(&mut self) -> Correctness {
        self.program.check()
    }

    fn output(&self) -> Option<Array> {
        self.program.output()
    }

    fn canary(&mut self) -> Option<Canary> {
        let mut canary = self.program.canary(self.pool.as_ref());
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
