//! `boundary-complete`: the boundary holds every processor package.

use super::judge::*;
use crate::record::Domain;
use std::collections::BTreeSet;

pub(super) const RULE: Rule = Rule {
    code: "boundary-complete",
    title: "the boundary holds every processor package",
    rationale: "A machine with two sockets of which one is counted looks twice as good as it is.",
    source: "docs/analysis.md, boundary",
    limits: &[],
    fix: "make the counters of all packages readable; `wattproof doctor` shows which are not",
    unknown: Some("let the system say how many sockets it has (/sys/devices/system/cpu)"),
    spared: Some("no energy was measured"),
    example: "1 of 2 packages",
    check,
};

fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let asked = program("all packages of the machine, or a meter that encloses them");
    let domains = &subject.summary.boundary.domains;
    if domains.is_empty() {
        return RULE.spare(asked, "no energy was measured");
    }
    let packages: BTreeSet<u32> = domains
        .iter()
        .filter_map(|d| match d {
            Domain::Package { socket, .. } => Some(*socket),
            _ => None,
        })
        .collect();
    let seen = match subject.record.header.environment.cpu.sockets {
        _ if packages.is_empty() => kept(&subject.summary.boundary.text),
        None => Seen::Unknown("the number of sockets is unknown".to_owned()),
        Some(sockets) if packages.len() >= sockets as usize => kept(&subject.summary.boundary.text),
        Some(sockets) => Seen::Broken(format!("{} of {sockets} packages", packages.len())),
    };
    RULE.whole(asked, seen)
}
