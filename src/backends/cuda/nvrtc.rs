//! NVRTC, the CUDA compiler as a library: source to CUBIN, for the very architecture of the device.
//!
//! Never PTX: PTX would be compiled a second time by the driver, and NVRTC accepts in it what no device of that
//! architecture can run. The library is bound by hand rather than through `cudarc`, which looks for it under fixed
//! names only and panics where a function is missing.
//!
//! Source: NVRTC 13 documentation, <https://docs.nvidia.com/cuda/nvrtc/>.

#![expect(unsafe_code, reason = "functions of a C library")]

use super::driver::loader_words;
use libloading::Library;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::{Path, PathBuf};

/// Names the library has, newest first.
const NAMES: &[&str] = if cfg!(windows) {
    &["nvrtc64_130_0.dll", "nvrtc64_120_0.dll"]
} else {
    &["libnvrtc.so.13", "libnvrtc.so", "libnvrtc.so.12"]
};
/// Names one library and no other.
pub const LIBRARY_VARIABLE: &str = "WATTPROOF_NVRTC";

/// A virtual or real architecture, from a compute capability.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Architecture {
    /// Major number of the compute capability.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
}

impl Architecture {
    /// What `--gpu-architecture` calls it. Hopper gets its own instructions (`wgmma`), which no other part has.
    #[must_use]
    pub fn option(self) -> String {
        let suffix = if self.major == 9 { "a" } else { "" };
        format!("sm_{}{}{suffix}", self.major, self.minor)
    }
}

/// What to compile.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// The text. `#line N "file"` in it says where lines come from.
    pub text: &'a str,
    /// Macros with their values.
    pub macros: &'a [(&'a str, u32)],
    /// For what.
    pub architecture: Architecture,
}

/// Why there is no CUBIN.
#[derive(Debug, thiserror::Error)]
pub enum NvrtcError {
    /// No library.
    #[error(
        "the CUDA compiler NVRTC is missing: {0}; install `nvidia-cuda-nvrtc` of the driver's CUDA version, or name the \
             library in {LIBRARY_VARIABLE}"
    )]
    Missing(String),
    /// A library that lacks a function.
    #[error("{} is no usable NVRTC: {detail}", path.display())]
    Unusable {
        /// The library.
        path: PathBuf,
        /// What is missing.
        detail: String,
    },
    /// The driver could not load what this library makes.
    #[error("NVRTC {}.{} is newer than the driver, which speaks CUDA {driver}: update the driver, or install the NVRTC of \
             CUDA {driver} (`pip install nvidia-cuda-nvrtc-cu{driver}`)", version.0, version.1)]
    TooNew {
        /// The library's version.
        version: (u32, u32),
        /// Major number of the driver's CUDA.
        driver: u32,
    },
    /// The library does not know the device.
    #[error("NVRTC {}.{} cannot compile for {architecture}: {detail}; a newer NVRTC may", version.0, version.1)]
    Architecture {
        /// What was asked for.
        architecture: String,
        /// The library's version.
        version: (u32, u32),
        /// Its own words.
        detail: String,
    },
    /// The text does not compile.
    #[error("{}:{line}: {message} (NVRTC {code}){}", file, shown(.source_line))]
    Compile {
        /// Number of the library's error.
        code: i32,
        /// File of the first error.
        file: String,
        /// Its line.
        line: u32,
        /// What is wrong there.
        message: String,
        /// The line's text.
        source_line: String,
    },
    /// Any other failure.
    #[error("NVRTC failed: {words} ({code}): {detail}")]
    Failed {
        /// Number of the library's error.
        code: i32,
        /// Its name.
        words: String,
        /// What was done, or the log.
        detail: String,
    },
}

fn shown(line: &str) -> String {
    if line.is_empty() { String::new() } else { format!("\n  | {line}") }
}

type Program = *mut c_void;

/// The functions, with the library kept loaded as long as they may be called.
struct Functions {
    create: unsafe extern "C" fn(
        *mut Program,
        *const c_char,
        *const c_char,
        c_int,
        *const *const c_char,
        *const *const c_char,
    ) -> c_int,
    compile: unsafe extern "C" fn(Program, c_int, *const *const c_char) -> c_int,
    destroy: unsafe extern "C" fn(*mut Program) -> c_int,
    log_size: unsafe extern "C" fn(Program, *mut usize) -> c_int,
    log: unsafe extern "C" fn(Program, *mut c_char) -> c_int,
    cubin_size: unsafe extern "C" fn(Program, *mut usize) -> c_int,
    cubin: unsafe extern "C" fn(Program, *mut c_char) -> c_int,
    words: unsafe extern "C" fn(c_int) -> *const c_char,
    _library: Library,
}

/// The compiler.
pub struct Compiler {
    functions: Functions,
    version: (u32, u32),
    path: PathBuf,
}

impl Compiler {
    /// Loads the library that [`LIBRARY_VARIABLE`] names, or the newest of the system that is not newer than the driver's
    /// CUDA, whose major number is `driver`.
    ///
    /// # Errors
    /// [`NvrtcError::Missing`], [`NvrtcError::Unusable`] or [`NvrtcError::TooNew`].
    pub fn find(driver: u32) -> Result<Self, NvrtcError> {
        let named = std::env::var_os(LIBRARY_VARIABLE);
        let names: Vec<&Path> = match &named {
            Some(path) => vec![Path::new(path)],
            None => NAMES.iter().map(Path::new).collect(),
        };
        // A library that is there and unfit says more than one that is not there.
        let (mut missing, mut unfit) = (None, None);
        for name in names {
            match Self::load(name) {
                Ok(found) if found.version.0 <= driver => return Ok(found),
                Ok(found) => drop(unfit.get_or_insert(NvrtcError::TooNew { version: found.version, driver })),
                Err(error @ NvrtcError::Missing(_)) => drop(missing.get_or_insert(error)),
                Err(error) => drop(unfit.get_or_insert(error)),
            }
        }
        Err(unfit.or(missing).unwrap_or_else(|| NvrtcError::Missing("no name to look for".to_owned())))
    }

    /// Loads one library.
    ///
    /// # Errors
    /// [`NvrtcError::Missing`] when it cannot be loaded, [`NvrtcError::Unusable`] when a function is missing.
    pub fn load(path: &Path) -> Result<Self, NvrtcError> {
        let unusable = |detail: String| NvrtcError::Unusable { path: path.to_owned(), detail };
        // SAFETY: loading runs the library's initialisers; whoever installs a CUDA compiler trusts them.
        let library = unsafe { Library::new(path) }.map_err(|e| NvrtcError::Missing(loader_words(&e)))?;
        macro_rules! function {
            ($name:literal) => {
                // SAFETY: the signatures are those of nvrtc.h, and the library outlives the pointer, see `_library`.
                *unsafe { library.get($name) }.map_err(|e| unusable(loader_words(&e)))?
            };
        }
        let version: unsafe extern "C" fn(*mut c_int, *mut c_int) -> c_int = function!(b"nvrtcVersion\0");
        let functions = Functions {
            create: function!(b"nvrtcCreateProgram\0"),
            compile: function!(b"nvrtcCompileProgram\0"),
            destroy: function!(b"nvrtcDestroyProgram\0"),
            log_size: function!(b"nvrtcGetProgramLogSize\0"),
            log: function!(b"nvrtcGetProgramLog\0"),
            cubin_size: function!(b"nvrtcGetCUBINSize\0"),
            cubin: function!(b"nvrtcGetCUBIN\0"),
            words: function!(b"nvrtcGetErrorString\0"),
            _library: library,
        };
        let (mut major, mut minor) = (0, 0);
        // SAFETY: both places are valid for the call.
        let code = unsafe { version(&raw mut major, &raw mut minor) };
        let number = |n: c_int| u32::try_from(n).ok();
        match (code, number(major), number(minor)) {
            (0, Some(major), Some(minor)) => Ok(Self { functions, version: (major, minor), path: path.to_owned() }),
            _ => Err(unusable(format!("nvrtcVersion answers {code}"))),
        }
    }

    /// The library's version: CUDA's.
    #[must_use]
    pub const fn version(&self) -> (u32, u32) {
        self.version
    }

    /// Where the library was found.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Compiles a text.
    ///
    /// # Errors
    /// [`NvrtcError::Compile`] with the first line that is wrong; others when the library fails.
    pub fn compile(&self, source: &Source<'_>) -> Result<Vec<u8>, NvrtcError> {
        Ok(self.compile_aloud(source)?.0)
    }

    /// Compiles a text, and hands out what the library and its assembler said besides, such as `Potential Performance Loss`.
    ///
    /// # Errors
    /// As for [`compile`](Self::compile).
    pub fn compile_aloud(&self, source: &Source<'_>) -> Result<(Vec<u8>, String), NvrtcError> {
        let text = self.text(source.text)?;
        let architecture = source.architecture.option();
        let mut options = vec![
            format!("--gpu-architecture={architecture}"),
            "--std=c++17".to_owned(),
            // The prelude offers every program the same functions, and none uses them all.
            "--diag-suppress=177".to_owned(),
        ];
        options.extend(source.macros.iter().map(|(name, value)| format!("--define-macro={name}={value}")));
        let options = options.iter().map(|o| self.text(o)).collect::<Result<Vec<_>, _>>()?;
        let pointers: Vec<*const c_char> = options.iter().map(|o| o.as_ptr()).collect();
        let mut program: Program = std::ptr::null_mut();
        // SAFETY: text and name are terminated and outlive the call; there are no headers.
        let code = unsafe {
            (self.functions.create)(
                &raw mut program,
                text.as_ptr(),
                c"program.cu".as_ptr(),
                0,
                std::ptr::null(),
                std::ptr::null(),
            )
        };
        if code != 0 {
            return Err(self.failed(code, "nvrtcCreateProgram"));
        }
        let program = Open { compiler: self, program };
        let count = c_int::try_from(pointers.len()).unwrap_or(0);
        // SAFETY: the program was created above, and the options are terminated and outlive the call.
        let code = unsafe { (self.functions.compile)(program.program, count, pointers.as_ptr()) };
        match code {
            0 => Ok((program.cubin()?, program.log()?)),
            // NVRTC_ERROR_COMPILATION
            6 => Err(refused(code, &program.log()?, source.text)),
            // NVRTC_ERROR_INVALID_OPTION: all our options but the architecture are known to every version.
            5 => {
                let detail = program.log().unwrap_or_default().trim().to_owned();
                Err(NvrtcError::Architecture { architecture, version: self.version, detail })
            }
            _ => Err(self.failed(code, &program.log().unwrap_or_default())),
        }
    }

    fn text(&self, text: &str) -> Result<CString, NvrtcError> {
        let place = |e: std::ffi::NulError| format!("a zero byte at {} of what to compile", e.nul_position());
        CString::new(text).map_err(|e| NvrtcError::Failed {
            code: 3,
            words: "invalid input".to_owned(),
            detail: place(e),
        })
    }

    fn failed(&self, code: c_int, detail: &str) -> NvrtcError {
        // SAFETY: the function answers a static string for every number.
        let words = unsafe { (self.functions.words)(code) };
        let words = if words.is_null() {
            "unknown error".to_owned()
        } else {
            // SAFETY: not null, and terminated by the library's promise.
            unsafe { CStr::from_ptr(words) }.to_string_lossy().into_owned()
        };
        NvrtcError::Failed { code, words, detail: detail.trim().to_owned() }
    }
}

/// A program that is destroyed when it goes out of use.
struct Open<'a> {
    compiler: &'a Compiler,
    program: Program,
}

impl Open<'_> {
    fn bytes(
        &self,
        what: &str,
        size: unsafe extern "C" fn(Program, *mut usize) -> c_int,
        get: unsafe extern "C" fn(Program, *mut c_char) -> c_int,
    ) -> Result<Vec<u8>, NvrtcError> {
        let mut len = 0;
        // SAFETY: the program is alive, and the place valid for the call.
        let code = unsafe { size(self.program, &raw mut len) };
        if code != 0 {
            return Err(self.compiler.failed(code, what));
        }
        let mut bytes = vec![0_u8; len];
        // SAFETY: the library writes as many bytes as it just said.
        let code = unsafe { get(self.program, bytes.as_mut_ptr().cast()) };
        if code == 0 { Ok(bytes) } else { Err(self.compiler.failed(code, what)) }
    }

    fn cubin(&self) -> Result<Vec<u8>, NvrtcError> {
        let functions = &self.compiler.functions;
        self.bytes("nvrtcGetCUBIN", functions.cubin_size, functions.cubin)
    }

    fn log(&self) -> Result<String, NvrtcError> {
        let functions = &self.compiler.functions;
        let bytes = self.bytes("nvrtcGetProgramLog", functions.log_size, functions.log)?;
        Ok(String::from_utf8_lossy(&bytes).trim_end_matches('\0').to_owned())
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        // SAFETY: created by `create`, destroyed once.
        unsafe { (self.compiler.functions.destroy)(&raw mut self.program) };
    }
}

/// The first error of a log, with the line of the text that it names.
fn refused(code: c_int, log: &str, text: &str) -> NvrtcError {
    let first = log.lines().find_map(|line| {
        let (place, message) = line.split_once("): ")?;
        let (file, number) = place.rsplit_once('(')?;
        let message = message.strip_prefix("catastrophic ").unwrap_or(message).strip_prefix("error: ")?;
        Some((file, number.parse::<u32>().ok()?, message))
    });
    let Some((file, line, message)) = first else {
        // The assembler's errors name lines of its own language, which nobody has.
        let shown: Vec<&str> = log.lines().filter(|l| l.contains("error")).take(2).collect();
        let words = "the assembler refused the program".to_owned();
        return NvrtcError::Failed { code, words, detail: shown.join("; ") };
    };
    let source_line = line_of(text, file, line).unwrap_or_default().trim().to_owned();
    NvrtcError::Compile { code, file: file.to_owned(), line, message: message.to_owned(), source_line }
}

/// A line of a text whose parts say by `#line N "file"` where they come from.
fn line_of<'a>(text: &'a str, file: &str, line: u32) -> Option<&'a str> {
    let (mut here, mut number) = ("program.cu", 1);
    for content in text.lines() {
        let directive = content.strip_prefix("#line ").and_then(|rest| rest.split_once(' '));
        if let Some((next, name)) = directive
            && let Ok(next) = next.parse::<u32>()
        {
            (here, number) = (name.trim_matches('"'), next);
            continue;
        }
        if here == file && number == line {
            return Some(content);
        }
        number += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hopper_is_compiled_for_with_its_own_instructions() {
        let option = |major, minor| Architecture { major, minor }.option();
        assert_eq!([option(8, 0), option(8, 9), option(9, 0), option(12, 0)], ["sm_80", "sm_89", "sm_90a", "sm_120"]);
    }

    #[test]
    fn the_first_error_of_a_log_is_shown_with_its_line() {
        let text = "int a;\n#line 1 \"attention/attention.cu\"\nfloat b;\nx = y;\n";
        let log = "program.cu(1): warning #1-D: odd\nattention/attention.cu(2): error: identifier \"y\" is undefined\n  x = y;\n";
        let error = refused(6, log, text).to_string();
        assert_eq!(error, "attention/attention.cu:2: identifier \"y\" is undefined (NVRTC 6)\n  | x = y;");
        let error = refused(6, "ptxas error : Feature 'wgmma' needs sm_90a\nptxas fatal : no\n", text).to_string();
        assert!(error.contains("assembler") && error.contains("wgmma"), "{error}");
    }

    #[test]
    fn a_missing_and_a_foreign_library_are_told_apart() {
        let words = |path: &str| Compiler::load(Path::new(path)).err().unwrap().to_string();
        let missing = words("/nonexistent/libnvrtc.so.13");
        assert!(missing.contains("/nonexistent/libnvrtc.so.13") && missing.contains(LIBRARY_VARIABLE), "{missing}");
        if cfg!(target_os = "linux") {
            let foreign = words("libc.so.6");
            assert!(foreign.contains("no usable NVRTC") && foreign.contains("nvrtcVersion"), "{foreign}");
        }
    }
}
