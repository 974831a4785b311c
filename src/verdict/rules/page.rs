//! Rules as text: one of them for a terminal, all of them as docs/rules.md.

use super::{REGISTRY, Rule};
use crate::policy::Certification;

/// A rule with the numbers it compares with.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Explanation {
    /// Permanent code.
    pub code: &'static str,
    /// What it asks for.
    pub title: &'static str,
    /// Why it exists.
    pub rationale: &'static str,
    /// What it follows.
    pub source: &'static str,
    /// The lines of the policy it compares with: number and text; empty where no policy can change it.
    pub limits: Vec<(u32, String)>,
    /// How to make it right.
    pub fix: &'static str,
    /// What to do where the record does not say.
    pub unknown: Option<&'static str>,
    /// When it does not apply.
    pub spared: Option<&'static str>,
    /// What a broken record shows.
    pub example: &'static str,
}

impl Rule {
    /// The rule with the lines of `policy` that it compares with.
    #[must_use]
    pub fn explain(&self, policy: &Certification) -> Explanation {
        let line = |key: &&str| {
            let number = policy.line_of(key)?;
            let text = policy.text.lines().nth(number as usize - 1)?.trim();
            // A list begins on its next line.
            Some((number, text.trim_start_matches("- ").to_owned()))
        };
        Explanation {
            code: self.code,
            title: self.title,
            rationale: self.rationale,
            source: self.source,
            limits: self.limits.iter().filter_map(line).collect(),
            fix: self.fix,
            unknown: self.unknown,
            spared: self.spared,
            example: self.example,
        }
    }
}

impl Explanation {
    /// Labels and texts, in the order in which they are shown.
    #[must_use]
    pub fn parts(&self, policy: &Certification) -> Vec<(&'static str, String)> {
        let mut parts = vec![("why", self.rationale.to_owned()), ("source", self.source.to_owned())];
        match self.limits.as_slice() {
            [] => {
                parts.push(("limit", "none: it is a property of the program, and no policy can change it".to_owned()))
            }
            lines => {
                let lines = lines.iter().map(|(n, text)| format!("`{text}` ({}, line {n})", policy.name));
                parts.push(("limit", lines.collect::<Vec<_>>().join(", ")));
            }
        }
        parts.push(("broken", format!("for example: {}", self.example)));
        parts.push(("fix", self.fix.to_owned()));
        parts.extend(self.unknown.map(|text| ("inconclusive", format!("where the record does not say: {text}"))));
        parts.extend(self.spared.map(|text| ("not applicable", format!("where {text}"))));
        parts
    }
}

/// docs/rules.md: every rule with the numbers of `policy`.
#[must_use]
pub fn markdown(policy: &Certification) -> String {
    let mut page = format!(
        "# What must a record show to be certified?\n\n<!-- Written by `wattproof explain --all`; a test fails when it is \
         stale. -->\n\n{} rules. A record that keeps all that apply is certified; one that breaks any is refused; one that \
         does not hold enough to\napply one is inconclusive. Codes are permanent. Numbers stand in a policy file; below are \
         those of the shipped `{}`.\n`wattproof explain CODE` prints one rule.\n",
        REGISTRY.len(),
        policy.name
    );
    for rule in REGISTRY {
        page += &format!("\n## {}\n\n{}.\n\n", rule.code, capital(rule.title));
        for (label, text) in rule.explain(policy).parts(policy) {
            page += &format!("- **{label}**: {text}\n");
        }
    }
    page
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_of_the_rules_is_up_to_date() {
        let written = include_str!("../../../docs/rules.md");
        let now = markdown(&Certification::shipped());
        assert!(written == now, "docs/rules.md is stale: `wattproof explain --all > docs/rules.md`");
    }

    #[test]
    fn an_explanation_quotes_the_line_of_its_limit() {
        let policy = Certification::shipped();
        let rule = super::super::find("repeats").unwrap().explain(&policy);
        assert_eq!(rule.limits, [(policy.repeats.line, "repeats: 10".to_owned())]);
        assert!(super::super::find("simulated").unwrap().explain(&policy).limits.is_empty());
    }
}
