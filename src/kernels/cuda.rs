//! What CUDA programs of all kernels share: their text, and the sizes of tiles in it.

use super::{DeviceBuffer, Format, Init, NoProgram, Target};

/// The text of a `.cu` file in a kernel's folder, or of several, behind the shared prelude; compilers name all files in their
/// messages.
macro_rules! cuda_source {
    ($($path:literal),+) => {
        concat!(
            "#line 1 \"prelude.cu\"\n",
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/kernels/prelude.cu")),
            $(
                "\n#line 1 \"",
                $path,
                "\"\n",
                include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/kernels/", $path)),
            )+
        )
    };
}
pub(crate) use cuda_source;

/// Lanes of a warp.
pub(crate) const WARP: u32 = 32;

/// Bytes of a tile of 16-bit elements in shared memory: `TILE_ELEMENTS` of the prelude.
pub(crate) const fn tile_bytes(rows: u32, width: u32) -> u32 {
    2 * rows * if width.is_multiple_of(64) { width } else { width + 8 }
}

/// An index or a size as programs take it.
///
/// # Errors
/// [`NoProgram::Lacks`] from 2^32 on.
pub(crate) fn word(what: &'static str, n: usize) -> Result<u32, NoProgram> {
    u32::try_from(n).map_err(|_| NoProgram::Lacks(format!("{what} is {n}, and its program counts in 32 bits")))
}

/// Refuses devices whose tensor cores do not know bfloat16.
///
/// # Errors
/// [`NoProgram::Lacks`] below compute capability 8.0.
pub(crate) fn needs_ampere(target: &Target) -> Result<(), NoProgram> {
    match target.limits.capability {
        Some((major, _)) if major >= 8 => Ok(()),
        Some((major, minor)) => Err(NoProgram::Lacks(format!(
            "its program needs compute capability 8.0 for bfloat16 and asynchronous copies, the device has {major}.{minor}"
        ))),
        None => Err(NoProgram::Unwritten),
    }
}

/// Refuses devices whose tensor cores do not know floating point of 8 bits.
///
/// # Errors
/// [`NoProgram::Lacks`] below compute capability 8.9.
pub(crate) fn needs_ada(target: &Target) -> Result<(), NoProgram> {
    match target.limits.capability {
        Some(found) if found >= (8, 9) => Ok(()),
        Some((major, minor)) => Err(NoProgram::Lacks(format!(
            "its program needs compute capability 8.9 for products of e4m3, the device has {major}.{minor}"
        ))),
        None => Err(NoProgram::Unwritten),
    }
}

/// A buffer that a program names and does not read.
pub(crate) const fn unused(name: &'static str, format: Format) -> DeviceBuffer {
    DeviceBuffer { name, len: 1, format, init: Init::Zeros }
}
