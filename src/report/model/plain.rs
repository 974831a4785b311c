//! Free text from outside (titles, CPU names, sensor messages) as plain text.

use std::collections::BTreeSet;

/// Longest text taken over from outside. The record keeps the rest.
const LONGEST: usize = 400;

/// `text` without control characters and without marks that reorder what follows them, on one
/// line, shortened when very long. Markup stays as it is: every renderer escapes for its format.
pub(super) fn plain(text: &str) -> String {
    shorten(text, LONGEST)
}

/// As [`plain`], at most `longest` characters.
pub(super) fn shorten(text: &str, longest: usize) -> String {
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
    fn anchors_are_unique_and_safe() {
        let mut anchors = Anchors::default();
        assert_eq!(anchors.take("gemm-f32-m1024"), "case-gemm-f32-m1024");
        assert_eq!(anchors.take("gemm f32/m1024"), "case-gemm-f32-m1024-2");
        assert_eq!(anchors.take("\"><script>"), "case-script");
        assert_eq!(anchors.take("שלום"), "case");
        assert_eq!(anchors.take("你好"), "case-2");
    }
}
