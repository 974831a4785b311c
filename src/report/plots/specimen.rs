//! A view model for tests of renderers: every field filled, every string passed through a function
//! of the test's choice. Its numbers mean nothing.

use crate::analysis;
use crate::record::fixture;
use crate::report::model::*;

/// A model of `cases` cases whose texts are `text(plain)`.
pub(crate) fn specimen(cases: usize, text: &dyn Fn(&str) -> String) -> ReportModel {
    let fact = |label: &str, value: &str, mono: bool| Fact { label: text(label), value: text(value), mono };
    let names: Vec<String> = (0..cases).map(name).collect();
    ReportModel {
        title: text("Reference kernels on one CPU"),
        subtitle: text("Example CPU 9000, 2 cores · 22 November 2026 · wattproof 0.1.0"),
        record_id: text("20261122T080000Z-quick-3f9a"),
        date: "2026-11-22T08:00:00Z".into(),
        verdict: VerdictLine { tone: Tone::Warning, text: text("all cases correct; energy not measured") },
        facts: vec![fact("Energy", "not measured", false), fact("Machine", "Example CPU 9000", false)],
        results: results(&names, text),
        domains: small("domains", text),
        counters: small("counters", text),
        ceilings: small("ceilings", text),
        uncertainty: small("uncertainty", text),
        idle: Table { rows: Vec::new(), ..small("idle", text) },
        bars: bars(&names, text),
        roofline: roofline(&names, text),
        crossover: crossover(cases, text),
        trace: trace(&names, text),
        sensors: vec![
            SensorCard {
                id: text("rapl"),
                title: text("RAPL"),
                tone: Tone::Bad,
                state: "denied",
                detail: text("energy_uj is readable by root alone"),
                remedy: Some(text("sudo chmod o+r /sys/class/powercap/intel-rapl:0/energy_uj")),
                lines: vec![text("package-0: counter, 1 µJ")],
            },
            SensorCard {
                id: text("nvml"),
                title: text("NVML"),
                tone: Tone::Neutral,
                state: "absent",
                detail: text("libnvidia-ml.so.1 is not installed"),
                remedy: None,
                lines: Vec::new(),
            },
        ],
        environment: vec![FactGroup {
            title: text("Processor"),
            facts: vec![fact("Model", "Example CPU 9000", false)],
        }],
        caveats: vec![
            CaveatLine { code: "not-measured", tone: Tone::Warning, case: String::new(), text: text("no counter") },
            CaveatLine { code: "wrong-answer", tone: Tone::Bad, case: text("gemm-f32-m1024"), text: text("void") },
        ],
        method: vec![Paragraph { title: text("Windows"), text: text("Each case ran five windows of 250 ms.") }],
        provenance: vec![fact("Samples (SHA-256)", &"9f2c".repeat(16), true)],
        data: Data { summary: analysis::summarise(&fixture::cpu_only()), identity: identity(text) },
    }
}

fn name(i: usize) -> String {
    const KERNELS: [&str; 5] = [
        "gemm-f32-m1024-n1024-k1024",
        "spmm-csr-n65536-d1pct",
        "attention-f32-b1-h8-q1024-causal",
        "triad",
        "spmv-csr",
    ];
    format!("{}-t{}-v{i}", KERNELS[i % KERNELS.len()], 1 + i % 4)
}

fn column(key: &'static str, title: &str, unit: Option<&str>, text: &dyn Fn(&str) -> String) -> Column {
    Column {
        key,
        title: text(title),
        unit: unit.map(text),
        numeric: key != "case" && key != "check",
        meaning: text("what the column means"),
    }
}

fn cell(shown: String, kind: CellKind, text: &dyn Fn(&str) -> String) -> Cell {
    let measured = kind == CellKind::Measured;
    Cell {
        text: text(&shown),
        interval: measured.then(|| text("12.1–12.6")),
        kind,
        note: Some(text("n = 5")),
        sort: measured.then_some(12.3),
    }
}

fn results(names: &[String], text: &dyn Fn(&str) -> String) -> Table {
    let columns = [
        ("case", "Case", None),
        ("time", "Time", None),
        ("performance", "Performance", None),
        ("peak", "Of peak", Some("%")),
        ("energy", "Energy", Some("mJ")),
        ("estimate", "Estimate", Some("mJ")),
        ("check", "Answer", None),
    ];
    let row = |(i, n): (usize, &String)| Row {
        anchor: format!("case-{i}"),
        tone: if i == 1 { Tone::Bad } else { Tone::Neutral },
        cells: vec![
            cell(n.clone(), CellKind::Code, text),
            cell("12.3 ms".into(), CellKind::Measured, text),
            cell("210 GFLOP/s".into(), CellKind::Measured, text),
            cell("92.1".into(), CellKind::Measured, text),
            cell("not measured".into(), CellKind::Missing, text),
            cell("14.2".into(), CellKind::Estimated, text),
            cell("ok".into(), if i == 1 { CellKind::Failed } else { CellKind::Passed }, text),
        ],
    };
    Table {
        id: "results",
        caption: text("One row a case"),
        columns: columns.map(|(key, title, unit)| column(key, title, unit, text)).into(),
        rows: names.iter().enumerate().map(row).collect(),
        notes: vec![text("A note.")],
        empty: text("No case was measured."),
    }
}

fn small(id: &'static str, text: &dyn Fn(&str) -> String) -> Table {
    Table {
        id,
        caption: text("A small table"),
        columns: vec![column("case", "Name", None, text), column("power", "Power", Some("W"), text)],
        rows: vec![Row {
            anchor: format!("{id}-0"),
            tone: Tone::Neutral,
            cells: vec![cell("package-0".into(), CellKind::Code, text), cell("21.0".into(), CellKind::Measured, text)],
        }],
        notes: Vec::new(),
        empty: text("Nothing was read."),
    }
}

fn bars(names: &[String], text: &dyn Fn(&str) -> String) -> BarChart {
    let bar = |(i, n): (usize, &String)| {
        let value = 2.0 + (i * 37 % 50) as f64 / 4.0;
        Bar {
            label: text(n),
            anchor: format!("case-{i}"),
            value,
            interval: (i % 3 != 0).then_some((value * 0.95, value * 1.06)),
            text: text(&format!("{value:.2} GFLOP/J")),
        }
    };
    BarChart {
        title: text("Performance per watt"),
        description: text("Bars with 95 % intervals."),
        axis: text("GFLOP/J"),
        bars: names.iter().enumerate().map(bar).collect(),
        missing: vec![Fact { label: text("gemm-f64"), value: text("wrong answer"), mono: false }],
        empty: text("No case has a figure."),
    }
}

fn crossover(cases: usize, text: &dyn Fn(&str) -> String) -> Crossover {
    if cases == 0 {
        return Crossover { charts: Vec::new(), facts: Vec::new() };
    }
    let series = |label: &str, points: &[(f64, f64)]| CrossoverSeries {
        label: text(label),
        points: (points.iter()).map(|&(x, y)| CrossoverPlace { x, y, interval: Some((y * 0.95, y * 1.05)) }).collect(),
    };
    let chart = CrossoverChart {
        title: text("Where sparsity pays: time"),
        description: text("two families"),
        x: Axis { label: text("density"), min: 0.01, max: 1.0 },
        y: Axis { label: text("time of dense over time of sparse"), min: 0.3, max: 12.0 },
        series: vec![series("spmm-csr", &[(0.02, 9.0), (0.1, 2.8), (0.5, 0.8)]), series("spmm-2-4", &[(0.5, 1.1)])],
        empty: text("none"),
    };
    let fact = Fact { label: text("spmm-csr"), value: text("time: sparse is better below 38 %"), mono: false };
    Crossover { charts: vec![chart], facts: vec![fact] }
}

fn roofline(names: &[String], text: &dyn Fn(&str) -> String) -> Roofline {
    let point = |(i, n): (usize, &String)| {
        let (x, y) = (0.1 * 4f64.powi(i32::try_from(i % 5).unwrap()), 0.4 * 1.9f64.powi(i32::try_from(i % 7).unwrap()));
        RooflinePoint {
            label: text(n),
            anchor: format!("case-{i}"),
            x,
            y,
            interval: Some((y * 0.9, y * 1.1)),
            text: text(&format!("{y:.2} GFLOP/J at {x:.2} FLOP/B")),
        }
    };
    let ceiling = |label: &str, peak: f64| CeilingLine {
        label: text(label),
        points: (0..=60).map(|i| 0.05 * 1.17f64.powi(i)).map(|x| (x, peak.min(x * 4.0))).collect(),
    };
    Roofline {
        title: text("Energy roofline"),
        description: text("Efficiency over intensity."),
        x: Axis { label: text("intensity (FLOP/B)"), min: 0.05, max: 500.0 },
        y: Axis { label: text("efficiency (GFLOP/J)"), min: 0.1, max: 50.0 },
        ceilings: vec![
            ceiling("f32 peak, 2 threads: 30 GFLOP/J", 30.0),
            ceiling("f64 peak, 2 threads: 15 GFLOP/J", 15.0),
        ],
        points: names.iter().enumerate().map(point).collect(),
        empty: text("No case has both."),
    }
}

fn trace(names: &[String], text: &dyn Fn(&str) -> String) -> Trace {
    let end = 8.0 + names.len() as f64 * 0.8;
    let power =
        |t: f64| 21.0 + if t > 4.0 && t < end - 4.0 { 50.0 + 9.0 * (t * 2.1).sin() } else { 0.5 * (t * 9.0).sin() };
    let series = |label: &str, share: f64| Series {
        label: text(label),
        points: (0..1500).map(|i| f64::from(i) * end / 1500.0).map(|t| (t, power(t) * share)).collect(),
    };
    let span = |from: f64, to: f64, label: String, kind: SpanKind| Span { from, to, label, kind };
    let mut spans = vec![span(0.0, 4.0, text("idle before"), SpanKind::Idle)];
    for (i, n) in names.iter().enumerate() {
        let from = 4.0 + i as f64 * 0.8;
        let kind = if i == 2 { SpanKind::Discarded } else { SpanKind::Window };
        spans.push(span(from + 0.05, from + 0.75, text(n), kind));
    }
    spans.push(span(end - 4.0, end, text("idle after"), SpanKind::Idle));
    Trace {
        title: text("Power over the run"),
        description: text("Lines of power over time."),
        x: Axis { label: text("time (s)"), min: 0.0, max: end },
        y: Axis { label: text("power (W)"), min: 0.0, max: 90.0 },
        series: vec![series("package-0", 1.0), series("cores-0 (inside package-0)", 0.7), series("dram-0", 0.15)],
        spans,
        empty: text("No power was read."),
    }
}

fn identity(text: &dyn Fn(&str) -> String) -> Identity {
    Identity {
        id: text("20261122T080000Z-quick-3f9a"),
        record_schema: 1,
        started_at: "2026-11-22T08:00:00Z".into(),
        finished_at: None,
        state: "complete",
        simulated: Vec::new(),
        tool: text("wattproof 0.1.0"),
        suite: text("quick"),
        suite_sha256: "00".repeat(32),
        samples_sha256: "11".repeat(32),
        profile: text("quick"),
        seed: 1,
    }
}
