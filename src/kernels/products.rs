//! Sizes of the tiles in `products.cu`, for programs that walk along a sum in slices.

use super::cuda::{WARP, tile_bytes};

/// Rows and columns that a thread computes on FMA units: `SIDE_OF_THREAD`.
const SIDE_OF_THREAD: u32 = 8;

/// What computes a tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Tensor cores, operands of 16 bits.
    Tensor,
    /// FMA units, numbers of this many bytes.
    Fma(u32),
}

/// How the left operand's slice lies in shared memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Left {
    /// Row by row.
    Rows,
    /// Column by column.
    Columns,
}

/// The tile of results of a block of threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tile {
    unit: Unit,
    left: Left,
    /// Rows of results.
    pub(crate) rows: u32,
    /// Columns of results.
    pub(crate) columns: u32,
}

impl Tile {
    /// A tile of 16, 32, 64 or 128 rows, for a matrix of results with `width` columns. Fewer rows take more columns, as long as
    /// there are so many, so that a thread has as much to do with what it reads.
    pub(crate) const fn new(unit: Unit, left: Left, rows: u32, width: usize) -> Self {
        Self { unit, left, rows, columns: if rows == 128 || width <= 128 { 128 } else { 256 } }
    }

    /// Products of a slice: 64 bytes of each row.
    const fn depth(self) -> u32 {
        match self.unit {
            Unit::Tensor => 32,
            Unit::Fma(_) => 16,
        }
    }

    /// Slices in shared memory: as many as 99 KB hold, which a block has on every architecture from 8.0 on.
    const fn stages(self) -> u32 {
        match self.unit {
            Unit::Tensor => 4,
            Unit::Fma(4) => 3,
            Unit::Fma(_) => 2,
        }
    }

    const fn warp(self) -> [u32; 2] {
        [if self.rows < 64 { self.rows } else { 64 }, 64]
    }

    /// Threads of a block.
    pub(crate) const fn threads(self) -> u32 {
        match self.unit {
            Unit::Tensor => {
                let [rows, columns] = self.warp();
                self.rows / rows * (self.columns / columns) * WARP
            }
            Unit::Fma(_) => self.rows * self.columns / (SIDE_OF_THREAD * SIDE_OF_THREAD),
        }
    }

    /// Bytes of shared memory.
    pub(crate) const fn shared(self) -> u32 {
        let Self { unit, left, rows, columns } = self;
        let depth = self.depth();
        let slice = match (unit, left) {
            (Unit::Tensor, Left::Rows) => tile_bytes(rows, depth) + tile_bytes(depth, columns),
            (Unit::Tensor, Left::Columns) => tile_bytes(depth, rows) + tile_bytes(depth, columns),
            (Unit::Fma(size), Left::Rows) => rows * (size * depth + 16) + size * depth * columns,
            (Unit::Fma(size), Left::Columns) => size * depth * (rows + columns),
        };
        self.stages() * slice
    }

    /// Its macros.
    pub(crate) fn constants(self) -> Vec<(&'static str, u32)> {
        let [warp_rows, warp_columns] = self.warp();
        vec![
            ("TENSOR", u32::from(self.unit == Unit::Tensor)),
            ("ROWS", self.rows),
            ("COLUMNS", self.columns),
            ("WARP_ROWS", warp_rows),
            ("WARP_COLUMNS", warp_columns),
            ("DEPTH", self.depth()),
            ("STAGES", self.stages()),
        ]
    }

    /// How the record names it.
    pub(crate) fn name(self) -> String {
        let unit = if self.unit == Unit::Tensor { "mma" } else { "fma" };
        format!("cuda/{unit}-{}x{}", self.rows, self.columns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tile_has_whole_warps_and_fits_any_architecture() {
        for unit in [Unit::Tensor, Unit::Fma(4), Unit::Fma(8)] {
            for (left, rows) in [Left::Rows, Left::Columns].into_iter().flat_map(|l| [16, 32, 64, 128].map(|r| (l, r)))
            {
                for width in [1, 128, 129, 100_000] {
                    let tile = Tile::new(unit, left, rows, width);
                    assert!(tile.threads().is_multiple_of(WARP) && (WARP..=256).contains(&tile.threads()), "{tile:?}");
                    assert!(tile.shared() <= 99 << 10, "{tile:?}: {}", tile.shared());
                }
            }
        }
    }
}
