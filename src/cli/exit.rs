//! Every exit code of the program, in one place.

use std::process::ExitCode;

/// How the program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Ok,
    /// A defect or a failure of the machine (a full disk): nothing the arguments could change.
    Internal,
    /// Wrong arguments, or a file that cannot be read or is not valid.
    Usage,
    /// The record breaks a rule of the policy.
    Refused,
    /// The record does not hold enough to decide.
    Inconclusive,
    /// A gate found something certainly worse.
    Regression,
    /// Evidence does not verify.
    Evidence,
    /// A kernel gave a wrong answer or failed.
    Kernel,
    /// A device or sensor that was required is missing.
    Missing,
    /// Stopped by Ctrl-C or SIGTERM.
    Interrupted,
    /// The command to measure was found but cannot be executed.
    NotExecutable,
    /// The command to measure was not found.
    NotFound,
    /// What the measured command ended with; 128 + n for death by signal n.
    Command(u8),
}

impl Exit {
    /// The number the shell sees.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Internal => 1,
            Self::Usage => 2,
            Self::Refused => 3,
            Self::Inconclusive => 4,
            Self::Kernel => 5,
            Self::Missing => 6,
            Self::Regression => 7,
            Self::Evidence => 8,
            Self::Interrupted => 130,
            Self::NotExecutable => 126,
            Self::NotFound => 127,
            Self::Command(code) => code,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// An error with the exit code it leads to.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// The code.
    pub exit: Exit,
    /// What to print after `error: `; may have several lines.
    pub message: String,
}

impl Failure {
    /// Wrong arguments or an invalid file.
    pub fn usage(message: impl std::fmt::Display) -> Self {
        Self { exit: Exit::Usage, message: message.to_string() }
    }

    /// A failure of the machine or of ours.
    pub fn internal(message: impl std::fmt::Display) -> Self {
        Self { exit: Exit::Internal, message: message.to_string() }
    }

    /// Evidence that does not verify.
    pub fn evidence(message: impl std::fmt::Display) -> Self {
        Self { exit: Exit::Evidence, message: message.to_string() }
    }

    /// Something required is missing.
    pub fn missing(message: impl std::fmt::Display) -> Self {
        Self { exit: Exit::Missing, message: message.to_string() }
    }
}

impl From<crate::record::store::StoreError> for Failure {
    fn from(error: crate::record::store::StoreError) -> Self {
        use crate::record::store::StoreError;
        match &error {
            // Only a disk that fails while it is written is no fault of the arguments.
            StoreError::Io { action: "append to" | "flush", .. } => Self::internal(error),
            _ => Self::usage(error),
        }
    }
}
