//! Policies: numbers that decide, as data with their sources. Pure: read from embedded text.

mod certification;
mod limits;
mod reference;
mod schema;
mod uncertainty;

pub use certification::{Certification, Limit, SuiteName};
pub use reference::{Part, Row, Table};
pub use schema::{policy_schema, table_schema};
pub use uncertainty::{ClockBound, Coverage, Linearity, Policy, SensorBound, WithinGain};

use sha2::{Digest, Sha256};

/// SHA-256 of a policy's text, lower-case hex.
fn sha256_hex(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}
