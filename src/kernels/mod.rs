//! What is measured: each kernel's definition (parameters, work formula, inputs, f64 reference,
//! error limit, canary) and its CPU program.
//!
//! A kernel knows data and formulas. It never touches a device, a sensor or a clock: the backend
//! lends it a [`Team`] of threads and times it from outside. Adding a kernel is one folder and one
//! line in [`REGISTRY`].

mod buffer;
mod correctness;
mod element;
mod isa;
mod params;
pub mod random;
mod simd;
mod split;

pub(crate) use buffer::Buffer;
pub use correctness::{Canary, Correctness, Coverage};
pub use isa::Isa;
pub use params::{Default as ParamDefault, Dtype, ParamError, ParamKind, ParamSpec, ParamValue, Params};
#[cfg(test)]
pub(crate) use split::Parts;

use crate::units::{Bytes, Flops};
use serde::{Deserialize, Serialize};

/// Every kernel of the product, in the order in which `list kernels` prints them.
pub const REGISTRY: &[&dyn Kernel] = &[];

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

    /// Generates the inputs, the reference and the buffers, and picks the code path.
    ///
    /// # Errors
    /// [`KernelError`] when the parameters are invalid or memory does not suffice.
    fn build(&self, params: &Params, context: &BuildContext<'_>) -> Result<Box<dyn Program>, KernelError>;
}

/// A kernel ready to run on CPU threads.
pub trait Program: Send {
    /// The code path taken, e.g. `avx512` or `gemm-crate/x86-v4`; it stands in the record.
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

    /// Runs the precision canary: an input whose exact answer needs the declared precision.
    /// `None` where the kernel computes nothing that precision could spoil (a bandwidth probe).
    fn canary(&mut self, team: &dyn Team) -> Option<Canary>;
}
