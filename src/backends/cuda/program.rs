//! A program on its device: memory, compiled functions, launches.

#![expect(unsafe_code, reason = "launches of the driver")]

use super::cache::Cache;
use super::device::Gpu;
use super::driver::{CudaError, call};
use super::memory::{DeviceMemory, Stage};
use super::nvrtc::{Compiler, NvrtcError, Source};
use super::tensor_map;
use crate::kernels::{Argument, Array, DeviceBuffer, DeviceProgram, Init, KernelError, Launch, operand};
use cudarc::driver::{result, sys};
use std::collections::HashMap;
use std::ffi::{CString, c_void};
use std::rc::Rc;

/// Why a program could not be made ready.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProgramError {
    /// The driver refused something.
    #[error(transparent)]
    Cuda(#[from] CudaError),
    /// A source does not compile here.
    #[error(transparent)]
    Nvrtc(#[from] NvrtcError),
    /// There is no compiler.
    #[error("{0}")]
    NoCompiler(String),
    /// A library cannot compute it.
    #[error("{0}")]
    Library(String),
    /// The case does not hand out what the program needs.
    #[error(transparent)]
    Kernel(#[from] KernelError),
}

/// Loaded code, unloaded when it goes out of use.
struct Module {
    gpu: Rc<Gpu>,
    handle: sys::CUmodule,
}

impl Drop for Module {
    fn drop(&mut self) {
        if self.gpu.enter().is_ok() {
            // SAFETY: loaded by `Code::module`, unloaded once, after the last launch was waited for.
            drop(call("cuModuleUnload", || unsafe { result::module::unload(self.handle) }));
        }
    }
}

/// Place of a text, which is static, and its macros.
type Key = (usize, Vec<(&'static str, u32)>);

/// What was compiled and loaded for a device in this run.
pub(super) struct Code {
    gpu: Rc<Gpu>,
    compiler: Result<Compiler, String>,
    cache: Cache,
    loaded: HashMap<Key, Rc<Module>>,
}

/// Largest dynamic shared memory that needs no permission.
const FREELY_SHARED: u32 = 48 << 10;

impl Code {
    pub(super) fn new(gpu: &Rc<Gpu>, compiler: Result<Compiler, NvrtcError>, cache: Cache) -> Self {
        Self { gpu: Rc::clone(gpu), compiler: compiler.map_err(|e| e.to_string()), cache, loaded: HashMap::new() }
    }

    /// Version of the compiler, where there is one.
    pub(super) fn compiler(&self) -> Option<String> {
        let compiler = self.compiler.as_ref().ok()?;
        Some(format!("{}.{}", compiler.version().0, compiler.version().1))
    }

    fn module(&mut self, launch: &Launch) -> Result<Rc<Module>, ProgramError> {
        let key = (launch.source.as_ptr() as usize, launch.constants.clone());
        if let Some(module) = self.loaded.get(&key) {
            return Ok(Rc::clone(module));
        }
        let compiler = match &self.compiler {
            Ok(compiler) => compiler,
            Err(error) => return Err(ProgramError::NoCompiler(error.clone())),
        };
        let source = Source { text: launch.source, macros: &launch.constants, architecture: self.gpu.architecture };
        let (cubin, _) = self.cache.cubin(compiler, &source)?;
        // SAFETY: the image is a whole CUBIN: the compiler's own, or one whose digest was compared.
        let handle = call("cuModuleLoadData", || unsafe { result::module::load_data(cubin.as_ptr().cast()) })?;
        let module = Rc::new(Module { gpu: Rc::clone(&self.gpu), handle });
        self.loaded.insert(key, Rc::clone(&module));
        Ok(module)
    }
}

/// An argument where the driver reads it.
enum Slot {
    /// A number or an address, at the front of a word.
    Word(u64),
    /// A tensor map.
    Map(Box<sys::CUtensorMap>),
}

impl Slot {
    fn place(&mut self) -> *mut c_void {
        match self {
            Self::Word(word) => std::ptr::from_mut(word).cast(),
            Self::Map(map) => std::ptr::from_mut(map.as_mut()).cast(),
        }
    }
}

/// One launch, ready.
struct Step {
    function: sys::CUfunction,
    _module: Rc<Module>,
    grid: (u32, u32, u32),
    block: (u32, u32, u32),
    shared: u32,
    slots: Vec<Slot>,
}

/// A program with its memory, its functions, and its operands on the device.
pub(super) struct Ready {
    gpu: Rc<Gpu>,
    memory: Vec<DeviceMemory>,
    steps: Vec<Step>,
    program: DeviceProgram,
}

impl Ready {
    /// Takes memory, compiles, and brings the operands to the device.
    pub(super) fn new(
        gpu: &Rc<Gpu>,
        code: &mut Code,
        stage: &mut Stage,
        program: DeviceProgram,
        operands: &[Array],
    ) -> Result<Self, ProgramError> {
        gpu.enter()?;
        let mut modules = Vec::new();
        for launch in &program.steps {
            modules.push(code.module(launch)?);
        }
        let mut memory = Vec::new();
        for buffer in &program.buffers {
            let bytes = usize::try_from(buffer.bytes()).unwrap_or(usize::MAX);
            let place = DeviceMemory::new(gpu, bytes)?;
            match buffer.init {
                Init::Operand(name) => {
                    stage.upload(&buffer.format.encode(operand(operands, name, buffer.len)?), &place)?;
                }
                Init::Zeros => place.clear()?,
                Init::Poison => place.poison(buffer.format)?,
            }
            memory.push(place);
        }
        let mut steps = Vec::new();
        for (launch, module) in program.steps.iter().zip(modules) {
            steps.push(step(launch, module, &program.buffers, &memory)?);
        }
        gpu.wait()?;
        Ok(Self { gpu: Rc::clone(gpu), memory, steps, program })
    }

    pub(super) const fn program(&self) -> &DeviceProgram {
        &self.program
    }

    /// Overwrites what launches write: outputs, and what lies between steps.
    pub(super) fn poison(&self) -> Result<(), CudaError> {
        self.gpu.enter()?;
        for (buffer, memory) in self.program.buffers.iter().zip(&self.memory) {
            if buffer.init == Init::Poison {
                memory.poison(buffer.format)?;
            }
        }
        self.gpu.wait()
    }

    /// Queues one iteration.
    pub(super) fn launch(&mut self) -> Result<(), CudaError> {
        for step in &mut self.steps {
            let mut places: Vec<*mut c_void> = step.slots.iter_mut().map(Slot::place).collect();
            // SAFETY: function and module are loaded; the arguments are those of its signature, in order, each a tensor
            // map or at the front of a word of 64 bits (little endian); the memory they name lives until the stream is
            // waited for.
            call("cuLaunchKernel", || unsafe {
                result::launch_kernel(step.function, step.grid, step.block, step.shared, self.gpu.stream(), &mut places)
            })?;
        }
        Ok(())
    }

    /// The answer, once the device is done.
    pub(super) fn answer(&self, stage: &mut Stage) -> Result<Array, CudaError> {
        self.gpu.enter()?;
        let buffer = &self.program.buffers[self.program.output];
        let bytes = stage.download(&self.memory[self.program.output])?;
        Ok(Array { name: buffer.name, shape: self.program.shape.clone(), values: buffer.format.decode(&bytes) })
    }
}

fn step(
    launch: &Launch,
    module: Rc<Module>,
    buffers: &[DeviceBuffer],
    memory: &[DeviceMemory],
) -> Result<Step, CudaError> {
    let entry = CString::new(launch.entry).unwrap_or_default();
    // SAFETY: the module is loaded.
    let function = call("cuModuleGetFunction", || unsafe { result::module::get_function(module.handle, entry) })?;
    if launch.shared > FREELY_SHARED {
        let most = sys::CUfunction_attribute_enum::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
        let bytes = i32::try_from(launch.shared).unwrap_or(i32::MAX);
        // SAFETY: the function was given by the driver.
        call("cuFuncSetAttribute", || unsafe { result::function::set_function_attribute(function, most, bytes) })?;
    }
    let mut slots: Vec<Slot> = launch.buffers.iter().map(|buffer| Slot::Word(memory[*buffer].address())).collect();
    for argument in &launch.arguments {
        slots.push(match argument {
            Argument::U32(value) => Slot::Word(u64::from(*value)),
            Argument::F32(value) => Slot::Word(u64::from(value.to_bits())),
            Argument::TensorMap(map) => {
                let (format, address) = (buffers[map.buffer].format, memory[map.buffer].address());
                Slot::Map(Box::new(tensor_map::encode(map, format, address)?))
            }
        });
    }
    let [x, y, z] = launch.grid;
    let [threads_x, threads_y, threads_z] = launch.block;
    let (grid, block) = ((x, y, z), (threads_x, threads_y, threads_z));
    Ok(Step { function, _module: module, grid, block, shared: launch.shared, slots })
}
