//! Labels that do not collide, and the key below a chart.

use super::PlotError;
use super::palette::Ink;
use super::sheet::{Anchor, NAME, SMALL, Sheet, fit, width_of};

/// A rectangle on the sheet.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Area {
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) right: f64,
    pub(super) bottom: f64,
}

impl Area {
    /// The square of half side `reach` around a point.
    pub(super) fn around((x, y): (f64, f64), reach: f64) -> Self {
        Self { left: x - reach, top: y - reach, right: x + reach, bottom: y + reach }
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.left < other.right && other.left < self.right && self.top < other.bottom && other.top < self.bottom
    }

    fn inside(&self, frame: &Self) -> bool {
        self.left >= frame.left && self.right <= frame.right && self.top >= frame.top && self.bottom <= frame.bottom
    }
}

/// Where a label came to stand.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Place {
    /// The point it hangs on, at its middle height.
    pub(super) at: (f64, f64),
    pub(super) anchor: Anchor,
    /// The rectangle it covers.
    pub(super) area: Area,
}

/// Space that is taken on a chart.
#[derive(Debug)]
pub(super) struct Placer {
    frame: Area,
    taken: Vec<Area>,
}

impl Placer {
    /// Labels stay inside `frame`.
    pub(super) fn new(frame: Area) -> Self {
        Self { frame, taken: Vec::new() }
    }

    /// Keeps labels off `area`.
    pub(super) fn block(&mut self, area: Area) {
        self.taken.push(area);
    }

    /// The first of `candidates` where a text of this width fits, which then is taken.
    pub(super) fn place(
        &mut self,
        (width, height): (f64, f64),
        candidates: impl IntoIterator<Item = ((f64, f64), Anchor)>,
    ) -> Option<Place> {
        let place = candidates.into_iter().find_map(|(at, anchor)| {
            let left = match anchor {
                Anchor::Start => at.0,
                Anchor::Middle => at.0 - width / 2.0,
                Anchor::End => at.0 - width,
            };
            let area = Area { left, top: at.1 - height / 2.0, right: left + width, bottom: at.1 + height / 2.0 };
            let free = area.inside(&self.frame) && !self.taken.iter().any(|t| t.overlaps(&area));
            free.then_some(Place { at, anchor, area })
        })?;
        self.taken.push(place.area);
        Some(place)
    }

    /// Positions around a point, near ones first, to the right before above before left.
    pub(super) fn around(point: (f64, f64)) -> impl Iterator<Item = ((f64, f64), Anchor)> {
        const DIRECTIONS: [(f64, f64); 12] = [
            (1.0, -0.5),
            (1.0, 0.5),
            (-1.0, -0.5),
            (-1.0, 0.5),
            (1.0, 0.0),
            (-1.0, 0.0),
            (0.4, -1.0),
            (0.4, 1.0),
            (-0.4, -1.0),
            (-0.4, 1.0),
            (0.8, -0.9),
            (-0.8, 0.9),
        ];
        (0..24u32).flat_map(move |ring| {
            let reach = 9.0 + 5.0 * f64::from(ring);
            DIRECTIONS.iter().map(move |(dx, dy)| {
                let anchor = if *dx > 0.0 { Anchor::Start } else { Anchor::End };
                ((point.0 + dx * reach, point.1 + dy * reach), anchor)
            })
        })
    }
}

/// The mark in front of an entry of a key.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Mark {
    /// A filled swatch.
    Swatch(Ink),
    /// A piece of a line.
    Line(Ink),
    /// A marker of the n-th group.
    Point(usize),
}

/// One entry of the key below a chart.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct KeyEntry {
    pub(super) mark: Mark,
    pub(super) text: String,
}

const ROW: f64 = 17.0;

/// A key in as many columns as its longest entry leaves room for.
#[derive(Debug)]
pub(super) struct Key {
    entries: Vec<KeyEntry>,
    columns: usize,
    column_width: f64,
}

impl Key {
    /// Lays entries out over `width` units.
    pub(super) fn new(entries: Vec<KeyEntry>, width: f64) -> Self {
        let longest = entries.iter().map(|e| width_of(&e.text, NAME.size) + 40.0).fold(1.0, f64::max);
        let columns = [4usize, 3, 2].into_iter().find(|n| longest * *n as f64 <= width).unwrap_or(1);
        Self { columns, column_width: width / columns as f64, entries }
    }

    /// Height it takes.
    pub(super) fn height(&self) -> f64 {
        if self.entries.is_empty() { 0.0 } else { self.rows() as f64 * ROW + 8.0 }
    }

    fn rows(&self) -> usize {
        self.entries.len().div_ceil(self.columns)
    }

    /// Draws it, filling column by column, from the top left corner `at`.
    pub(super) fn draw(&self, sheet: &Sheet<'_>, at: (f64, f64)) -> Result<(), PlotError> {
        let rows = self.rows().max(1);
        for (i, entry) in self.entries.iter().enumerate() {
            let x = at.0 + (i / rows) as f64 * self.column_width;
            let y = at.1 + (i % rows) as f64 * ROW + ROW / 2.0 + 4.0;
            match entry.mark {
                Mark::Swatch(ink) => sheet.rect((x, y - 5.0), (x + 14.0, y + 5.0), ink)?,
                Mark::Line(ink) => sheet.line((x, y), (x + 14.0, y), ink, 2.0)?,
                Mark::Point(group) => marker(sheet, (x + 7.0, y), group)?,
            }
            let text = fit(&entry.text, NAME.size, self.column_width - 28.0);
            sheet.text(&text, (x + 20.0, y), Anchor::Start, NAME)?;
        }
        Ok(())
    }
}

/// The marker of the n-th group: hue and shape both tell groups apart.
pub(super) fn marker(sheet: &Sheet<'_>, (x, y): (f64, f64), group: usize) -> Result<(), PlotError> {
    let ink = Ink::Series(group);
    // A rim in the colour of the page keeps touching markers apart.
    let shape = |r: f64, ink: Ink| match group % 4 {
        0 => sheet.circle((x, y), r, ink),
        1 => sheet.rect((x - r * 0.9, y - r * 0.9), (x + r * 0.9, y + r * 0.9), ink),
        2 => sheet.polygon(&[(x, y - r * 1.2), (x + r * 1.15, y + r * 0.85), (x - r * 1.15, y + r * 0.85)], ink),
        _ => sheet.polygon(&[(x, y - r * 1.25), (x + r * 1.25, y), (x, y + r * 1.25), (x - r * 1.25, y)], ink),
    };
    shape(5.5, Ink::Paper)?;
    shape(4.3, ink)
}

/// A label on an axis, in secondary ink.
pub(super) fn axis_title(sheet: &Sheet<'_>, text: &str, at: (f64, f64), anchor: Anchor) -> Result<(), PlotError> {
    sheet.text(&fit(text, SMALL.size, 420.0), at, anchor, SMALL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fifty_labels_of_one_point_never_overlap() {
        let mut placer = Placer::new(Area { left: 0.0, top: 0.0, right: 700.0, bottom: 400.0 });
        let places: Vec<Place> =
            (0..50).filter_map(|_| placer.place((15.0, 13.0), Placer::around((350.0, 200.0)))).collect();
        assert_eq!(places.len(), 50, "each finds a place");
        for (i, a) in places.iter().enumerate() {
            for b in &places[i + 1..] {
                assert!(!a.area.overlaps(&b.area), "{a:?} {b:?}");
            }
        }
    }

    #[test]
    fn labels_stay_inside_and_off_blocked_ground() {
        let mut placer = Placer::new(Area { left: 0.0, top: 0.0, right: 100.0, bottom: 50.0 });
        placer.block(Area { left: 60.0, top: 0.0, right: 100.0, bottom: 50.0 });
        let place = placer.place((40.0, 13.0), Placer::around((70.0, 25.0))).unwrap();
        assert_eq!(place.anchor, Anchor::End);
        assert!(place.area.right <= 60.0);
        assert_eq!(placer.place((90.0, 13.0), Placer::around((70.0, 25.0))), None);
    }
}
