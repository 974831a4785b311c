//! Fills a history with synthetic records, through the code that `wattproof history add` runs: bytes of a record →
//! parser → figures → store.
//!
//! ```sh
//! cargo run --release --example history_fill -- STORE RECORDS [--folder DIR | --reckon N]
//! ```
//!
//! STORE is a file or `postgres://…`. With `--folder` the records are written there as well; with `--reckon` only the
//! first N records are read and reckoned, and the rest repeats their figures with a scatter of its own, which fills
//! millions sooner. Windows scatter by 0.5 %, runs by 1 %; from 70 % of the records on the first workload draws 3 %
//! more. Everything is drawn from a seed.

#![expect(clippy::print_stdout, reason = "a program for people")]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Duration;
use wattproof::clock::Clock;
use wattproof::history::store::{Access, Place, open};
use wattproof::history::{Entry, Provenance, entry};
use wattproof::policy::Policy;
use wattproof::record::store::{parse, sha256_hex};
use wattproof::record::{RunRecord, fixture};
use wattproof::units::MicroJoules;

/// Records that are stored in one transaction, as `history import` does.
const BATCH: usize = 100;

/// SplitMix64 (Steele, Lea & Flood 2014), and normal draws from it (Box & Muller 1958).
struct Random(u64);

impl Random {
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (((z ^ (z >> 31)) >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        (-2.0 * self.unit().ln()).sqrt() * (std::f64::consts::TAU * self.unit()).cos()
    }
}

/// The n-th record: one a day.
fn record(template: &RunRecord, n: usize, all: usize, random: &mut Random) -> RunRecord {
    let mut record = template.clone();
    let day = u32::try_from(n).unwrap_or(u32::MAX);
    record.header.id = format!("run-{n:06}");
    record.header.started_at = record.header.started_at.plus_days(day);
    record.header.finished_at = record.header.finished_at.map(|t| t.plus_days(day));
    record.header.tool.commit = Some(sha256_hex(n.to_string().as_bytes()).chars().take(40).collect());
    let mut workloads = 0;
    for measurement in &mut record.measurements {
        let probe = matches!(measurement.case.kernel.as_str(), "fma-peak" | "read-bandwidth" | "copy");
        workloads += usize::from(!probe);
        let step = if workloads == 1 && !probe && n * 10 >= all * 7 { 1.03 } else { 1.0 };
        let run = step * (0.01 * random.normal()).exp();
        for sample in &mut measurement.samples {
            let factor = run * (0.005 * random.normal()).exp();
            for span in &mut sample.energy {
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "joules of a fixture")]
                let scaled = (span.energy.get() as f64 * factor).round() as u64;
                span.energy = MicroJoules::new(scaled);
            }
        }
    }
    record
}

/// The figures of another record as those of the n-th: in the same series, with the scatter of another run.
fn repeated(of: &Entry, n: usize, random: &mut Random) -> Entry {
    let mut entry = of.clone();
    entry.record.id = format!("run-{n:06}");
    entry.record.digest = sha256_hex(entry.record.id.as_bytes());
    entry.record.started += i64::try_from(n).unwrap_or(i64::MAX / 2) * 86_400;
    entry.record.commit = Some(entry.record.digest.chars().take(40).collect());
    for figure in &mut entry.figures {
        let factor = (0.01 * random.normal()).exp();
        figure.value *= factor;
        figure.low = figure.low.map(|v| v * factor);
        figure.high = figure.high.map(|v| v * factor);
    }
    entry
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [store, count, rest @ ..] = &arguments[..] else {
        return Err("history_fill STORE RECORDS [--folder DIR]".into());
    };
    let count: usize = count.parse()?;
    let (folder, reckon) = match rest {
        [flag, dir] if flag == "--folder" => (Some(PathBuf::from(dir)), count),
        [flag, n] if flag == "--reckon" => (None, n.parse::<usize>()?.clamp(1, BATCH)),
        _ => (None, count),
    };
    let mut first_ones: Vec<Entry> = Vec::new();
    let access = Access { write: true, wait: Duration::from_secs(60), password: std::env::var("PGPASSWORD").ok() };
    let mut store = open(&Place::parse(store), &access)?;
    let mut template = fixture::fifty_cases();
    template.trace.clear();
    let (mut random, policy) = (Random(20_261_122), Policy::shipped());
    let (mut figures, mut reckoned, mut stored) = (0, 0.0, 0.0);
    let clock = Clock::start();
    for first in (0..count).step_by(BATCH) {
        let begin = clock.now();
        let mut entries: Vec<Entry> = Vec::new();
        for n in first..count.min(first + BATCH) {
            if n >= reckon {
                entries.push(repeated(&first_ones[n % reckon], n, &mut random));
                continue;
            }
            let (header, samples) = fixture::on_disk(&record(&template, n, count, &mut random));
            if let Some(dir) = &folder {
                let dir = dir.join(format!("run-{n:06}"));
                std::fs::create_dir_all(&dir)?;
                std::fs::write(dir.join("record.json"), &header)?;
                std::fs::write(dir.join("samples.jsonl"), &samples)?;
            }
            let read = parse(Path::new("record.json"), &header, Path::new("samples.jsonl"), &samples)?;
            let from = Provenance { commit: None, branch: Some("main".to_owned()) };
            let new = entry(&read, &sha256_hex(&header), &from, &policy)?;
            first_ones.extend((reckon < count).then(|| new.clone()));
            entries.push(new);
        }
        figures += entries.iter().map(|e| e.figures.len()).sum::<usize>();
        let middle = clock.now();
        store.add(&entries)?;
        reckoned += middle.since(begin).get();
        stored += clock.now().since(middle).get();
    }
    println!(
        "{}: {count} records, {figures} figures; read and reckoned in {reckoned:.1} s, stored in {stored:.1} s",
        store.name()
    );
    Ok(())
}
