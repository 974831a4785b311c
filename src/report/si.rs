//! Numbers for people: SI prefixes, three significant digits, intervals.

/// A power of a thousand and its prefix.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    exponent: i32,
    prefix: &'static str,
}

const SCALES: [Scale; 13] = [
    Scale { exponent: -18, prefix: "a" },
    Scale { exponent: -15, prefix: "f" },
    Scale { exponent: -12, prefix: "p" },
    Scale { exponent: -9, prefix: "n" },
    Scale { exponent: -6, prefix: "µ" },
    Scale { exponent: -3, prefix: "m" },
    Scale { exponent: 0, prefix: "" },
    Scale { exponent: 3, prefix: "k" },
    Scale { exponent: 6, prefix: "M" },
    Scale { exponent: 9, prefix: "G" },
    Scale { exponent: 12, prefix: "T" },
    Scale { exponent: 15, prefix: "P" },
    Scale { exponent: 18, prefix: "E" },
];

/// Columns whose largest value is at most this many times the smallest share one unit.
const COLUMN_SPAN: f64 = 1000.0;

impl Scale {
    /// The unit as it is.
    pub const ONE: Self = Self { exponent: 0, prefix: "" };

    /// The scale in which `value`, rounded to three digits, reads 1.00 to 999.
    #[must_use]
    pub fn of(value: f64) -> Self {
        if value == 0.0 || !value.is_finite() {
            return Self::ONE;
        }
        let rounds_below_thousand = |s: &&Self| s.apply(value).abs() < 999.5;
        *SCALES.iter().find(rounds_below_thousand).unwrap_or(&SCALES[SCALES.len() - 1])
    }

    /// One scale for all `values`, or `None` when they span too much for that. The scale is that of
    /// the middle value.
    #[must_use]
    pub fn of_column(values: &[f64]) -> Option<Self> {
        let mut sizes: Vec<f64> = values.iter().map(|v| v.abs()).filter(|v| *v > 0.0 && v.is_finite()).collect();
        sizes.sort_unstable_by(f64::total_cmp);
        let (smallest, largest) = (sizes.first()?, sizes.last()?);
        (largest / smallest <= COLUMN_SPAN).then(|| Self::of(sizes[sizes.len() / 2]))
    }

    /// `value` in this scale.
    #[must_use]
    pub fn apply(self, value: f64) -> f64 {
        // Dividing by an exact power of ten rounds once; multiplying by 1e-9 would round twice.
        if self.exponent >= 0 { value / ten_to(self.exponent) } else { value * ten_to(-self.exponent) }
    }

    /// `unit` with this prefix: `GFLOP/J`.
    #[must_use]
    pub fn unit(self, unit: &str) -> String {
        format!("{}{unit}", self.prefix)
    }
}

/// `12.3 mJ`: scaled, three significant digits.
#[must_use]
pub fn quantity(value: f64, unit: &str) -> String {
    let scale = Scale::of(value);
    let separator = if unit.is_empty() && scale.prefix.is_empty() { "" } else { " " };
    format!("{}{separator}{}", number(scale.apply(value)), scale.unit(unit))
}

/// As [`quantity`], for numbers that were set and not measured: `150 ms`, `61 µJ`, `2 s`.
#[must_use]
pub fn setting(value: f64, unit: &str) -> String {
    let scale = Scale::of(value);
    format!("{} {}", trimmed(scale.apply(value)), scale.unit(unit))
}

/// As [`percent`], for numbers that were set and not measured: `5 %`.
#[must_use]
pub fn set_percent(fraction: f64) -> String {
    format!("{} %", trimmed(fraction * 100.0))
}

/// Three significant digits without the zeros at the end, which would claim a precision.
fn trimmed(value: f64) -> String {
    let text = number(value);
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// Three significant digits: `0.0123`, `1.23`, `123`, `1230`; with an exponent only far outside what
/// prefixes reach.
#[must_use]
pub fn number(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && !(1e-6..1e9).contains(&size) {
        return format!("{value:.2e}").replace('-', "−"); // no prefix reaches it: a broken record
    }
    fixed(value, decimals(value, 3))
}

/// `low–high` with the digits of a value of three significant digits, or up to two more where that
/// tells the bounds apart.
#[must_use]
pub fn interval(low: f64, high: f64, value: f64) -> String {
    let first = decimals(value, 3);
    if [low, high].iter().any(|v| v.abs() >= 1e9) {
        return format!("{} to {}", number(low), number(high));
    }
    let digits = differing(low, high, first);
    // A minus sign after a dash reads badly.
    let dash = if low < 0.0 || high < 0.0 { " to " } else { "–" };
    format!("{}{dash}{}", fixed(low, digits), fixed(high, digits))
}

/// Fewest decimals, from `first` to two more, with which `low` and `high` read differently; `first`
/// where even those do not tell them apart.
fn differing(low: f64, high: f64, first: usize) -> usize {
    (first..=first + 2).find(|d| fixed(low, *d) != fixed(high, *d)).unwrap_or(first)
}

/// A fraction as percent, three significant digits: `91.2 %`.
#[must_use]
pub fn percent(fraction: f64) -> String {
    format!("{} %", number(fraction * 100.0))
}

/// Bytes in binary units: `64 MiB`, `1.50 GiB`.
#[must_use]
pub fn bytes(value: f64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut scaled = value;
    let mut unit = 0;
    while scaled.abs() >= 1023.5 && unit + 1 < units.len() {
        scaled /= 1024.0;
        unit += 1;
    }
    let whole = (scaled - scaled.round()).abs() < 1e-9;
    let text = if whole { fixed(scaled, 0) } else { number(scaled) };
    format!("{text} {}", units[unit])
}

/// Decimals that show `digits` significant digits of `value`.
fn decimals(value: f64, digits: i32) -> usize {
    if value == 0.0 || !value.is_finite() {
        return 0;
    }
    #[expect(clippy::cast_possible_truncation, reason = "the exponent of a double fits i32")]
    let magnitude = |v: f64| libm::log10(v.abs()).floor() as i32;
    // Rounding may add a digit: 9.996 reads 10.0, not 10.00.
    let first = (digits - 1 - magnitude(value)).clamp(0, 30);
    let rounded = (value * ten_to(first)).round() / ten_to(first);
    let settled = if rounded == 0.0 { first } else { (digits - 1 - magnitude(rounded)).clamp(0, 30) };
    usize::try_from(settled).unwrap_or(0)
}

fn fixed(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    // "-0.00" says a sign that is not there.
    match text.strip_prefix('-') {
        Some(digits) if digits.chars().all(|c| matches!(c, '0' | '.')) => digits.to_owned(),
        Some(digits) => format!("−{digits}"),
        None => text,
    }
}

/// A power of ten, the same bits on every machine; exact up to 10^22.
pub(super) fn ten_to(exponent: i32) -> f64 {
    libm::pow(10.0, f64::from(exponent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_significant_digits_and_a_prefix() {
        for (value, unit, text) in [
            (0.0123456, "J", "12.3 mJ"),
            (2.28e11, "FLOP/s", "228 GFLOP/s"),
            (1.0, "s", "1.00 s"),
            (999.4, "W", "999 W"),
            (999.6, "W", "1.00 kW"),
            (0.0009996, "s", "1.00 ms"),
            (9.996, "W", "10.0 W"),
            (3.9e-12, "J", "3.90 pJ"),
            (1e12, "FLOP/J", "1.00 TFLOP/J"),
            (0.0, "J", "0 J"),
            (-0.0042, "J", "−4.20 mJ"),
            (5e21, "FLOP", "5000 EFLOP"),
            (1e-21, "J", "0.00100 aJ"),
            (1e30, "J", "1.00e12 EJ"),
            (-1e-30, "J", "−1.00e−12 aJ"),
        ] {
            assert_eq!(quantity(value, unit), text, "{value}");
        }
    }

    #[test]
    fn numbers_without_prefix_keep_their_size() {
        for (value, text) in [(1234.5, "1234"), (0.01234, "0.0123"), (0.9999, "1.00"), (-0.0, "0"), (99.95, "100")] {
            assert_eq!(number(value), text, "{value}");
        }
        assert_eq!(fixed(-0.001, 2), "0.00");
    }

    #[test]
    fn intervals_show_enough_digits_to_differ() {
        assert_eq!(interval(12.14, 12.58, 12.3), "12.1–12.6");
        assert_eq!(interval(12.301, 12.342, 12.3), "12.30–12.34");
        assert_eq!(interval(1.996_000_01, 1.996_000_02, 1.996), "2.00–2.00");
        assert_eq!(interval(12.3, 12.3, 12.3), "12.3–12.3");
        assert_eq!(interval(0.0, 0.0, 0.0), "0–0");
        assert_eq!(interval(-1.2, 0.8, 0.3), "−1.200 to 0.800");
    }

    #[test]
    fn settings_claim_no_precision() {
        assert_eq!(setting(0.15, "s"), "150 ms");
        assert_eq!(setting(61e-6, "J"), "61 µJ");
        assert_eq!(setting(2.0, "s"), "2 s");
        assert_eq!(set_percent(0.02), "2 %");
        assert_eq!(set_percent(0.999), "99.9 %");
    }

    #[test]
    fn columns_share_a_unit_unless_they_span_too_much() {
        let unit = |values: &[f64]| Scale::of_column(values).map(|s| s.unit("s"));
        assert_eq!(unit(&[1e-3, 2e-2, 5e-1]).as_deref(), Some("ms"));
        assert_eq!(unit(&[1e-6, 1.0]), None);
        assert_eq!(unit(&[]), None);
        assert_eq!(unit(&[0.0, 3.0]).as_deref(), Some("s"));
    }

    #[test]
    fn bytes_are_binary_and_percent_has_a_space() {
        assert_eq!(bytes(67_108_864.0), "64 MiB");
        assert_eq!(bytes(1_610_612_736.0), "1.50 GiB");
        assert_eq!(bytes(0.0), "0 B");
        assert_eq!(bytes(1023.9), "1.00 KiB");
        assert_eq!(percent(0.9123), "91.2 %");
        assert_eq!(percent(1.0312), "103 %");
    }
}
