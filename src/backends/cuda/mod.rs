//! NVIDIA GPUs through CUDA, whose libraries are looked for at run time.
//!
//! The driver is reached through `cudarc` ([`driver`]), programs are compiled by NVRTC for the device at hand ([`nvrtc`],
//! [`cache`]) and judged by the kernels' own definitions. An error after which a device answers nothing else voids the case
//! it happened in and the later ones on that device, with its words; the run goes on with the others.

pub mod cache;
pub mod cubin;
mod device;
pub mod driver;
mod library;
mod memory;
pub mod nvrtc;
mod program;
mod tensor_map;
mod workload;

use super::rotation::Rotation;
use super::{Backend, BackendError, DeviceId, DeviceInfo, Judge, Probe, Workload};
use crate::kernels::{self, Array, Canary, Chosen, Kernel, NoProgram, Params, ProgramChoice};
use crate::suite::Case;
use cache::Cache;
use cudarc::driver::result;
use device::Gpu;
use driver::{CudaError, call};
use library::{Either, Libraries};
use memory::Stage;
use program::{Code, ProgramError, Ready};
use std::rc::Rc;
use workload::CudaWorkload;

/// Oldest CUDA whose driver has every function that is called here: `cuEventElapsedTime_v2` came with 12.8.
const OLDEST: (u32, u32) = (12, 8);

/// A device and what was compiled for it.
struct Member {
    gpu: Rc<Gpu>,
    code: Code,
    libraries: Rc<Libraries>,
}

/// The CUDA devices of the machine.
pub struct CudaBackend {
    members: Vec<Member>,
}

/// Looks for CUDA devices.
#[must_use]
pub fn probe() -> Probe {
    if !driver::is_present() {
        let reason = "the driver's library libcuda is not installed".to_owned();
        return Probe::Absent { reason };
    }
    match open() {
        Ok(backend) => Probe::Ready(Box::new(backend)),
        Err(refusal) => refusal,
    }
}

/// What an error of the first calls means.
fn refusal(error: &CudaError) -> Probe {
    let reason = format!("CUDA cannot be used: {error}");
    match error.code {
        // Devices are there, and the system refuses to open them.
        Some(304 | 800) => Probe::Denied {
            reason,
            remedy: "the user needs read and write access to /dev/nvidiactl and /dev/nvidia0: add it to the group that owns them \
                     (`ls -l /dev/nvidia*`, often `video`), or start the container with `--gpus all`"
                .to_owned(),
        },
        _ => Probe::Absent { reason },
    }
}

fn open() -> Result<CudaBackend, Probe> {
    let refused = |error: CudaError| refusal(&error);
    call("cuInit", result::init).map_err(refused)?;
    let version = driver::version().map_err(refused)?;
    if version < OLDEST {
        let ((major, minor), (least, part)) = (version, OLDEST);
        let reason = format!("the driver speaks CUDA {major}.{minor}, and {least}.{part} is needed: update the driver");
        return Err(Probe::Absent { reason });
    }
    let count = call("cuDeviceGetCount", result::device::get_count).map_err(refused)?;
    let (mut found, mut left_out) = (Vec::new(), Vec::new());
    for index in 0..u32::try_from(count).unwrap_or(0) {
        match Gpu::open(index, version) {
            Ok(gpu) => found.push(gpu),
            Err(error) => left_out.push((index, error)),
        }
    }
    if found.is_empty() {
        return Err(match left_out.first() {
            Some((_, error)) => refusal(error),
            None => Probe::Absent { reason: "the driver reports no device that is visible".to_owned() },
        });
    }
    let missing = left_out.iter().map(|(index, error)| ("left-out".to_owned(), format!("cuda:{index}: {error}")));
    found[0].info.facts.extend(missing);
    let libraries = Rc::new(Libraries::find(version.0));
    let members = found.into_iter().map(|mut gpu| {
        gpu.info.target.libraries = libraries.offered((gpu.architecture.major, gpu.architecture.minor));
        gpu.info.facts.extend(libraries.facts());
        let library = nvrtc::Compiler::find(version.0);
        gpu.info.facts.push((
            "nvrtc".to_owned(),
            match &library {
                Ok(compiler) => format!("{}.{}", compiler.version().0, compiler.version().1),
                Err(error) => error.to_string(),
            },
        ));
        let gpu = Rc::new(gpu);
        Member { code: Code::new(&gpu, library, Cache::of_user()), gpu, libraries: Rc::clone(&libraries) }
    });
    Ok(CudaBackend { members: members.collect() })
}

impl CudaBackend {
    fn member(&mut self, device: &DeviceId) -> Option<&mut Member> {
        self.members.iter_mut().find(|m| m.gpu.id == *device)
    }
}

impl Backend for CudaBackend {
    fn serves(&self, device: &DeviceId) -> bool {
        self.members.iter().any(|m| m.gpu.id == *device)
    }

    fn devices(&self) -> Vec<DeviceInfo> {
        self.members.iter().map(|m| m.gpu.info.clone()).collect()
    }

    fn prepare(&mut self, case: &Case, seed: u64) -> Result<Box<dyn Workload>, BackendError> {
        let kernel = kernels::find(&case.kernel).ok_or_else(|| BackendError::UnknownKernel(case.kernel.clone()))?;
        let failed = |detail: String| BackendError::Device { device: case.device.clone(), detail };
        let Some(member) = self.member(&case.device) else {
            return Err(failed("the driver reports no such device".to_owned()));
        };
        if let Some(reason) = member.gpu.lost() {
            return Err(failed(format!("lost in an earlier case: {reason}")));
        }
        let gpu = Rc::clone(&member.gpu);
        let chosen = gpu.info.target.choose(kernel, &case.params).map_err(|e| match e {
            NoProgram::Param(error) => BackendError::Kernel(error.into()),
            other => failed(other.to_string()),
        })?;
        let rotation = Rotation::of(case.cache).map_err(failed)?;
        let work = kernel.work_on(&case.params, case.device.api()).map_err(kernels::KernelError::from)?;
        let mut judge = Judge::new(kernel, case, seed)?;
        let operands = judge.take_operands();
        let answer = |error: ProgramError| match error {
            ProgramError::Kernel(error) => BackendError::Kernel(error),
            ProgramError::Cuda(error) => {
                gpu.note(&error);
                failed(error.to_string())
            }
            other => failed(other.to_string()),
        };
        let mut stage = Stage::new(&gpu).map_err(|e| answer(e.into()))?;
        let choice = if matches!(chosen, Chosen::Own(_)) { ProgramChoice::Own } else { ProgramChoice::Library };
        // A library chooses by the sizes of a product, so its canary is as large as the case where it can be. It runs first: the
        // memory of both is never needed at once.
        let first = choice == ProgramChoice::Library && judge.enlarge_canary(&case.params);
        let mut tried = None;
        if first {
            tried = canary(kernel, member, choice, &mut judge, &mut stage).map_err(answer)?;
        }
        let mut ready = Vec::new();
        for _ in 0..rotation.copies() {
            let copy = make_ready(member, &mut stage, chosen.clone(), &case.params, &operands).map_err(answer)?;
            ready.push(copy);
        }
        drop(operands);
        if !first {
            tried = canary(kernel, member, choice, &mut judge, &mut stage).map_err(answer)?;
        }
        let mut facts = rotation.facts(&work);
        facts.extend(match &ready[0] {
            Either::Own(_) => member.code.compiler().map(|version| ("nvrtc".to_owned(), version)).into_iter().collect(),
            Either::Served(served) => served.facts(),
        });
        if let (Some((_, Some(its))), Some(own)) = (&tried, ready[0].algorithm()) {
            let words = if its == own { "the case's" } else { its };
            facts.push(("canary-algorithm".to_owned(), words.to_owned()));
        }
        let canary = tried.map(|(canary, _)| canary);
        let copies = (ready, rotation);
        Ok(Box::new(CudaWorkload::new(&gpu, copies, stage, judge, canary, facts).map_err(answer)?))
    }
}

/// Makes the program that was chosen ready on the device.
fn make_ready(
    member: &mut Member,
    stage: &mut Stage,
    chosen: Chosen,
    params: &Params,
    operands: &[Array],
) -> Result<Either, ProgramError> {
    let gpu = Rc::clone(&member.gpu);
    Ok(match chosen {
        Chosen::Own(program) => Either::Own(Ready::new(&gpu, &mut member.code, stage, program, operands)?),
        Chosen::Library(library) => {
            Either::Served(member.libraries.prepare((&gpu, stage), &library, params, operands)?)
        }
    })
}

/// Runs the canary of a case on the device, by the same program; with it the algorithm, where a library chose one. A canary without a
/// program there does not pass; a device that fails meanwhile is no wrong answer.
fn canary(
    kernel: &dyn Kernel,
    member: &mut Member,
    choice: ProgramChoice,
    judge: &mut Judge,
    stage: &mut Stage,
) -> Result<Option<(Canary, Option<String>)>, ProgramError> {
    let Some(small) = judge.take_canary() else { return Ok(None) };
    let params = small.params.with_choice(choice);
    let program = match member.gpu.info.target.choose(kernel, &params) {
        Ok(program) => program,
        Err(error) => {
            let detail = error.to_string();
            let failed = BackendError::Device { device: member.gpu.id.clone(), detail };
            return Ok(Some((super::failed_canary(&failed), None)));
        }
    };
    let mut ready = make_ready(member, stage, program, &params, &small.operands)?;
    ready.poison()?;
    ready.launch()?;
    member.gpu.wait()?;
    let verdict = (small.judge)(&ready.answer(stage)?);
    Ok(Some((verdict, ready.algorithm().map(str::to_owned))))
}
