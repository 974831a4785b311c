//! Writes a specimen of every kind of certificate into a folder: page, PDF, badge and terminal text.
//!
//!     cargo run --release --example certificate_specimens -- FOLDER [NAME…]

#![expect(clippy::print_stderr, reason = "an example talks to whoever runs it")]

use std::path::Path;
use std::process::ExitCode;
use wattproof::certificate::Seal;
use wattproof::report::certificate::{CertificateModel, badge, documents, specimen, text};

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let Some(folder) = args.next() else {
        eprintln!("give a folder to write to");
        return ExitCode::from(2);
    };
    let wanted: Vec<String> = args.collect();
    match write(Path::new(&folder), &wanted) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn write(folder: &Path, wanted: &[String]) -> Result<(), Box<dyn std::error::Error>> {
    std::fs::create_dir_all(folder)?;
    for (name, dossier) in specimen::all() {
        if !wanted.is_empty() && !wanted.iter().any(|w| w == name) {
            continue;
        }
        // Half of them unsigned, so that both can be looked at.
        let seal = Seal { key_id: (name.len() % 2 == 1).then(|| "9f2c".repeat(16)) };
        for (file, bytes) in documents(&dossier, &seal)? {
            std::fs::write(folder.join(format!("{name}-{file}")), bytes)?;
        }
        std::fs::write(folder.join(format!("{name}-badge.svg")), badge(&dossier))?;
        let model = CertificateModel::of(&dossier, &seal)?;
        std::fs::write(folder.join(format!("{name}.txt")), text(&model))?;
    }
    Ok(())
}
