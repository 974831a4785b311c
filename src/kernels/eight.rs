//! Floating point of 8 bits with 4 bits of exponent and 3 of mantissa: e4m3.
//!
//! Source: OCP 8-bit Floating Point Specification 1.0, 2023: bias 7, no infinities, NaN where all bits but the sign are set,
//! largest number 448.

/// The bits of the NaN without a sign.
pub(crate) const NAN: u8 = 0x7F;
/// The bits of 448.
const LARGEST: u32 = 0x7E;

/// Largest error of a sum of products of such numbers, relative to the sum of the terms' magnitudes: the fixed factor of
/// every type on sums of 14 significant bits, and a result in binary32. Tensor cores of compute capability 9.0 keep about
/// 14 bits (DeepSeek-V3 Technical Report, arXiv:2412.19437, section 3.3.2).
pub(crate) const LIMIT: f64 = 16.0 / (1_u64 << 14) as f64 + 1.0 / (1_u64 << 24) as f64;

/// The bits of the number nearest to `value`, ties to even; what is beyond the range becomes its end.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bits of a number that was bounded before")]
pub(crate) fn bits(value: f64) -> u8 {
    let sign = if value.is_sign_negative() { 0x80 } else { 0 };
    let size = value.abs();
    if size.is_nan() {
        return NAN | sign;
    }
    if size >= 448.0 {
        return LARGEST as u8 | sign;
    }
    // Below 2^-6 steps are all 2^-9; above, 2^-3 of the power of two below.
    let exponent = (((size.to_bits() >> 52) as i32) - 1023).max(-6);
    let steps = (size * 2f64.powi(3 - exponent)).round_ties_even() as u32;
    // A number of 2^4 steps is one of 2^3 with the next exponent: the addition carries into it.
    sign | ((((exponent + 6) as u32) << 3) + steps).min(LARGEST) as u8
}

/// The value of such a number, which binary32 holds exactly.
pub(crate) fn value(bits: u8) -> f32 {
    let (exponent, mantissa) = (i32::from(bits >> 3 & 0xF), f32::from(bits & 7));
    let size = match exponent {
        0 => mantissa * 2f32.powi(-9),
        0xF if bits & 7 == 7 => f32::NAN,
        _ => (8.0 + mantissa) * 2f32.powi(exponent - 10),
    };
    if bits & 0x80 == 0 { size } else { -size }
}

/// An operand from a standard normal number, never zero: what would round to it takes the smallest step instead.
pub(crate) fn operand(normal: f64) -> f32 {
    let rounded = value(bits(normal));
    if rounded == 0.0 { value(1).copysign(if normal < 0.0 { -1.0 } else { 1.0 }) } else { rounded }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "exact numbers are compared exactly")]
mod tests {
    use super::*;

    #[test]
    fn numbers_round_to_nearest_even_and_read_back() {
        for byte in (0..=u8::MAX).filter(|b| b & 0x7F != NAN) {
            assert_eq!(bits(f64::from(value(byte))), byte, "{byte:#x}");
        }
        assert_eq!([value(0x38), value(0x7E), value(0xFE), value(1)], [1.0, 448.0, -448.0, 2f32.powi(-9)]);
        // Half-way: to the even one; a little more: up; beyond the range: its end.
        for (number, byte) in [
            (1.0 + 1.0 / 16.0, 0x38),
            (1.0 + 3.0 / 16.0, 0x3A),
            (1.0 + 1.0 / 16.0 + 1e-9, 0x39),
            (1.97, 0x40),
            (2f64.powi(-10), 0),
            (3.0 * 2f64.powi(-10), 2),
            (460.0, 0x7E),
            (f64::INFINITY, 0x7E),
            (-1.0, 0xB8),
        ] {
            assert_eq!(bits(number), byte, "{number}");
        }
        assert!(value(NAN).is_nan() && value(0xFF).is_nan() && bits(f64::NAN) == NAN);
    }

    #[test]
    fn operands_are_never_zero() {
        assert_eq!([operand(1e-9), operand(-1e-9), operand(0.3)], [value(1), -value(1), 0.3125]);
    }
}
