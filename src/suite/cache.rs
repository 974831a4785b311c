//! Where the operands of a case are when an iteration begins.

use serde::{Deserialize, Serialize};

/// Whether the operands of a case may still lie in a cache when an iteration begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CacheState {
    /// Every iteration uses the same buffers: what fits a cache is read from it.
    #[default]
    Warm,
    /// Copies of the buffers take turns, so many that every operand comes from memory (docs/kernels.md).
    Cold {
        /// How many take turns; `None` in a suite: a plan knows the caches of its machine.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        copies: Option<u32>,
    },
}

impl CacheState {
    /// The words that a suite may write.
    pub const WORDS: [&str; 2] = ["warm", "cold"];

    /// What the word of a suite means; `None` for any other.
    pub(super) fn named(word: &str) -> Option<Self> {
        match word {
            "warm" => Some(Self::Warm),
            "cold" => Some(Self::Cold { copies: None }),
            _ => None,
        }
    }

    /// Its word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Warm => Self::WORDS[0],
            Self::Cold { .. } => Self::WORDS[1],
        }
    }

    /// Whether operands have to come from memory.
    #[must_use]
    pub const fn is_cold(self) -> bool {
        matches!(self, Self::Cold { .. })
    }

    /// Whether every iteration uses the same buffers.
    #[must_use]
    pub const fn is_warm(&self) -> bool {
        matches!(self, Self::Warm)
    }

    /// Copies of the buffers in memory: one of a warm case; `None` where no plan has counted those of a cold one.
    #[must_use]
    pub const fn copies(self) -> Option<u32> {
        match self {
            Self::Warm => Some(1),
            Self::Cold { copies } => copies,
        }
    }
}
