//! Quantiles of Student's t distribution for whole degrees of freedom.
//!
//! For whole ν the distribution function is a finite sum of powers of a cosine (Abramowitz & Stegun,
//! *Handbook of Mathematical Functions*, 26.7.3 and 26.7.4), exact up to rounding, so no special
//! functions are needed. ν_eff is cut to a whole number anyway (GUM G.4.1).

use std::f64::consts::{FRAC_2_PI, FRAC_PI_2};

/// The t with P(−t ≤ T ≤ t) = `confidence` for `dof` ≥ 1 degrees of freedom: the coverage factor of
/// a two-sided interval. `confidence` is bounded to 0 … 1 − 1e-9.
#[must_use]
pub fn two_sided(confidence: f64, dof: u32) -> f64 {
    let dof = dof.max(1);
    let wanted = confidence.clamp(0.0, 1.0 - 1e-9);
    // t = √ν·tan θ, and the probability rises with θ from 0 to 1.
    let (mut low, mut high) = (0.0, FRAC_PI_2);
    for _ in 0..60 {
        let middle = low + (high - low) / 2.0;
        if inside(middle, dof) < wanted {
            low = middle;
        } else {
            high = middle;
        }
    }
    f64::from(dof).sqrt() * libm::tan(low)
}

/// P(|T| > `t`): the two-sided significance of a Student's t. Fractional degrees of freedom are cut (GUM G.4.1);
/// `None` means infinitely many, a normal distribution. 1 for a `t` that is no number.
#[must_use]
pub fn two_sided_tail(t: f64, dof: Option<f64>) -> f64 {
    let t = t.abs();
    if t.is_nan() {
        return 1.0;
    }
    match dof {
        // From here on the two distributions agree to a part in a thousand at any t a gate decides on.
        Some(dof) if dof < 20_000.0 => {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1 and 20,000")]
            let whole = dof.max(1.0) as u32;
            (1.0 - inside(libm::atan(t / f64::from(whole).sqrt()), whole)).clamp(0.0, 1.0)
        }
        _ => libm::erfc(t / std::f64::consts::SQRT_2),
    }
}

/// P(|T| ≤ √ν·tan θ).
fn inside(theta: f64, dof: u32) -> f64 {
    let (sin, cos) = libm::sincos(theta);
    let square = cos * cos;
    if dof % 2 == 1 {
        let (mut term, mut sum) = (cos, 0.0);
        for i in (3..=dof).step_by(2) {
            sum += term;
            term *= square * f64::from(i - 1) / f64::from(i);
        }
        FRAC_2_PI * (theta + sin * sum)
    } else {
        let (mut term, mut sum) = (1.0, 0.0);
        for i in (2..=dof).step_by(2) {
            sum += term;
            term *= square * f64::from(i - 1) / f64::from(i);
        }
        sin * sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// JCGM 100:2008, Table G.2 (the same as NIST TN 1297, Table B.1): ν, then t for 68.27, 90, 95, 95.45, 99
    /// and 99.73 %, as printed. The odd percentages stand for 1, 2 and 3 standard deviations of a normal
    /// distribution (footnote a), so they are used with all their digits.
    const TABLE_G2: &str = "
        1 1.84 6.31 12.71 13.97 63.66 235.80
        2 1.32 2.92 4.30 4.53 9.92 19.21
        3 1.20 2.35 3.18 3.31 5.84 9.22
        4 1.14 2.13 2.78 2.87 4.60 6.62
        5 1.11 2.02 2.57 2.65 4.03 5.51
        6 1.09 1.94 2.45 2.52 3.71 4.90
        7 1.08 1.89 2.36 2.43 3.50 4.53
        8 1.07 1.86 2.31 2.37 3.36 4.28
        9 1.06 1.83 2.26 2.32 3.25 4.09
        10 1.05 1.81 2.23 2.28 3.17 3.96
        11 1.05 1.80 2.20 2.25 3.11 3.85
        12 1.04 1.78 2.18 2.23 3.05 3.76
        13 1.04 1.77 2.16 2.21 3.01 3.69
        14 1.04 1.76 2.14 2.20 2.98 3.64
        15 1.03 1.75 2.13 2.18 2.95 3.59
        16 1.03 1.75 2.12 2.17 2.92 3.54
        17 1.03 1.74 2.11 2.16 2.90 3.51
        18 1.03 1.73 2.10 2.15 2.88 3.48
        19 1.03 1.73 2.09 2.14 2.86 3.45
        20 1.03 1.72 2.09 2.13 2.85 3.42
        25 1.02 1.71 2.06 2.11 2.79 3.33
        30 1.02 1.70 2.04 2.09 2.75 3.27
        35 1.01 1.70 2.03 2.07 2.72 3.23
        40 1.01 1.68 2.02 2.06 2.70 3.20
        45 1.01 1.68 2.01 2.06 2.69 3.18
        50 1.01 1.68 2.01 2.05 2.68 3.16";

    const PROBABILITIES: [f64; 6] = [0.682_689_492_1, 0.90, 0.95, 0.954_499_736_1, 0.99, 0.997_300_203_9];

    #[test]
    fn quantiles_are_those_of_the_gum_to_the_printed_digits() {
        let mut rows = 0;
        for line in TABLE_G2.lines().filter(|l| !l.trim().is_empty()) {
            let mut cells = line.split_whitespace();
            let dof: u32 = cells.next().unwrap().parse().unwrap();
            for (probability, printed) in PROBABILITIES.into_iter().zip(cells) {
                let t = two_sided(probability, dof);
                // Both tables print 1.70 for ν = 35 at 90 %, between 1.70 (ν = 30) and 1.68 (ν = 40); t is 1.6896.
                let expected = if (dof, printed) == (35, "1.70") { "1.69" } else { printed };
                assert_eq!(format!("{t:.2}"), expected, "ν = {dof}, {probability}: {t}");
            }
            rows += 1;
        }
        assert_eq!(rows, 26);
        let hundred = PROBABILITIES.map(|p| format!("{:.3}", two_sided(p, 100)));
        assert_eq!(hundred, ["1.005", "1.660", "1.984", "2.025", "2.626", "3.077"]);
    }

    #[test]
    fn a_tail_is_what_its_quantile_leaves() {
        for dof in [1, 2, 5, 18, 100, 5000] {
            for confidence in [0.5, 0.95, 0.999, 0.999_99] {
                let tail = two_sided_tail(-two_sided(confidence, dof), Some(f64::from(dof) + 0.7));
                assert!((tail / (1.0 - confidence) - 1.0).abs() < 1e-6, "{dof} {confidence}: {tail}");
            }
        }
        assert!((two_sided_tail(1.959_964, None) - 0.05).abs() < 1e-7);
        assert!((two_sided_tail(3.0, Some(19_999.0)) / two_sided_tail(3.0, Some(20_000.0)) - 1.0).abs() < 2e-3);
        assert!(two_sided_tail(f64::INFINITY, Some(4.0)) < 1e-15 && two_sided_tail(f64::NAN, None) > 0.99);
    }

    #[test]
    fn odd_cases_stay_finite() {
        assert!((two_sided(0.5, 1) - 1.0).abs() < 1e-12, "quartile of the Cauchy distribution");
        assert!(two_sided(1.0, 1).is_finite() && two_sided(0.95, 0).is_finite());
        assert!((two_sided(0.95, 100_000) - 1.959_99).abs() < 1e-4);
    }
}
