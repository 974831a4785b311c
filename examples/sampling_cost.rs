//! What a trace at 10, 100 and 1000 Hz costs the command that is measured.
//!
//! ```text
//! cargo run --release --example sampling_cost [ROUNDS]
//! ```
//!
//! A fixed amount of arithmetic on every CPU runs as a command, without a trace and with each rate
//! in turn, so that a machine that gets slower or faster hits all alike. Printed are the medians
//! over the rounds of the time relative to the untraced run of the same round, and the CPU time of
//! the sampler, which is steadier than the ratio on a machine that is not at rest.

#![expect(clippy::print_stdout, reason = "the table is its output")]

use std::path::Path;
use std::process::Command;
use wattproof::clock::Clock;
use wattproof::host::Host;
use wattproof::meter::{Meter, Options, Trace, TraceFormat};
use wattproof::units::Hertz;

type Failure = Box<dyn std::error::Error>;

const RATES: [f64; 3] = [10.0, 100.0, 1000.0];

/// Arithmetic of one thread: about a quarter of a second.
const STEPS: u64 = 150_000_000;

fn main() -> Result<(), Failure> {
    let argument = std::env::args().nth(1);
    if argument.as_deref() == Some("work") {
        return work();
    }
    let rounds: usize = argument.map_or(Ok(21), |text| text.parse())?;
    let root = tempfile::tempdir()?;
    let zones = ["intel-rapl:0", "intel-rapl:0/intel-rapl:0:0", "intel-rapl:0/intel-rapl:0:1", "intel-rapl:1"];
    for (zone, name) in zones.iter().zip(["package-0", "core", "dram", "psys"]) {
        make_zone(&root.path().join("sys/class/powercap/intel-rapl").join(zone), name)?;
    }
    let meter = Meter::with(&Options { host: Host::at(root.path()), ..Options::default() })?;
    let mut ratios = RATES.map(|_| Vec::new());
    let mut shares = RATES.map(|_| Vec::new());
    for round in 0..rounds {
        let untraced = run(None, &meter)?.0;
        for i in 0..RATES.len() {
            let rate = (i + round) % RATES.len();
            let (seconds, share) = run(Some(RATES[rate]), &meter)?;
            ratios[rate].push(seconds / untraced);
            shares[rate].extend(share);
        }
    }
    println!("{:>8}  {:>10}  {:>24}", "rate", "time", "CPU time of the sampler");
    for ((rate, ratios), shares) in RATES.iter().zip(&mut ratios).zip(&mut shares) {
        let (ratio, share) = (median(ratios) - 1.0, median(shares));
        println!("{rate:>5} Hz  {:>+8.2} %  {:>13.4} % of one CPU", ratio * 100.0, share * 100.0);
    }
    Ok(())
}

fn make_zone(folder: &Path, name: &str) -> Result<(), Failure> {
    std::fs::create_dir_all(folder)?;
    for (file, text) in [("name", name), ("energy_uj", "123456789012"), ("max_energy_range_uj", "262143328850")] {
        std::fs::write(folder.join(file), format!("{text}\n"))?;
    }
    Ok(())
}

/// Time that the work took by its own clock, and the share of a CPU that the sampler used.
fn run(rate: Option<f64>, meter: &Meter) -> Result<(f64, Option<f64>), Failure> {
    let window = meter.begin();
    let file = std::fs::OpenOptions::new().write(true).open("/dev/null")?;
    let out = std::io::BufWriter::new(file);
    let trace = rate
        .map(|rate| Trace::start(meter, &window, 1, Hertz::new(rate)?, TraceFormat::Csv, out).map_err(Failure::from));
    let trace = trace.transpose()?;
    let output = Command::new(std::env::current_exe()?).arg("work").output()?;
    let share = trace.map(|trace| trace.finish()).transpose()?.and_then(|(_, cost)| cost.cpu.ratio(cost.wall));
    Ok((String::from_utf8(output.stdout)?.trim().parse()?, share))
}

/// The same arithmetic on every CPU; prints how long it took.
fn work() -> Result<(), Failure> {
    let clock = Clock::start();
    let threads = std::thread::available_parallelism()?.get();
    let results: Vec<u64> = std::thread::scope(|scope| {
        let busy = |seed: u64| {
            scope.spawn(move || {
                (0..STEPS).fold(seed + 1, |mut x, _| {
                    x ^= x << 13;
                    x ^= x >> 7;
                    x ^ (x << 17)
                })
            })
        };
        let running: Vec<_> = (0..threads as u64).map(busy).collect();
        running.into_iter().filter_map(|thread| thread.join().ok()).collect()
    });
    std::hint::black_box(results);
    println!("{}", clock.now().seconds().get());
    Ok(())
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
