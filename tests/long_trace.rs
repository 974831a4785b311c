//! An hour of trace at 1000 Hz, 3.6 million points, leaves memory as it was.
//!
//! Each test runs itself again as a child, so that the peak of its memory is its own.

#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]
#![expect(clippy::print_stdout, reason = "what was measured")]

use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use wattproof::clock::Moment;
use wattproof::host::Host;
use wattproof::meter::{Meter, Options, Trace, TraceFormat};
use wattproof::record::store::{SAMPLES_FILE, Writer};
use wattproof::record::{Domain, Event, TracePoint, fixture};
use wattproof::units::{Hertz, Watts};

const POINTS: u64 = 3_600_000;
/// What the peak may grow by, in KiB.
const GROWTH: u64 = 8 * 1024;

/// Peak of the resident memory of this process so far, in KiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse().unwrap()
}

/// Runs `body`; the peak may grow little after the first thousand points.
fn flat(body: impl FnOnce(&mut dyn FnMut())) {
    let mut before = None;
    body(&mut || before = Some(peak()));
    let grown = peak() - before.unwrap();
    println!("the peak grew by {grown} KiB");
    assert!(grown < GROWTH, "the peak grew by {grown} KiB over {POINTS} points");
}

fn alone(name: &str) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let output = command.args(["--ignored", "--exact", name, "--nocapture"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    print!("{text}");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}\n{errors}");
}

#[test]
fn memory_is_flat_over_an_hour_in_a_record() {
    alone("child::record");
}

#[test]
fn memory_is_flat_over_an_hour_of_a_measured_command() {
    alone("child::measure");
}

mod child {
    use super::*;

    #[test]
    #[ignore = "run alone by its outer test"]
    fn record() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("record");
        let mut header = fixture::cpu_only().header;
        let mut writer = Writer::create(&folder, &header).unwrap();
        flat(|warm| {
            let domain: Domain = "package-0".parse().unwrap();
            for i in 0..POINTS {
                let power = vec![(domain.clone(), Watts::new(65.0 + (i % 100) as f64 / 7.0).unwrap())];
                let point = TracePoint { at: Moment::from_nanos(i * 1_000_000), power, temperature: None };
                writer.append(&Event::Trace(point)).unwrap();
                if i == 1_000 {
                    warm();
                }
            }
            // Closing takes the digest of all of it.
            writer.finish(&mut header).unwrap();
        });
        let file = std::fs::File::open(folder.join(SAMPLES_FILE)).unwrap();
        assert_eq!(header.samples.unwrap().bytes, file.metadata().unwrap().len());
        assert_eq!(BufReader::new(file).split(b'\n').count() as u64, POINTS);
    }

    /// Counts lines and keeps none.
    struct Lines(BufWriter<std::fs::File>, u64);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.1 += bytes.iter().filter(|b| **b == b'\n').count() as u64;
            self.0.write_all(bytes).map(|()| bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            self.0.flush()
        }
    }

    fn zone(root: &Path) {
        let folder = root.join("sys/class/powercap/intel-rapl/intel-rapl:0");
        std::fs::create_dir_all(&folder).unwrap();
        for (file, text) in [("name", "package-0"), ("energy_uj", "1000"), ("max_energy_range_uj", "262143328850")] {
            std::fs::write(folder.join(file), text).unwrap();
        }
    }

    #[test]
    #[ignore = "run alone by its outer test"]
    fn measure() {
        let dir = tempfile::tempdir().unwrap();
        zone(dir.path());
        let meter = Meter::with(&Options { host: Host::at(dir.path()), ..Options::default() }).unwrap();
        let window = meter.begin();
        let mut taken = 0;
        flat(|warm| {
            while taken < POINTS {
                let out = Lines(BufWriter::new(std::fs::File::create("/dev/null").unwrap()), 0);
                // A rate that cannot be kept: point after point without a pause, so an hour takes seconds.
                let rate = Hertz::new(1e9).unwrap();
                let trace = Trace::start(&meter, &window, 1, rate, TraceFormat::Csv, out).unwrap();
                std::thread::sleep(Duration::from_millis(if taken == 0 { 50 } else { 2_000 }));
                let (out, cost) = trace.finish().unwrap();
                assert_eq!(out.1, cost.points, "every point is one line");
                if taken == 0 {
                    warm();
                }
                taken += cost.points;
            }
        });
        println!("{taken} points");
    }
}
