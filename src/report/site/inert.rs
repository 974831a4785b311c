//! Values as JavaScript that can do nothing but be a value.

use serde::Serialize;

/// `value` as JSON that is also an inert JavaScript expression, wherever it stands: characters that could end a script
/// or a line, or begin markup, are written as escapes. Objects must have keys of ours: a key from outside could be
/// `__proto__`.
pub(super) fn script(value: &impl Serialize) -> Result<String, serde_json::Error> {
    let json = serde_json::to_string(value)?;
    let mut out = String::with_capacity(json.len() + json.len() / 16);
    for c in json.chars() {
        // In JSON these stand inside strings only.
        match c {
            '<' => out.push_str("\\u003c"),
            '>' => out.push_str("\\u003e"),
            '&' => out.push_str("\\u0026"),
            '\u{2028}' => out.push_str("\\u2028"),
            '\u{2029}' => out.push_str("\\u2029"),
            c => out.push(c),
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_ends_the_script_and_the_value_stays() {
        let evil = "</script><!--&\u{2028}\u{2029}\"\\'\n";
        let text = script(&evil).unwrap();
        assert!(!text.contains(['<', '>', '&', '\u{2028}', '\u{2029}', '\n']), "{text}");
        assert_eq!(serde_json::from_str::<String>(&text).unwrap(), evil);
    }
}
