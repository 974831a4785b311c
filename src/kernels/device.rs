//! Programs for devices, as data: sources, buffers and launches. A kernel writes them down; a backend
//! compiles and runs them, and hands the answer back to the kernel's own check.

use super::{Array, Canary, Dtype, Kernel, KernelError, ParamError, Params, ProgramChoice, Team, Values, eight};
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
    /// Compute capability of a CUDA device, e.g. `(9, 0)`.
    pub capability: Option<(u32, u32)>,
    /// Multiprocessors of a CUDA device.
    pub multiprocessors: Option<u32>,
}

/// How the elements of a buffer are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// IEEE 754 binary64.
    F64,
    /// IEEE 754 binary32.
    F32,
    /// IEEE 754 binary16.
    F16,
    /// bfloat16.
    Bf16,
    /// Signed 8-bit integers.
    I8,
    /// 8-bit floating point, e4m3.
    F8,
    /// Signed 32-bit integers.
    I32,
    /// Unsigned 32-bit integers.
    U32,
}

impl Format {
    /// Bytes of an element.
    #[must_use]
    pub const fn size(self) -> usize {
        match self {
            Self::F64 => 8,
            Self::F32 | Self::I32 | Self::U32 => 4,
            Self::F16 | Self::Bf16 => 2,
            Self::I8 | Self::F8 => 1,
        }
    }

    /// What a buffer of `len` elements holds that was never written: NaN, or a number that no kernel gives.
    #[must_use]
    pub fn poison(self, len: usize) -> Vec<u8> {
        let element: &[u8] = match self {
            Self::F64 => &f64::NAN.to_le_bytes(),
            Self::F32 => &f32::NAN.to_le_bytes(),
            Self::F16 => &0x7E00_u16.to_le_bytes(),
            Self::Bf16 => &0x7FC0_u16.to_le_bytes(),
            Self::I8 => &i8::MIN.to_le_bytes(),
            Self::F8 => &[eight::NAN],
            Self::I32 => &i32::MIN.to_le_bytes(),
            Self::U32 => &u32::MAX.to_le_bytes(),
        };
        element.repeat(len)
    }

    /// `values` as the bytes of a buffer, little endian, each number rounded to nearest even.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "rounding to the buffer's type is the purpose"
    )]
    pub fn encode(self, values: &Values) -> Vec<u8> {
        // The common cases copy; the others go through double precision, which holds every type exactly.
        match (self, values) {
            (Self::F32, Values::F32(v)) => return v.iter().flat_map(|x| x.to_le_bytes()).collect(),
            (Self::F64, Values::F64(v)) => return v.iter().flat_map(|x| x.to_le_bytes()).collect(),
            (Self::U32, Values::U32(v)) => return v.iter().flat_map(|x| x.to_le_bytes()).collect(),
            _ => {}
        }
        let mut bytes = Vec::with_capacity(values.len() * self.size());
        for x in values.numbers() {
            match self {
                Self::F64 => bytes.extend(x.to_le_bytes()),
                Self::F32 => bytes.extend((x as f32).to_le_bytes()),
                Self::F16 => bytes.extend(half_bits(x).to_le_bytes()),
                Self::Bf16 => bytes.extend(super::short::Bf16::round(x).bits().to_le_bytes()),
                Self::I8 => bytes.extend((x as i8).to_le_bytes()),
                Self::F8 => bytes.push(eight::bits(x)),
                Self::I32 => bytes.extend((x as i32).to_le_bytes()),
                Self::U32 => bytes.extend((x as u32).to_le_bytes()),
            }
        }
        bytes
    }

    /// The numbers in the bytes of a buffer, exact. Bytes beyond the last whole element are left out.
    #[must_use]
    pub fn decode(self, bytes: &[u8]) -> Values {
        match self {
            Self::F32 => Values::F32(bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect()),
            Self::F64 => Values::F64(bytes.as_chunks::<8>().0.iter().map(|b| f64::from_le_bytes(*b)).collect()),
            Self::U32 => Values::U32(bytes.as_chunks::<4>().0.iter().map(|b| u32::from_le_bytes(*b)).collect()),
            Self::I32 => {
                Values::F64(bytes.as_chunks::<4>().0.iter().map(|b| f64::from(i32::from_le_bytes(*b))).collect())
            }
            Self::I8 => Values::F32(bytes.iter().map(|b| f32::from(i8::from_le_bytes([*b]))).collect()),
            Self::F8 => Values::F32(bytes.iter().map(|b| eight::value(*b)).collect()),
            Self::F16 => {
                Values::F32(bytes.as_chunks::<2>().0.iter().map(|b| half_value(u16::from_le_bytes(*b))).collect())
            }
            Self::Bf16 => Values::F32(
                bytes
                    .as_chunks::<2>()
                    .0
                    .iter()
                    .map(|b| f32::from_bits(u32::from(u16::from_le_bytes(*b)) << 16))
                    .collect(),
            ),
        }
    }
}

/// The bits of the binary16 number nearest to `value`, ties to even.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bits of a number that was bounded before")]
pub(crate) fn half_bits(value: f64) -> u16 {
    let sign = if value.is_sign_negative() { 0x8000 } else { 0 };
    let size = value.abs();
    if size.is_nan() {
        return 0x7E00 | sign;
    }
    // Half a step above the largest number, 65504, and all beyond become infinite.
    if size >= 65_520.0 {
        return 0x7C00 | sign;
    }
    // Below 2^-14 steps are all 2^-24; above, 2^-10 of the power of two below.
    let exponent = (((size.to_bits() >> 52) as i32) - 1023).max(-14);
    let steps = (size * 2f64.powi(10 - exponent)).round_ties_even() as u32;
    // A number of 2^11 steps is one of 2^10 with the next exponent: the addition carries into it.
    sign | ((((exponent + 14) as u32) << 10) + steps) as u16
}

/// The value of a binary16 number.
pub(crate) fn half_value(bits: u16) -> f32 {
    let (exponent, mantissa) = (i32::from(bits >> 10 & 0x1F), f32::from(bits & 0x3FF));
    let size = match exponent {
        0 => mantissa * 2f32.powi(-24),
        0x1F if mantissa > 0.0 => f32::NAN,
        0x1F => f32::INFINITY,
        _ => (1024.0 + mantissa) * 2f32.powi(exponent - 25),
    };
    if bits & 0x8000 == 0 { size } else { -size }
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
    /// Shared memory asked for at the launch, in bytes (CUDA).
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

    #[test]
    fn halves_round_to_nearest_even_and_read_back() {
        for bits in (0..=u16::MAX).filter(|b| b & 0x7C00 != 0x7C00) {
            assert_eq!(half_bits(f64::from(half_value(bits))), bits, "{bits:#x}");
        }
        for (value, bits) in [
            (1.0, 0x3C00),
            (-2.0, 0xC000),
            (65_504.0, 0x7BFF),
            (65_519.9, 0x7BFF),
            (65_520.0, 0x7C00),
            // Half-way between 1 and the next, and between that and its next.
            (1.0 + 1.0 / 2048.0, 0x3C00),
            (1.0 + 3.0 / 2048.0, 0x3C02),
            (2f64.powi(-24), 1),
            (2f64.powi(-25), 0),
            (f64::INFINITY, 0x7C00),
        ] {
            assert_eq!(half_bits(value), bits, "{value}");
        }
        assert!(half_value(half_bits(f64::NAN)).is_nan());
    }

    #[test]
    fn every_format_reads_back_what_it_holds_and_poison_is_no_number() {
        let values = Values::F64(vec![1.0, -3.0, 0.0, 96.0]);
        for format in [Format::F64, Format::F32, Format::F16, Format::Bf16, Format::I8, Format::I32] {
            let bytes = format.encode(&values);
            assert_eq!(bytes.len(), 4 * format.size());
            let read: Vec<f64> = format.decode(&bytes).numbers().collect();
            assert_eq!(read, [1.0, -3.0, 0.0, 96.0], "{format:?}");
        }
        for format in [Format::F64, Format::F32, Format::F16, Format::Bf16] {
            assert!(format.decode(&format.poison(3)).numbers().all(f64::is_nan), "{format:?}");
        }
        assert_eq!(
            Format::U32.decode(&Format::U32.encode(&Values::U32(vec![7, u32::MAX]))),
            Values::U32(vec![7, u32::MAX])
        );
    }

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
