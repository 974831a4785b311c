//! The ceiling of short elements: independent accumulators to which dot products of bf16 or of 8-bit integers
//! are added, with the widest instruction that there is for them.
//!
//! Each step alternates acc ← acc + a·b and acc ← acc + a'·b, where a + a' is a few units: all operands are
//! small whole numbers, so every product and sum is exact and an accumulator grows by a known amount a pair.
//! The answer counts every step, and fails when sums are kept in bf16 or saturate in 16 bits.

#![expect(unsafe_code, reason = "calls loops for instruction sets that were found available")]

use super::{device, steps};
use crate::kernels::dot::DotUnit;
use crate::kernels::random::SplitMix64;
use crate::kernels::short::{Bf16, Short, Sum};
use crate::kernels::split::{Parts, even};
use crate::kernels::{
    Array, Buffer, BuildContext, Canary, Correctness, Coverage, Dtype, KernelError, ParamError, Program, Team, Work,
};

/// Groups of accumulators: divisible by most numbers of cores, so that all threads do the same work.
const GROUPS: usize = 1920;
/// Accumulators of one group: four tiles of AMX, or a multiple of what the vector paths hold in registers.
pub(super) const GROUP: usize = 1024;
/// Accumulators of the answer, on cards too.
pub(super) const ANSWERS: usize = GROUPS * GROUP;

/// Multiplications added to each accumulator in one iteration.
const fn products(dtype: Dtype) -> usize {
    match dtype {
        Dtype::I8 => 8192,
        _ => 4096,
    }
}

/// Work of one iteration in a short type.
///
/// # Errors
/// None for these sizes.
pub(super) fn work(dtype: Dtype) -> Result<Work, ParamError> {
    let accumulators = (GROUPS * GROUP) as u64;
    let flops = 2 * products(dtype) as u64 * accumulators;
    Work::new(flops, flops, 4 * accumulators, 4 * accumulators)
}

/// Builds the probe for the best unit of the context.
///
/// # Errors
/// [`KernelError::OutOfMemory`].
pub(super) fn build(dtype: Dtype, context: &BuildContext<'_>) -> Result<Box<dyn Program>, KernelError> {
    let unit = DotUnit::best(dtype, context.isa);
    Ok(match dtype {
        Dtype::Bf16 => Box::new(Dots::<Bf16>::build(unit, GROUPS, dtype, context.seed)?),
        // Products of these are made in single precision here, on widened operands, as `gemm` makes them.
        Dtype::F16 | Dtype::Tf32 | Dtype::F8 => {
            Box::new(Dots::<Bf16>::build(unit.widened(), GROUPS, dtype, context.seed)?)
        }
        _ => Box::new(Dots::<i8>::build(unit, GROUPS, dtype, context.seed)?),
    })
}

/// How a path holds its operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    /// As binary32: one product a step.
    F32,
    /// As 16-bit integers: two products a step.
    I16,
    /// As bf16: two products a step in a vector, four where an instruction multiplies matrices, 32 in a tile.
    Bf16,
    /// As 8-bit integers: four products a step in a vector, eight where an instruction multiplies matrices, 64 in a tile.
    I8,
}

impl Encoding {
    fn of(dtype: Dtype, unit: DotUnit) -> Self {
        match (dtype, unit) {
            (Dtype::Bf16, unit) if unit.widened() == unit => Self::F32,
            (Dtype::Bf16, _) => Self::Bf16,
            (_, unit) if unit.widened() == unit => Self::I16,
            _ => Self::I8,
        }
    }

    /// Elements in 32 bits.
    const fn elements(self) -> usize {
        match self {
            Self::F32 => 1,
            Self::I16 | Self::Bf16 => 2,
            Self::I8 => 4,
        }
    }

    /// Writes a small whole number as element `index` of an operand.
    fn write(self, operand: &mut [u8], index: usize, value: i16) {
        let put = |operand: &mut [u8], bytes: &[u8]| {
            operand[index * bytes.len()..(index + 1) * bytes.len()].copy_from_slice(bytes);
        };
        match self {
            Self::F32 => put(operand, &f32::from(value).to_ne_bytes()),
            Self::I16 => put(operand, &value.to_ne_bytes()),
            Self::Bf16 => put(operand, &Bf16::round(f64::from(value)).bits().to_ne_bytes()),
            Self::I8 => put(operand, &value.to_ne_bytes()[if cfg!(target_endian = "big") { 1..2 } else { 0..1 }]),
        }
    }
}

/// Words of 32 bits of each operand that one step multiplies for an accumulator.
const fn words(unit: DotUnit) -> usize {
    match unit {
        DotUnit::Amx => 16,
        DotUnit::Mmla => 2,
        _ => 1,
    }
}

/// Operands of a group, each a register or a tile: a, a', b.
#[repr(C, align(64))]
pub(super) struct Operands(pub(super) [[u8; 1024]; 3]);

/// A probe ready to run.
struct Dots<T: Short> {
    unit: DotUnit,
    operands: Box<Operands>,
    /// What every group's accumulators start from.
    from: Buffer<T::Sum>,
    /// What they hold at the end, group by group.
    to: Buffer<T::Sum>,
    /// By how much each accumulator of a group has to grow.
    growth: Vec<f64>,
    /// What a card has to answer, tile by tile.
    tile: Vec<f64>,
    /// Whether the results are those of a card.
    of_card: bool,
}

impl<T: Short> Dots<T> {
    fn build(unit: DotUnit, groups: usize, dtype: Dtype, seed: u64) -> Result<Self, KernelError> {
        let encoding = Encoding::of(T::DTYPE, unit);
        let (operands, growth) = operands(encoding, unit, products(T::DTYPE), SplitMix64::new(seed, 1));
        let mut from = Buffer::<T::Sum>::zeroed(GROUP, "the accumulators")?;
        let starts = SplitMix64::new(seed, 2);
        for (index, start) in (0..).zip(from.iter_mut()) {
            *start = T::Sum::from_f64(1.0 + starts.below(index, 1000) as f64);
        }
        let to = Buffer::zeroed(groups * GROUP, "the results")?;
        let tile = device::Operands::new(dtype, seed).answer();
        Ok(Self { unit, operands, from, to, growth, tile, of_card: false })
    }

    /// Largest deviation from the exact answer; `None` where nothing was written.
    fn error(&self) -> Option<f64> {
        if self.of_card {
            let sums = self.to.iter().map(|sum| sum.to_f64()).zip(self.tile.iter().cycle());
            let apart = |worst: f64, (sum, exact): (f64, &f64)| {
                let difference = (sum - exact).abs();
                difference.is_finite().then_some(worst.max(difference))
            };
            return sums.into_iter().try_fold(0.0, apart);
        }
        let mut worst = 0.0_f64;
        for group in self.to.chunks_exact(GROUP) {
            for ((to, from), growth) in group.iter().zip(self.from.iter()).zip(&self.growth) {
                let difference = to.to_f64() - from.to_f64() - growth;
                if !difference.is_finite() {
                    return None;
                }
                worst = worst.max(difference.abs());
            }
        }
        Some(worst)
    }
}

/// Operands and the growth of each accumulator of a group after `products` multiplications.
fn operands(encoding: Encoding, unit: DotUnit, products: usize, generator: SplitMix64) -> (Box<Operands>, Vec<f64>) {
    let mut operands = Box::new(Operands([[0; 1024]; 3]));
    let width = encoding.elements();
    let draw = |index: usize| -> (i16, i16, i16) {
        let below = |n: u64, bound: u64| i16::try_from(generator.below(3 * index as u64 + n, bound)).unwrap_or(0);
        let sign = if generator.at(index as u64) & 1 == 0 { 1 } else { -1 };
        // a is ±4 to ±120, a + a' is 1 to 3, b is 1 to 127 (one factor of vpdpbusd has no sign).
        (sign * (4 + below(0, 117)), 1 + below(1, 3), 1 + below(2, 127))
    };
    let [a, other, b] = &mut operands.0;
    let lanes = if unit == DotUnit::Amx { 256 } else { 16 };
    for index in 0..lanes * width {
        let (left, units, right) = draw(index);
        encoding.write(a, index, left);
        encoding.write(other, index, units - left);
        encoding.write(b, index, right);
    }
    // What a pair of steps adds, by accumulator. A tile of a has rows of 16·width elements; one of b has rows
    // of `width` elements for each of 16 columns. Two rows and two columns in registers lie one behind the other.
    let pair = |accumulator: usize| -> i32 {
        let (row, column) = (accumulator / 16, accumulator % 16);
        let term = |left: usize, right: usize| i32::from(draw(left).1) * i32::from(draw(right).2);
        match unit {
            DotUnit::Amx => (0..16 * width)
                .map(|k| term(row * 16 * width + k, k / width * 16 * width + column * width + k % width))
                .sum(),
            DotUnit::Mmla => (0..2 * width).map(|k| term(column / 2 * 2 * width + k, column % 2 * 2 * width + k)).sum(),
            _ => (0..width).map(|q| term(column * width + q, column * width + q)).sum(),
        }
    };
    let pairs = products / (2 * width * words(unit));
    let lane = |index: usize| if unit == DotUnit::Amx { index % 256 } else { index % steps::lanes(unit) };
    let growth = (0..GROUP).map(|index| f64::from(pair(lane(index))) * pairs as f64).collect();
    (operands, growth)
}

impl<T: Short> Program for Dots<T> {
    fn path(&self) -> String {
        self.unit.name(T::DTYPE).to_owned()
    }

    fn poison(&mut self) {
        self.to.fill(T::Sum::POISON);
    }

    fn run(&mut self, team: &dyn Team) {
        self.of_card = false;
        let encoding = Encoding::of(T::DTYPE, self.unit);
        let width = encoding.elements() * words(self.unit);
        let pairs = products(T::DTYPE) / (2 * width);
        let ranges = even(self.to.len() / GROUP, team.threads(), 1);
        let (operands, from, unit, to) = (&*self.operands, &self.from, self.unit, Parts::of(&mut self.to));
        team.run(&|thread| {
            // Once, not for each group: configured anew, a unit of tiles loses a thousand cycles.
            let Some(_prepared) = steps::Prepared::on_this_thread(unit) else { return };
            for group in ranges[thread].clone() {
                // SAFETY: groups lie inside the results and each belongs to one thread.
                let to = unsafe { to.range(group * GROUP..(group + 1) * GROUP) };
                let (from, to) = (from.as_ptr().cast::<u32>(), to.as_mut_ptr().cast::<u32>());
                // SAFETY: the unit is available and prepared; both pointers are valid for a group of 32-bit sums.
                unsafe { steps::group(unit, encoding, operands, from, to, pairs) };
            }
        });
    }

    /// Error in units of the sums: nothing but 0 passes.
    fn check(&mut self) -> Correctness {
        Correctness { error: self.error(), limit: 0.0, coverage: Coverage::Full }
    }

    fn accept(&mut self, answer: &Array) -> Result<(), KernelError> {
        self.of_card = true;
        answer.write_to(&mut self.to, T::Sum::from_f64)
    }

    #[cfg(test)]
    fn corrupt(&mut self, index: usize) {
        let index = index % self.to.len();
        self.to[index] = T::Sum::from_f64(self.to[index].to_f64() + 1.0);
    }

    fn canary(&mut self, team: &dyn Team) -> Option<Canary> {
        self.run(team);
        Some(Canary { name: "units of exact sums, counted".to_owned(), error: self.error(), limit: 0.0 })
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "exact numbers are compared exactly")]
mod tests {
    use super::*;
    use crate::kernels::Isa;
    use crate::kernels::verify::{Threads, verify_program};

    fn every_unit_counts<T: Short>() {
        for unit in DotUnit::available(T::DTYPE, Isa::Avx512) {
            verify_program(unit.name(T::DTYPE), &|_| Ok(Box::new(Dots::<T>::build(unit, 7, T::DTYPE, 5)?)));
        }
    }

    #[test]
    fn every_unit_counts_every_step() {
        every_unit_counts::<Bf16>();
        every_unit_counts::<i8>();
    }

    /// The sums of bf16 stay where binary32 is exact, and those of integers in 31 bits.
    #[test]
    fn sums_are_exact_and_need_their_type() {
        for (dtype, limit) in [(Dtype::Bf16, f64::from(1 << 24)), (Dtype::I8, f64::from(i32::MAX))] {
            for unit in [DotUnit::Portable, DotUnit::Mmla, DotUnit::Dot512, DotUnit::Amx] {
                let encoding = Encoding::of(dtype, unit);
                let (_, growth) = operands(encoding, unit, products(dtype), SplitMix64::new(3, 1));
                // A step on the way adds at most 16·width·120·127 besides.
                let step = 16.0 * encoding.elements() as f64 * 120.0 * 127.0;
                assert!(growth.iter().all(|g| *g + 1001.0 + step < limit && *g > 32_767.0), "{dtype} {unit:?}");
            }
        }
    }

    #[test]
    fn an_answer_of_a_card_is_judged_by_its_own_operands() {
        let context = BuildContext { seed: 5, isa: Isa::Portable, team: &Threads(1) };
        for dtype in [Dtype::Bf16, Dtype::F16, Dtype::I8, Dtype::Tf32, Dtype::F8] {
            let mut program = build(dtype, &context).unwrap();
            let tile = device::Operands::new(dtype, 5).answer();
            let answer = |spoilt: usize| {
                let sums = (0..ANSWERS).map(|i| tile[i % tile.len()] + if i == spoilt { 1.0 } else { 0.0 });
                Array::of_numbers("to", &[ANSWERS], false, sums)
            };
            program.accept(&answer(usize::MAX)).unwrap();
            assert!(program.check().passed(), "{dtype}");
            program.accept(&answer(ANSWERS - 1)).unwrap();
            assert!(!program.check().passed(), "{dtype}");
            program.poison();
            assert!(!program.check().passed(), "{dtype}");
        }
    }

    #[test]
    fn a_lost_step_is_noticed() {
        let mut program = Dots::<i8>::build(DotUnit::Portable, 1, Dtype::I8, 5).unwrap();
        program.run(&Threads(1));
        assert_eq!(program.error(), Some(0.0));
        Encoding::I16.write(&mut program.operands.0[0], 3, 0);
        program.run(&Threads(1));
        assert_ne!(program.error(), Some(0.0));
    }

    #[test]
    fn the_probe_of_the_kernel_takes_the_best_unit() {
        let team = Threads(1);
        for dtype in [Dtype::Bf16, Dtype::I8] {
            let context = BuildContext { seed: 1, isa: Isa::detect(), team: &team };
            assert_eq!(build(dtype, &context).unwrap().path(), DotUnit::best(dtype, Isa::detect()).name(dtype));
            assert_eq!(work(dtype).unwrap().useful.get(), 2.0 * products(dtype) as f64 * 1_966_080.0);
        }
    }
}
