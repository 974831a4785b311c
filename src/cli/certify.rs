//! `wattproof certify`: a record becomes a certificate, or an equally clear refusal.

use super::{Exit, Failure, print};
use crate::certificate::{Issue, Seal};
use crate::clock::Utc;
use crate::evidence::Bundle;
use crate::policy::{Certification, Table};
use crate::record::store;
use crate::report::certificate;
use crate::verdict::{Decision, Status};
use std::fs;
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  wattproof certify reports/20261122T080000Z-certify-3f2a
  wattproof certify reports/20261122T080000Z-certify-3f2a --issuer 'Energy lab' --place Wien --out bundle";

/// Decide on a record by a policy, and write the evidence bundle
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The record: its folder or its record.json
    record: PathBuf,
    /// Folder for the bundle; it must not exist or be empty [default: `certificate` in the record's folder]
    #[arg(long, short, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Policy file [default: green-ai-1]
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Reference table file [default: reference-cpu-1]
    #[arg(long, value_name = "FILE")]
    table: Option<PathBuf>,
    /// Also write a badge for a README
    #[arg(long, value_name = "FILE")]
    badge: Option<PathBuf>,
    /// Who issues it
    #[arg(long, value_name = "NAME")]
    issuer: Option<String>,
    /// Where it is issued
    #[arg(long, value_name = "PLACE")]
    place: Option<String>,
}

pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    let home =
        if args.record.is_dir() { args.record.as_path() } else { args.record.parent().unwrap_or(Path::new(".")) };
    let read = |path: &Path| fs::read(path).map_err(|e| Failure::usage(format!("cannot read {}: {e}", path.display())));
    let text = |path: &Path| {
        fs::read_to_string(path).map_err(|e| Failure::usage(format!("cannot read {}: {e}", path.display())))
    };
    store::load(&args.record)?;
    let policy = match &args.policy {
        Some(path) => {
            Certification::parse(&text(path)?).map_err(|e| Failure::usage(format!("{}: {e}", path.display())))?
        }
        None => Certification::shipped(),
    };
    let table = match &args.table {
        Some(path) => Table::parse(&text(path)?).map_err(|e| Failure::usage(format!("{}: {e}", path.display())))?,
        None => Table::shipped("reference-cpu-1").ok_or_else(|| Failure::internal("the shipped table is missing"))?,
    };
    let issue = Issue { issuer: args.issuer.clone(), place: args.place.clone(), issued_at: Utc::now() };
    let header = read(&home.join(store::HEADER_FILE))?;
    let samples = read(&home.join(store::SAMPLES_FILE))?;
    let (mut bundle, dossier) = Bundle::of(&header, &samples, &policy, &table, &issue).map_err(Failure::usage)?;
    let documents = certificate::documents(&dossier, &Seal::default()).map_err(Failure::internal)?;
    bundle.files.extend(documents);
    bundle.seal(&dossier, None).map_err(Failure::internal)?;

    let out = args.out.clone().unwrap_or_else(|| home.join("certificate"));
    if fs::read_dir(&out).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(Failure::usage(format!("{} is not empty; choose another --out", out.display())));
    }
    let failed = |e: std::io::Error| Failure::usage(format!("cannot write {}: {e}", out.display()));
    fs::create_dir_all(&out).map_err(failed)?;
    for (name, bytes) in &bundle.files {
        fs::write(out.join(name), bytes).map_err(failed)?;
    }
    if let Some(path) = &args.badge {
        fs::write(path, certificate::badge(&dossier))
            .map_err(|e| Failure::usage(format!("cannot write {}: {e}", path.display())))?;
    }

    let certificate = &dossier.certificate;
    for finding in certificate.findings.iter().filter(|f| f.status < Status::Pass) {
        let case = finding.case.as_deref().map(|c| format!(" {c}:")).unwrap_or_default();
        print(&format!(
            "{}:{case} {} (asked for: {}). {}",
            finding.code, finding.observed, finding.limit, finding.fix
        ))?;
    }
    let word = match certificate.decision {
        Decision::Certified => "CERTIFIED",
        Decision::Refused => "NOT CERTIFIED",
        Decision::Inconclusive => "INCONCLUSIVE",
    };
    print(&format!("{word} · {} · {}", certificate.id, out.display()))?;
    Ok(match certificate.decision {
        Decision::Certified => Exit::Ok,
        Decision::Refused => Exit::Refused,
        Decision::Inconclusive => Exit::Inconclusive,
    })
}
