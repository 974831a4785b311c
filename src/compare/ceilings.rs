//! Measured ceilings of each arm, for rooflines that lie over one another.

use super::entrant::{Entry, Gauged};
use super::{Arm, Entrant};
use crate::record::Role;
use serde::Serialize;

/// The roof of an arm: what its first record measured with the most threads.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Roof {
    /// The arm, by place in `arms`.
    pub arm: usize,
    /// Highest arithmetic rate, useful FLOP/s.
    pub peak_flop_per_s: Option<f64>,
    /// The same a joule.
    pub peak_flop_per_j: Option<f64>,
    /// Read bandwidth of the largest footprint, B/s.
    pub read_b_per_s: Option<f64>,
    /// The same a joule.
    pub read_b_per_j: Option<f64>,
    /// Copy bandwidth, B/s: of cards only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub copy_b_per_s: Option<f64>,
    /// The same a joule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub copy_b_per_j: Option<f64>,
}

/// The roofs of `arms` that have any probe.
pub(super) fn of(arms: &[Arm], entrants: &[Entrant]) -> Vec<Roof> {
    let roof = |(arm, of): (usize, &Arm)| {
        let probes = || of.entrants.iter().flat_map(|e| &entrants[*e].probes);
        let flops = |e: &Entry| e.work.map(|w| w.useful.get()).filter(|f| *f > 0.0);
        let bytes = |e: &Entry| e.work.map(|w| w.bytes.get()).filter(|b| *b > 0.0);
        let compute = probes().filter(|p| p.role == Role::ComputeCeiling && p.time.is_ok()).max_by(|a, b| {
            rate(&a.time, flops(a)).partial_cmp(&rate(&b.time, flops(b))).unwrap_or(std::cmp::Ordering::Equal)
        });
        let memory = probes()
            .filter(|p| p.role == Role::MemoryCeiling && p.time.is_ok())
            .max_by_key(|p| (p.threads, p.work.map(|w| w.bytes.get().to_bits())));
        let copy = probes().find(|p| p.role == Role::CopyCeiling && p.time.is_ok());
        let roof = Roof {
            arm,
            peak_flop_per_s: compute.and_then(|p| rate(&p.time, flops(p))),
            peak_flop_per_j: compute.and_then(|p| rate(&p.energy, flops(p))),
            read_b_per_s: memory.and_then(|p| rate(&p.time, bytes(p))),
            read_b_per_j: memory.and_then(|p| rate(&p.energy, bytes(p))),
            copy_b_per_s: copy.and_then(|p| rate(&p.time, bytes(p))),
            copy_b_per_j: copy.and_then(|p| rate(&p.energy, bytes(p))),
        };
        (compute.is_some() || memory.is_some()).then_some(roof)
    };
    arms.iter().enumerate().filter_map(roof).collect()
}

fn rate(figure: &Result<Gauged, String>, amount: Option<f64>) -> Option<f64> {
    Some(amount? / libm::exp(figure.as_ref().ok()?.center)).filter(|r| r.is_finite() && *r > 0.0)
}
