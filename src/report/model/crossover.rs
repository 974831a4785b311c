//! Where sparsity pays, as plain numbers and words.

use super::charts::log_range;
use super::context::fact;
use super::plain::shorten;
use super::{Axis, Crossover, CrossoverChart, CrossoverPlace, CrossoverSeries};
use crate::analysis::{self, BreakEven, CrossoverPoint, Figure, Summary};
use crate::report::si;

/// Charts and words for every family of sparse cases with a dense partner.
pub(super) fn crossover(summary: &Summary) -> Crossover {
    let families = &summary.crossovers;
    // A single point, such as a causal mask beside the dense one, is no question of density.
    if families.iter().all(|f| f.points.len() < 2) {
        return Crossover { charts: Vec::new(), facts: Vec::new() };
    }
    let measured = families.iter().any(|f| f.energy != BreakEven::Unknown);
    let time = chart(families, "time", |p| &p.speedup);
    let energy = measured.then(|| chart(families, "energy", |p| &p.energy_ratio));
    let charts = [Some(time), energy].into_iter().flatten().filter(|c| !c.series.is_empty()).collect();
    let words = families.iter().map(|family| {
        let mut text = format!("time: {}", in_words(family.time));
        if measured {
            text.push_str(&format!("; energy: {}", in_words(family.energy)));
        }
        fact(&shorten(&family.label, 120), text)
    });
    Crossover { charts, facts: words.collect() }
}

fn chart(families: &[analysis::Crossover], what: &str, pick: fn(&CrossoverPoint) -> &Figure) -> CrossoverChart {
    let series: Vec<CrossoverSeries> = families.iter().filter_map(|family| line(family, pick)).collect();
    let points = || series.iter().flat_map(|s| s.points.iter());
    let x = log_range(points().map(|p| p.x), "density: useful over dense operations");
    let heights = points().flat_map(|p| [p.y, p.interval.map_or(p.y, |i| i.0), p.interval.map_or(p.y, |i| i.1)]);
    // The line at 1 is what the chart is about.
    let y = log_range(heights.chain([1.0]), &format!("{what} of dense over {what} of sparse"));
    CrossoverChart {
        title: format!("Where sparsity pays: {what}"),
        description: format!(
            "{} families of sparse cases: {what} of the dense case that does the same product, over their own, by density. \
             Above 1 the sparse case is better. Intervals hold scatter; the gain of one sensor cancels.",
            series.len()
        ),
        x: Axis { max: x.max.min(1.0), ..x },
        y,
        series,
        empty: "No sparse case has a dense one of the same shape beside it.".to_owned(),
    }
}

fn line(family: &analysis::Crossover, pick: fn(&CrossoverPoint) -> &Figure) -> Option<CrossoverSeries> {
    let points = family.points.iter().filter_map(|point| {
        let e = pick(point).estimate().filter(|e| e.median > 0.0)?;
        let interval = e.low.zip(e.high).filter(|(low, high)| *low > 0.0 && *high > 0.0);
        Some(CrossoverPlace { x: point.density, y: e.median, interval })
    });
    let points: Vec<_> = points.filter(|p| p.x > 0.0).collect();
    (!points.is_empty()).then(|| CrossoverSeries { label: shorten(&family.label, 120), points })
}

fn in_words(even: BreakEven) -> String {
    let percent = |density: f64| format!("{} %", si::number(density * 100.0));
    match even {
        BreakEven::At { density } => format!("sparse is better below {}", percent(density)),
        BreakEven::Always { up_to } => format!("sparse is better at every density measured, up to {}", percent(up_to)),
        BreakEven::Never { down_to } => {
            format!("dense is better at every density measured, down to {}", percent(down_to))
        }
        BreakEven::Unknown => "not measured".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::summarise;
    use crate::record::fixture;

    #[test]
    fn families_are_drawn_and_told_in_words() {
        let model = crossover(&summarise(&fixture::crossing()));
        let titles: Vec<&str> = model.charts.iter().map(|c| c.title.as_str()).collect();
        assert_eq!(titles, ["Where sparsity pays: time", "Where sparsity pays: energy"]);
        for chart in &model.charts {
            assert_eq!(chart.series.len(), 4);
            assert!(chart.y.min < 1.0 && chart.y.max > 1.0 && chart.x.max <= 1.0, "{:?} {:?}", chart.x, chart.y);
        }
        let csr = &model.facts[0];
        assert!(
            csr.label == "spmm-csr, 2 threads" && csr.value.starts_with("time: sparse is better below "),
            "{csr:?}"
        );
        assert!(model.facts[3].value.contains("at every density measured, up to 50.0 %"), "{:?}", model.facts[3]);
        // One causal mask beside the dense one, and no partner at all.
        for record in [fixture::with_rapl(), fixture::hand_made(&[1.0, 1.1])] {
            let without = crossover(&summarise(&record));
            assert!(without.charts.is_empty() && without.facts.is_empty());
        }
    }
}
