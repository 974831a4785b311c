//! Arithmetic ceiling: independent chains of fused multiply-adds in registers; for short types, dot products
//! with the widest instruction there is ([`dots`]).
//!
//! In f32 and f64 each chain alternates x ← 2x + p and x ← x/2 + q with p/2 + q = one step of the type's grid, so
//! every value stays between 1 and 5 and after P pairs x has grown by exactly P steps. All
//! operations are exact: the check is bit by bit, counts every single operation, and fails when an
//! operand or a result is rounded to fewer bits.

#![expect(unsafe_code, reason = "vector operations inside functions that enable the instruction set")]

mod device;
mod dots;
mod steps;

use super::element::Element;
use super::random::SplitMix64;
use super::simd::{Simd, paths};
use super::split::{Parts, even};
use super::{
    Api, Array, Buffer, BuildContext, Canary, Correctness, Coverage, DeviceProgram, Dtype, Isa, Kernel, KernelError,
    KernelInfo, NoProgram, ParamError, Params, Program, Role, Target, Team, Work,
};

/// The `fma-peak` probe.
pub(super) struct FmaPeak;

/// Groups of chains: a multiple of the usual thread counts, so that all threads do the same work.
const GROUPS: usize = 3840;
/// Bytes of the chains of one group: twelve of the widest registers. Twelve accumulators hide the
/// latency of two fused units of four cycles, and leave room for the four coefficients in the
/// sixteen registers of AVX2. NEON, of which some processors have four units, takes 24 at once.
const GROUP_BYTES: usize = 12 * 64;
/// Pairs of operations of each chain in one iteration.
const PAIRS: usize = 512;

static INFO: KernelInfo = KernelInfo {
    id: "fma-peak",
    title: "FMA peak",
    summary: "independent chains of multiply-adds in registers, of the widest instruction: the arithmetic ceiling",
    role: Role::ComputeCeiling,
    flops: "4·512·chains; 737,280 chains in f32, 368,640 in f64; 2·4096·1,966,080 in bf16, f16, tf32 and f8, 2·8192·1,966,080 in \
            i8; on cards 16 times as much, in tf32 8 and in f8 32 times",
    bytes: "2·e·chains; 4·1,966,080 in short types",
    source: "own probe: exact alternating recurrence, see the kernel's documentation",
    dtypes: &[Dtype::F32, Dtype::F64, Dtype::Bf16, Dtype::F16, Dtype::I8, Dtype::Tf32, Dtype::F8],
    params: &[],
};

/// Chains of one group.
const fn group(dtype: Dtype) -> usize {
    match dtype {
        Dtype::F64 => GROUP_BYTES / 8,
        _ => GROUP_BYTES / 4,
    }
}

/// The step of the exact grid. The largest value is below 8: 23 (52) bits reach from 4 down.
const fn grid(dtype: Dtype) -> f64 {
    match dtype {
        Dtype::F64 => 1.0 / (1_u64 << 49) as f64,
        _ => 1.0 / (1_u64 << 20) as f64,
    }
}

/// Elements of the answer.
const fn answers(dtype: Dtype) -> usize {
    match dtype {
        Dtype::F32 | Dtype::F64 => GROUPS * group(dtype),
        _ => dots::ANSWERS,
    }
}

/// What the chains start from: 1 to 1.5, on the grid.
fn starts<T: Element>(seed: u64) -> Result<Buffer<T>, KernelError> {
    let mut from = Buffer::zeroed(answers(T::DTYPE), "the chains")?;
    let generator = SplitMix64::new(seed, 1);
    for (index, x) in (0..).zip(from.iter_mut()) {
        let steps = generator.below(index, (0.5 / grid(T::DTYPE)) as u64);
        *x = T::from_f64(1.0 + steps as f64 * grid(T::DTYPE));
    }
    Ok(from)
}

impl Kernel for FmaPeak {
    fn info(&self) -> &'static KernelInfo {
        &INFO
    }

    fn work(&self, params: &Params) -> Result<Work, ParamError> {
        INFO.check(params)?;
        if !matches!(params.dtype, Dtype::F32 | Dtype::F64) {
            return dots::work(params.dtype);
        }
        let chains = (GROUPS * group(params.dtype)) as u64;
        let flops = 4 * PAIRS as u64 * chains;
        let bytes = 2 * params.dtype.size() * chains;
        Work::new(flops, flops, bytes, bytes)
    }

    fn work_on(&self, params: &Params, api: Option<Api>) -> Result<Work, ParamError> {
        let host = self.work(params)?;
        if api.is_none() { Ok(host) } else { device::work(params.dtype, answers(params.dtype)) }
    }

    fn device_operands(&self, params: &Params, context: &BuildContext<'_>) -> Result<Vec<Array>, KernelError> {
        self.work(params)?;
        Ok(match params.dtype {
            Dtype::F32 => vec![Array::of("from", &[answers(Dtype::F32)], &starts::<f32>(context.seed)?)],
            Dtype::F64 => vec![Array::of("from", &[answers(Dtype::F64)], &starts::<f64>(context.seed)?)],
            short => device::Operands::new(short, context.seed).arrays(),
        })
    }

    fn device_program(&self, params: &Params, target: &Target) -> Result<DeviceProgram, NoProgram> {
        self.work(params)?;
        device::program(params.dtype, answers(params.dtype), grid(params.dtype), target)
    }

    fn build(&self, params: &Params, context: &BuildContext<'_>) -> Result<Box<dyn Program>, KernelError> {
        self.work(params)?;
        Ok(match params.dtype {
            Dtype::F32 => Box::new(Chains::<f32>::build(context)?),
            Dtype::F64 => Box::new(Chains::<f64>::build(context)?),
            short => dots::build(short, context)?,
        })
    }
}

/// One group of chains.
struct Args<'a, T> {
    from: &'a [T],
    to: &'a Parts<'a, T>,
    first: usize,
    /// 2, p, 1/2, q: taken from memory, so that the compiler cannot fold the recurrence.
    coefficients: [T; 4],
}

/// Runs the chains of one group, `R` registers at a time.
///
/// # Safety
/// As for [`Simd`]; the group lies inside the arrays and no other thread writes it.
#[inline(always)]
unsafe fn chains<S: Simd, const R: usize>(args: &Args<'_, S::Elem>) {
    let group = GROUP_BYTES / size_of::<S::Elem>();
    // SAFETY: R·LANES divides the group, which lies inside both arrays.
    unsafe {
        let [two, p, half, q] = args.coefficients;
        let (two, p, half, q) = (S::splat(two), S::splat(p), S::splat(half), S::splat(q));
        let mut start = args.first;
        while start < args.first + group {
            let mut x = [S::splat(S::Elem::ZERO); R];
            for (index, x) in x.iter_mut().enumerate() {
                *x = S::load(args.from.as_ptr().add(start + index * S::LANES));
            }
            for _ in 0..PAIRS {
                for x in &mut x {
                    *x = S::fma(*x, two, p);
                }
                for x in &mut x {
                    *x = S::fma(*x, half, q);
                }
            }
            for (index, x) in x.iter().enumerate() {
                S::store(args.to.as_mut_ptr().add(start + index * S::LANES), *x);
            }
            start += R * S::LANES;
        }
    }
}
paths!(trait ChainsPath: chains(Args), registers = [12, 12, 12], neon = 24, for f32, f64);

/// A probe ready to run.
struct Chains<T: Element> {
    from: Buffer<T>,
    to: Buffer<T>,
    /// Pairs of operations that made the results.
    pairs: usize,
    isa: Isa,
}

impl<T: ChainsPath> Chains<T> {
    fn build(context: &BuildContext<'_>) -> Result<Self, KernelError> {
        let to = Buffer::zeroed(answers(T::DTYPE), "the results")?;
        Ok(Self { from: starts(context.seed)?, to, pairs: PAIRS, isa: context.isa })
    }

    fn run_with(&mut self, team: &dyn Team, operand: &dyn Fn(T) -> T) {
        self.pairs = PAIRS;
        let coefficients = [2.0, 0.75, 0.5, grid(T::DTYPE) - 0.375].map(|x| operand(T::from_f64(x)));
        let coefficients = std::hint::black_box(coefficients);
        let group = group(T::DTYPE);
        let ranges = even(GROUPS, team.threads(), 1);
        let (from, to, program) = (&self.from, Parts::of(&mut self.to), T::pick(self.isa));
        team.run(&|thread| {
            for index in ranges[thread].clone() {
                let args = Args { from, to: &to, first: index * group, coefficients };
                // SAFETY: the backend chose an available instruction set; groups lie inside the
                // arrays and each belongs to one thread.
                unsafe { program(&args) };
            }
        });
    }

    /// Largest deviation from the exact answer, in units of what one pair adds.
    fn error(&self) -> Option<f64> {
        let mut worst = 0.0_f64;
        for (from, to) in self.from.iter().zip(self.to.iter()) {
            let grown = to.to_f64() - from.to_f64();
            let steps = grown / grid(T::DTYPE);
            if !steps.is_finite() {
                return None;
            }
            worst = worst.max((steps - self.pairs as f64).abs());
        }
        Some(worst)
    }
}

impl<T: ChainsPath> Program for Chains<T> {
    fn path(&self) -> String {
        self.isa.to_string()
    }

    fn poison(&mut self) {
        self.to.fill(T::NAN);
    }

    fn run(&mut self, team: &dyn Team) {
        self.run_with(team, &|x| x);
    }

    /// Error in pairs of operations lost or spoilt: nothing but 0 passes.
    fn check(&mut self) -> Correctness {
        Correctness { error: self.error(), limit: 0.0, coverage: Coverage::Full }
    }

    /// The answer of a card, which repeats the recurrence more often.
    fn accept(&mut self, answer: &Array) -> Result<(), KernelError> {
        self.pairs = device::PAIRS;
        answer.write_to(&mut self.to, T::from_f64)
    }

    #[cfg(test)]
    fn corrupt(&mut self, index: usize) {
        super::verify::corrupt(&mut self.to, index);
    }

    fn canary(&mut self, team: &dyn Team) -> Option<Canary> {
        self.run(team);
        Some(Canary { name: "steps of the last bits, counted".to_owned(), error: self.error(), limit: 0.0 })
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "exact numbers are compared exactly")]
mod tests {
    use super::*;
    use crate::kernels::canary::round_mantissa;
    use crate::kernels::verify::{Threads, counts, verify};

    #[test]
    fn every_path_counts_every_operation() {
        for dtype in [Dtype::F32, Dtype::F64] {
            verify(&FmaPeak, &counts(dtype, &[]));
        }
    }

    /// Of one group, for tools that are slow: the whole probe is thousands of them.
    fn one_group_counts<T: ChainsPath>() {
        let coefficients = [2.0, 0.75, 0.5, grid(T::DTYPE) - 0.375].map(T::from_f64);
        let from = starts::<T>(3).unwrap();
        for isa in Isa::available() {
            let mut to = vec![T::NAN; group(T::DTYPE)];
            let args = Args { from: &from, to: &Parts::of(&mut to), first: 0, coefficients };
            // SAFETY: the set is available, and both arrays hold a group.
            unsafe { T::pick(isa)(&args) };
            let grown = PAIRS as f64 * grid(T::DTYPE);
            assert!(to.iter().zip(&from[..]).all(|(to, from)| to.to_f64() - from.to_f64() == grown), "{isa}");
        }
    }

    #[test]
    fn one_group_counts_every_operation_on_every_path() {
        one_group_counts::<f32>();
        one_group_counts::<f64>();
    }

    #[test]
    fn work_counts_four_operations_a_pair() {
        let work = FmaPeak.work(&counts(Dtype::F32, &[])).unwrap();
        assert_eq!(work.useful.get(), 4.0 * 512.0 * 737_280.0);
        let work = FmaPeak.work(&counts(Dtype::F64, &[])).unwrap();
        assert_eq!(work.useful.get(), 4.0 * 512.0 * 368_640.0);
    }

    #[test]
    fn an_answer_of_a_card_has_to_have_its_own_number_of_pairs() {
        let context = BuildContext { seed: 1, isa: Isa::Portable, team: &Threads(1) };
        let params = counts(Dtype::F64, &[]);
        let mut program = FmaPeak.build(&params, &context).unwrap();
        let operands = FmaPeak.device_operands(&params, &context).unwrap();
        let answer = |pairs: usize| {
            let grown = operands[0].values.numbers().map(|x| x + pairs as f64 * grid(Dtype::F64));
            Array::of_numbers("to", &operands[0].shape, false, grown)
        };
        program.accept(&answer(device::PAIRS)).unwrap();
        assert!(program.check().passed());
        program.accept(&answer(device::PAIRS - 1)).unwrap();
        assert!(!program.check().passed());
        let card = FmaPeak.work_on(&params, Some(Api::Cuda)).unwrap();
        let host = FmaPeak.work_on(&params, None).unwrap();
        assert_eq!(card.useful.get(), 16.0 * host.useful.get());
    }

    #[test]
    fn rounded_coefficients_are_noticed() {
        let team = Threads(1);
        let context = BuildContext { seed: 1, isa: Isa::detect(), team: &team };
        let mut single = Chains::<f32>::build(&context).unwrap();
        single.run_with(&team, &|x| round_mantissa(x, 10));
        assert_ne!(single.error(), Some(0.0));
        let mut double = Chains::<f64>::build(&context).unwrap();
        double.run_with(&team, &|x| round_mantissa(x, 23));
        assert_ne!(double.error(), Some(0.0));
    }
}
