//! Reference tables: the efficiency of each case that has index 1. Data, from
//! `suites/policies/reference-*.yaml`.

use serde::{Deserialize, Serialize};

/// The tables this program ships: name and text.
const SHIPPED: &[(&str, &str)] = &[("reference-cpu-1", include_str!("../../suites/policies/reference-cpu-1.yaml"))];

/// The reference that an index relates to.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// Its permanent name.
    pub name: String,
    /// SHA-256 of its text, lower-case hex.
    pub sha256: String,
    /// The file, byte for byte.
    pub text: String,
    /// Device category: `cpu`, `gpu`.
    pub category: String,
    /// Why its figures are provisional; `None` where they rest on at least 20 measured results.
    pub provisional: Option<String>,
    /// A row a case.
    pub rows: Vec<Row>,
}

/// The reference of one case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// Case id.
    pub case: String,
    /// Weight in the index, relative to the other rows.
    pub weight: f64,
    /// Useful FLOP/J with index 1.
    #[serde(rename = "efficiency_flop_per_j")]
    pub efficiency: f64,
    /// Where the figure comes from.
    pub source: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    version: u32,
    table: String,
    category: String,
    provisional: bool,
    #[serde(default)]
    why_provisional: Option<String>,
    rows: Vec<Row>,
}

impl Table {
    /// The table that this program ships under `name`.
    #[must_use]
    pub fn shipped(name: &str) -> Option<Self> {
        let (_, text) = SHIPPED.iter().find(|(n, _)| *n == name)?;
        Some(Self::parse(text).expect("the shipped tables are read by a test"))
    }

    /// A table from the text of its file.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wire: Wire = serde_yaml::from_str(text).map_err(|e| format!("the reference table is malformed: {e}"))?;
        if wire.version != 1 {
            return Err(format!("the reference table has version {}, this program reads version 1", wire.version));
        }
        let why = wire.why_provisional.unwrap_or_else(|| "it says so".to_owned());
        Ok(Self {
            name: wire.table,
            sha256: super::sha256_hex(text),
            text: text.to_owned(),
            category: wire.category,
            provisional: wire.provisional.then_some(why),
            rows: wire.rows,
        })
    }

    /// The row of a case.
    #[must_use]
    pub fn row(&self, case: &str) -> Option<&Row> {
        self.rows.iter().find(|r| r.case == case)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_table_reads_and_carries_its_name() {
        for (name, _) in SHIPPED {
            assert_eq!(Table::shipped(name).unwrap().name, *name);
        }
    }
}
