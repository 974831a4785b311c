//! A certificate that belongs to a record of the site. Whoever makes one has verified it.

use crate::certificate::Certificate;
use crate::report::model::plain::plain;
use crate::report::si;
use crate::verdict::Decision;
use serde::Serialize;

/// A certificate or refusal, verified, with the files that the site holds of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Attached {
    /// Its id.
    pub id: String,
    /// Certified, refused or inconclusive.
    pub decision: Decision,
    /// The decision in words.
    pub word: &'static str,
    /// Class, of a certified one.
    pub class: Option<String>,
    /// `4.36 (U = 11 %)`, of a certified one.
    pub index: Option<String>,
    /// The index, to sort by.
    #[serde(skip)]
    pub value: Option<f64>,
    /// Who issued it.
    pub issuer: String,
    /// Moment of issue, RFC 3339.
    pub issued: String,
    /// Last day of a stated class.
    pub until: Option<String>,
    /// Id of the key whose signature was checked; `None` where the origin is not proved.
    pub signed_by: Option<String>,
    /// File name of the bundle beside the record's page.
    pub bundle: String,
    /// SHA-256 of that file.
    pub sha256: String,
    /// File name of the certificate as a page beside the record's page; `None` where the bundle holds no documents.
    pub document: Option<String>,
}

impl Attached {
    /// What a site shows of a certificate that was recomputed; the names of its files are the caller's.
    #[must_use]
    pub fn of(certificate: &Certificate, signed_by: Option<String>) -> Self {
        let (word, rated) = match certificate.decision {
            Decision::Certified => ("certified", true),
            Decision::Refused => ("not certified", false),
            Decision::Inconclusive => ("inconclusive", false),
        };
        let rating = certificate.rating.as_ref().filter(|_| rated);
        Self {
            id: plain(&certificate.id),
            decision: certificate.decision,
            word,
            class: rating.map(|r| r.class.letter.to_string()),
            index: rating.map(|r| format!("{} (U = {})", si::number(r.index), si::percent(r.expanded_uncertainty))),
            value: rating.map(|r| r.index),
            issuer: certificate.issue.issuer.as_deref().map_or_else(|| "no issuer stated".to_owned(), plain),
            issued: certificate.issue.issued_at.to_string(),
            until: certificate.expires_at.filter(|_| rated).map(|t| t.date_time().date().to_string()),
            signed_by,
            bundle: String::new(),
            sha256: String::new(),
            document: None,
        }
    }
}
