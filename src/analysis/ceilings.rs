//! Ceilings measured in the same record: the denominators of "% of peak", "% of read" and "% of copy".

use super::{Binding, CaseSummary, Estimate, Figure};
use crate::record::{Dtype, Role};

/// What a probe kernel is for. Ids are permanent, so a record can be read years later without
/// asking the program that measured it.
pub(super) fn role_of(kernel: &str) -> Role {
    match kernel {
        "fma-peak" => Role::ComputeCeiling,
        "read-bandwidth" => Role::MemoryCeiling,
        "copy" => Role::CopyCeiling,
        _ => Role::Workload,
    }
}

/// The ceilings of a record that have a figure.
#[derive(Debug, Default)]
pub(super) struct Ceilings {
    compute: Vec<(Key, Dtype, Estimate)>,
    memory: Vec<(Key, f64, Estimate)>,
    copy: Vec<(Key, Estimate)>,
}

/// Threads and device: a ceiling stands only for cases that run on the same.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Key {
    threads: u32,
    device: String,
}

impl Key {
    fn of(case: &CaseSummary) -> Option<Self> {
        Some(Self { threads: case.threads?, device: case.device.as_ref()?.0.clone() })
    }
}

impl Ceilings {
    pub(super) fn of(cases: &[CaseSummary]) -> Self {
        let mut ceilings = Self::default();
        for case in cases {
            let Some(key) = Key::of(case) else { continue };
            match (case.role, case.rate.estimate(), case.bandwidth.estimate(), case.work) {
                (Role::ComputeCeiling, Some(rate), ..) => ceilings.compute.push((key, case.params.dtype, *rate)),
                (Role::MemoryCeiling, _, Some(bandwidth), Some(work)) => {
                    ceilings.memory.push((key, work.bytes.get(), *bandwidth));
                }
                (Role::CopyCeiling, _, Some(bandwidth), _) => ceilings.copy.push((key, *bandwidth)),
                _ => {}
            }
        }
        ceilings.memory.sort_by(|a, b| a.1.total_cmp(&b.1));
        ceilings
    }

    fn peak(&self, key: &Key, dtype: Dtype) -> Option<Estimate> {
        self.compute.iter().find(|(k, d, _)| k == key && *d == dtype).map(|(.., e)| *e)
    }

    /// The probe with the nearest size that is not smaller than the case; the largest probe for a
    /// case larger than all of them, because both then stream from memory.
    fn read(&self, key: &Key, bytes: f64) -> Option<Estimate> {
        let mut same = self.memory.iter().filter(|(k, ..)| k == key);
        same.clone().find(|(_, size, _)| *size >= bytes).or_else(|| same.next_back()).map(|(.., e)| *e)
    }

    /// Plans have one copy probe a card, far beyond its cache, and none of the processor.
    fn copy(&self, key: &Key) -> Option<Estimate> {
        self.copy.iter().find(|(k, _)| k == key).map(|(_, e)| *e)
    }

    /// Fills in the figures of `case` that are relative to ceilings.
    pub(super) fn apply(&self, case: &mut CaseSummary) {
        if case.role != Role::Workload {
            let why = "the case is itself a ceiling probe";
            (case.of_peak, case.of_read) = (Figure::missing(why), Figure::missing(why));
            return;
        }
        let key = Key::of(case);
        let peak = key.as_ref().and_then(|k| self.peak(k, case.params.dtype));
        // What a cold case reads comes from memory, however little it is.
        let bytes = case.work.map(|w| if case.cache.is_cold() { f64::INFINITY } else { w.bytes.get() });
        let read = key.as_ref().zip(bytes).and_then(|(k, bytes)| self.read(k, bytes));
        case.of_peak = share(&case.rate, peak, "no arithmetic probe of this type and thread count in the record");
        case.of_read = share(&case.bandwidth, read, "no read probe of this thread count in the record");
        let counts = case.time.estimate().is_some();
        let copy = key.as_ref().and_then(|k| self.copy(k));
        case.of_copy = copy.map(|copy| share(&case.bandwidth, Some(copy), "no copy probe in the record"));
        case.binding = peak.zip(read).zip(case.intensity.filter(|_| counts)).map(|((peak, read), intensity)| {
            if peak.median <= read.median * intensity { Binding::Compute } else { Binding::Memory }
        });
    }
}

fn share(figure: &Figure, ceiling: Option<Estimate>, absent: &str) -> Figure {
    let Figure::Measured(mine) = figure else { return figure.clone() };
    let Some(ceiling) = ceiling else { return Figure::missing(absent) };
    mine.over(ceiling).map_or_else(|| Figure::missing("the ceiling is not positive"), Figure::Measured)
}
