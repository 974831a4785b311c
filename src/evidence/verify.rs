//! Verification: signature, digests, then everything recomputed from the raw samples.
//!
//! Nothing is parsed that the signature or the digests have not held for, except the envelope itself.

use super::bundle::{Bundle, CERTIFICATE, DOCUMENTS, INPUTS, STATEMENT};
use super::difference::{self, Difference};
use super::dsse::{self, Envelope};
use super::statement::{self, Stated};
use super::{canonical, strict};
use crate::certificate::{Certificate, Dossier, SCHEMA, Seal};
use crate::policy::Certification;
use crate::record::store::sha256_hex;
use crate::verdict::{Decision, Status};
use ed25519_dalek::VerifyingKey;
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Draws the documents of a dossier: name and bytes of each file.
pub type Renderer<'a> = &'a dyn Fn(&Dossier, &Seal) -> Result<Vec<(String, Vec<u8>)>, String>;

/// What to verify with.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// The key that must have signed; without it nothing is said of the origin.
    pub key: Option<&'a VerifyingKey>,
    /// Another policy to decide by, for comparison.
    pub policy: Option<&'a Certification>,
    /// Draws the documents.
    pub documents: Renderer<'a>,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verification {
    /// Every check, in order; those after a failure that leaves nothing to stand on are not made.
    pub checks: Vec<Check>,
    /// Every difference.
    pub differences: Vec<Difference>,
    /// What the bundle certifies or refuses; `None` where it could not be recomputed.
    pub certificate: Option<Recomputed>,
    /// What another policy would change; `None` where none was given.
    pub by_other_policy: Option<Reassessment>,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Permanent name: `signature`, `statement`, `digests`, `inputs`, `figures`, `document`.
    pub check: &'static str,
    /// How it came out.
    pub outcome: Outcome,
    /// For people: what was checked, or why it was not.
    pub text: String,
}

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It holds.
    Holds,
    /// It was not made.
    Skipped,
    /// It fails; the differences say where.
    Fails,
}

/// The certificate in short, as it was recomputed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Recomputed {
    /// Its id.
    pub id: String,
    /// Certified, refused or inconclusive.
    pub decision: Decision,
    /// The class; `None` where nothing is rated or certified.
    pub class: Option<char>,
}

/// What another policy would change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reassessment {
    /// Name of the other policy.
    pub policy: String,
    /// Its SHA-256.
    pub sha256: String,
    /// What it comes to.
    pub result: Recomputed,
    /// Each change in words; empty where it changes nothing.
    pub changes: Vec<String>,
}

impl Verification {
    /// Whether nothing differs.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.differences.is_empty() && self.checks.iter().all(|c| c.outcome != Outcome::Fails)
    }

    fn held(&mut self, check: &'static str, text: impl Into<String>) {
        self.checks.push(Check { check, outcome: Outcome::Holds, text: text.into() });
    }

    fn skipped(&mut self, check: &'static str, text: impl Into<String>) {
        self.checks.push(Check { check, outcome: Outcome::Skipped, text: text.into() });
    }

    fn failed(&mut self, check: &'static str, text: impl Into<String>, differences: Vec<Difference>) {
        self.checks.push(Check { check, outcome: Outcome::Fails, text: text.into() });
        self.differences.extend(differences);
    }
}

/// Verifies a bundle. Pure: no file, no clock, no network.
#[must_use]
pub fn verify(bundle: &Bundle, options: &Options<'_>) -> Verification {
    let mut result =
        Verification { checks: Vec::new(), differences: Vec::new(), certificate: None, by_other_policy: None };
    // Each step gives nothing where the next one would have nothing to stand on.
    let _ = run(bundle, options, &mut result);
    result
}

fn run(bundle: &Bundle, options: &Options<'_>, result: &mut Verification) -> Option<()> {
    let envelope = signature(bundle, options.key, result)?;
    let body = envelope.body().ok()?;
    let stated = stated_files(&body, result)?;
    let sound = digests(bundle, &stated, result);
    if !sound {
        result.skipped("figures", "recomputing needs every input as it was stated");
        return None;
    }
    let dossier = match bundle.decide() {
        Ok(dossier) => dossier,
        Err(error) => {
            result.failed(
                "inputs",
                "the inputs do not read",
                vec![Difference::of_file(error.file(), error.to_string())],
            );
            return None;
        }
    };
    result.held("inputs", "record, samples, suite, policy, table, bounds and issue read, and agree with each other");
    result.certificate = Some(in_short(&dossier.certificate));
    figures(bundle, &dossier, result);
    result_of_statement(bundle, &body, &dossier, result);
    let seal = Seal { key_id: envelope.signatures.first().map(|s| s.keyid.clone()) };
    documents(bundle, &dossier, &seal, options.documents, result);
    if let Some(policy) = options.policy {
        result.by_other_policy = reassess(bundle, &dossier.certificate, policy);
    }
    Some(())
}

/// The envelope, and its signature where there is a key to check it with.
fn signature(bundle: &Bundle, key: Option<&VerifyingKey>, result: &mut Verification) -> Option<Envelope> {
    let whole = |why: String| vec![Difference::of_file(STATEMENT, why)];
    let text = match bundle.file(STATEMENT) {
        Ok(text) => text,
        Err(error) => {
            result.failed("signature", "there is no statement", whole(error.to_string()));
            return None;
        }
    };
    let envelope = match Envelope::parse(text) {
        Ok(envelope) => envelope,
        Err(why) => {
            result.failed("signature", "the envelope does not read", whole(why));
            return None;
        }
    };
    let Some(key) = key else {
        let why = match envelope.signatures.first() {
            None => "the bundle is not signed: its origin is not proved".to_owned(),
            Some(first) => format!(
                "signed by a key that calls itself {}; give the signer's public key with --key to check it: the origin \
                 is not proved",
                first.keyid.escape_debug()
            ),
        };
        result.skipped("signature", why);
        return Some(envelope);
    };
    let id = dsse::key_id(key);
    let valid = envelope.signed_by(key);
    if valid.is_empty() {
        let why = match envelope.signatures.len() {
            0 => "the bundle is not signed".to_owned(),
            n => format!("none of its {n} signatures was made by the key {id} over this payload"),
        };
        result.failed("signature", "the signature does not hold", whole(why));
        return None;
    }
    let misnamed: Vec<Difference> = valid
        .iter()
        .filter(|&&index| envelope.signatures[index].keyid != id)
        .map(|index| Difference {
            file: STATEMENT.to_owned(),
            pointer: Some(format!("/signatures/{index}/keyid")),
            stated: Some(Value::from(envelope.signatures[*index].keyid.clone()).to_string()),
            found: Some(Value::from(id.clone()).to_string()),
            text: "is not the name of the key that made this signature".to_owned(),
        })
        .collect();
    if misnamed.is_empty() {
        result.held("signature", format!("made by the key you gave, {id}"));
    } else {
        result.failed("signature", "the signature holds, and calls its key by another name", misnamed);
    }
    Some(envelope)
}

fn stated_files(body: &[u8], result: &mut Verification) -> Option<Stated> {
    match statement::parse(body) {
        Ok(stated) => {
            result.held("statement", format!("an in-toto test result over {} files", stated.files.len()));
            Some(stated)
        }
        Err(why) => {
            let why = format!("the payload is no statement of a bundle: {why}");
            result.failed("statement", "the statement does not read", vec![Difference::of_file(STATEMENT, why)]);
            None
        }
    }
}

/// Compares names and digests; says whether every input is as it was stated.
fn digests(bundle: &Bundle, stated: &Stated, result: &mut Verification) -> bool {
    let mut differences = Vec::new();
    for (name, digest) in &stated.files {
        let Some(bytes) = bundle.files.get(name) else {
            differences.push(Difference::of_file(name, "is missing; the statement names it"));
            continue;
        };
        let found = sha256_hex(bytes);
        if found != *digest {
            differences.push(Difference {
                file: name.clone(),
                pointer: None,
                stated: Some(Value::from(digest.clone()).to_string()),
                found: Some(Value::from(found).to_string()),
                text: "was changed: its SHA-256 is not the one in the statement".to_owned(),
            });
        }
    }
    for name in bundle.files.keys().filter(|name| *name != STATEMENT && !stated.files.contains_key(*name)) {
        differences.push(Difference::of_file(name, "is not named by the statement"));
    }
    let needed = INPUTS.iter().chain(&[CERTIFICATE]);
    for name in needed.filter(|name| !stated.files.contains_key(**name) && !bundle.files.contains_key(**name)) {
        differences.push(Difference::of_file(name, "is missing, and the statement does not name it"));
    }
    let sound = !differences.iter().any(|d| INPUTS.contains(&d.file.as_str()));
    if differences.is_empty() {
        result.held("digests", format!("{} files are as they were stated", stated.files.len()));
    } else {
        result.failed("digests", "files are not as they were stated", differences);
    }
    sound
}

/// Compares `certificate.json` with the certificate computed from the inputs.
fn figures(bundle: &Bundle, dossier: &Dossier, result: &mut Verification) {
    let whole = |why: String| vec![Difference::of_file(CERTIFICATE, why)];
    let recomputed = match canonical::to_vec(&dossier.certificate) {
        Ok(text) => text,
        Err(error) => return result.failed("figures", "the certificate has no form", whole(error.to_string())),
    };
    let Ok(text) = bundle.file(CERTIFICATE) else {
        return result.failed("figures", "there is no certificate to compare", Vec::new());
    };
    let (Ok(value), stated) = (strict::parse::<Value>(&recomputed), strict::parse::<Value>(text)) else {
        return result.failed("figures", "the certificate has no form", whole("does not read".to_owned()));
    };
    if text == recomputed {
        let fields = difference::leaves(&value);
        return result
            .held("figures", format!("all {fields} fields of {CERTIFICATE}, recomputed from the raw samples"));
    }
    let stated = match stated {
        Ok(stated) => stated,
        Err(why) => return result.failed("figures", "the certificate does not read", whole(why)),
    };
    if let Some(schema) = stated.get("schema").and_then(Value::as_u64).filter(|s| *s > u64::from(SCHEMA)) {
        let why = format!("has schema {schema}, and this wattproof reads up to {SCHEMA}; use a newer wattproof");
        let mut differences = whole(why);
        differences[0].pointer = Some("/schema".to_owned());
        return result.failed("figures", "the certificate is newer than this program", differences);
    }
    let mut differences = difference::between(CERTIFICATE, &stated, &value);
    if differences.is_empty() {
        let at = text.iter().zip(&recomputed).take_while(|(a, b)| a == b).count();
        differences = whole(format!("is not in canonical form (RFC 8785) from byte {at} on"));
    }
    result.failed("figures", "recomputing from the raw samples gives another certificate", differences);
}

/// Compares the whole payload with the statement that belongs to the recomputed certificate.
fn result_of_statement(bundle: &Bundle, body: &[u8], dossier: &Dossier, result: &mut Verification) {
    let recomputed = statement::of(&dossier.certificate, &bundle.digests());
    if canonical::to_vec(&recomputed).is_ok_and(|text| text == body) {
        return result.held("result", "the statement says what the recomputed certificate says");
    }
    let stated: Value = strict::parse(body).unwrap_or(Value::Null);
    let mut differences = difference::between(STATEMENT, &stated, &recomputed);
    differences.iter_mut().for_each(|d| d.text.insert_str(0, "of the payload "));
    if differences.is_empty() {
        differences.push(Difference::of_file(STATEMENT, "the payload is not in canonical form (RFC 8785)"));
    }
    result.failed("result", "the statement says something else than the recomputed certificate", differences);
}

fn documents(bundle: &Bundle, dossier: &Dossier, seal: &Seal, render: Renderer<'_>, result: &mut Verification) {
    let known: BTreeSet<&str> = INPUTS.into_iter().chain([CERTIFICATE, STATEMENT]).collect();
    if bundle.files.keys().all(|name| known.contains(name.as_str())) {
        // Drawing costs more than all the rest, and there is nothing to compare with.
        return result.skipped("document", "the bundle holds none");
    }
    let rendered: BTreeMap<String, Vec<u8>> = match render(dossier, seal) {
        Ok(rendered) => rendered.into_iter().collect(),
        Err(why) => {
            let why = format!("cannot be drawn again: {why}");
            let differences = DOCUMENTS.iter().filter(|name| bundle.files.contains_key(**name));
            let differences = differences.map(|name| Difference::of_file(name, why.clone())).collect();
            return result.failed("document", "the documents cannot be drawn again", differences);
        }
    };
    for (name, bytes) in bundle.files.iter().filter(|(name, _)| !known.contains(name.as_str())) {
        match rendered.get(name) {
            Some(drawn) if drawn == bytes => result.held("document", format!("{name}: drawn again, the same bytes")),
            Some(drawn) => {
                let at = drawn.iter().zip(bytes).take_while(|(a, b)| a == b).count();
                let why = format!("differs from the document drawn again, from byte {at} on");
                result.failed("document", format!("{name} was changed"), vec![Difference::of_file(name, why)]);
            }
            None if DOCUMENTS.contains(&name.as_str()) => {
                result.skipped("document", format!("{name}: this build of wattproof cannot draw it"));
            }
            None => {
                let why = "belongs to no certificate of this version, and nothing can vouch for its contents";
                result.failed("document", format!("{name} is unknown"), vec![Difference::of_file(name, why)]);
            }
        }
    }
    for name in rendered.keys().filter(|name| !bundle.files.contains_key(*name)) {
        result.skipped("document", format!("{name}: the bundle holds none"));
    }
}

fn in_short(certificate: &Certificate) -> Recomputed {
    let certified = certificate.decision == Decision::Certified;
    let class = certificate.rating.as_ref().filter(|_| certified).map(|rating| rating.class.letter);
    Recomputed { id: certificate.id.clone(), decision: certificate.decision, class }
}

/// Decides by another policy, and lists what that changes.
fn reassess(bundle: &Bundle, stated: &Certificate, policy: &Certification) -> Option<Reassessment> {
    let other = bundle.decide_by(Some(policy)).ok()?.certificate;
    let mut changes = Vec::new();
    let mut note = |what: String, before: String, after: String| {
        if before != after {
            changes.push(format!("{what}: {before} → {after}"));
        }
    };
    let (before, after) = (in_short(stated), in_short(&other));
    let class = |c: Option<char>| c.map_or("none".to_owned(), String::from);
    note("decision".to_owned(), word(before.decision), word(after.decision));
    note("class".to_owned(), class(before.class), class(after.class));
    let findings = |certificate: &Certificate| -> BTreeMap<(String, Option<String>), (Status, String)> {
        let findings = certificate.findings.iter();
        findings.map(|f| ((f.code.to_owned(), f.case.clone()), (f.status, f.limit.clone()))).collect()
    };
    let (before, now) = (findings(stated), findings(&other));
    for key in before.keys().chain(now.keys()).collect::<BTreeSet<_>>() {
        let words = |found: Option<&(Status, String)>| {
            found.map_or("not applied".to_owned(), |(status, limit)| format!("{status:?} (asked for: {limit})"))
        };
        let case = key.1.as_ref().map(|case| format!(" of {case}")).unwrap_or_default();
        note(format!("{}{case}", key.0), words(before.get(key)), words(now.get(key)));
    }
    Some(Reassessment { policy: policy.name.clone(), sha256: policy.sha256.clone(), result: after, changes })
}

fn word(decision: Decision) -> String {
    match decision {
        Decision::Certified => "certified",
        Decision::Refused => "refused",
        Decision::Inconclusive => "inconclusive",
    }
    .to_owned()
}
