//! The mutation campaign: every field of a signed bundle changed, one at a time. All are caught, and each
//! answer names what differs.

use super::*;
use crate::evidence::bundle::{INPUTS, ISSUE, POLICY, RECORD, SAMPLES, SUITE, TABLE, UNCERTAINTY};
use crate::evidence::canonical;
use base64ct::{Base64, Encoding};
use std::collections::BTreeMap;

/// How many were tried, by what was changed.
#[derive(Default)]
struct Campaign {
    tried: BTreeMap<&'static str, u32>,
    missed: Vec<String>,
}

impl Campaign {
    /// Verifies `changed`: a difference must name `file`, and the field too where `pointer` is given.
    fn try_out(
        &mut self,
        what: &'static str,
        changed: &Bundle,
        signer: Option<&SigningKey>,
        file: &str,
        pointer: &str,
    ) {
        *self.tried.entry(what).or_default() += 1;
        let result = verified(changed, signer);
        let fits = |d: &crate::evidence::Difference| {
            // What was put into an empty list is named below the list.
            d.file == file && d.pointer.as_deref().unwrap_or_default().starts_with(pointer)
        };
        if result.holds() || !result.differences.iter().any(fits) {
            self.missed.push(format!("{what}: {file} {pointer}: {:?}", result.differences.first()));
        }
    }
}

/// Positions and bits in no order a format could know of.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((self.0 >> 33) % n as u64).unwrap()
    }
}

#[test]
fn every_change_of_a_bundle_is_caught_and_named() {
    let signer = key(1);
    let whole = bundle(Some(&signer));
    assert!(verified(&whole, Some(&signer)).holds());
    let mut campaign = Campaign::default();
    fields_of_the_record(&whole, &signer, &mut campaign);
    lines_of_texts(&whole, &signer, &mut campaign);
    fields_of_the_certificate(&whole, &signer, &mut campaign);
    the_envelope(&whole, &signer, &mut campaign);
    bytes_and_files(&whole, &signer, &mut campaign);
    keys(&whole, &mut campaign);
    let total: u32 = campaign.tried.values().sum();
    assert!(campaign.missed.is_empty(), "{} of {total} missed:\n{}", campaign.missed.len(), campaign.missed.join("\n"));
    assert!(total >= 2_000, "{total} mutations are too few: {:?}", campaign.tried);
    println!("{total} mutations, all caught and named: {:?}", campaign.tried);
}

fn fields_of_the_record(whole: &Bundle, signer: &SigningKey, campaign: &mut Campaign) {
    let signer = Some(signer);
    for (what, name) in [("record fields", RECORD), ("issue fields", ISSUE)] {
        let root = json(&whole.files[name]);
        for (index, pointer) in leaves(&root).iter().enumerate() {
            let changed = serde_json::to_vec(&edit(&root, pointer)).unwrap();
            campaign.try_out(what, &with(whole, name, changed), signer, name, "");
            if index % 3 == 0 {
                let changed = serde_json::to_vec(&cut(&root, pointer)).unwrap();
                campaign.try_out(what, &with(whole, name, changed), signer, name, "");
            }
        }
    }
    let events = lines(&whole.files[SAMPLES]);
    for (index, event) in events.iter().enumerate() {
        // Every field of every second line, and of the others one in seven, another one from line to line.
        let step = if index % 2 == 0 { 1 } else { 7 };
        let mut replaced = |line: Option<Value>| {
            let mut events = events.clone();
            match line {
                Some(line) => events[index] = line,
                None => drop(events.remove(index)),
            }
            campaign.try_out("sample fields", &with(whole, SAMPLES, of_lines(&events)), signer, SAMPLES, "");
        };
        leaves(event).iter().skip(index % step).step_by(step).for_each(|p| replaced(Some(edit(event, p))));
        replaced(None);
    }
}

fn lines_of_texts(whole: &Bundle, signer: &SigningKey, campaign: &mut Campaign) {
    for name in [POLICY, TABLE, UNCERTAINTY, SUITE] {
        let text = String::from_utf8(whole.files[name].clone()).unwrap();
        for (index, line) in text.lines().enumerate() {
            let digits: String = line
                .chars()
                .map(|c| c.to_digit(10).map_or(c, |d| char::from_digit((d + 1) % 10, 10).unwrap()))
                .collect();
            for changed in [digits, format!("{line} "), String::new()] {
                let replaced = |(i, l): (usize, &str)| if i == index { changed.clone() } else { l.to_owned() };
                let changed: Vec<String> = text.lines().enumerate().map(replaced).collect();
                let changed = (changed.join("\n") + "\n").into_bytes();
                if changed != text.as_bytes() {
                    campaign.try_out("lines of YAML", &with(whole, name, changed), Some(signer), name, "");
                }
            }
        }
    }
}

fn fields_of_the_certificate(whole: &Bundle, signer: &SigningKey, campaign: &mut Campaign) {
    let root = certificate(whole);
    let pointers = leaves(&root);
    // Each of them is recomputed in full, so only a few hundred: all but lists, and some of those.
    let in_list = |p: &&String| p.split('/').any(|step| step.parse::<u32>().is_ok());
    let some = pointers.iter().filter(in_list);
    let step = some.clone().count() / 150 + 1;
    for pointer in pointers.iter().filter(|p| !in_list(p)).chain(some.step_by(step)) {
        let changed = canonical::to_vec(&edit(&root, pointer)).unwrap();
        campaign.try_out("certificate fields", &with(whole, CERTIFICATE, changed), Some(signer), CERTIFICATE, pointer);
    }
}

fn the_envelope(whole: &Bundle, signer: &SigningKey, campaign: &mut Campaign) {
    let sealed = envelope(whole);
    let root = json(&whole.files[STATEMENT]);
    for pointer in leaves(&root) {
        for changed in [edit(&root, &pointer), cut(&root, &pointer)] {
            let changed = with(whole, STATEMENT, canonical::to_vec(&changed).unwrap());
            campaign.try_out("envelope fields", &changed, Some(signer), STATEMENT, "");
        }
    }
    let signature = Base64::decode_vec(&sealed.signatures[0].sig).unwrap();
    for index in 0..signature.len() {
        let mut changed = (signature.clone(), sealed.clone());
        changed.0[index] ^= 1 << (index % 8);
        changed.1.signatures[0].sig = Base64::encode_string(&changed.0);
        let changed = with(whole, STATEMENT, canonical::to_vec(&changed.1).unwrap());
        campaign.try_out("signature bytes", &changed, Some(signer), STATEMENT, "");
    }
    let payload = json(&sealed.body().unwrap());
    for pointer in leaves(&payload) {
        for changed in [edit(&payload, &pointer), cut(&payload, &pointer)] {
            let mut envelope = sealed.clone();
            envelope.payload = Base64::encode_string(&canonical::to_vec(&changed).unwrap());
            let changed = with(whole, STATEMENT, canonical::to_vec(&envelope).unwrap());
            campaign.try_out("payload fields, with the key", &changed, Some(signer), STATEMENT, "");
            // Without a key the payload is compared with what it must say; a subject's difference names its file.
            *campaign.tried.entry("payload fields, without a key").or_default() += 1;
            if verified(&changed, None).differences.is_empty() {
                campaign.missed.push(format!("payload {pointer} without a key"));
            }
        }
    }
}

fn bytes_and_files(whole: &Bundle, signer: &SigningKey, campaign: &mut Campaign) {
    let signer = Some(signer);
    let mut random = Random(20_261_122);
    let names: Vec<String> = whole.files.keys().cloned().collect();
    for name in &names {
        let bytes = &whole.files[name];
        for _ in 0..40 {
            let mut changed = bytes.clone();
            let at = random.below(changed.len());
            changed[at] ^= 1 << random.below(8);
            campaign.try_out("flipped bits", &with(whole, name, changed), signer, name, "");
        }
        for changed in [Vec::new(), bytes[..bytes.len() / 2].to_vec(), [bytes, &b"\n"[..]].concat()] {
            campaign.try_out("cut and lengthened files", &with(whole, name, changed), signer, name, "");
        }
        let mut without = whole.clone();
        without.files.remove(name);
        campaign.try_out("files removed", &without, signer, name, "");
    }
    for (a, b) in names.iter().zip(names.iter().skip(1)) {
        let mut swapped = with(whole, a, whole.files[b].clone());
        swapped.files.insert(b.clone(), whole.files[a].clone());
        let file = if b == STATEMENT { b } else { a };
        campaign.try_out("files swapped", &swapped, signer, file, "");
    }
    for name in ["notes.txt", "certificate.pdf", "record.json.bak"] {
        campaign.try_out("files added", &with(whole, name, b"x".to_vec()), signer, name, "");
    }
    assert!(INPUTS.iter().all(|name| names.iter().any(|n| n == name)));
}

fn keys(whole: &Bundle, campaign: &mut Campaign) {
    for seed in 2..34 {
        campaign.try_out("other keys", whole, Some(&key(seed)), STATEMENT, "");
    }
}
