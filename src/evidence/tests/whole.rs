//! Bundles nobody has changed.

use super::*;
use crate::certificate::METHOD;
use crate::evidence::bundle::{INPUTS, ISSUE, UNCERTAINTY};
use crate::evidence::verify::Outcome;
use crate::evidence::{BundleError, Inputs, canonical};
use crate::record::SamplerSummary;

#[test]
fn a_whole_bundle_verifies_signed_and_unsigned() {
    for signer in [None, Some(key(1))] {
        let bundle = bundle(signer.as_ref());
        let result = verified(&bundle, signer.as_ref());
        assert!(result.holds(), "{:#?}", result.differences);
        let outcome = |check: &str| result.checks.iter().find(|c| c.check == check).map(|c| c.outcome);
        for check in ["statement", "digests", "inputs", "figures", "result"] {
            assert_eq!(outcome(check), Some(Outcome::Holds), "{check}");
        }
        let signature = if signer.is_some() { Outcome::Holds } else { Outcome::Skipped };
        assert_eq!(outcome("signature"), Some(signature));
    }
}

#[test]
fn the_certificate_is_the_same_signed_and_unsigned() {
    let (signed, unsigned) = (bundle(Some(&key(1))), bundle(None));
    for name in INPUTS.into_iter().chain([CERTIFICATE]) {
        assert_eq!(signed.files[name], unsigned.files[name], "{name}");
    }
    assert_eq!(envelope(&signed).body(), envelope(&unsigned).body());
    assert_eq!(bundle(Some(&key(1))), signed, "the same inputs give the same bytes");
}

#[test]
fn a_key_wants_its_own_signature_and_several_signers_do_no_harm() {
    let unsigned = verified(&bundle(None), Some(&key(1)));
    assert!(unsigned.differences[0].text.contains("not signed"));
    let mut both = envelope(&bundle(Some(&key(1))));
    both.signatures.extend(envelope(&bundle(Some(&key(2)))).signatures);
    let both = with(&bundle(None), STATEMENT, canonical::to_vec(&both).unwrap());
    for signer in [1, 2] {
        assert!(verified(&both, Some(&key(signer))).holds());
    }
    let third = verified(&both, Some(&key(3)));
    assert!(third.differences[0].text.contains("none of its 2 signatures"), "{third:#?}");
    assert!(third.certificate.is_none(), "nothing is parsed that no signature holds for");
}

#[test]
fn the_bounds_of_the_bundle_decide_and_not_the_shipped_ones() {
    let (header, samples) = fixture::on_disk(&small_record());
    let shipped = crate::policy::Policy::shipped();
    let wider = crate::policy::Policy::parse(&shipped.text.replace("gain: 0.05", "gain: 0.2")).unwrap();
    let made = |uncertainty: &crate::policy::Policy| {
        let (policy, table) = (Certification::shipped(), Table::shipped("reference-cpu-1").unwrap());
        let inputs =
            Inputs { record: &header, samples: &samples, policy: &policy, table: &table, uncertainty, issue: &issue() };
        let (mut bundle, dossier) = Bundle::made_of(&inputs).unwrap();
        bundle.seal(&dossier, None).unwrap();
        bundle
    };
    let bundle = made(&wider);
    assert_eq!(bundle.files[UNCERTAINTY], wider.text.as_bytes());
    assert!(verified(&bundle, None).holds());
    let largest = |bundle: &Bundle| {
        let results = certificate(bundle)["results"].as_array().unwrap().clone();
        let budgets = results.iter().flat_map(|r| r["energy"]["budgets"].as_array().unwrap().clone());
        budgets.map(|b| b.to_string()).collect::<String>()
    };
    assert_ne!(largest(&bundle), largest(&made(&shipped)), "wider bounds give other budgets");
}

#[test]
fn another_method_and_a_newer_schema_are_refused_by_name() {
    let whole = bundle(None);
    let changed = |field: &str, value: Value| {
        let mut file = json(&whole.files[ISSUE]);
        file[field] = value;
        with(&whole, ISSUE, canonical::to_vec(&file).unwrap()).decide().unwrap_err()
    };
    let error = changed("method", 99.into());
    assert!(matches!(error, BundleError::OtherMethod { stated: 99, .. }), "{error}");
    assert!(error.to_string().contains("verify it with wattproof"), "{error}");
    assert!(changed("schema", 99.into()).to_string().contains("reads up to"), "a newer schema");
    assert!(changed("more", 1.into()).to_string().contains("unknown field"), "an unknown field");
}

#[test]
fn big_counters_are_refused_and_never_rounded() {
    let mut record = small_record();
    let second = crate::units::Seconds::new(1.0).unwrap();
    let points = (1 << 53) + 1;
    record.sampler = Some(SamplerSummary { points, wall: second, cpu: second, longest_gap: second });
    let (header, samples) = fixture::on_disk(&record);
    let table = Table::shipped("reference-cpu-1").unwrap();
    let error = Bundle::of(&header, &samples, &Certification::shipped(), &table, &issue()).unwrap_err();
    assert!(error.to_string().contains("9007199254740993 at `/sampler/points`"), "{error}");
}

#[test]
fn another_policy_says_what_it_would_change_and_changes_nothing() {
    let whole = bundle(None);
    let text = Certification::shipped().text;
    let other = Certification::parse(&text.replace("policy: green-ai-1", "policy: other-1")).unwrap();
    let options = |policy| Options { key: None, policy, documents: &no_documents };
    let result = verify(&whole, &options(Some(&other)));
    assert!(result.holds());
    let reassessed = result.by_other_policy.unwrap();
    assert_eq!((reassessed.policy.as_str(), reassessed.changes.len()), ("other-1", 0));
    let stricter = text.replace("\n  grade: C\n", "\n  grade: A\n");
    assert_ne!(stricter, text);
    let stricter = Certification::parse(&stricter).unwrap();
    let result = verify(&whole, &options(Some(&stricter)));
    assert!(result.holds(), "what another policy says is no difference");
    let changes = result.by_other_policy.unwrap().changes.join("\n");
    assert!(changes.contains("evidence-grade"), "{changes}");
}

#[test]
fn documents_are_compared_byte_for_byte() {
    let draw = |dossier: &Dossier, seal: &Seal| {
        let text = format!("{} signed by {:?}", dossier.certificate.id, seal.key_id);
        Ok(vec![("certificate.html".to_owned(), text.into_bytes())])
    };
    let signer = key(1);
    let mut sealed = bundle(None);
    let dossier = sealed.decide().unwrap();
    let seal = Seal { key_id: Some(crate::evidence::dsse::key_id(&signer.verifying_key())) };
    sealed.files.extend(draw(&dossier, &seal).unwrap());
    sealed.seal(&dossier, Some(&signer)).unwrap();
    let by = |bundle: &Bundle, documents: crate::evidence::verify::Renderer<'_>| {
        verify(bundle, &Options { key: None, policy: None, documents })
    };
    assert!(by(&sealed, &draw).holds(), "{:#?}", by(&sealed, &draw));
    let other = by(&sealed, &|_, _| Ok(vec![("certificate.html".to_owned(), b"WP-other".to_vec())]));
    assert_eq!(other.differences[0].file, "certificate.html");
    let none = by(&sealed, &no_documents);
    assert!(none.holds() && none.checks.iter().any(|c| c.outcome == Outcome::Skipped && c.text.contains("html")));
    // A statement can name any file, but no one vouches for what cannot be recomputed.
    sealed.files.insert("annex.json".into(), b"{}".to_vec());
    sealed.seal(&dossier, Some(&signer)).unwrap();
    let unknown = by(&sealed, &draw);
    assert_eq!(unknown.differences[0].file, "annex.json", "{unknown:#?}");
}

/// Whoever makes this test fail has changed what old records come to: raise [`METHOD`] once a version with the
/// number was released, then accept the snapshot.
#[test]
fn figures_and_findings_belong_to_the_number_of_the_method() {
    let certificate = certificate(&bundle(None));
    let digest = |part: &str| crate::record::store::sha256_hex(&canonical::to_vec(&certificate[part]).unwrap());
    let parts = ["results", "idle", "boundary", "grade", "findings", "rating", "caveats"];
    let lines: Vec<String> = parts.iter().map(|part| format!("{part}: {}", digest(part))).collect();
    insta::assert_snapshot!("method", format!("method {METHOD}\n{}", lines.join("\n")));
}
