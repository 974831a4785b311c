//! Tensor maps as the emulator reads them (`TensorMap` in tests/data/cuda_emulator/hopper.hpp), with the rules of the driver.
//!
//! Source: CUDA Driver API, `cuTensorMapEncodeTiled`.

/// In front of a map.
const MAGIC: u64 = 0x7061_6d72_6f73_6e65;

/// A tensor of three dimensions, the innermost first, and the tile of it that one copy brings.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tensor {
    pub(crate) address: u64,
    /// Bytes of an element.
    pub(crate) element: u32,
    /// Elements.
    pub(crate) sizes: [u64; 3],
    /// Bytes from one row and from one matrix to the next.
    pub(crate) pitches: [u64; 2],
    /// Elements.
    pub(crate) tile: [u32; 3],
}

impl Tensor {
    /// The map with swizzled lines of 128 bytes; `None` where the driver takes no such tensor.
    pub(crate) fn encode(&self) -> Option<[u64; 16]> {
        let sizes = self.sizes.iter().all(|n| (1..=1 << 32).contains(n));
        let pitches = self.pitches.iter().all(|n| n.is_multiple_of(16) && (1..1 << 40).contains(n));
        let tiles = self.tile.iter().all(|n| (1..=256).contains(n));
        let line = self.tile[0] * self.element;
        if !self.address.is_multiple_of(16) || !sizes || !pitches || !tiles || line > 128 || !line.is_multiple_of(16) {
            return None;
        }
        let pair = |low: u32, high: u32| u64::from(high) << 32 | u64::from(low);
        let [x, y, z] = self.sizes;
        let mut words = [MAGIC, self.address, x, y, z, self.pitches[0], self.pitches[1], 0, 0, 0, 0, 0, 0, 0, 0, 0];
        words[7] = pair(self.tile[0], self.tile[1]);
        words[8] = pair(self.tile[2], self.element);
        // CU_TENSOR_MAP_SWIZZLE_128B
        words[9] = 3;
        Some(words)
    }
}
