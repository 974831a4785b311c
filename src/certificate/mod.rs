//! The certificate as data: `certificate.json`. A pure function of record, policies and issue.
//!
//! Everything a document prints comes from here and from the record it relates to. The same inputs give
//! the same bytes (RFC 8785 canonical JSON) on every machine.

mod deviations;

use crate::analysis::{self, Boundary, CaseSummary, Caveat, Grade, IdlePower, Summary};
use crate::clock::Utc;
use crate::policy::{Certification, Policy, Table};
use crate::record::{Environment, RunRecord, SamplerSummary, SensorStatus, Tool};
use crate::verdict::{self, Decision, Finding, Rating, Subject};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Schema of `certificate.json`. A reader refuses a higher number.
pub const SCHEMA: u32 = 1;

/// Number of the method: analysis, rules and rating together. Every change after which a record could give
/// another figure or finding raises it; `verify` refuses to recompute what another method has computed.
pub const METHOD: u32 = 1;

/// Who issues, where and when: what the record cannot know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Issue {
    /// Person or organisation that answers for it; `None` is said on the document.
    pub issuer: Option<String>,
    /// Where it was issued.
    pub place: Option<String>,
    /// When.
    pub issued_at: Utc,
}

/// The contents of `certificate.json`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Certificate {
    /// [`SCHEMA`] of the writer.
    pub schema: u32,
    /// Unique id, derived from the digests of the inputs and the issue; stands on every page.
    pub id: String,
    /// Certified, refused or inconclusive.
    pub decision: Decision,
    /// Index and class; a class is only stated by a certified document.
    pub rating: Option<Rating>,
    /// Who, where, when.
    #[serde(flatten)]
    pub issue: Issue,
    /// Last moment for which a certified class is stated; `None` when it is not certified.
    pub expires_at: Option<Utc>,
    /// Everything the decision was taken with.
    pub method: Method,
    /// The item: what the result relates to, and to nothing else.
    pub item: Environment,
    /// Domains whose energy is rated.
    pub boundary: Boundary,
    /// Strength of the energy evidence.
    pub grade: Option<Grade>,
    /// Every sensor and what its probe answered.
    pub sensors: Vec<SensorStatus>,
    /// Power at rest, before and after.
    pub idle: Vec<IdlePower>,
    /// What the sampler cost.
    pub sampler: Option<SamplerSummary>,
    /// A figure a case, with its budget.
    pub results: Vec<CaseSummary>,
    /// Every rule's answer.
    pub findings: Vec<Finding>,
    /// What a reader must know.
    pub caveats: Vec<Caveat>,
    /// Departures from the suite or the method, in words.
    pub deviations: Vec<String>,
    /// The files it was made of.
    pub evidence: Vec<FileDigest>,
}

/// What the decision was taken with, each with its digest.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Method {
    /// [`METHOD`] of the program that decided.
    pub number: u32,
    /// The rules' limits.
    pub policy: Named,
    /// The reference of the index.
    pub table: Named,
    /// Why the table is provisional; `None` where it is not.
    pub table_provisional: Option<String>,
    /// Bounds of systematic error.
    pub uncertainty: Named,
    /// The suite that ran.
    pub suite: Named,
    /// Name of the profile in force.
    pub profile: String,
    /// Id of the record.
    pub record: String,
    /// When it was begun.
    pub measured_from: Utc,
    /// When it ended.
    pub measured_to: Option<Utc>,
    /// The program that measured.
    pub measured_by: Tool,
    /// Version of the program that decided.
    pub decided_by: String,
}

/// A document of the method.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Named {
    /// Its permanent name.
    pub name: String,
    /// Its title, where it has one.
    pub title: Option<String>,
    /// SHA-256 of its text, lower-case hex.
    pub sha256: String,
}

/// A file of the evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileDigest {
    /// Name inside the bundle.
    pub name: String,
    /// SHA-256, lower-case hex.
    pub sha256: String,
    /// Length.
    pub bytes: u64,
}

/// A certificate, with what its document is drawn from.
#[derive(Debug, Clone)]
pub struct Dossier {
    /// The certificate.
    pub certificate: Certificate,
    /// The record it relates to.
    pub record: RunRecord,
    /// The record's analysis.
    pub summary: Summary,
    /// The policy it was decided by: documents show its class bounds.
    pub policy: Certification,
    /// The reference table: documents show the sources of its figures.
    pub table: Table,
}

/// What the envelope of a bundle says of its origin, for the documents: they are part of what is signed, so
/// they can name the key and never the signature.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seal {
    /// Name of the signing key (SHA-256 of the public key, lower-case hex); `None` is an unsigned bundle, and
    /// every page says so.
    pub key_id: Option<String>,
}

/// What a decision is taken by.
#[derive(Debug, Clone, Copy)]
pub struct Basis<'a> {
    /// The rules' limits.
    pub policy: &'a Certification,
    /// The reference of the index.
    pub table: &'a Table,
    /// Bounds of systematic error.
    pub uncertainty: &'a Policy,
    /// Version of the program that decides, or that decided when it is decided again.
    pub decided_by: &'a str,
}

/// As [`issue_by`], with the shipped bounds of systematic error, by this program.
#[must_use]
pub fn issue(
    record: RunRecord,
    policy: &Certification,
    table: &Table,
    issue: Issue,
    evidence: Vec<FileDigest>,
) -> Dossier {
    let uncertainty = Policy::shipped();
    let basis = Basis { policy, table, uncertainty: &uncertainty, decided_by: env!("CARGO_PKG_VERSION") };
    issue_by(record, &basis, issue, evidence)
}

/// Decides on a record and writes the certificate (or the refusal). `evidence` lists the digests of the
/// files that `record` and `basis` were read from.
#[must_use]
pub fn issue_by(record: RunRecord, basis: &Basis<'_>, issue: Issue, evidence: Vec<FileDigest>) -> Dossier {
    let Basis { policy, table, .. } = *basis;
    let summary = analysis::summarise_with(&record, basis.uncertainty);
    let assessment = verdict::assess(&Subject { record: &record, summary: &summary, policy, table });
    let header = &record.header;
    let certified = assessment.decision == Decision::Certified;
    let named = |name: &str, title: Option<&str>, sha256: &str| Named {
        name: name.to_owned(),
        title: title.map(str::to_owned),
        sha256: sha256.to_owned(),
    };
    let certificate = Certificate {
        schema: SCHEMA,
        id: id(&issue, &evidence),
        decision: assessment.decision,
        rating: assessment.rating,
        expires_at: certified.then(|| issue.issued_at.plus_days(policy.validity_days)),
        issue,
        method: Method {
            number: METHOD,
            policy: named(&policy.name, Some(&policy.title), &policy.sha256),
            table: named(&table.name, None, &table.sha256),
            table_provisional: table.provisional.clone(),
            uncertainty: named(&summary.uncertainty_policy.policy, None, &summary.uncertainty_policy.sha256),
            suite: named(&header.suite.id, Some(&header.suite.title), &header.suite.digest),
            profile: header.profile.name.clone(),
            record: header.id.clone(),
            measured_from: header.started_at,
            measured_to: header.finished_at,
            measured_by: header.tool.clone(),
            decided_by: basis.decided_by.to_owned(),
        },
        item: header.environment.clone(),
        boundary: summary.boundary.clone(),
        grade: summary.grade.clone(),
        sensors: header.sensors.clone(),
        idle: summary.idle.clone(),
        sampler: record.sampler,
        results: summary.cases.clone(),
        findings: assessment.findings,
        caveats: summary.caveats.clone(),
        deviations: deviations::of(&record),
        evidence,
    };
    Dossier { certificate, record, summary, policy: policy.clone(), table: table.clone() }
}

/// `WP-` and 80 bits of the SHA-256 over issue and digests, as five groups of four hex digits.
fn id(issue: &Issue, evidence: &[FileDigest]) -> String {
    let mut hash = Sha256::new();
    let mut part = |text: &str| {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text);
    };
    part(issue.issuer.as_deref().unwrap_or_default());
    part(issue.place.as_deref().unwrap_or_default());
    part(&issue.issued_at.to_string());
    for file in evidence {
        part(&file.name);
        part(&file.sha256);
    }
    let hex: String = hash.finalize().iter().take(10).map(|b| format!("{b:02X}")).collect();
    let groups: Vec<&str> = (0..5).map(|i| &hex[i * 4..i * 4 + 4]).collect();
    format!("WP-{}", groups.join("-"))
}
