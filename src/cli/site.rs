//! `wattproof site`: a folder of records becomes a static site.

pub(super) mod find;
pub(super) mod make;
pub(super) mod output;

use super::{Exit, Failure, keygen, print, style};
use crate::evidence::keys;
use crate::report::site::{INDEX_FILE, LEFT_OUT_FILE, LeftOut};
use ed25519_dalek::VerifyingKey;
use output::Place;
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  wattproof site reports -o public                     every record below reports/, then open public/index.html
  wattproof site reports -o public --key lab.key.pub   and say which certificates that key has signed
  wattproof serve public                               look at it in a browser, on this machine alone

The site needs no server and no network. What cannot be read or does not verify is left out, with its reason, on stderr
and on a page of the site. Exit code 2: no record could be read, or --out holds something that is no site.";

/// Entries left out that are printed; the site lists all of them.
const PRINTED: usize = 50;

/// Make a static site of a folder of records: a table to search, sort and compare, and a page for each
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Folder of records; bundles and archives of certificates beside or below them are verified and shown with them
    records: PathBuf,
    /// Folder for the site: a new one, an empty one, or a site that is to be replaced
    #[arg(long, short, value_name = "DIR")]
    out: PathBuf,
    /// Heading of the site
    #[arg(long, value_name = "TEXT", default_value = "Results")]
    title: String,
    /// A signer's public key, from a source that you trust; may be given again
    #[arg(long, value_name = "PUB")]
    key: Vec<PathBuf>,
}

pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    let place = Place::of(&args.out)?;
    let options = make::Options { title: &args.title, keys: keys_in(&args.key)? };
    let draft = output::Draft::beside(&args.out)?;
    let made = make::make(&args.records, draft.path(), &options)?;
    output::seal(draft.path())?;
    let kept = draft.take(&args.out, place)?;
    warn(&made.left_out);
    if let Some(kept) = kept {
        eprintln!("{} something was put into the old site meanwhile: {}", style::warn("kept:"), kept.display());
    }
    print(&summary(&made, &args.out))?;
    Ok(Exit::Ok)
}

/// The public keys in these files.
fn keys_in(paths: &[PathBuf]) -> Result<Vec<VerifyingKey>, Failure> {
    let read = |path: &PathBuf| {
        let text = keygen::read_text(path)?;
        keys::public_from_pem(&text).map_err(|e| Failure::usage(format!("{} {e}", path.display())))
    };
    paths.iter().map(read).collect()
}

/// Says on stderr what was left out.
pub(super) fn warn(left_out: &[LeftOut]) {
    for LeftOut { path, reason } in left_out.iter().take(PRINTED) {
        eprintln!("{} {path}: {reason}", style::warn("left out:"));
    }
    if left_out.len() > PRINTED {
        eprintln!("and {} more: {LEFT_OUT_FILE} has all", left_out.len() - PRINTED);
    }
}

fn summary(made: &make::Made, out: &Path) -> String {
    let plural = |n: usize, one: &str| format!("{n} {one}{}", if n == 1 { "" } else { "s" });
    let mut parts = vec![plural(made.records, "record")];
    if made.certificates > 0 {
        parts.push(plural(made.certificates, "certificate"));
    }
    if !made.left_out.is_empty() {
        parts.push(format!("{} left out", made.left_out.len()));
    }
    format!("{}\nsite     {}", parts.join(", "), out.join(INDEX_FILE).display())
}
