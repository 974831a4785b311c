//! Writes synthetic records of one suite from many machines, to try and to time `wattproof compare`:
//!
//! ```text
//! cargo run --release --example compare_records -- DIR [RECORDS] [CASES]
//! ```
//!
//! CASES is rounded down to whole copies of a suite of 50 cases, 6 of them probes. Every record says that it is simulated.

use std::fs;
use std::path::PathBuf;
use wattproof::record::fixture;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let dir = PathBuf::from(args.next().ok_or("usage: compare_records DIR [RECORDS] [CASES]")?);
    let records: u32 = args.next().map_or(Ok(200), |n| n.parse())?;
    let cases: usize = args.next().map_or(Ok(50), |n| n.parse())?;
    let once = fixture::fifty_cases();
    let template = if cases < 100 { once } else { fixture::widened(&once, cases / 50) };
    for number in 0..records {
        let record = fixture::rival(&template, number);
        let (header, samples) = fixture::on_disk(&record);
        let dir = dir.join(&record.header.id);
        fs::create_dir_all(&dir)?;
        fs::write(dir.join("record.json"), header)?;
        fs::write(dir.join("samples.jsonl"), samples)?;
    }
    Ok(())
}
