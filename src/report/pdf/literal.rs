//! Text from outside as Typst string literals: the one way by which data enters the document.

use super::world::has_glyph;

/// Stands for a character that no embedded face can show. PDF/A forbids text without a glyph, and
/// a report is better with a box in it than not written.
pub(super) const SUBSTITUTE: char = '□';

/// Longest text that is set in full. A page holds about 5,000 characters; what is longer was made
/// to break something, and stands in full in the record and in the HTML report.
const LONGEST: usize = 2_000;

/// Characters in a row without a place to break, after which one is made.
const UNBROKEN: usize = 24;

/// `text` as a Typst string literal, quotes included. Inside it only `\` and `"` mean anything.
pub(super) fn literal(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    let mut run = 0;
    for c in displayable(text).take(LONGEST) {
        run = if breaks_after(c) { 0 } else { run + 1 };
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c => out.push(c),
        }
        if run == UNBROKEN {
            out.push('\u{200b}');
            run = 0;
        }
    }
    let longer = text.chars().count();
    if longer > LONGEST {
        out.push_str(&format!("… ({longer} characters)"));
    }
    out.push('"');
    out
}

/// As [`literal`], for an identifier that a reader may copy: no break is put inside.
pub(super) fn unbroken(text: &str) -> String {
    literal(text).replace('\u{200b}', "")
}

/// `text` with only characters that the embedded faces can show: control and formatting characters
/// dropped, line ends as spaces, others replaced.
pub(in crate::report) fn displayable(text: &str) -> impl Iterator<Item = char> + '_ {
    text.chars().filter_map(|c| match c {
        ' '..='~' => Some(c),
        '\n' | '\r' | '\t' => Some(' '),
        c if c.is_control() || invisible(c) => None,
        c if private_use(c) || !has_glyph(c) => Some(SUBSTITUTE),
        c => Some(c),
    })
}

/// Unicode formatting characters (general category Cf) and variation selectors: they would direct
/// the layout (bidirectional overrides) or are without a glyph.
fn invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e01ef}')
}

/// Private use areas: Inter draws icons there, and PDF/A-2a forbids them.
fn private_use(c: char) -> bool {
    matches!(c, '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..='\u{10ffff}')
}

/// Whether a line may end after `c` anyway.
fn breaks_after(c: char) -> bool {
    c.is_whitespace() || matches!(c, '-' | '–' | '—')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_ends_a_literal_but_its_own_quote() {
        assert_eq!(literal(r#"a"b\c"#), r#""a\"b\\c""#);
        assert_eq!(literal("#let x = 1; $y$ [*z*] \u{0}\u{1b}\n\\"), "\"#let x = 1; $y$ [*z*]  \\\\\"");
        assert_eq!(literal(r"\u{41}"), r#""\\u{41}""#);
    }

    #[test]
    fn what_has_no_glyph_becomes_a_box_and_the_box_has_one() {
        assert!(has_glyph(SUBSTITUTE));
        assert_eq!(literal("Ω≥µ é Ж"), "\"Ω≥µ é Ж\"");
        assert_eq!(literal("計\u{202e}ابج\u{e001}😀"), "\"□□□□□□\"");
    }

    #[test]
    fn endless_words_get_breaks_and_absurd_ones_an_end() {
        assert_eq!(literal(&"a".repeat(50)).matches('\u{200b}').count(), 2);
        assert_eq!(unbroken(&"a".repeat(64)), format!("\"{}\"", "a".repeat(64)));
        assert_eq!(literal(&"a-b ".repeat(100)).matches('\u{200b}').count(), 0);
        let absurd = literal(&"x".repeat(10_000));
        assert!(absurd.ends_with("… (10000 characters)\"") && absurd.chars().count() < 2_200, "{absurd}");
    }
}
