//! `plan-of-suite`: the planned workloads are those that the suite's text gives.

use super::judge::*;
use crate::kernels::Role;
use crate::suite::{Case, Catalog, Suite, Threads};

pub(super) const RULE: Rule = Rule {
    code: "plan-of-suite",
    title: "the planned workloads are those of the suite",
    rationale: "A record that carries one suite's text and measured other work would borrow its name.",
    source: "a property of the program: no policy can change it",
    limits: &[],
    fix: "measure again with an unchanged program; records are not edited by hand",
    unknown: None,
    spared: None,
    example: "`gemm-f32-m1024-n1024-k1024-t-all` has k = 1024 in the suite and k = 64 in the plan",
    check,
};

fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let catalog = Catalog::builtin();
    let seen = match Suite::cases_of(&subject.record.header.suite.text, &catalog) {
        Err(errors) => Seen::Broken(match errors.problems().first() {
            Some(first) => {
                let line = first.position().map(|(line, _)| format!(" in line {line}")).unwrap_or_default();
                format!("the suite's text does not read{line}: {}", first.message)
            }
            None => "the suite's text does not read".to_owned(),
        }),
        Ok(cases) => match contradiction(subject, &cases, &catalog) {
            None => kept(&format!("{} cases of the suite", cases.len())),
            Some(text) => Seen::Broken(text),
        },
    };
    RULE.whole(program("the plan follows from the suite's text"), seen)
}

/// The first disagreement of plan, measurements and suite; `None` where there is none.
fn contradiction(subject: &Subject<'_>, suite: &[Case], catalog: &Catalog) -> Option<String> {
    let record = subject.record;
    let plan = &record.header.plan;
    let is_workload = |case: &&Case| catalog.find(&case.kernel).is_none_or(|k| k.info().role == Role::Workload);
    let planned = || plan.cases.iter().filter(is_workload);
    for case in planned() {
        match suite.iter().find(|c| c.plans_to(case)) {
            None => return Some(format!("`{}` is planned, and the suite has no such case", case.id)),
            Some(asked) => {
                if let Some(text) = difference(asked, case) {
                    return Some(text);
                }
            }
        }
    }
    // A case for every device of a family is one case on each of them, or one skip.
    let known = |asked: &Case| {
        planned().any(|c| asked.plans_to(c))
            || plan.skips.iter().any(|s| asked.id == s.case.id || asked.plans_to(&s.case))
    };
    if let Some(lost) = suite.iter().find(|c| !known(c)) {
        return Some(format!("`{}` of the suite is neither planned nor skipped", lost.id));
    }
    let stray = record.measurements.iter().find(|m| !plan.cases.contains(&m.case));
    stray.map(|m| format!("`{}` was measured, and it is not planned as it was measured", m.case.id))
}

/// How a planned case departs from the one that the suite asks for.
fn difference(asked: &Case, planned: &Case) -> Option<String> {
    let id = &asked.id;
    if planned.device.is_any() {
        return Some(format!("`{id}` is planned for `{}`, which is no device", planned.device));
    }
    if asked.kernel != planned.kernel {
        return Some(format!("`{id}` is `{}` in the suite and `{}` in the plan", asked.kernel, planned.kernel));
    }
    if asked.params.dtype != planned.params.dtype {
        let (a, b) = (asked.params.dtype, planned.params.dtype);
        return Some(format!("`{id}` computes in {a} in the suite and in {b} in the plan"));
    }
    let (a, b) = (&asked.params.values, &planned.params.values);
    if let Some(name) = a.keys().chain(b.keys()).find(|name| a.get(*name) != b.get(*name)) {
        let show = |v: Option<&crate::kernels::ParamValue>| v.map_or("nothing".to_owned(), ToString::to_string);
        return Some(format!(
            "`{id}` has {name} = {} in the suite and {name} = {} in the plan",
            show(a.get(name)),
            show(b.get(name))
        ));
    }
    if asked.cache.is_cold() != planned.cache.is_cold() {
        let (a, b) = (asked.cache.word(), planned.cache.word());
        return Some(format!("`{id}` is {a} in the suite and {b} in the plan"));
    }
    // `all` and `cores` become a count on the machine; a count stays what it is.
    match (asked.threads, planned.threads) {
        (Threads::Count(n), found) if found != Threads::Count(n) => {
            Some(format!("`{id}` asks for {n} threads, and the plan has another number"))
        }
        _ => None,
    }
}
