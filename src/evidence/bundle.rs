//! The evidence bundle: all files a verdict is recomputed from, in memory.

use super::{canonical, dsse, statement, strict};
use crate::certificate::{self, Basis, Dossier, FileDigest, Issue, METHOD, SCHEMA};
use crate::clock::Utc;
use crate::policy::{self, Certification, Table};
use crate::record::{RunRecord, store};
use ed25519_dalek::SigningKey;
use serde::{Deserialize, Serialize};
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
/// The bounds of systematic error.
pub const UNCERTAINTY: &str = "uncertainty.yaml";
/// Who issued it, where and when, and by which method.
pub const ISSUE: &str = "issue.json";
/// The certificate.
pub const CERTIFICATE: &str = "certificate.json";
/// The signed statement.
pub const STATEMENT: &str = "statement.dsse.json";

/// The files that a certificate is computed from.
pub const INPUTS: [&str; 7] = [RECORD, SAMPLES, SUITE, POLICY, TABLE, UNCERTAINTY, ISSUE];
/// The documents that are drawn from it. A build without a renderer writes and checks fewer.
pub const DOCUMENTS: [&str; 3] = ["certificate.html", "certificate.pdf", "badge.svg"];

/// Most files that a bundle may hold.
pub const MOST_FILES: usize = 64;
/// Most bytes that a bundle may hold, all files together.
pub const MOST_BYTES: u64 = 1 << 30;

/// Most bytes that the file called `name` may hold.
#[must_use]
pub fn most_bytes(name: &str) -> u64 {
    match name {
        SAMPLES => 512 << 20,
        RECORD | CERTIFICATE => 64 << 20,
        name if DOCUMENTS.contains(&name) => 64 << 20,
        _ => 16 << 20,
    }
}

/// Names and contents, in order of name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bundle {
    /// The files.
    pub files: BTreeMap<String, Vec<u8>>,
}

/// Everything that a bundle is made of.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    /// `record.json` of the record.
    pub record: &'a [u8],
    /// `samples.jsonl` of the record.
    pub samples: &'a [u8],
    /// The rules' limits.
    pub policy: &'a Certification,
    /// The reference of the index.
    pub table: &'a Table,
    /// Bounds of systematic error.
    pub uncertainty: &'a policy::Policy,
    /// Who issues, where and when.
    pub issue: &'a Issue,
}

/// Why a bundle cannot be made, or a certificate cannot be recomputed from one.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// A file is not in it.
    #[error("the bundle has no {0}; give a whole bundle as `wattproof certify` wrote it")]
    Missing(&'static str),
    /// A file cannot be read.
    #[error("{reason}")]
    Malformed {
        /// The file.
        file: &'static str,
        /// What is wrong, with the file's name.
        reason: String,
    },
    /// The certificate was computed by another method.
    #[error(
        "{ISSUE}: the certificate was computed with method {stated} (wattproof {by}), and this wattproof \
         computes method {METHOD}; verify it with wattproof {by}"
    )]
    OtherMethod {
        /// The method of the bundle.
        stated: u32,
        /// Version of the program that issued it.
        by: String,
    },
}

impl BundleError {
    pub(super) fn malformed(file: &'static str, reason: impl std::fmt::Display) -> Self {
        Self::Malformed { file, reason: format!("{file}: {reason}") }
    }

    /// The file that is at fault.
    #[must_use]
    pub const fn file(&self) -> &'static str {
        match self {
            Self::Missing(file) | Self::Malformed { file, .. } => file,
            Self::OtherMethod { .. } => ISSUE,
        }
    }
}

/// The contents of `issue.json`: what neither record nor policies know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct IssueFile {
    schema: u32,
    method: u32,
    decided_by: String,
    issuer: Option<String>,
    place: Option<String>,
    issued_at: Utc,
}

/// The parsed inputs of a bundle.
struct Parsed {
    record: RunRecord,
    policy: Certification,
    table: Table,
    uncertainty: policy::Policy,
    issue: Issue,
    decided_by: String,
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
        std::str::from_utf8(self.file(name)?).map_err(|e| BundleError::malformed(name, format!("not UTF-8: {e}")))
    }

    /// Digests and lengths of all files but the statement.
    #[must_use]
    pub fn digests(&self) -> Vec<FileDigest> {
        self.files.keys().filter(|name| *name != STATEMENT).filter_map(|name| self.digest(name)).collect()
    }

    /// Digest and length of a file.
    fn digest(&self, name: &str) -> Option<FileDigest> {
        let bytes = self.files.get(name)?;
        Some(FileDigest { name: name.to_owned(), sha256: store::sha256_hex(bytes), bytes: bytes.len() as u64 })
    }

    /// Refuses a bundle that no one could verify, because it is beyond the limits.
    fn check_size(&self) -> Result<(), BundleError> {
        for name in INPUTS {
            let (length, most) = (self.file(name)?.len() as u64, most_bytes(name));
            if length > most {
                return Err(BundleError::malformed(
                    name,
                    format!("{length} bytes, and a bundle takes at most {most} of it"),
                ));
            }
        }
        Ok(())
    }

    fn parse(&self) -> Result<Parsed, BundleError> {
        let issue = self.parse_issue()?;
        let record = self.parse_record()?;
        let malformed = |name: &'static str| move |why: String| BundleError::malformed(name, why);
        Ok(Parsed {
            record,
            policy: Certification::parse(self.text(POLICY)?).map_err(malformed(POLICY))?,
            table: Table::parse(self.text(TABLE)?).map_err(malformed(TABLE))?,
            uncertainty: policy::Policy::parse(self.text(UNCERTAINTY)?).map_err(malformed(UNCERTAINTY))?,
            issue: Issue { issuer: issue.issuer, place: issue.place, issued_at: issue.issued_at },
            decided_by: issue.decided_by,
        })
    }

    fn parse_issue(&self) -> Result<IssueFile, BundleError> {
        #[derive(Deserialize)]
        struct Versions {
            schema: u32,
            method: u32,
            decided_by: String,
        }
        let text = self.file(ISSUE)?;
        let malformed = |why: String| BundleError::malformed(ISSUE, why);
        // The numbers first: what else a newer program writes need not be known to say that it is newer.
        let versions: Versions = strict::parse(text).map_err(malformed)?;
        if versions.schema > SCHEMA {
            let found = versions.schema;
            return Err(malformed(format!(
                "the certificate has schema {found}, and this wattproof reads up to {SCHEMA}; use a newer wattproof"
            )));
        }
        if versions.method != METHOD {
            return Err(BundleError::OtherMethod { stated: versions.method, by: versions.decided_by });
        }
        let issue: IssueFile = strict::parse(text).map_err(malformed)?;
        if canonical::to_vec(&issue).map_err(|e| malformed(e.to_string()))? != text {
            return Err(malformed("not in canonical form (RFC 8785), as `wattproof certify` writes it".to_owned()));
        }
        Ok(issue)
    }

    fn parse_record(&self) -> Result<RunRecord, BundleError> {
        let (header, samples) = (self.file(RECORD)?, self.file(SAMPLES)?);
        strict::check(header).map_err(|e| BundleError::malformed(RECORD, e))?;
        strict::check_lines(samples).map_err(|e| BundleError::malformed(SAMPLES, e))?;
        let record = store::parse(Path::new(RECORD), header, Path::new(SAMPLES), samples).map_err(|e| {
            let reason = e.to_string();
            let file = if reason.starts_with(SAMPLES) { SAMPLES } else { RECORD };
            BundleError::Malformed { file, reason }
        })?;
        let suite = &record.header.suite;
        let inconsistent = |field: &str, why: &str| BundleError::malformed(RECORD, format!("`{field}` {why}"));
        if suite.text.as_bytes() != self.file(SUITE)? {
            return Err(inconsistent("/suite/text", &format!("differs from {SUITE}")));
        }
        if store::sha256_hex(suite.text.as_bytes()) != suite.digest {
            return Err(inconsistent("/suite/digest", "is not the SHA-256 of the suite's text"));
        }
        if record.header.samples.as_ref().is_some_and(|closed| closed.bytes != samples.len() as u64) {
            return Err(inconsistent("/samples/bytes", &format!("is not the length of {SAMPLES}")));
        }
        super::consistency::check(&record).map_err(|e| BundleError::malformed(SAMPLES, e))?;
        Ok(record)
    }

    /// Computes certificate and document from the input files alone.
    ///
    /// # Errors
    /// [`BundleError`] naming the file.
    pub fn decide(&self) -> Result<Dossier, BundleError> {
        self.decide_by(None)
    }

    /// As [`Bundle::decide`], by another policy than the bundle's where one is given.
    ///
    /// # Errors
    /// [`BundleError`] naming the file.
    pub fn decide_by(&self, other: Option<&Certification>) -> Result<Dossier, BundleError> {
        let Parsed { record, policy, table, uncertainty, issue, decided_by } = self.parse()?;
        let basis = Basis {
            policy: other.unwrap_or(&policy),
            table: &table,
            uncertainty: &uncertainty,
            decided_by: &decided_by,
        };
        let evidence = INPUTS.iter().filter_map(|name| self.digest(name)).collect();
        Ok(certificate::issue_by(record, &basis, issue, evidence))
    }

    /// Makes a bundle of a record: inputs and certificate. Documents are added by the caller before
    /// [`Bundle::seal`].
    ///
    /// # Errors
    /// [`BundleError`] when the record does not read, or cannot be bundled without loss.
    pub fn made_of(inputs: &Inputs<'_>) -> Result<(Self, Dossier), BundleError> {
        #[derive(Deserialize)]
        struct Header {
            suite: Suite,
        }
        #[derive(Deserialize)]
        struct Suite {
            text: String,
        }
        let header: Header = strict::parse(inputs.record).map_err(|e| BundleError::malformed(RECORD, e))?;
        let Issue { issuer, place, issued_at } = inputs.issue.clone();
        let decided_by = env!("CARGO_PKG_VERSION").to_owned();
        let issue = IssueFile { schema: SCHEMA, method: METHOD, decided_by, issuer, place, issued_at };
        let issue = canonical::to_vec(&issue).map_err(|e| BundleError::malformed(ISSUE, e))?;
        let files = [
            (RECORD, inputs.record.to_vec()),
            (SAMPLES, inputs.samples.to_vec()),
            (SUITE, header.suite.text.into_bytes()),
            (POLICY, inputs.policy.text.clone().into_bytes()),
            (TABLE, inputs.table.text.clone().into_bytes()),
            (UNCERTAINTY, inputs.uncertainty.text.clone().into_bytes()),
            (ISSUE, issue),
        ];
        let mut bundle = Self { files: files.into_iter().map(|(name, bytes)| (name.to_owned(), bytes)).collect() };
        bundle.check_size()?;
        let dossier = bundle.decide()?;
        let text = canonical::to_vec(&dossier.certificate).map_err(|e| BundleError::malformed(CERTIFICATE, e))?;
        bundle.files.insert(CERTIFICATE.to_owned(), text);
        Ok((bundle, dossier))
    }

    /// As [`Bundle::made_of`], with the bounds of systematic error that this program ships.
    ///
    /// # Errors
    /// As [`Bundle::made_of`].
    pub fn of(
        record: &[u8],
        samples: &[u8],
        policy: &Certification,
        table: &Table,
        issue: &Issue,
    ) -> Result<(Self, Dossier), BundleError> {
        let uncertainty = policy::Policy::shipped();
        Self::made_of(&Inputs { record, samples, policy, table, uncertainty: &uncertainty, issue })
    }

    /// Writes the statement over every file that is in it now, signed where there is a key.
    ///
    /// # Errors
    /// [`BundleError`] when the statement has no canonical form.
    pub fn seal(&mut self, dossier: &Dossier, key: Option<&SigningKey>) -> Result<(), BundleError> {
        self.files.remove(STATEMENT);
        let malformed = |e: canonical::NotCanonical| BundleError::malformed(STATEMENT, e);
        let body = canonical::to_vec(&statement::of(&dossier.certificate, &self.digests())).map_err(malformed)?;
        let envelope = canonical::to_vec(&dsse::seal(&body, key)).map_err(malformed)?;
        self.files.insert(STATEMENT.to_owned(), envelope);
        Ok(())
    }
}
