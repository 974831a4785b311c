//! The view model of a certificate: everything its documents show, final. As for reports, every string is
//! plain text without control characters, and every renderer escapes it for its own format.

use super::{audit, front, qr, rating};
use crate::certificate::{Dossier, Seal};
use crate::evidence::canonical;
use crate::report::model::{BarChart, CaveatLine, Fact, FactGroup, Paragraph, SensorCard, Table, Tone, Trace};
use crate::report::plots::ClassScale;
use crate::report::{ReportError, ReportModel};
use crate::verdict::Decision;
use serde::Serialize;
use sha2::{Digest, Sha256};

/// All that a certificate, a refusal or an inconclusive result shows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CertificateModel {
    /// What was decided; layouts follow it.
    pub decision: Decision,
    /// The decision as it is printed: `CERTIFIED`, `NOT CERTIFIED`, `INCONCLUSIVE`.
    pub word: &'static str,
    /// What the document is.
    pub title: &'static str,
    /// The decision in a sentence.
    pub lead: String,
    /// The certificate's id: on every page.
    pub id: String,
    /// Moment of issue, RFC 3339. The only date a renderer may embed.
    pub issued: String,
    /// What every page says beside the id: the seal, and that it is simulated or no certificate.
    pub marks: Vec<Mark>,
    /// Class and index, of a certified result alone.
    pub rating: Option<RatingPanel>,
    /// Why it was not certified; empty where it was.
    pub reasons: Vec<Reason>,
    /// How many reasons more there are, in words.
    pub more_reasons: Option<String>,
    /// The facts of page one.
    pub facts: Vec<Fact>,
    /// To whom and what it applies, in a sentence.
    pub scope: String,
    /// How to check it.
    pub verify: Verify,
    /// The pages after the first.
    pub sections: Vec<Section>,
}

/// Something that every page says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mark {
    /// How it should look.
    pub tone: Tone,
    /// What it says.
    pub text: String,
}

/// Class and index.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RatingPanel {
    /// The class.
    pub letter: String,
    /// What the interval leaves open: `class B is not excluded`; empty where it leaves nothing open.
    pub open: String,
    /// The index.
    pub index: String,
    /// Its interval.
    pub interval: String,
    /// What the index relates to.
    pub basis: String,
    /// Why the reference is provisional.
    pub provisional: Option<String>,
    /// The classes as a scale; `None` where the policy's bounds cannot be drawn.
    pub scale: Option<ClassScale>,
}

/// A reason of a refusal, short enough for page one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// Its tone.
    pub tone: Tone,
    /// What the rule asks for.
    pub title: String,
    /// The rule's code.
    pub code: String,
    /// What was found.
    pub observed: String,
    /// What was asked for.
    pub limit: String,
    /// How to make it right.
    pub fix: String,
}

/// How to check a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verify {
    /// The command.
    pub command: &'static str,
    /// SHA-256 of `certificate.json`, lower-case hex.
    pub digest: String,
    /// What the code says.
    pub code_text: String,
    /// Modules on a side of the code, quiet zone included; 0 where there is no code.
    pub code_size: usize,
    /// Dark modules as SVG path data, one unit a module.
    pub code_path: String,
    /// What is known of the origin, in a sentence.
    pub origin: String,
}

/// A part of the audit pages.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Section {
    /// Anchor.
    pub id: &'static str,
    /// Heading.
    pub title: &'static str,
    /// What stands in it.
    pub blocks: Vec<Block>,
}

/// A piece of a section.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", content = "value", rename_all = "kebab-case")]
pub enum Block {
    /// A paragraph.
    Text(String),
    /// Facts under a heading; the heading may be empty.
    Facts(FactGroup),
    /// A table.
    Table(Table),
    /// Bars.
    Bars(BarChart),
    /// Power over time.
    Trace(Trace),
    /// Domains inside and outside the boundary.
    Boundary(Boundary),
    /// Rules that are not kept.
    Findings(Vec<FindingGroup>),
    /// What a reader must know.
    Caveats(Vec<CaveatLine>),
    /// Sensor families.
    Sensors(Vec<SensorCard>),
    /// Paragraphs with headings.
    Paragraphs(Vec<Paragraph>),
}

/// The energy boundary, to be drawn as nested boxes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Boundary {
    /// In words.
    pub text: String,
    /// Domains whose energy is added up.
    pub inside: Vec<BoundaryDomain>,
    /// Domains that were read and are not added.
    pub apart: Vec<BoundaryDomain>,
    /// What no meter of the boundary sees.
    pub unseen: String,
}

/// A domain of the boundary's drawing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BoundaryDomain {
    /// Its name.
    pub name: String,
    /// How it was read.
    pub detail: String,
    /// Domains inside it that were read as well: shown, never added.
    pub parts: Vec<BoundaryDomain>,
}

/// One rule that is not kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FindingGroup {
    /// Failed or inconclusive.
    pub tone: Tone,
    /// `failed`, `inconclusive`.
    pub state: &'static str,
    /// What the rule asks for.
    pub title: String,
    /// Its code.
    pub code: String,
    /// Why it exists, and after whom.
    pub why: String,
    /// Where its limit stands.
    pub place: String,
    /// What was found, where.
    pub lines: Vec<FindingLine>,
}

/// What a rule found in one case, or in several alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FindingLine {
    /// The cases; empty for the whole record.
    pub cases: Vec<String>,
    /// What was found.
    pub observed: String,
    /// What was asked for.
    pub limit: String,
    /// How to make it right.
    pub fix: String,
}

impl CertificateModel {
    /// Prepares all that the documents show.
    ///
    /// # Errors
    /// [`ReportError::Render`] when `certificate.json` has no canonical form, whose digest the document names.
    pub fn of(dossier: &Dossier, seal: &Seal) -> Result<Self, ReportError> {
        let certificate = &dossier.certificate;
        let report = ReportModel::new(&dossier.record, dossier.summary.clone());
        let bytes = canonical::to_vec(certificate)
            .map_err(|error| ReportError::Render { format: "certificate", reason: error.to_string() })?;
        let digest: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        let decision = certificate.decision;
        let (reasons, more_reasons) = front::reasons(certificate);
        Ok(Self {
            decision,
            word: front::word(decision),
            title: front::title(decision),
            lead: front::lead(dossier),
            id: certificate.id.clone(),
            issued: certificate.issue.issued_at.to_string(),
            marks: front::marks(dossier, seal),
            rating: (decision == Decision::Certified).then(|| rating::panel(dossier)).flatten(),
            reasons,
            more_reasons,
            facts: front::facts(dossier),
            scope: front::SCOPE.to_owned(),
            verify: verify(&certificate.id, digest, seal),
            sections: audit::sections(dossier, seal, report),
        })
    }
}

fn verify(id: &str, digest: String, seal: &Seal) -> Verify {
    let code_text = format!("wattproof verify\n{id}\nsha256:{digest}");
    let code = qr::of(&code_text);
    Verify {
        command: "wattproof verify BUNDLE --key ISSUER.pub",
        digest,
        code_size: code.as_ref().map_or(0, |c| c.size),
        code_path: code.map(|c| c.path).unwrap_or_default(),
        code_text,
        origin: front::origin(seal),
    }
}
