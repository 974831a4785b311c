//! Reading and planning a suite of 1,000 cases, and refusing one of 10^9; the bar is 50 ms for each.

use criterion::{Criterion, criterion_group, criterion_main};
use std::fmt::Write as _;
use std::hint::black_box;
use std::path::Path;
use wattproof::kernels::{
    BuildContext, Dtype, Kernel, KernelError, KernelInfo, ParamError, ParamKind, ParamSpec, Params, Program, Role, Work,
};
use wattproof::plan::{self, Capacity, Devices};
use wattproof::suite::{Catalog, Suite};
use wattproof::units::{Bytes, Flops};

/// A matrix product without a program: planning needs its parameters and its work only.
struct Product;

const fn size(name: &'static str) -> ParamSpec {
    ParamSpec { name, meaning: "a size", kind: ParamKind::Count { min: 1, max: 1 << 20 }, default: None }
}

static PRODUCT: KernelInfo = KernelInfo {
    id: "product",
    title: "Product",
    summary: "C = A·B",
    role: Role::Workload,
    flops: "2·m·n·k",
    bytes: "e·(m·k + k·n + m·n)",
    source: "",
    dtypes: &[Dtype::F32, Dtype::F64],
    params: &[size("m"), size("n"), size("k")],
};

impl Kernel for Product {
    fn info(&self) -> &'static KernelInfo {
        &PRODUCT
    }

    fn work(&self, params: &Params) -> Result<Work, ParamError> {
        let [m, n, k] = ["m", "n", "k"].map(|p| params.integer(p).map(|x| x as f64));
        let (m, n, k) = (m?, n?, k?);
        let useful = Flops::new(2.0 * m * n * k).unwrap_or_default();
        let bytes = Bytes::new(params.dtype.size() as f64 * (m * k + k * n + m * n)).unwrap_or_default();
        Ok(Work { useful, dense_equivalent: useful, bytes, footprint: bytes })
    }

    fn build(&self, _: &Params, _: &BuildContext<'_>) -> Result<Box<dyn Program>, KernelError> {
        Err(KernelError::Structure("this product is never run".to_owned()))
    }
}

fn list(from: u32, count: u32) -> String {
    (from..from + count).map(|n| n.to_string()).collect::<Vec<_>>().join(", ")
}

/// 1,000 cases by one matrix.
fn expanded() -> String {
    let (m, n) = (list(1, 25), list(1, 10));
    format!(
        "version: 1\nsuite: bench\ncases:\n  - kernel: product\n    matrix: {{m: [{m}], n: [{n}], k: 8, dtype: [f32, f64], threads: [1, 2]}}\n"
    )
}

/// 1,000 entries of one case each, the longest way to write it.
fn written_out() -> String {
    let mut text = "version: 1\nsuite: bench\ncases:\n".to_owned();
    for m in 1..=1000 {
        let _ = write!(text, "  - kernel: product\n    with: {{ shape: {m}x8x8, dtype: f32, threads: 2 }}\n");
    }
    text
}

fn plans(c: &mut Criterion) {
    let catalog = Catalog::new(vec![&Product]);
    let memory = Bytes::new(8e9).ok();
    let host = Capacity {
        usable_cpus: 2,
        cores: 2,
        available_memory: memory,
        last_level_cache: Bytes::new(32e6).ok(),
        caches: Vec::new(),
        devices: Devices::default(),
    };
    for (name, text) in [("matrix", expanded()), ("written out", written_out())] {
        c.bench_function(&format!("plan 1000 cases, {name}"), |b| {
            b.iter(|| {
                let suite = Suite::parse(Path::new("bench.yaml"), black_box(&text), &catalog).expect("a valid suite");
                let plan = plan::build(&suite, &host, &catalog);
                assert_eq!(plan.cases.len(), 1000);
                plan
            });
        });
    }
}

/// 10^9 cases must be refused before any is made; the bar is 50 ms.
fn refusal(c: &mut Criterion) {
    let catalog = Catalog::new(vec![&Product]);
    let axis = list(1, 1000);
    let text = format!(
        "version: 1\nsuite: bench\ncases:\n  - kernel: product\n    matrix: {{m: [{axis}], n: [{axis}], k: [{axis}]}}\n"
    );
    c.bench_function("refuse 10^9 cases", |b| {
        b.iter(|| Suite::parse(Path::new("bench.yaml"), black_box(&text), &catalog).expect_err("too many cases"));
    });
}

criterion_group!(benches, plans, refusal);
criterion_main!(benches);
