//! Figures of many records over commits and time: stores that only grow, changes of level, charts, tables.
//!
//! [`figures`] makes of a record what a store keeps, [`series`] orders what it gives back, [`changes`] finds changes of
//! level, [`chart`] and [`export`] show them: all pure. [`store`] has one file a kind of store, behind one small trait;
//! SQL and wire types stay inside it. docs/history.md says what is kept and how changes are found.

pub mod changes;
pub mod chart;
pub mod export;
pub mod figures;
pub mod series;
#[cfg(test)]
mod simulation;
pub mod store;
mod table;

pub use changes::{ChangePoint, Level, Observation, Segmentation, Settings};
pub use figures::{Entry, Figure, Provenance, RecordEntry, SeriesKey, Unfit, entry};
pub use series::{Break, Point, Run, Searched, Series, Timeline};
