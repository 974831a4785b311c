//! Products with an operand B that was packed beforehand: weights, which stay while activations come and go.

#![expect(unsafe_code, reason = "calls the compiled nest")]

use super::nest::{Args, NestPath, blocks_of_b, strip_elements, tile_columns};
use crate::kernels::Isa;
use crate::kernels::element::Element;
use crate::kernels::split::Parts;
use std::ops::Range;

/// A piece of B: its columns, its depth, and where it begins.
struct Block {
    columns: Range<usize>,
    depth: Range<usize>,
    first: usize,
}

/// How a k×n operand of elements `T` lies packed, for any number of matrices of that size.
pub(in crate::kernels) struct Panels<T> {
    isa: Isa,
    /// Columns and rows of B.
    shape: [usize; 2],
    blocks: Vec<Block>,
    len: usize,
    element: std::marker::PhantomData<T>,
}

impl<T: NestPath + Element> Panels<T> {
    /// For operands of `n` columns and `k` rows (`[n, k]`) and an instruction set, which must be available.
    pub(in crate::kernels) fn new([n, k]: [usize; 2], isa: Isa) -> Self {
        let (mut len, width) = (0, tile_columns(isa, size_of::<T>()));
        let place = |[columns, depth]: [Range<usize>; 2]| {
            let first = len;
            len += columns.len().next_multiple_of(width) * depth.len();
            Block { columns, depth, first }
        };
        let blocks = blocks_of_b([n, k], isa, size_of::<T>()).into_iter().map(place).collect();
        Self { isa, shape: [n, k], blocks, len, element: std::marker::PhantomData }
    }

    /// Elements of a packed operand: n filled up to whole panels, times k.
    pub(in crate::kernels) const fn len(&self) -> usize {
        self.len
    }

    /// Elements that [`multiply`](Self::multiply) works in.
    pub(in crate::kernels) const fn strip(&self) -> usize {
        strip_elements(self.isa, size_of::<T>())
    }

    /// Packs an operand, k×n and row-major, on this thread.
    ///
    /// # Panics
    /// When a size does not fit.
    pub(in crate::kernels) fn pack(&self, b: &[T], to: &mut [T]) {
        let [n, k] = self.shape;
        assert!(b.len() == k * n && to.len() == self.len, "the operand does not fit");
        for Block { columns, depth, first } in &self.blocks {
            let args = Args {
                a: &[],
                b,
                c: &Parts::of(&mut []),
                pitches: [k, n, n],
                rows: 0..0,
                columns: columns.clone(),
                depth: depth.clone(),
                strip: std::ptr::null_mut(),
                block: to[*first..].as_mut_ptr(),
                fresh: true,
            };
            // SAFETY: the instruction set is available; B has these columns and rows, `to` has room for the block
            // behind `first`, and without rows neither A nor C nor the strip is touched.
            unsafe { T::pick(self.isa)(&args) };
        }
    }

    /// C = A·B on this thread, for `rows` rows of A and C, which are given with the elements from a row to the next.
    ///
    /// # Panics
    /// When a size does not fit.
    pub(in crate::kernels) fn multiply(
        &self,
        packed: &[T],
        rows: usize,
        a: (&[T], usize),
        c: (&mut [T], usize),
        strip: &mut [T],
    ) {
        let [n, k] = self.shape;
        if rows == 0 {
            return;
        }
        let operands = a.0.len() >= (rows - 1) * a.1 + k && c.0.len() >= (rows - 1) * c.1 + n && a.1 >= k && c.1 >= n;
        assert!(operands && packed.len() == self.len && strip.len() >= self.strip(), "operands do not fit");
        let of_c = Parts::of(c.0);
        for Block { columns, depth, first } in &self.blocks {
            let args = Args {
                a: a.0,
                b: &[],
                c: &of_c,
                pitches: [a.1, n, c.1],
                rows: 0..rows,
                columns: columns.clone(),
                depth: depth.clone(),
                strip: strip.as_mut_ptr(),
                block: packed[*first..].as_ptr().cast_mut(),
                fresh: false,
            };
            // SAFETY: the instruction set is available; rows, columns and depth lie inside the operands, the block
            // was packed for them and is not written, and the strip has the size that the nest asks for.
            unsafe { T::pick(self.isa)(&args) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_operands_give_the_product_for_any_number_of_rows() {
        for isa in Isa::available() {
            // More than one block in both directions; all heights of a last strip.
            let [n, k] = [1400, 200];
            let number = |i: usize| f64::from(u8::try_from(i % 7).unwrap()) - 3.0;
            let (a, b): (Vec<_>, Vec<_>) = ((0..12 * k).map(number).collect(), (0..n * k).map(number).collect());
            let panels = Panels::<f64>::new([n, k], isa);
            let (mut packed, mut strip) = (vec![f64::NAN; panels.len()], vec![f64::NAN; panels.strip()]);
            panels.pack(&b, &mut packed);
            for rows in [0, 1, 3, 4, 6, 7, 9, 12] {
                let mut c = vec![f64::NAN; rows * (n + 3)];
                panels.multiply(&packed, rows, (&a, k), (&mut c, n + 3), &mut strip);
                for (row, c) in c.chunks(n + 3).enumerate() {
                    let exact = |column: usize| (0..k).map(|q| a[row * k + q] * b[q * n + column]).sum::<f64>();
                    let wrong = (0..n).find(|column| (c[*column] - exact(*column)).abs().total_cmp(&0.0).is_ne());
                    assert_eq!(wrong, None, "{isa}: row {row} of {rows}");
                    assert!(c[n..].iter().all(|x| x.is_nan()), "{isa}: row {row} of {rows} is written beyond its end");
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "operands do not fit")]
    fn rows_beyond_the_operand_are_refused() {
        let panels = Panels::<f32>::new([8, 5], Isa::Portable);
        let (packed, mut strip) = (vec![0.0; panels.len()], vec![0.0; panels.strip()]);
        panels.multiply(&packed, 3, (&[0.0; 14], 5), (&mut [0.0; 24], 8), &mut strip);
    }
}
