//! A 50-case record to a summary (bar: 50 ms) and on to the view model and its text formats.

use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;
use wattproof::analysis::summarise;
use wattproof::certificate::Seal;
use wattproof::record::fixture;
use wattproof::report::certificate::{CertificateModel, documents, html, specimen};
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

/// The documents of a certificate: 8 and 60 kernels (bar for the PDF: 1 s in the default build).
fn certificate(c: &mut Criterion) {
    let mut group = c.benchmark_group("certificate");
    group.sample_size(10);
    let seal = Seal::default();
    for (name, record) in [("8-kernels", fixture::certifiable()), ("60-kernels", specimen::many())] {
        let dossier = specimen::of(record, 0.5);
        let model = CertificateModel::of(&dossier, &seal).expect("a specimen");
        group.bench_function(format!("html/{name}"), |b| b.iter(|| html(black_box(&model)).expect("it renders")));
        #[cfg(feature = "pdf")]
        group.bench_function(format!("pdf/{name}"), |b| {
            b.iter(|| wattproof::report::certificate::pdf(black_box(&model)).expect("it renders"));
        });
        group.bench_function(format!("documents/{name}"), |b| {
            b.iter(|| documents(black_box(&dossier), &seal).expect("they render"));
        });
    }
    group.finish();
}

criterion_group!(benches, report, certificate);
criterion_main!(benches);
