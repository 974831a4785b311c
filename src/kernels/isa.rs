//! Which vector instructions a program may use.

use serde::{Deserialize, Serialize};

/// Instruction set a CPU program runs with. Ordered: a wider set compares greater. No processor has all of them: sets of
/// other processors than this one stand in the order too, and are never available.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Isa {
    /// No explicit SIMD; any processor.
    Portable,
    /// Advanced SIMD of AArch64: 32 registers of 128 bits.
    Neon,
    /// AVX2 with FMA.
    Avx2,
    /// AVX-512 F, BW, DQ and VL.
    Avx512,
}

impl Isa {
    /// Every level, narrowest first.
    pub const ALL: &'static [Self] = &[Self::Portable, Self::Neon, Self::Avx2, Self::Avx512];

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
        #[cfg(target_arch = "aarch64")]
        if std::arch::is_aarch64_feature_detected!("neon") {
            return Self::Neon;
        }
        Self::Portable
    }

    /// Whether processors of the architecture that this program was compiled for can have the set.
    const fn is_of_this_architecture(self) -> bool {
        match self {
            Self::Portable => true,
            Self::Neon => cfg!(target_arch = "aarch64"),
            Self::Avx2 | Self::Avx512 => cfg!(target_arch = "x86_64"),
        }
    }

    /// Every level that processors of this architecture can have, narrowest first.
    pub fn of_this_architecture() -> impl DoubleEndedIterator<Item = Self> {
        Self::ALL.iter().copied().filter(|isa| isa.is_of_this_architecture())
    }

    /// Every level that runs here, narrowest first.
    #[must_use]
    pub fn available() -> Vec<Self> {
        let widest = Self::detect();
        Self::of_this_architecture().filter(|isa| *isa <= widest).collect()
    }

    /// The name that records and the command line use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Neon => "neon",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        }
    }

    /// Bytes of its vector registers.
    #[must_use]
    pub const fn register_bytes(self) -> usize {
        match self {
            Self::Portable | Self::Neon => 16,
            Self::Avx2 => 32,
            Self::Avx512 => 64,
        }
    }

    /// This level, or the widest available one below it.
    #[must_use]
    pub fn at_most_detected(self) -> Self {
        Self::available().into_iter().rfind(|isa| *isa <= self).unwrap_or(Self::Portable)
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
        assert!(Isa::ALL.is_sorted());
    }

    #[test]
    fn no_processor_claims_the_sets_of_another() {
        let (arm, x86) = (Isa::available().contains(&Isa::Neon), Isa::available().contains(&Isa::Avx2));
        assert_eq!(arm, cfg!(target_arch = "aarch64"), "every processor of AArch64 that runs Linux has NEON");
        assert!(!x86 || cfg!(target_arch = "x86_64"));
        for isa in Isa::ALL {
            let allowed = isa.at_most_detected();
            assert!(allowed <= *isa && Isa::available().contains(&allowed), "{isa} became {allowed}");
            assert_eq!(allowed == *isa, Isa::available().contains(isa));
        }
        // What is narrower than any set of this machine is portable; what is wider is the widest here.
        assert_eq!(Isa::Avx512.at_most_detected(), Isa::detect());
        if !arm {
            assert_eq!(Isa::Neon.at_most_detected(), Isa::Portable);
        }
    }

    #[test]
    fn the_serialised_name_is_the_printed_name() {
        for isa in Isa::ALL {
            assert_eq!(serde_json::to_string(isa).unwrap(), format!("\"{isa}\""));
        }
    }
}
