//! The code on page one, as path data: each renderer draws it black on white, whatever its theme.

use qrcode::{Color, EcLevel, QrCode};
use std::fmt::Write as _;

/// Light modules around the code that readers need (ISO/IEC 18004, 6.3.8).
const QUIET: usize = 4;

/// A code and its quiet zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Code {
    /// Modules on a side.
    pub(super) size: usize,
    /// Dark modules as SVG path data, one unit a module; runs of a row are one rectangle.
    pub(super) path: String,
}

/// The code for `text`; `None` when it is too long for one, which no certificate's is.
pub(super) fn of(text: &str) -> Option<Code> {
    let code = QrCode::with_error_correction_level(text, EcLevel::M).ok()?;
    let width = code.width();
    let mut path = String::new();
    for y in 0..width {
        let mut x = 0;
        while x < width {
            let run = (x..width).take_while(|&x| code[(x, y)] == Color::Dark).count();
            if run > 0 {
                // Writing to a string cannot fail.
                let _ = write!(path, "M{} {}h{run}v1h-{run}z", x + QUIET, y + QUIET);
            }
            x += run.max(1);
        }
    }
    Some(Code { size: width + 2 * QUIET, path })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The dark modules of a path, as it is drawn.
    fn modules(code: &Code) -> Vec<(usize, usize)> {
        let runs = code.path.split('M').skip(1).map(|run| {
            let (x, rest) = run.split_once(' ').unwrap();
            let (y, rest) = rest.split_once('h').unwrap();
            (x.parse::<usize>().unwrap(), y.parse::<usize>().unwrap(), rest.split_once('v').unwrap().0.parse().unwrap())
        });
        runs.flat_map(|(x, y, n): (usize, usize, usize)| (x..x + n).map(move |x| (x, y))).collect()
    }

    #[test]
    fn the_path_draws_exactly_the_dark_modules_inside_a_quiet_zone() {
        let text = "wattproof verify\nWP-0000-0000-0000-0000-0000\nsha256:00";
        let code = of(text).unwrap();
        let truth = QrCode::with_error_correction_level(text, EcLevel::M).unwrap();
        let dark: Vec<(usize, usize)> = (0..truth.width())
            .flat_map(|y| (0..truth.width()).map(move |x| (x, y)))
            .filter(|at| truth[*at] == Color::Dark)
            .map(|(x, y)| (x + QUIET, y + QUIET))
            .collect();
        assert_eq!(modules(&code), dark);
        assert_eq!(code.size, truth.width() + 8);
        // The finder pattern in the top left corner.
        assert!(code.path.starts_with("M4 4h7v1h-7z"), "{}", &code.path[..40]);
    }

    #[test]
    fn what_fits_no_code_gives_none() {
        assert_eq!(of(&"x".repeat(5_000)), None);
    }
}
