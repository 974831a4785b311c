//! `wattproof verify`: recompute a certificate from its evidence, and say what differs.

use super::documents::documents;
use super::{Exit, Failure, Format, bundle, certify, keygen, print, print_json, style};
use crate::evidence::verify::{Outcome, Reassessment};
use crate::evidence::{Difference, Options, Verification, keys, verify};
use crate::verdict::Decision;
use serde_json::json;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  wattproof verify reports/<id>/certificate                    recompute everything, offline
  wattproof verify bundle.tar.zst --key lab.key.pub            and check who signed it
  wattproof verify bundle --policy stricter.yaml               and see what another policy would say

Exit code 0: everything holds, whatever the certificate says. 8: something differs, and it is printed.";

/// Differences that are printed; --format json has all of them.
const PRINTED: usize = 40;

/// Longest value that is printed.
const LONGEST: usize = 200;

/// Check a bundle's signature and digests, recompute it from the raw samples, print every difference
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The bundle: its folder, or a file *.tar.zst
    bundle: PathBuf,
    /// The signer's public key, from a source that you trust; without it the origin is not proved
    #[arg(long, value_name = "PUB")]
    key: Option<PathBuf>,
    /// Decide by this policy as well, and say what it would change
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// What to print on stdout
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    let key = match &args.key {
        Some(path) => {
            let text = keygen::read_text(path)?;
            Some(keys::public_from_pem(&text).map_err(|e| Failure::usage(format!("{} {e}", path.display())))?)
        }
        None => None,
    };
    let policy = args.policy.as_deref().map(|path| certify::read_policy(Some(path))).transpose()?;
    let bundle = bundle::read(&args.bundle)?;
    let options = Options { key: key.as_ref(), policy: policy.as_ref(), documents: &documents };
    let result = verify(&bundle, &options);
    match args.format {
        Format::Json => print_json(&json!({"holds": result.holds(), "result": result}))?,
        Format::Text => print(&text(&result))?,
    }
    Ok(if result.holds() { Exit::Ok } else { Exit::Evidence })
}

fn text(result: &Verification) -> String {
    let mut lines = Vec::new();
    for check in &result.checks {
        let mark = match check.outcome {
            Outcome::Holds => style::good("✓"),
            Outcome::Skipped => style::warn("–"),
            Outcome::Fails => style::error("✗"),
        };
        lines.push(format!("{mark} {:<9} {}", check.check, check.text));
    }
    lines.extend(result.differences.iter().take(PRINTED).map(line));
    if result.differences.len() > PRINTED {
        lines.push(format!("  and {} more: --format json has all", result.differences.len() - PRINTED));
    }
    if let Some(other) = &result.by_other_policy {
        lines.extend(reassessment(other));
    }
    let what = result.certificate.as_ref().map(|c| {
        let word = match c.decision {
            Decision::Certified => "certified",
            Decision::Refused => "not certified",
            Decision::Inconclusive => "inconclusive",
        };
        let class = c.class.map(|class| format!(", class {class}")).unwrap_or_default();
        format!(" · {} · {word}{class}", c.id)
    });
    let what = what.unwrap_or_default();
    let signed = result.checks.iter().any(|c| c.check == "signature" && c.outcome == Outcome::Holds);
    lines.push(match (result.holds(), signed) {
        (true, true) => format!("{}{what}", style::good("VERIFIED")),
        (true, false) => format!("{}{what}", style::good("VERIFIED, origin not proved")),
        (false, _) => format!("{}{what}", style::error("NOT VERIFIED")),
    });
    lines.join("\n")
}

/// `certificate.json /rating/index: is not what recomputing gives (stated 1.5, found 1.2)`, inert on a terminal.
fn line(difference: &Difference) -> String {
    let pointer = difference.pointer.as_ref().map(|p| format!(" {}", inert(p))).unwrap_or_default();
    let value = |value: &Option<String>| value.as_deref().map_or("nothing".to_owned(), inert);
    let values = match (&difference.stated, &difference.found) {
        (None, None) => String::new(),
        (stated, found) => format!(" (stated {}, found {})", value(stated), value(found)),
    };
    format!("  {}{pointer}: {}{values}", inert(&difference.file), inert(&difference.text))
}

fn reassessment(other: &Reassessment) -> Vec<String> {
    let name = inert(&other.policy);
    if other.changes.is_empty() {
        return vec![format!("by the policy {name} nothing would change")];
    }
    let mut lines = vec![format!("by the policy {name}:")];
    lines.extend(other.changes.iter().map(|change| format!("  {}", inert(change))));
    lines
}

/// Text from a bundle, cut and without anything a terminal would obey.
fn inert(text: &str) -> String {
    let cut: String = text.chars().take(LONGEST).collect();
    let dots = if cut.len() < text.len() { "…" } else { "" };
    let safe: String = cut
        .chars()
        .flat_map(|c| {
            let obeyed = c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
            let escaped = obeyed.then(|| c.escape_unicode());
            let plain = (!obeyed).then_some(c);
            escaped.into_iter().flatten().chain(plain)
        })
        .collect();
    safe + dots
}

#[cfg(test)]
mod tests {
    use super::inert;

    #[test]
    fn a_terminal_obeys_nothing_of_a_bundle() {
        assert_eq!(inert("a\u{1b}[31m\u{202e}b\u{9b}é🔋"), "a\\u{1b}[31m\\u{202e}b\\u{9b}é🔋");
        assert_eq!(inert(&"x".repeat(300)).chars().count(), 201);
    }
}
