//! Round numbers on axes.

use crate::report::si::ten_to;

/// Multiples of 1, 2 or 5 · 10ⁿ in `min..=max`, about `count` of them.
pub(super) fn linear(min: f64, max: f64, count: usize) -> Vec<f64> {
    let span = max - min;
    if !span.is_finite() || span <= 0.0 || count == 0 {
        return Vec::new();
    }
    let raw = span / count as f64;
    let power = libm::pow(10.0, libm::log10(raw).floor());
    let step = [1.0, 2.0, 5.0, 10.0].iter().map(|m| m * power).find(|s| *s >= raw * 0.999).unwrap_or(raw);
    let first = (min / step - 1e-9).ceil();
    (0..1000u32).map(|i| (first + f64::from(i)) * step).take_while(|t| *t <= max + step * 1e-9).collect()
}

/// Powers of ten in `min..=max`, with 2 and 5 between them where there are fewer than three.
pub(super) fn logarithmic(min: f64, max: f64) -> Vec<f64> {
    if !(min > 0.0 && max > min && max.is_finite()) {
        return Vec::new();
    }
    let inside = |t: &f64| *t >= min * (1.0 - 1e-9) && *t <= max * (1.0 + 1e-9);
    let decades = exponent(min)..=exponent(max);
    let powers: Vec<f64> = decades.clone().map(ten_to).filter(inside).collect();
    if powers.len() >= 3 {
        // On a very long axis every n-th decade is labelled.
        return powers.iter().copied().step_by(powers.len().div_ceil(10)).collect();
    }
    decades.flat_map(|e| [1.0, 2.0, 5.0].map(|m| m * ten_to(e))).filter(inside).collect()
}

#[expect(clippy::cast_possible_truncation, reason = "the exponent of a finite double is below 400")]
fn exponent(value: f64) -> i32 {
    libm::log10(value).floor() as i32
}

/// A tick as text: plain up to a million, powers of ten beyond.
pub(super) fn label(value: f64) -> String {
    let size = value.abs();
    if size <= 0.0 {
        return "0".to_owned();
    }
    if (1e-4..1e6).contains(&size) {
        // Ticks are round: nine significant digits hide only the rounding of the last bit.
        let digits = usize::try_from((8 - exponent(size)).max(0)).unwrap_or(0);
        let text = format!("{value:.digits$}");
        return if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text };
    }
    let scientific = format!("{value:.2e}");
    let (mantissa, power) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let mantissa = mantissa.trim_end_matches('0').trim_end_matches('.');
    let digits: String = power
        .chars()
        .map(|c| match c {
            '-' => '⁻',
            '1' => '¹',
            '2' => '²',
            '3' => '³',
            c => c.to_digit(10).and_then(|d| char::from_u32(0x2070 + d)).unwrap_or(c),
        })
        .collect();
    if mantissa == "1" { format!("10{digits}") } else { format!("{mantissa}·10{digits}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(ticks: &[f64]) -> Vec<String> {
        ticks.iter().map(|t| label(*t)).collect()
    }

    #[test]
    fn linear_ticks_are_round_and_inside() {
        assert_eq!(labels(&linear(0.0, 13.7, 5)), ["0", "5", "10"]);
        assert_eq!(labels(&linear(0.0, 0.31, 5)), ["0", "0.1", "0.2", "0.3"]);
        assert_eq!(labels(&linear(95.0, 105.0, 5)), ["96", "98", "100", "102", "104"]);
        assert!(linear(1.0, 1.0, 5).is_empty() && linear(0.0, f64::INFINITY, 5).is_empty());
    }

    #[test]
    fn log_ticks_are_decades_or_finer_on_a_short_axis() {
        assert_eq!(labels(&logarithmic(0.05, 200.0)), ["0.1", "1", "10", "100"]);
        assert_eq!(labels(&logarithmic(1.5, 60.0)), ["2", "5", "10", "20", "50"]);
        assert!(logarithmic(0.0, 10.0).is_empty() && logarithmic(5.0, 5.0).is_empty());
        assert!(logarithmic(1e-30, 1e30).len() <= 10);
    }

    #[test]
    fn far_powers_are_written_as_powers() {
        assert_eq!(labels(&[1e9, 2e-5, 5e12, 1e-15]), ["10⁹", "2·10⁻⁵", "5·10¹²", "10⁻¹⁵"]);
        // The ends of the range, where powers of ten overflow or vanish.
        assert_eq!(labels(&[-f64::MAX, 5e-324, f64::MIN_POSITIVE]), ["-1.8·10³⁰⁸", "4.94·10⁻³²⁴", "2.23·10⁻³⁰⁸"]);
    }
}
