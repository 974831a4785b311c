//! The charts of a comparison as plain numbers in final units.

use super::model::{IntervalRow, Intervals, MARKS, Overlay, OverlayArm, Pareto, ParetoPoint};
use super::tables::{order, readable};
use super::words::arm;
use crate::compare::{Case, Comparison, Entry, Figure, Front, Metric, Ratio, Roof};
use crate::report::model::Axis;
use crate::report::model::plain::shorten;
use crate::report::si::{self, Scale};

/// Arms of the chart of means.
const SHOWN: usize = 40;

/// Air around a logarithmic axis.
fn axis(label: String, values: impl Iterator<Item = f64>, air: f64) -> Axis {
    let (mut min, mut max) = (f64::INFINITY, 0.0f64);
    for v in values.filter(|v| v.is_finite() && *v > 0.0) {
        (min, max) = (min.min(v), max.max(v));
    }
    let (min, max) = if max > 0.0 { (min / air, max * air) } else { (0.1, 10.0) };
    Axis { label, min, max }
}

/// Says that a chart shows a part of the arms.
fn part(shown: usize, all: usize) -> String {
    if shown < all {
        format!(" The best {shown} of {all} arms are drawn, the reference among them.")
    } else {
        String::new()
    }
}

/// Geometric means of the metric that arms are ranked by; above 1 is better.
pub(super) fn means(c: &Comparison) -> Intervals {
    let metric = c.ranked_by();
    let (title, axis) = match metric {
        Metric::Energy => ("Performance per watt over the reference", "× reference, higher is better"),
        Metric::Time => ("Speed over the reference (energy was not measured)", "× reference, higher is better"),
    };
    let rows = c.mean(metric).map_or(&[][..], |m| m.rows.as_slice());
    let ranked: Vec<usize> = rows.iter().map(|r| r.arm).collect();
    let shown = readable(&ranked, SHOWN, c.reference);
    let row = |place: &usize| {
        let of: Ratio = rows.iter().find(|r| r.arm == *place)?.ratio?.inverse();
        let interval = of.low.zip(of.high).filter(|(l, h)| *l > 0.0 && h.is_finite());
        let range = interval.map(|(l, h)| format!(" ({})", si::interval(l, h, of.ratio))).unwrap_or_default();
        let reference = *place == c.reference;
        Some(IntervalRow {
            label: arm(c, *place),
            value: of.ratio,
            interval: interval.filter(|_| !reference),
            text: if reference { "reference".to_owned() } else { format!("{}{range}", si::number(of.ratio)) },
            reference,
        })
        .filter(|r| r.value.is_finite() && r.value > 0.0)
    };
    let rows: Vec<IntervalRow> = shown.iter().filter_map(row).collect();
    Intervals {
        title: title.to_owned(),
        description: format!(
            "Geometric means with {} intervals, each for itself; ranks above take account of all pairs. Logarithmic axis.{}",
            si::set_percent(c.confidence),
            part(shown.len(), ranked.len())
        ),
        axis: axis.to_owned(),
        rows,
        empty: "No geometric mean: the arms have no case in common, or the reference has no figure.".to_owned(),
    }
}

/// Cases and roofs of all arms over intensity.
pub(super) fn roofline(c: &Comparison) -> Overlay {
    let energy = c.without_energy.is_none();
    let value = |case: &Case, e: &Entry| {
        let rate = if energy { e.efficiency_flop_per_j?.value } else { case.useful_flop? / e.time_s?.value };
        Some(rate).filter(|r| r.is_finite() && *r > 0.0)
    };
    let of = |roof: &Roof| match energy {
        true => roof.peak_flop_per_j.zip(roof.read_b_per_j),
        false => roof.peak_flop_per_s.zip(roof.read_b_per_s),
    };
    let all = order(c);
    let shown = readable(&all, MARKS, c.reference);
    let mut arms: Vec<(usize, Vec<(f64, f64)>)> = shown.iter().map(|a| (*a, Vec::new())).collect();
    let mut numbers = Vec::new();
    for (i, case) in c.cases.iter().enumerate() {
        let mut first = None;
        for (place, points) in &mut arms {
            let Some(entry) = case.rows.iter().find(|e| e.arm == *place) else { continue };
            if let (Some(x), Some(y)) = (entry.intensity_flop_per_b, value(case, entry)) {
                first.get_or_insert(x);
                points.push((x, y));
            }
        }
        numbers.extend(first.map(|x| (x, (i + 1).to_string())));
    }
    arms.retain(|(_, points)| !points.is_empty());
    let unit = if energy { "FLOP/J" } else { "FLOP/s" };
    let drawn: Vec<usize> = arms.iter().map(|(a, _)| *a).collect();
    let roofs: Vec<(usize, (f64, f64))> =
        c.roofs.iter().filter(|r| drawn.contains(&r.arm)).filter_map(|r| Some((r.arm, of(r)?))).collect();
    let largest = arms.iter().flat_map(|(_, p)| p).map(|p| p.1).fold(0.0, f64::max);
    let scale = Scale::of(largest);
    let ys = arms.iter().flat_map(|(_, p)| p).map(|p| p.1).chain(roofs.iter().map(|r| r.1.0));
    let y = axis(scale.unit(unit), ys.map(|v| scale.apply(v)), 2.0);
    let xs = arms.iter().flat_map(|(_, p)| p).map(|p| p.0).chain(roofs.iter().map(|(_, (peak, read))| peak / read));
    let x = axis("FLOP/B".to_owned(), xs, 2.0);
    let roof = |place: usize| {
        let Some((_, (peak, read))) = roofs.iter().find(|(a, _)| *a == place) else { return Vec::new() };
        let (peak, read) = (scale.apply(*peak), scale.apply(*read));
        let from = x.min.max(y.min / read);
        let ridge = (peak / read).min(x.max);
        if from >= ridge {
            return vec![(x.min, peak), (x.max, peak)];
        }
        vec![(from, from * read), (ridge, ridge * read), (x.max, peak.min(x.max * read))]
    };
    let arms: Vec<OverlayArm> = arms
        .into_iter()
        .map(|(place, points)| OverlayArm {
            label: arm(c, place),
            roof: roof(place),
            points: points.into_iter().map(|(x, y)| (x, scale.apply(y))).collect(),
        })
        .collect();
    let title = if energy { "Energy rooflines" } else { "Rooflines (energy was not measured)" };
    Overlay {
        title: title.to_owned(),
        description: format!(
            "All cases of {} arms by arithmetic intensity (horizontal, FLOP a byte) and {} (vertical), both logarithmic, \
             below the highest arithmetic and the memory ceiling that each arm measured; numbers at the top are those of the \
             cases below.{}",
            arms.len(),
            y.label,
            part(arms.len(), all.len())
        ),
        x,
        y,
        arms,
        numbers,
        empty: "No case has both operations and traffic to place in a roofline.".to_owned(),
    }
}

/// Time against energy of one case; `order` has the best first.
pub(super) fn front(c: &Comparison, case: &Case, order: &[&Entry]) -> Pareto {
    let known: Vec<&&Entry> = order.iter().filter(|e| e.time_s.is_some() && e.energy_j.is_some()).collect();
    // Whoever may be on the front is drawn first.
    let mut places: Vec<usize> = known.iter().filter(|e| e.front != Some(Front::Dominated)).map(|e| e.arm).collect();
    places.extend(known.iter().filter(|e| e.front == Some(Front::Dominated)).map(|e| e.arm));
    let shown = readable(&places, MARKS, c.reference);
    let drawn: Vec<&Entry> = shown.iter().filter_map(|a| case.rows.iter().find(|e| e.arm == *a)).collect();
    let values = |pick: fn(&Entry) -> Option<Figure>| -> Vec<f64> {
        drawn
            .iter()
            .filter_map(|e| pick(e))
            .flat_map(|f| [Some(f.value), f.low, f.high])
            .flatten()
            .filter(|v| v.is_finite() && *v > 0.0)
            .collect()
    };
    let (times, joules) = (values(|e| e.time_s), values(|e| e.energy_j));
    let scale = |v: &[f64]| Scale::of(v.iter().copied().fold(0.0, f64::max));
    let (across, along) = (scale(&times), scale(&joules));
    let bounds = |f: Figure, s: Scale| {
        f.low.zip(f.high).map(|(l, h)| (s.apply(l), s.apply(h))).filter(|(l, h)| *l > 0.0 && h.is_finite())
    };
    let point = |e: &&Entry| {
        let (time, energy) = (e.time_s?, e.energy_j?);
        let word = match e.front {
            Some(Front::On) => ": on the front",
            Some(Front::Possible) => ": possibly on the front",
            Some(Front::Dominated) => "",
            None => ": not decided",
        };
        Some(ParetoPoint {
            label: format!("{}{word}", arm(c, e.arm)),
            x: across.apply(time.value),
            across: bounds(time, across),
            y: along.apply(energy.value),
            along: bounds(energy, along),
            dominated: e.front == Some(Front::Dominated),
        })
        .filter(|p| p.x > 0.0 && p.y > 0.0 && p.x.is_finite() && p.y.is_finite())
    };
    let points: Vec<ParetoPoint> = drawn.iter().filter_map(point).collect();
    let rest = if shown.len() < known.len() {
        format!(" {} of {} arms are drawn, those that may be on the front first.", shown.len(), known.len())
    } else {
        String::new()
    };
    Pareto {
        title: format!("Time against energy of {}", shorten(&case.id, 80)),
        description: format!(
            "Lower left is better; both axes logarithmic, lines are {} intervals.{rest}",
            si::set_percent(c.confidence)
        ),
        x: axis(format!("time, {}", across.unit("s")), times.iter().map(|v| across.apply(*v)), 1.15),
        y: axis(format!("energy, {}", along.unit("J")), joules.iter().map(|v| along.apply(*v)), 1.15),
        points: if drawn.len() > 1 { points } else { Vec::new() },
        empty: "Energy is not known of two arms, so there is no front.".to_owned(),
    }
}
