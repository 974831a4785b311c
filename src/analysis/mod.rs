//! Record → summary: statistics and energy, pure and reproducible.
//!
//! The analysis sees a [`RunRecord`](crate::record::RunRecord) and nothing else: no hardware, no
//! clock, no files. The same record gives the same summary bit for bit, because the bootstrap is
//! seeded from the record. The method is written down in docs/analysis.md.

mod summary;

pub use summary::{
    Binding, Boundary, CaseSummary, Caveat, DomainEnergy, EnergyFigures, Estimate, EstimatedEnergy, Figure, Grade,
    IdlePower, Method, Severity, Status, Summary, TypeB, Verdict, Windows,
};
