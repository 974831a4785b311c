//! Bars and roofline as plain numbers in final units.

use super::plain::shorten;
use super::{Axis, Bar, BarChart, CeilingLine, Fact, Roofline, RooflinePoint};
use crate::analysis::{CaseSummary, Estimate, Figure, Summary};
use crate::record::{Dtype, Role};
use crate::report::si::{self, Scale};

/// What the charts show: performance per watt where energy is known, else performance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    Efficiency,
    Performance,
}

impl Shown {
    fn of(summary: &Summary) -> Self {
        let known = summary.cases.iter().any(|c| c.role == Role::Workload && c.energy.efficiency.estimate().is_some());
        if known { Self::Efficiency } else { Self::Performance }
    }

    fn figure(self, case: &CaseSummary) -> &Figure {
        match self {
            Self::Efficiency => &case.energy.efficiency,
            Self::Performance => &case.rate,
        }
    }

    const fn unit(self) -> &'static str {
        match self {
            Self::Efficiency => "FLOP/J",
            Self::Performance => "FLOP/s",
        }
    }

    /// Bytes a joule, or bytes a second, of a read probe.
    fn slope(self, case: &CaseSummary) -> Option<f64> {
        match self {
            Self::Efficiency => {
                let energy = case.energy.per_iteration.estimate()?.median;
                Some(case.work?.bytes.get() / energy)
            }
            Self::Performance => Some(case.bandwidth.estimate()?.median),
        }
        .filter(|s| s.is_finite() && *s > 0.0)
    }

    /// One scale for the chart: that of the largest value.
    fn scale(self, cases: &[(String, &CaseSummary)]) -> Scale {
        let largest = cases.iter().filter_map(|(_, c)| self.figure(c).estimate()).map(|e| e.median).fold(0.0, f64::max);
        Scale::of(largest)
    }
}

fn scaled_interval(e: &Estimate, scale: Scale) -> Option<(f64, f64)> {
    e.low.zip(e.high).map(|(low, high)| (scale.apply(low), scale.apply(high)))
}

/// One bar a workload.
pub(super) fn bars(summary: &Summary, cases: &[(String, &CaseSummary)]) -> BarChart {
    let shown = Shown::of(summary);
    let scale = shown.scale(cases);
    let mut bars = Vec::new();
    let mut absent = Vec::new();
    for (anchor, case) in cases {
        match shown.figure(case) {
            Figure::Measured(e) => bars.push(Bar {
                label: shorten(&case.id, 120),
                anchor: anchor.clone(),
                value: scale.apply(e.median),
                interval: scaled_interval(e, scale),
                text: si::quantity(e.median, shown.unit()),
            }),
            Figure::NotMeasured { reason } => {
                absent.push(Fact { label: shorten(&case.id, 120), value: shorten(reason, 200), mono: false });
            }
        }
    }
    let best = bars.iter().max_by(|a, b| a.value.total_cmp(&b.value));
    let best = best.map_or_else(String::new, |b| format!(" The highest is {} with {}.", b.label, b.text));
    let (title, what) = match shown {
        Shown::Efficiency => (
            "Performance per watt",
            "useful operations a joule, gross energy; intervals show scatter alone, the gain of a sensor is the same for all",
        ),
        Shown::Performance => ("Performance (energy was not measured)", "useful operations a second"),
    };
    BarChart {
        title: title.to_owned(),
        description: format!("Bars with intervals for {} cases: {what}.{best}", bars.len()),
        axis: scale.unit(shown.unit()),
        bars,
        missing: absent,
        empty: "No case has a figure to draw.".to_owned(),
    }
}

/// Cases and ceilings over intensity.
pub(super) fn roofline(
    summary: &Summary,
    cases: &[(String, &CaseSummary)],
    probes: &[(String, &CaseSummary)],
) -> Roofline {
    let shown = Shown::of(summary);
    let scale = shown.scale(cases);
    let points: Vec<RooflinePoint> = cases.iter().filter_map(|(a, c)| point(shown, scale, a, c)).collect();
    let flats = flats(shown, scale, probes);
    let slopes = slopes(shown, scale, probes);
    let x = log_range(points.iter().map(|p| p.x).chain(ridge(&flats, &slopes)), "FLOP/B");
    let tops = flats.iter().map(|f| f.1).chain(points.iter().map(|p| p.interval.map_or(p.y, |i| i.1)));
    let y = log_range(tops.chain(points.iter().map(|p| p.y)), &scale.unit(shown.unit()));
    let title = match shown {
        Shown::Efficiency => "Energy roofline",
        Shown::Performance => "Roofline (energy was not measured)",
    };
    Roofline {
        title: title.to_owned(),
        description: format!(
            "{} cases by arithmetic intensity (horizontal, FLOP a byte) and {} (vertical), both logarithmic, under {} \
             ceilings measured in the same run.",
            points.len(),
            y.label,
            flats.len() + slopes.len()
        ),
        ceilings: lines(&flats, &slopes, &x, &y),
        points,
        x,
        y,
        empty: "No case has both operations and traffic to place in a roofline.".to_owned(),
    }
}

fn point(shown: Shown, scale: Scale, anchor: &str, case: &CaseSummary) -> Option<RooflinePoint> {
    let e = shown.figure(case).estimate()?;
    let x = case.intensity?;
    let positive = |(low, high): &(f64, f64)| *low > 0.0 && *high > 0.0;
    Some(RooflinePoint {
        label: shorten(&case.id, 120),
        anchor: anchor.to_owned(),
        x,
        y: scale.apply(e.median),
        interval: scaled_interval(e, scale).filter(positive),
        text: format!("{} at {} FLOP/B", si::quantity(e.median, shown.unit()), si::number(x)),
    })
    .filter(|p| p.y > 0.0)
}

/// Arithmetic ceilings, one an element type, at the largest thread count: label and height.
fn flats(shown: Shown, scale: Scale, probes: &[(String, &CaseSummary)]) -> Vec<(String, f64)> {
    let mut flats = Vec::new();
    for dtype in Dtype::ALL {
        let of_type = probes.iter().filter(|(_, c)| c.role == Role::ComputeCeiling && c.params.dtype == *dtype);
        let known = of_type.filter(|(_, c)| shown.figure(c).estimate().is_some());
        let Some((_, probe)) = known.max_by_key(|(_, c)| c.threads) else { continue };
        let Some(e) = shown.figure(probe).estimate() else { continue };
        let label = format!("{dtype} peak, {}: {}", threads(probe), si::quantity(e.median, shown.unit()));
        flats.push((label, scale.apply(e.median)));
    }
    flats
}

/// Read ceilings at the largest thread count, smallest and largest footprint: label and slope.
fn slopes(shown: Shown, scale: Scale, probes: &[(String, &CaseSummary)]) -> Vec<(String, f64)> {
    let mut reads: Vec<(f64, f64, &CaseSummary)> = probes
        .iter()
        .filter(|(_, c)| c.role == Role::MemoryCeiling)
        .filter_map(|(_, c)| Some((c.work?.bytes.get(), shown.slope(c)?, *c)))
        .collect();
    let most = reads.iter().map(|(.., c)| c.threads).max();
    reads.retain(|(.., c)| Some(c.threads) == most);
    reads.sort_by(|a, b| a.0.total_cmp(&b.0));
    if reads.len() > 2 {
        reads.drain(1..reads.len() - 1);
    }
    let unit = if shown == Shown::Efficiency { "B/J" } else { "B/s" };
    let label = |(bytes, slope, case): &(f64, f64, &CaseSummary)| {
        let text = format!("read {}, {}: {}", si::bytes(*bytes), threads(case), si::quantity(*slope, unit));
        (text, scale.apply(*slope))
    };
    reads.iter().map(label).collect()
}

fn threads(case: &CaseSummary) -> String {
    match case.threads {
        Some(1) => "1 thread".to_owned(),
        Some(n) => format!("{n} threads"),
        None => "threads unknown".to_owned(),
    }
}

/// Intensities where slopes meet the highest arithmetic ceiling.
fn ridge(flats: &[(String, f64)], slopes: &[(String, f64)]) -> Vec<f64> {
    let top = flats.iter().map(|f| f.1).fold(0.0, f64::max);
    slopes.iter().filter(|_| top > 0.0).map(|s| top / s.1).collect()
}

/// A logarithmic range with half an octave of air around the values.
pub(super) fn log_range(values: impl Iterator<Item = f64>, label: &str) -> Axis {
    let (mut min, mut max) = (f64::INFINITY, 0.0f64);
    for v in values.filter(|v| v.is_finite() && *v > 0.0) {
        (min, max) = (min.min(v), max.max(v));
    }
    let (min, max) = if max > 0.0 { (min / 2.0, max * 2.0) } else { (0.1, 10.0) };
    Axis { label: label.to_owned(), min, max }
}

/// Ceilings as lines inside the axes: slopes end where they meet the highest flat, flats begin
/// where the steepest slope reaches them.
fn lines(flats: &[(String, f64)], slopes: &[(String, f64)], x: &Axis, y: &Axis) -> Vec<CeilingLine> {
    let top = flats.iter().map(|f| f.1).fold(0.0, f64::max);
    let roof = if top > 0.0 { top } else { y.max };
    let steepest = slopes.iter().map(|s| s.1).fold(0.0, f64::max);
    let sloped = slopes.iter().filter_map(|(label, slope)| {
        let from = x.min.max(y.min / slope);
        let to = x.max.min(roof / slope);
        (from < to).then(|| CeilingLine { label: label.clone(), points: vec![(from, slope * from), (to, slope * to)] })
    });
    let flat = flats.iter().filter_map(|(label, height)| {
        let from = if steepest > 0.0 { x.min.max(height / steepest) } else { x.min };
        (from < x.max).then(|| CeilingLine { label: label.clone(), points: vec![(from, *height), (x.max, *height)] })
    });
    sloped.chain(flat).collect()
}
