//! A case on an adapter: the kernel's program there, the definition's judgement here.

use super::device::Opened;
use super::loaded::Loaded;
use super::timing::Timing;
use crate::backends::rotation::Rotation;
use crate::backends::{BackendError, DeviceInfo, Judge, ProgramInfo, Workload, failed_canary};
use crate::kernels::{
    Array, Canary, Cooperative, Correctness, DeviceProgram, Kernel, KernelError, NoProgram, Params, Target, Values,
};
use crate::suite::Case;
use crate::units::Seconds;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

/// A case ready to run.
pub(super) struct WgpuWorkload {
    opened: Rc<Opened>,
    info: ProgramInfo,
    /// The program, or the copies of it of a cold case.
    loaded: Vec<Loaded>,
    rotation: Rotation,
    timing: Option<Timing>,
    judge: Judge,
    canary: Option<Canary>,
    /// Why the outputs could not be poisoned: then the next run must not count.
    unpoisoned: Option<BackendError>,
}

impl WgpuWorkload {
    pub(super) fn new(
        opened: Rc<Opened>,
        device: &DeviceInfo,
        kernel: &dyn Kernel,
        case: &Case,
        mut judge: Judge,
    ) -> Result<Self, BackendError> {
        let program_of = |params: &Params, target: &Target| {
            kernel.device_program(params, target).map_err(|why| match why {
                NoProgram::Param(error) => BackendError::Kernel(error.into()),
                other => opened.failed(other.to_string()),
            })
        };
        let mut target = device.target.clone();
        let mut program = program_of(&case.params, &target)?;
        if let Some(why) = program.beyond(&target.limits) {
            return Err(opened.failed(why));
        }
        let rotation = Rotation::of(case.cache).map_err(|why| opened.failed(why))?;
        let work = kernel.work_on(&case.params, case.device.api()).map_err(KernelError::from)?;
        let operands = judge.take_operands();
        let load = |program: &DeviceProgram| -> Result<Vec<Loaded>, BackendError> {
            (0..rotation.copies()).map(|_| Loaded::new(Rc::clone(&opened), program, &operands)).collect()
        };
        let mut without_cooperative = None;
        let loaded = match load(&program) {
            Ok(loaded) => loaded,
            Err(error) => {
                // Cooperative matrices are experimental: where a driver fails on them, the other program is left.
                target.limits.cooperative = Cooperative::default();
                let other = program_of(&case.params, &target)?;
                if other == program {
                    return Err(error);
                }
                program = other;
                without_cooperative = Some(("cooperative matrices".to_owned(), format!("not used: {error}")));
                load(&program)?
            }
        };
        drop(operands);
        let canary = judge.take_canary().map(|canary| {
            let run = || -> Result<Canary, BackendError> {
                let small = Loaded::new(Rc::clone(&opened), &program_of(&canary.params, &target)?, &canary.operands)?;
                small.once()?;
                Ok((canary.judge)(&small.answer()?))
            };
            run().unwrap_or_else(|e| failed_canary(&e))
        });
        let timing = Timing::new(&opened)?;
        let mut facts = judge.facts();
        facts.extend(rotation.facts(&work));
        facts.extend(without_cooperative);
        facts.extend([("adapter".to_owned(), device.name.clone()), ("interface".to_owned(), device.interface.clone())]);
        let info = ProgramInfo { path: program.path, cpus: Vec::new(), threads: 1, software: device.software, facts };
        Ok(Self { opened, info, loaded, rotation, timing, judge, canary, unpoisoned: None })
    }

    /// Calls the driver; a panic of it is an error.
    fn caught<T>(&self, work: impl FnOnce() -> Result<T, BackendError>) -> Result<T, BackendError> {
        catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(self.opened.failed("its driver panicked")))
    }
}

impl Workload for WgpuWorkload {
    fn program(&self) -> ProgramInfo {
        self.info.clone()
    }

    fn poison(&mut self) {
        if let Some(timing) = &mut self.timing {
            timing.reset();
        }
        self.rotation.begin();
        self.unpoisoned = self.caught(|| self.loaded.iter().try_for_each(Loaded::poison)).err();
    }

    fn run(&mut self, iterations: u64) -> Result<(), BackendError> {
        if let Some(error) = self.unpoisoned.take() {
            return Err(error);
        }
        let (mut timing, mut rotation) = (self.timing.take(), self.rotation.clone());
        let ran = self.caught(|| Loaded::run(&self.loaded, || rotation.advance(), iterations, timing.as_mut()));
        (self.timing, self.rotation) = (timing, rotation);
        ran
    }

    fn device_time(&mut self) -> Option<Seconds> {
        let timing = self.timing.as_ref()?;
        self.caught(|| Ok(timing.total(&self.opened))).ok().flatten()
    }

    fn check(&mut self) -> Correctness {
        let rotation = self.rotation.clone();
        rotation.judge(|copy| {
            let answer = self.caught(|| self.loaded[copy].answer()).ok();
            // Without an answer the poison is judged, which does not pass.
            let none = Array { name: "answer", shape: vec![0], values: Values::F32(Vec::new()) };
            self.judge.check(&answer.unwrap_or(none))
        })
    }

    fn output(&self) -> Option<Array> {
        self.caught(|| self.loaded[self.rotation.last()].answer()).ok()
    }

    fn canary(&mut self) -> Option<Canary> {
        self.canary.clone()
    }

    fn thread_ids(&self) -> Vec<i32> {
        Vec::new()
    }
}
