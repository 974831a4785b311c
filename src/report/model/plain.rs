//! Free text from outside (titles, CPU names, sensor messages) as plain text.

use crate::record::Domain;
use std::collections::BTreeSet;

/// Longest text taken over from outside. The record keeps the rest.
const LONGEST: usize = 400;

/// `text` without control characters and without marks that reorder what follows them, on one
/// line, shortened when very long. Markup stays as it is: every renderer escapes for its format.
pub(in crate::report) fn plain(text: &str) -> String {
    shorten(text, LONGEST)
}

/// As [`plain`], at most `longest` characters.
pub(in crate::report) fn shorten(text: &str, longest: usize) -> String {
    let words = text.split(|c: char| c.is_whitespace()).map(|word| word.chars().filter(|c| !is_hidden(*c)));
    let mut out = String::new();
    let mut length = 0;
    for word in words {
        let mut first = true;
        for c in word {
            if first && !out.is_empty() {
                out.push(' ');
                length += 1;
            }
            first = false;
            if length >= longest {
                out.push('…');
                return out;
            }
            out.push(c);
            length += 1;
        }
    }
    out
}

/// First letter upper case, full stop at the end. A first word that is an identifier or a path stays
/// as it is.
pub(in crate::report) fn sentence(text: &str) -> String {
    let text = plain(text);
    let word = text.split(' ').next().unwrap_or_default();
    let is_name =
        word.trim_end_matches([',', ':', ';']).contains(|c: char| !c.is_alphabetic() && c != '-') || word.contains('`');
    let stop = if text.ends_with(['.', '…', '!', '?']) || text.is_empty() { "" } else { "." };
    let mut chars = text.chars();
    match chars.next() {
        Some(first) if !is_name => format!("{}{}{stop}", first.to_uppercase(), chars.as_str()),
        _ => format!("{text}{stop}"),
    }
}

/// A domain's name for people; of a GPU's UUID only the first group, enough to tell boards apart.
pub(in crate::report) fn domain_name(domain: &Domain) -> String {
    match domain {
        Domain::Gpu { uuid } => format!("gpu-{}", first_group(uuid)),
        Domain::GpuModule { uuid } => format!("gpu-module-{}", first_group(uuid)),
        other => other.to_string(),
    }
}

fn first_group(uuid: &str) -> String {
    let uuid = uuid.strip_prefix("GPU-").unwrap_or(uuid);
    uuid.chars().take_while(char::is_ascii_alphanumeric).take(16).collect()
}

/// Control characters, bidirectional overrides and isolates, zero-width marks, private use and
/// noncharacters: nothing a name needs.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{e000}'..='\u{f8ff}' | '\u{fdd0}'..='\u{fdef}' | '\u{feff}' | '\u{fff9}'..='\u{ffff}'
            | '\u{e0000}'..='\u{10ffff}')
}

/// Hands out anchors that are unique in a report and safe in HTML ids and URL fragments.
#[derive(Debug, Default)]
pub(super) struct Anchors(BTreeSet<String>);

impl Anchors {
    /// `case-` and the id's letters and digits; a number is added when that is taken.
    pub(super) fn take(&mut self, id: &str) -> String {
        let mut slug = String::from("case");
        let mut gap = true;
        for c in id.chars().take(80) {
            if c.is_ascii_alphanumeric() {
                if gap {
                    slug.push('-');
                }
                slug.push(c.to_ascii_lowercase());
                gap = false;
            } else {
                gap = true;
            }
        }
        let mut anchor = slug.clone();
        let mut next = 2;
        while !self.0.insert(anchor.clone()) {
            anchor = format!("{slug}-{next}");
            next += 1;
        }
        anchor
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_and_reordering_characters_go_and_markup_stays() {
        assert_eq!(plain("a\u{1b}[31mb\u{7}\u{0}\r\nc\t d\u{202e}e"), "a[31mb c de");
        assert_eq!(plain("<b>&amp;</b> | `x`"), "<b>&amp;</b> | `x`");
        assert_eq!(plain("  \n "), "");
        assert_eq!(plain("שלום 🔋"), "שלום 🔋");
    }

    #[test]
    fn long_text_is_shortened_visibly() {
        let text = plain(&"N".repeat(10_000));
        assert_eq!(text.chars().count(), LONGEST + 1);
        assert!(text.ends_with('…'));
        assert_eq!(shorten("abc def", 7), "abc def");
        assert_eq!(shorten("abc def", 5), "abc d…");
    }

    #[test]
    fn sentences_begin_and_end_as_such_and_names_stay() {
        assert_eq!(sentence("warm-up did not end"), "Warm-up did not end.");
        assert_eq!(sentence("libnvidia-ml.so.1 cannot be loaded"), "libnvidia-ml.so.1 cannot be loaded.");
        assert_eq!(sentence("/sys has no zone."), "/sys has no zone.");
        assert_eq!(sentence("`x` was not run"), "`x` was not run.");
        assert_eq!(sentence(""), "");
    }

    #[test]
    fn gpu_names_are_short() {
        let domain: Domain = "gpu-GPU-5c3a9d10-77f2-4be1-9c55-2f6e0b1d8a43".parse().unwrap();
        assert_eq!(domain_name(&domain), "gpu-5c3a9d10");
        assert_eq!(domain_name(&Domain::Psys), "psys");
    }

    #[test]
    fn anchors_are_unique_and_safe() {
        let mut anchors = Anchors::default();
        assert_eq!(anchors.take("gemm-f32-m1024"), "case-gemm-f32-m1024");
        assert_eq!(anchors.take("gemm f32/m1024"), "case-gemm-f32-m1024-2");
        assert_eq!(anchors.take("\"><script>"), "case-script");
        assert_eq!(anchors.take("שלום"), "case");
        assert_eq!(anchors.take("你好"), "case-2");
    }
}
