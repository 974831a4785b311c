//! What the command made the processors do, the whole tree of its processes included.

use crate::record::Activity;
use crate::report::si;
use crate::sensors::perf::{ActivityCounters, Unavailable};
use crate::units::Seconds;
use serde::Serialize;

/// Counts of one run, or the mean of several. A count that is not known is `null`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Processors {
    #[serde(flatten)]
    pub(super) counts: Activity,
    /// Whether the kernel's work for the command is not in instructions, cycles and misses.
    pub(super) user_only: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) unavailable: Vec<Unavailable>,
}

impl Processors {
    /// What `counters` saw of a command that has ended.
    pub(super) fn of(mut counters: ActivityCounters) -> Self {
        let counts = counters.end();
        Self { counts, user_only: counters.is_user_only(), unavailable: counters.unavailable().to_vec() }
    }

    /// Mean of all runs, in whole events; unknown where it is of any run. `None` without a run.
    pub(super) fn mean<'a>(runs: impl Iterator<Item = &'a Self>) -> Option<Self> {
        let runs: Vec<&Self> = runs.collect();
        let count = |of: fn(&Activity) -> Option<u64>| {
            let values: Option<Vec<u64>> = runs.iter().map(|run| of(&run.counts)).collect();
            let sum: u128 = values?.into_iter().map(u128::from).sum();
            u64::try_from((sum + runs.len() as u128 / 2) / runs.len() as u128).ok()
        };
        let times: Option<Vec<f64>> = runs.iter().map(|run| run.counts.task_clock.map(Seconds::get)).collect();
        let first = runs.first()?;
        Some(Self {
            counts: Activity {
                instructions: count(|a| a.instructions),
                cycles: count(|a| a.cycles),
                llc_misses: count(|a| a.llc_misses),
                task_clock: times.and_then(|t| Seconds::new(t.iter().sum::<f64>() / t.len() as f64).ok()),
                context_switches: count(|a| a.context_switches),
                page_faults: count(|a| a.page_faults),
            },
            user_only: runs.iter().any(|run| run.user_only),
            unavailable: first.unavailable.clone(),
        })
    }

    /// One line for people: what is known, or why nothing is.
    pub(super) fn line(&self) -> String {
        let Activity { instructions, cycles, llc_misses, task_clock, context_switches, page_faults } = self.counts;
        let number = |count: Option<u64>, what: &str| count.map(|n| format!("{} {what}", si::quantity(n as f64, "")));
        let per_cycle = instructions.zip(cycles).filter(|(_, cycles)| *cycles > 0);
        let known: Vec<String> = [
            task_clock.map(|time| format!("{} of CPU time", si::quantity(time.get(), "s"))),
            number(instructions, "instructions"),
            per_cycle.map(|(i, c)| format!("{} a cycle", si::number(i as f64 / c as f64))),
            number(llc_misses, "cache misses"),
            number(context_switches, "context switches"),
            number(page_faults, "page faults"),
        ]
        .into_iter()
        .flatten()
        .collect();
        match (known.is_empty(), self.unavailable.first()) {
            (false, _) => format!(
                "The command itself: {}{}.\n",
                known.join(", "),
                if self.user_only { " (the kernel's work for it not included)" } else { "" }
            ),
            (true, Some(missing)) => format!("The command itself: not counted: {}.\n", missing.reason),
            (true, None) => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(task_clock: f64, faults: Option<u64>) -> Processors {
        let task_clock = Seconds::new(task_clock).ok();
        Processors {
            counts: Activity { task_clock, page_faults: faults, ..Activity::default() },
            user_only: false,
            unavailable: vec![Unavailable { counter: "instructions", reason: "no such counter".to_owned() }],
        }
    }

    #[test]
    fn a_mean_knows_what_every_run_knows() {
        let mean = Processors::mean([run(1.0, Some(3)), run(2.0, Some(4))].iter()).unwrap();
        assert_eq!((mean.counts.task_clock, mean.counts.page_faults), (Seconds::new(1.5).ok(), Some(4)));
        assert_eq!(mean.line(), "The command itself: 1.50 s of CPU time, 4.00 page faults.\n");
        let mean = Processors::mean([run(1.0, Some(3)), run(2.0, None)].iter()).unwrap();
        assert_eq!(mean.counts.page_faults, None, "not the mean of those that know");
        assert_eq!(Processors::mean([].iter()), None);
    }

    #[test]
    fn nothing_known_says_why() {
        let mut nothing = run(1.0, None);
        nothing.counts.task_clock = None;
        assert_eq!(nothing.line(), "The command itself: not counted: no such counter.\n");
        nothing.counts = Activity { instructions: Some(3_000_000), cycles: Some(1_500_000), ..Activity::default() };
        nothing.user_only = true;
        let line = nothing.line();
        assert!(line.contains("3.00 M instructions, 2.00 a cycle (the kernel's work"), "{line}");
    }
}
