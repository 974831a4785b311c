//! Libraries of the vendor, looked for at run time: found by name, with every missing function and every status as a value.

#![expect(unsafe_code, reason = "functions of C libraries")]

use super::super::driver::{self, CudaError};
use libloading::Library;
use std::ffi::c_int;
use std::path::{Path, PathBuf};

/// How a library is called and where it comes from.
pub(super) struct Names {
    /// In records and messages: `cublaslt`.
    pub(super) title: &'static str,
    /// Environment variable that names one library and no other.
    pub(super) variable: &'static str,
    /// Names of the file, newest first.
    pub(super) files: &'static [&'static str],
    /// Folder of its wheel for CUDA 12, beside that of the compiler; wheels for CUDA 13 share one.
    pub(super) folder: &'static str,
    /// The wheel for CUDA 13.
    pub(super) wheel: &'static str,
}

impl Names {
    /// Loads the library that the variable names; else the first that the system knows, or that lies where the wheels of the
    /// compiler's library lie.
    ///
    /// # Errors
    /// Why there is none, and what to do.
    pub(super) fn open(&self) -> Result<Library, String> {
        let named = std::env::var_os(self.variable).map(PathBuf::from);
        let places = match named {
            Some(path) => vec![path],
            None => self.places(std::env::var_os(super::super::nvrtc::LIBRARY_VARIABLE).as_deref().map(Path::new)),
        };
        let mut first = None;
        for place in &places {
            // SAFETY: loading runs the library's initialisers, which whoever installed it trusts.
            match unsafe { Library::new(place) } {
                Ok(library) => return self.genuine(library),
                Err(error) => drop(first.get_or_insert_with(|| driver::loader_words(&error))),
            }
        }
        let (title, wheel, variable) = (self.title, self.wheel, self.variable);
        let words = first.unwrap_or_else(|| "no name to look for".to_owned());
        Err(format!("the library is missing: {words}; install `{wheel}`, or name {title}'s library in {variable}"))
    }

    /// Refuses the stand-in of the tests beside a real driver, as what it computes would pass for a device's; and a real library
    /// beside the stand-in of the driver, which has no device for it.
    fn genuine(&self, library: Library) -> Result<Library, String> {
        // SAFETY: the symbol is only looked for, never used.
        let double = unsafe { library.get::<*const ()>(b"wattproof_double\0").is_ok() };
        match (double, driver::is_double()) {
            (true, false) => Err(format!("{} names a stand-in of the tests: unset it", self.variable)),
            (false, true) => Err("the library is a real one beside a stand-in of the driver".to_owned()),
            _ => Ok(library),
        }
    }

    /// Where to look, the system's own search first.
    fn places(&self, compiler: Option<&Path>) -> Vec<PathBuf> {
        let folder = compiler.and_then(Path::parent).filter(|f| f.components().count() > 1);
        let sibling = folder.and_then(Path::parent).and_then(Path::parent).map(|f| f.join(self.folder).join("lib"));
        let folders = folder.map(Path::to_owned).into_iter().chain(sibling);
        let system = self.files.iter().map(PathBuf::from);
        system.chain(folders.flat_map(|folder| self.files.iter().map(move |file| folder.join(file)))).collect()
    }
}

/// A struct of a library's functions, and how to find them all.
macro_rules! functions {
    ($(#[$doc:meta])* $name:ident { $($field:ident: $symbol:literal fn($($argument:ty),* $(,)?) -> $result:ty,)* }) => {
        $(#[$doc])*
        struct $name {
            $($field: unsafe extern "C" fn($($argument),*) -> $result,)*
            /// Kept loaded as long as its functions may be called.
            _library: libloading::Library,
        }

        impl $name {
            /// # Errors
            /// The first function that the library lacks.
            fn of(library: libloading::Library) -> Result<Self, String> {
                Ok(Self {
                    // SAFETY: the signatures are those of the library's header, and the library outlives the pointers.
                    $($field: *unsafe { library.get($symbol.as_bytes()) }.map_err(|_| {
                        format!("the library lacks the function {}: install a newer one", $symbol)
                    })?,)*
                    _library: library,
                })
            }
        }
    };
}
pub(super) use functions;

/// A status that is no success, in words: its name as the library's header has it, its number, and what to do.
pub(super) fn status(call: &'static str, code: c_int, names: &[(c_int, &'static str)]) -> CudaError {
    let name = names.iter().find(|(known, _)| *known == code).map_or("a status that is not known", |(_, name)| *name);
    let advice = ADVICE.iter().find(|(ending, _)| name.ends_with(ending));
    let advice = advice.map_or_else(String::new, |(_, advice)| format!("; {advice}"));
    CudaError { code: None, words: format!("{name} ({code}){advice}"), call }
}

/// What to do, by how the name of a status ends. The longer endings stand first.
const ADVICE: &[(&str, &str)] = &[
    ("NOT_INITIALIZED", "the library does not start on this device: is it of the driver's CUDA version?"),
    ("ALLOC_FAILED", "free memory on the device, or make the case smaller"),
    ("INSUFFICIENT_RESOURCES", "free memory on the device, or make the case smaller"),
    ("ARCH_MISMATCH", "the library was not built for this device: install a newer one"),
    ("EXECUTION_FAILED", "the kernel log names an Xid (`dmesg | grep -i xid`)"),
    (
        "NOT_SUPPORTED",
        "the library has no program for this type, shape and device: write `program: own`, or leave the case out",
    ),
    ("INVALID_VALUE", "the library does not take this shape"),
    ("INTERNAL_ERROR", "try a newer library"),
];

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: Names = Names {
        title: "x",
        variable: "WATTPROOF_NO_SUCH_VARIABLE",
        files: &["libnothing.so.13", "libnothing.so.12"],
        folder: "nothing",
        wheel: "nvidia-nothing",
    };

    #[test]
    fn a_status_is_named_and_says_what_to_do() {
        let names = [(3, "X_STATUS_ALLOC_FAILED"), (15, "X_STATUS_NOT_SUPPORTED")];
        let words = |code| status("xMatmul", code, &names).to_string();
        assert!(words(3).starts_with("xMatmul: X_STATUS_ALLOC_FAILED (3); free memory"), "{}", words(3));
        assert!(words(15).contains("program: own"), "{}", words(15));
        assert_eq!(words(77), "xMatmul: a status that is not known (77)");
        assert!(!status("x", 13, &names).is_sticky());
    }

    #[test]
    fn the_folders_of_both_kinds_of_wheels_are_looked_at() {
        let places = |compiler: &str| NAMES.places(Some(Path::new(compiler)));
        let found = places("/w/nvidia/cuda_nvrtc/lib/libnvrtc.so.12");
        assert_eq!(found[..2], ["libnothing.so.13", "libnothing.so.12"].map(PathBuf::from));
        assert!(found.contains(&PathBuf::from("/w/nvidia/nothing/lib/libnothing.so.12")), "{found:?}");
        assert!(places("/w/nvidia/cu13/lib/libnvrtc.so.13").contains(&"/w/nvidia/cu13/lib/libnothing.so.13".into()));
        assert_eq!(places("libnvrtc.so").len(), 2, "a name without a folder says nothing of folders");
    }

    #[test]
    fn a_missing_library_says_what_to_install() {
        let words = NAMES.open().err().unwrap();
        assert!(words.contains("nvidia-nothing") && words.contains("WATTPROOF_NO_SUCH_VARIABLE"), "{words}");
    }
}
