//! What programs for Hopper (compute capability 9.0) share, besides `hopper.cu` in front of their text: the tiles that copies of tensors bring.

use super::{Target, TensorMap};

/// Threads of a warpgroup.
pub(crate) const GROUP: u32 = 128;
/// Bytes of a line of a tile: `LINE_BYTES` of hopper.cu.
pub(crate) const LINE_BYTES: u32 = 128;
/// Elements of 16 bits of such a line: `LINE` of hopper.cu.
pub(crate) const LINE: u32 = LINE_BYTES / 2;

/// Whether the device has `wgmma`: Hopper alone, later generations have other instructions in its place.
pub(crate) fn is_hopper(target: &Target) -> bool {
    target.limits.capability == Some((9, 0))
}

/// Whether copies of tensors can read rows of `len` elements of `size` bytes: they begin at multiples of 16 bytes.
pub(crate) const fn rows_align(len: usize, size: usize) -> bool {
    len.is_multiple_of(16 / size)
}

/// Tiles of `lines` lines of `line` elements, 128 bytes, of a stack of matrices: the sizes are matrices, their rows, and elements
/// of a row.
pub(crate) const fn tensor_map(buffer: usize, [depth, rows, len]: [usize; 3], [lines, line]: [u32; 2]) -> TensorMap {
    TensorMap { buffer, sizes: [len as u64, rows as u64, depth as u64], tile: [line, lines, 1] }
}
