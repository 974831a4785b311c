//! A benchmark of a user's crate that prints joules an iteration.
//!
//! ```text
//! cargo run --release --example criterion_energy -- --bench
//! ```
//!
//! In a crate of your own it is a file in benches/ with `harness = false`, and `cargo bench` runs it.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use wattproof::criterion::Energy;

/// A linear congruential generator, `steps` times.
fn generate(steps: u64) -> u64 {
    (0..steps).fold(1, |x, i| x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(i))
}

fn generator(criterion: &mut Criterion<Energy>) {
    let mut group = criterion.benchmark_group("generator");
    group.throughput(Throughput::Elements(10_000));
    group.bench_function("10k", |b| b.iter(|| generate(black_box(10_000))));
    group.finish();
}

criterion_group! { name = benches; config = Energy::criterion(); targets = generator }
criterion_main!(benches);
