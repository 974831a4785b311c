//! Writes many synthetic records into a folder, for a site of them: marked as simulated, on machines that do not exist.
//!
//!     cargo run --release --example many_records -- FOLDER COUNT [odd]
//!
//! With `odd` it also writes what a site has to cope with: records with hostile text, wrong answers, a GPU and all that a
//! certificate asks for; and a newer, a broken, a changed and a foreign one, and one that lies there twice.

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
    let folder = Path::new(&folder);
    let odd = args.next().is_some_and(|word| word == "odd");
    match write(folder, count).and_then(|()| if odd { write_odd(folder) } else { Ok(()) }) {
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
        save(&folder.join(&record.header.id), &fixture::on_disk(&record))?;
    }
    Ok(())
}

fn save(dir: &Path, (header, samples): &(Vec<u8>, Vec<u8>)) -> Result<(), Box<dyn std::error::Error>> {
    std::fs::create_dir_all(dir)?;
    std::fs::write(dir.join("record.json"), header)?;
    Ok(std::fs::write(dir.join("samples.jsonl"), samples)?)
}

fn write_odd(folder: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let kinds = [
        ("wrong-answer", fixture::wrong_answer()),
        ("gpu", fixture::with_gpu()),
        ("certifiable", fixture::certifiable()),
        ("fifty", fixture::fifty_cases()),
    ];
    for (name, mut record) in kinds {
        record.header.id = format!("20260101T000000Z-{name}");
        save(&folder.join(name), &fixture::on_disk(&record))?;
    }
    save(&folder.join("hostile"), &fixture::on_disk(&fixture::hostile()))?;
    let (header, samples) = fixture::on_disk(&fixture::with_rapl());
    let header = String::from_utf8(header)?;
    let newer = header.replacen("\"schema\": 1", "\"schema\": 99", 1);
    let broken = header[..header.len() / 2].to_owned();
    let changed = [samples.as_slice(), b"\n"].concat();
    for (name, header, samples) in [
        ("newer", newer.as_str(), &samples),
        ("broken", broken.as_str(), &samples),
        ("changed", header.as_str(), &changed),
        ("foreign", "{\"name\": \"</script><script>alert(1)</script>\"}", &samples),
        ("once", header.as_str(), &samples),
        ("once-more", header.as_str(), &samples),
    ] {
        save(&folder.join(name), &(header.as_bytes().to_vec(), samples.clone()))?;
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
