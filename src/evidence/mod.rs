//! Evidence: canonical JSON, digests, signatures, bundles, verification. Bytes in, bytes out: files are
//! read and written by the command line.

pub mod archive;
pub mod bundle;
pub mod canonical;
mod consistency;
pub mod difference;
pub mod dsse;
mod guard;
pub mod keys;
mod screen;
pub mod statement;
pub mod strict;
pub mod verify;

pub use bundle::{Bundle, BundleError, Inputs};
pub use difference::Difference;
pub use verify::{Options, Verification, verify};

#[cfg(test)]
mod tests;
