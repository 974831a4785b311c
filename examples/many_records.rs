//! Writes many synthetic records into a folder, for a site of them: marked as simulated, on machines that do not exist.
//!
//!     cargo run --release --example many_records -- FOLDER COUNT

#![expect(clippy::print_stderr, reason = "an example talks to whoever runs it")]

use std::path::Path;
use std::process::ExitCode;
use wattproof::clock::Utc;
use wattproof::record::{RunRecord, fixture};

/// Vendor strings and models that the records are spread over.
const MACHINES: [(&str, &str); 6] = [
    ("AuthenticAMD", "AMD EPYC Fixture 9004"),
    ("AuthenticAMD", "AMD Ryzen Fixture 7"),
    ("GenuineIntel", "Intel Xeon Fixture 8500"),
    ("GenuineIntel", "Intel Core Fixture 9"),
    ("ARM", "Neoverse Fixture V2"),
    ("Apple", "Fixture M9"),
];

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let (Some(folder), Some(count)) = (args.next(), args.next().and_then(|n| n.parse().ok())) else {
        eprintln!("give a folder to write to, and how many records");
        return ExitCode::from(2);
    };
    match write(Path::new(&folder), count) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn write(folder: &Path, count: usize) -> Result<(), Box<dyn std::error::Error>> {
    let kinds = [fixture::with_rapl(), fixture::cpu_only(), fixture::crossing(), fixture::partial()];
    let begin = Utc::try_from("2025-01-01T00:00:00Z".to_owned())?;
    for n in 0..count {
        let mut record = kinds[[0, 0, 0, 1, 0, 2, 0, 3][n % 8]].clone();
        let (vendor, model) = MACHINES[n % MACHINES.len()];
        record.header.environment.cpu.vendor = Some(vendor.to_owned());
        record.header.environment.cpu.model = Some(model.to_owned());
        record.header.started_at = begin.plus_seconds(n as u64 * 1800);
        record.header.finished_at = record.header.finished_at.map(|_| record.header.started_at.plus_seconds(50));
        record.header.id = format!("{}-reference-{n:04x}", record.header.started_at.compact());
        faster(&mut record, n);
        let (header, samples) = fixture::on_disk(&record);
        let dir = folder.join(&record.header.id);
        std::fs::create_dir_all(&dir)?;
        std::fs::write(dir.join("record.json"), header)?;
        std::fs::write(dir.join("samples.jsonl"), samples)?;
    }
    Ok(())
}

/// Lets the machine do between 0.8 and 1.2 times as much in its windows.
fn faster(record: &mut RunRecord, n: usize) {
    let factor = 800 + (n as u64 * 37) % 400;
    for sample in record.measurements.iter_mut().flat_map(|m| &mut m.samples) {
        sample.iterations = sample.iterations * factor / 1000;
    }
}
