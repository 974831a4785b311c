//! The power trace: decimated, with windows to shade.

use super::plain::{domain_name, sentence, shorten};
use super::{Axis, Series, Span, SpanKind, Trace};
use crate::analysis::Summary;
use crate::record::{Domain, IdlePhase, RunRecord};
use std::collections::BTreeMap;

/// Points a series keeps: more than a page has dots.
const MOST_POINTS: usize = 2000;

/// Power over the run.
pub(super) fn trace(record: &RunRecord, summary: &Summary) -> Trace {
    let mut lines: BTreeMap<&Domain, Vec<(f64, f64)>> = BTreeMap::new();
    for point in &record.trace {
        for (domain, power) in &point.power {
            lines.entry(domain).or_default().push((point.at.seconds().get(), power.get()));
        }
    }
    let domains: Vec<&Domain> = lines.keys().copied().collect();
    let label = |domain: &Domain| {
        let outer = domains.iter().find(|d| d.contains(domain));
        let name = domain_name(domain);
        outer.map_or_else(|| name.clone(), |outer| format!("{name} (inside {})", domain_name(outer)))
    };
    let series: Vec<Series> = lines
        .iter()
        .map(|(domain, points)| Series { label: label(domain), points: decimate(points, MOST_POINTS) })
        .collect();
    let spans = spans(record);
    let all = || series.iter().flat_map(|s| &s.points);
    let end = all().map(|p| p.0).chain(spans.iter().map(|s| s.to)).fold(0.0, f64::max);
    let peak = all().map(|p| p.1).fold(0.0, f64::max);
    let shaded = spans.iter().filter(|s| s.kind == SpanKind::Window).count();
    Trace {
        title: "Power over the run".to_owned(),
        description: format!(
            "Power of {} over {end:.0} seconds, highest {peak:.0} W; {shaded} windows that count are shaded.",
            series.iter().map(|s| s.label.as_str()).collect::<Vec<_>>().join(", ")
        ),
        x: Axis { label: "time (s)".to_owned(), min: 0.0, max: end.max(1.0) },
        y: Axis { label: "power (W)".to_owned(), min: 0.0, max: (peak * 1.1).max(1.0) },
        empty: if summary.idle.is_empty() && summary.verdict.with_energy == 0 {
            format!("No power was traced. {}", sentence(&summary.boundary.text))
        } else {
            "No power was traced: the record has no trace points.".to_owned()
        },
        series,
        spans,
    }
}

fn spans(record: &RunRecord) -> Vec<Span> {
    let idle = record.idle.iter().map(|w| Span {
        from: w.start.seconds().get(),
        to: w.start.seconds().get() + w.wall.get(),
        label: match w.phase {
            IdlePhase::Before => "idle before".to_owned(),
            IdlePhase::After => "idle after".to_owned(),
        },
        kind: SpanKind::Idle,
    });
    let windows = record.measurements.iter().flat_map(|m| {
        let label = shorten(&m.case.id, 120);
        m.samples.iter().map(move |s| Span {
            from: s.start.seconds().get(),
            to: s.start.seconds().get() + s.wall.get(),
            label: label.clone(),
            kind: if s.flags.is_empty() { SpanKind::Window } else { SpanKind::Discarded },
        })
    });
    let mut spans: Vec<Span> = idle.chain(windows).collect();
    spans.sort_by(|a, b| a.from.total_cmp(&b.from));
    spans
}

/// At most `most` points (at least 4): of every bucket its lowest and its highest, in time order,
/// so no peak is lost. First and last points stay.
fn decimate(points: &[(f64, f64)], most: usize) -> Vec<(f64, f64)> {
    if points.len() <= most {
        return points.to_vec();
    }
    let (first, inner, last) = (points[0], &points[1..points.len() - 1], points[points.len() - 1]);
    let buckets = (most - 2) / 2;
    let mut kept = vec![first];
    for i in 0..buckets {
        let bucket = &inner[i * inner.len() / buckets..(i + 1) * inner.len() / buckets];
        let by_power = |a: &&(f64, f64), b: &&(f64, f64)| a.1.total_cmp(&b.1);
        if let (Some(low), Some(high)) = (bucket.iter().min_by(by_power), bucket.iter().max_by(by_power)) {
            let (early, late) = if low.0 <= high.0 { (low, high) } else { (high, low) };
            kept.push(*early);
            if early != late {
                kept.push(*late);
            }
        }
    }
    kept.push(last);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimation_keeps_ends_and_extremes_and_order() {
        let mut points: Vec<(f64, f64)> = (0..50_000).map(|i| (f64::from(i), f64::from(i % 7))).collect();
        points[31_337].1 = 999.0;
        points[12_345].1 = -5.0;
        let kept = decimate(&points, 2000);
        assert!(kept.len() <= 2000 && kept.len() > 1900, "{}", kept.len());
        assert_eq!((kept[0], kept[kept.len() - 1]), (points[0], points[49_999]));
        assert!(kept.contains(&(31_337.0, 999.0)) && kept.contains(&(12_345.0, -5.0)));
        assert!(kept.windows(2).all(|w| w[0].0 < w[1].0));
    }

    #[test]
    fn short_traces_stay_as_they_are() {
        let points = [(0.0, 1.0), (1.0, 2.0)];
        assert_eq!(decimate(&points, 2000), points);
    }
}
