//! Numbers of the types that the vendor's libraries take, in memory of the host. Written from the formats' definitions, apart
//! from the product's own conversions, so that a mistake in either shows.

#![expect(clippy::float_cmp, reason = "exact numbers are compared exactly")]

/// `cudaDataType_t`.
pub(crate) const F32: u32 = 0;
pub(crate) const F64: u32 = 1;
pub(crate) const F16: u32 = 2;
pub(crate) const I8: u32 = 3;
pub(crate) const I32: u32 = 10;
pub(crate) const BF16: u32 = 14;
pub(crate) const E4M3: u32 = 28;

/// Reads element `index` of an array.
///
/// # Safety
/// The array has it.
pub(crate) unsafe fn read(array: *const u8, index: usize, kind: u32) -> f64 {
    // SAFETY: by the caller's promise; libraries ask for no alignment that an array of numbers has not.
    unsafe {
        match kind {
            F32 => f64::from(array.cast::<f32>().add(index).read()),
            F64 => array.cast::<f64>().add(index).read(),
            I32 => f64::from(array.cast::<i32>().add(index).read()),
            I8 => f64::from(array.cast::<i8>().add(index).read()),
            F16 => small(u32::from(array.cast::<u16>().add(index).read()), 5, 10, true),
            BF16 => small(u32::from(array.cast::<u16>().add(index).read()), 8, 7, true),
            _ => small(u32::from(array.add(index).read()), 4, 3, false),
        }
    }
}

/// Writes element `index` of an array, rounded to nearest even.
///
/// # Safety
/// The array has it.
#[expect(clippy::cast_possible_truncation, reason = "rounding to the type is the purpose")]
pub(crate) unsafe fn write(array: *mut u8, index: usize, kind: u32, value: f64) {
    // SAFETY: as above.
    unsafe {
        match kind {
            F32 => array.cast::<f32>().add(index).write(value as f32),
            F64 => array.cast::<f64>().add(index).write(value),
            I32 => array.cast::<i32>().add(index).write(value as i32),
            I8 => array.cast::<i8>().add(index).write(value as i8),
            F16 => array.cast::<u16>().add(index).write(nearest(value, 5, 10) as u16),
            BF16 => array.cast::<u16>().add(index).write(nearest(value, 8, 7) as u16),
            _ => array.add(index).write(nearest(value, 4, 3) as u8),
        }
    }
}

/// A binary floating-point number of these bits of exponent and mantissa.
fn small(bits: u32, exponents: u32, mantissas: u32, infinities: bool) -> f64 {
    let bias = (1_i32 << (exponents - 1)) - 1;
    let mantissa = f64::from(bits & ((1 << mantissas) - 1));
    let exponent = (bits >> mantissas & ((1 << exponents) - 1)).cast_signed();
    let last = (1 << exponents) - 1;
    let sign = if bits >> (exponents + mantissas) & 1 == 1 { -1.0 } else { 1.0 };
    let whole = f64::from(1_u32 << mantissas);
    let size = if exponent == last && (infinities || mantissa == whole - 1.0) {
        if infinities && mantissa == 0.0 { f64::INFINITY } else { f64::NAN }
    } else if exponent == 0 {
        mantissa / whole * 2f64.powi(1 - bias)
    } else {
        (1.0 + mantissa / whole) * 2f64.powi(exponent - bias)
    };
    sign * size
}

/// Its bits: of the numbers of its sign, the one that lies nearest, found by halving. They ascend with their bits.
fn nearest(value: f64, exponents: u32, mantissas: u32) -> u32 {
    let sign = u32::from(value.is_sign_negative()) << (exponents + mantissas);
    let of = |bits| small(bits, exponents, mantissas, exponents > 4);
    let (mut low, mut high) = (0, ((1 << exponents) - 1) << mantissas);
    while high - low > 1 {
        let middle = u32::midpoint(low, high);
        if of(middle) <= value.abs() { low = middle } else { high = middle }
    }
    let (below, above) = (value.abs() - of(low), of(high) - value.abs());
    let up = above < below || above == below && low & 1 == 1;
    sign | if up { high } else { low }
}

/// With the mantissa that TF32 keeps, 10 bits, ties to even.
pub(crate) fn tf32(value: f64) -> f64 {
    rounded(value, 10)
}

/// With the mantissa that bfloat16 keeps, 7 bits, ties to even.
pub(crate) fn bf16(value: f64) -> f64 {
    rounded(value, 7)
}

fn rounded(value: f64, bits: i32) -> f64 {
    if value == 0.0 {
        return value;
    }
    let step = 2f64.powi(bits - (((value.to_bits() >> 52 & 0x7FF) as i32) - 1023));
    (value * step).round_ties_even() / step
}
