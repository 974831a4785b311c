//! The program of `gemm` in f32 and f64: a loop nest around one register tile.
//!
//! B is packed in blocks that the second-level cache holds, in panels as wide as the tile. A strip of A as high
//! as the tile is copied, row by row, into the first-level cache and swept across all panels of the block. The
//! copy keeps rows as rows: a tile broadcasts single elements of A, for which no order is better than another,
//! and copying runs at the speed of memory, while transposing does not. Padding keeps the rows of the copy in
//! different sets of the cache, where rows of A itself are often a power of two apart.
//!
//! While a strip is swept, the next one is fetched into the cache, one row during each panel (Goto and van de
//! Geijn, Anatomy of High-Performance Matrix Multiplication, ACM TOMS 34, 2008, with the parts of A and B
//! exchanged, because C is row-major).

#![expect(unsafe_code, reason = "vector operations on packed operands")]

use crate::kernels::element::Element;
use crate::kernels::simd::{Simd, paths};
use crate::kernels::split::Parts;
use crate::kernels::{Buffer, Isa, KernelError, Team};
use std::ops::Range;

/// Bytes of a row of A's strip, and of a column of B's block: 192 numbers in single precision. Shallow, so that a
/// block can be wide: the strip is copied once for every block of columns, and that costs more than adding to C
/// more often. (Measured at 128 to 512 numbers and 240 to 1056 columns.)
const DEPTH_BYTES: usize = 768;
/// Bytes between rows of the copied strip: an odd number of cache lines.
const PITCH_BYTES: usize = DEPTH_BYTES + 64;
/// Most columns of a block of B; a multiple of the width of every tile.
const MOST_COLUMNS: usize = 1344;
/// Bytes of a cache line.
const LINE: usize = 64;
/// How many rows ahead of the sums a panel of B is fetched from the second-level cache.
const AHEAD: usize = 8;

/// Rows of a tile.
const fn tile_rows(isa: Isa) -> usize {
    match isa {
        Isa::Avx512 => 9,
        // Nine would fill 31 of 32 registers, and compilers keep two elements of A at hand.
        Isa::Neon => 8,
        _ => 4,
    }
}

/// Registers in the width of a tile. With the rows and one register for A they fill 31 of 32, or 16 of 16.
const WIDTH: usize = 3;

/// Elements of the largest tile: nine rows by three registers of single precision.
const LARGEST_TILE: usize = 9 * WIDTH * 16;

/// Elements in a row of a block's panels.
pub(super) const fn tile_columns(isa: Isa, element: usize) -> usize {
    WIDTH * isa.register_bytes() / element
}

/// Elements of the copy of a strip of A.
pub(super) const fn strip_elements(isa: Isa, element: usize) -> usize {
    tile_rows(isa) * PITCH_BYTES / element
}

/// What one thread packs.
struct Scratch<T: Element> {
    strip: Buffer<T>,
    block: Buffer<T>,
}

/// A product of matrices of fixed sizes, ready to run.
pub(super) struct Nest<T: Element> {
    shape: [usize; 3],
    /// Rows and columns of C for each thread.
    parts: Vec<(Range<usize>, Range<usize>)>,
    /// Columns of B packed at a time.
    columns: usize,
    scratch: Vec<Scratch<T>>,
    isa: Isa,
}

impl<T: NestPath> Nest<T> {
    /// Prepares products C = A·B with A m×k, B k×n (`[m, n, k]`), each thread computing one part of C. The
    /// instruction set must be available.
    ///
    /// # Errors
    /// [`KernelError::OutOfMemory`].
    pub(super) fn new(
        shape: [usize; 3],
        parts: Vec<(Range<usize>, Range<usize>)>,
        isa: Isa,
    ) -> Result<Self, KernelError> {
        let columns = block_columns(second_level_bytes());
        let pieces = parts.iter().map(|_| {
            let strip = Buffer::zeroed(strip_elements(isa, size_of::<T>()), "a strip of A")?;
            // Room behind the last panel, so that fetching ahead stays inside.
            let block = Buffer::zeroed(columns * DEPTH_BYTES / size_of::<T>() + 4096, "a block of B")?;
            Ok(Scratch { strip, block })
        });
        Ok(Self { scratch: pieces.collect::<Result<_, KernelError>>()?, shape, parts, columns, isa })
    }

    /// The instruction set it was made for.
    pub(super) const fn isa(&self) -> Isa {
        self.isa
    }

    /// C = A·B, all row-major.
    pub(super) fn multiply(&mut self, a: &[T], b: &[T], c: &mut [T], team: &dyn Team) {
        let [m, n, k] = self.shape;
        assert!(a.len() == m * k && b.len() == k * n && c.len() == m * n, "operands do not fit the shape");
        let (scratch, c, program) = (Parts::of(&mut self.scratch), Parts::of(c), T::pick(self.isa));
        let (parts, columns) = (&self.parts, self.columns);
        team.run(&|thread| {
            let Some((rows, part)) = parts.get(thread) else { return };
            if rows.is_empty() {
                return;
            }
            // SAFETY: each thread has scratch of its own.
            let own = &mut unsafe { scratch.range(thread..thread + 1) }[0];
            for columns in pieces(part.clone(), columns, tile_columns(self.isa, size_of::<T>())) {
                for depth in pieces(0..k, DEPTH_BYTES / size_of::<T>(), 1) {
                    let args = Args {
                        a,
                        b,
                        c: &c,
                        pitches: [k, n, n],
                        rows: rows.clone(),
                        columns: columns.clone(),
                        depth,
                        strip: own.strip.as_mut_ptr(),
                        block: own.block.as_mut_ptr(),
                        fresh: true,
                    };
                    // SAFETY: the instruction set is available; the ranges lie inside the shape, which the
                    // operands fit; parts of different threads do not overlap; the scratch holds a strip and
                    // a block of the largest piece.
                    unsafe { program(&args) };
                }
            }
        });
    }
}

/// The blocks into which a k×n operand B of elements of so many bytes is cut: columns and depth of each.
pub(super) fn blocks_of_b([n, k]: [usize; 2], isa: Isa, element: usize) -> Vec<[Range<usize>; 2]> {
    let most = block_columns(second_level_bytes());
    let deep =
        move |columns: Range<usize>| pieces(0..k, DEPTH_BYTES / element, 1).map(move |depth| [columns.clone(), depth]);
    pieces(0..n, most, tile_columns(isa, element)).flat_map(deep).collect()
}

/// Divides a range into as few pieces as `most` allows, about equally long; all but the last are multiples of
/// `granule`, which divides `most`.
fn pieces(range: Range<usize>, most: usize, granule: usize) -> impl Iterator<Item = Range<usize>> {
    let count = range.len().div_ceil(most).max(1);
    let length = range.len().div_ceil(count).next_multiple_of(granule).max(1);
    range.clone().step_by(length).map(move |first| first..(first + length).min(range.end))
}

/// Columns of a block of B that takes half of the second-level cache: a multiple of every tile's width.
const fn block_columns(cache: usize) -> usize {
    // A multiple of 48 is one of all widths: 48, 24 and 12 in single precision, half of these in double.
    let fit = cache / 2 / DEPTH_BYTES / 48 * 48;
    if fit < 48 {
        48
    } else if fit > MOST_COLUMNS {
        MOST_COLUMNS
    } else {
        fit
    }
}

/// Size of the second-level cache; 256 KiB where it is not known. Other processors than x86-64 have no instruction that
/// tells it to programs; Linux does.
pub(in crate::kernels) fn second_level_bytes() -> usize {
    const UNKNOWN: usize = 256 << 10;
    #[cfg(target_arch = "x86_64")]
    {
        let id = raw_cpuid::CpuId::new();
        let levels = id.get_cache_parameters();
        let size = |c: raw_cpuid::CacheParameter| {
            c.associativity() * c.physical_line_partitions() * c.coherency_line_size() * c.sets()
        };
        let intel = levels.and_then(|mut levels| levels.find(|c| c.level() == 2)).map(size);
        // AMD describes its caches in another leaf, in KiB.
        let amd = || id.get_l2_l3_cache_and_tlb_info().map(|info| usize::from(info.l2cache_size()) << 10);
        intel.or_else(amd).filter(|bytes| *bytes > 0).unwrap_or(UNKNOWN)
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        static BYTES: std::sync::OnceLock<usize> = std::sync::OnceLock::new();
        *BYTES.get_or_init(|| {
            let text = std::fs::read_to_string("/sys/devices/system/cpu/cpu0/cache/index2/size").unwrap_or_default();
            let kilobytes = text.trim().strip_suffix('K').and_then(|digits| digits.parse::<usize>().ok());
            kilobytes.and_then(|n| n.checked_mul(1 << 10)).filter(|bytes| *bytes > 0).unwrap_or(UNKNOWN)
        })
    }
}

/// What one thread computes: a block of B times all rows of its part.
pub(in crate::kernels) struct Args<'a, T: Element> {
    pub(super) a: &'a [T],
    pub(super) b: &'a [T],
    pub(super) c: &'a Parts<'a, T>,
    /// Elements from a row to the next of A, B and C.
    pub(super) pitches: [usize; 3],
    /// Rows of A and C; none to pack the block and nothing else.
    pub(super) rows: Range<usize>,
    /// Columns of B and C in the block.
    pub(super) columns: Range<usize>,
    /// Columns of A and rows of B in the block.
    pub(super) depth: Range<usize>,
    /// Room for a strip of A.
    pub(super) strip: *mut T,
    /// The packed block, which is only written where it is fresh.
    pub(super) block: *mut T,
    /// Whether the block is to be packed from B; else it was, and `b` is not read.
    pub(super) fresh: bool,
}

/// Packs a block of B, if it is fresh, and multiplies all rows with it, in tiles of `R` rows.
///
/// # Safety
/// As for [`Simd`]; operands fit, and no other thread computes the same part or uses the same scratch.
#[inline(always)]
unsafe fn rows_times_block<S: Simd, const R: usize>(args: &Args<'_, S::Elem>) {
    let ([of_a, _, of_c], width, size) = (args.pitches, WIDTH * S::LANES, size_of::<S::Elem>());
    let (depth, pitch) = (args.depth.len(), PITCH_BYTES / size);
    let last_row = args.rows.end.saturating_sub(1);
    // SAFETY: strip and block hold what is packed; rows and columns lie inside the operands.
    unsafe {
        if args.fresh {
            pack_block::<S>(args);
        }
        for row in args.rows.clone().step_by(R) {
            let height = R.min(args.rows.end - row);
            let a = args.a.as_ptr().add(row * of_a + args.depth.start);
            for index in 0..height {
                a.add(index * of_a).copy_to_nonoverlapping(args.strip.add(index * pitch), depth);
            }
            for index in height..R {
                args.strip.add(index * pitch).write_bytes(0, depth);
            }
            for (panel, column) in args.columns.clone().step_by(width).enumerate() {
                let left = (args.columns.end - column).min(width);
                // One row of the next strip is fetched during each panel.
                let next = (row + R + panel % R).min(last_row);
                let tile = Tile {
                    a: args.strip,
                    b: args.block.add(panel * depth * width),
                    c: args.c.as_mut_ptr().add(row * of_c + column),
                    next: args.a.as_ptr().add(next * of_a + args.depth.start),
                    n: of_c,
                    depth,
                    first: args.depth.start == 0,
                    size: [height, left],
                };
                // The last strip is seldom whole, and a tile costs what its rows cost.
                match height {
                    ..=3 if R > 3 => tile.rows::<S, 3>(),
                    4..=6 if R > 6 => tile.rows::<S, 6>(),
                    _ => tile.rows::<S, R>(),
                }
            }
        }
    }
}
paths!(pub(in crate::kernels) trait NestPath: rows_times_block(Args), registers = [9, 4, 4], neon = 8, for f32, f64);

/// Copies a block of B into panels as wide as a tile, the last filled up with zeros.
///
/// # Safety
/// As for [`rows_times_block`].
#[inline(always)]
unsafe fn pack_block<S: Simd>(args: &Args<'_, S::Elem>) {
    let (n, width, depth) = (args.pitches[1], WIDTH * S::LANES, args.depth.len());
    for (index, row) in args.depth.clone().enumerate() {
        for (panel, column) in args.columns.clone().step_by(width).enumerate() {
            let left = (args.columns.end - column).min(width);
            // SAFETY: passed on to the caller; a partial panel is read only as far as the columns go. What is
            // fetched ahead may lie anywhere.
            unsafe {
                let from = args.b.as_ptr().add(row * n + column);
                let to = args.block.add((panel * depth + index) * width);
                S::prefetch(from.wrapping_add(4 * n));
                for register in 0..WIDTH {
                    let first = register * S::LANES;
                    let v = if left >= first + S::LANES {
                        S::load(from.add(first))
                    } else if left > first {
                        S::load_first(from.add(first), left - first)
                    } else {
                        S::splat(S::Elem::ZERO)
                    };
                    S::store(to.add(first), v);
                }
            }
        }
    }
}

/// A tile of C.
struct Tile<T: Element> {
    /// The copied strip.
    a: *const T,
    /// The packed panel.
    b: *const T,
    c: *mut T,
    /// What to fetch meanwhile: `depth` elements.
    next: *const T,
    /// Columns of C.
    n: usize,
    depth: usize,
    /// Whether C is written for the first time.
    first: bool,
    /// Rows and columns of the tile that lie in C.
    size: [usize; 2],
}

impl<T: Element> Tile<T> {
    /// Adds the products of `M` rows and as many registers as there are columns for.
    ///
    /// # Safety
    /// As for [`rows_times_block`]; the tile has at most `M` rows.
    #[inline(always)]
    unsafe fn rows<S: Simd<Elem = T>, const M: usize>(&self) {
        // SAFETY: passed on to the caller.
        unsafe {
            match self.size[1].div_ceil(S::LANES) {
                3 => self.compute::<S, M, 3>(),
                2 => self.compute::<S, M, 2>(),
                _ => self.compute::<S, M, 1>(),
            }
        }
    }

    /// Adds the products of `M` rows and `N` registers.
    ///
    /// # Safety
    /// As for [`rows_times_block`]; the tile's rows and columns are at most `M` and `N` registers.
    #[inline(always)]
    unsafe fn compute<S: Simd<Elem = T>, const M: usize, const N: usize>(&self) {
        let (width, steps) = (WIDTH * S::LANES, LINE / size_of::<T>());
        // SAFETY: strip and panel hold `depth` columns and rows; what is fetched ahead may lie anywhere.
        unsafe {
            for row in 0..M {
                for register in 0..N {
                    S::prefetch(self.c.wrapping_add(row * self.n + register * S::LANES));
                }
            }
            let (mut a, mut b, mut next) = (self.a, self.b, self.next);
            let mut sums = [[S::splat(T::ZERO); N]; M];
            for _ in 0..self.depth / steps {
                S::prefetch(next);
                next = next.wrapping_add(steps);
                for _ in 0..steps {
                    step::<S, M, N>(a, b, &mut sums);
                    (a, b) = (a.add(1), b.add(width));
                }
            }
            for _ in 0..self.depth % steps {
                step::<S, M, N>(a, b, &mut sums);
                (a, b) = (a.add(1), b.add(width));
            }
            self.store::<S, M, N>(&sums);
        }
    }

    /// Writes the sums to C, or adds them.
    ///
    /// # Safety
    /// As for [`Tile::compute`].
    #[inline(always)]
    unsafe fn store<S: Simd<Elem = T>, const M: usize, const N: usize>(&self, sums: &[[S::V; N]; M]) {
        // SAFETY: passed on to the caller; only rows and columns inside C are touched.
        unsafe {
            if self.size == [M, N * S::LANES] {
                for (row, sums) in sums.iter().enumerate() {
                    for (register, sum) in sums.iter().enumerate() {
                        let to = self.c.add(row * self.n + register * S::LANES);
                        S::store(to, if self.first { *sum } else { S::add(S::load(to), *sum) });
                    }
                }
                return;
            }
            // Only whole tiles are written from registers: with a number of rows that is known late, the
            // compiler would keep the sums in memory all the time.
            let mut whole = [T::ZERO; LARGEST_TILE];
            for (row, sums) in sums.iter().enumerate() {
                for (register, sum) in sums.iter().enumerate() {
                    S::store(whole.as_mut_ptr().add((row * N + register) * S::LANES), *sum);
                }
            }
            let [height, left] = self.size;
            for row in 0..height {
                for column in 0..left {
                    let (to, sum) = (self.c.add(row * self.n + column), whole[row * N * S::LANES + column]);
                    to.write(if self.first { sum } else { to.read() + sum });
                }
            }
        }
    }
}

/// One column of the strip times one row of the panel.
///
/// # Safety
/// As for [`Tile::compute`].
#[inline(always)]
unsafe fn step<S: Simd, const M: usize, const N: usize>(
    a: *const S::Elem,
    b: *const S::Elem,
    sums: &mut [[S::V; N]; M],
) {
    let (width, pitch) = (WIDTH * S::LANES, PITCH_BYTES / size_of::<S::Elem>());
    // SAFETY: passed on to the caller; what is fetched ahead may lie anywhere.
    unsafe {
        let mut right = [S::splat(S::Elem::ZERO); N];
        for (register, right) in right.iter_mut().enumerate() {
            *right = S::load(b.add(register * S::LANES));
            S::prefetch(b.wrapping_add(AHEAD * width + register * S::LANES));
        }
        for (row, sums) in sums.iter_mut().enumerate() {
            let left = S::splat(*a.add(row * pitch));
            for (right, sum) in right.iter().zip(sums) {
                *sum = S::fma(left, *right, *sum);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_few_even_and_cover_the_range() {
        assert_eq!(pieces(0..1024, 480, 48).collect::<Vec<_>>(), [0..384, 384..768, 768..1024]);
        assert_eq!(pieces(100..1124, 512, 1).collect::<Vec<_>>(), [100..612, 612..1124]);
        assert_eq!(pieces(0..480, 480, 48).count(), 1);
        assert_eq!(pieces(5..5, 480, 48).count(), 0);
        for n in 1..2000 {
            let all: Vec<_> = pieces(3..3 + n, 96, 24).collect();
            assert!(all.iter().all(|p| (1..=96).contains(&p.len())), "{n}: {all:?}");
            assert!(all[0].start == 3 && all[all.len() - 1].end == 3 + n);
            assert!(all.windows(2).all(|w| w[0].end == w[1].start && w[0].len() % 24 == 0), "{n}: {all:?}");
        }
    }

    #[test]
    fn a_block_takes_half_of_any_cache_and_whole_tiles() {
        for cache in [0, 256 << 10, 512 << 10, 1 << 20, 2 << 20, 64 << 20] {
            let columns = block_columns(cache);
            assert!(columns == 48 || columns * DEPTH_BYTES <= cache / 2, "{cache}: {columns}");
            for isa in Isa::ALL {
                assert_eq!(columns % tile_columns(*isa, 4), 0);
                assert_eq!(columns % tile_columns(*isa, 8), 0);
            }
        }
        assert_eq!(block_columns(2 << 20), MOST_COLUMNS);
        assert!(second_level_bytes() >= 64 << 10);
    }
}
