//! `profile-strict`: the profile is not laxer than the one of the policy.

use super::judge::*;
use crate::record::Profile;

pub(super) const RULE: Rule = Rule {
    code: "profile-strict",
    title: "the profile is not laxer than the one of the policy",
    rationale: "Windows, idle phases and retries of another profile make another method; a few seconds certify nothing.",
    source: "docs/measurement.md, profiles",
    limits: &["record.profile"],
    fix: "measure with `profile: certify` and no settings that lower its numbers",
    unknown: None,
    spared: None,
    example: "the profile `quick` is laxer in `repeats`",
    check,
};

fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let wanted = &subject.policy.profile;
    let profile = &subject.record.header.profile;
    let asked = policy(format!("not laxer than `{}`", wanted.value), wanted.line);
    // A policy names shipped profiles only, so the name is known.
    let laxer = Profile::named(&wanted.value).map(|required| profile.laxer_than(&required));
    let seen = match laxer {
        Ok(None) if profile.certifiable => kept(&format!("profile `{}`", profile.name)),
        Ok(None) => Seen::Broken(format!("the profile `{}` says of itself that it is not certifiable", profile.name)),
        Ok(Some(key)) => Seen::Broken(format!("the profile `{}` is laxer in `{key}`", profile.name)),
        Err(_) => Seen::Broken(format!("no profile `{}` is known", wanted.value)),
    };
    RULE.whole(asked, seen)
}
