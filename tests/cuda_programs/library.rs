//! The emulator of CUDA programs itself: a library that those of programs need, compiled once for all tests.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where it is.
pub(crate) struct Emulation {
    /// What a program includes.
    pub(crate) header: PathBuf,
    /// What a program is linked with. Its name changes with every text that it is made of.
    pub(crate) library: PathBuf,
}

/// How emulator and programs are compiled.
const OPTIONS: [&str; 7] =
    ["-std=c++17", "-w", "-ffp-contract=off", "-fno-strict-aliasing", "-fPIC", "-fno-exceptions", "-fno-rtti"];

/// The emulator is compiled once, and most time passes in its products of tiles.
const FAST: &str = "-O2";

pub(crate) fn hash_of(what: &impl Hash) -> u64 {
    let mut hash = DefaultHasher::new();
    what.hash(&mut hash);
    hash.finish()
}

/// Whether g++ takes these options.
pub(crate) fn works(options: &[&str]) -> bool {
    Command::new("g++").args(options).output().is_ok_and(|o| o.status.success())
}

/// Has g++ make the library `finished`. Several tests may do so at the same time.
pub(crate) fn compile(finished: &Path, arguments: impl FnOnce(&mut Command)) {
    if finished.exists() {
        return;
    }
    let part = finished.with_extension(format!("{}.part", std::process::id()));
    let mut compiler = Command::new("g++");
    compiler.args(OPTIONS).arg("-shared");
    arguments(&mut compiler);
    let output = compiler.arg("-o").arg(&part).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::rename(&part, finished).unwrap();
}

impl Emulation {
    /// Looks for the compiler, and compiles the emulator at first use.
    pub(crate) fn find() -> Result<Self, String> {
        if !works(&["--version"]) {
            return Err("no g++".to_owned());
        }
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cuda_emulator");
        std::fs::create_dir_all(&folder).unwrap();
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/cuda_emulator");
        let [header, hopper, threads] = ["emulate.hpp", "hopper.hpp", "threads.hpp"].map(|name| sources.join(name));
        let parts = ["threads.cpp", "products.cpp", "hopper.cpp"].map(|name| sources.join(name));
        let all = parts.iter().chain([&header, &hopper, &threads]);
        let texts: Vec<String> = all.map(|file| std::fs::read_to_string(file).unwrap()).collect();
        let key = hash_of(&(texts, OPTIONS, FAST));
        let library = folder.join(format!("emulator-{key:016x}.so"));
        compile(&library, |compiler| {
            compiler.arg(FAST).args(&parts);
        });
        Ok(Self { header, library })
    }
}
