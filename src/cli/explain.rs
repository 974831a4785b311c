//! `wattproof explain`: a rule of certification, with its limit and how to keep it.

use super::{Exit, Failure, Format, print, print_json, style};
use crate::policy::Certification;
use crate::suite::problem::quoted;
use crate::suite::suggest::hint;
use crate::verdict::rules;
use std::path::PathBuf;

/// Explain a rule of certification
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  wattproof explain idle-drift\n  wattproof explain --all > rules.md")]
pub(super) struct Args {
    /// Code of the rule; `wattproof list rules` shows all
    #[arg(required_unless_present = "all")]
    code: Option<String>,
    /// Every rule, as Markdown
    #[arg(long, conflicts_with_all = ["code", "format"])]
    all: bool,
    /// Policy file whose numbers are shown [default: green-ai-1]
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// What to print on stdout
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    let policy = match &args.policy {
        None => Certification::shipped(),
        Some(path) => Certification::load(path).map_err(|e| Failure::usage(e.render(style::colored())))?,
    };
    let Some(code) = args.code.as_deref().filter(|_| !args.all) else {
        print(&rules::markdown(&policy))?;
        return Ok(Exit::Ok);
    };
    let Some(rule) = rules::find(code) else {
        let help = hint(code, "rules", rules::REGISTRY.iter().map(|r| r.code));
        return Err(Failure::usage(format!("no rule has the code {}: {help}", quoted(code))));
    };
    let explanation = rule.explain(&policy);
    match args.format {
        Format::Json => print_json(&explanation)?,
        Format::Text => {
            let mut text = format!("{}: {}\n", rule.code, rule.title);
            for (label, part) in explanation.parts(&policy) {
                text += &format!("\n{label}\n  {part}\n");
            }
            print(&text)?;
        }
    }
    Ok(Exit::Ok)
}
