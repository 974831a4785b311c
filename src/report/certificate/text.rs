//! The result in plain words, for the terminal. Colours and widths are the command line's.

use super::model::CertificateModel;
use std::fmt::Write as _;

/// Width of the labels.
const LABEL: usize = 14;

/// Decision, class, reasons and facts as lines of text: no control character but the line feed, whatever the
/// record holds.
#[must_use]
pub fn text(model: &CertificateModel) -> String {
    let mut out = String::new();
    let marks: Vec<&str> = model.marks.iter().map(|m| m.text.as_str()).collect();
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{} · {}\n{}\n", model.word, model.id, model.lead);
    if let Some(rating) = &model.rating {
        let open = if rating.open.is_empty() { String::new() } else { format!(" ({})", rating.open) };
        line(&mut out, "Class", &format!("{}{open}", rating.letter));
        line(&mut out, "Index", &format!("{}, {}", rating.index, rating.interval));
        if let Some(why) = &rating.provisional {
            line(&mut out, "", why);
        }
    }
    for reason in &model.reasons {
        let _ = writeln!(out, "{} ({})", reason.title, reason.code);
        line(&mut out, "  observed", &reason.observed);
        line(&mut out, "  limit", &reason.limit);
        if !reason.fix.is_empty() {
            line(&mut out, "  fix", &reason.fix);
        }
        out.push('\n');
    }
    if let Some(more) = &model.more_reasons {
        let _ = writeln!(out, "{more}\n");
    }
    for fact in &model.facts {
        line(&mut out, &fact.label, &fact.value);
    }
    line(&mut out, "Seal", &marks.join(" · "));
    line(&mut out, "SHA-256", &format!("{} certificate.json", model.verify.digest));
    line(&mut out, "Verify", model.verify.command);
    let _ = writeln!(out, "\n{}", model.scope);
    out
}

fn line(out: &mut String, label: &str, value: &str) {
    let _ = writeln!(out, "{label:LABEL$} {value}");
}
