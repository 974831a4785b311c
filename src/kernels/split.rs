//! Dividing work among threads, and lending them disjoint parts of one array.

#![expect(unsafe_code, reason = "lends disjoint mutable parts of one array to several threads")]

use super::element::{Element, Plain};
use super::random::SplitMix64;
use super::{Buffer, KernelError, Team};
use std::marker::PhantomData;
use std::ops::Range;

/// An array that several threads write, each its own part.
pub(crate) struct Parts<'a, T> {
    data: *mut T,
    len: usize,
    owner: PhantomData<&'a mut [T]>,
}

// SAFETY: `Parts` stands for a `&mut [T]`; access is only through `range`, whose caller promises
// that parts in use at the same time do not overlap.
unsafe impl<T: Send> Send for Parts<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Parts<'_, T> {}

impl<'a, T> Parts<'a, T> {
    /// Takes the array for as long as the parts are used.
    pub(crate) const fn of(array: &'a mut [T]) -> Self {
        Self { data: array.as_mut_ptr(), len: array.len(), owner: PhantomData }
    }

    /// Start of the array, for kernels that address it by stride.
    pub(crate) const fn as_mut_ptr(&self) -> *mut T {
        self.data
    }

    /// The elements of `range`.
    ///
    /// # Safety
    /// Ranges in use at the same time must not overlap.
    #[expect(clippy::mut_from_ref, reason = "disjointness is the caller's promise")]
    pub(crate) unsafe fn range(&self, range: Range<usize>) -> &mut [T] {
        assert!(range.start <= range.end && range.end <= self.len, "part outside of its array");
        // SAFETY: inside the array by the assertion, exclusive by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.data.add(range.start), range.end - range.start) }
    }
}

/// Divides `0..n` into `parts` ranges whose lengths differ by at most one `granule` (the last may
/// be shorter). Empty ranges are possible.
pub(crate) fn even(n: usize, parts: usize, granule: usize) -> Vec<Range<usize>> {
    let parts = parts.max(1);
    let granules = n.div_ceil(granule);
    let bound = |p: usize| (granules * p / parts * granule).min(n);
    (0..parts).map(|p| bound(p)..bound(p + 1)).collect()
}

/// Divides rows so that each range holds about the same number of stored elements plus rows.
/// `row_ptr` has one entry more than there are rows.
pub(crate) fn balanced(row_ptr: &[u32], parts: usize) -> Vec<Range<usize>> {
    let parts = parts.max(1);
    let rows = row_ptr.len() - 1;
    // A row costs something even when it is empty: without the second term one thread could get
    // all the empty rows.
    let cost = |row: usize| row_ptr[row] as usize + row;
    let total = cost(rows);
    let mut ranges = Vec::with_capacity(parts);
    let mut start = 0;
    for part in 1..=parts {
        let target = total * part / parts;
        let (mut low, mut high) = (start, rows);
        while low < high {
            let middle = usize::midpoint(low, high);
            if cost(middle) < target { low = middle + 1 } else { high = middle }
        }
        let end = if part == parts { rows } else { low };
        ranges.push(start..end);
        start = end;
    }
    ranges
}

/// Divides the strips of an output among as many threads as there are strips for, and says among how many
/// its rows are to be divided besides: threads that share strips pack them each for themselves, into their
/// own caches.
pub(crate) fn grid(strips: usize, threads: usize) -> (Vec<Range<usize>>, usize) {
    let divides = |across: &usize| threads.is_multiple_of(*across) && *across <= strips.max(1);
    let across = (1..=threads).rev().find(divides).unwrap_or(1);
    (even(strips, across, 1), threads / across)
}

/// A buffer of seeded standard normal numbers, each part written first by the thread that is
/// going to use it.
pub(crate) fn normal_buffer<T: Element>(
    len: usize,
    what: &'static str,
    generator: SplitMix64,
    team: &dyn Team,
) -> Result<Buffer<T>, KernelError> {
    let mut buffer = Buffer::zeroed(len, what)?;
    fill(&mut buffer, team, &|first, part| generator.fill_normal(first, part));
    Ok(buffer)
}

/// A buffer for an output, filled with NaN by the threads that are going to write it.
pub(crate) fn output_buffer<T: Element>(
    len: usize,
    what: &'static str,
    team: &dyn Team,
) -> Result<Buffer<T>, KernelError> {
    let mut buffer = Buffer::zeroed(len, what)?;
    fill(&mut buffer, team, &|_, part| part.fill(T::NAN));
    Ok(buffer)
}

/// Calls `write(first, part)` for one part of `array` on each thread.
pub(crate) fn fill<T: Plain>(array: &mut [T], team: &dyn Team, write: &(dyn Fn(usize, &mut [T]) + Sync)) {
    let ranges = even(array.len(), team.threads(), 1024);
    let parts = Parts::of(array);
    team.run(&|thread| {
        let range = ranges[thread].clone();
        // SAFETY: `even` gives disjoint ranges and each thread takes its own.
        write(range.start, unsafe { parts.range(range) });
    });
}

/// Fills an array with copies of `block`, which must not be empty: generating gigabytes of random
/// numbers would take longer than measuring them, and memory does not notice.
pub(crate) fn fill_repeating<T: Plain>(array: &mut [T], block: &[T], team: &dyn Team) {
    fill(array, team, &|first, part| {
        let mut from = first % block.len();
        let mut rest = part;
        while !rest.is_empty() {
            let count = rest.len().min(block.len() - from);
            let (head, tail) = rest.split_at_mut(count);
            head.copy_from_slice(&block[from..from + count]);
            (rest, from) = (tail, 0);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covers(ranges: &[Range<usize>], n: usize) {
        assert_eq!(ranges.first().map(|r| r.start), Some(0));
        assert_eq!(ranges.last().map(|r| r.end), Some(n));
        assert!(ranges.windows(2).all(|w| w[0].end == w[1].start));
    }

    #[test]
    fn even_ranges_cover_everything_once() {
        for (n, parts, granule) in [(0, 3, 8), (1, 4, 1), (100, 3, 16), (17, 2, 64), (1024, 7, 32)] {
            let ranges = even(n, parts, granule);
            assert_eq!(ranges.len(), parts);
            covers(&ranges, n);
            let lengths = ranges.iter().map(ExactSizeIterator::len);
            assert!(lengths.clone().max().unwrap() - lengths.min().unwrap() < 2 * granule);
        }
    }

    #[test]
    fn strips_go_to_as_many_threads_as_divide_evenly() {
        assert_eq!(grid(8, 2), (vec![0..4, 4..8], 1));
        assert_eq!(grid(3, 4), (vec![0..1, 1..3], 2));
        assert_eq!(grid(1, 6), (even(1, 1, 1), 6));
        assert_eq!(grid(5, 7), (even(5, 1, 1), 7));
    }

    #[test]
    fn a_block_repeats_across_the_parts_of_all_threads() {
        for (len, block) in [(5000, 7), (3, 10), (4096, 1024), (2500, 2000)] {
            let block: Vec<u32> = (0..block).collect();
            let mut array = vec![u32::MAX; len];
            fill_repeating(&mut array, &block, &crate::kernels::verify::Threads(3));
            assert!(array.iter().zip(block.iter().cycle()).all(|(x, y)| x == y));
        }
    }

    #[test]
    fn balanced_ranges_share_the_elements_not_the_rows() {
        // 10 rows: the first holds 90 elements, the others 10 each.
        let row_ptr: Vec<u32> = std::iter::once(0).chain((0..10).map(|r| 90 + 10 * r)).collect();
        let ranges = balanced(&row_ptr, 2);
        covers(&ranges, 10);
        assert_eq!(ranges[0], 0..2);
        covers(&balanced(&[0, 0, 0, 0], 3), 3);
        covers(&balanced(&[0], 2), 0);
    }
}
