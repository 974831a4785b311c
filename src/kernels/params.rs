//! Parameters of a case: what suites write, what kernels read.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Element type a kernel computes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    /// IEEE 754 binary32.
    F32,
    /// IEEE 754 binary64.
    F64,
    /// bfloat16: the upper half of a binary32, 8 significant bits. Sums are kept in binary32.
    Bf16,
    /// IEEE 754 binary16. Sums are kept in binary32.
    F16,
    /// Integers of 8 bits, −128 to 127. Sums are kept in 32 bits and are exact.
    I8,
    /// TF32: stored as binary32, multiplied with 11 significant bits. Sums are kept in binary32.
    Tf32,
    /// Floating point of 8 bits, 4 of them exponent and 3 mantissa (e4m3 of the OCP 8-bit floating-point specification 1.0).
    /// Sums are kept in at least 14 significant bits.
    F8,
}

/// Name of the parameter that every case on a device takes besides those of its kernel: see [`Params::choice`].
pub const PROGRAM: &str = "program";

/// Whose program computes a case on a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProgramChoice {
    /// A library of the device's vendor.
    Library,
    /// The kernel's own.
    Own,
}

impl ProgramChoice {
    /// Both.
    pub const ALL: &'static [Self] = &[Self::Library, Self::Own];

    /// The word in suites, ids and records.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Library => "library",
            Self::Own => "own",
        }
    }
}

impl Dtype {
    /// All element types, for help texts and suggestions.
    pub const ALL: &'static [Self] = &[Self::F32, Self::F64, Self::Bf16, Self::F16, Self::I8, Self::Tf32, Self::F8];

    /// The name suites use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F64 => "f64",
            Self::Bf16 => "bf16",
            Self::F16 => "f16",
            Self::I8 => "i8",
            Self::Tf32 => "tf32",
            Self::F8 => "f8",
        }
    }

    /// Size of one element in bytes.
    #[must_use]
    pub const fn size(self) -> u64 {
        match self {
            Self::F32 | Self::Tf32 => 4,
            Self::F64 => 8,
            Self::Bf16 | Self::F16 => 2,
            Self::I8 | Self::F8 => 1,
        }
    }

    /// Unit roundoff u (half the machine epsilon); zero for integers, whose arithmetic is exact.
    #[must_use]
    pub const fn unit_roundoff(self) -> f64 {
        match self {
            Self::F32 => f32::EPSILON as f64 / 2.0,
            Self::F64 => f64::EPSILON / 2.0,
            Self::Bf16 => 1.0 / 256.0,
            Self::F16 | Self::Tf32 => 1.0 / 2048.0,
            Self::I8 => 0.0,
            Self::F8 => 1.0 / 16.0,
        }
    }
}

impl std::fmt::Display for Dtype {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// One parameter that a kernel takes.
#[derive(Debug, Clone, Copy)]
pub struct ParamSpec {
    /// The key in a suite: `m`, `seq`, `density`.
    pub name: &'static str,
    /// What it means, with its unit.
    pub meaning: &'static str,
    /// What values it takes.
    pub kind: ParamKind,
    /// Value when a suite leaves it out; `None` makes it required.
    pub default: Option<Default>,
}

/// Values a parameter takes, bounds included.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ParamKind {
    /// A whole number.
    Count {
        /// Smallest value.
        min: u64,
        /// Largest value.
        max: u64,
    },
    /// An amount of memory; suites write `64 MiB`.
    Size {
        /// Smallest value in bytes.
        min: u64,
        /// Largest value in bytes.
        max: u64,
    },
    /// A fraction, e.g. a density.
    Fraction {
        /// Smallest value.
        min: f64,
        /// Largest value.
        max: f64,
    },
    /// One of a set of words.
    Choice(&'static [&'static str]),
}

/// A default that a `const` can hold.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Default {
    /// For `Count` and `Size`.
    Integer(u64),
    /// For `Fraction`.
    Real(f64),
    /// For `Choice`.
    Word(&'static str),
}

impl From<Default> for ParamValue {
    fn from(default: Default) -> Self {
        match default {
            Default::Integer(n) => Self::Integer(n),
            Default::Real(x) => Self::Real(x),
            Default::Word(w) => Self::Word(w.to_owned()),
        }
    }
}

/// The value of one parameter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ParamValue {
    /// A count or a number of bytes.
    Integer(u64),
    /// A fraction.
    Real(f64),
    /// A word.
    Word(String),
}

impl std::fmt::Display for ParamValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Integer(n) => write!(f, "{n}"),
            Self::Real(x) => write!(f, "{x}"),
            Self::Word(w) => f.write_str(w),
        }
    }
}

/// The parameters of one case: element type and named values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Params {
    /// Element type.
    pub dtype: Dtype,
    /// Named values, sorted by name.
    #[serde(flatten)]
    pub values: BTreeMap<String, ParamValue>,
}

/// A parameter that a kernel cannot use.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ParamError {
    /// The kernel needs it and the case lacks it.
    #[error("parameter `{0}` is missing")]
    Missing(&'static str),
    /// It is there, but of another kind or out of range.
    #[error("parameter `{name}` is {found}, expected {expected}")]
    Invalid {
        /// The parameter's name.
        name: &'static str,
        /// The value found.
        found: String,
        /// What would be valid.
        expected: String,
    },
    /// The product of the sizes does not fit.
    #[error("the case is too large: {0}")]
    TooLarge(String),
}

impl Params {
    /// Whose program the case asks for; `None` where it leaves that open, which means the library's where there is one.
    #[must_use]
    pub fn choice(&self) -> Option<ProgramChoice> {
        let Some(ParamValue::Word(word)) = self.values.get(PROGRAM) else { return None };
        ProgramChoice::ALL.iter().copied().find(|choice| choice.name() == word)
    }

    /// The same parameters for the program of this choice.
    #[must_use]
    pub fn with_choice(&self, choice: ProgramChoice) -> Self {
        let mut same = self.clone();
        same.values.insert(PROGRAM.to_owned(), ParamValue::Word(choice.name().to_owned()));
        same
    }

    /// The whole number called `name`.
    ///
    /// # Errors
    /// [`ParamError`] when it is absent or no whole number.
    pub fn integer(&self, name: &'static str) -> Result<u64, ParamError> {
        match self.values.get(name) {
            Some(ParamValue::Integer(n)) => Ok(*n),
            Some(other) => Err(invalid(name, other, "a whole number")),
            None => Err(ParamError::Missing(name)),
        }
    }

    /// The whole number called `name`, as an index type.
    ///
    /// # Errors
    /// [`ParamError`] when it is absent, no whole number, or beyond `usize`.
    pub fn count(&self, name: &'static str) -> Result<usize, ParamError> {
        let n = self.integer(name)?;
        usize::try_from(n).map_err(|_| ParamError::TooLarge(format!("`{name}` is {n}")))
    }

    /// The fraction called `name`.
    ///
    /// # Errors
    /// [`ParamError`] when it is absent or no number.
    pub fn real(&self, name: &'static str) -> Result<f64, ParamError> {
        match self.values.get(name) {
            Some(ParamValue::Real(x)) => Ok(*x),
            #[expect(clippy::cast_precision_loss, reason = "fractions are small")]
            Some(ParamValue::Integer(n)) => Ok(*n as f64),
            Some(other) => Err(invalid(name, other, "a number")),
            None => Err(ParamError::Missing(name)),
        }
    }

    /// The word called `name`.
    ///
    /// # Errors
    /// [`ParamError`] when it is absent or no word.
    pub fn word(&self, name: &'static str) -> Result<&str, ParamError> {
        match self.values.get(name) {
            Some(ParamValue::Word(w)) => Ok(w),
            Some(other) => Err(invalid(name, other, "a word")),
            None => Err(ParamError::Missing(name)),
        }
    }
}

fn invalid(name: &'static str, found: &ParamValue, expected: &str) -> ParamError {
    ParamError::Invalid { name, found: format!("`{found}`"), expected: expected.to_owned() }
}

/// Product of sizes.
///
/// # Errors
/// [`ParamError::TooLarge`] when it is 2^63 or more: no such case could be allocated or counted.
pub(crate) fn product(what: &str, factors: &[u64]) -> Result<u64, ParamError> {
    let product = factors.iter().try_fold(1_u64, |product, factor| product.checked_mul(*factor));
    product.filter(|p| *p < 1 << 63).ok_or_else(|| ParamError::TooLarge(format!("{what} do not fit in 63 bits")))
}

/// Sum of sizes, with the limit of [`product`].
///
/// # Errors
/// [`ParamError::TooLarge`].
pub(crate) fn sum(what: &str, terms: &[u64]) -> Result<u64, ParamError> {
    let sum = terms.iter().try_fold(0_u64, |sum, term| sum.checked_add(*term));
    sum.filter(|s| *s < 1 << 63).ok_or_else(|| ParamError::TooLarge(format!("{what} do not fit in 63 bits")))
}

impl ParamSpec {
    /// Whether `params` hold a value of the right kind within the bounds.
    ///
    /// # Errors
    /// [`ParamError::Missing`] or [`ParamError::Invalid`].
    pub fn check(&self, params: &Params) -> Result<(), ParamError> {
        let name = self.name;
        let value = params.values.get(name).ok_or(ParamError::Missing(name))?;
        let within =
            |inside: bool, expected: String| if inside { Ok(()) } else { Err(invalid(name, value, &expected)) };
        match self.kind {
            ParamKind::Count { min, max } | ParamKind::Size { min, max } => {
                let n = params.integer(name)?;
                within((min..=max).contains(&n), format!("{min} to {max}"))
            }
            ParamKind::Fraction { min, max } => {
                let x = params.real(name)?;
                within((min..=max).contains(&x), format!("{min} to {max}"))
            }
            ParamKind::Choice(words) => {
                let word = params.word(name)?;
                within(words.contains(&word), format!("one of {}", words.join(", ")))
            }
        }
    }
}
