//! The loop nest of products in short types.
//!
//! Operands are cut into words of 32 bits: what one lane of an instruction multiplies at once (one bf16 widened
//! to binary32, two bf16, two integers widened to 16 bits, or four integers). A and B are packed word by word
//! into panels that a micro-kernel reads in order, filled up with zeros, so that it knows no ragged edges. Whole
//! tiles of C are summed in place, a block of C at a time, which the second-level cache holds; ragged ones, and
//! those that need a correction, in a scratch of whole tiles that is written out when the packed depth is done. Blocking after Goto and van de Geijn, ACM TOMS 34, 2008.

#![expect(unsafe_code, reason = "micro-kernels on packed operands, for instruction sets found available")]

use super::blocks;
use super::short::Demanding;
use super::vector::{F32x128, I16x128};
use crate::kernels::dot::DotUnit;
use crate::kernels::short::{Bf16, Short, Sum};
use crate::kernels::split::Parts;
use crate::kernels::{Buffer, KernelError, Team};
use std::marker::PhantomData;
use std::ops::Range;

/// A micro-kernel and the shape of its operands.
pub(super) trait Micro {
    /// Operands.
    type Short: Short;
    /// Elements in a word.
    const ELEMENTS: usize;
    /// Rows and columns of the tile of C.
    const TILE: [usize; 2];
    /// Words of depth that a step of the micro-kernel takes; panels are filled up to whole steps.
    const STEP: usize;
    /// Words of depth of a block: a panel of A and one of B are in the first-level cache together.
    const DEPTH: usize;
    /// What is toggled in each word of A: 128 is added to bytes for instructions that take one factor
    /// without sign; [`CORRECTED`](Self::CORRECTED) takes it away again.
    const TOGGLE: u32;
    /// Whether 128 times the sum of each column of B is to be subtracted.
    const CORRECTED: bool = Self::TOGGLE != 0;
    /// Whether a panel of A stays and panels of B pass by; else the other way round.
    const STAYS_A: bool;

    /// A word of elements in the order of depth.
    fn word(elements: impl Fn(usize) -> Self::Short) -> u32;

    /// Whether a word is elements as they lie in memory on a little-endian machine.
    const NATIVE: bool;
    /// Words of a row that lie side by side in a panel of A; divides `STEP`.
    const RUN: usize;

    /// Where word `depth` of row `line` lies in a panel of A.
    #[inline(always)]
    fn place_a(depth: usize, line: usize) -> usize {
        depth * Self::TILE[0] + line
    }

    /// Where word `depth` of column `line` lies in a panel of B. Each half of a row of words is contiguous.
    #[inline(always)]
    fn place_b(depth: usize, line: usize) -> usize {
        depth * Self::TILE[1] + line
    }

    /// Whether rows of A can be read where they lie ([`Rows`]), so that whole panels need not be packed.
    const IN_PLACE: bool = false;

    /// Adds a panel of A times a panel of B, `depth` words deep, to a tile of sums whose rows are `pitch` sums
    /// apart, or sets the tile to it.
    ///
    /// # Safety
    /// The instruction set is available (for tiles: configured), the panels hold `depth` words for each row
    /// and column of the tile, and `depth` is a positive multiple of `STEP`.
    unsafe fn run(depth: usize, a: *const u32, b: *const u32, sums: *mut u32, pitch: usize, first: bool);

    /// The same with A packed or, where that is possible, in place. Where `ask` says so, it asks for the next panel of B
    /// meanwhile.
    ///
    /// # Safety
    /// As for [`run`](Self::run).
    #[inline(always)]
    unsafe fn run_rows(depth: usize, a: Rows, b: *const u32, sums: *mut u32, pitch: usize, first: bool, _ask: bool) {
        // SAFETY: passed on to the caller.
        unsafe { Self::run(depth, a.at, b, sums, pitch, first) }
    }

    /// Whether [`interleave`](Self::interleave) is written for this instruction set.
    const INTERLEAVES: bool = false;

    /// A row of words of B from `ELEMENTS` whole rows, `pitch` elements apart, for all columns of a panel: those of
    /// each half of the columns go to a place of their own.
    ///
    /// # Safety
    /// The instruction set is available; the rows have as many elements as a tile has columns, and both places room
    /// for half as many words.
    #[inline(always)]
    unsafe fn interleave(_rows: *const Self::Short, _pitch: usize, _to: [*mut u32; 2]) {}
}

/// Where a panel of A lies: where it begins, and bytes from a row to the next and from a step to the next. Only
/// instructions that read [`IN_PLACE`](Micro::IN_PLACE) look at the bytes.
#[derive(Clone, Copy)]
#[cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "tiles alone look at the bytes"))]
pub(super) struct Rows {
    pub(super) at: *const u32,
    pub(super) row: usize,
    pub(super) step: usize,
}

/// Whether whole panels of A are read where they lie: rows of whole steps, whose distance spreads a column of lines
/// over at least eight of the 64 sets that a first-level cache usually has.
const fn in_place<M: Micro>(k: usize) -> bool {
    let row = k * size_of::<M::Short>();
    M::IN_PLACE && k.is_multiple_of(M::ELEMENTS * M::STEP) && !(row / 64).is_multiple_of(16)
}

/// Sizes of the blocks of a nest: rows and columns of C, words of depth of packed B.
#[derive(Debug, Clone, Copy)]
struct Blocking {
    rows: usize,
    columns: usize,
    packed: usize,
}

/// Most bytes of packed B that come from the second-level cache without being asked for: asking costs more there.
/// (Measured for tiles: 128 to 288 KiB win 1.1 to 1.2 without, 256 KiB of bytes 1.2, 512 KiB 0.8 to 1.0, 1 MiB 0.9.)
const NEAR_BYTES: usize = 384 << 10;

/// A block of C of half a MiB, up to 1 MiB of packed B and 128 KiB of packed A lie in the second-level cache
/// together.
const fn blocking<M: Micro>() -> Blocking {
    Blocking { rows: 256 / M::TILE[0] * M::TILE[0], columns: 512, packed: 4 * M::DEPTH }
}

/// One thread's memory: packed operands, sums of a block, corrections of its columns.
pub(super) struct Memory {
    a: Buffer<u32>,
    b: Buffer<u32>,
    sums: Buffer<u32>,
    corrections: Buffer<i32>,
}

/// What the threads of a product work in.
pub(super) struct Workspace(Vec<Memory>);

impl Workspace {
    /// For products of this shape.
    ///
    /// # Errors
    /// [`KernelError::OutOfMemory`].
    pub(super) fn new<S: NestPath>(nest: &Nest<S>, shape: [usize; 3], team: &dyn Team) -> Result<Self, KernelError> {
        let [a, b, sums, columns] = (nest.sizes)(shape);
        let memory = |_| {
            Ok(Memory {
                a: Buffer::zeroed(a, "packed A")?,
                b: Buffer::zeroed(b, "packed B")?,
                sums: Buffer::zeroed(sums, "the sums of a block")?,
                corrections: Buffer::zeroed(columns, "the sums of columns")?,
            })
        };
        (0..team.threads()).map(memory).collect::<Result<_, KernelError>>().map(Self)
    }
}

/// Words of packed A, of packed B, of sums, and columns of a block.
fn sizes<M: Micro>([m, n, k]: [usize; 3]) -> [usize; 4] {
    let (block, [high, wide]) = (blocking::<M>(), M::TILE);
    let rows = m.next_multiple_of(high).min(block.rows);
    let columns = n.next_multiple_of(wide).min(block.columns);
    let words = k.div_ceil(M::ELEMENTS).next_multiple_of(M::STEP);
    [rows * words.min(M::DEPTH), columns * words.min(block.packed), rows * columns, columns]
}

/// One thread's part of a product.
pub(super) struct Part<'a, S: Short> {
    shape: [usize; 3],
    a: &'a [S],
    b: &'a [S],
    c: &'a Parts<'a, S::Sum>,
    rows: Range<usize>,
    columns: Range<usize>,
    memory: &'a mut Memory,
}

/// Types that have a nest for every unit.
pub(super) trait NestPath: Demanding {
    /// The compiled nest and the sizes of its workspace.
    fn pick(unit: DotUnit) -> (Compiled<Self>, Sizes);
}

/// A nest compiled for an instruction set, which must be available where it is called.
pub(super) type Compiled<S> = unsafe fn(&mut Part<'_, S>);

/// Words of packed A, of packed B, of sums, and columns of a block, for a shape m, n, k.
pub(super) type Sizes = fn([usize; 3]) -> [usize; 4];

/// The nest of one unit.
pub(super) struct Nest<S: Short> {
    unit: DotUnit,
    compiled: Compiled<S>,
    sizes: Sizes,
    operands: PhantomData<S>,
}

impl<S: NestPath> Nest<S> {
    /// For a unit that is available here.
    pub(super) fn of(unit: DotUnit) -> Self {
        let (compiled, sizes) = S::pick(unit);
        Self { unit, compiled, sizes, operands: PhantomData }
    }

    /// The unit it multiplies with.
    pub(super) const fn unit(&self) -> DotUnit {
        self.unit
    }

    /// C = A·B, one block of C on each thread. The workspace was made for this shape and team.
    pub(super) fn multiply(
        &self,
        shape: [usize; 3],
        a: &[S],
        b: &[S],
        c: &mut [S::Sum],
        workspace: &mut Workspace,
        team: &dyn Team,
    ) {
        let [m, n, k] = shape;
        assert!(a.len() == m * k && b.len() == k * n && c.len() == m * n, "operands do not fit the shape");
        let needed = (self.sizes)(shape);
        let enough = |memory: &Memory| {
            let has = [memory.a.len(), memory.b.len(), memory.sums.len(), memory.corrections.len()];
            has.iter().zip(needed).all(|(has, needed)| *has >= needed)
        };
        assert!(workspace.0.len() == team.threads() && workspace.0.iter().all(enough), "a workspace of another shape");
        let blocks = blocks(m, n, team.threads());
        let (c, memories) = (Parts::of(c), Parts::of(&mut workspace.0));
        team.run(&|thread| {
            let Some((rows, columns)) = blocks.get(thread) else { return };
            // SAFETY: each thread has a memory of its own.
            let memory = &mut unsafe { memories.range(thread..thread + 1) }[0];
            let (rows, columns) = (rows.clone(), columns.clone());
            let mut part = Part { shape, a, b, c: &c, rows, columns, memory };
            // SAFETY: the unit is available by the promise of `of`; operands and workspace fit; blocks of
            // different threads do not overlap.
            unsafe { (self.compiled)(&mut part) };
        });
    }
}

/// Computes a part.
///
/// # Safety
/// The instruction set of the micro-kernel is available; operands and memory fit the shape, rows and columns
/// lie inside it, and no other thread computes them.
#[inline(always)]
unsafe fn walk<M: Micro>(part: &mut Part<'_, M::Short>) {
    let block = blocking::<M>();
    let depth = part.shape[2].div_ceil(M::ELEMENTS);
    for columns in cut(part.columns.clone(), block.columns) {
        for packed in cut(0..depth, block.packed) {
            pack_b::<M>(part, &columns, &packed);
            for rows in cut(part.rows.clone(), block.rows) {
                for words in cut(packed.clone(), M::DEPTH) {
                    pack_a::<M>(part, &rows, &words);
                    // SAFETY: passed on to the caller; both operands of the block are packed.
                    unsafe { tiles::<M>(part, &rows, &columns, &packed, &words) };
                }
            }
        }
    }
}

/// Cuts a range into pieces of `size`, the last shorter.
fn cut(range: Range<usize>, size: usize) -> impl Iterator<Item = Range<usize>> {
    let end = range.end;
    range.step_by(size).map(move |start| start..end.min(start + size))
}

/// Packs some columns of B, `packed` words deep, block of depth by block, and sums them up where corrections
/// are needed.
#[inline(always)]
fn pack_b<M: Micro>(part: &mut Part<'_, M::Short>, columns: &Range<usize>, packed: &Range<usize>) {
    let ([_, n, k], wide) = (part.shape, M::TILE[1]);
    let zero = M::word(|_| M::Short::ZERO);
    let corrections = &mut part.memory.corrections[..];
    if M::CORRECTED {
        corrections.fill(0);
    }
    let panels = columns.len().div_ceil(wide);
    let mut start = 0;
    for words in cut(packed.clone(), M::DEPTH) {
        let deep = words.len().next_multiple_of(M::STEP);
        for word in 0..deep {
            let first = (words.start + word) * M::ELEMENTS;
            let inside = if word < words.len() { (k - first).min(M::ELEMENTS) } else { 0 };
            for panel in 0..panels {
                let to = &mut part.memory.b[start + panel * deep * wide..start + (panel + 1) * deep * wide];
                let column = columns.start + panel * wide;
                let have = (columns.end - column).min(wide);
                if have == wide && inside == M::ELEMENTS {
                    let rows = &part.b[first * n + column..][..(M::ELEMENTS - 1) * n + wide];
                    if M::INTERLEAVES {
                        let [left, right] = [M::place_b(word, 0), M::place_b(word, wide / 2)];
                        assert!(left.max(right) + wide / 2 <= to.len(), "a panel has room for its words");
                        let to = to.as_mut_ptr();
                        // SAFETY: rows and places lie inside their slices, as was just seen; the instruction set is
                        // that of this nest.
                        unsafe { M::interleave(rows.as_ptr(), n, [to.add(left), to.add(right)]) };
                    } else {
                        for line in (0..wide).step_by(wide / 2) {
                            let to = &mut to[M::place_b(word, line)..][..wide / 2];
                            match wide / 2 {
                                16 => interleave::<M, 16>(&rows[line..], n, to),
                                8 => interleave::<M, 8>(&rows[line..], n, to),
                                _ => interleave::<M, 4>(&rows[line..], n, to),
                            }
                        }
                    }
                } else {
                    for line in 0..wide {
                        let value = |q: usize| part.b[(first + q) * n + column + line];
                        to[M::place_b(word, line)] = match line < have {
                            true => M::word(|q| if q < inside { value(q) } else { M::Short::ZERO }),
                            false => zero,
                        };
                    }
                }
                if M::CORRECTED {
                    for q in 0..inside {
                        let row = &part.b[(first + q) * n + column..][..have];
                        for (sum, value) in corrections[panel * wide..].iter_mut().zip(row) {
                            *sum += value.whole();
                        }
                    }
                }
            }
        }
        start += panels * deep * wide;
    }
}

/// Packs some rows of A, `words` deep.
#[inline(always)]
fn pack_a<M: Micro>(part: &mut Part<'_, M::Short>, rows: &Range<usize>, words: &Range<usize>) {
    let ([_, _, k], high) = (part.shape, M::TILE[0]);
    let deep = words.len().next_multiple_of(M::STEP);
    let whole = (k / M::ELEMENTS).clamp(words.start, words.end) - words.start;
    // The last panel may have fewer rows.
    let first = if in_place::<M>(k) { rows.len() / high } else { 0 };
    for panel in first..rows.len().div_ceil(high) {
        let to = &mut part.memory.a[panel * deep * high..(panel + 1) * deep * high];
        for line in 0..high {
            let row = rows.start + panel * high + line;
            if row >= rows.end {
                (0..deep).for_each(|word| to[M::place_a(word, line)] = 0);
                continue;
            }
            let from = &part.a[row * k + words.start * M::ELEMENTS..(row + 1) * k];
            let runs = whole / M::RUN;
            for (run, elements) in from.chunks_exact(M::ELEMENTS * M::RUN).take(runs).enumerate() {
                let place = M::place_a(run * M::RUN, line);
                let to = &mut to[place..place + M::RUN];
                if M::NATIVE && cfg!(target_endian = "little") {
                    // SAFETY: both are as many bytes as `RUN` words; every pattern is a valid word.
                    unsafe {
                        let from = elements.as_ptr().cast::<u8>();
                        from.copy_to_nonoverlapping(to.as_mut_ptr().cast::<u8>(), 4 * M::RUN);
                    }
                } else {
                    for (word, to) in to.iter_mut().enumerate() {
                        *to = M::word(|q| elements[word * M::ELEMENTS + q]);
                    }
                }
                to.iter_mut().for_each(|word| *word ^= M::TOGGLE);
            }
            let rest = from.get(runs * M::RUN * M::ELEMENTS..).unwrap_or_default();
            let mut left = rest.chunks(M::ELEMENTS).take(words.len() - runs * M::RUN);
            for run in runs..deep / M::RUN {
                let place = M::place_a(run * M::RUN, line);
                for to in &mut to[place..place + M::RUN] {
                    // What lies beyond the depth meets zeros of B.
                    *to = match left.next() {
                        Some(elements) => M::word(|q| elements.get(q).copied().unwrap_or(M::Short::ZERO)) ^ M::TOGGLE,
                        None => 0,
                    };
                }
            }
        }
    }
}

/// `WIDE` words from as many columns of `ELEMENTS` rows, `pitch` elements apart. The words pass through an array
/// of their own, so that the compiler sees that nothing overlaps and uses vectors.
#[inline(always)]
fn interleave<M: Micro, const WIDE: usize>(rows: &[M::Short], pitch: usize, to: &mut [u32]) {
    let row = |q: usize| -> [M::Short; WIDE] {
        let from = &rows[q % M::ELEMENTS * pitch..][..WIDE];
        // SAFETY: the slice has as many elements as the array.
        unsafe { from.as_ptr().cast::<[M::Short; WIDE]>().read() }
    };
    let rows = [row(0), row(1), row(2), row(3)];
    let words: [u32; WIDE] = std::array::from_fn(|at| M::word(|q| rows[q][at]));
    to.copy_from_slice(&words);
}

/// Multiplies the packed operands of a block, and writes its sums out after the last words of packed depth.
///
/// # Safety
/// As for [`walk`], with the block packed.
#[inline(always)]
unsafe fn tiles<M: Micro>(
    part: &mut Part<'_, M::Short>,
    rows: &Range<usize>,
    columns: &Range<usize>,
    packed: &Range<usize>,
    words: &Range<usize>,
) {
    let ([high, wide], k) = (M::TILE, part.shape[2]);
    let (down, across) = (rows.len().div_ceil(high), columns.len().div_ceil(wide));
    let deep = words.len().next_multiple_of(M::STEP);
    let ask = 4 * packed.len() * across * wide > NEAR_BYTES;
    // Blocks of depth before this one are whole.
    let before = (words.start - packed.start) * across * wide;
    for index in 0..down * across {
        let (i, j) = if M::STAYS_A { (index / across, index % across) } else { (index % down, index / down) };
        let packed_a = &part.memory.a[i * deep * high..(i + 1) * deep * high];
        let a = if in_place::<M>(k) && rows.len() - i * high >= high {
            // Whole rows and whole steps.
            let at = &part.a[(rows.start + i * high) * k + words.start * M::ELEMENTS..]
                [..(high - 1) * k + deep * M::ELEMENTS];
            Rows { at: at.as_ptr().cast(), row: k * size_of::<M::Short>(), step: 4 * M::STEP }
        } else {
            Rows { at: packed_a.as_ptr(), row: 4 * M::STEP, step: 4 * M::STEP * high }
        };
        let b = &part.memory.b[before + j * deep * wide..before + (j + 1) * deep * wide];
        let (row, column) = (rows.start + i * high, columns.start + j * wide);
        let (tall, have) = ((rows.end - row).min(high), (columns.end - column).min(wide));
        if tall == high && have == wide && !M::CORRECTED {
            // SAFETY: the whole tile lies in this thread's block of C, whose sums have 32 bits; the rest as below.
            unsafe {
                let sums = part.c.as_mut_ptr().add(row * part.shape[1] + column).cast::<u32>();
                M::run_rows(deep, a, b.as_ptr(), sums, part.shape[1], words.start == 0, ask);
            }
            continue;
        }
        let tile = (i * across + j) * high * wide;
        let sums = &mut part.memory.sums[tile..tile + high * wide];
        // SAFETY: panels and tile have the sizes that the micro-kernel needs; the rest is the caller's
        // promise.
        unsafe { M::run_rows(deep, a, b.as_ptr(), sums.as_mut_ptr(), wide, words.start == packed.start, ask) };
        if words.end == packed.end {
            for line in 0..tall {
                let at = (row + line) * part.shape[1] + column;
                // SAFETY: the tile's rows and columns lie in this thread's block of C.
                let to = unsafe { part.c.range(at..at + have) };
                let corrections = &part.memory.corrections[j * wide..];
                let from = &sums[line * wide..(line + 1) * wide];
                write_out::<M>(from, corrections, to, packed.start == 0);
            }
        }
    }
}

/// Writes a row of a tile to C, or adds it.
#[inline(always)]
fn write_out<M: Micro>(from: &[u32], corrections: &[i32], to: &mut [<M::Short as Short>::Sum], first: bool) {
    let have = to.len().min(from.len());
    if first && !M::CORRECTED {
        let to = to.as_mut_ptr().cast::<u32>();
        // SAFETY: a sum has 32 bits and every pattern of them is valid; the row of C is no longer than the tile's.
        unsafe { from.as_ptr().copy_to_nonoverlapping(to, have) };
        return;
    }
    for (column, (to, from)) in to.iter_mut().zip(from).enumerate() {
        let correction = if M::CORRECTED { 128 * corrections[column] } else { 0 };
        let sum = <M::Short as Short>::Sum::from_bits(from.wrapping_sub(correction.cast_unsigned()));
        *to = if first { sum } else { to.plus(sum) };
    }
}

/// Compiles a nest for an instruction set.
macro_rules! compiled {
    ($name:ident, $micro:ty, $($feature:literal)?) => {
        /// # Safety
        /// As for [`walk`].
        $(#[target_feature(enable = $feature)])?
        pub(super) unsafe fn $name(part: &mut Part<'_, <$micro as Micro>::Short>) {
            // SAFETY: the features are enabled on this function; the rest is the caller's promise.
            unsafe { walk::<$micro>(part) }
        }
    };
}
compiled!(portable_bf16, F32x128,);
compiled!(portable_int8, I16x128,);

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{Bf16, Micro, Part, walk};
    use crate::kernels::gemm::amx::{AmxBf16, AmxInt8};
    use crate::kernels::gemm::vector::{Bf16x512, F32x256, F32x512, I8x512, I16x256, I16x512};
    use crate::kernels::simd::amx::Configured;

    compiled!(avx2_bf16, F32x256, "avx2,fma");
    compiled!(avx2_int8, I16x256, "avx2,fma");
    compiled!(avx512_bf16, F32x512, "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma");
    compiled!(avx512_int8, I16x512, "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma");
    compiled!(dot512_bf16, Bf16x512, "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,avx512bf16");
    compiled!(dot512_int8, I8x512, "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,avx512vnni");
    compiled!(tiles_bf16, AmxBf16, "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma");
    compiled!(tiles_int8, AmxInt8, "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma");

    /// # Safety
    /// As for [`walk`].
    pub(super) unsafe fn amx_bf16(part: &mut Part<'_, Bf16>) {
        let Some(_configured) = Configured::full() else { return };
        // SAFETY: tiles are configured on this thread; processors with AMX have AVX-512.
        unsafe { tiles_bf16(part) }
    }

    /// # Safety
    /// As for [`walk`].
    pub(super) unsafe fn amx_int8(part: &mut Part<'_, i8>) {
        let Some(_configured) = Configured::full() else { return };
        // SAFETY: as for `amx_bf16`.
        unsafe { tiles_int8(part) }
    }
}

#[cfg(target_arch = "aarch64")]
mod arm {
    use super::{Micro, Part, walk};
    use crate::kernels::gemm::neon::{BfDot, BfMmla, F32Lanes, I16Lanes, SDot, SMmla};

    compiled!(neon_bf16, F32Lanes, "neon");
    compiled!(neon_int8, I16Lanes, "neon");
    compiled!(dot_bf16, BfDot, "neon,bf16");
    compiled!(dot_int8, SDot, "neon,dotprod");
    compiled!(mmla_bf16, BfMmla, "neon,bf16");
    compiled!(mmla_int8, SMmla, "neon,i8mm");
}

impl NestPath for Bf16 {
    fn pick(unit: DotUnit) -> (Compiled<Self>, Sizes) {
        match unit {
            #[cfg(target_arch = "aarch64")]
            DotUnit::Neon => (arm::neon_bf16, sizes::<super::neon::F32Lanes>),
            #[cfg(target_arch = "aarch64")]
            DotUnit::Dot128 => (arm::dot_bf16, sizes::<super::neon::BfDot>),
            #[cfg(target_arch = "aarch64")]
            DotUnit::Mmla => (arm::mmla_bf16, sizes::<super::neon::BfMmla>),
            #[cfg(target_arch = "x86_64")]
            DotUnit::Avx2 => (x86::avx2_bf16, sizes::<super::vector::F32x256>),
            #[cfg(target_arch = "x86_64")]
            DotUnit::Avx512 => (x86::avx512_bf16, sizes::<super::vector::F32x512>),
            #[cfg(target_arch = "x86_64")]
            DotUnit::Dot512 => (x86::dot512_bf16, sizes::<super::vector::Bf16x512>),
            #[cfg(target_arch = "x86_64")]
            DotUnit::Amx => (x86::amx_bf16, sizes::<super::amx::AmxBf16>),
            _ => (portable_bf16, sizes::<F32x128>),
        }
    }
}

impl NestPath for i8 {
    fn pick(unit: DotUnit) -> (Compiled<Self>, Sizes) {
        match unit {
            #[cfg(target_arch = "aarch64")]
            DotUnit::Neon => (arm::neon_int8, sizes::<super::neon::I16Lanes>),
            #[cfg(target_arch = "aarch64")]
            DotUnit::Dot128 => (arm::dot_int8, sizes::<super::neon::SDot>),
            #[cfg(target_arch = "aarch64")]
            DotUnit::Mmla => (arm::mmla_int8, sizes::<super::neon::SMmla>),
            #[cfg(target_arch = "x86_64")]
            DotUnit::Avx2 => (x86::avx2_int8, sizes::<super::vector::I16x256>),
            #[cfg(target_arch = "x86_64")]
            DotUnit::Avx512 => (x86::avx512_int8, sizes::<super::vector::I16x512>),
            #[cfg(target_arch = "x86_64")]
            DotUnit::Dot512 => (x86::dot512_int8, sizes::<super::vector::I8x512>),
            #[cfg(target_arch = "x86_64")]
            DotUnit::Amx => (x86::amx_int8, sizes::<super::amx::AmxInt8>),
            _ => (portable_int8, sizes::<I16x128>),
        }
    }
}
