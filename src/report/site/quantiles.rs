//! How much wider an interval has to be when many figures are compared at once.

use crate::analysis::two_sided;

/// Degrees of freedom that have a column; fewer are taken as the next smaller.
pub(super) const DOF: [u32; 12] = [4, 5, 6, 7, 8, 9, 10, 12, 15, 20, 30, 1000];

/// Rows: from 1 comparison to 2^17 of them, a power of two each.
const ROWS: u32 = 18;

/// Probability of any false finding among all comparisons of a view.
const FAMILY: f64 = 0.05;

/// For 2^row comparisons at once and [`DOF`] degrees of freedom: the factor on the arms of a 95 % interval after which
/// the chance of a false finding is 5 % for all of them together (Bonferroni).
pub(super) fn widening() -> Vec<Vec<f64>> {
    let factor = |row: u32, dof: u32| {
        let tail = FAMILY / f64::from(1u32 << row);
        let wide = two_sided(1.0 - tail, dof) / two_sided(1.0 - FAMILY, dof);
        // Rounded up: four digits are enough.
        (wide * 1e4).ceil() / 1e4
    };
    (0..ROWS).map(|row| DOF.map(|dof| factor(row, dof)).to_vec()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_comparisons_and_fewer_degrees_of_freedom_widen() {
        let table = widening();
        // Two rows are enough to know the whole: t(0.975, 4) = 2.776, t(0.9875, 4) = 3.495 (GUM table G.2 and tables
        // of Student's t).
        assert!((table[0][0] - 1.0).abs() < 1e-3);
        assert!((table[1][0] - 3.495 / 2.776).abs() < 1e-3, "{}", table[1][0]);
        assert!(table.windows(2).all(|w| w[0].iter().zip(&w[1]).all(|(a, b)| a < b)));
        assert!(table.iter().skip(1).all(|row| row.windows(2).all(|w| w[0] > w[1])));
    }
}
