//! Operands of a case as plain arrays, for whoever wants to compute it with another program.

use super::Dtype;
use super::KernelError;
use super::csr::{Columns, Csr};
use super::element::Element;

/// Elements of an array, row-major.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// Single precision.
    F32(Vec<f32>),
    /// Double precision.
    F64(Vec<f64>),
    /// Offsets and column numbers.
    U32(Vec<u32>),
}

impl Values {
    /// Number of elements.
    #[must_use]
    pub const fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::F64(values) => values.len(),
            Self::U32(values) => values.len(),
        }
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The elements in double precision, which holds all of them exactly.
    pub fn numbers(&self) -> Box<dyn Iterator<Item = f64> + '_> {
        match self {
            Self::F32(values) => Box::new(values.iter().map(|x| f64::from(*x))),
            Self::F64(values) => Box::new(values.iter().copied()),
            Self::U32(values) => Box::new(values.iter().map(|x| f64::from(*x))),
        }
    }
}

/// A named array.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    /// `A`, `B`, `row_ptr`: as the kernel's definition calls it.
    pub name: &'static str,
    /// Elements in each dimension, slowest first.
    pub shape: Vec<usize>,
    /// The elements, as many as the product of the shape.
    pub values: Values,
}

impl Array {
    /// An array of numbers; types other than single precision are widened to double, which is exact.
    pub(crate) fn of<T: Element>(name: &'static str, shape: &[usize], elements: &[T]) -> Self {
        let wide = || elements.iter().map(|x| x.to_f64());
        #[expect(clippy::cast_possible_truncation, reason = "the numbers were single precision before")]
        let values = if T::DTYPE == Dtype::F32 {
            Values::F32(wide().map(|x| x as f32).collect())
        } else {
            Values::F64(wide().collect())
        };
        Self { name, shape: shape.to_vec(), values }
    }

    /// An array of exact numbers, in single precision where `single` says that it holds them.
    pub(crate) fn of_numbers(
        name: &'static str,
        shape: &[usize],
        single: bool,
        numbers: impl Iterator<Item = f64>,
    ) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "the caller knows that single precision holds them")]
        let values =
            if single { Values::F32(numbers.map(|x| x as f32).collect()) } else { Values::F64(numbers.collect()) };
        Self { name, shape: shape.to_vec(), values }
    }

    /// An array of offsets or column numbers.
    pub(crate) fn of_indices(name: &'static str, values: Vec<u32>) -> Self {
        Self { name, shape: vec![values.len()], values: Values::U32(values) }
    }

    /// Writes the elements to `output`, each as `from` makes it of a number.
    ///
    /// # Errors
    /// [`KernelError::Structure`] when there are more or fewer.
    pub(crate) fn write_to<T>(&self, output: &mut [T], from: impl Fn(f64) -> T) -> Result<(), KernelError> {
        let (found, expected) = (self.values.len(), output.len());
        if found != expected {
            return Err(KernelError::Structure(format!("the answer has {found} elements, expected are {expected}")));
        }
        output.iter_mut().zip(self.values.numbers()).for_each(|(to, x)| *to = from(x));
        Ok(())
    }

    /// The array as a file in NumPy's format 1.0 (numpy.lib.format), little endian.
    #[must_use]
    pub fn npy(&self) -> Vec<u8> {
        let (kind, data): (_, Vec<u8>) = match &self.values {
            Values::F32(values) => ("<f4", values.iter().flat_map(|x| x.to_le_bytes()).collect()),
            Values::F64(values) => ("<f8", values.iter().flat_map(|x| x.to_le_bytes()).collect()),
            Values::U32(values) => ("<u4", values.iter().flat_map(|x| x.to_le_bytes()).collect()),
        };
        let shape: String = self.shape.iter().map(|n| format!("{n}, ")).collect();
        let mut header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({}), }}", shape.trim_end());
        // Magic, version and length take ten bytes; header and these together are a multiple of 64 and end
        // with a new line.
        let padded = (10 + header.len() + 1).next_multiple_of(64) - 10;
        header.extend(std::iter::repeat_n(' ', padded - 1 - header.len()));
        header.push('\n');
        let length = u16::try_from(header.len()).unwrap_or(u16::MAX).to_le_bytes();
        [b"\x93NUMPY\x01\x00", length.as_slice(), header.as_bytes(), &data].concat()
    }
}

/// The three arrays of a matrix in CSR.
pub(crate) fn of_csr<T: Element>(a: &Csr<T>) -> Vec<Array> {
    vec![row_offsets(a), columns(a), Array::of("values", &[a.nnz()], a.values())]
}

/// Where each row starts, and one more.
pub(crate) fn row_offsets<T: Element>(a: &Csr<T>) -> Array {
    Array::of_indices("row_ptr", a.row_ptr().to_vec())
}

/// The column of each stored element.
pub(crate) fn columns<T: Element>(a: &Csr<T>) -> Array {
    let columns = match a.columns() {
        Columns::U16(columns) => columns[..a.nnz()].iter().map(|c| u32::from(*c)).collect(),
        Columns::U32(columns) => columns[..a.nnz()].to_vec(),
    };
    Array::of_indices("columns", columns)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::verify::Threads;
    use crate::kernels::{BuildContext, Isa, ParamValue, REGISTRY};

    #[test]
    fn a_file_is_what_numpy_describes() {
        let file = Array { name: "x", shape: vec![2, 1], values: Values::F32(vec![1.5, -2.0]) }.npy();
        assert_eq!(&file[..8], b"\x93NUMPY\x01\x00");
        let length = usize::from(u16::from_le_bytes([file[8], file[9]]));
        assert_eq!((10 + length) % 64, 0);
        let header = std::str::from_utf8(&file[10..10 + length]).unwrap();
        assert_eq!(header.trim_end(), "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 1,), }");
        assert!(header.ends_with('\n'));
        assert_eq!(file[10 + length..], [0, 0, 0xc0, 0x3f, 0, 0, 0, 0xc0]);
    }

    #[test]
    fn operands_are_those_that_the_program_was_built_with() {
        let sizes = [("m", 48), ("k", 128), ("n", 20), ("seq", 32), ("dim", 16), ("block", 16), ("window", 5)];
        let layers = [("heads", 4), ("len", 40), ("tokens", 9), ("d", 12), ("f", 30)];
        let sizes = [&sizes[..], &layers].concat();
        let (mut seen, mut handed) = (0, 0);
        for kernel in REGISTRY {
            let info = kernel.info();
            for dtype in info.dtypes {
                let mut params = crate::kernels::Params { dtype: *dtype, values: Default::default() };
                for spec in info.params {
                    let given = sizes.iter().find(|(name, _)| *name == spec.name).map(|(_, n)| ParamValue::Integer(*n));
                    let value = given.or_else(|| spec.default.map(Into::into));
                    params.values.extend(value.map(|value| (spec.name.to_owned(), value)));
                }
                // Weights come in groups of 128.
                if info.id == "gemv-quantized" {
                    params.values.insert("k".to_owned(), ParamValue::Integer(256));
                }
                let (one, three) = (Threads(1), Threads(3));
                let context = BuildContext { seed: 7, isa: Isa::detect(), team: &one };
                let operands = kernel.operands(&params, &context).unwrap();
                assert_eq!(operands, kernel.operands(&params, &BuildContext { team: &three, ..context }).unwrap());
                assert!(operands.iter().all(|a| a.shape.iter().product::<usize>() == a.values.len()), "{}", info.id);
                let dense: Vec<_> = operands.iter().filter(|a| a.shape.len() == 2).collect();
                if operands.is_empty() {
                    continue;
                }
                handed += 1;
                let mut program = kernel.build(&params, &context).unwrap();
                program.run(&one);
                let output = program.output().expect("who hands out operands hands out an answer");
                let [a, b] = dense[..] else { continue };
                if [a.name, b.name] != ["A", "B"] {
                    continue;
                }
                // Dense kernels can be computed again right here.
                let exact = product(a, b);
                let Values::F32(found) = &output.values else { continue };
                assert_eq!(output.shape, [a.shape[0], b.shape[1]]);
                assert!(found.iter().zip(&exact).all(|(c, e)| (f64::from(*c) - e).abs() < 1e-3), "{}", info.id);
                seen += 1;
            }
        }
        assert!(seen >= 2, "only {seen} kernels were computed again");
        assert!(handed >= 17, "only {handed} kernels and types hand out operands");
    }

    /// a·b in double precision.
    fn product(a: &Array, b: &Array) -> Vec<f64> {
        let (Values::F32(left), Values::F32(right)) = (&a.values, &b.values) else { return Vec::new() };
        let (k, n) = (a.shape[1], b.shape[1]);
        let term =
            |row: usize, column: usize, q: usize| f64::from(left[row * k + q]) * f64::from(right[q * n + column]);
        (0..a.shape[0] * n).map(|i| (0..k).map(|q| term(i / n, i % n, q)).sum()).collect()
    }
}
