//! The scale of a perf event as an exact fraction, so that counts become microjoules without
//! losing a digit.

/// Microjoules a count, as a fraction in lowest terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Scale {
    numerator: u128,
    denominator: u128,
}

/// The longest mantissa that is read. The kernel's own, 2⁻³² in full, has 23 digits.
const MOST_DIGITS: usize = 30;

impl Scale {
    /// Parses the text of a `.scale` file, joules a count: `2.3283064365386962890625e-10`.
    /// `None` for anything that is no positive decimal number, and for a scale with which a 64-bit
    /// count could not be converted exactly in 128 bits.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, parse_exponent(exponent)?),
            None => (text, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits: String = [whole, fraction].concat();
        if digits.is_empty() || digits.len() > MOST_DIGITS || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let mut numerator: u128 = digits.parse().ok().filter(|n| *n > 0)?;
        let mut denominator: u128 = 1;
        // Joules to microjoules is the 6.
        let exponent = exponent.checked_add(6)?.checked_sub(i32::try_from(fraction.len()).ok()?)?;
        let power = 10u128.checked_pow(exponent.unsigned_abs())?;
        if exponent >= 0 {
            numerator = numerator.checked_mul(power)?;
        } else {
            denominator = power;
        }
        let common = gcd(numerator, denominator);
        let scale = Self { numerator: numerator / common, denominator: denominator / common };
        scale.numerator.checked_mul(u128::from(u64::MAX))?;
        Some(scale)
    }

    /// `count` in whole microjoules, rounded down; `None` beyond 64 bits. Two readings differ by the
    /// true difference to within one microjoule, however large they are.
    pub(super) fn microjoules(self, count: u64) -> Option<u64> {
        u64::try_from(u128::from(count) * self.numerator / self.denominator).ok()
    }
}

fn parse_exponent(text: &str) -> Option<i32> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || digits.len() > 3 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let value: i32 = digits.parse().ok()?;
    Some(if text.starts_with('-') { -value } else { value })
}

fn gcd(a: u128, b: u128) -> u128 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KERNEL: &str = "2.3283064365386962890625e-10";

    #[test]
    fn the_kernels_scale_is_two_to_the_minus_32_exactly() {
        let scale = Scale::parse(KERNEL).unwrap();
        assert_eq!(scale, Scale { numerator: 15_625, denominator: 1 << 26 });
        // 1 J is 2^32 counts; 61.035 µJ, the unit of most Intel parts, is 2^18.
        assert_eq!(scale.microjoules(1 << 32), Some(1_000_000));
        assert_eq!(scale.microjoules(1 << 18), Some(61));
        assert_eq!(scale.microjoules(1 << 24), Some(3_906));
        // A double would have lost the last digits here: 2^64 − 1 counts are 4,294,967,295.99… J.
        assert_eq!(scale.microjoules(u64::MAX), Some(4_294_967_295_999_999));
    }

    #[test]
    fn other_scales_and_what_is_none() {
        for (text, count, microjoules) in
            [("1", 3, 3_000_000), ("1e-6\n", 7, 7), ("0.5E-6", 7, 3), ("2e+0", 1, 2_000_000), ("15.3e-6", 10, 153)]
        {
            assert_eq!(Scale::parse(text).unwrap().microjoules(count), Some(microjoules), "{text}");
        }
        for bad in [
            "",
            " ",
            ".",
            "e-6",
            "-1",
            "+1",
            "0",
            "0.0e-3",
            "nan",
            "inf",
            "1e",
            "1e-",
            "1e9999",
            "1e-300",
            "1.2.3",
            "0x1p-32",
            "1 J",
            "1234567890123456789012345678901",
            "1e38",
        ] {
            assert_eq!(Scale::parse(bad), None, "{bad}");
        }
        assert_eq!(Scale::parse("1e6").unwrap().microjoules(u64::MAX), None, "more than 64 bits of µJ");
    }

    proptest! {
        #[test]
        fn differences_are_right_to_a_microjoule_wherever_the_counter_stands(
            start in 0..u64::MAX / 2, step in 0..u64::MAX / 2,
        ) {
            let scale = Scale::parse(KERNEL).unwrap();
            let difference = scale.microjoules(start + step).unwrap() - scale.microjoules(start).unwrap();
            let truth = u128::from(step) * 15_625 / (1 << 26);
            prop_assert!(u128::from(difference).abs_diff(truth) <= 1);
        }

        #[test]
        fn any_text_is_safe(text in "[0-9.eE+-]{0,40}|.{0,20}") {
            if let Some(scale) = Scale::parse(&text) {
                let value: f64 = text.trim().parse().unwrap();
                let exact = scale.numerator as f64 / scale.denominator as f64;
                prop_assert!((exact / (value * 1e6) - 1.0).abs() < 1e-12, "{} {}", exact, value);
                let _ = scale.microjoules(u64::MAX);
            }
        }
    }
}
