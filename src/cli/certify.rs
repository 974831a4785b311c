//! `wattproof certify`: a record becomes a certificate, or an equally clear refusal.

use super::documents::documents;
use super::{Exit, Failure, bundle, keygen, print, style};
use crate::certificate::{Issue, Seal};
use crate::clock::Utc;
use crate::evidence::{Bundle, BundleError, Inputs, dsse};
use crate::policy::{Certification, Policy, Table};
use crate::record::store;
use crate::report::certificate::{self, CertificateModel};
use crate::verdict::Decision;
use std::fs;
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  wattproof certify reports/20261122T080000Z-certify-3f2a
  wattproof certify reports/20261122T080000Z-certify-3f2a --issuer 'Energy lab' --place Wien --sign lab.key
  wattproof certify reports/20261122T080000Z-certify-3f2a --out bundle.tar.zst";

/// Decide on a record by a policy, and write the evidence bundle
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The record: its folder or its record.json
    record: PathBuf,
    /// Folder for the bundle, or a file *.tar.zst; nothing is overwritten [default: `certificate` in the record's folder]
    #[arg(long, short, value_name = "PATH")]
    out: Option<PathBuf>,
    /// Sign with this private key (see `wattproof keygen`)
    #[arg(long, value_name = "KEY")]
    sign: Option<PathBuf>,
    /// Policy file [default: green-ai-1]
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Reference table file [default: reference-cpu-1]
    #[arg(long, value_name = "FILE")]
    table: Option<PathBuf>,
    /// Policy file of systematic errors [default: the shipped one]
    #[arg(long, value_name = "FILE")]
    uncertainty: Option<PathBuf>,
    /// Also write a badge for a README
    #[arg(long, value_name = "FILE")]
    badge: Option<PathBuf>,
    /// Who issues it
    #[arg(long, value_name = "NAME")]
    issuer: Option<String>,
    /// Where it is issued
    #[arg(long, value_name = "PLACE")]
    place: Option<String>,
    /// When it is issued, RFC 3339 [default: now]; with it the same record gives the same bytes again
    #[arg(long, value_name = "TIME", value_parser = time)]
    issued_at: Option<Utc>,
}

fn time(text: &str) -> Result<Utc, String> {
    Utc::try_from(text.to_owned()).map_err(|e| format!("{e}; give a time like 2026-11-22T08:00:00Z"))
}

pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    let home =
        if args.record.is_dir() { args.record.as_path() } else { args.record.parent().unwrap_or(Path::new(".")) };
    let out = args.out.clone().unwrap_or_else(|| home.join("certificate"));
    bundle::is_free(&out)?;
    let key = args.sign.as_deref().map(keygen::read_private).transpose()?;
    store::load(&args.record)?;
    let policy = read_policy(args.policy.as_deref())?;
    let table = match &args.table {
        Some(path) => Table::load(path).map_err(Failure::usage)?,
        None => Table::shipped("reference-cpu-1").ok_or_else(|| Failure::internal("the shipped table is missing"))?,
    };
    let uncertainty = match &args.uncertainty {
        Some(path) => Policy::parse(&text(path)?).map_err(in_file(path))?,
        None => Policy::shipped(),
    };
    let issued_at = args.issued_at.unwrap_or_else(Utc::now);
    let issue = Issue { issuer: args.issuer.clone(), place: args.place.clone(), issued_at };
    let (record, samples) = (bytes(&home.join(store::HEADER_FILE))?, bytes(&home.join(store::SAMPLES_FILE))?);
    let inputs = Inputs {
        record: &record,
        samples: &samples,
        policy: &policy,
        table: &table,
        uncertainty: &uncertainty,
        issue: &issue,
    };
    let in_record = |e: BundleError| Failure::usage(format!("{}: {e}", home.display()));
    let (mut made, dossier) = Bundle::made_of(&inputs).map_err(in_record)?;
    let seal = Seal { key_id: key.as_ref().map(|key| dsse::key_id(&key.verifying_key())) };
    made.files.extend(documents(&dossier, &seal).map_err(Failure::internal)?);
    made.seal(&dossier, key.as_ref()).map_err(Failure::internal)?;
    bundle::write(&made, &out)?;
    if let Some(path) = &args.badge {
        fs::write(path, certificate::badge(&dossier))
            .map_err(|e| Failure::usage(format!("cannot write {}: {e}", path.display())))?;
    }

    let model = CertificateModel::of(&dossier, &seal).map_err(Failure::internal)?;
    print(&certificate::text(&model))?;
    match &seal.key_id {
        Some(id) => print(&format!("signed by the key {id}"))?,
        None => print(&style::dim("not signed: it will not prove where it comes from (wattproof keygen, --sign)"))?,
    }
    print(&format!("bundle   {}", out.display()))?;
    Ok(match dossier.certificate.decision {
        Decision::Certified => Exit::Ok,
        Decision::Refused => Exit::Refused,
        Decision::Inconclusive => Exit::Inconclusive,
    })
}

/// The policy of certification in a file, or the shipped one.
///
/// # Errors
/// Exit code 2, naming the file.
pub(super) fn read_policy(path: Option<&Path>) -> Result<Certification, Failure> {
    match path {
        Some(path) => Certification::load(path).map_err(Failure::usage),
        None => Ok(Certification::shipped()),
    }
}

fn bytes(path: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(path).map_err(|e| Failure::usage(format!("cannot read {}: {e}", path.display())))
}

fn text(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|e| Failure::usage(format!("cannot read {}: {e}", path.display())))
}

fn in_file(path: &Path) -> impl FnOnce(String) -> Failure {
    move |e| Failure::usage(format!("{}: {e}", path.display()))
}
