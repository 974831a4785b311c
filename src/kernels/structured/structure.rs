//! 2:4 sparse matrices: two elements of every four neighbours in a row are stored.

use crate::kernels::element::Element;
use crate::kernels::random::SplitMix64;
use crate::kernels::split::{fill, normal_buffer};
use crate::kernels::{Buffer, KernelError, Team};

/// Columns that share two stored elements.
pub(super) const GROUP: usize = 4;
/// Columns that one byte of metadata describes.
pub(super) const PER_BYTE: usize = 8;

/// Places of the two stored elements of a group, ascending: every choice of two out of four.
const PAIRS: [[u8; 2]; 6] = [[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]];

/// A 2:4 matrix whose structure was checked. Row-major; a row has `columns / 2` values and `columns / 8`
/// bytes of metadata, two bits a value, low bits first.
pub(super) struct TwoOfFour<T: Element> {
    rows: usize,
    columns: usize,
    values: Buffer<T>,
    metadata: Buffer<u8>,
}

impl<T: Element> TwoOfFour<T> {
    /// Checks the structure and takes the matrix.
    ///
    /// # Errors
    /// [`KernelError::Structure`] naming the first fault.
    pub(super) fn new(
        (rows, columns): (usize, usize),
        values: Buffer<T>,
        metadata: Buffer<u8>,
    ) -> Result<Self, KernelError> {
        let fault = |text: String| Err(KernelError::Structure(text));
        if !columns.is_multiple_of(PER_BYTE) {
            return fault(format!("{columns} columns are no multiple of {PER_BYTE}"));
        }
        let cells = rows * columns;
        if values.len() != cells / 2 || metadata.len() != cells / PER_BYTE {
            let (values, metadata) = (values.len(), metadata.len());
            return fault(format!("{values} values and {metadata} bytes of metadata for {rows}×{columns}"));
        }
        let ascends = |byte: u8| byte & 3 < byte >> 2 & 3 && byte >> 4 & 3 < byte >> 6;
        if let Some(at) = metadata.iter().position(|byte| !ascends(*byte)) {
            let (row, column) = (at * PER_BYTE / columns, at * PER_BYTE % columns);
            return fault(format!("places in row {row} from column {column} on do not ascend"));
        }
        Ok(Self { rows, columns, values, metadata })
    }

    /// A random matrix: places uniform, values standard normal.
    ///
    /// # Errors
    /// [`KernelError::OutOfMemory`].
    pub(super) fn random((rows, columns): (usize, usize), seed: u64, team: &dyn Team) -> Result<Self, KernelError> {
        let values = normal_buffer(rows * columns / 2, "values", SplitMix64::new(seed, 1), team)?;
        let mut metadata = Buffer::zeroed(rows * columns / PER_BYTE, "metadata")?;
        let generator = SplitMix64::new(seed, 3);
        fill(&mut metadata, team, &|first, part| {
            for (index, byte) in (first as u64..).zip(part) {
                let pair = |draw: u64| PAIRS[usize::try_from(generator.below(draw, 6)).unwrap_or(0)];
                *byte = encode(pair(2 * index), pair(2 * index + 1));
            }
        });
        Self::new((rows, columns), values, metadata)
    }

    /// The matrix `dense` (row-major), which has at most two elements that are not zero in every group.
    ///
    /// # Errors
    /// [`KernelError::Structure`] when a group has more.
    pub(super) fn of_dense(dense: &[T], columns: usize) -> Result<Self, KernelError> {
        let mut values = Buffer::zeroed(dense.len() / 2, "values")?;
        let mut metadata = Buffer::zeroed(dense.len() / PER_BYTE, "metadata")?;
        for (byte, cells) in dense.chunks(PER_BYTE).enumerate() {
            let mut pairs = [[0; 2]; 2];
            for (group, cells) in cells.chunks(GROUP).enumerate() {
                let present = |place: u8| cells[usize::from(place)].to_f64() != 0.0;
                let fits = |pair: &&[u8; 2]| (0..4).all(|place| pair.contains(&place) || !present(place));
                let Some(pair) = PAIRS.iter().find(fits) else {
                    let at = byte * PER_BYTE + group * GROUP;
                    let (row, column) = (at / columns, at % columns);
                    return Err(KernelError::Structure(format!("more than two of four in row {row}, column {column}")));
                };
                pairs[group] = *pair;
                for (index, place) in pair.iter().enumerate() {
                    values[byte * 4 + group * 2 + index] = cells[usize::from(*place)];
                }
            }
            metadata[byte] = encode(pairs[0], pairs[1]);
        }
        Self::new((dense.len() / columns, columns), values, metadata)
    }

    /// Number of rows.
    pub(super) const fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    pub(super) const fn columns(&self) -> usize {
        self.columns
    }

    /// The values.
    pub(super) fn values(&self) -> &[T] {
        &self.values
    }

    /// The values, to be rounded to a shorter type: their places stay.
    pub(super) fn values_mut(&mut self) -> &mut [T] {
        &mut self.values
    }

    /// The metadata.
    pub(super) fn metadata(&self) -> &[u8] {
        &self.metadata
    }

    /// The stored elements of a row as (column, value).
    pub(super) fn row(&self, row: usize) -> impl Iterator<Item = (usize, T)> {
        let first = row * self.columns / 2;
        (0..self.columns / 2).map(move |index| {
            let at = first + index;
            let place = self.metadata[at / 4] >> (at % 4 * 2) & 3;
            (index / 2 * GROUP + usize::from(place), self.values[at])
        })
    }
}

/// One byte of metadata.
const fn encode(low: [u8; 2], high: [u8; 2]) -> u8 {
    low[0] | low[1] << 2 | high[0] << 4 | high[1] << 6
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::verify::Threads;

    #[test]
    fn a_dense_matrix_with_two_of_four_comes_back() {
        let dense: Vec<f32> = (0..32).map(|i| if i % 4 == 1 || i % 4 == 3 { i as f32 } else { 0.0 }).collect();
        let matrix = TwoOfFour::of_dense(&dense, 16).unwrap();
        for row in 0..2 {
            let mut back = vec![0.0; 16];
            matrix.row(row).for_each(|(column, value)| back[column] = value);
            assert_eq!(back, dense[row * 16..(row + 1) * 16]);
        }
    }

    #[test]
    fn three_of_four_and_broken_metadata_are_refused() {
        let mut dense = vec![0.0_f32; 16];
        dense[9..12].fill(1.0);
        let error = TwoOfFour::of_dense(&dense, 16).err().unwrap().to_string();
        assert!(error.contains("row 0, column 8"), "{error}");
        let values = || Buffer::<f32>::zeroed(8, "v").unwrap();
        let mut metadata = Buffer::<u8>::zeroed(2, "m").unwrap();
        metadata.fill(encode([0, 1], [2, 3]));
        assert!(TwoOfFour::new((1, 16), values(), metadata).is_ok());
        let mut metadata = Buffer::<u8>::zeroed(2, "m").unwrap();
        metadata.copy_from_slice(&[encode([0, 1], [2, 3]), encode([0, 1], [3, 3])]);
        let error = TwoOfFour::new((1, 16), values(), metadata).err().unwrap().to_string();
        assert!(error.contains("row 0 from column 8"), "{error}");
        assert!(TwoOfFour::new((1, 12), values(), Buffer::zeroed(2, "m").unwrap()).is_err());
    }

    #[test]
    fn every_pair_of_places_occurs_and_rows_ascend() {
        let matrix = TwoOfFour::<f32>::random((64, 64), 5, &Threads(2)).unwrap();
        let mut seen = std::collections::BTreeSet::new();
        for row in 0..64 {
            let columns: Vec<usize> = matrix.row(row).map(|(column, _)| column).collect();
            assert!(columns.windows(2).all(|pair| pair[0] < pair[1]));
            seen.extend(columns.chunks(2).map(|pair| (pair[0] % 4, pair[1] % 4)));
        }
        assert_eq!(seen.len(), 6);
    }
}
