//! How numbers are stored in the buffers of devices: to bytes, from bytes, and what an output holds that was never written.

use super::{Values, eight};

/// How the elements of a buffer are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// IEEE 754 binary64.
    F64,
    /// IEEE 754 binary32.
    F32,
    /// IEEE 754 binary16.
    F16,
    /// bfloat16.
    Bf16,
    /// Signed 8-bit integers.
    I8,
    /// 8-bit floating point, e4m3.
    F8,
    /// Signed 32-bit integers.
    I32,
    /// Unsigned 32-bit integers.
    U32,
}

impl Format {
    /// Bytes of an element.
    #[must_use]
    pub const fn size(self) -> usize {
        match self {
            Self::F64 => 8,
            Self::F32 | Self::I32 | Self::U32 => 4,
            Self::F16 | Self::Bf16 => 2,
            Self::I8 | Self::F8 => 1,
        }
    }

    /// What a buffer of `len` elements holds that was never written: NaN, or a number that no kernel gives.
    #[must_use]
    pub fn poison(self, len: usize) -> Vec<u8> {
        let element: &[u8] = match self {
            Self::F64 => &f64::NAN.to_le_bytes(),
            Self::F32 => &f32::NAN.to_le_bytes(),
            Self::F16 => &0x7E00_u16.to_le_bytes(),
            Self::Bf16 => &0x7FC0_u16.to_le_bytes(),
            Self::I8 => &i8::MIN.to_le_bytes(),
            Self::F8 => &[eight::NAN],
            Self::I32 => &i32::MIN.to_le_bytes(),
            Self::U32 => &u32::MAX.to_le_bytes(),
        };
        element.repeat(len)
    }

    /// `values` as the bytes of a buffer, little endian, each number rounded to nearest even.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "rounding to the buffer's type is the purpose"
    )]
    pub fn encode(self, values: &Values) -> Vec<u8> {
        // The common cases copy; the others go through double precision, which holds every type exactly.
        match (self, values) {
            (Self::F32, Values::F32(v)) => return v.iter().flat_map(|x| x.to_le_bytes()).collect(),
            (Self::F64, Values::F64(v)) => return v.iter().flat_map(|x| x.to_le_bytes()).collect(),
            (Self::U32, Values::U32(v)) => return v.iter().flat_map(|x| x.to_le_bytes()).collect(),
            _ => {}
        }
        let mut bytes = Vec::with_capacity(values.len() * self.size());
        for x in values.numbers() {
            match self {
                Self::F64 => bytes.extend(x.to_le_bytes()),
                Self::F32 => bytes.extend((x as f32).to_le_bytes()),
                Self::F16 => bytes.extend(half_bits(x).to_le_bytes()),
                Self::Bf16 => bytes.extend(super::short::Bf16::round(x).bits().to_le_bytes()),
                Self::I8 => bytes.extend((x as i8).to_le_bytes()),
                Self::F8 => bytes.push(eight::bits(x)),
                Self::I32 => bytes.extend((x as i32).to_le_bytes()),
                Self::U32 => bytes.extend((x as u32).to_le_bytes()),
            }
        }
        bytes
    }

    /// The numbers in the bytes of a buffer, exact. Bytes beyond the last whole element are left out.
    #[must_use]
    pub fn decode(self, bytes: &[u8]) -> Values {
        match self {
            Self::F32 => Values::F32(bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect()),
            Self::F64 => Values::F64(bytes.as_chunks::<8>().0.iter().map(|b| f64::from_le_bytes(*b)).collect()),
            Self::U32 => Values::U32(bytes.as_chunks::<4>().0.iter().map(|b| u32::from_le_bytes(*b)).collect()),
            Self::I32 => {
                Values::F64(bytes.as_chunks::<4>().0.iter().map(|b| f64::from(i32::from_le_bytes(*b))).collect())
            }
            Self::I8 => Values::F32(bytes.iter().map(|b| f32::from(i8::from_le_bytes([*b]))).collect()),
            Self::F8 => Values::F32(bytes.iter().map(|b| eight::value(*b)).collect()),
            Self::F16 => {
                Values::F32(bytes.as_chunks::<2>().0.iter().map(|b| half_value(u16::from_le_bytes(*b))).collect())
            }
            Self::Bf16 => Values::F32(
                bytes
                    .as_chunks::<2>()
                    .0
                    .iter()
                    .map(|b| f32::from_bits(u32::from(u16::from_le_bytes(*b)) << 16))
                    .collect(),
            ),
        }
    }
}

/// The bits of the binary16 number nearest to `value`, ties to even.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bits of a number that was bounded before")]
pub(crate) fn half_bits(value: f64) -> u16 {
    let sign = if value.is_sign_negative() { 0x8000 } else { 0 };
    let size = value.abs();
    if size.is_nan() {
        return 0x7E00 | sign;
    }
    // Half a step above the largest number, 65504, and all beyond become infinite.
    if size >= 65_520.0 {
        return 0x7C00 | sign;
    }
    // Below 2^-14 steps are all 2^-24; above, 2^-10 of the power of two below.
    let exponent = (((size.to_bits() >> 52) as i32) - 1023).max(-14);
    let steps = (size * 2f64.powi(10 - exponent)).round_ties_even() as u32;
    // A number of 2^11 steps is one of 2^10 with the next exponent: the addition carries into it.
    sign | ((((exponent + 14) as u32) << 10) + steps) as u16
}

/// The value of a binary16 number.
pub(crate) fn half_value(bits: u16) -> f32 {
    let (exponent, mantissa) = (i32::from(bits >> 10 & 0x1F), f32::from(bits & 0x3FF));
    let size = match exponent {
        0 => mantissa * 2f32.powi(-24),
        0x1F if mantissa > 0.0 => f32::NAN,
        0x1F => f32::INFINITY,
        _ => (1024.0 + mantissa) * 2f32.powi(exponent - 25),
    };
    if bits & 0x8000 == 0 { size } else { -size }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_round_to_nearest_even_and_read_back() {
        for bits in (0..=u16::MAX).filter(|b| b & 0x7C00 != 0x7C00) {
            assert_eq!(half_bits(f64::from(half_value(bits))), bits, "{bits:#x}");
        }
        for (value, bits) in [
            (1.0, 0x3C00),
            (-2.0, 0xC000),
            (65_504.0, 0x7BFF),
            (65_519.9, 0x7BFF),
            (65_520.0, 0x7C00),
            // Half-way between 1 and the next, and between that and its next.
            (1.0 + 1.0 / 2048.0, 0x3C00),
            (1.0 + 3.0 / 2048.0, 0x3C02),
            (2f64.powi(-24), 1),
            (2f64.powi(-25), 0),
            (f64::INFINITY, 0x7C00),
        ] {
            assert_eq!(half_bits(value), bits, "{value}");
        }
        assert!(half_value(half_bits(f64::NAN)).is_nan());
    }

    #[test]
    fn every_format_reads_back_what_it_holds_and_poison_is_no_number() {
        let values = Values::F64(vec![1.0, -3.0, 0.0, 96.0]);
        for format in [Format::F64, Format::F32, Format::F16, Format::Bf16, Format::F8, Format::I8, Format::I32] {
            let bytes = format.encode(&values);
            assert_eq!(bytes.len(), 4 * format.size());
            let read: Vec<f64> = format.decode(&bytes).numbers().collect();
            assert_eq!(read, [1.0, -3.0, 0.0, 96.0], "{format:?}");
        }
        for format in [Format::F64, Format::F32, Format::F16, Format::Bf16, Format::F8] {
            assert!(format.decode(&format.poison(3)).numbers().all(f64::is_nan), "{format:?}");
        }
        assert_eq!(
            Format::U32.decode(&Format::U32.encode(&Values::U32(vec![7, u32::MAX]))),
            Values::U32(vec![7, u32::MAX])
        );
    }
}
