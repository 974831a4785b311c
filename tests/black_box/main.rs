//! Black-box tests: the real binary, real files, real signals.

mod bad_input;
mod counters;
mod discover;
mod interrupt;
mod reports;
mod run;
mod support;
