//! A 50-case record to a summary (bar: 50 ms) and on to the view model and its text formats.

use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;
use wattproof::analysis::summarise;
use wattproof::record::fixture;
use wattproof::report::{FORMATS, ReportModel};

fn report(c: &mut Criterion) {
    let record = fixture::fifty_cases();
    c.bench_function("summarise/50-cases", |b| b.iter(|| summarise(black_box(&record))));
    let summary = summarise(&record);
    c.bench_function("model/50-cases", |b| b.iter(|| ReportModel::new(black_box(&record), summary.clone())));
    let model = ReportModel::new(&record, summary);
    for format in FORMATS {
        c.bench_function(&format!("render/{}/50-cases", format.id), |b| {
            b.iter(|| (format.render)(black_box(&model)).expect("the fixture renders"));
        });
    }
}

criterion_group!(benches, report);
criterion_main!(benches);
