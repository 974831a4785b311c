//! wattproof: a benchmarking and Green-AI certification harness.
//!
//! Data flows one way: suite → plan → measure → [`record`] → analysis → report. Hardware and the
//! clock stay left of the record; everything right of it is a pure function.

pub mod analysis;
pub mod backends;
pub mod certificate;
pub mod cli;
pub mod clock;
mod columns;
pub mod compare;
#[cfg(feature = "criterion")]
pub mod criterion;
pub mod evidence;
pub mod gate;
pub mod history;
pub mod host;
pub mod import;
pub mod interop;
pub mod kernels;
pub mod measure;
pub mod meter;
pub mod plan;
pub mod policy;
pub mod record;
pub mod report;
pub mod sensors;
pub mod suite;
pub mod units;
pub mod verdict;
