//! A compiler with NVRTC's interface that makes a library of the processor out of a CUDA program, and runs what it made.

use super::script::{failing, script};
use libloading::Library;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

const COMPILATION: c_int = 6;
/// In front of what stands in for a CUBIN: these bytes, then its length in eight.
const MAGIC: &[u8; 8] = b"emulated";

type Entry = unsafe extern "C" fn(*const u32, *const u32, u32, *mut *mut c_void, u32) -> *const c_char;

/// Loaded code; empty where nothing is emulated.
pub(crate) struct Module {
    library: Option<Library>,
}

/// A function of it; without code it does nothing.
pub(crate) struct Function {
    entry: Option<Entry>,
}

fn scratch(ending: &str) -> Option<PathBuf> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let [folder, ..] = script()?.emulate.as_ref()?;
    std::fs::create_dir_all(folder).ok()?;
    Some(folder.join(format!("{}-{}.{ending}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))))
}

impl Module {
    /// Loads what [`compile`] made.
    ///
    /// # Safety
    /// `image` begins with the magic and the length, which many bytes follow.
    pub(crate) unsafe fn load(image: *const u8) -> Option<Self> {
        // SAFETY: by the caller's promise.
        let head = unsafe { std::slice::from_raw_parts(image, 16) };
        if head[..8] != MAGIC[..] {
            return None;
        }
        let len = usize::try_from(u64::from_le_bytes(head[8..].try_into().ok()?)).ok()?;
        if len == 0 {
            return Some(Self { library: None });
        }
        // SAFETY: by the caller's promise.
        let bytes = unsafe { std::slice::from_raw_parts(image.add(16), len) };
        let file = scratch("so")?;
        std::fs::write(&file, bytes).ok()?;
        // SAFETY: the library was compiled below and has no initialisers.
        let library = unsafe { Library::new(&file) };
        drop(std::fs::remove_file(&file));
        Some(Self { library: Some(library.ok()?) })
    }

    /// A function by name.
    ///
    /// # Safety
    /// `name` is a terminated text.
    pub(crate) unsafe fn function(&self, name: *const c_char) -> Option<Function> {
        let Some(library) = &self.library else { return Some(Function { entry: None }) };
        // SAFETY: by the caller's promise.
        let name = format!("emulate_{}\0", unsafe { CStr::from_ptr(name) }.to_str().ok()?);
        // SAFETY: the emulator's macro makes functions of this type.
        let entry = unsafe { library.get::<Entry>(name.as_bytes()) }.ok()?;
        Some(Function { entry: Some(*entry) })
    }
}

impl Function {
    /// Runs it; says whether it went to its end.
    ///
    /// # Safety
    /// The arguments are those of the kernel.
    pub(crate) unsafe fn launch(
        &self,
        grid: [u32; 3],
        block: [u32; 3],
        shared: u32,
        arguments: *mut *mut c_void,
    ) -> bool {
        let Some(entry) = self.entry else { return true };
        // SAFETY: by the caller's promise.
        unsafe { entry(grid.as_ptr(), block.as_ptr(), shared, arguments, 1) }.is_null()
    }
}

/// A program of the compiler.
pub(crate) struct Program {
    text: String,
    log: CString,
    image: Vec<u8>,
}

/// Makes a library of a text; the error is the log.
fn compile(text: &str, macros: &[String]) -> Result<Vec<u8>, String> {
    let Some([_, header, emulator]) = script().and_then(|s| s.emulate.as_ref()) else { return Ok(Vec::new()) };
    let (source, library) = (scratch("cpp").ok_or("no folder")?, scratch("so").ok_or("no folder")?);
    let kernels = text.lines().filter_map(|line| line.strip_prefix("KERNEL(")?.split_once(") ")?.1.split_once('('));
    let entries: String = kernels.map(|(name, _)| format!("EMULATED_ENTRY({name})\n")).collect();
    std::fs::write(&source, format!("{text}\n{entries}")).map_err(|e| e.to_string())?;
    let output = Command::new("g++")
        .args(["-std=c++17", "-O1", "-w", "-ffp-contract=off", "-fno-strict-aliasing", "-shared", "-fPIC", "-include"])
        .arg(header)
        .args(macros.iter().map(|m| format!("-D{m}")))
        // What Hopper alone has is left out where nobody asks for it.
        .args(text.contains("#line 1 \"hopper.cu\"\n").then_some("-DEMULATED_HOPPER"))
        .arg(&source)
        .arg(emulator)
        .arg("-o")
        .arg(&library)
        .output()
        .map_err(|e| e.to_string())?;
    let made = std::fs::read(&library).unwrap_or_default();
    drop(std::fs::remove_file(&source));
    drop(std::fs::remove_file(&library));
    if output.status.success() {
        return Ok(made);
    }
    // As NVRTC writes places: `file(line): error: words`.
    let log = String::from_utf8_lossy(&output.stderr);
    let errors = log.lines().filter_map(|line| {
        let (place, words) = line.split_once(": error: ")?;
        let mut parts = place.split(':');
        Some(format!("{}({}): error: {words}\n", parts.next()?, parts.next()?))
    });
    Err(errors.collect())
}

/// The version of the compiler: that of the oldest driver that is served.
///
/// # Safety
/// As for NVRTC's function of this name.
// SAFETY: no other library of the process exports NVRTC's names.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn nvrtcVersion(major: *mut c_int, minor: *mut c_int) -> c_int {
    // SAFETY: by the caller's promise.
    unsafe {
        major.write(12);
        minor.write(0);
    }
    0
}

/// Takes a text.
///
/// # Safety
/// As for NVRTC's function of this name.
// SAFETY: no other library of the process exports NVRTC's names.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn nvrtcCreateProgram(
    to: *mut *mut Program,
    text: *const c_char,
    _name: *const c_char,
    _headers: c_int,
    _texts: *const *const c_char,
    _names: *const *const c_char,
) -> c_int {
    // SAFETY: by the caller's promise.
    unsafe {
        let text = CStr::from_ptr(text).to_string_lossy().into_owned();
        to.write(Box::into_raw(Box::new(Program { text, log: CString::default(), image: Vec::new() })));
    }
    0
}

/// Compiles it.
///
/// # Safety
/// As for NVRTC's function of this name.
// SAFETY: no other library of the process exports NVRTC's names.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn nvrtcCompileProgram(
    program: *mut Program,
    count: c_int,
    options: *const *const c_char,
) -> c_int {
    if let Some(code) = failing("nvrtcCompileProgram") {
        return c_int::try_from(code).unwrap_or(COMPILATION);
    }
    let count = usize::try_from(count).unwrap_or(0);
    // SAFETY: by the caller's promise.
    let (program, options) = unsafe { (&mut *program, std::slice::from_raw_parts(options, count)) };
    // SAFETY: by the caller's promise.
    let options = options.iter().map(|o| unsafe { CStr::from_ptr(*o) }.to_string_lossy());
    let macros: Vec<String> = options.filter_map(|o| Some(o.strip_prefix("--define-macro=")?.to_owned())).collect();
    match compile(&program.text, &macros) {
        Ok(made) => {
            program.image = [MAGIC, &(made.len() as u64).to_le_bytes()[..], &made].concat();
            0
        }
        Err(log) => {
            program.log = CString::new(log).unwrap_or_default();
            COMPILATION
        }
    }
}

/// Gives a program back.
///
/// # Safety
/// As for NVRTC's function of this name.
// SAFETY: no other library of the process exports NVRTC's names.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn nvrtcDestroyProgram(program: *mut *mut Program) -> c_int {
    // SAFETY: made by `nvrtcCreateProgram`, and destroyed once.
    drop(unsafe { Box::from_raw(*program) });
    0
}

/// Defines a pair of functions that tell the size of something and copy it.
macro_rules! contents {
    ($size:ident, $get:ident, $bytes:expr) => {
        /// Its size.
        ///
        /// # Safety
        /// As for NVRTC's function of this name.
        // SAFETY: no other library of the process exports NVRTC's names.
        #[unsafe(no_mangle)]
        pub(crate) unsafe extern "C" fn $size(program: *const Program, to: *mut usize) -> c_int {
            // SAFETY: by the caller's promise.
            unsafe { to.write($bytes(&*program).len()) };
            0
        }

        /// Its bytes.
        ///
        /// # Safety
        /// As for NVRTC's function of this name.
        // SAFETY: no other library of the process exports NVRTC's names.
        #[unsafe(no_mangle)]
        pub(crate) unsafe extern "C" fn $get(program: *const Program, to: *mut u8) -> c_int {
            // SAFETY: by the caller's promise.
            unsafe {
                let bytes: &[u8] = $bytes(&*program);
                std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len());
            }
            0
        }
    };
}
contents!(nvrtcGetProgramLogSize, nvrtcGetProgramLog, |p: &'static Program| p.log.as_bytes_with_nul());
contents!(nvrtcGetCUBINSize, nvrtcGetCUBIN, |p: &'static Program| p.image.as_slice());

/// Words of an error.
// SAFETY: no other library of the process exports NVRTC's names.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn nvrtcGetErrorString(code: c_int) -> *const c_char {
    match code {
        COMPILATION => c"NVRTC_ERROR_COMPILATION".as_ptr(),
        _ => c"NVRTC_ERROR_INTERNAL_ERROR".as_ptr(),
    }
}
