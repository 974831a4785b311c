//! Bundles that were edited and signed again, by another key and by the same one.

use super::*;
use crate::evidence::bundle::{ISSUE, POLICY, RECORD, SAMPLES, TABLE, UNCERTAINTY};
use crate::evidence::canonical;
use crate::record::store::sha256_hex;
use std::collections::{BTreeMap, BTreeSet};

/// What came of edited inputs whose digests and signature were redone.
enum Forged {
    /// The inputs do not read any more, or contradict each other.
    Unreadable,
    /// They read, and the bundle was signed again.
    Signed(Box<Bundle>),
}

/// Redoes whatever binds a bundle together, so that only recomputing can tell: the digest of the samples in the
/// record, digests and id in the certificate, the statement, the signature. Figures and findings stay as they were.
fn forge(whole: &Bundle, file: &str, bytes: Vec<u8>, signer: &SigningKey) -> Forged {
    let mut forged = with(whole, file, bytes);
    if file == SAMPLES {
        let samples = &forged.files[SAMPLES];
        let mut header = json(&forged.files[RECORD]);
        header["samples"] = serde_json::json!({"sha256": sha256_hex(samples), "bytes": samples.len()});
        forged.files.insert(RECORD.into(), serde_json::to_vec(&header).unwrap());
    }
    let Ok(dossier) = forged.decide() else { return Forged::Unreadable };
    let Ok(recomputed) = canonical::to_vec(&dossier.certificate) else { return Forged::Unreadable };
    let recomputed = json(&recomputed);
    let mut stated = certificate(whole);
    stated["evidence"] = recomputed["evidence"].clone();
    stated["id"] = recomputed["id"].clone();
    for input in ["policy", "table", "uncertainty"] {
        stated["method"][input]["sha256"] = recomputed["method"][input]["sha256"].clone();
    }
    forged.files.insert(CERTIFICATE.into(), canonical::to_vec(&stated).unwrap());
    forged.seal(&dossier, Some(signer)).unwrap();
    Forged::Signed(Box::new(forged))
}

#[test]
fn a_bundle_signed_again_by_another_key_is_caught_by_the_key() {
    let (signer, other) = (key(1), key(2));
    let whole = bundle(Some(&signer));
    let mut events = lines(&whole.files[SAMPLES]);
    let sample = events.iter_mut().find(|e| e["event"] == "sample").unwrap();
    sample["wall_s"] = edited(&sample["wall_s"]);
    // Not only forged: consistent in every figure, because it is issued anew.
    let mut record = with(&whole, SAMPLES, of_lines(&events));
    let mut header = json(&record.files[RECORD]);
    let samples = &record.files[SAMPLES];
    header["samples"] = serde_json::json!({"sha256": sha256_hex(samples), "bytes": samples.len()});
    record.files.insert(RECORD.into(), serde_json::to_vec(&header).unwrap());
    let table = Table::shipped("reference-cpu-1").unwrap();
    let (policy, files) = (Certification::shipped(), &record.files);
    let (mut again, dossier) = Bundle::of(&files[RECORD], &files[SAMPLES], &policy, &table, &issue()).unwrap();
    again.seal(&dossier, Some(&other)).unwrap();
    assert!(verified(&again, None).holds(), "a signature proves origin, not honesty");
    assert!(verified(&again, Some(&other)).holds());
    let result = verified(&again, Some(&signer));
    assert_eq!(result.differences[0].file, STATEMENT);
    assert!(result.differences[0].text.contains("none of its 1 signatures"), "{result:#?}");
    // Taking the name of the first key does not help.
    let mut envelope = envelope(&again);
    envelope.signatures[0].keyid = crate::evidence::dsse::key_id(&signer.verifying_key());
    let renamed = with(&again, STATEMENT, canonical::to_vec(&envelope).unwrap());
    assert!(!verified(&renamed, Some(&signer)).holds());
}

/// Fields that decide no figure and no finding of this record, so that an edit of them, signed again by the issuer's
/// own key, leaves nothing to catch. The list may only get shorter.
const SILENT: &[(&str, &str)] = &[
    // How the run was planned: what came of it stands in the samples.
    (RECORD, "/plan/cases/*/line"),
    (RECORD, "/plan/cases/*/threads/count"),
    (RECORD, "/plan/estimate_s"),
    (RECORD, "/profile/idle_s"),
    (RECORD, "/profile/probe_bytes"),
    (RECORD, "/profile/probe_s"),
    (RECORD, "/profile/retries"),
    (RECORD, "/profile/sampler_hz"),
    (RECORD, "/profile/warm_up_max_s"),
    (RECORD, "/profile/warm_up_min_s"),
    (RECORD, "/profile/warm_up_slope"),
    (RECORD, "/profile/window_floor_s"),
    (RECORD, "/profile/window_tau_multiple"),
    // Where the file lay.
    (RECORD, "/suite/path"),
    // Limits that this record keeps by a wide margin, and states that stay within them.
    (RECORD, "/profile/alignment_limit"),
    (RECORD, "/profile/foreign_load_limit"),
    (RECORD, "/profile/idle_drift_limit"),
    (RECORD, "/profile/steal_limit"),
    (SAMPLES, "/idle/state/clock_jump_s"),
    (SAMPLES, "/idle/state/foreign_load"),
    (SAMPLES, "/idle/state/frequency_hz"),
    (SAMPLES, "/idle/state/steal"),
    (SAMPLES, "/idle/state/temperature_c"),
    (SAMPLES, "/idle/state/throttle_events"),
    (SAMPLES, "/sample/state/clock_jump_s"),
    (SAMPLES, "/sample/state/foreign_load"),
    (SAMPLES, "/sample/state/frequency_hz"),
    (SAMPLES, "/sample/state/steal"),
    (SAMPLES, "/sample/state/temperature_c"),
    (SAMPLES, "/sample/state/throttle_events"),
    // When something happened and how long it was prepared: figures are made of lengths and energies.
    (SAMPLES, "/idle/start"),
    (SAMPLES, "/idle/wall_s"),
    (SAMPLES, "/sample/start"),
    (SAMPLES, "/sample/repeat"),
    (SAMPLES, "/prepared/prepare_s"),
    (SAMPLES, "/prepared/program/cpus/*"),
    (SAMPLES, "/prepared/warm_up/iterations"),
    (SAMPLES, "/prepared/warm_up/wall_s"),
    // Only the worst window of a case is stated.
    (SAMPLES, "/sample/correctness/error"),
    (SAMPLES, "/sample/correctness/limit"),
    (SAMPLES, "/idle/energy/*/update_period_s"),
    (SAMPLES, "/sample/energy/*/update_period_s"),
    // The trace is drawn, and no figure rests on it.
    (SAMPLES, "/trace/at"),
    (SAMPLES, "/trace/power_w/*/*"),
];

#[test]
fn edits_signed_again_by_the_same_key_are_caught_wherever_a_figure_differs() {
    let signer = key(1);
    let whole = bundle(Some(&signer));
    let mut edits: Vec<(&str, String, Vec<u8>)> = Vec::new();
    for name in [RECORD, ISSUE] {
        let root = json(&whole.files[name]);
        let edit = |pointer: &String| (name, pointer.clone(), serde_json::to_vec(&edit(&root, pointer)).unwrap());
        // Of the planned cases the first and the last: the others have the same fields.
        let last = format!("/plan/cases/{}/", root["plan"]["cases"].as_array().map_or(0, |cases| cases.len() - 1));
        let kept =
            |p: &&String| ["/plan/cases/0/", &last].iter().any(|c| p.starts_with(c)) || !p.starts_with("/plan/cases/");
        edits.extend(leaves(&root).iter().filter(kept).map(edit));
    }
    let events = lines(&whole.files[SAMPLES]);
    let mut seen = BTreeSet::new();
    for (index, event) in events.iter().enumerate() {
        // The first line of every kind, for a probe and for a workload.
        let workload = event["case"].as_str().is_some_and(|case| case.starts_with("gemm"));
        if !seen.insert((event["event"].to_string(), workload)) {
            continue;
        }
        for pointer in leaves(event) {
            let mut events = events.clone();
            events[index] = edit(event, &pointer);
            let kind = event["event"].as_str().unwrap();
            edits.push((SAMPLES, format!("/{kind}{pointer}"), of_lines(&events)));
        }
    }
    for name in [POLICY, TABLE, UNCERTAINTY] {
        let text = String::from_utf8(whole.files[name].clone()).unwrap();
        for (index, line) in text.lines().enumerate().filter(|(_, l)| l.contains(|c: char| c.is_ascii_digit())) {
            let at = line.rfind(|c: char| c.is_ascii_digit()).unwrap();
            let digit = if &line[at..=at] == "9" { "8" } else { "9" };
            let mut changed: Vec<String> = text.lines().map(str::to_owned).collect();
            changed[index].replace_range(at..=at, digit);
            let pointer = format!("/line/{}", index + 1);
            edits.push((name, pointer, (changed.join("\n") + "\n").into_bytes()));
        }
    }
    let (mut unreadable, mut caught, mut same) = (0, 0, BTreeMap::<(&str, String), u32>::new());
    let total = edits.len();
    for (file, pointer, bytes) in edits {
        match forge(&whole, file, bytes, &signer) {
            Forged::Unreadable => unreadable += 1,
            Forged::Signed(forged) if verified(&forged, Some(&signer)).holds() => {
                let pattern = pointer.split('/').map(|s| if s.parse::<u32>().is_ok() { "*" } else { s });
                *same.entry((file, pattern.collect::<Vec<_>>().join("/"))).or_default() += 1;
            }
            Forged::Signed(_) => caught += 1,
        }
    }
    // Another policy, signed by the issuer, is another policy: its digest stands in the certificate.
    let policies = [POLICY, TABLE, UNCERTAINTY];
    let of_policies: u32 = same.iter().filter(|((file, _), _)| policies.contains(file)).map(|(_, n)| n).sum();
    let silent = same.values().sum::<u32>() - of_policies;
    let counts = format!(
        "{total} edits signed again: {unreadable} do not read or contradict themselves, {caught} caught by recomputing; \
         {silent} of the record and {of_policies} of policies change no figure"
    );
    println!("{counts}");
    let known =
        |(file, pointer): &(&str, String)| policies.contains(file) || SILENT.contains(&(*file, pointer.as_str()));
    let unknown: Vec<_> = same.keys().filter(|key| !known(key)).collect();
    assert!(unknown.is_empty(), "{counts}\nchange no figure, and are not known to:\n{unknown:#?}");
    assert!(caught >= 150, "{counts}");
}
