//! A log that was read: rows in time order, what is wrong with them, and the energy of a window.

use super::Row;
use crate::record::EnergyMethod;

/// A gap between two rows of more than this many usual intervals leaves the energy in it unknown.
const GAP_INTERVALS: f64 = 3.0;

/// So many rows in a row behind the latest time are no disorder: the clock was set back.
const SET_BACK_ROWS: usize = 10;

/// One usable row, in seconds of the meter's clock and SI units.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Point {
    pub(super) t: f64,
    /// Watts, or joules of a register.
    pub(super) value: f64,
}

/// Rows in time order with one quantity.
#[derive(Debug, Clone, PartialEq)]
pub struct Log {
    method: EnergyMethod,
    points: Vec<Point>,
    /// From, to and why: whatever touches this has no energy.
    faults: Vec<(f64, f64, String)>,
    interval: f64,
    step: Option<f64>,
}

impl Log {
    /// The power of a log, or its energy register.
    ///
    /// # Errors
    /// A log without usable rows, or one whose clock was set back for good.
    pub fn of(rows: &[Row], method: EnergyMethod) -> Result<Self, String> {
        let value = |row: &Row| match method {
            EnergyMethod::Counter => row.energy.map(|e| e.get()),
            EnergyMethod::Integrated => row.power.map(|p| p.get()),
        };
        let (mut points, mut faults) = (Vec::<Point>::new(), Vec::new());
        let mut behind = 0;
        for row in rows {
            let last = points.last().copied();
            let Some(t) = row.at.map(|t| t.get()) else {
                // Its place is between its neighbours: the next row's own check finds the gap, this one the fault.
                if let Some(last) = last {
                    faults.push((last.t, last.t, reason(row, "a row has no time")));
                }
                continue;
            };
            if let Some(last) = last.filter(|last| t <= last.t) {
                let what = if t < last.t { "goes back in time" } else { "has the time of the row before" };
                faults.push((t, last.t, format!("the row at {t} s of the meter's clock {what}")));
                behind += 1;
                if behind > SET_BACK_ROWS {
                    return Err(format!(
                        "the meter's clock was set back from {} to {t} s; give the part of the log that covers the run",
                        last.t
                    ));
                }
                continue;
            }
            behind = 0;
            match value(row).filter(|_| row.fault.is_none()) {
                Some(value) if method == EnergyMethod::Counter && last.is_some_and(|last| value < last.value) => {
                    faults.push((last.map_or(t, |l| l.t), t, format!("its energy went back at {t} s of its clock")));
                    points.push(Point { t, value });
                }
                Some(value) => points.push(Point { t, value }),
                None => faults.push((t, t, reason(row, "a row has no value"))),
            }
        }
        let mut intervals: Vec<f64> = points.windows(2).map(|w| w[1].t - w[0].t).collect();
        if intervals.len() < 2 {
            return Err(format!("its log has {} usable rows, which is too few", points.len()));
        }
        intervals.sort_by(f64::total_cmp);
        let interval = intervals[intervals.len() / 2];
        let step = (method == EnergyMethod::Counter).then(|| smallest_step(&points)).flatten();
        Ok(Self { method, points, faults, interval, step })
    }

    /// Counter for an energy register, integrated for power.
    #[must_use]
    pub const fn method(&self) -> EnergyMethod {
        self.method
    }

    /// Median time between two rows, in seconds.
    #[must_use]
    pub const fn interval(&self) -> f64 {
        self.interval
    }

    /// Smallest step of the register that was seen, in joules; `None` for power.
    #[must_use]
    pub const fn step(&self) -> Option<f64> {
        self.step
    }

    pub(super) fn first(&self) -> f64 {
        self.points.first().map_or(0.0, |p| p.t)
    }

    pub(super) fn last(&self) -> f64 {
        self.points.last().map_or(0.0, |p| p.t)
    }

    /// Power over time: the rows themselves, or the mean power between two rows of a register, placed
    /// half-way between them.
    pub(super) fn powers(&self) -> Vec<Point> {
        match self.method {
            EnergyMethod::Integrated => self.points.clone(),
            EnergyMethod::Counter => {
                let between = |w: &[Point]| Point {
                    t: f64::midpoint(w[0].t, w[1].t),
                    value: (w[1].value - w[0].value) / (w[1].t - w[0].t),
                };
                self.points.windows(2).map(between).collect()
            }
        }
    }

    /// Joules between two times of the meter's clock: power by the trapezoid rule with both ends
    /// interpolated, a register by the difference of its interpolated values.
    ///
    /// # Errors
    /// Why the energy is unknown: rows are missing, faulty, or too far apart.
    pub fn energy(&self, from: f64, to: f64) -> Result<f64, String> {
        // `partition_point` finds the first row after; the row before is the last one at or before `from`.
        let begin = self.points.partition_point(|p| p.t <= from).checked_sub(1);
        let end = self.points.partition_point(|p| p.t < to);
        let (Some(begin), true) = (begin, end < self.points.len() && to > from) else {
            return Err("its log does not cover the window".to_owned());
        };
        let rows = &self.points[begin..=end];
        let limit = self.interval * GAP_INTERVALS;
        if let Some(gap) = rows.windows(2).map(|w| w[1].t - w[0].t).find(|gap| *gap > limit) {
            return Err(format!("its log has a gap of {gap:.3} s, usual are {:.3} s", self.interval));
        }
        let (first, last) = (rows[0].t, rows[rows.len() - 1].t);
        if let Some((_, _, why)) = self.faults.iter().find(|(a, b, _)| *b >= first && *a <= last) {
            return Err(why.clone());
        }
        let energy = match self.method {
            EnergyMethod::Counter => at(rows, to) - at(rows, from),
            EnergyMethod::Integrated => {
                let inner = rows.iter().filter(|p| p.t > from && p.t < to).copied();
                let ends = |t: f64| Point { t, value: at(rows, t) };
                let course: Vec<Point> = std::iter::once(ends(from)).chain(inner).chain([ends(to)]).collect();
                course.windows(2).map(|w| (w[1].t - w[0].t) * f64::midpoint(w[0].value, w[1].value)).sum()
            }
        };
        if energy.is_finite() && energy >= 0.0 { Ok(energy) } else { Err("its energy is not a number".to_owned()) }
    }
}

fn reason(row: &Row, otherwise: &str) -> String {
    row.fault.clone().unwrap_or_else(|| otherwise.to_owned())
}

/// The value at `t`, which lies within the rows, on the line between its neighbours.
fn at(rows: &[Point], t: f64) -> f64 {
    let next = rows.partition_point(|p| p.t < t).clamp(1, rows.len() - 1);
    let (a, b) = (rows[next - 1], rows[next]);
    a.value + (b.value - a.value) * ((t - a.t) / (b.t - a.t))
}

/// The smallest difference of two rows of a register that is not zero. The register's own step is
/// that or less.
fn smallest_step(points: &[Point]) -> Option<f64> {
    let steps = points.windows(2).map(|w| w[1].value - w[0].value).filter(|d| *d > 0.0);
    steps.min_by(f64::total_cmp)
}
