//! Sparse matrices in compressed sparse row form (CSR), and their seeded generation.

use super::element::Element;
use super::params::product;
use super::random::SplitMix64;
use super::split::{Parts, balanced, fill, normal_buffer};
use super::{Buffer, KernelError, ParamError, Team};

/// Index elements past the last one, so that a vector of indices may be read at any element.
const PADDING: usize = 16;

/// Column indices: 16 bits where every column fits, which saves a quarter of the traffic.
pub(crate) enum Columns {
    /// For at most 65,536 columns.
    U16(Buffer<u16>),
    /// For more.
    U32(Buffer<u32>),
}

impl Columns {
    /// Bytes of one index for a matrix of `columns` columns.
    pub(crate) const fn width(columns: u64) -> u64 {
        if columns <= 1 << 16 { 2 } else { 4 }
    }
}

/// A sparse matrix whose structure was checked: row pointers ascend, columns ascend strictly
/// within a row and lie inside the matrix. Kernels rely on it for their memory safety.
pub(crate) struct Csr<T: Element> {
    columns_len: usize,
    row_ptr: Vec<u32>,
    columns: Columns,
    values: Buffer<T>,
}

impl<T: Element> Csr<T> {
    /// Checks the structure and takes the matrix; `values` are written by `write(first, part)` on
    /// the team's threads.
    ///
    /// # Errors
    /// [`KernelError::Structure`] naming the first fault, or [`KernelError::OutOfMemory`].
    pub(crate) fn new(
        columns_len: usize,
        row_ptr: Vec<u32>,
        columns: &[u32],
        values: Buffer<T>,
        team: &dyn Team,
    ) -> Result<Self, KernelError> {
        validate(columns_len, &row_ptr, columns, values.len())?;
        let nnz = columns.len();
        let columns = if Columns::width(columns_len as u64) == 2 {
            let mut narrow = Buffer::zeroed(nnz + PADDING, "column indices")?;
            #[expect(clippy::cast_possible_truncation, reason = "below 65,536, as checked above")]
            fill(&mut narrow[..nnz], team, &|first, part| {
                part.iter_mut().zip(&columns[first..]).for_each(|(to, from)| *to = *from as u16);
            });
            Columns::U16(narrow)
        } else {
            let mut wide = Buffer::zeroed(nnz + PADDING, "column indices")?;
            fill(&mut wide[..nnz], team, &|first, part| part.copy_from_slice(&columns[first..first + part.len()]));
            Columns::U32(wide)
        };
        Ok(Self { columns_len, row_ptr, columns, values })
    }

    /// A random matrix with exactly [`nonzeros`] elements: row lengths scatter like those of
    /// independent draws, columns are uniform, values standard normal.
    ///
    /// # Errors
    /// As for [`new`](Self::new).
    pub(crate) fn random(
        rows: usize,
        columns: usize,
        nnz: usize,
        seed: u64,
        team: &dyn Team,
    ) -> Result<Self, KernelError> {
        let row_ptr = random_row_ptr(rows, columns, nnz, seed);
        let mut indices = Buffer::zeroed(nnz, "column indices")?;
        let (ranges, parts) = (balanced(&row_ptr, team.threads()), Parts::of(&mut indices));
        team.run(&|thread| {
            for row in ranges[thread].clone() {
                let elements = row_ptr[row] as usize..row_ptr[row + 1] as usize;
                #[expect(unsafe_code, reason = "threads fill disjoint rows")]
                // SAFETY: each row belongs to one thread, and rows do not overlap.
                let part = unsafe { parts.range(elements) };
                draw_columns(part, columns, SplitMix64::new(seed, row as u64 + 16));
            }
        });
        let values = normal_buffer(nnz, "values", SplitMix64::new(seed, 1), team)?;
        Self::new(columns, row_ptr, &indices, values, team)
    }

    /// A matrix that stores every element of `dense` (row-major), for canaries.
    ///
    /// # Errors
    /// As for [`new`](Self::new).
    pub(crate) fn full(dense: &[T], columns: usize, team: &dyn Team) -> Result<Self, KernelError> {
        let rows = dense.len() / columns;
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let row_ptr = (0..=rows).map(|row| count(row * columns)).collect();
        let indices: Vec<u32> = (0..rows).flat_map(|_| 0..count(columns)).collect();
        let mut values = Buffer::zeroed(dense.len(), "values")?;
        values.copy_from_slice(dense);
        Self::new(columns, row_ptr, &indices, values, team)
    }

    /// Number of rows.
    pub(crate) const fn rows(&self) -> usize {
        self.row_ptr.len() - 1
    }

    /// Number of columns.
    pub(crate) const fn columns_len(&self) -> usize {
        self.columns_len
    }

    /// Stored elements.
    pub(crate) fn nnz(&self) -> usize {
        self.values.len()
    }

    /// Offsets of the rows; one more than there are rows.
    pub(crate) fn row_ptr(&self) -> &[u32] {
        &self.row_ptr
    }

    /// Column of each stored element, followed by at least 16 readable zeros.
    pub(crate) const fn columns(&self) -> &Columns {
        &self.columns
    }

    /// Values of the stored elements, row by row, to change: the structure stays.
    pub(crate) fn values_mut(&mut self) -> &mut [T] {
        &mut self.values
    }

    /// Value of each stored element.
    pub(crate) const fn values(&self) -> &Buffer<T> {
        &self.values
    }

    /// The stored elements of a row as (column, value).
    pub(crate) fn row(&self, row: usize) -> impl Iterator<Item = (usize, T)> {
        self.row_after(row, 0)
    }

    /// The stored elements of a row without the first `skipped`, which costs nothing.
    pub(crate) fn row_after(&self, row: usize, skipped: usize) -> impl Iterator<Item = (usize, T)> {
        let range = self.row_ptr[row] as usize + skipped..self.row_ptr[row + 1] as usize;
        range.map(|q| {
            let column = match &self.columns {
                Columns::U16(columns) => usize::from(columns[q]),
                Columns::U32(columns) => columns[q] as usize,
            };
            (column, self.values[q])
        })
    }
}

/// Stored elements of a random matrix: density times size, rounded, at least 1.
///
/// # Errors
/// [`ParamError::TooLarge`] at 2^32 or more.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the product is positive and below 2^63")]
pub(crate) fn nonzeros(rows: u64, columns: u64, density: f64) -> Result<u64, ParamError> {
    let cells = product("the matrix's elements", &[rows, columns])?;
    let nnz = ((cells as f64 * density).round() as u64).clamp(1, cells);
    if nnz >= u64::from(u32::MAX) {
        return Err(ParamError::TooLarge(format!("{nnz} non-zeros need more than 32-bit row offsets")));
    }
    Ok(nnz)
}

/// Bytes of a matrix in memory: values, indices, row offsets.
///
/// # Errors
/// [`ParamError::TooLarge`].
pub(crate) fn bytes(element: u64, rows: u64, columns: u64, nnz: u64) -> Result<u64, ParamError> {
    Ok(product("the matrix", &[element + Columns::width(columns), nnz])? + 4 * (rows + 1))
}

fn validate(columns_len: usize, row_ptr: &[u32], columns: &[u32], values: usize) -> Result<(), KernelError> {
    let fault = |text: String| Err(KernelError::Structure(text));
    let (Some(first), Some(last)) = (row_ptr.first(), row_ptr.last()) else {
        return fault("no row offsets".to_owned());
    };
    if *first != 0 || *last as usize != columns.len() || columns.len() != values {
        return fault(format!(
            "row offsets go from {first} to {last}, but there are {} columns and {values} values",
            columns.len()
        ));
    }
    for (row, bounds) in row_ptr.windows(2).enumerate() {
        let Some(indices) = columns.get(bounds[0] as usize..bounds[1] as usize) else {
            return fault(format!("row {row} goes from offset {} to {}", bounds[0], bounds[1]));
        };
        if indices.windows(2).any(|pair| pair[0] >= pair[1]) {
            return fault(format!("columns of row {row} do not ascend"));
        }
        if indices.last().is_some_and(|column| *column as usize >= columns_len) {
            return fault(format!("row {row} has a column beyond {columns_len}"));
        }
    }
    Ok(())
}

/// Row offsets with exactly `nnz` elements: normal approximation of the binomial row length, then
/// the difference is spread over the rows one by one.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0..=columns")]
fn random_row_ptr(rows: usize, columns: usize, nnz: usize, seed: u64) -> Vec<u32> {
    let generator = SplitMix64::new(seed, 0);
    let mean = nnz as f64 / rows as f64;
    let deviation = (mean * (1.0 - mean / columns as f64)).max(0.0).sqrt();
    let length = |row: usize| {
        let drawn = mean + deviation * generator.normal(row as u64);
        drawn.round().clamp(0.0, columns as f64) as usize
    };
    let mut lengths: Vec<usize> = (0..rows).map(length).collect();
    let mut total: usize = lengths.iter().sum();
    while total != nnz {
        for length in &mut lengths {
            if total < nnz && *length < columns {
                *length += 1;
                total += 1;
            } else if total > nnz && *length > 0 {
                *length -= 1;
                total -= 1;
            }
        }
    }
    let mut offset = 0;
    let ends = lengths.iter().map(|length| {
        offset += length;
        u32::try_from(offset).unwrap_or(u32::MAX)
    });
    std::iter::once(0).chain(ends).collect()
}

/// Fills `indices` with ascending distinct columns: sorted draws from a range shorter by their
/// number less one, each moved up by its rank.
fn draw_columns(indices: &mut [u32], columns: usize, generator: SplitMix64) {
    let choices = (columns + 1 - indices.len().max(1)) as u64;
    for (i, index) in (0..).zip(&mut *indices) {
        *index = u32::try_from(generator.below(i, choices)).unwrap_or(u32::MAX);
    }
    indices.sort_unstable();
    for (rank, index) in (0..).zip(indices) {
        *index += rank;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::verify::Threads;

    fn structure(columns: usize, row_ptr: &[u32], indices: &[u32]) -> Result<(), String> {
        validate(columns, row_ptr, indices, indices.len()).map_err(|e| e.to_string())
    }

    #[test]
    fn broken_structures_are_refused_by_name() {
        assert_eq!(structure(3, &[0, 2, 3], &[0, 2, 1]), Ok(()));
        for (row_ptr, indices, fault) in [
            (&[0, 2, 4][..], &[0, 2, 1][..], "row offsets go from 0 to 4"),
            (&[1, 3], &[0, 2, 1], "row offsets go from 1 to 3"),
            (&[0, 3, 2, 3], &[0, 1, 2], "row 1 goes from offset 3 to 2"),
            (&[0, 2, 3], &[2, 2, 1], "columns of row 0 do not ascend"),
            (&[0, 2, 3], &[0, 3, 1], "row 0 has a column beyond 3"),
            (&[], &[], "no row offsets"),
        ] {
            let error = structure(3, row_ptr, indices).unwrap_err();
            assert!(error.contains(fault), "{error} should say: {fault}");
        }
        // A huge offset in the middle must not wrap or read outside.
        assert!(structure(3, &[0, u32::MAX, 3], &[0, 1, 2]).is_err());
    }

    #[test]
    fn random_matrices_have_exactly_the_elements_asked_for() {
        for (rows, columns, nnz) in [(1, 1, 1), (100, 70, 700), (500, 3, 10), (7, 9, 63), (40, 70_000, 4000)] {
            let matrix = Csr::<f32>::random(rows, columns, nnz, 11, &Threads(2)).unwrap();
            assert_eq!((matrix.nnz(), matrix.rows(), matrix.columns_len()), (nnz, rows, columns));
            assert_eq!((0..rows).map(|row| matrix.row(row).count()).sum::<usize>(), nnz);
            assert_eq!(matches!(matrix.columns(), Columns::U16(_)), columns <= 65_536);
        }
    }

    #[test]
    fn row_lengths_scatter_and_columns_are_uniform() {
        let matrix = Csr::<f32>::random(2000, 1000, 20_000, 3, &Threads(1)).unwrap();
        let lengths: Vec<usize> = (0..2000).map(|row| matrix.row(row).count()).collect();
        assert!(lengths.iter().min() < Some(&5) && lengths.iter().max() > Some(&15));
        let mean = (0..2000).flat_map(|row| matrix.row(row)).map(|(column, _)| column as f64).sum::<f64>() / 20_000.0;
        assert!((mean - 499.5).abs() < 10.0, "mean column {mean}");
    }

    #[test]
    fn the_same_seed_gives_the_same_matrix_on_any_number_of_threads() {
        let one = Csr::<f64>::random(50, 60, 300, 5, &Threads(1)).unwrap();
        let three = Csr::<f64>::random(50, 60, 300, 5, &Threads(3)).unwrap();
        assert!((0..50).all(|row| one.row(row).eq(three.row(row))));
    }

    #[test]
    fn counts_of_nonzeros_are_exact_and_bounded() {
        assert_eq!(nonzeros(1024, 4096, 0.1), Ok(419_430));
        assert_eq!(nonzeros(10, 10, 1e-6), Ok(1));
        assert!(nonzeros(1 << 20, 1 << 20, 0.5).is_err());
        assert!(nonzeros(1 << 40, 1 << 40, 0.5).is_err());
    }
}
