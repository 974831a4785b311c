//! Compiles the text of CUDA programs with a C++ compiler and tests/data/cuda_emulator/emulate.hpp, and runs it.

#![expect(unsafe_code, reason = "functions of the libraries that this compiles")]

#[path = "../../examples/rig/cuda/tensor_map.rs"]
mod tensor_map;

use super::library::{Emulation, compile, hash_of, works};
use libloading::Library;
use std::ffi::{CStr, c_char, c_void};
use tensor_map::Tensor;
use wattproof::kernels::{Argument, Array, DeviceBuffer, DeviceProgram, Init, Launch, TensorMap, operand};

type Entry = unsafe extern "C" fn(*const u32, *const u32, u32, *mut *mut c_void, u32) -> *const c_char;

/// A C++ compiler, and what it compiles programs with.
pub(crate) struct Emulator {
    itself: Emulation,
    /// Stays loaded, so that its fibers outlive the library of a program.
    _loaded: Library,
    linker: Option<&'static str>,
}

/// Compiling a program takes longer than running it, so it is not optimised for speed.
const BRIEF: &str = "-Og";

/// The linker that takes a third of the time of the usual one, where it is there.
const QUICK_LINKER: &str = "-fuse-ld=gold";

/// What a program is given where it is one for Hopper.
const HOPPER: &str = "-DEMULATED_HOPPER";

/// A program for Hopper begins with the file of its instructions.
pub(crate) fn is_for_hopper(text: &str) -> bool {
    text.contains("#line 1 \"hopper.cu\"\n")
}

impl Emulator {
    /// Looks for the compiler.
    pub(crate) fn find() -> Result<Self, String> {
        let itself = Emulation::find()?;
        let linker = works(&[QUICK_LINKER, "-Wl,--version"]).then_some(QUICK_LINKER);
        // SAFETY: the library was compiled from our own text and has no initialisers.
        let loaded = unsafe { Library::new(&itself.library) }.unwrap();
        Ok(Self { itself, _loaded: loaded, linker })
    }

    /// Runs all steps on operands and hands out the answer, or what the emulator found wrong. `edit` may change the text;
    /// `seed` orders threads and blocks.
    pub(crate) fn run(
        &self,
        program: &DeviceProgram,
        operands: &[Array],
        seed: u32,
        edit: impl Fn(&str) -> String,
    ) -> Result<Array, String> {
        let mut memory: Vec<Memory> = program
            .buffers
            .iter()
            .map(|buffer| {
                Memory::of(&match buffer.init {
                    Init::Operand(name) => buffer.format.encode(operand(operands, name, buffer.len).unwrap()),
                    Init::Zeros => vec![0; buffer.len * buffer.format.size()],
                    Init::Poison => buffer.format.poison(buffer.len),
                })
            })
            .collect();
        for step in &program.steps {
            self.launch(step, &program.buffers, &edit(step.source), &mut memory, seed)?;
        }
        memory.iter().for_each(Memory::assert_guarded);
        let buffer = &program.buffers[program.output];
        let bytes = memory[program.output].bytes();
        Ok(Array { name: buffer.name, shape: program.shape.clone(), values: buffer.format.decode(bytes) })
    }

    fn launch(
        &self,
        step: &Launch,
        buffers: &[DeviceBuffer],
        text: &str,
        memory: &mut [Memory],
        seed: u32,
    ) -> Result<(), String> {
        let library = self.library(step, text);
        let name = format!("emulate_{}\0", step.entry);
        // SAFETY: the macro EMULATED_ENTRY makes functions of this type.
        let entry = unsafe { library.get::<Entry>(name.as_bytes()) }.unwrap();
        let mut slots: Vec<[u64; 16]> = step.buffers.iter().map(|b| word(memory[*b].address())).collect();
        slots.extend(step.arguments.iter().map(|argument| match argument {
            Argument::U32(value) => word(u64::from(*value)),
            Argument::F32(value) => word(u64::from(value.to_bits())),
            Argument::TensorMap(map) => encoded(map, &buffers[map.buffer], memory[map.buffer].address()),
        }));
        let mut places: Vec<*mut c_void> = slots.iter_mut().map(|w| std::ptr::from_mut(w).cast()).collect();
        // SAFETY: the arguments are those of the program's signature, and buffers have the lengths it was made for.
        let failure = unsafe { entry(step.grid.as_ptr(), step.block.as_ptr(), step.shared, places.as_mut_ptr(), seed) };
        if failure.is_null() {
            return Ok(());
        }
        // SAFETY: the emulator answers a static text of the library, which is still loaded.
        Err(unsafe { CStr::from_ptr(failure) }.to_string_lossy().into_owned())
    }

    /// The library of a text with these constants, compiled at first use.
    fn library(&self, step: &Launch, text: &str) -> Library {
        let entries: String = entries(text).map(|name| format!("EMULATED_ENTRY({name})\n")).collect();
        let whole = format!("{text}\n{entries}");
        let key = hash_of(&(&self.itself.library, BRIEF, &whole, &step.constants));
        let stem = self.itself.library.with_file_name(format!("{key:016x}"));
        let library = stem.with_extension("so");
        if !library.exists() {
            let source = stem.with_extension(format!("{}.cpp", std::process::id()));
            std::fs::write(&source, whole).unwrap();
            let macros = step.constants.iter().map(|(name, value)| format!("-D{name}={value}"));
            compile(&library, |compiler| {
                compiler.arg(BRIEF).args(self.linker).args(is_for_hopper(text).then_some(HOPPER)).args(macros);
                compiler.arg("-include").arg(&self.itself.header).arg(&source).arg(&self.itself.library);
            });
            std::fs::remove_file(&source).unwrap();
        }
        // SAFETY: the library was compiled from our own text and has no initialisers.
        unsafe { Library::new(&library) }.unwrap()
    }
}

/// A word where an argument lies.
const fn word(value: u64) -> [u64; 16] {
    let mut words = [0; 16];
    words[0] = value;
    words
}

/// A tensor map as the emulator reads it.
fn encoded(map: &TensorMap, buffer: &DeviceBuffer, address: u64) -> [u64; 16] {
    assert!(map.sizes.iter().product::<u64>() <= buffer.len as u64, "{map:?} reaches beyond {buffer:?}");
    let element = u32::try_from(buffer.format.size()).unwrap();
    let row = map.sizes[0] * u64::from(element);
    let pitches = [row, row * map.sizes[1]];
    let tensor = Tensor { address, element, sizes: map.sizes, pitches, tile: map.tile };
    tensor.encode().unwrap_or_else(|| panic!("the driver would not take {map:?}"))
}

/// Names of the kernels of a text: `KERNEL(threads) name(`.
fn entries(text: &str) -> impl Iterator<Item = &str> {
    let found = text.lines().filter_map(|line| line.strip_prefix("KERNEL("));
    found.filter_map(|rest| rest.split_once(") ")?.1.split_once('(').map(|(name, _)| name))
}

/// Memory of a device, aligned as the driver's, with guards around it.
struct Memory {
    words: Vec<u128>,
    len: usize,
}

/// Words before and behind.
const GUARD: usize = 64;
const MARK: u128 = 0xA5A5_A5A5_A5A5_A5A5_A5A5_A5A5_A5A5_A5A5;

impl Memory {
    fn of(bytes: &[u8]) -> Self {
        let mut words = vec![MARK; bytes.len().div_ceil(16) + 2 * GUARD];
        for (word, chunk) in words[GUARD..].iter_mut().zip(bytes.chunks(16)) {
            let mut all = word.to_le_bytes();
            all[..chunk.len()].copy_from_slice(chunk);
            *word = u128::from_le_bytes(all);
        }
        Self { words, len: bytes.len() }
    }

    fn address(&mut self) -> u64 {
        self.words[GUARD..].as_mut_ptr() as u64
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: plain words, at least `len` bytes of them behind the guard.
        unsafe { std::slice::from_raw_parts(self.words[GUARD..].as_ptr().cast(), self.len) }
    }

    /// Nothing was written outside.
    fn assert_guarded(&self) {
        let (front, rest) = self.words.split_at(GUARD);
        let back = &rest[self.len.div_ceil(16)..];
        assert!(front.iter().chain(back).all(|w| *w == MARK), "a program wrote outside of its buffer");
        if !self.len.is_multiple_of(16) {
            let tail = rest[self.len / 16].to_le_bytes();
            assert!(tail[self.len % 16..].iter().all(|b| *b == 0xA5), "a program wrote behind its buffer");
        }
    }
}
