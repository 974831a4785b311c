//! Tests of the whole way from text to suite.

mod devices;
mod expansion;
mod format;
mod hostile;
mod messages;
mod profiles;
mod tree;

use super::sample::catalog;
use super::{Case, Suite, SuiteErrors, Threads};
use std::path::Path;

fn parse(text: &str) -> Result<Suite, SuiteErrors> {
    Suite::parse(Path::new("suites/test.yaml"), text, &catalog())
}

/// A suite whose `cases:` are these lines.
fn with_cases(cases: &str) -> String {
    format!("version: 1\nsuite: test\ncases:\n{cases}")
}

fn cases(text: &str) -> Vec<Case> {
    parse(&with_cases(text)).unwrap_or_else(|e| panic!("{e}")).cases
}

fn ids(text: &str) -> Vec<String> {
    cases(text).into_iter().map(|c| c.id).collect()
}

fn errors(text: &str) -> SuiteErrors {
    parse(text).expect_err("the suite has an error")
}

/// Position, marked text and message of each problem.
fn summary(errors: &SuiteErrors) -> Vec<(usize, usize, &str, &str)> {
    let one = |p: &'_ super::Problem| p.position().unwrap_or((0, 0));
    errors.problems().iter().map(|p| (one(p).0, one(p).1, p.marked(), p.message.as_str())).collect()
}

const GEMM: &str = "  - kernel: gemm\n    with: {shape: 8x8x8}\n";
