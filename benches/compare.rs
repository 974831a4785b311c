//! Records of 50 cases, 10 windows each, reduced one by one, compared and written (bar for 200: 2 s with reading).

use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;
use wattproof::compare::{Entrant, Options, compare};
use wattproof::policy::Policy;
use wattproof::record::fixture;
use wattproof::report::compare::{CompareModel, FORMATS};

fn benches(c: &mut Criterion) {
    let policy = Policy::shipped();
    let template = fixture::fifty_cases();
    let mut group = c.benchmark_group("compare");
    group.sample_size(10);
    group.bench_function("reduce/50-cases", |b| b.iter(|| Entrant::of(black_box(&template), &policy)));
    let entrants: Vec<Entrant> = (0..400).map(|n| Entrant::of(&fixture::rival(&template, n), &policy)).collect();
    for count in [5, 50, 200, 400] {
        let options = Options::default();
        let all = &entrants[..count];
        let compared = || compare(black_box(all), Vec::new(), &options, &policy).expect("they are comparable");
        group.bench_function(format!("{count}-records"), |b| b.iter(compared));
        if count == 200 {
            let comparison = compared();
            group.bench_function("model/200-records", |b| b.iter(|| CompareModel::of(black_box(&comparison))));
            let model = CompareModel::of(&comparison);
            for format in FORMATS {
                group.bench_function(format!("{}/200-records", format.id), |b| {
                    b.iter(|| (format.render)(black_box(&model)).expect("it renders").len());
                });
            }
        }
    }
    group.finish();
}

criterion_group!(all, benches);
criterion_main!(all);
