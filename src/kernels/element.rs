//! Element types as generic parameters of kernels.

use super::Dtype;

/// A type whose all-zero bit pattern is a valid value, so fresh pages from the system can hold it.
///
/// # Safety
/// Implementors must be plain numbers: no padding, no pointer, no invalid bit pattern.
#[expect(unsafe_code, reason = "a marker that promises a valid all-zero bit pattern")]
pub(crate) unsafe trait Plain: Copy + Send + Sync + 'static {}

macro_rules! plain {
    ($($t:ty),*) => { $(
        // SAFETY: a primitive number: every bit pattern is valid.
        #[expect(unsafe_code, reason = "a marker that promises a valid all-zero bit pattern")]
        unsafe impl Plain for $t {}
    )* };
}
plain!(i8, i32, u8, u16, u32, u64, f32, f64);

/// A floating-point type that kernels compute in.
pub(crate) trait Element:
    Plain + PartialEq + PartialOrd + std::fmt::Debug + std::ops::Add<Output = Self> + std::ops::Mul<Output = Self>
{
    /// The type's name in suites.
    const DTYPE: Dtype;
    /// Positive zero.
    const ZERO: Self;
    /// Quiet NaN, the poison of outputs.
    const NAN: Self;

    /// Exact widening.
    fn to_f64(self) -> f64;
    /// Rounding to nearest even.
    fn from_f64(value: f64) -> Self;
}

impl Element for f32 {
    const DTYPE: Dtype = Dtype::F32;
    const ZERO: Self = 0.0;
    const NAN: Self = Self::NAN;

    #[inline(always)]
    fn to_f64(self) -> f64 {
        f64::from(self)
    }

    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "rounding to f32 is the purpose")]
    fn from_f64(value: f64) -> Self {
        value as Self
    }
}

impl Element for f64 {
    const DTYPE: Dtype = Dtype::F64;
    const ZERO: Self = 0.0;
    const NAN: Self = Self::NAN;

    #[inline(always)]
    fn to_f64(self) -> f64 {
        self
    }

    #[inline(always)]
    fn from_f64(value: f64) -> Self {
        value
    }
}
