//! `wattproof export`: a certificate in the formats of others.

use super::{Exit, Failure, bundle, print};
use crate::interop::{FORMATS, Given};
use std::fs;
use std::path::PathBuf;

/// Write a certificate as SCI, in-toto test result, CycloneDX ML-BOM or CSV
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wattproof export bundle --to cyclonedx > bom.cdx.json
  wattproof export bundle --to sci --carbon-intensity 380 --embodied 42

Everything is computed again from the record in the bundle; `wattproof list exports` shows the formats.
What nobody gives and nobody measured is left out, and then there is no score.")]
pub(super) struct Args {
    /// The bundle: its folder, or a file *.tar.zst
    bundle: PathBuf,
    /// The format
    #[arg(long, value_name = "FORMAT", value_parser = FORMATS.iter().map(|f| f.id).collect::<Vec<_>>())]
    to: String,
    /// Carbon intensity of the electricity, in gCO2eq/kWh
    #[arg(long, value_name = "G_PER_KWH", value_parser = amount)]
    carbon_intensity: Option<f64>,
    /// Embodied emissions that fall on an hour of the machine, in gCO2eq
    #[arg(long, value_name = "G_PER_HOUR", value_parser = amount)]
    embodied: Option<f64>,
    /// File to write [default: stdout]
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// A number from 0 to a million.
fn amount(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|x| (0.0..=1e6).contains(x));
    number.ok_or_else(|| "write a number from 0 to 1000000".to_owned())
}

pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    let format = FORMATS.iter().find(|f| f.id == args.to).ok_or_else(|| Failure::internal("the format is gone"))?;
    let dossier = bundle::read(&args.bundle)?.decide().map_err(Failure::usage)?;
    let given = Given { carbon_intensity: args.carbon_intensity, embodied_per_hour: args.embodied };
    let text = (format.render)(&dossier, &given);
    match &args.out {
        None => print(&text)?,
        Some(path) => {
            fs::write(path, text).map_err(|e| Failure::usage(format!("cannot write {}: {e}", path.display())))?;
        }
    }
    Ok(Exit::Ok)
}
