//! Programs for devices, as data: sources, buffers and launches. A kernel writes them down; a backend
//! compiles and runs them, and hands the answer back to the kernel's own check.

use super::{Array, Canary, Dtype, Format, Kernel, KernelError, ParamError, Params, ProgramChoice, Team, Values};
use crate::units::Bytes;

/// What a program for a device is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Api {
    /// CUDA C++, compiled at run time.
    Cuda,
    /// WebGPU shading language, for Vulkan, Metal and DirectX 12.
    Wgsl,
}

impl Api {
    /// Both.
    pub const ALL: &'static [Self] = &[Self::Cuda, Self::Wgsl];

    /// The family of devices, as suites write it before the number.
    #[must_use]
    pub const fn family(self) -> &'static str {
        match self {
            Self::Cuda => "cuda",
            Self::Wgsl => "wgpu",
        }
    }
}

/// The device that a program is for.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// What the program has to be written in.
    pub api: Api,
    /// What the device can do at most.
    pub limits: Limits,
    /// What libraries of the backend compute there, besides the kernels' own programs.
    pub libraries: Vec<Library>,
}

impl Target {
    /// The program of the backend's libraries for this kernel and type.
    #[must_use]
    pub fn library(&self, kernel: &str, dtype: Dtype) -> Option<&Library> {
        self.libraries.iter().find(|l| l.kernel == kernel && l.dtype == dtype && l.missing.is_none())
    }

    /// The program that computes a case here: the one it asks for, else the library's, else the kernel's own.
    ///
    /// # Errors
    /// [`NoProgram`], with the reason why a library is of no use where that is one.
    pub fn choose(&self, kernel: &dyn Kernel, params: &Params) -> Result<Chosen, NoProgram> {
        let id = kernel.info().id;
        let library = self.library(id, params.dtype);
        let missing = || {
            let known = self.libraries.iter().find(|l| l.kernel == id && l.dtype == params.dtype);
            known.and_then(|l| Some(format!("{}: {}", l.path, l.missing.as_ref()?)))
        };
        match (params.choice(), library) {
            (Some(ProgramChoice::Library) | None, Some(library)) => {
                kernel.work(params)?;
                Ok(Chosen::Library(library.clone()))
            }
            (Some(ProgramChoice::Library), None) => Err(NoProgram::Lacks(missing().unwrap_or_else(|| {
                "no library has a program for this kind of device, kernel and element type: write `program: own`"
                    .to_owned()
            }))),
            (Some(ProgramChoice::Own), _) => kernel.device_program(params, self).map(Chosen::Own),
            (None, None) => {
                kernel.device_program(params, self).map(Chosen::Own).map_err(|error| match (error, missing()) {
                    (NoProgram::Unwritten, Some(why)) => NoProgram::Lacks(format!(
                        "it has no program of its own for this device and element type, and {why}"
                    )),
                    (NoProgram::Lacks(own), Some(why)) => NoProgram::Lacks(format!("{own}, and {why}")),
                    (error, _) => error,
                })
            }
        }
    }
}

/// The program of a case on a device.
#[derive(Debug, Clone, PartialEq)]
pub enum Chosen {
    /// The kernel's own.
    Own(DeviceProgram),
    /// A library's.
    Library(Library),
}

/// A kernel that a library of the backend computes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Library {
    /// Kernel id.
    pub kernel: &'static str,
    /// Element type.
    pub dtype: Dtype,
    /// How the record names it: `cublaslt`.
    pub path: &'static str,
    /// Why it cannot be used here; `None` where it can.
    pub missing: Option<String>,
}

/// What a device can do at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Memory that the threads of one workgroup (block) share, in bytes.
    pub shared_bytes: u32,
    /// Threads of one workgroup (block).
    pub block_threads: u32,
    /// Workgroups (blocks) in each direction of a launch.
    pub grid: [u32; 3],
    /// Largest single buffer that a program can see, in bytes.
    pub buffer_bytes: u64,
    /// Buffers that a program can see at once.
    pub buffers: u32,
    /// Threads that run in step and exchange registers: smallest and largest number; `None` where a program
    /// cannot rely on it.
    pub subgroup: Option<(u32, u32)>,
    /// Whether 16-bit floating-point numbers can be stored and computed with.
    pub half: bool,
    /// Matrices that threads in step multiply together (WGSL).
    pub cooperative: Cooperative,
    /// Compute capability of a CUDA device, e.g. `(9, 0)`.
    pub capability: Option<(u32, u32)>,
    /// Multiprocessors of a CUDA device.
    pub multiprocessors: Option<u32>,
}

/// Square matrices that the threads of a subgroup hold and multiply together, with sums in single precision: the rows of
/// one (8 or 16) by the type of the operands, `None` where the adapter offers none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cooperative {
    /// Of operands in binary16.
    pub half: Option<u32>,
    /// Of operands in binary32.
    pub single: Option<u32>,
}

/// What a buffer holds before the first launch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Init {
    /// The operand of this name, see [`Kernel::operands`](super::Kernel::operands).
    Operand(&'static str),
    /// Zeros.
    Zeros,
    /// [`Format::poison`], anew before every timed window.
    Poison,
}

/// A buffer on the device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceBuffer {
    /// What it is, for messages.
    pub name: &'static str,
    /// Number of elements.
    pub len: usize,
    /// How they are stored.
    pub format: Format,
    /// What it holds at first.
    pub init: Init,
}

impl DeviceBuffer {
    /// A buffer that holds the operand of its name.
    #[must_use]
    pub const fn operand(name: &'static str, len: usize, format: Format) -> Self {
        Self { name, len, format, init: Init::Operand(name) }
    }

    /// A buffer that the program writes, poisoned before.
    #[must_use]
    pub const fn output(name: &'static str, len: usize, format: Format) -> Self {
        Self { name, len, format, init: Init::Poison }
    }

    /// Its size in bytes.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        (self.len as u64).saturating_mul(self.format.size() as u64)
    }
}

/// A tensor in a buffer, and the tile of it that one copy of the tensor memory accelerator brings to shared memory (CUDA,
/// from compute capability 9.0 on). Lines of a tile are swizzled in patterns of 128 bytes; zeros where the tensor ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TensorMap {
    /// Index of the program's buffer, which holds the tensor without gaps.
    pub buffer: usize,
    /// Elements in each direction, the innermost first.
    pub sizes: [u64; 3],
    /// Elements of a tile in each direction; 128 bytes in the innermost, at most 256 elements in the others.
    pub tile: [u32; 3],
}

/// An argument of a launch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Argument {
    /// A whole number.
    U32(u32),
    /// A number.
    F32(f32),
    /// A tensor map, which the backend makes once (CUDA).
    TensorMap(TensorMap),
}

/// One launch of one program.
#[derive(Debug, Clone, PartialEq)]
pub struct Launch {
    /// The text of the program.
    pub source: &'static str,
    /// The function in it.
    pub entry: &'static str,
    /// Workgroups (blocks) in each direction.
    pub grid: [u32; 3],
    /// Threads of a workgroup (block) in each direction. WGSL states them in the source.
    pub block: [u32; 3],
    /// Shared memory of a workgroup (block) in bytes: what the text declares (WGSL), or what is asked for at the launch beyond
    /// that (CUDA).
    pub shared: u32,
    /// Indices of the buffers that it sees, in the order of its bindings (WGSL: group 0, binding 0, 1, …; CUDA: its
    /// first parameters).
    pub buffers: Vec<usize>,
    /// Whole numbers known when it is compiled: `override`s of WGSL, macros of CUDA.
    pub constants: Vec<(&'static str, u32)>,
    /// Numbers given at the launch (WGSL: a uniform of 32-bit words after the last buffer; CUDA: its last
    /// parameters).
    pub arguments: Vec<Argument>,
}

/// A kernel's program for a device: one iteration is all its steps, in order.
#[derive(Debug, Clone, PartialEq)]
pub struct DeviceProgram {
    /// The code path, as it stands in the record: `wgsl/tiled-64x64`.
    pub path: String,
    /// Its buffers.
    pub buffers: Vec<DeviceBuffer>,
    /// Its launches.
    pub steps: Vec<Launch>,
    /// Index of the buffer that holds the answer.
    pub output: usize,
    /// Shape of the answer.
    pub shape: Vec<usize>,
}

impl DeviceProgram {
    /// Memory of all its buffers.
    #[must_use]
    pub fn bytes(&self) -> Bytes {
        let total = self.buffers.iter().fold(0_u64, |sum, b| sum.saturating_add(b.bytes()));
        Bytes::new(total as f64).unwrap_or_default()
    }

    /// What of the program the device cannot do, with numbers; `None` where it can run.
    #[must_use]
    pub fn beyond(&self, limits: &Limits) -> Option<String> {
        if let Some(big) = self.buffers.iter().find(|b| b.bytes() > limits.buffer_bytes) {
            let (name, bytes, most) = (big.name, big.bytes(), limits.buffer_bytes);
            return Some(format!(
                "its buffer {name} has {bytes} bytes, and a program on this device sees {most} at most"
            ));
        }
        self.steps.iter().find_map(|step| {
            let threads = step.block.iter().fold(1_u32, |n, b| n.saturating_mul(*b));
            if threads > limits.block_threads {
                return Some(format!("it needs {threads} threads in a group, the device has {}", limits.block_threads));
            }
            if step.shared > limits.shared_bytes {
                let (needed, most) = (step.shared, limits.shared_bytes);
                return Some(format!("it needs {needed} bytes of shared memory in a group, the device has {most}"));
            }
            if step.buffers.len() > limits.buffers as usize {
                return Some(format!(
                    "it needs {} buffers at once, the device has {}",
                    step.buffers.len(),
                    limits.buffers
                ));
            }
            let far = step.grid.iter().zip(&limits.grid).find(|(wanted, most)| wanted > most);
            far.map(|(wanted, most)| format!("it needs {wanted} groups in one direction, the device has {most}"))
        })
    }
}

/// Why a kernel has no program for a device.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum NoProgram {
    /// Nobody wrote one for this kind of device and this type.
    #[error("it has no program for this kind of device and element type")]
    Unwritten,
    /// There is one, and the device lacks what it needs.
    #[error("{0}")]
    Lacks(String),
    /// The parameters are no case.
    #[error(transparent)]
    Param(#[from] ParamError),
}

/// The thread that makes a canary's operands.
pub(crate) struct Alone;

impl Team for Alone {
    fn threads(&self) -> usize {
        1
    }

    fn run(&self, job: &(dyn Fn(usize) + Sync)) {
        job(0);
    }
}

/// The verdict on an answer of a canary.
pub type Judge = Box<dyn Fn(&Array) -> Canary + Send>;

/// A precision canary for a device: a small case with operands of its own, computed by the same program.
pub struct DeviceCanary {
    /// Parameters of the small case, of the same kernel and type.
    pub params: super::Params,
    /// Its operands, named as [`Kernel::operands`](super::Kernel::operands) names them.
    pub operands: Vec<Array>,
    /// Judges the answer.
    pub judge: Judge,
}

/// The operand of this name.
///
/// # Errors
/// [`KernelError::Structure`] when it is not among `operands` or has not `len` elements.
pub fn operand<'a>(operands: &'a [Array], name: &str, len: usize) -> Result<&'a Values, KernelError> {
    let found = operands.iter().find(|a| a.name == name).map(|a| &a.values);
    let found = found.ok_or_else(|| KernelError::Structure(format!("the case hands out no operand `{name}`")))?;
    if found.len() == len {
        return Ok(found);
    }
    Err(KernelError::Structure(format!("operand `{name}` has {} elements, the program expects {len}", found.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(len: usize, grid: u32) -> DeviceProgram {
        let launch = Launch {
            source: "",
            entry: "main",
            grid: [1, grid, 1],
            block: [64, 1, 1],
            shared: 0,
            buffers: vec![0],
            constants: Vec::new(),
            arguments: Vec::new(),
        };
        let buffer = DeviceBuffer { name: "C", len, format: Format::F32, init: Init::Poison };
        DeviceProgram { path: String::new(), buffers: vec![buffer], steps: vec![launch], output: 0, shape: vec![len] }
    }

    #[test]
    fn what_a_device_cannot_do_is_said_with_numbers() {
        let limits = Limits {
            shared_bytes: 16 << 10,
            block_threads: 256,
            grid: [65_535; 3],
            buffer_bytes: 1 << 20,
            buffers: 8,
            subgroup: None,
            half: false,
            cooperative: Cooperative::default(),
            capability: None,
            multiprocessors: None,
        };
        assert_eq!(program(1 << 18, 65_535).beyond(&limits), None);
        assert!(program((1 << 18) + 1, 1).beyond(&limits).unwrap().contains("1048580 bytes"));
        assert!(program(1, 65_536).beyond(&limits).unwrap().contains("65536 groups"));
        assert!(program(1, 1).beyond(&Limits { block_threads: 32, ..limits }).unwrap().contains("64 threads"));
        assert!(program(1, 1).beyond(&Limits { buffers: 0, ..limits }).unwrap().contains("1 buffers"));
    }

    #[test]
    fn operands_are_found_by_name_and_length() {
        let arrays = [Array { name: "A", shape: vec![2], values: Values::F32(vec![1.0, 2.0]) }];
        assert_eq!(operand(&arrays, "A", 2).unwrap().len(), 2);
        assert!(operand(&arrays, "A", 3).unwrap_err().to_string().contains("2 elements, the program expects 3"));
        assert!(operand(&arrays, "B", 2).unwrap_err().to_string().contains("no operand `B`"));
    }
}
