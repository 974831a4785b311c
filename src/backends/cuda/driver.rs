//! The driver's library through `cudarc`, with every failure as a value: codes, words, and what to do.

#![expect(unsafe_code, reason = "functions of a C library")]

use cudarc::driver::result::{self, DriverError};
use cudarc::driver::sys;
use std::ffi::{CStr, c_int};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A call of the driver that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CudaError {
    /// Number of the error (`CUresult`); `None` where the library lacks the function.
    pub code: Option<u32>,
    /// Its name and words, as the driver gives them.
    pub words: String,
    /// What was called.
    pub call: &'static str,
}

impl std::error::Error for CudaError {}

impl std::fmt::Display for CudaError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.call, self.words)?;
        match self.advice() {
            Some(advice) => write!(f, "; {advice}"),
            None => Ok(()),
        }
    }
}

impl CudaError {
    fn of(call: &'static str, error: DriverError) -> Self {
        let text = |found: Result<&CStr, DriverError>| {
            found.map_or_else(|_| String::new(), |t| t.to_string_lossy().into_owned())
        };
        let (name, words) = (text(error.error_name()), text(error.error_string()));
        let code = error.0 as u32;
        Self { code: Some(code), words: format!("{words} ({name}, {code})"), call }
    }

    /// Whether the context is of no use any more: every later call in it answers the same.
    ///
    /// Source: CUDA Driver API, "CUresult": the errors after which "the process must be terminated and relaunched".
    #[must_use]
    pub fn is_sticky(&self) -> bool {
        matches!(self.code, Some(214 | 220 | 700 | 702 | 709 | 710 | 714..=719 | 999))
    }

    /// What to do.
    #[must_use]
    pub fn advice(&self) -> Option<&'static str> {
        Some(match self.code? {
            2 => "free memory on the device, or make the case smaller",
            46 => "another process has the device for itself (compute mode `Exclusive Process`)",
            100 => "no device is visible: look at CUDA_VISIBLE_DEVICES and `nvidia-smi -L`",
            200 | 209 | 218 | 222 => {
                "the program was compiled for another device, or by a compiler newer than the driver"
            }
            214 => "an uncorrectable error of the device's memory (ECC): `nvidia-smi -q -d ECC`, then reset the device",
            220 => "an uncorrectable error of NVLink: `nvidia-smi nvlink -e`",
            700 | 714..=719 => {
                "the device is lost to this process: the kernel log names an Xid (`dmesg | grep -i xid`)"
            }
            702 => "a display's watchdog stopped the program: measure on a device without a display",
            802 => "the fabric manager is not running: `systemctl start nvidia-fabricmanager`",
            803 => "the driver was updated while the old one runs: restart the machine",
            804 => "the libraries of `cuda-compat` do not serve this device: remove them from the search path",
            _ => return None,
        })
    }
}

/// Calls the driver. A function that its library lacks, at which `cudarc` panics, is an error too.
///
/// # Errors
/// [`CudaError`].
pub fn call<T>(what: &'static str, function: impl FnOnce() -> Result<T, DriverError>) -> Result<T, CudaError> {
    match catch_unwind(AssertUnwindSafe(function)) {
        Ok(answer) => answer.map_err(|e| CudaError::of(what, e)),
        Err(_) => Err(CudaError {
            code: None,
            words: "the driver's library lacks this function: the driver is too old".to_owned(),
            call: what,
        }),
    }
}

/// The dynamic loader's own sentence.
pub(super) fn loader_words(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), ToString::to_string)
}

/// Whether the driver's library can be loaded at all.
#[must_use]
pub fn is_present() -> bool {
    // SAFETY: loading runs the initialisers of the driver's library, which whoever installed the driver trusts.
    catch_unwind(|| unsafe { sys::is_culib_present() }).unwrap_or(false)
}

/// Whether the library is a stand-in of the project's tests, which computes on the processor.
#[must_use]
pub fn is_double() -> bool {
    // SAFETY: the symbol is only looked for, never used.
    catch_unwind(|| unsafe { sys::culib().get::<*const ()>(b"wattproof_double\0").is_ok() }).unwrap_or(false)
}

/// CUDA's version as the driver speaks it, e.g. `(13, 0)`.
///
/// # Errors
/// [`CudaError`].
pub fn version() -> Result<(u32, u32), CudaError> {
    let mut version: c_int = 0;
    // SAFETY: the place is valid for the call.
    call("cuDriverGetVersion", || unsafe { sys::cuDriverGetVersion(&raw mut version) }.result())?;
    let version = u32::try_from(version).unwrap_or(0);
    Ok((version / 1000, version % 1000 / 10))
}

/// A property of a device.
///
/// # Errors
/// [`CudaError`].
pub fn attribute(device: sys::CUdevice, which: sys::CUdevice_attribute) -> Result<u32, CudaError> {
    // SAFETY: the device was given by the driver.
    let value = call("cuDeviceGetAttribute", || unsafe { result::device::get_attribute(device, which) })?;
    Ok(u32::try_from(value).unwrap_or(0))
}

/// PCI address in the form of the kernel: four digits of the domain, lower case.
///
/// # Errors
/// [`CudaError`].
pub fn pci_address(device: sys::CUdevice) -> Result<Option<String>, CudaError> {
    let mut text = [0_u8; 32];
    let len = c_int::try_from(text.len()).unwrap_or(0);
    call("cuDeviceGetPCIBusId", || {
        // SAFETY: the text has the length that is said.
        unsafe { sys::cuDeviceGetPCIBusId(text.as_mut_ptr().cast(), len, device) }.result()
    })?;
    let text = CStr::from_bytes_until_nul(&text).map(|t| t.to_string_lossy().to_lowercase()).unwrap_or_default();
    Ok(kernel_form(&text))
}

/// The UUID of a device as NVML writes it behind `GPU-` or `MIG-`; `None` where the driver gives none. Of an instance of a
/// divided board it is the instance's own, which is what this second version of the function is for.
#[must_use]
pub fn uuid(device: sys::CUdevice) -> Option<String> {
    let mut uuid = sys::CUuuid { bytes: [0; 16] };
    // SAFETY: the place is valid for the call, and the device was given by the driver.
    call("cuDeviceGetUuid_v2", || unsafe { sys::cuDeviceGetUuid_v2(&raw mut uuid, device) }.result()).ok()?;
    let hex: String = uuid.bytes.iter().map(|b| format!("{:02x}", b.to_ne_bytes()[0])).collect();
    Some([&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-"))
}

/// `0000:3b:00.0` of `0000:3b:00.0` or `00000000:3b:00.0`.
fn kernel_form(text: &str) -> Option<String> {
    let (domain, rest) = text.split_once(':')?;
    let domain = u32::from_str_radix(domain, 16).ok()?;
    let digits = rest.bytes().all(|b| b.is_ascii_hexdigit() || b == b':' || b == b'.');
    (rest.len() == 7 && digits).then(|| format!("{domain:04x}:{rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_take_the_form_of_the_kernel() {
        assert_eq!(kernel_form("00000000:3b:00.0").as_deref(), Some("0000:3b:00.0"));
        assert_eq!(kernel_form("0001:0a:00.0").as_deref(), Some("0001:0a:00.0"));
        assert_eq!([kernel_form(""), kernel_form("0000:zz:00.0"), kernel_form("x:3b:00.0")], [None, None, None]);
    }

    #[test]
    fn errors_after_which_nothing_works_are_told_from_others() {
        let error = |code| CudaError { code, words: "words (NAME, 1)".to_owned(), call: "cuX" };
        assert!([214, 700, 719].iter().all(|c| error(Some(*c)).is_sticky()));
        assert!([Some(2), Some(1), Some(200), None].iter().all(|c| !error(*c).is_sticky()));
        assert_eq!(
            error(Some(2)).to_string(),
            "cuX: words (NAME, 1); free memory on the device, or make the case smaller"
        );
        assert_eq!(error(Some(1)).to_string(), "cuX: words (NAME, 1)");
    }

    #[test]
    fn a_function_that_is_missing_is_an_error() {
        let error = call::<()>("cuNew", || panic!("missing symbol")).unwrap_err();
        assert!(error.to_string().contains("driver is too old") && !error.is_sticky(), "{error}");
    }
}
