//! Block sparse row matrices (BSR): CSR over square blocks, each stored whole.

use crate::kernels::csr::Csr;
use crate::kernels::element::Element;
use crate::kernels::random::SplitMix64;
use crate::kernels::split::normal_buffer;
use crate::kernels::{Buffer, KernelError, Team};

/// A matrix of `side`×`side` blocks. Its block structure is a checked [`Csr`]; blocks are stored
/// column by column (`CUSPARSE_DIRECTION_COLUMN`), so that the rows of a register tile are neighbours.
pub(super) struct Bsr<T: Element> {
    side: usize,
    blocks: Csr<T>,
    values: Buffer<T>,
}

impl<T: Element> Bsr<T> {
    /// Takes a structure and its values, `side`² for each of its elements.
    ///
    /// # Errors
    /// [`KernelError::Structure`] when the values do not fit the structure.
    pub(super) fn new(side: usize, blocks: Csr<T>, values: Buffer<T>) -> Result<Self, KernelError> {
        let expected = blocks.nnz().checked_mul(side * side);
        if side == 0 || expected != Some(values.len()) {
            let (blocks, values) = (blocks.nnz(), values.len());
            return Err(KernelError::Structure(format!("{blocks} blocks of side {side} with {values} values")));
        }
        Ok(Self { side, blocks, values })
    }

    /// A random matrix of `rows`×`columns` blocks, `stored` of them present, values standard normal.
    ///
    /// # Errors
    /// [`KernelError::OutOfMemory`].
    pub(super) fn random(
        side: usize,
        (rows, columns): (usize, usize),
        stored: usize,
        seed: u64,
        team: &dyn Team,
    ) -> Result<Self, KernelError> {
        let blocks = Csr::random(rows, columns, stored, seed, team)?;
        let values = normal_buffer(stored * side * side, "the blocks", SplitMix64::new(seed, 3), team)?;
        Self::new(side, blocks, values)
    }

    /// Every block of `dense` (row-major), whose sides are multiples of `side`.
    ///
    /// # Errors
    /// As for [`new`](Self::new).
    pub(super) fn full(dense: &[T], columns: usize, side: usize, team: &dyn Team) -> Result<Self, KernelError> {
        let (down, across) = (dense.len() / columns / side, columns / side);
        let blocks = Csr::full(&vec![T::from_f64(1.0); down * across], across, team)?;
        let mut values = Buffer::zeroed(dense.len(), "the blocks")?;
        for (index, value) in values.iter_mut().enumerate() {
            let (block, column, row) = (index / (side * side), index / side % side, index % side);
            *value = dense[(block / across * side + row) * columns + block % across * side + column];
        }
        Self::new(side, blocks, values)
    }

    /// Rows (and columns) of a block.
    pub(super) const fn side(&self) -> usize {
        self.side
    }

    /// Which blocks are stored.
    pub(super) const fn blocks(&self) -> &Csr<T> {
        &self.blocks
    }

    /// The values, block by block, each column by column.
    pub(super) fn values(&self) -> &[T] {
        &self.values
    }

    /// The same, to change them.
    pub(super) fn values_mut(&mut self) -> &mut [T] {
        &mut self.values
    }

    /// The stored elements of a row as (column, value).
    pub(super) fn row(&self, row: usize) -> impl Iterator<Item = (usize, T)> {
        let (side, block_row) = (self.side, row / self.side);
        let first = self.blocks.row_ptr()[block_row] as usize;
        let blocks = (first..).zip(self.blocks.row(block_row));
        blocks.flat_map(move |(block, (block_column, _))| {
            let column = move |c| (block_column * side + c, self.values[(block * side + c) * side + row % side]);
            (0..side).map(column)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::verify::Threads;

    #[test]
    fn a_full_matrix_reads_back_row_by_row() {
        let dense: Vec<f32> = (0..6 * 8).map(|i| i as f32).collect();
        let matrix = Bsr::full(&dense, 8, 2, &Threads(1)).unwrap();
        for row in 0..6 {
            let read: Vec<(usize, f32)> = matrix.row(row).collect();
            let expected: Vec<(usize, f32)> = (0..8).map(|c| (c, dense[row * 8 + c])).collect();
            assert_eq!(read, expected);
        }
    }

    #[test]
    fn values_that_do_not_fit_are_refused() {
        let blocks = Csr::<f32>::random(4, 4, 5, 1, &Threads(1)).unwrap();
        let error = Bsr::new(16, blocks, Buffer::zeroed(5 * 256 - 1, "v").unwrap()).err().unwrap();
        assert_eq!(error.to_string(), "invalid structure: 5 blocks of side 16 with 1279 values");
    }
}
