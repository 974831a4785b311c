//! Evidence: canonical JSON, digests, signatures, bundles, verification. Bytes in, bytes out: files are
//! read and written by the command line.

pub mod bundle;
pub mod canonical;
pub mod dsse;
pub mod statement;

pub use bundle::{Bundle, BundleError};
