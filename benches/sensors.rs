//! Cost of the reads that stand next to a measured window.

use criterion::{Criterion, criterion_group, criterion_main};
use std::fs;
use std::hint::black_box;
use wattproof::clock::Clock;
use wattproof::host::activity::Watcher;
use wattproof::host::{Host, environment};
use wattproof::sensors::counter::{Accumulator, Counter};
use wattproof::sensors::perf::ActivityCounters;
use wattproof::sensors::{Probe, rapl};
use wattproof::units::MicroJoules;

fn reads(criterion: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let zones = [
        ("intel-rapl:0", "package-0", "11"),
        ("intel-rapl:0:0", "core", "22"),
        ("intel-rapl:0:1", "dram", "33"),
        ("intel-rapl:1", "psys", "44"),
    ];
    for (zone, name, energy) in zones {
        let folder = dir.path().join("sys/class/powercap").join(zone);
        fs::create_dir_all(&folder).expect("a folder");
        fs::write(folder.join("name"), name).expect("a file");
        fs::write(folder.join("max_energy_range_uj"), "262143328850").expect("a file");
        fs::write(folder.join("energy_uj"), energy).expect("a file");
    }
    let clock = Clock::start();
    let host = Host::at(dir.path());
    criterion.bench_function("rapl/probe 4 zones", |b| b.iter(|| matches!(rapl::probe(&host), Probe::Ready(_))));
    let Probe::Ready(mut sensor) = rapl::probe(&host) else { return };
    criterion.bench_function("rapl/read 4 zones", |b| b.iter(|| sensor.read(&clock)));
    let mut accumulator = Accumulator::new(Counter::new(Some(MicroJoules::new(262_143_328_850)), None));
    criterion
        .bench_function("counter/push", |b| b.iter(|| accumulator.push(black_box(MicroJoules::new(7)), clock.now())));
    let mut activity = ActivityCounters::open(&[0]);
    criterion.bench_function("perf/begin + end, one thread", |b| {
        b.iter(|| {
            activity.begin();
            activity.end()
        });
    });
    let real = Host::real();
    let watcher = Watcher::new(&real, &[]);
    criterion.bench_function("host/look", |b| b.iter(|| watcher.look(&clock)));
    criterion.bench_function("host/environment", |b| b.iter(|| environment(&real, Vec::new())));
}

criterion_group!(benches, reads);
criterion_main!(benches);
