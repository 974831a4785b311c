//! Memory for operands: fresh zero pages from the system, aligned, with huge pages where asked.
//!
//! Pages are not touched here: whoever writes first decides on which NUMA node they land. Huge
//! pages change memory-bound results by up to a factor of two, so what was advised is a fact of
//! the record.

#![expect(unsafe_code, reason = "maps memory and hands out slices of it")]

use super::KernelError;
use super::element::Plain;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

/// Size and alignment of a huge page on x86-64 and (with 4 KiB granules) on aarch64.
const HUGE: usize = 2 << 20;
/// Alignment of every buffer: a cache line, and the widest vector.
const ALIGNMENT: usize = 64;
/// In tests, small buffers end at so many bytes that nobody may touch: what reads or writes beyond a buffer, by
/// whatever instruction, ends the test. A multiple of every usual size of a page.
const FENCE: usize = 64 << 10;

/// What was done about huge pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HugePages {
    /// Smaller than two huge pages: ordinary pages.
    TooSmall,
    /// `madvise(MADV_HUGEPAGE)` succeeded; the kernel may use huge pages.
    Advised,
    /// The advice was refused.
    Refused,
}

impl HugePages {
    /// The word that stands in the record.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::TooSmall => "small",
            Self::Advised => "advised",
            Self::Refused => "refused",
        }
    }
}

/// An owned array of `T`, zero until written, aligned to at least 64 bytes (a cache line and the
/// widest vector); big ones to 2 MiB.
pub(crate) struct Buffer<T: Plain> {
    data: NonNull<T>,
    len: usize,
    mapping: NonNull<libc::c_void>,
    mapped: usize,
    pages: HugePages,
}

// SAFETY: the buffer owns its mapping alone, and `T` is `Send`.
unsafe impl<T: Plain> Send for Buffer<T> {}
// SAFETY: shared access gives only `&[T]`, and `T` is `Sync`.
unsafe impl<T: Plain> Sync for Buffer<T> {}

impl<T: Plain> Buffer<T> {
    /// Maps memory for `len` elements. `what` names it in the error.
    ///
    /// # Errors
    /// [`KernelError::OutOfMemory`] when the system refuses.
    pub(crate) fn zeroed(len: usize, what: &'static str) -> Result<Self, KernelError> {
        let refused = |bytes: u64| KernelError::OutOfMemory { what, bytes };
        let bytes = len.checked_mul(size_of::<T>()).filter(|b| *b < usize::MAX / 4).ok_or(refused(u64::MAX))?;
        let huge = bytes >= 2 * HUGE;
        let fence = if cfg!(all(test, not(any(miri, wattproof_heap)))) && !huge { FENCE } else { 0 };
        let mapped = if huge { bytes.next_multiple_of(HUGE) + HUGE } else { (bytes + fence).max(1) };
        // With a fence the mapping is whole fences, so that the last can be one of its own.
        let mapped = if fence > 0 { mapped.next_multiple_of(fence) } else { mapped };
        let mapping = source::map(mapped).ok_or(refused(u64::try_from(mapped).unwrap_or(u64::MAX)))?;
        let skip = match (huge, fence) {
            (true, _) => mapping.as_ptr().align_offset(HUGE),
            (false, 0) => 0,
            // As near to the fence as the alignment allows.
            (false, _) => mapped - fence - bytes.next_multiple_of(ALIGNMENT),
        };
        if fence > 0 {
            // SAFETY: the mapping is that of the line above, and whole fences long.
            unsafe { source::close(mapping, mapped, fence) };
        }
        // SAFETY: a huge mapping is one huge page longer than its data, and one with a fence has room for the data
        // before it, so the start and the data behind it lie inside.
        let data = unsafe { mapping.byte_add(skip) }.cast::<T>();
        let pages = if huge { advise_huge(data.cast(), bytes.next_multiple_of(HUGE)) } else { HugePages::TooSmall };
        Ok(Self { data, len, mapping, mapped, pages })
    }

    /// Takes the memory out and leaves a buffer of no elements, so that its owner can be borrowed
    /// beside it.
    pub(crate) fn take(&mut self) -> Self {
        let Self { mapping, pages, .. } = *self;
        std::mem::replace(self, Self { data: NonNull::dangling(), len: 0, mapping, mapped: 0, pages })
    }

    /// Whether huge pages were advised.
    pub(crate) const fn pages(&self) -> HugePages {
        self.pages
    }
}

/// Where the memory comes from: the system.
#[cfg(not(any(miri, wattproof_heap)))]
mod source {
    use std::ptr::NonNull;

    /// Fresh zero pages; `None` when the system refuses.
    pub(super) fn map(bytes: usize) -> Option<NonNull<libc::c_void>> {
        // SAFETY: an anonymous private mapping at an address of the system's choice touches no memory of ours.
        let mapping = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        NonNull::new(mapping).filter(|p| p.as_ptr() != libc::MAP_FAILED)
    }

    /// Gives a mapping back.
    ///
    /// # Safety
    /// [`map`] made it with so many bytes, and nobody uses it any more.
    pub(super) unsafe fn unmap(mapping: NonNull<libc::c_void>, bytes: usize) {
        // SAFETY: as promised.
        unsafe { libc::munmap(mapping.as_ptr(), bytes) };
    }

    /// Forbids any access to the last `fence` bytes of a mapping.
    ///
    /// # Safety
    /// [`map`] made it with `bytes`, and both are multiples of the size of a page.
    pub(super) unsafe fn close(mapping: NonNull<libc::c_void>, bytes: usize, fence: usize) {
        // SAFETY: the range lies inside a mapping of ours, which is not yet used.
        unsafe { libc::mprotect(mapping.as_ptr().byte_add(bytes - fence), fence, libc::PROT_NONE) };
    }
}

/// For tools that watch the heap byte by byte (Miri; with `--cfg wattproof_heap` AddressSanitizer and valgrind,
/// see ci/sanitize.sh): the allocator.
#[cfg(any(miri, wattproof_heap))]
mod source {
    use super::ALIGNMENT;
    use std::alloc::{Layout, alloc_zeroed, dealloc};
    use std::ptr::NonNull;

    pub(super) fn map(bytes: usize) -> Option<NonNull<libc::c_void>> {
        let layout = Layout::from_size_align(bytes, ALIGNMENT).ok()?;
        // SAFETY: the caller asks for at least one byte.
        NonNull::new(unsafe { alloc_zeroed(layout) }.cast())
    }

    pub(super) unsafe fn unmap(mapping: NonNull<libc::c_void>, bytes: usize) {
        let Ok(layout) = Layout::from_size_align(bytes, ALIGNMENT) else { return };
        // SAFETY: `map` allocated it with this layout.
        unsafe { dealloc(mapping.as_ptr().cast(), layout) };
    }

    pub(super) unsafe fn close(_mapping: NonNull<libc::c_void>, _bytes: usize, _fence: usize) {}
}

#[cfg(target_os = "linux")]
fn advise_huge(start: NonNull<libc::c_void>, bytes: usize) -> HugePages {
    // SAFETY: the range lies inside a mapping of ours; the advice does not change its contents.
    if unsafe { libc::madvise(start.as_ptr(), bytes, libc::MADV_HUGEPAGE) } == 0 {
        HugePages::Advised
    } else {
        HugePages::Refused
    }
}

#[cfg(not(target_os = "linux"))]
fn advise_huge(_start: NonNull<libc::c_void>, _bytes: usize) -> HugePages {
    HugePages::Refused
}

impl<T: Plain> Drop for Buffer<T> {
    fn drop(&mut self) {
        if self.mapped > 0 {
            // SAFETY: the mapping was made in `zeroed` and nobody else holds it.
            unsafe { source::unmap(self.mapping, self.mapped) };
        }
    }
}

impl<T: Plain> Deref for Buffer<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        // SAFETY: `len` elements are mapped, aligned, and valid as zero pages (`Plain`).
        unsafe { std::slice::from_raw_parts(self.data.as_ptr(), self.len) }
    }
}

impl<T: Plain> DerefMut for Buffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as for `deref`, and `&mut self` makes the access exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.data.as_ptr(), self.len) }
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "exact numbers are compared exactly")]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_zero_aligned_and_writable() {
        for len in [0, 1, 1000, (5 << 20) / 4 + 3] {
            let mut buffer = Buffer::<f32>::zeroed(len, "a test").unwrap();
            assert_eq!(buffer.len(), len);
            assert!(buffer.iter().all(|x| *x == 0.0));
            assert_eq!(buffer.as_ptr().align_offset(64), 0);
            if let Some(last) = buffer.last_mut() {
                *last = 2.0;
                assert_eq!(buffer[len - 1], 2.0);
            }
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri knows no huge pages")]
    fn big_buffers_ask_for_huge_pages_and_small_ones_do_not() {
        let big = Buffer::<f64>::zeroed(HUGE, "a test").unwrap();
        assert_eq!(big.as_ptr().align_offset(HUGE), 0);
        assert_ne!(big.pages(), HugePages::TooSmall);
        assert_eq!(Buffer::<u16>::zeroed(64, "a test").unwrap().pages(), HugePages::TooSmall);
    }

    #[test]
    #[cfg(not(any(miri, wattproof_heap)))]
    fn a_small_buffer_ends_at_its_fence() {
        for len in [1, 16, 1000, 16 << 10] {
            let buffer = Buffer::<f32>::zeroed(len, "a test").unwrap();
            let end = buffer.as_ptr_range().end.addr();
            let slack = end.next_multiple_of(ALIGNMENT) - end;
            assert!((end + slack).is_multiple_of(4096) && slack < ALIGNMENT, "{len}: {slack} bytes to the fence");
            let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
            let closed = format!("{:x}-", end + slack);
            let line = maps.lines().find(|line| line.starts_with(&closed));
            assert!(maps.is_empty() || line.is_some_and(|line| line.contains(" ---p ")), "{len}: {line:?}");
        }
    }

    #[test]
    fn an_impossible_size_is_a_typed_error_that_names_the_memory() {
        for len in [usize::MAX, usize::MAX / 16] {
            let error = Buffer::<f64>::zeroed(len, "the left operand").err().unwrap();
            assert!(matches!(error, KernelError::OutOfMemory { .. }));
            assert!(error.to_string().contains("the left operand"), "{error}");
        }
    }
}
