//! Compiles the text of CUDA programs with a C++ compiler around tests/data/cuda_emulator/emulate.hpp, and runs it.

#![expect(unsafe_code, reason = "functions of the libraries that this compiles")]

use libloading::Library;
use std::collections::hash_map::DefaultHasher;
use std::ffi::c_void;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use wattproof::kernels::{Argument, Array, DeviceProgram, Init, Launch, operand};

type Entry = unsafe extern "C" fn(*const u32, *const u32, u32, *mut *mut c_void, u32);

/// A C++ compiler, and where its libraries go.
pub(crate) struct Emulator {
    folder: PathBuf,
    header: PathBuf,
}

impl Emulator {
    /// Looks for the compiler.
    pub(crate) fn find() -> Result<Self, String> {
        let works = Command::new("g++").arg("--version").output().is_ok_and(|o| o.status.success());
        if !works {
            return Err("no g++".to_owned());
        }
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cuda_emulator");
        std::fs::create_dir_all(&folder).unwrap();
        let header = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/cuda_emulator/emulate.hpp");
        Ok(Self { folder, header })
    }

    /// Runs all steps on operands and hands out the answer. `edit` may change the text; `seed` orders threads and blocks.
    pub(crate) fn run(
        &self,
        program: &DeviceProgram,
        operands: &[Array],
        seed: u32,
        edit: impl Fn(&str) -> String,
    ) -> Array {
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
            self.launch(step, &edit(step.source), &mut memory, seed);
        }
        memory.iter().for_each(Memory::assert_guarded);
        let buffer = &program.buffers[program.output];
        let bytes = memory[program.output].bytes();
        Array { name: buffer.name, shape: program.shape.clone(), values: buffer.format.decode(bytes) }
    }

    fn launch(&self, step: &Launch, text: &str, memory: &mut [Memory], seed: u32) {
        let library = self.library(step, text);
        let name = format!("emulate_{}\0", step.entry);
        // SAFETY: the macro EMULATED_ENTRY makes functions of this type.
        let entry = unsafe { library.get::<Entry>(name.as_bytes()) }.unwrap();
        let mut words: Vec<u64> = step.buffers.iter().map(|b| memory[*b].address()).collect();
        words.extend(step.arguments.iter().map(|argument| match argument {
            Argument::U32(value) => u64::from(*value),
            Argument::F32(value) => u64::from(value.to_bits()),
        }));
        let mut places: Vec<*mut c_void> = words.iter_mut().map(|w| std::ptr::from_mut(w).cast()).collect();
        // SAFETY: the arguments are those of the program's signature, and buffers have the lengths it was made for.
        unsafe { entry(step.grid.as_ptr(), step.block.as_ptr(), step.shared, places.as_mut_ptr(), seed) };
    }

    /// The library of a text with these constants, compiled at first use.
    fn library(&self, step: &Launch, text: &str) -> Library {
        let entries: String = entries(text).map(|name| format!("EMULATED_ENTRY({name})\n")).collect();
        let header = std::fs::read_to_string(&self.header).unwrap();
        let whole = format!("{text}\n{entries}");
        let mut hash = DefaultHasher::new();
        (&header, &whole, &step.constants).hash(&mut hash);
        let stem = self.folder.join(format!("{:016x}", hash.finish()));
        let library = stem.with_extension("so");
        if !library.exists() {
            let source = stem.with_extension(format!("{}.cpp", std::process::id()));
            let part = stem.with_extension(format!("{}.part", std::process::id()));
            std::fs::write(&source, whole).unwrap();
            let macros = step.constants.iter().map(|(name, value)| format!("-D{name}={value}"));
            let output = Command::new("g++")
                .args([
                    "-std=c++17",
                    "-O1",
                    "-w",
                    "-ffp-contract=off",
                    "-fno-strict-aliasing",
                    "-shared",
                    "-fPIC",
                    "-include",
                ])
                .arg(&self.header)
                .args(macros)
                .arg(&source)
                .arg("-o")
                .arg(&part)
                .output()
                .unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            std::fs::rename(&part, &library).unwrap();
            std::fs::remove_file(&source).unwrap();
        }
        // SAFETY: the library was compiled from our own text and has no initialisers.
        unsafe { Library::new(&library) }.unwrap()
    }
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
