//! Writes the bundle of a long run, to measure `wattproof verify`: 60 cases of 10 windows and an hour of power
//! trace at 10 Hz (36,000 points). The record is synthetic and says so.
//!
//! `cargo run --release --example hour_bundle FOLDER`, then `wattproof verify FOLDER`.

#![expect(clippy::print_stdout, reason = "an example talks to whoever runs it")]

use std::error::Error;
use wattproof::certificate::Issue;
use wattproof::clock::{Moment, Utc};
use wattproof::evidence::Bundle;
use wattproof::policy::{Certification, Table};
use wattproof::record::{RunRecord, fixture, store};

fn main() -> Result<(), Box<dyn Error>> {
    let out = std::env::args_os().nth(1).ok_or("give the folder to write")?;
    let record = hour();
    let (header, samples) = fixture::on_disk(&record);
    let table = Table::shipped("reference-cpu-1").ok_or("the shipped table is missing")?;
    let issue = Issue { issuer: None, place: None, issued_at: Utc::try_from("2026-11-22T12:00:00Z".to_owned())? };
    let (mut bundle, dossier) = Bundle::of(&header, &samples, &Certification::shipped(), &table, &issue)?;
    bundle.seal(&dossier, None)?;
    std::fs::create_dir_all(&out)?;
    for (name, bytes) in &bundle.files {
        std::fs::write(std::path::Path::new(&out).join(name), bytes)?;
        println!("{name}: {} bytes", bytes.len());
    }
    println!("{} cases, {} trace points", record.measurements.len(), record.trace.len());
    Ok(())
}

/// Fifty cases become sixty, and the trace an hour.
fn hour() -> RunRecord {
    let mut record = fixture::fifty_cases();
    for index in 0..10 {
        let mut copy = record.measurements[record.measurements.len() - 10].clone();
        copy.case.id = format!("{}-copy-{index}", copy.case.id);
        if let Some(prepared) = &mut copy.prepared {
            prepared.case.clone_from(&copy.case.id);
        }
        copy.samples.iter_mut().for_each(|sample| sample.case.clone_from(&copy.case.id));
        record.header.plan.cases.push(copy.case.clone());
        record.measurements.push(copy);
    }
    let first = record.trace.clone();
    record.trace = (0..36_000)
        .map(|index| {
            let mut point = first[index % first.len()].clone();
            point.at = Moment::from_nanos(index as u64 * 100_000_000);
            point
        })
        .collect();
    record.header.suite.digest = store::sha256_hex(record.header.suite.text.as_bytes());
    record
}
