//! What is compared.

use serde::Serialize;

/// A figure of a case that two records are compared by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Metric {
    /// Gross joules an iteration of the rated boundary.
    Energy,
    /// Seconds an iteration.
    Time,
    /// Useful FLOP a joule: the same windows as energy, read the other way round.
    PerfPerWatt,
    /// CPU seconds an iteration, all threads.
    CpuTime,
    /// Instructions an iteration.
    Instructions,
    /// Whether the answer is right, and its error as a share of the limit.
    Accuracy,
}

impl Metric {
    /// All of them, in the order of tables.
    pub const ALL: [Self; 6] =
        [Self::Energy, Self::PerfPerWatt, Self::Time, Self::CpuTime, Self::Instructions, Self::Accuracy];

    /// Its word in gate files and outputs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Energy => "energy",
            Self::Time => "time",
            Self::PerfPerWatt => "perf-per-watt",
            Self::CpuTime => "cpu-time",
            Self::Instructions => "instructions",
            Self::Accuracy => "accuracy",
        }
    }

    /// Unit of its figures.
    #[must_use]
    pub const fn unit(self) -> &'static str {
        match self {
            Self::Energy => "J",
            Self::Time | Self::CpuTime => "s",
            Self::PerfPerWatt => "FLOP/J",
            Self::Instructions => "instructions",
            Self::Accuracy => "of the limit",
        }
    }

    /// Whether a larger figure is better.
    #[must_use]
    pub const fn larger_is_better(self) -> bool {
        matches!(self, Self::PerfPerWatt)
    }

    /// Whether it rests on an energy counter.
    #[must_use]
    pub const fn needs_energy(self) -> bool {
        matches!(self, Self::Energy | Self::PerfPerWatt)
    }
}
