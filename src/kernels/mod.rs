//! What is measured: each kernel's definition (parameters, work formula, inputs, f64 reference,
//! error limit, canary) and its CPU program.
//!
//! A kernel knows data and formulas. It never touches a device, a sensor or a clock: the backend
//! lends it a [`Team`] of threads and times it from outside. Adding a kernel is one folder and one
//! line in [`REGISTRY`].

mod attention;
mod bsr;
mod buffer;
mod canary;
pub(crate) mod cooperative;
mod copy;
mod correctness;
mod csr;
mod cuda;
mod decode;
mod device;
mod dot;
mod eight;
mod element;
mod enlarged;
#[cfg(test)]
pub(crate) mod every;
mod fma;
mod format;
mod gemm;
mod hopper;
mod isa;
mod linear;
mod moe;
mod operands;
mod pack;
mod params;
mod products;
mod quantized;
pub mod random;
mod read;
mod reference;
mod short;
mod simd;
mod skip;
mod split;
mod spmm;
mod spmv;
mod structured;
mod triad;
#[cfg(test)]
mod verify;

pub(crate) use buffer::Buffer;
pub use correctness::{Canary, Correctness, Coverage};
pub use device::{
    Api, Argument, Chosen, Cooperative, DeviceBuffer, DeviceCanary, DeviceProgram, Init, Judge, Launch, Library,
    Limits, NoProgram, Target, TensorMap, operand,
};
pub use format::Format;
pub use isa::Isa;
pub use operands::{Array, Values};
pub use params::{
    Default as ParamDefault, Dtype, PROGRAM, ParamError, ParamKind, ParamSpec, ParamValue, Params, ProgramChoice,
};
#[cfg(test)]
pub(crate) use split::Parts;

use crate::units::{Bytes, Flops};
use serde::{Deserialize, Serialize};

/// Every kernel of the product, in the order in which `list kernels` prints them.
pub const REGISTRY: &[&dyn Kernel] = &[
    &gemm::Gemm,
    &quantized::Quantized,
    &spmv::Spmv,
    &spmm::Spmm,
    &bsr::SpmmBsr,
    &structured::Structured,
    &attention::Attention,
    &attention::WindowAttention,
    &attention::BlockAttention,
    &linear::LinearAttention,
    &decode::KvDecode,
    &moe::Moe,
    &skip::ReluSkip,
    &triad::Triad,
    &fma::FmaPeak,
    &read::ReadBandwidth,
    &copy::Copying,
];

/// The kernel with this id.
#[must_use]
pub fn find(id: &str) -> Option<&'static dyn Kernel> {
    REGISTRY.iter().copied().find(|k| k.info().id == id)
}

/// What a kernel is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// A workload whose performance per watt is the result.
    Workload,
    /// A probe of the machine's arithmetic ceiling: its FLOP/s is the denominator of "% of peak".
    ComputeCeiling,
    /// A probe of the machine's read bandwidth: its B/s is the denominator of "% of read".
    MemoryCeiling,
    /// A probe of a card's copy bandwidth, reads and writes together: its B/s is the denominator of "% of copy".
    CopyCeiling,
}

/// Everything that is known of a kernel before it runs.
#[derive(Debug, Clone, Copy)]
pub struct KernelInfo {
    /// Permanent id, as suites write it: `spmm-csr`.
    pub id: &'static str,
    /// Name for people.
    pub title: &'static str,
    /// One sentence: what is computed, on which shapes.
    pub summary: &'static str,
    /// Workload or ceiling.
    pub role: Role,
    /// Formula of the useful operations, e.g. `2·nnz·N`.
    pub flops: &'static str,
    /// Formula of the compulsory bytes.
    pub bytes: &'static str,
    /// Where the definition comes from (paper, standard, library document).
    pub source: &'static str,
    /// Element types it can compute in.
    pub dtypes: &'static [Dtype],
    /// Its parameters besides `dtype` and `threads`.
    pub params: &'static [ParamSpec],
}

impl KernelInfo {
    /// Checks the element type and every parameter against this description.
    ///
    /// # Errors
    /// [`ParamError`] for the first one that is missing, out of bounds or of the wrong kind.
    pub fn check(&self, params: &Params) -> Result<(), ParamError> {
        if !self.dtypes.contains(&params.dtype) {
            return Err(self.no_type(params.dtype));
        }
        self.params.iter().try_for_each(|spec| spec.check(params))
    }

    /// The error of a case whose element type this kernel does not compute in.
    fn no_type(&self, dtype: Dtype) -> ParamError {
        let names: Vec<_> = self.dtypes.iter().map(|d| d.name()).collect();
        let expected = format!("one of {}", names.join(", "));
        ParamError::Invalid { name: "dtype", found: format!("`{dtype}`"), expected }
    }
}

/// Work of ONE iteration, from the kernel's formulas.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Work {
    /// Useful operations: those on stored non-zeros and visible pairs.
    #[serde(rename = "flops")]
    pub useful: Flops,
    /// Operations a dense kernel would need for the same result; equal to `useful` for dense work.
    #[serde(rename = "dense_equivalent_flops")]
    pub dense_equivalent: Flops,
    /// Compulsory traffic: every operand moved once.
    pub bytes: Bytes,
    /// Memory the case allocates, for refusing what does not fit.
    #[serde(rename = "footprint_bytes")]
    pub footprint: Bytes,
}

impl Work {
    /// From whole numbers of operations and bytes.
    ///
    /// # Errors
    /// None for numbers below 2^63, which [`ParamError::TooLarge`] guards earlier.
    pub(crate) fn new(useful: u64, dense_equivalent: u64, bytes: u64, footprint: u64) -> Result<Self, ParamError> {
        let too_large = |e: crate::units::NotFinite| ParamError::TooLarge(e.to_string());
        Ok(Self {
            useful: Flops::new(useful as f64).map_err(too_large)?,
            dense_equivalent: Flops::new(dense_equivalent as f64).map_err(too_large)?,
            bytes: Bytes::new(bytes as f64).map_err(too_large)?,
            footprint: Bytes::new(footprint as f64).map_err(too_large)?,
        })
    }

    /// Different bytes that an iteration touches at least: its compulsory traffic, which may count a line twice (read
    /// before it is written), but never more than the case allocates.
    #[must_use]
    pub fn touched(&self) -> Bytes {
        if self.bytes < self.footprint { self.bytes } else { self.footprint }
    }
}

/// A fixed set of pinned threads that run one closure each, lent by the backend.
///
/// `run` returns when all are done and orders memory like a join.
pub trait Team: Sync {
    /// Number of threads, at least 1.
    fn threads(&self) -> usize;
    /// Calls `job(t)` once for every `t` in `0..threads()`, each on its own thread; the caller is
    /// thread 0.
    fn run(&self, job: &(dyn Fn(usize) + Sync));
}

/// What a program is built with.
#[derive(Clone, Copy)]
pub struct BuildContext<'a> {
    /// Seed of every input; the same seed gives the same bits on every machine.
    pub seed: u64,
    /// Widest instruction set the program may use.
    pub isa: Isa,
    /// The threads that will run it, so buffers are first touched where they are used.
    pub team: &'a dyn Team,
}

/// Why a program could not be built.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// A parameter is missing, out of range or of the wrong kind.
    #[error(transparent)]
    Param(#[from] ParamError),
    /// An allocation failed.
    #[error("cannot allocate {bytes} bytes for {what}")]
    OutOfMemory {
        /// What the memory was for.
        what: &'static str,
        /// Size asked for, in bytes.
        bytes: u64,
    },
    /// The generated or given structure is not valid (row pointers, indices).
    #[error("invalid structure: {0}")]
    Structure(String),
}

/// A kernel's definition.
pub trait Kernel: Sync {
    /// Its description.
    fn info(&self) -> &'static KernelInfo;

    /// The work of one iteration.
    ///
    /// # Errors
    /// [`ParamError`] when `params` do not describe a valid case.
    fn work(&self, params: &Params) -> Result<Work, ParamError>;

    /// The work of one iteration where a program of `api` computes it; `None` is the processor. It differs where a card
    /// moves other bytes for the same answer, or a probe does more to be worth a launch.
    ///
    /// # Errors
    /// [`ParamError`] when `params` do not describe a valid case.
    fn work_on(&self, params: &Params, api: Option<Api>) -> Result<Work, ParamError> {
        let _ = api;
        self.work(params)
    }

    /// Generates the inputs, the reference and the buffers, and picks the code path.
    ///
    /// # Errors
    /// [`KernelError`] when the parameters are invalid or memory does not suffice.
    fn build(&self, params: &Params, context: &BuildContext<'_>) -> Result<Box<dyn Program>, KernelError>;

    /// The inputs of the case that [`build`](Kernel::build) makes of the same arguments, for comparisons with
    /// other programs: sparse ones as CSR or BSR arrays, 2:4 matrices dense. Empty where a kernel hands none
    /// out.
    ///
    /// # Errors
    /// [`KernelError`] when the parameters are invalid or memory does not suffice.
    fn operands(&self, params: &Params, context: &BuildContext<'_>) -> Result<Vec<Array>, KernelError> {
        let _ = (params, context);
        Ok(Vec::new())
    }

    /// The same operands as programs for devices take them: weights of few bits in words, where
    /// [`operands`](Kernel::operands) hands out numbers.
    ///
    /// # Errors
    /// [`KernelError`] when the parameters are invalid or memory does not suffice.
    fn device_operands(&self, params: &Params, context: &BuildContext<'_>) -> Result<Vec<Array>, KernelError> {
        self.operands(params, context)
    }

    /// The kernel's program for a device. Its answer is judged by the [`Program`] that [`build`](Kernel::build)
    /// makes of the same case: [`Program::accept`], then [`Program::check`].
    ///
    /// # Errors
    /// [`NoProgram`] when there is none for this device, this type or these parameters.
    fn device_program(&self, params: &Params, target: &Target) -> Result<DeviceProgram, NoProgram> {
        let _ = (params, target);
        Err(NoProgram::Unwritten)
    }

    /// The precision canary as a case for a device; `None` where the kernel has none.
    ///
    /// # Errors
    /// [`KernelError`] when the parameters are invalid or memory does not suffice.
    fn device_canary(&self, params: &Params) -> Result<Option<DeviceCanary>, KernelError> {
        let _ = params;
        Ok(None)
    }
}

/// A kernel ready to run on CPU threads.
pub trait Program: Send {
    /// The code path taken, e.g. `avx512/nest` or `portable/tiled`; it stands in the record.
    fn path(&self) -> String;

    /// Facts about the instance worth recording, e.g. `("nnz", "419430")`.
    fn facts(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// Overwrites every output with NaN (or a poison pattern), so that a kernel which does not run
    /// cannot pass its check. Outside the timed window.
    fn poison(&mut self);

    /// One iteration, timed from outside.
    fn run(&mut self, team: &dyn Team);

    /// Compares the outputs that the last [`run`](Program::run) left with the f64 reference.
    fn check(&mut self) -> Correctness;

    /// What the last [`run`](Program::run) left, for comparisons with other programs; `None` where the
    /// kernel does not hand it out.
    fn output(&self) -> Option<Array> {
        None
    }

    /// Takes the answer of another program in place of what [`run`](Program::run) would leave, so that
    /// [`check`](Program::check) judges it: the inverse of [`output`](Program::output).
    ///
    /// # Errors
    /// [`KernelError::Structure`] when it does not have the shape of the answer, or the kernel takes none.
    fn accept(&mut self, answer: &Array) -> Result<(), KernelError> {
        Err(KernelError::Structure(format!("this kernel takes no answer such as `{}` from elsewhere", answer.name)))
    }

    /// Changes one output element (`index` modulo their number), so that tests can see the check
    /// fail.
    #[cfg(test)]
    fn corrupt(&mut self, index: usize) {
        let _ = index;
    }

    /// Runs the precision canary: an input whose exact answer needs the declared precision.
    /// `None` where the kernel computes nothing that precision could spoil (a bandwidth probe).
    fn canary(&mut self, team: &dyn Team) -> Option<Canary>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kernel_folder_is_registered() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/kernels");
        let source = include_str!("mod.rs");
        let registry = &source[source.find("pub const REGISTRY").unwrap()..];
        let registry = &registry[..registry.find("];").unwrap()];
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            if entry.file_type().unwrap().is_dir() && name != "simd" {
                assert!(registry.contains(&format!("&{name}::")), "`{name}` is not in REGISTRY");
            }
        }
    }

    #[test]
    fn ids_are_unique_and_found() {
        for kernel in REGISTRY {
            let id = kernel.info().id;
            assert_eq!(REGISTRY.iter().filter(|k| k.info().id == id).count(), 1, "{id}");
            assert_eq!(find(id).unwrap().info().id, id);
        }
        assert!(find("gem").is_none());
    }

    #[test]
    fn defaults_lie_within_their_own_bounds() {
        for kernel in REGISTRY {
            for spec in kernel.info().params {
                if let Some(default) = spec.default {
                    let values = std::iter::once((spec.name.to_owned(), default.into())).collect();
                    spec.check(&Params { dtype: Dtype::F32, values }).unwrap();
                }
            }
        }
    }

    #[test]
    fn absurd_sizes_are_refused_before_anything_is_allocated() {
        for kernel in REGISTRY {
            let info = kernel.info();
            let values = info.params.iter().map(|spec| {
                let value = match spec.kind {
                    ParamKind::Count { .. } | ParamKind::Size { .. } => ParamValue::Integer(u64::MAX),
                    ParamKind::Fraction { max, .. } => ParamValue::Real(max),
                    ParamKind::Choice(words) => ParamValue::Word(words[0].to_owned()),
                };
                (spec.name.to_owned(), value)
            });
            let params = Params { dtype: info.dtypes[0], values: values.collect() };
            if !info.params.is_empty() {
                assert!(kernel.work(&params).is_err(), "{}", info.id);
            }
        }
    }
}
