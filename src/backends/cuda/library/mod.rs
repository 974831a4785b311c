//! Programs of the vendor's libraries, beside the kernels' own: dense products by cuBLASLt, sparse ones by cuSPARSE, 2:4 ones
//! by cuSPARSELt.
//!
//! What a library chooses (its algorithm), what it keeps (a workspace, compressed weights) and layouts that it demands are
//! made ready outside of the window, and stand among the facts of the case. Its answer is judged by the kernel's definition,
//! as every other.

mod bind;
mod cublaslt;
mod cusparse;
mod cusparselt;

use super::device::Gpu;
use super::driver::CudaError;
use super::memory::{DeviceMemory, Stage};
use super::program::{ProgramError, Ready};
use crate::kernels::{Array, Dtype, Format, KernelError, Library, Params, Values, operand};
use std::rc::Rc;

/// A library's product, ready on a device.
trait Product {
    /// Queues one iteration.
    fn enqueue(&self) -> Result<(), CudaError>;
}

/// What is worth knowing of a product.
type Facts = Vec<(&'static str, String)>;

/// What a library makes ready.
struct Prepared {
    product: Box<dyn Product>,
    /// All that must stay on the device.
    memory: Vec<DeviceMemory>,
    /// Where in `memory` the answer is.
    output: usize,
    held: Held,
    facts: Facts,
}

/// How an answer lies on the device: rows of `width` elements. The first rows, and of them the first elements, are the answer's.
struct Held {
    name: &'static str,
    format: Format,
    width: usize,
    /// Of the answer.
    shape: Vec<usize>,
}

/// The libraries of the machine.
pub(super) struct Libraries {
    cublaslt: Result<cublaslt::CublasLt, String>,
    cusparse: Result<cusparse::CuSparse, String>,
    cusparselt: Result<cusparselt::CuSparseLt, String>,
}

impl Libraries {
    /// Looks for them. `driver` is the major number of the CUDA that the driver speaks.
    pub(super) fn find(driver: u32) -> Self {
        Self {
            cublaslt: cublaslt::CublasLt::find(driver),
            cusparse: cusparse::CuSparse::find(),
            cusparselt: cusparselt::CuSparseLt::find(),
        }
    }

    /// What they compute on a device of this compute capability.
    pub(super) fn offered(&self, capability: (u32, u32)) -> Vec<Library> {
        let missing = self.cublaslt.as_ref().err();
        let dense = cublaslt::TYPES.iter().map(|kind| Library {
            kernel: "gemm",
            dtype: kind.dtype,
            path: "cublaslt",
            missing: missing.cloned().or_else(|| too_old(kind.dtype, kind.capability, capability)),
        });
        let missing = self.cusparse.as_ref().err();
        let sparse =
            cusparse::KERNELS.iter().flat_map(|(kernel, types)| types.iter().map(move |dtype| (*kernel, *dtype)));
        let sparse =
            sparse.map(|(kernel, dtype)| Library { kernel, dtype, path: "cusparse", missing: missing.cloned() });
        let missing = self.cusparselt.as_ref().err();
        let structured = cusparselt::TYPES.iter().map(|kind| Library {
            kernel: "spmm-2-4",
            dtype: kind.dtype,
            path: "cusparselt",
            missing: missing.cloned().or_else(|| too_old(kind.dtype, (8, 0), capability)),
        });
        dense.chain(sparse).chain(structured).collect()
    }

    /// Their versions, or why they are of no use, for descriptions of the device.
    pub(super) fn facts(&self) -> Vec<(String, String)> {
        let words = |found: Result<String, &String>| found.unwrap_or_else(Clone::clone);
        let found = [
            ("cublaslt", words(self.cublaslt.as_ref().map(cublaslt::CublasLt::version))),
            ("cusparse", words(self.cusparse.as_ref().map(cusparse::CuSparse::version))),
            ("cusparselt", words(self.cusparselt.as_ref().map(cusparselt::CuSparseLt::version))),
        ];
        found.map(|(name, value)| (name.to_owned(), value)).into()
    }

    /// Makes a case ready.
    pub(super) fn prepare(
        &self,
        (gpu, stage): (&Rc<Gpu>, &mut Stage),
        library: &Library,
        params: &Params,
        operands: &[Array],
    ) -> Result<Served, ProgramError> {
        gpu.enter()?;
        let unfit = |why: &String| ProgramError::Library(why.clone());
        let prepared = match library.path {
            "cublaslt" => self.cublaslt.as_ref().map_err(unfit)?.prepare((gpu, stage), params, operands)?,
            "cusparse" => {
                self.cusparse.as_ref().map_err(unfit)?.prepare((gpu, stage), library.kernel, params, operands)?
            }
            "cusparselt" => self.cusparselt.as_ref().map_err(unfit)?.prepare((gpu, stage), params, operands)?,
            other => return Err(ProgramError::Library(format!("no library is called `{other}`"))),
        };
        gpu.wait()?;
        Ok(Served { gpu: Rc::clone(gpu), prepared, path: library.path })
    }
}

fn too_old(dtype: Dtype, needed: (u32, u32), has: (u32, u32)) -> Option<String> {
    let ((major, minor), (least, part)) = (has, needed);
    (has < needed).then(|| format!("{dtype} needs compute capability {least}.{part}, the device has {major}.{minor}"))
}

/// A case that a library computes, ready to run.
pub(super) struct Served {
    gpu: Rc<Gpu>,
    prepared: Prepared,
    path: &'static str,
}

impl Served {
    /// What is worth knowing of it.
    pub(super) fn facts(&self) -> Vec<(String, String)> {
        self.prepared.facts.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
    }

    fn poison(&self) -> Result<(), CudaError> {
        self.gpu.enter()?;
        self.prepared.memory[self.prepared.output].poison(self.prepared.held.format)?;
        self.gpu.wait()
    }

    fn answer(&self, stage: &mut Stage) -> Result<Array, CudaError> {
        self.gpu.enter()?;
        let Held { name, format, width, shape } = &self.prepared.held;
        let values = format.decode(&stage.download(&self.prepared.memory[self.prepared.output])?);
        let (columns, all) = (shape.last().copied().unwrap_or(1), shape.iter().product());
        let values = match values {
            Values::F32(found) => Values::F32(cropped(found, *width, columns, all)),
            Values::F64(found) => Values::F64(cropped(found, *width, columns, all)),
            Values::U32(found) => Values::U32(cropped(found, *width, columns, all)),
        };
        Ok(Array { name, shape: shape.clone(), values })
    }
}

/// The first `columns` elements of every `width`, `all` of them together.
fn cropped<T: Copy>(mut found: Vec<T>, width: usize, columns: usize, all: usize) -> Vec<T> {
    if width == columns {
        found.truncate(all);
        return found;
    }
    found.chunks(width).flat_map(|row| &row[..columns.min(row.len())]).take(all).copied().collect()
}

/// A case ready on a device: by the kernel's own program, or by a library's.
pub(super) enum Either {
    /// The kernel's own.
    Own(Ready),
    /// A library's.
    Served(Served),
}

impl Either {
    /// How the record names it.
    pub(super) fn path(&self) -> String {
        match self {
            Self::Own(ready) => ready.program().path.clone(),
            Self::Served(served) => served.path.to_owned(),
        }
    }

    /// The algorithm that a library chose.
    pub(super) fn algorithm(&self) -> Option<&str> {
        match self {
            Self::Own(_) => None,
            Self::Served(served) => {
                served.prepared.facts.iter().find(|(name, _)| *name == "algorithm").map(|(_, words)| words.as_str())
            }
        }
    }

    /// Overwrites what an iteration writes.
    pub(super) fn poison(&self) -> Result<(), CudaError> {
        match self {
            Self::Own(ready) => ready.poison(),
            Self::Served(served) => served.poison(),
        }
    }

    /// Queues one iteration.
    pub(super) fn launch(&mut self) -> Result<(), CudaError> {
        match self {
            Self::Own(ready) => ready.launch(),
            Self::Served(served) => served.prepared.product.enqueue(),
        }
    }

    /// The answer, once the device is done.
    pub(super) fn answer(&self, stage: &mut Stage) -> Result<Array, CudaError> {
        match self {
            Self::Own(ready) => ready.answer(stage),
            Self::Served(served) => served.answer(stage),
        }
    }
}

/// A matrix of the case and the layout in which the device holds it.
struct Layout {
    name: &'static str,
    /// Rows and columns of the case, row-major.
    sides: [usize; 2],
    /// Rows and columns to fill up to with zeros, before it is transposed.
    padded: [usize; 2],
    transposed: bool,
    format: Format,
}

impl Layout {
    /// The matrix as the case has it.
    const fn plain(name: &'static str, sides: [usize; 2], format: Format) -> Self {
        Self { name, sides, padded: sides, transposed: false, format }
    }

    /// Takes memory and brings it there.
    fn bring(&self, (gpu, stage): (&Rc<Gpu>, &mut Stage), operands: &[Array]) -> Result<DeviceMemory, ProgramError> {
        let values = operand(operands, self.name, product(self.sides)?)?;
        let bytes = product(self.padded)?.saturating_mul(self.format.size());
        let memory = DeviceMemory::new(gpu, bytes)?;
        if self.padded == self.sides && !self.transposed {
            stage.upload(&self.format.encode(values), &memory)?;
        } else {
            let arranged = match values {
                Values::F32(all) => Values::F32(self.arranged(all)),
                Values::F64(all) => Values::F64(self.arranged(all)),
                Values::U32(all) => Values::U32(self.arranged(all)),
            };
            stage.upload(&self.format.encode(&arranged), &memory)?;
        }
        Ok(memory)
    }

    fn arranged<T: Copy + Default>(&self, values: &[T]) -> Vec<T> {
        let ([_, columns], [tall, wide]) = (self.sides, self.padded);
        let mut all = vec![T::default(); tall * wide];
        for (row, values) in values.chunks(columns).enumerate() {
            for (column, value) in values.iter().enumerate() {
                all[if self.transposed { column * tall + row } else { row * wide + column }] = *value;
            }
        }
        all
    }
}

/// Elements of a matrix.
fn product([rows, columns]: [usize; 2]) -> Result<usize, KernelError> {
    rows.checked_mul(columns).ok_or(KernelError::OutOfMemory { what: "a matrix on the device", bytes: u64::MAX })
}

/// A size as libraries count.
fn long(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matrices_are_filled_up_transposed_and_cropped() {
        let mut layout = Layout::plain("A", [2, 3], Format::F32);
        layout.padded = [3, 4];
        let values = [1, 2, 3, 4, 5, 6];
        assert_eq!(layout.arranged(&values), [1, 2, 3, 0, 4, 5, 6, 0, 0, 0, 0, 0]);
        layout.transposed = true;
        assert_eq!(layout.arranged(&values), [1, 4, 0, 2, 5, 0, 3, 6, 0, 0, 0, 0]);
        assert_eq!(cropped(vec![1, 2, 9, 3, 4, 9, 9, 9, 9], 3, 2, 4), [1, 2, 3, 4]);
        assert_eq!(cropped(vec![1, 2, 9], 1, 1, 2), [1, 2]);
    }

    #[test]
    fn types_that_a_device_lacks_are_named_with_both_numbers() {
        let words = too_old(Dtype::F8, (8, 9), (8, 0)).unwrap();
        assert_eq!(words, "f8 needs compute capability 8.9, the device has 8.0");
        assert_eq!(too_old(Dtype::F8, (8, 9), (9, 0)), None);
    }
}
