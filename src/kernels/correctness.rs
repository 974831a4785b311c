//! Was the answer right? Decided on the very run that was timed (docs/kernels.md).

use serde::{Deserialize, Serialize};

/// Error of an output against its f64 reference:
/// `e = max |C − C_ref| / (|A||B|) ≤ 16·u_acc + u_out`, with a fixed factor.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Correctness {
    /// Largest relative error found; `None` when an output was NaN or infinite.
    pub error: Option<f64>,
    /// Largest error allowed.
    pub limit: f64,
    /// How much of the output was compared.
    pub coverage: Coverage,
}

impl Correctness {
    /// Whether every compared output is within the limit.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.error.is_some_and(|e| e <= self.limit)
    }
}

/// How much of the output was compared with the reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Coverage {
    /// Every element.
    Full,
    /// Some rows, chosen by the seed.
    Rows {
        /// Rows compared.
        checked: u64,
        /// Rows there are.
        of: u64,
    },
}

/// An input whose exact answer needs the declared precision: TF32 or bf16 passed off as f32 fails.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Canary {
    /// What the canary is, in a few words.
    pub name: String,
    /// Relative error found; `None` when the output was NaN or infinite.
    pub error: Option<f64>,
    /// Largest error allowed.
    pub limit: f64,
}

impl Canary {
    /// A canary that could not run: it has no error, so it does not pass, and its name says why.
    pub(crate) fn failed(why: super::KernelError) -> Self {
        Self { name: why.to_string(), error: None, limit: 0.0 }
    }

    /// Whether the declared precision was really used.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.error.is_some_and(|e| e <= self.limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_canary_that_could_not_run_does_not_pass() {
        let canary = Canary::failed(crate::kernels::KernelError::OutOfMemory { bytes: 64, what: "the output" });
        assert!(!canary.passed() && canary.name.contains("64"), "{canary:?}");
        assert!(Canary { name: String::new(), error: Some(0.0), limit: 0.0 }.passed());
    }
}
