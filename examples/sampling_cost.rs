//! What sampling costs, and what of it is the sampler's own work.
//!
//! ```text
//! cargo run --release --example sampling_cost [ROUNDS]
//! JOULE_PROFILER=/path/to/joule-profiler cargo run --release --example sampling_cost
//! ```
//!
//! A fixed amount of arithmetic on every CPU runs as a command: alone, beside a thread that only
//! wakes up, and beside a trace, each at 10, 100 and 1000 Hz, and beside joule-profiler-cli at the
//! same rates where it is installed. All arms take turns in every round, so that a machine that gets
//! slower or faster hits all alike. Printed are medians over the rounds with their 95 % intervals
//! (order statistics): the time relative to the bare run of the same round, and the CPU time
//! of the sampler a point, which is steadier than the ratio on a machine that is not at rest.

#![expect(clippy::print_stdout, reason = "the table is its output")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use wattproof::clock::{Clock, thread_cpu_time};
use wattproof::host::Host;
use wattproof::meter::{Meter, Options, Trace, TraceFormat};
use wattproof::sensors::{Probe, Sensor, rapl};
use wattproof::units::{Hertz, Seconds};

type Failure = Box<dyn std::error::Error>;

const RATES: [f64; 3] = [10.0, 100.0, 1000.0];

/// Arithmetic of one thread: about a quarter of a second.
const STEPS: u64 = 150_000_000;

/// What runs beside the work.
#[derive(Clone, Copy, PartialEq)]
enum Arm {
    Alone,
    /// A thread that wakes up and does nothing: the floor of every sampler.
    Wake(f64),
    Trace(f64),
    JouleProfiler(f64),
}

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [what, out] = arguments.as_slice()
        && what == "work"
    {
        return work(Path::new(out));
    }
    let rounds: usize = arguments.first().map_or(Ok(21), |text| text.parse())?;
    let root = tempfile::tempdir()?;
    let tree = root.path().join("sys/class/powercap/intel-rapl");
    let zones = ["intel-rapl:0", "intel-rapl:0/intel-rapl:0:0", "intel-rapl:0/intel-rapl:0:1", "intel-rapl:1"];
    for (zone, name) in zones.iter().zip(["package-0", "core", "dram", "psys"]) {
        make_zone(&tree.join(zone), name)?;
    }
    let host = Host::at(root.path());
    let meter = Meter::with(&Options { host: host.clone(), ..Options::default() })?;
    println!("one read of 4 zones, back to back      {:>8.2} µs", one_read(&host)? * 1e6);
    for (name, format) in [("CSV", TraceFormat::Csv), ("JSON", TraceFormat::JsonLines)] {
        println!("one point of a trace ({name:<4}), back to back {:>8.2} µs", one_point(&meter, format)? * 1e6);
    }
    let peer = std::env::var_os("JOULE_PROFILER").map(PathBuf::from);
    let mut arms: Vec<Arm> = RATES.iter().flat_map(|&rate| [Arm::Wake(rate), Arm::Trace(rate)]).collect();
    if peer.is_some() {
        arms.extend(RATES.map(Arm::JouleProfiler));
    } else {
        println!("joule-profiler-cli is left out: JOULE_PROFILER does not name its program");
    }
    let bench = Bench { meter, tree, peer, out: root.path().join("time") };
    let mut ratios = vec![Vec::new(); arms.len()];
    let mut points = vec![Vec::new(); arms.len()];
    for round in 0..rounds {
        let alone = bench.run(Arm::Alone)?.0;
        for turn in 0..arms.len() {
            let arm = (turn + round) % arms.len();
            let (seconds, point) = bench.run(arms[arm])?;
            ratios[arm].push(seconds / alone - 1.0);
            points[arm].extend(point);
        }
    }
    println!("\n{rounds} rounds        run time, 95 % interval        CPU time a point, 95 % interval");
    for ((arm, ratios), points) in arms.iter().zip(ratios).zip(points) {
        let (name, rate) = match arm {
            Arm::Alone => ("alone", 0.0),
            Arm::Wake(rate) => ("wake-up alone", *rate),
            Arm::Trace(rate) => ("wattproof", *rate),
            Arm::JouleProfiler(rate) => ("joule-profiler", *rate),
        };
        let time = interval(ratios).map_or_else(String::new, |(m, low, high)| {
            format!("{:>+7.2} % [{:+.2}, {:+.2}]", m * 100.0, low * 100.0, high * 100.0)
        });
        let cpu = interval(points).map_or_else(String::new, |(m, low, high)| {
            format!("{:>6.1} µs [{:.1}, {:.1}] = {:.3} %", m * 1e6, low * 1e6, high * 1e6, m * rate * 100.0)
        });
        println!("{name:<15} {rate:>4} Hz  {time:<30}  {cpu}");
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

/// Seconds of one read of all zones: the fastest of ten batches, which is the one nobody disturbed.
fn one_read(host: &Host) -> Result<f64, Failure> {
    let Probe::Ready(mut sensor) = rapl::probe(host) else { return Err("the tree is not read".into()) };
    let clock = Clock::start();
    let mut batch = |n: u32| -> Result<f64, Failure> {
        let start = clock.now();
        for _ in 0..n {
            std::hint::black_box(Sensor::read(sensor.as_mut(), &clock)?);
        }
        Ok(clock.now().since(start).get() / f64::from(n))
    };
    (0..10).map(|_| batch(10_000)).try_fold(f64::INFINITY, |best, time| Ok(best.min(time?)))
}

/// CPU seconds of one point of a trace that never sleeps: reading, reckoning and writing it.
fn one_point(meter: &Meter, format: TraceFormat) -> Result<f64, Failure> {
    let window = meter.begin();
    // A rate that cannot be kept, so the next point is always due and nothing sleeps.
    let trace = Trace::start(meter, &window, 1, Hertz::new(1e9)?, format, sink()?)?;
    std::thread::sleep(std::time::Duration::from_millis(500));
    let (_, cost) = trace.finish()?;
    Ok(cost.cpu.get() / cost.points as f64)
}

fn sink() -> Result<std::io::BufWriter<std::fs::File>, Failure> {
    Ok(std::io::BufWriter::new(std::fs::OpenOptions::new().write(true).open("/dev/null")?))
}

struct Bench {
    meter: Meter,
    tree: PathBuf,
    peer: Option<PathBuf>,
    out: PathBuf,
}

impl Bench {
    /// Time that the work took by its own clock, and CPU seconds of the sampler a point where they
    /// can be told from those of the work.
    fn run(&self, arm: Arm) -> Result<(f64, Option<f64>), Failure> {
        let mut command = Command::new(std::env::current_exe()?);
        let point = match arm {
            Arm::Alone => {
                finish(&mut command, &self.out)?;
                None
            }
            Arm::Wake(rate) => {
                let stop = AtomicBool::new(false);
                let cost = std::thread::scope(|scope| {
                    let waking = scope.spawn(|| wake(rate, &stop));
                    let done = finish(&mut command, &self.out);
                    stop.store(true, Ordering::Release);
                    done.map(|()| waking.join().unwrap_or(f64::NAN))
                })?;
                Some(cost)
            }
            Arm::Trace(rate) => {
                let window = self.meter.begin();
                let trace = Trace::start(&self.meter, &window, 1, Hertz::new(rate)?, TraceFormat::Csv, sink()?)?;
                finish(&mut command, &self.out)?;
                let (_, cost) = trace.finish()?;
                (cost.points > 0).then(|| cost.cpu.get() / cost.points as f64)
            }
            Arm::JouleProfiler(rate) => {
                let mut peer = Command::new(self.peer.as_deref().ok_or("JOULE_PROFILER does not name a program")?);
                // Values are TOML. Without a backend it takes perf's, which a tree cannot stand in for.
                peer.args(["-D", "profiler.rapl_backend=\"powercap\"", "--sources", "rapl"]);
                peer.arg("-D").arg(format!("sources.rapl.rapl_path={:?}", self.tree.display().to_string()));
                peer.arg("-D").arg(format!("sources.rapl.poll_interval=\"{}us\"", 1e6 / rate));
                peer.args(["--output-format", "json", "-o"]).arg(self.out.with_extension("peer"));
                peer.args(["profile", "--use-root", "--"]).arg(std::env::current_exe()?);
                finish(&mut peer, &self.out)?;
                None
            }
        };
        Ok((std::fs::read_to_string(&self.out)?.trim().parse()?, point))
    }
}

/// Runs the work, or the command around it, to its end.
fn finish(command: &mut Command, out: &Path) -> Result<(), Failure> {
    let status = command.arg("work").arg(out).stdout(Stdio::null()).stderr(Stdio::null()).status()?;
    if status.success() { Ok(()) } else { Err(format!("{command:?} ended with {status}").into()) }
}

/// CPU seconds of one wake-up of a thread that does nothing else. It sleeps as the sampler does.
fn wake(rate: f64, stop: &AtomicBool) -> f64 {
    let (clock, mut due) = (Clock::start(), 0u32);
    while !stop.load(Ordering::Acquire) {
        due += 1;
        let mut wait = f64::from(due) / rate - clock.now().seconds().get();
        while wait > 0.0 && !stop.load(Ordering::Acquire) {
            std::thread::park_timeout(Seconds::new(wait).unwrap_or(Seconds::ZERO).to_duration());
            wait = f64::from(due) / rate - clock.now().seconds().get();
        }
    }
    thread_cpu_time().get() / f64::from(due.max(1))
}

/// The same arithmetic on every CPU; writes how long it took.
fn work(out: &Path) -> Result<(), Failure> {
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
    Ok(std::fs::write(out, clock.now().seconds().get().to_string())?)
}

/// Median and the order statistics that enclose it with 95 % (binomial, no assumption on the
/// distribution); the extremes where there are fewer than six values.
fn interval(mut values: Vec<f64>) -> Option<(f64, f64, f64)> {
    values.sort_by(f64::total_cmp);
    let n = values.len();
    let (mut tail, mut term, mut rank) = (0.0, 0.5f64.powi(i32::try_from(n).ok()?), 0usize);
    // The largest rank with P(Bin(n, 1/2) <= rank) <= 2.5 %.
    while tail + term <= 0.025 {
        tail += term;
        term *= (n - rank) as f64 / (rank + 1) as f64;
        rank += 1;
    }
    let low = rank.saturating_sub(1);
    Some((*values.get(n / 2)?, *values.get(low)?, *values.get(n - 1 - low)?))
}
