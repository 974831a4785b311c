//! Which vector instructions a program may use.

use serde::{Deserialize, Serialize};

/// Instruction set a CPU program runs with. Ordered: a wider set compares greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Isa {
    /// No explicit SIMD; any processor.
    Portable,
    /// AVX2 with FMA.
    Avx2,
    /// AVX-512 F, BW, DQ and VL.
    Avx512,
}

impl Isa {
    /// Every level, narrowest first.
    pub const ALL: &'static [Self] = &[Self::Portable, Self::Avx2, Self::Avx512];

    /// The widest level that this processor and operating system support.
    #[must_use]
    pub fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
            let avx512 = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl");
            if avx2 && avx512 {
                return Self::Avx512;
            }
            if avx2 {
                return Self::Avx2;
            }
        }
        Self::Portable
    }

    /// Every level that runs here, narrowest first.
    #[must_use]
    pub fn available() -> Vec<Self> {
        let widest = Self::detect();
        Self::ALL.iter().copied().filter(|isa| *isa <= widest).collect()
    }

    /// The name that records and the command line use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        }
    }

    /// Bytes of its vector registers.
    #[must_use]
    pub const fn register_bytes(self) -> usize {
        match self {
            Self::Portable => 16,
            Self::Avx2 => 32,
            Self::Avx512 => 64,
        }
    }

    /// This level, or the widest available one below it.
    #[must_use]
    pub fn at_most_detected(self) -> Self {
        self.min(Self::detect())
    }
}

impl std::fmt::Display for Isa {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_portable_path_is_always_there_and_the_detected_one_last() {
        let available = Isa::available();
        assert_eq!(available.first(), Some(&Isa::Portable));
        assert_eq!(available.last(), Some(&Isa::detect()));
    }

    #[test]
    fn the_serialised_name_is_the_printed_name() {
        for isa in Isa::ALL {
            assert_eq!(serde_json::to_string(isa).unwrap(), format!("\"{isa}\""));
        }
    }
}
