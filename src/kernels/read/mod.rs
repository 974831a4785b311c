//! Read bandwidth: the sum of an array as 64-bit words.
//!
//! Wrapping integer addition gives the same sum in any order, so the check is exact and one
//! changed word is seen in gigabytes.

#![expect(unsafe_code, reason = "vector loads inside functions that enable the instruction set")]

mod device;

use super::random::SplitMix64;
use super::split::{Parts, even, fill_repeating};
use super::{
    Array, Buffer, BuildContext, Canary, Correctness, Coverage, DeviceProgram, Dtype, Isa, Kernel, KernelError,
    KernelInfo, NoProgram, ParamError, ParamKind, ParamSpec, Params, Program, Role, Target, Team, Values, Work,
};

/// The `read-bandwidth` probe.
pub(super) struct ReadBandwidth;

static INFO: KernelInfo = KernelInfo {
    id: "read-bandwidth",
    title: "Read bandwidth",
    summary: "wrapping sum of an array of 64-bit words; the element type does not matter to it",
    role: Role::MemoryCeiling,
    flops: "0",
    bytes: "bytes, rounded down to whole words",
    source: "the read probe of McCalpin's STREAM2 (SUM)",
    dtypes: &[Dtype::F32, Dtype::F64],
    params: &[ParamSpec {
        name: "bytes",
        meaning: "size of the array",
        kind: ParamKind::Size { min: 8, max: 1 << 44 },
        default: Some(super::ParamDefault::Integer(1 << 30)),
    }],
};

/// Random words repeat after this many.
const BLOCK: usize = 1 << 15;

impl Kernel for ReadBandwidth {
    fn info(&self) -> &'static KernelInfo {
        &INFO
    }

    fn work(&self, params: &Params) -> Result<Work, ParamError> {
        INFO.check(params)?;
        let bytes = params.integer("bytes")? / 8 * 8;
        Work::new(0, 0, bytes, bytes + 8 * BLOCK as u64)
    }

    /// The words, each as two numbers of 32 bits, the lower one first.
    fn device_operands(&self, params: &Params, context: &BuildContext<'_>) -> Result<Vec<Array>, KernelError> {
        self.work(params)?;
        let words = params.count("bytes")? / 8;
        let generator = SplitMix64::new(context.seed, 1);
        #[expect(clippy::cast_possible_truncation, reason = "the halves of a number of 64 bits")]
        let block: Vec<u32> = (0..BLOCK as u64)
            .map(|index| generator.at(index))
            .flat_map(|word| [word as u32, (word >> 32) as u32])
            .collect();
        let bytes = 8 * words as u64;
        let mut numbers: Vec<u32> = Vec::new();
        let refused = KernelError::OutOfMemory { what: "the array", bytes };
        numbers.try_reserve_exact(2 * words).map_err(|_| refused)?;
        while numbers.len() < 2 * words {
            let left = (2 * words - numbers.len()).min(block.len());
            numbers.extend_from_slice(&block[..left]);
        }
        Ok(vec![Array { name: "array", shape: vec![2 * words], values: Values::U32(numbers) }])
    }

    fn device_program(&self, params: &Params, target: &Target) -> Result<DeviceProgram, NoProgram> {
        self.work(params)?;
        device::program(params.count("bytes")? / 8, target)
    }

    fn build(&self, params: &Params, context: &BuildContext<'_>) -> Result<Box<dyn Program>, KernelError> {
        self.work(params)?;
        let words = params.count("bytes")? / 8;
        let BuildContext { seed, team, isa } = *context;
        let mut array = Buffer::zeroed(words, "the array")?;
        let generator = SplitMix64::new(seed, 1);
        let block: Vec<u64> = (0..BLOCK as u64).map(|index| generator.at(index)).collect();
        fill_repeating(&mut array, &block, team);
        // From the block, not from the array: a wrong array would fail as well.
        let (whole, rest) = ((words / BLOCK) as u64, words % BLOCK);
        let sum = |words: &[u64]| words.iter().fold(0_u64, |sum, word| sum.wrapping_add(*word));
        let expected = sum(&block).wrapping_mul(whole).wrapping_add(sum(&block[..rest]));
        Ok(Box::new(Reading { array, expected, found: vec![None; team.threads()], isa }))
    }
}

/// A probe ready to run.
struct Reading {
    array: Buffer<u64>,
    expected: u64,
    found: Vec<Option<u64>>,
    isa: Isa,
}

/// Streams that a thread reads side by side: prefetchers follow several at once.
const STREAMS: usize = 4;
/// Words of two cache lines, the step of each stream.
const STEP: usize = 16;
/// How far ahead lines are asked for, in bytes. Measured: streams and prefetches together read up
/// to a fifth faster from memory than one plain loop.
const AHEAD: usize = 1024;

/// Divides `words` into equal streams of whole steps, and the rest.
fn streams(words: &[u64]) -> ([&[u64]; STREAMS], &[u64]) {
    let each = words.len() / (STREAMS * STEP) * STEP;
    let (whole, rest) = words.split_at(each * STREAMS);
    (std::array::from_fn(|stream| &whole[stream * each..(stream + 1) * each]), rest)
}

/// Sum of words in independent chains.
fn sum_portable(words: &[u64]) -> u64 {
    let (streams, rest) = streams(words);
    let mut chains = [[0_u64; STEP]; STREAMS];
    for at in (0..streams[0].len()).step_by(STEP) {
        for (chain, stream) in chains.iter_mut().zip(streams) {
            for (sum, word) in chain.iter_mut().zip(&stream[at..at + STEP]) {
                *sum = sum.wrapping_add(*word);
            }
        }
    }
    chains.iter().flatten().chain(rest).fold(0, |sum, word| sum.wrapping_add(*word))
}

macro_rules! sum_vectors {
    ($name:ident, $feature:literal, $lanes:literal, $zero:ident, $load:ident, $add:ident, $store:ident) => {
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = $feature)]
        fn $name(words: &[u64]) -> u64 {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch, $add, $load, $store, $zero};
            const PARTS: usize = STEP / $lanes;
            let (streams, rest) = streams(words);
            let mut chains = [[$zero(); PARTS]; STREAMS];
            for at in (0..streams[0].len()).step_by(STEP) {
                for (chain, stream) in chains.iter_mut().zip(streams) {
                    // SAFETY: a step of every stream has STEP words from `at` on; a prefetch may
                    // name any address.
                    unsafe {
                        let from = stream.as_ptr().add(at);
                        let ahead = from.cast::<i8>().wrapping_add(AHEAD);
                        _mm_prefetch::<_MM_HINT_T0>(ahead);
                        _mm_prefetch::<_MM_HINT_T0>(ahead.wrapping_add(64));
                        for (part, sum) in chain.iter_mut().enumerate() {
                            *sum = $add(*sum, $load(from.add($lanes * part).cast()));
                        }
                    }
                }
            }
            let mut total = $zero();
            for sum in chains.as_flattened() {
                total = $add(total, *sum);
            }
            let mut lanes = [0_u64; $lanes];
            // SAFETY: the array is as long as the vector.
            unsafe { $store(lanes.as_mut_ptr().cast(), total) };
            lanes.iter().chain(rest).fold(0, |sum, word| sum.wrapping_add(*word))
        }
    };
}
sum_vectors!(sum_avx2, "avx2", 4, _mm256_setzero_si256, _mm256_loadu_si256, _mm256_add_epi64, _mm256_storeu_si256);
sum_vectors!(sum_avx512, "avx512f", 8, _mm512_setzero_si512, _mm512_loadu_si512, _mm512_add_epi64, _mm512_storeu_si512);

/// Four sums a stream, so that all fit the 32 registers together.
#[cfg(target_arch = "aarch64")]
#[target_feature(enable = "neon")]
fn sum_neon(words: &[u64]) -> u64 {
    use super::simd::neon;
    use std::arch::aarch64::{vaddq_u64, vaddvq_u64, vdupq_n_u64, vld1q_u64};
    const SUMS: usize = 4;
    let (streams, rest) = streams(words);
    let mut chains = [[vdupq_n_u64(0); SUMS]; STREAMS];
    for at in (0..streams[0].len()).step_by(STEP) {
        for (chain, stream) in chains.iter_mut().zip(streams) {
            let from = stream[at..at + STEP].as_ptr();
            let ahead = from.cast::<u8>().wrapping_add(AHEAD);
            neon::prefetch(ahead);
            neon::prefetch(ahead.wrapping_add(64));
            for (part, sum) in chain.iter_mut().enumerate() {
                // SAFETY: four sums of four words each are a step, which the slice has.
                unsafe {
                    let pair = vaddq_u64(vld1q_u64(from.add(4 * part)), vld1q_u64(from.add(4 * part + 2)));
                    *sum = vaddq_u64(*sum, pair);
                }
            }
        }
    }
    let total = chains.as_flattened().iter().fold(vdupq_n_u64(0), |total, sum| vaddq_u64(total, *sum));
    rest.iter().fold(vaddvq_u64(total), |sum, word| sum.wrapping_add(*word))
}

/// The sum with an instruction set, which must be available.
fn sum(words: &[u64], isa: Isa) -> u64 {
    match isa {
        // SAFETY: the backend chose an available instruction set.
        #[cfg(target_arch = "aarch64")]
        Isa::Neon => unsafe { sum_neon(words) },
        // SAFETY: the backend chose an available instruction set.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => unsafe { sum_avx512(words) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => unsafe { sum_avx2(words) },
        _ => sum_portable(words),
    }
}

impl Program for Reading {
    fn path(&self) -> String {
        self.isa.to_string()
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        vec![("huge-pages", self.array.pages().name().to_owned())]
    }

    fn poison(&mut self) {
        self.found.fill(None);
    }

    fn run(&mut self, team: &dyn Team) {
        self.found.clear();
        self.found.resize(team.threads(), None);
        let ranges = even(self.array.len(), team.threads(), 1024);
        let (array, isa, found) = (&self.array, self.isa, Parts::of(&mut self.found));
        team.run(&|thread| {
            let sum = std::hint::black_box(sum(&array[ranges[thread].clone()], isa));
            // SAFETY: each thread writes its own element.
            let slot = unsafe { found.range(thread..thread + 1) };
            slot[0] = Some(sum);
        });
    }

    /// Error 0 for the exact sum, 1 for any other, none when the probe did not run.
    fn check(&mut self) -> Correctness {
        let total = self.found.iter().try_fold(0_u64, |sum, part| part.map(|part| sum.wrapping_add(part)));
        let error = total.map(|total| if total == self.expected { 0.0 } else { 1.0 });
        Correctness { error, limit: 0.0, coverage: Coverage::Full }
    }

    /// Parts of the sum, each as two numbers of 32 bits, the lower one first.
    fn accept(&mut self, answer: &Array) -> Result<(), KernelError> {
        let Values::U32(numbers) = &answer.values else {
            return Err(KernelError::Structure("the parts of the sum are no whole numbers".to_owned()));
        };
        let (pairs, rest) = numbers.as_chunks::<2>();
        if pairs.is_empty() || !rest.is_empty() {
            return Err(KernelError::Structure(format!("{} halves are no parts of a sum", numbers.len())));
        }
        self.found = pairs.iter().map(|[low, high]| Some(u64::from(*high) << 32 | u64::from(*low))).collect();
        Ok(())
    }

    #[cfg(test)]
    fn corrupt(&mut self, _index: usize) {
        if let Some(sum) = &mut self.found[0] {
            *sum ^= 1;
        }
    }

    fn canary(&mut self, _team: &dyn Team) -> Option<Canary> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::verify::{Threads, counts, verify};

    #[test]
    fn every_size_gives_the_exact_sum() {
        for bytes in [8, 8 * 63, 8 * 64, 8 * 32_771, (BLOCK as u64) * 24 + 40] {
            verify(&ReadBandwidth, &counts(Dtype::F32, &[("bytes", bytes)]));
        }
    }

    #[test]
    fn one_changed_word_is_seen() {
        let team = Threads(2);
        let context = BuildContext { seed: 9, isa: Isa::detect(), team: &team };
        let params = counts(Dtype::F64, &[("bytes", 1 << 20)]);
        let mut program = ReadBandwidth.build(&params, &context).unwrap();
        program.run(&team);
        assert!(program.check().passed());
        let words: Vec<u64> = (0..1000).collect();
        for isa in Isa::available() {
            assert_eq!(sum(&words, isa), 499_500);
            assert_eq!(sum(&words[1..], isa), 499_500);
            assert_eq!(sum(&words[2..], isa), 499_499);
        }
    }

    #[test]
    fn parts_of_a_card_are_added_and_poison_is_no_part() {
        let context = BuildContext { seed: 9, isa: Isa::Portable, team: &Threads(1) };
        let params = counts(Dtype::F32, &[("bytes", 8 * (BLOCK as u64 + 3))]);
        let mut program = ReadBandwidth.build(&params, &context).unwrap();
        let operands = ReadBandwidth.device_operands(&params, &context).unwrap();
        let Values::U32(numbers) = &operands[0].values else { panic!("words") };
        let word = |i: usize| u64::from(numbers[2 * i + 1]) << 32 | u64::from(numbers[2 * i]);
        let (even, odd) = (0..numbers.len() / 2).fold((0_u64, 0_u64), |(even, odd), i| match i % 2 {
            0 => (even.wrapping_add(word(i)), odd),
            _ => (even, odd.wrapping_add(word(i))),
        });
        #[expect(clippy::cast_possible_truncation, reason = "halves")]
        let halves = |x: u64| [x as u32, (x >> 32) as u32];
        let answer = |parts: Vec<u32>| Array { name: "sums", shape: vec![parts.len()], values: Values::U32(parts) };
        program.accept(&answer([halves(even), halves(odd)].concat())).unwrap();
        assert!(program.check().passed());
        program.accept(&answer([halves(even), [u32::MAX; 2]].concat())).unwrap();
        assert!(!program.check().passed(), "a block that never ran");
        program.poison();
        assert!(program.accept(&answer(vec![1])).is_err() && program.accept(&answer(Vec::new())).is_err());
        assert!(!program.check().passed());
    }

    #[test]
    fn work_is_bytes_alone() {
        let work = ReadBandwidth.work(&counts(Dtype::F32, &[("bytes", 1003)])).unwrap();
        assert_eq!((work.useful.get(), work.bytes.get()), (0.0, 1000.0));
    }
}
