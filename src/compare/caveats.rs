//! What a reader must know before using a comparison, gravest first.

use super::{By, Comparison, Entrant, Metric, Options};
use crate::analysis::Severity;
use crate::record::RunState;
use serde::Serialize;
use std::collections::BTreeSet;

/// Something a reader must know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Caveat {
    /// Permanent kebab-case code.
    pub code: &'static str,
    /// How much it weighs.
    pub severity: Severity,
    /// For people.
    pub text: String,
    /// The arms it concerns, by place in `arms`; empty for the comparison as a whole.
    pub arms: Vec<usize>,
}

#[derive(Default)]
struct List(Vec<Caveat>);

impl List {
    fn add(&mut self, severity: Severity, code: &'static str, arms: Vec<usize>, text: impl Into<String>) {
        self.0.push(Caveat { code, severity, text: text.into(), arms });
    }

    /// Where any arm is concerned.
    fn about(&mut self, severity: Severity, code: &'static str, arms: Vec<usize>, text: impl Into<String>) {
        if !arms.is_empty() {
            self.add(severity, code, arms, text);
        }
    }
}

/// The caveats of a comparison.
pub(super) fn of(c: &Comparison, entrants: &[Entrant], options: &Options) -> Vec<Caveat> {
    let mut list = List::default();
    let which = |test: &dyn Fn(&Entrant) -> bool| -> Vec<usize> {
        let any = |arm: &super::Arm| arm.entrants.iter().any(|e| test(&entrants[*e]));
        c.arms.iter().enumerate().filter(|(_, a)| any(a)).map(|(i, _)| i).collect()
    };
    list.about(
        Severity::Critical,
        "simulated",
        which(&|e| !e.simulated.is_empty()),
        "no measurement of real hardware: simulated records show how a comparison works and nothing about a product",
    );
    boundaries(c, options, &mut list);
    let taking_part = || c.arms.iter().flat_map(|a| &a.entrants).map(|e| &entrants[*e]);
    let suites: BTreeSet<&str> = taking_part().map(|e| e.suite.as_str()).collect();
    let digests: BTreeSet<&str> = taking_part().map(|e| e.suite_digest.as_str()).collect();
    if suites.len() > 1 {
        let text = "records of different suites: cases are compared where id, parameters and work are the same";
        list.add(Severity::Critical, "suite-differs", Vec::new(), text);
    } else if digests.len() > 1 {
        let text = format!(
            "{} versions of the suite (SHA-256 of its text): cases are compared where parameters and work are the same, \
             their settings may differ",
            digests.len()
        );
        list.add(Severity::Warning, "suite-version", Vec::new(), text);
    }
    energy(c, entrants, &mut list);
    let weak: Vec<usize> =
        c.arms.iter().enumerate().filter(|(_, a)| a.grade.is_some_and(|g| g > 'C')).map(|(i, _)| i).collect();
    let text = "energy of grade D or below (a virtual machine, a container, polled power): it supports no claim";
    list.about(Severity::Warning, "weak-evidence", weak, text);
    list.about(
        Severity::Warning,
        "virtual-machine",
        which(&|e| e.virtual_machine.is_some()),
        "measured in a virtual machine: other guests share caches, memory and power",
    );
    list.about(Severity::Warning, "on-battery", which(&|e| e.on_battery), "ran on battery: its power limits differ");
    list.about(
        Severity::Warning,
        "unfinished",
        which(&|e| e.state != RunState::Complete),
        "a run was cut short: some of its cases or windows are missing",
    );
    void(c, &mut list);
    for what in ["power limit", "GPU power limit", "governor"] {
        if c.environment.iter().any(|d| d.what == what) {
            let text = format!("the arms differ in {what}: see what differs");
            list.add(Severity::Warning, "power-settings", Vec::new(), text);
        }
    }
    sensors(c, entrants, &mut list);
    runs(c, options, &mut list);
    list.about(
        Severity::Note,
        "skipped-cases",
        which(&|e| e.skips > 0),
        "some cases of the suite could not be planned on the machine; they are missing here",
    );
    if !c.of_cases.stepwise {
        let text =
            "more than five million pairs: only the first step of Holm's procedure is taken, which tells fewer apart";
        list.add(Severity::Note, "first-step", Vec::new(), text);
    }
    list.0.sort_by_key(|c| c.severity);
    list.0
}

fn boundaries(c: &Comparison, options: &Options, list: &mut List) {
    let Some(of) = c.environment.iter().find(|d| d.what == "energy boundary") else { return };
    let known: Vec<&str> = of.values.iter().filter_map(|v| v.value.as_deref()).collect();
    if known.len() < 2 {
        return;
    }
    let what = if options.accept.contains(&super::Accept::Boundary) {
        "they were asked to be compared all the same"
    } else {
        "energies of another boundary than the reference's are left out"
    };
    let text = format!("energy of different parts of the machines ({}): {what}", known.join(" / "));
    list.add(Severity::Critical, "boundary-differs", Vec::new(), text);
}

fn energy(c: &Comparison, entrants: &[Entrant], list: &mut List) {
    if let Some(why) = &c.without_energy {
        let text = format!("no arm has energy that can be compared, so arms are ranked by time alone: {why}");
        list.add(Severity::Warning, "no-energy", Vec::new(), text);
    } else {
        let without: Vec<usize> =
            c.arms.iter().enumerate().filter(|(_, a)| a.why_no_energy.is_some()).map(|(i, _)| i).collect();
        let text = "without energy: these arms have times alone and no rank by performance per watt";
        list.about(Severity::Warning, "arms-without-energy", without, text);
    }
    let estimated = |a: &super::Arm| a.entrants.iter().any(|e| entrants[*e].estimated);
    let estimated: Vec<usize> = c.arms.iter().enumerate().filter(|(_, a)| estimated(a)).map(|(i, _)| i).collect();
    let text = "the records hold estimates from an assumed power; estimates are not compared";
    list.about(Severity::Note, "estimate", estimated, text);
    for mean in &c.means {
        if !mean.left_out.is_empty() {
            let what = if mean.metric == Metric::Energy { "energy" } else { "time" };
            let text = format!(
                "the geometric mean of {what} is over {} of {} cases: the others are not in all arms",
                mean.cases.len(),
                mean.cases.len() + mean.left_out.len()
            );
            list.add(Severity::Warning, "partial-mean", Vec::new(), text);
        }
    }
}

/// Wrong answers and failures.
fn void(c: &Comparison, list: &mut List) {
    let wrong = |reason: &str| reason.starts_with("wrong answer") || reason.starts_with("failed");
    let mut arms = BTreeSet::new();
    let mut cases = 0;
    for case in &c.cases {
        let before = arms.len();
        let mut any = false;
        for left in case.left_out.iter().filter(|l| wrong(&l.reason)) {
            any = true;
            arms.extend(c.arms.iter().position(|a| a.name == left.what));
        }
        cases += usize::from(any || arms.len() > before);
    }
    let text = format!("wrong answers or failures in {cases} cases: an arm has no figure there");
    list.about(Severity::Critical, "wrong-answer", arms.into_iter().collect(), text);
}

/// Whether one sensor read all arms.
fn sensors(c: &Comparison, entrants: &[Entrant], list: &mut List) {
    if c.without_energy.is_some() {
        return;
    }
    let machines: BTreeSet<Option<&str>> =
        c.arms.iter().flat_map(|a| &a.entrants).map(|e| entrants[*e].machine.as_deref()).collect();
    if machines.len() > 1 || machines.contains(&None) {
        let text = "not known to be one machine: the gain of the energy sensors counts in full in both arms of a ratio";
        list.add(Severity::Note, "several-sensors", Vec::new(), text);
    }
}

fn runs(c: &Comparison, options: &Options, list: &mut List) {
    let single = c.arms.iter().all(|a| a.records.len() == 1);
    if single && options.run_to_run <= 0.0 && c.by != By::Dtype {
        let text = "one run an arm shows the scatter inside a run only, and runs scatter more: small differences that are \
                    certain here may not repeat (several records an arm, or --run-to-run, take care of it)";
        list.add(Severity::Note, "within-run", Vec::new(), text);
    }
}
