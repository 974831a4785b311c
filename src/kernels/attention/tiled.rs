//! The tiled program of `attention` and of its masked kinds.
//!
//! Queries are the lanes: a register tile is a few keys by two or three registers of queries. So maxima, sums
//! and rescaling of the softmax work lane by lane, with nothing across a register, and both products read K and
//! V as they are, one element for all lanes. Only queries and outputs, which are touched once, are turned over.
//!
//! Threads claim groups of queries. A group is a few register widths of queries that share each tile of 64
//! keys while its rows of K and V are in the first-level cache: scores, running maximum, weights, and weights
//! times values.

#![expect(unsafe_code, reason = "vector operations on rows of the operands")]

use super::Shape;
use super::mask::Mask;
use super::tile::{BEYOND, Edge, KEYS, MASKED, Tile};
use crate::kernels::simd::{SimdExp, Transpose, paths};
use crate::kernels::split::Parts;
use crate::kernels::{Buffer, Isa, KernelError, Team};
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Keys of a chunk, which the tiles of a group visit in turns. With 64 dimensions they take 240 KiB.
const CHUNK: usize = 480;
/// Pieces of a chunk: more only where blocks are narrower than 8, and then a chunk is shorter.
const PIECES: usize = CHUNK / 8;
/// Most queries that share a chunk of keys.
const MOST_QUERIES: usize = 192;

/// Lanes of a register.
const fn lanes(isa: Isa) -> usize {
    match isa {
        Isa::Avx512 => 16,
        Isa::Avx2 => 8,
        Isa::Neon | Isa::Portable => 4,
    }
}

/// Registers of queries that a register tile is wide: four where there are registers for six rows of them, two where
/// there are half as many; fewer for windows, since all of its queries visit the keys of each, and for blocks a number
/// that divides their side where there is one.
fn registers(mask: &Mask, isa: Isa) -> usize {
    match (mask, isa) {
        (Mask::Blocks(blocks), Isa::Avx512) => {
            [4, 3].into_iter().find(|n| blocks.side().is_multiple_of(n * lanes(isa))).unwrap_or(2)
        }
        (Mask::Window(_), Isa::Avx512) => 3,
        (_, Isa::Avx512) => 4,
        (_, Isa::Avx2) | (Mask::Blocks(_), _) => 2,
        _ => 3,
    }
}

/// The keys that a group of queries sees, a chunk of pieces at a time.
struct Pieces {
    pieces: [(usize, usize); PIECES],
    count: usize,
    /// The range of the mask to go on with, and the key in it.
    index: usize,
    key: usize,
    /// The first key of the chunk after this one; any where there is none.
    next: usize,
}

impl Pieces {
    /// Before the first chunk.
    const fn none() -> Self {
        Self { pieces: [(0, 0); PIECES], count: 0, index: 0, key: 0, next: 0 }
    }

    /// Goes on to the next chunk; false where there is none.
    fn refill(&mut self, mask: &Mask, head: usize, queries: &Range<usize>, seq: usize) -> bool {
        self.count = 0;
        let mut taken = 0;
        while let Some(span) = mask.span(head, queries, seq, self.index) {
            let start = self.key.max(span.start);
            self.next = start;
            if taken >= CHUNK || self.count == PIECES {
                break;
            }
            let end = span.end.min(start + KEYS.min(CHUNK - taken));
            if start < end {
                self.pieces[self.count] = (start, end);
                (self.count, taken) = (self.count + 1, taken + end - start);
            }
            (self.index, self.key) = if end >= span.end { (self.index + 1, 0) } else { (self.index, end) };
        }
        self.count > 0
    }

    /// Ranges of keys of this chunk.
    fn list(&self) -> impl Iterator<Item = Range<usize>> {
        self.pieces[..self.count].iter().map(|(start, end)| *start..*end)
    }

    /// The first key of what comes after a piece, for the last tile or another.
    fn after(&self, index: usize, last: bool) -> usize {
        if index + 1 < self.count {
            self.pieces[index + 1].0
        } else if last {
            self.next
        } else {
            self.pieces[0].0
        }
    }
}

/// Buffers of the tiled program.
pub(super) struct Tiled {
    shape: Shape,
    isa: Isa,
    /// Queries of a group.
    group: usize,
    /// For each thread: queries, unscaled outputs, scores, maxima, sums and factors.
    scratch: Vec<Buffer<f32>>,
}

impl Tiled {
    /// Allocates the buffers for an instruction set, which must be available.
    ///
    /// # Errors
    /// [`KernelError::OutOfMemory`].
    pub(super) fn new(shape: Shape, isa: Isa, threads: usize) -> Result<Self, KernelError> {
        let Shape { heads, seq, dim, .. } = shape;
        let width = registers(&shape.mask, isa) * lanes(isa);
        let group = match &shape.mask {
            Mask::Blocks(blocks) => blocks.side(),
            // Small cases get smaller groups, so that every thread finds a few.
            _ => width * (heads * seq).div_ceil(width * threads * 4).clamp(1, (MOST_QUERIES / width).max(1)),
        };
        let scratch = width * (group.div_ceil(width) * (2 * dim + 2) + 1 + KEYS + BEYOND);
        let scratch = (0..threads).map(|_| Buffer::zeroed(scratch, "scratch of a thread")).collect::<Result<_, _>>()?;
        Ok(Self { shape, isa, group, scratch })
    }

    /// The instruction set.
    pub(super) const fn isa(&self) -> Isa {
        self.isa
    }

    /// The code path for the record.
    pub(super) fn path(&self) -> String {
        format!("{}/tiled", self.isa)
    }

    /// Computes all heads. The operands are `heads × seq × dim`.
    pub(super) fn run(&mut self, operands: [&[f32]; 3], output: &mut [f32], team: &dyn Team) {
        let len = self.shape.len();
        assert!(operands.iter().all(|x| x.len() == len) && output.len() == len, "operands do not fit the shape");
        let workers = self.scratch.len();
        let program = match registers(&self.shape.mask, self.isa) {
            2 => <f32 as TwoPath>::pick(self.isa),
            3 => <f32 as ThreePath>::pick(self.isa),
            _ => <f32 as FourPath>::pick(self.isa),
        };
        let (scratch, output) = (Parts::of(&mut self.scratch), Parts::of(output));
        let groups = Groups {
            shape: &self.shape,
            operands,
            output: &output,
            group: self.group,
            per_head: self.shape.seq.div_ceil(self.group),
            next: AtomicUsize::new(0),
        };
        team.run(&|thread| {
            if thread < workers {
                // SAFETY: each thread uses its own scratch.
                let scratch = &mut unsafe { scratch.range(thread..thread + 1) }[0];
                let args = Args { groups: &groups, scratch: scratch.as_mut_ptr() };
                // SAFETY: the instruction set is available, operands fit the shape, and scratch memory
                // was made for this width and group; groups are claimed by one thread each.
                unsafe { program(&args) };
            }
        });
    }
}

/// What all threads share.
struct Groups<'a, T> {
    shape: &'a Shape,
    operands: [&'a [T]; 3],
    output: &'a Parts<'a, T>,
    group: usize,
    per_head: usize,
    /// The next group of queries that nobody has claimed.
    next: AtomicUsize,
}

/// What one thread does.
struct Args<'a, T> {
    groups: &'a Groups<'a, T>,
    scratch: *mut T,
}

/// The groups of one thread; a register tile is `N` registers of queries wide.
///
/// # Safety
/// As for `Simd`; operands fit the shape, scratch memory was made for this width and group, and no other
/// thread uses it.
#[inline(always)]
unsafe fn attention<S: SimdExp + Transpose, const N: usize>(args: &Args<'_, f32>) {
    let groups = args.groups;
    loop {
        let claimed = groups.next.fetch_add(1, Ordering::Relaxed);
        if claimed >= groups.shape.heads * groups.per_head {
            break;
        }
        // The last groups of a causal head see the most keys: longest first.
        let (head, group) = (claimed / groups.per_head, groups.per_head - 1 - claimed % groups.per_head);
        // SAFETY: passed on to the caller. Tile heights keep the sums in the registers there are.
        unsafe {
            let first = group * groups.group;
            match (S::REGISTERS, N) {
                (32, 2) => attend::<S, 12, 4, N>(groups, head, first, args.scratch),
                (32, 3) => attend::<S, 8, 8, N>(groups, head, first, args.scratch),
                (32, _) => attend::<S, 6, 4, N>(groups, head, first, args.scratch),
                (_, 2) => attend::<S, 6, 2, N>(groups, head, first, args.scratch),
                _ => attend::<S, 4, 4, N>(groups, head, first, args.scratch),
            }
        }
    }
}
paths!(trait TwoPath: attention(Args), registers = [2, 2, 2], for f32);
paths!(trait ThreePath: attention(Args), registers = [3, 3, 3], for f32);
paths!(trait FourPath: attention(Args), registers = [4, 3, 3], for f32);

/// One group of queries from `first` on: all keys they see.
///
/// Keys are visited in chunks, which stay in the second-level cache while each register tile of the group goes through
/// them in pieces. What belongs to a register tile lies in the first-level cache meanwhile.
///
/// # Safety
/// As for [`attention`].
#[inline(always)]
unsafe fn attend<S: SimdExp + Transpose, const R: usize, const T: usize, const N: usize>(
    groups: &Groups<'_, f32>,
    head: usize,
    first: usize,
    scratch: *mut f32,
) {
    let Shape { seq, dim, ref mask, .. } = *groups.shape;
    let width = N * S::LANES;
    let queries = first..(first + groups.group).min(seq);
    let tiles = queries.len().div_ceil(width);
    let start = head * seq * dim;
    // SAFETY: the scratch memory has room for all parts (see `Tiled::new`); rows of K, V and the output lie
    // inside their head.
    unsafe {
        let packed = scratch;
        let outputs = packed.add(tiles * dim * width);
        let tops = outputs.add(tiles * dim * width);
        let totals = tops.add(tiles * width);
        let factors = totals.add(tiles * width);
        let scores = factors.add(width);
        let [q, k, v] = groups.operands.map(|x| x.as_ptr().add(start));
        for tile in 0..tiles {
            let query = first + tile * width;
            pack_queries::<S, N>(q.add(query * dim), queries.end - query, dim, packed.add(tile * dim * width));
        }
        for at in (0..tiles * dim * width).step_by(S::LANES) {
            S::store(outputs.add(at), S::splat(0.0));
        }
        for i in 0..tiles * width {
            tops.add(i).write(MASKED);
            totals.add(i).write(0.0);
        }
        let mut pieces = Pieces::none();
        while pieces.refill(mask, head, &queries, seq) {
            for tile in 0..tiles {
                let query = first + tile * width;
                let of = Tile {
                    packed: packed.add(tile * dim * width),
                    outputs: outputs.add(tile * dim * width),
                    tops: tops.add(tile * width),
                    totals: totals.add(tile * width),
                    factors,
                    scores,
                    dim,
                };
                let seen = mask.hull(&(query..(query + width).min(queries.end)), seq);
                for (index, piece) in pieces.list().enumerate() {
                    let keys = piece.start.max(seen.start)..piece.end.min(seen.end);
                    if keys.is_empty() {
                        continue;
                    }
                    let next = pieces.after(index, tile + 1 == tiles) * dim;
                    of.visit::<S, R, T, N>(
                        (k.add(keys.start * dim), v.add(keys.start * dim)),
                        keys.len(),
                        k.wrapping_add(next),
                        edge(mask, query, width, &keys),
                    );
                }
            }
        }
        for tile in 0..tiles {
            let query = first + tile * width;
            let to = groups.output.as_mut_ptr().add(start + query * dim);
            let out = outputs.add(tile * dim * width);
            store::<S, N>(out, totals.add(tile * width), (queries.end - query).min(width), dim, to);
        }
    }
}

/// Turns up to one register width of queries, `rows` of which exist, into `dim` rows of queries, scaled so that
/// powers of two of their scores are the weights; zeros beyond the last.
///
/// # Safety
/// As for [`attention`].
#[inline(always)]
unsafe fn pack_queries<S: SimdExp + Transpose, const N: usize>(
    from: *const f32,
    rows: usize,
    dim: usize,
    to: *mut f32,
) {
    let width = N * S::LANES;
    #[expect(clippy::cast_possible_truncation, reason = "the kernel computes in single precision")]
    let scale = (std::f64::consts::LOG2_E / (dim as f64).sqrt()) as f32;
    // SAFETY: only rows that exist are read; `to` holds `dim` rows of `width` queries.
    unsafe {
        turn::<S>((from, dim), (rows.min(width), dim), (to, width));
        for d in 0..dim {
            for i in rows..width {
                to.add(d * width + i).write(0.0);
            }
            for i in 0..N {
                let at = to.add(d * width + i * S::LANES);
                S::store(at, S::mul(S::load(at), S::splat(scale)));
            }
        }
    }
}

/// Writes the transpose of `rows × columns` elements.
///
/// # Safety
/// As for `Simd`; both arrays have such rows and columns.
#[inline(always)]
unsafe fn turn<S: Transpose>(from: (*const f32, usize), (rows, columns): (usize, usize), to: (*mut f32, usize)) {
    for row in (0..rows).step_by(S::LANES) {
        for column in (0..columns).step_by(S::LANES) {
            // SAFETY: the tile, or what there is of it, lies inside both arrays.
            unsafe {
                let (from, to) = ((from.0.add(row * from.1 + column), from.1), (to.0.add(column * to.1 + row), to.1));
                if row + S::LANES <= rows && column + S::LANES <= columns {
                    S::transpose(from, to);
                    continue;
                }
                for i in 0..(rows - row).min(S::LANES) {
                    for j in 0..(columns - column).min(S::LANES) {
                        to.0.add(j * to.1 + i).write(*from.0.add(i * from.1 + j));
                    }
                }
            }
        }
    }
}

/// The edge of the mask inside these keys for queries from `query` on; `None` where all of them see all.
fn edge(mask: &Mask, query: usize, width: usize, keys: &Range<usize>) -> Option<Edge> {
    let window = match mask {
        Mask::Dense | Mask::Blocks(_) => return None,
        Mask::Causal => usize::MAX,
        Mask::Window(window) => *window,
    };
    if keys.end <= query + 1 && keys.start.saturating_add(window) >= query + width {
        return None;
    }
    let hidden = keys.start.cast_signed() - query.cast_signed();
    Some(Edge { hidden, passed: hidden.saturating_add_unsigned(window) })
}

/// Divides the outputs of one register width of queries by their sums of weights and stores the `rows` that
/// exist.
///
/// # Safety
/// As for [`attention`].
#[inline(always)]
unsafe fn store<S: Transpose, const N: usize>(
    outputs: *mut f32,
    totals: *mut f32,
    rows: usize,
    dim: usize,
    to: *mut f32,
) {
    let width = N * S::LANES;
    // SAFETY: `outputs` has `dim` rows of `width` queries, `to` has `rows` rows of `dim` elements.
    unsafe {
        for i in 0..width {
            totals.add(i).write(1.0 / *totals.add(i));
        }
        for d in 0..dim {
            for n in 0..N {
                let at = outputs.add(d * width + n * S::LANES);
                S::store(at, S::mul(S::load(at), S::load(totals.add(n * S::LANES))));
            }
        }
        turn::<S>((outputs, width), (dim, rows), (to, dim));
    }
}
