//! The view model and its formats, on synthetic records.

use super::*;
use crate::analysis::summarise;
use crate::record::{RunRecord, fixture};

fn rendered(id: &str, record: &RunRecord) -> String {
    let bytes = (find(id).unwrap().render)(&ReportModel::of(record)).unwrap();
    String::from_utf8(bytes).unwrap()
}

fn all_fixtures() -> Vec<RunRecord> {
    use fixture::{cpu_only, denied, estimated, fifty_cases, hostile, partial, with_gpu, with_rapl, wrong_answer};
    vec![
        cpu_only(),
        estimated(),
        denied(),
        with_rapl(),
        with_gpu(),
        partial(),
        wrong_answer(),
        hostile(),
        fifty_cases(),
    ]
}

#[test]
fn markdown_of_three_records() {
    insta::assert_snapshot!("markdown_cpu_only", rendered("markdown", &fixture::cpu_only()));
    insta::assert_snapshot!("markdown_with_rapl", rendered("markdown", &fixture::with_rapl()));
    insta::assert_snapshot!("markdown_wrong_answer", rendered("markdown", &fixture::wrong_answer()));
}

#[test]
fn json_of_two_cases() {
    // One workload of each kind keeps the snapshot readable; the schema is the same for all.
    let two = |mut record: RunRecord| {
        record.measurements.retain(|m| m.case.kernel == "spmm-csr" || m.case.kernel == "fma-peak");
        record.measurements.drain(..2);
        rendered("json", &record)
    };
    insta::assert_snapshot!("json_cpu_only", two(fixture::cpu_only()));
    insta::assert_snapshot!("json_with_rapl", two(fixture::with_rapl()));
}

#[test]
fn charts_and_sensors_of_two_records() {
    for (name, record) in [("charts_denied", fixture::denied()), ("charts_with_gpu", fixture::with_gpu())] {
        let mut model = ReportModel::of(&record);
        for series in &mut model.trace.series {
            series.points.truncate(2);
        }
        model.trace.spans.truncate(3);
        let shown = (&model.bars, &model.roofline, &model.trace, &model.sensors);
        insta::assert_snapshot!(name, serde_json::to_string_pretty(&shown).unwrap());
    }
}

#[test]
fn every_row_is_as_wide_as_its_table() {
    for record in all_fixtures() {
        let model = ReportModel::of(&record);
        for table in [&model.results, &model.counters, &model.domains, &model.ceilings, &model.idle, &model.uncertainty]
        {
            for row in &table.rows {
                assert_eq!(row.cells.len(), table.columns.len(), "{}", table.id);
            }
        }
        let mut anchors: Vec<&str> =
            model.results.rows.iter().chain(&model.ceilings.rows).map(|r| &*r.anchor).collect();
        let all = anchors.len();
        anchors.sort_unstable();
        anchors.dedup();
        assert_eq!(anchors.len(), all, "anchors are unique");
    }
}

#[test]
fn charts_hold_only_finite_values_inside_their_axes() {
    for record in all_fixtures() {
        let model = ReportModel::of(&record);
        let (x, y) = (&model.roofline.x, &model.roofline.y);
        let lines = model.roofline.ceilings.iter().flat_map(|c| c.points.iter().copied());
        for (px, py) in lines.chain(model.roofline.points.iter().map(|p| (p.x, p.y))) {
            let inside = |v: f64, min: f64, max: f64| v >= min * 0.999_999 && v <= max * 1.000_001;
            assert!(inside(px, x.min, x.max) && inside(py, y.min, y.max), "({px}, {py}) outside {x:?} {y:?}");
        }
        for bar in &model.bars.bars {
            assert!(bar.value.is_finite() && bar.value > 0.0);
            if let Some((low, high)) = bar.interval {
                assert!(low <= bar.value && bar.value <= high);
            }
        }
        assert!(model.trace.series.iter().all(|s| s.points.len() <= 2000));
        assert!(model.trace.spans.windows(2).all(|w| w[0].from <= w[1].from));
    }
}

#[test]
fn without_energy_the_charts_say_so_and_show_performance() {
    let model = ReportModel::of(&fixture::cpu_only());
    assert_eq!(model.bars.title, "Performance (energy was not measured)");
    assert_eq!(model.bars.axis, "GFLOP/s");
    assert!(model.trace.series.is_empty() && model.trace.empty.contains("/sys/class/powercap"));
    let energy = model.results.columns.iter().position(|c| c.key == "energy").unwrap();
    for row in &model.results.rows {
        assert_eq!(row.cells[energy].text, "not measured");
        assert!(row.cells[energy].note.as_ref().unwrap().contains("no intel-rapl zone"));
    }
    let model = ReportModel::of(&fixture::with_rapl());
    assert_eq!((model.bars.title.as_str(), model.bars.axis.as_str()), ("Performance per watt", "GFLOP/J"));
}

#[test]
fn the_share_of_copy_is_a_column_where_a_card_was_probed() {
    let column = |model: &ReportModel| model.results.columns.iter().position(|c| c.key == "of-copy");
    let without = ReportModel::of(&fixture::cpu_only());
    assert!(column(&without).is_none() && !without.ceilings.notes[0].contains("copy"));
    let model = ReportModel::of(&fixture::with_copy_probe());
    let at = column(&model).unwrap();
    let row = |case: &str| model.results.rows.iter().find(|r| r.cells[0].text.starts_with(case)).unwrap();
    // 38 GB/s of 39.
    assert!(row("triad").cells[at].text.starts_with("97"), "{:?}", row("triad").cells[at]);
    let alone = &row("gemm-f32-k1024-m1024-n1024-t1").cells[at];
    assert_eq!((alone.text.as_str(), alone.note.as_deref()), ("–", Some("no copy probe of this device in the record")));
    let kinds: Vec<&str> = model.ceilings.rows.iter().map(|r| r.cells[1].text.as_str()).collect();
    assert_eq!(kinds.last(), Some(&"copying"));
    assert!(model.ceilings.notes[0].ends_with("and “of copy”."));
}

#[test]
fn estimated_columns_are_marked_and_charts_ignore_them() {
    use super::model::CellKind;
    let model = ReportModel::of(&fixture::estimated());
    let column = model.results.columns.iter().position(|c| c.key == "estimated-energy").unwrap();
    let cell = &model.results.rows[0].cells[column];
    assert_eq!((cell.kind, cell.interval.as_deref()), (CellKind::Estimated, None));
    assert!(cell.note.as_ref().unwrap().contains("95 W"));
    assert_eq!(model.bars.axis, "GFLOP/s");
    let without = ReportModel::of(&fixture::cpu_only());
    assert!(without.results.columns.iter().all(|c| !c.key.starts_with("estimated")));
}

#[test]
fn text_from_outside_is_plain_everywhere() {
    let model = ReportModel::of(&fixture::hostile());
    let json = serde_json::to_string(&model).unwrap();
    let hidden = |c: char| c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c) || c == '\u{2066}';
    assert!(!json.contains("\\u00") && !json.contains("\\n") && !json.contains(hidden));
    assert!(json.contains("<script>alert(1)</script>"), "markup is kept for the renderers to escape");
    let markdown = rendered("markdown", &fixture::hostile());
    let mut live = String::new();
    let mut chars = markdown.chars();
    while let Some(c) = chars.next() {
        if c == '\\' {
            chars.next(); // a backslash makes the character after it plain text
        } else {
            live.push(c);
        }
    }
    assert!(!live.contains(['<', '>', '`', '[', '!', '$']), "{live}");
    assert!(!live.contains("| pipe"));
    for line in markdown.lines().filter(|l| l.starts_with('|')) {
        let pipes = line.replace("\\|", "").matches('|').count();
        assert!(pipes >= 5, "{line}");
    }
}

#[test]
fn tables_in_markdown_keep_their_columns() {
    for record in all_fixtures() {
        let markdown = rendered("markdown", &record);
        let mut width = None;
        for line in markdown.lines() {
            if !line.starts_with('|') {
                width = None;
                continue;
            }
            let pipes = line.replace("\\|", "").matches('|').count();
            assert_eq!(*width.get_or_insert(pipes), pipes, "{line}");
        }
    }
}

#[test]
fn json_is_unrounded_and_reads_back() {
    let record = fixture::with_rapl();
    let json: serde_json::Value = serde_json::from_str(&rendered("json", &record)).unwrap();
    let summary = summarise(&record);
    let case = &json["cases"][7];
    let median = summary.cases[7].energy.efficiency.estimate().unwrap().median;
    assert_eq!(case["energy"]["efficiency_flop_per_j"]["measured"]["median"].as_f64(), Some(median));
    assert_eq!(case["energy"]["efficiency_flop_per_j"]["measured"]["n"], 5);
    assert_eq!(json["schema"], 1);
    assert_eq!(json["record"]["samples_sha256"], "4d7e".repeat(16));
    assert_eq!(json["boundary"]["domains"], serde_json::json!(["package-0", "dram-0"]));
}

#[test]
fn the_terminal_table_is_narrow_and_says_not_measured_once() {
    let table = text::results(&ReportModel::of(&fixture::cpu_only()));
    assert_eq!(table.header.iter().filter(|h| h.contains("Energy")).count(), 1);
    assert!(!table.header.iter().any(|h| h.starts_with("Perf/W") || h.starts_with("Power")));
    assert!(table.notes[0].starts_with("Energy was not measured. No energy counter: rapl:"));
    let table = text::results(&ReportModel::of(&fixture::with_rapl()));
    assert!(table.header.contains(&"Perf/W (GFLOP/J)".to_owned()), "{:?}", table.header);
    assert!(table.rows.iter().all(|r| r.cells.len() == table.header.len()));
    assert_eq!(text::ceilings(&ReportModel::of(&fixture::with_rapl())).rows.len(), 6);
}

#[test]
fn formats_are_found_by_id_and_extension() {
    assert_eq!(find("md").unwrap().id, "markdown");
    assert_eq!(find("json").unwrap().extension, "json");
    assert!(find("docx").is_none());
}

#[test]
fn many_equal_caveats_are_counted_and_not_repeated() {
    let mut record = fixture::fifty_cases();
    for measurement in &mut record.measurements {
        measurement.prepared.as_mut().unwrap().warm_up.stable = false;
    }
    let model = ReportModel::of(&record);
    let lines: Vec<_> = model.caveats.iter().filter(|c| c.code == "unstable-warm-up").collect();
    assert_eq!(lines.len(), 7);
    assert_eq!(lines[6].text, format!("The same holds for {} more cases.", record.measurements.len() - 6));
}

#[test]
fn the_fifty_case_record_has_fifty_cases_and_renders_twice_alike() {
    let record = fixture::fifty_cases();
    assert_eq!(record.measurements.len(), 50);
    assert!(record.trace.len() > 5000, "{}", record.trace.len());
    assert_eq!(rendered("json", &record), rendered("json", &record));
    assert_eq!(rendered("markdown", &record), rendered("markdown", &record));
}

#[test]
fn our_own_paragraphs_are_never_cut() {
    for record in all_fixtures() {
        for paragraph in ReportModel::of(&record).method {
            assert!(!paragraph.text.ends_with('…'), "{}: {}", paragraph.title, paragraph.text);
        }
    }
}
