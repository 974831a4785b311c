//! What a rule found, as data.

use serde::Serialize;

/// One rule's answer about a record, or about one case of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Permanent kebab-case code of the rule.
    pub code: &'static str,
    /// What it comes to.
    pub status: Status,
    /// The case it is about; `None` for the whole record.
    pub case: Option<String>,
    /// What was found in the record, for people.
    pub observed: String,
    /// What the policy asks for, for people.
    pub limit: String,
    /// Line of the policy file the limit stands on; `None` where the rule is code and no policy can
    /// change it.
    pub policy_line: Option<u32>,
    /// How to make it right; empty when it is right.
    pub fix: String,
}

/// What a finding comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// The record breaks the rule.
    Fail,
    /// The record does not hold enough to say.
    Inconclusive,
    /// The record keeps the rule.
    Pass,
    /// The rule does not concern this record.
    NotApplicable,
}

/// Findings that differ in nothing but the case, taken together in their order: what documents show as one
/// entry. Each group is a finding and the ids of all cases it was made for (none for the whole record).
#[must_use]
pub fn grouped(findings: &[Finding]) -> Vec<(&Finding, Vec<&str>)> {
    let mut groups: Vec<(&Finding, Vec<&str>)> = Vec::new();
    for finding in findings {
        let same = |(first, _): &&mut (&Finding, Vec<&str>)| {
            let alike = |f: &Finding| (f.code, f.status, f.observed.clone(), f.limit.clone());
            alike(first) == alike(finding)
        };
        match groups.iter_mut().find(same) {
            Some((_, cases)) => cases.extend(finding.case.as_deref()),
            None => groups.push((finding, finding.case.as_deref().into_iter().collect())),
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_of_several_cases_with_the_same_text_are_one_group() {
        let finding = |case: &str, observed: &str| Finding {
            code: "repeats",
            status: Status::Fail,
            case: Some(case.to_owned()),
            observed: observed.to_owned(),
            limit: "at least 10".to_owned(),
            policy_line: Some(44),
            fix: String::new(),
        };
        let all = [finding("a", "9 windows"), finding("b", "8 windows"), finding("c", "9 windows")];
        let groups: Vec<Vec<&str>> = grouped(&all).into_iter().map(|(_, cases)| cases).collect();
        assert_eq!(groups, [vec!["a", "c"], vec!["b"]]);
    }
}
