//! Black-box tests: the real binary, real files, real signals.

#![expect(clippy::unwrap_used, reason = "a test may fail here")]

mod bad_input;
#[cfg(feature = "cuda")]
mod card_trouble;
#[cfg(feature = "cuda")]
mod cards;
mod certificates;
mod compare;
mod counters;
#[cfg(feature = "cuda")]
mod cuda;
mod cuda_libraries;
mod devices;
mod discover;
mod evidence;
mod gate;
#[cfg(feature = "history")]
mod history;
mod hostile_bundles;
mod hostile_counters;
mod interrupt;
#[cfg(feature = "cuda")]
#[path = "../cuda_programs/library.rs"]
mod library;
mod measure;
mod reports;
mod rules;
mod run;
mod serve;
#[cfg(feature = "history")]
#[path = "../server/mod.rs"]
mod server;
mod site;
#[path = "../skip/mod.rs"]
mod skip;
mod support;
mod wall;
