//! Processor counters over the windows that count.

use super::bootstrap::Resampler;
use super::{ActivityFigures, Figure};
use crate::record::{Activity, Sample};

impl ActivityFigures {
    /// Nothing is known, and why.
    pub(super) fn missing(reason: &str) -> Self {
        let missing = || Figure::missing(reason);
        Self {
            instructions: missing(),
            cycles: missing(),
            per_cycle: missing(),
            llc_misses: missing(),
            cpus: missing(),
            context_switches: missing(),
            page_faults: missing(),
        }
    }
}

/// Medians of the counters. A figure rests on the windows that have its counters; a counter that
/// this host does not have is not measured.
pub(super) fn figures(samples: &[&Sample], by: &mut Resampler) -> ActivityFigures {
    let mut column = |what: &str, value: &dyn Fn(&Activity, f64, f64) -> Option<f64>| {
        let values: Vec<f64> = samples
            .iter()
            .filter(|s| s.iterations > 0 && s.wall.get() > 0.0)
            .filter_map(|s| value(&s.activity, s.iterations as f64, s.wall.get()))
            .filter(|v| v.is_finite())
            .collect();
        let absent = || Figure::missing(format!("this host does not count {what}"));
        by.estimate(&values).map_or_else(absent, Figure::Measured)
    };
    let real = |count: Option<u64>| count.map(|c| c as f64);
    ActivityFigures {
        instructions: column("instructions", &|a, iterations, _| Some(real(a.instructions)? / iterations)),
        cycles: column("cycles", &|a, iterations, _| Some(real(a.cycles)? / iterations)),
        per_cycle: column("instructions and cycles", &|a, _, _| Some(real(a.instructions)? / real(a.cycles)?)),
        llc_misses: column("cache misses", &|a, iterations, _| Some(real(a.llc_misses)? / iterations)),
        cpus: column("CPU time", &|a, _, wall| Some(a.task_clock?.get() / wall)),
        context_switches: column("context switches", &|a, _, _| real(a.context_switches)),
        page_faults: column("page faults", &|a, _, _| real(a.page_faults)),
    }
}
