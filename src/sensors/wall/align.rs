//! Where the run's pulses lie in a meter's log: the meter's clock against ours.
//!
//! The model of a row is a + b·f: `f` is the share of load in the interval around the row, given an
//! offset between the clocks. The offset is the one at which both pulses fit best (least squares, which
//! for one free gain and level is the largest correlation); each pulse is then fitted again by itself,
//! and the line through the two offsets corrects the drift of the meter's clock.

use super::log::{Log, Point};
use super::{Pulse, Row};
use crate::clock::Moment;
use crate::record::EnergyMethod;
use crate::units::Seconds;

/// A pulse that correlates less than this with the log was not seen by the meter.
const LEAST_CORRELATION: f64 = 0.9;

/// The unexplained variance at the next best place has to be this many times that at the best one.
const DISTINCT: f64 = 2.0;

/// Two clocks of quartz differ by less: the kernel's own limit for its corrections, 500 ppm.
const MAX_DRIFT: f64 = 5e-4;

/// Rows that a pulse has to have.
const LEAST_ROWS: usize = 6;

/// Offsets tried over the length of a pulse's load in the coarse search.
const COARSE: f64 = 40.0;

/// Offsets tried at most: 29 days in steps of a quarter of a second.
const MOST_OFFSETS: usize = 10_000_000;

/// Rows compared in the coarse search at most: some seconds of work.
const MOST_COMPARED: usize = 1_000_000_000;

/// Steps at most in which half a pulse's load is searched for the uncertainty of an offset.
const FINEST: f64 = 2500.0;

/// A log whose clock is known.
#[derive(Debug, Clone, PartialEq)]
pub struct Alignment {
    log: Log,
    first: Fix,
    second: Fix,
}

/// One pulse, found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fix {
    /// Middle of the pulse on the run's clock, in seconds.
    pub at: f64,
    /// Meter's clock less the run's, in seconds.
    pub offset: f64,
    /// Standard uncertainty of the offset, in seconds.
    pub u: f64,
    /// Correlation of the pulse with the log.
    pub correlation: f64,
}

impl Alignment {
    /// Finds the pulses in the log: by its energy register where it has one and that is fine enough,
    /// else by its power.
    ///
    /// # Errors
    /// Why the clocks cannot be told: pulses that are missing, not seen, or seen in two places.
    pub fn of(rows: &[Row], pulses: &[Pulse]) -> Result<Self, String> {
        let [first, .., second] = pulses else {
            return Err("the run has no pulse before and after its windows to align a meter with".to_owned());
        };
        let attempt = |method| find(Log::of(rows, method)?, first, second);
        let has = |test: fn(&Row) -> bool| rows.iter().any(test);
        match (has(|r| r.energy.is_some()), has(|r| r.power.is_some())) {
            (true, true) => attempt(EnergyMethod::Counter).or_else(|_| attempt(EnergyMethod::Integrated)),
            (true, false) => attempt(EnergyMethod::Counter),
            (false, true) => attempt(EnergyMethod::Integrated),
            (false, false) => Err("its log has no row with a value".to_owned()),
        }
    }

    /// The log.
    #[must_use]
    pub const fn meter_log(&self) -> &Log {
        &self.log
    }

    /// The pulses before and after.
    #[must_use]
    pub const fn fixes(&self) -> [Fix; 2] {
        [self.first, self.second]
    }

    /// Rate of the meter's clock against the run's, less one.
    #[must_use]
    pub fn drift(&self) -> f64 {
        (self.second.offset - self.first.offset) / (self.second.at - self.first.at)
    }

    /// A moment of the run on the meter's clock, in seconds.
    #[must_use]
    pub fn meter_time(&self, moment: Moment) -> f64 {
        let t = moment.seconds().get();
        t + self.first.offset + (t - self.first.at) * self.drift()
    }

    /// Standard uncertainty of the offset: that of the worse pulse, which is at least that of any
    /// mean of the two.
    #[must_use]
    pub fn u(&self) -> f64 {
        self.first.u.max(self.second.u)
    }

    /// The period τ that stands for both the interval of the log and the uncertainty of the offset in
    /// the alignment term P·τ/√6 of a budget: √(Δ² + 6u²).
    #[must_use]
    pub fn period(&self) -> Option<Seconds> {
        let (interval, u) = (self.log.interval(), self.u());
        Seconds::new((interval * interval + 6.0 * (u * u)).sqrt()).ok()
    }

    /// Joules between two moments of the run.
    ///
    /// # Errors
    /// Why the energy is unknown.
    pub fn energy(&self, from: Moment, to: Moment) -> Result<f64, String> {
        self.log.energy(self.meter_time(from), self.meter_time(to))
    }

    /// In words, for the record's notes.
    #[must_use]
    pub fn describe(&self) -> String {
        format!(
            "aligned by two pulses: offset {:.3} s ± {:.3} s (k = 2), drift {:.0} ppm, correlation {:.4}; a row every {:.3} s",
            self.first.offset,
            2.0 * self.u(),
            self.drift() * 1e6,
            self.first.correlation.min(self.second.correlation),
            self.log.interval()
        )
    }
}

fn find(log: Log, first: &Pulse, second: &Pulse) -> Result<Alignment, String> {
    let (one, two) = (Shape::of(first), Shape::of(second));
    let (length, span) = (one.load().min(two.load()), two.middle() - one.middle());
    if length <= 0.0 || span <= 0.0 {
        return Err("the run's pulses have no length".to_owned());
    }
    let powers = log.powers();
    let width = log.interval();
    let (from, to) = (log.first() - one.start, log.last() - two.end);
    if to < from {
        let covered = log.last() - log.first();
        let needed = two.end - one.start;
        return Err(format!("its log covers {covered:.1} s; the run with its pulses took {needed:.1} s"));
    }
    // Rows closer together than the search is fine are joined for it.
    let step = (length / COARSE).max(width / 4.0);
    let coarse = if width < step / 2.0 { binned(&powers, step / 2.0) } else { powers.clone() };
    let width_coarse = width.max(step / 2.0);
    let scores = search(&coarse, (&one, &two), (from, to, step), width_coarse)?;
    let best = scores.iter().copied().min_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or((from, 1.0));
    // Wide enough that two offsets that drift cannot explain are seen to be apart.
    let reach = length * 0.45;
    let (first, second) = (one.refine(&powers, width, best.0, reach)?, two.refine(&powers, width, best.0, reach)?);
    for (fix, which) in [(&first, "before"), (&second, "after")] {
        if fix.correlation < LEAST_CORRELATION {
            return Err(format!(
                "the pulse {which} the windows is not in its log: the best correlation is {:.2}, {LEAST_CORRELATION} is \
                 needed. Is it the meter of this machine, and is the machine idle otherwise?",
                fix.correlation
            ));
        }
    }
    let next = scores.iter().filter(|(o, _)| (o - best.0).abs() > length / 2.0).map(|s| s.1).min_by(f64::total_cmp);
    if next.is_some_and(|next| next < DISTINCT * best.1) {
        return Err("the pulses fit its log at two places, so its clock is not known".to_owned());
    }
    let apart = (second.offset - first.offset).abs();
    if apart > MAX_DRIFT * span + 3.0 * first.u.hypot(second.u) {
        return Err(format!("its clock moved by {apart:.3} s against this machine's over {span:.0} s: it was set"));
    }
    Ok(Alignment { log, first, second })
}

/// How well both pulses together fit the log at each offset from `from` to `to`. Gaps in which the first pulse
/// has no row are leapt over: the clock of a meter can jump by decades when it is set.
fn search(
    points: &[Point],
    (one, two): (&Shape, &Shape),
    (from, to, step): (f64, f64, f64),
    width: f64,
) -> Result<Vec<(f64, f64)>, String> {
    let mut scores: Vec<(f64, f64)> = Vec::new();
    let (mut offset, mut compared) = (from, 0usize);
    while offset <= to {
        let (first, second) = (one.fit(points, offset, width), two.fit(points, offset, width));
        compared = compared.saturating_add(first.rows + second.rows);
        let mut steps = 1.0;
        if first.rows == 0 {
            let next = points.partition_point(|p| p.t <= one.end + offset);
            let Some(next) = points.get(next) else { break };
            steps = ((next.t - one.end - offset) / step).floor().max(1.0);
        } else {
            scores.push((offset, first.joined(second)));
        }
        let further = offset + steps * step;
        if further <= offset || scores.len() > MOST_OFFSETS || compared > MOST_COMPARED {
            return Err(format!(
                "its log covers too much time to look for pulses of {:.3} s in; give the part that covers the run",
                one.load()
            ));
        }
        offset = further;
    }
    Ok(scores)
}

/// Joins rows into means over `width` seconds.
fn binned(points: &[Point], width: f64) -> Vec<Point> {
    let mut bins: Vec<(f64, f64, f64, f64)> = Vec::new(); // number, sum of t, of values, count
    for p in points {
        let number = (p.t / width).floor();
        match bins.last_mut() {
            Some(bin) if bin.0 >= number => *bin = (bin.0, bin.1 + p.t, bin.2 + p.value, bin.3 + 1.0),
            _ => bins.push((number, p.t, p.value, 1.0)),
        }
    }
    bins.into_iter().map(|(_, t, v, n)| Point { t: t / n, value: v / n }).collect()
}

/// A pulse in seconds of the run's clock.
struct Shape {
    start: f64,
    on: f64,
    off: f64,
    end: f64,
}

/// Sums of squares of one fit.
struct Sums {
    residual: f64,
    total: f64,
    rows: usize,
}

impl Sums {
    /// Share of the variance of two fits that they leave unexplained; 1 where there is nothing to explain.
    fn joined(self, other: Self) -> f64 {
        let total = self.total + other.total;
        if total > 0.0 && self.rows.min(other.rows) >= LEAST_ROWS {
            (self.residual + other.residual) / total
        } else {
            1.0
        }
    }
}

impl Shape {
    fn of(pulse: &Pulse) -> Self {
        let s = |m: Moment| m.seconds().get();
        Self { start: s(pulse.start), on: s(pulse.on), off: s(pulse.off), end: s(pulse.end) }
    }

    fn load(&self) -> f64 {
        self.off - self.on
    }

    fn middle(&self) -> f64 {
        f64::midpoint(self.on, self.off)
    }

    /// Least squares of level and gain on the rows within the pulse; a gain below zero explains nothing.
    fn fit(&self, points: &[Point], offset: f64, width: f64) -> Sums {
        let rows =
            points.partition_point(|p| p.t < self.start + offset)..points.partition_point(|p| p.t <= self.end + offset);
        let (n, rows) = (rows.len() as f64, &points[rows]);
        let share = |p: &Point| {
            let (a, b) = (p.t - offset - width / 2.0, p.t - offset + width / 2.0);
            ((b.min(self.off) - a.max(self.on)) / width).clamp(0.0, 1.0)
        };
        let (mut f, mut p) = (0.0, 0.0);
        for row in rows {
            f += share(row);
            p += row.value;
        }
        let (mean_f, mean_p) = (f / n, p / n);
        let (mut ff, mut fp, mut pp) = (0.0, 0.0, 0.0);
        for row in rows {
            let (df, dp) = (share(row) - mean_f, row.value - mean_p);
            ff += df * df;
            fp += df * dp;
            pp += dp * dp;
        }
        let explained = if ff > 0.0 && fp > 0.0 { fp * fp / ff } else { 0.0 };
        Sums { residual: (pp - explained).max(0.0), total: pp, rows: rows.len() }
    }

    /// The best offset within `reach` of `around`, and how well it is known.
    fn refine(&self, points: &[Point], width: f64, around: f64, reach: f64) -> Result<Fix, String> {
        let (mut centre, mut reach) = (around, reach);
        let residual = |offset: f64| self.fit(points, offset, width).residual;
        while reach > width / 200.0 {
            let tried = (-20..=20).map(|i| centre + reach * f64::from(i) / 20.0);
            let values: Vec<(f64, f64)> = tried.map(|o| (o, residual(o))).collect();
            let least = values.iter().map(|v| v.1).fold(f64::INFINITY, f64::min);
            // The middle of all offsets that are equally good: a meter of momentary power has a plateau.
            let good: Vec<f64> = values.iter().filter(|v| v.1 <= least * (1.0 + 1e-9) + 1e-12).map(|v| v.0).collect();
            let (low, high) = (good[0], good[good.len() - 1]);
            centre = f64::midpoint(low, high);
            reach = ((high - low) / 2.0).max(reach / 8.0).min(reach * 0.5);
        }
        let sums = self.fit(points, centre, width);
        if sums.rows < LEAST_ROWS {
            return Err(format!(
                "a pulse has {} rows in its log, {LEAST_ROWS} are needed: log faster, or make longer pulses",
                sums.rows
            ));
        }
        let explained = if sums.total > 0.0 { 1.0 - sums.residual / sums.total } else { 0.0 };
        Ok(Fix {
            at: self.middle(),
            offset: centre,
            u: self.u(points, width, centre, &sums),
            correlation: explained.max(0.0).sqrt(),
        })
    }

    /// A momentary reading places an edge within ±Δ/2, and both edges alike where the load is a multiple
    /// of the interval long: Δ/√12. Where the noise of the log says
    /// more, the offsets at which the residual rises by two standard deviations, halved.
    fn u(&self, points: &[Point], width: f64, centre: f64, at_best: &Sums) -> f64 {
        let limit = at_best.residual * (1.0 + 4.0 / (at_best.rows as f64 - 3.0));
        let step = (width / 10.0).max(self.load() / 2.0 / FINEST);
        let side = |sign: f64| {
            let mut distance = step;
            while distance < self.load() / 2.0 && self.fit(points, centre + sign * distance, width).residual <= limit {
                distance += step;
            }
            distance
        };
        let by_noise = f64::midpoint(side(1.0), side(-1.0)) / 2.0;
        by_noise.max(width / 12f64.sqrt())
    }
}
