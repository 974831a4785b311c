//! The evidence bundle: all files a verdict is recomputed from, in memory.

use super::{canonical, dsse, statement};
use crate::certificate::{self, Dossier, FileDigest, Issue};
use crate::policy::{Certification, Table};
use crate::record::store;
use ed25519_dalek::SigningKey;
use std::collections::BTreeMap;
use std::path::Path;

/// The record's header.
pub const RECORD: &str = "record.json";
/// The record's events.
pub const SAMPLES: &str = "samples.jsonl";
/// The suite that ran.
pub const SUITE: &str = "suite.yaml";
/// The policy.
pub const POLICY: &str = "policy.yaml";
/// The reference table.
pub const TABLE: &str = "table.yaml";
/// Who issued it, where and when.
pub const ISSUE: &str = "issue.json";
/// The certificate.
pub const CERTIFICATE: &str = "certificate.json";
/// The signed statement.
pub const STATEMENT: &str = "statement.dsse.json";

/// The files that a certificate is computed from.
pub const INPUTS: [&str; 6] = [RECORD, SAMPLES, SUITE, POLICY, TABLE, ISSUE];

/// Names and contents, in order of name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bundle {
    /// The files.
    pub files: BTreeMap<String, Vec<u8>>,
}

/// Why a bundle cannot be made, or a certificate cannot be recomputed from one.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// A file is not in it.
    #[error("the bundle has no {0}; give a whole bundle as `wattproof certify` wrote it")]
    Missing(&'static str),
    /// A file cannot be read.
    #[error("{0}")]
    Malformed(String),
}

impl Bundle {
    /// A file's contents.
    ///
    /// # Errors
    /// [`BundleError::Missing`].
    pub fn file(&self, name: &'static str) -> Result<&[u8], BundleError> {
        self.files.get(name).map(Vec::as_slice).ok_or(BundleError::Missing(name))
    }

    fn text(&self, name: &'static str) -> Result<&str, BundleError> {
        std::str::from_utf8(self.file(name)?).map_err(|e| BundleError::Malformed(format!("{name} is not UTF-8: {e}")))
    }

    /// Digest and length of a file.
    fn digest(&self, name: &str) -> Option<FileDigest> {
        let bytes = self.files.get(name)?;
        Some(FileDigest { name: name.to_owned(), sha256: store::sha256_hex(bytes), bytes: bytes.len() as u64 })
    }

    /// Computes certificate and document from the input files alone.
    ///
    /// # Errors
    /// [`BundleError`] naming the file.
    pub fn decide(&self) -> Result<Dossier, BundleError> {
        let malformed = |name: &str, why: String| BundleError::Malformed(format!("{name}: {why}"));
        let record = store::parse(Path::new(RECORD), self.file(RECORD)?, Path::new(SAMPLES), self.file(SAMPLES)?)
            .map_err(|e| BundleError::Malformed(e.to_string()))?;
        let policy = Certification::parse(self.text(POLICY)?).map_err(|e| malformed(POLICY, e))?;
        let table = Table::parse(self.text(TABLE)?).map_err(|e| malformed(TABLE, e))?;
        let issue: Issue = serde_json::from_slice(self.file(ISSUE)?).map_err(|e| malformed(ISSUE, e.to_string()))?;
        if record.header.suite.text.as_bytes() != self.file(SUITE)? {
            return Err(malformed(SUITE, "differs from the suite inside record.json".to_owned()));
        }
        let evidence = INPUTS.iter().filter_map(|name| self.digest(name)).collect();
        Ok(certificate::issue(record, &policy, &table, issue, evidence))
    }

    /// Makes a bundle of a record: inputs, certificate, statement. Documents are added by the caller
    /// before [`Bundle::seal`].
    ///
    /// # Errors
    /// [`BundleError`] when the record does not read.
    pub fn of(
        record: &[u8],
        samples: &[u8],
        policy: &Certification,
        table: &Table,
        issue: &Issue,
    ) -> Result<(Self, Dossier), BundleError> {
        let parsed = store::parse(Path::new(RECORD), record, Path::new(SAMPLES), samples)
            .map_err(|e| BundleError::Malformed(e.to_string()))?;
        let canonical = |value: &dyn Fn() -> Result<Vec<u8>, canonical::NotCanonical>| {
            value().map_err(|e| BundleError::Malformed(e.to_string()))
        };
        let mut bundle = Self::default();
        let mut put = |name: &str, bytes: Vec<u8>| bundle.files.insert(name.to_owned(), bytes);
        put(RECORD, record.to_vec());
        put(SAMPLES, samples.to_vec());
        put(SUITE, parsed.header.suite.text.into_bytes());
        put(POLICY, policy.text.clone().into_bytes());
        put(TABLE, table.text.clone().into_bytes());
        put(ISSUE, canonical(&|| canonical::to_vec(issue))?);
        let dossier = bundle.decide()?;
        let text = canonical(&|| canonical::to_vec(&dossier.certificate))?;
        bundle.files.insert(CERTIFICATE.to_owned(), text);
        Ok((bundle, dossier))
    }

    /// Writes the statement over every file that is in it now, signed where there is a key.
    ///
    /// # Errors
    /// [`BundleError`] when the statement has no canonical form.
    pub fn seal(&mut self, dossier: &Dossier, key: Option<&SigningKey>) -> Result<(), BundleError> {
        self.files.remove(STATEMENT);
        let files: Vec<FileDigest> = self.files.keys().filter_map(|name| self.digest(name)).collect();
        let malformed = |e: canonical::NotCanonical| BundleError::Malformed(e.to_string());
        let body = canonical::to_vec(&statement::of(&dossier.certificate, &files)).map_err(malformed)?;
        let envelope = canonical::to_vec(&dsse::seal(&body, key)).map_err(malformed)?;
        self.files.insert(STATEMENT.to_owned(), envelope);
        Ok(())
    }
}
