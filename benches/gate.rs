//! Two records of 500 cases, 10 windows each, from their files to a decision and its outputs (bar: 0.2 s).

use criterion::{Criterion, criterion_group, criterion_main};
use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use wattproof::gate::output::FORMATS;
use wattproof::gate::{Outcome, Rules, compare};
use wattproof::policy::Policy;
use wattproof::record::{RunRecord, fixture, store};

/// `copies` times the 44 workloads of a server run, each copy with ids of its own; the trace is as long as such a run.
fn record(id: &str, copies: usize) -> RunRecord {
    let mut record = fixture::widened(&fixture::fifty_cases(), copies);
    id.clone_into(&mut record.header.id);
    record
}

fn write(dir: &Path, record: &RunRecord) -> PathBuf {
    let (header, samples) = fixture::on_disk(record);
    let dir = dir.join(&record.header.id);
    fs::create_dir_all(&dir).expect("a temporary folder");
    fs::write(dir.join("record.json"), header).expect("a temporary file");
    fs::write(dir.join("samples.jsonl"), samples).expect("a temporary file");
    dir
}

/// As the command does it: both records at once.
fn gate(new: &Path, old: &Path) -> Outcome {
    let load = |path: &Path| store::load_without_trace(path).expect("it was written above");
    let (new, old) = std::thread::scope(|scope| {
        let new = scope.spawn(|| load(new));
        let old = load(old);
        (new.join().expect("reading does not panic"), old)
    });
    compare(&new, &[old], Vec::new(), &Rules::default(), &Policy::shipped())
}

fn benches(c: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    // Kept where it is asked for, so that the command itself can be timed on the same files.
    let home = std::env::var_os("GATE_RECORDS").map_or_else(|| dir.path().to_owned(), PathBuf::from);
    let mut group = c.benchmark_group("gate");
    group.sample_size(10);
    for (cases, copies) in [(50, 1), (500, 10), (5000, 100)] {
        let new = write(&home, &record(&format!("new-{cases}"), copies));
        let old = write(&home, &record(&format!("old-{cases}"), copies));
        group.bench_function(format!("{cases}-cases"), |b| b.iter(|| gate(black_box(&new), &old)));
        if cases == 500 {
            let outcome = gate(&new, &old);
            group.bench_function("outputs/500-cases", |b| {
                b.iter(|| {
                    FORMATS.iter().map(|f| (f.render)(black_box(&outcome)).expect("it renders").len()).sum::<usize>()
                });
            });
        }
    }
    group.finish();
}

criterion_group!(all, benches);
criterion_main!(all);
