//! How near each kernel comes to the machine's own ceilings, on one thread: all cases and both probes in
//! interleaved rounds of one process, timed by the thread's CPU time, so that other load disturbs little.
//! Prints the median rate and the median of the ratios to the probes of the same round.
//!
//! `cargo bench --bench kernels -- [FILTER] [--rounds N] [--case 'gemm f32 m=64 n=64 k=64']…`; cases given so
//! replace the list. With `--test` every case runs once.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark prints and may fail")]

use std::collections::BTreeMap;
use wattproof::clock::thread_cpu_time;
use wattproof::kernels::{self, BuildContext, Dtype, Isa, ParamValue, Params, Program, Team};

/// Kernel, element type, parameters.
const CASES: &[(&str, Dtype, &str)] = &[
    ("gemm", Dtype::F32, "m=1024 n=256 k=1024"),
    ("gemm", Dtype::F32, "m=1024 n=1024 k=1024"),
    ("gemm", Dtype::F64, "m=1024 n=1024 k=1024"),
    ("gemm", Dtype::Bf16, "m=1024 n=1024 k=1024"),
    ("gemm", Dtype::Bf16, "m=2048 n=2048 k=2048"),
    ("gemm", Dtype::I8, "m=1024 n=1024 k=1024"),
    ("gemm", Dtype::I8, "m=2048 n=2048 k=2048"),
    ("spmm-csr", Dtype::F32, "m=1024 k=1024 n=256 density=0.5"),
    ("spmm-csr", Dtype::F32, "m=1024 k=1024 n=256 density=0.1"),
    ("spmm-csr", Dtype::F32, "m=1024 k=1024 n=256 density=0.02"),
    ("spmm-2-4", Dtype::F32, "m=1024 k=1024 n=256"),
    ("spmm-2-4", Dtype::F32, "m=2048 k=2048 n=512"),
    ("spmm-2-4", Dtype::F64, "m=1024 k=1024 n=256"),
    ("spmm-bsr", Dtype::F32, "m=1024 k=1024 n=256 block=16 density=0.1"),
    ("spmm-bsr", Dtype::F32, "m=1024 k=1024 n=256 block=32 density=0.1"),
    ("spmm-bsr", Dtype::F32, "m=1024 k=1024 n=256 block=64 density=0.1"),
    ("spmm-bsr", Dtype::F32, "m=1024 k=1024 n=256 block=64 density=0.5"),
    ("spmm-bsr", Dtype::F32, "m=2048 k=2048 n=512 block=32 density=0.05"),
    ("spmm-bsr", Dtype::F64, "m=1024 k=1024 n=256 block=32 density=0.1"),
    ("attention", Dtype::F32, "heads=2 seq=4096 dim=64 mask=dense"),
    ("attention", Dtype::F32, "heads=2 seq=4096 dim=64 mask=causal"),
    ("attention", Dtype::F32, "heads=2 seq=1024 dim=64 mask=dense"),
    ("attention-window", Dtype::F32, "heads=2 seq=4096 dim=64 window=512"),
    ("attention-block", Dtype::F32, "heads=2 seq=4096 dim=64 block=64 density=0.25"),
    ("attention-linear", Dtype::F32, "heads=1 seq=4096 dim=64"),
    ("kv-decode", Dtype::F32, "heads=8 len=65536 dim=128 format=mha"),
    ("kv-decode", Dtype::F32, "heads=32 len=65536 dim=128 format=gqa-4"),
    ("kv-decode", Dtype::F32, "heads=16 len=65536 dim=128 format=int8"),
    ("kv-decode", Dtype::F32, "heads=4 len=131072 dim=512 format=mla"),
    ("moe", Dtype::F32, "tokens=512 d=1024 f=2048 experts=8 top=2"),
    ("relu-skip", Dtype::F32, "d=4096 f=16384 density=0.1 rank=0"),
    ("relu-skip", Dtype::F32, "d=4096 f=16384 density=0.1 rank=256"),
    ("spmv-csr", Dtype::F32, "m=8192 k=8192 density=0.04"),
    ("triad", Dtype::F32, "bytes=67108864"),
];

/// One thread, the caller's.
struct Alone;

impl Team for Alone {
    fn threads(&self) -> usize {
        1
    }
    fn run(&self, job: &(dyn Fn(usize) + Sync)) {
        job(0);
    }
}

struct Entry {
    name: String,
    dtype: Dtype,
    program: Box<dyn Program>,
    flops: f64,
    bytes: f64,
    /// Seconds an iteration, by round.
    times: Vec<f64>,
    iterations: u32,
}

fn parameters(dtype: Dtype, text: &str) -> Params {
    let value = |text: &str| match (text.parse::<u64>(), text.parse::<f64>()) {
        (Ok(whole), _) => ParamValue::Integer(whole),
        (_, Ok(real)) => ParamValue::Real(real),
        _ => ParamValue::Word(text.to_owned()),
    };
    let pair = |pair: &str| pair.split_once('=').map(|(k, v)| (k.to_owned(), value(v))).unwrap();
    Params { dtype, values: text.split_whitespace().map(pair).collect::<BTreeMap<_, _>>() }
}

fn entry(id: &str, dtype: Dtype, text: &str) -> Entry {
    let kernel = kernels::find(id).unwrap();
    let params = parameters(dtype, text);
    let work = kernel.work(&params).unwrap();
    let context = BuildContext { seed: 1, isa: Isa::detect(), team: &Alone };
    let program = kernel.build(&params, &context).unwrap();
    let (flops, bytes) = (work.useful.get(), work.bytes.get());
    Entry { name: format!("{id} {} {text}", dtype.name()), dtype, program, flops, bytes, times: vec![], iterations: 1 }
}

impl Entry {
    fn round(&mut self) -> f64 {
        let start = thread_cpu_time();
        for _ in 0..self.iterations {
            self.program.run(&Alone);
        }
        (thread_cpu_time().get() - start.get()) / f64::from(self.iterations)
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let test = arguments.iter().any(|a| a == "--test");
    let rounds = arguments.iter().position(|a| a == "--rounds").map_or(9, |at| arguments[at + 1].parse().unwrap());
    let own: Vec<&String> = arguments.windows(2).filter(|pair| pair[0] == "--case").map(|pair| &pair[1]).collect();
    let filter = arguments.iter().find(|a| !a.starts_with("--") && a.parse::<u32>().is_err() && !own.contains(a));
    let wanted = |(id, dtype, text): &&(&str, Dtype, &str)| {
        filter.as_ref().is_none_or(|f| format!("{id} {} {text}", dtype.name()).contains(f.as_str()))
    };
    let mut entries = vec![
        entry("fma-peak", Dtype::F32, ""),
        entry("fma-peak", Dtype::F64, ""),
        entry("fma-peak", Dtype::Bf16, ""),
        entry("fma-peak", Dtype::I8, ""),
        entry("read-bandwidth", Dtype::F32, "bytes=268435456"),
    ];
    if own.is_empty() {
        entries.extend(CASES.iter().filter(wanted).map(|(id, dtype, text)| entry(id, *dtype, text)));
    }
    for case in own {
        let mut words = case.splitn(3, ' ');
        let mut word = || words.next().unwrap_or_default();
        let (id, dtype) = (word(), word());
        let dtype = *Dtype::ALL.iter().find(|d| d.name() == dtype).unwrap();
        entries.push(entry(id, dtype, word()));
    }
    for entry in &mut entries {
        entry.program.poison();
        let time = entry.round();
        assert!(entry.program.check().passed(), "{}: {:?}", entry.name, entry.program.check());
        entry.iterations = if test { 1 } else { (0.05 / time.max(1e-6)).ceil().clamp(1.0, 1e6) as u32 };
    }
    for _ in 0..if test { 1 } else { rounds } {
        for entry in &mut entries {
            let time = entry.round();
            entry.times.push(time);
        }
    }
    println!("{:<58} {:>9} {:>9} {:>7} {:>8}", "case (one thread)", "GFLOP/s", "GB/s", "of FMA", "of read");
    for entry in &entries {
        let of = |probe: &Entry, own: f64, theirs: f64| {
            let ratios = entry.times.iter().zip(&probe.times).map(|(t, p)| own / t / (theirs / p));
            format!("{:.3}", median(ratios.collect()))
        };
        let peak = entries.iter().find(|probe| probe.dtype == entry.dtype).unwrap();
        let time = median(entry.times.clone());
        let (rate, bandwidth) = (entry.flops / time / 1e9, entry.bytes / time / 1e9);
        let of_peak = of(peak, entry.flops, peak.flops);
        let of_read = of(&entries[4], entry.bytes, entries[4].bytes);
        println!("{:<58} {rate:>9.2} {bandwidth:>9.2} {of_peak:>7} {of_read:>8}", entry.name);
    }
}
