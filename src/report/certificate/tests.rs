use super::*;
use crate::evidence::canonical;
use crate::record::fixture;
use crate::record::store::sha256_hex;
use crate::report::html::tests::{outline, tags};
use crate::units::MicroJoules;
use crate::verdict::Decision;
use std::collections::BTreeSet;

fn unsigned() -> Seal {
    Seal::default()
}

fn signed() -> Seal {
    Seal { key_id: Some("9f2c".repeat(16)) }
}

fn page(dossier: &Dossier, seal: &Seal) -> String {
    let model = CertificateModel::of(dossier, seal).unwrap();
    String::from_utf8(html(&model).unwrap()).unwrap()
}

/// Text of a page without tags, style sheet and white space.
fn words(html: &str) -> String {
    let body = &html[html.find("<body").unwrap()..];
    let mut out = String::new();
    let mut inside = false;
    for c in body.chars() {
        match c {
            '<' => inside = true,
            '>' => {
                inside = false;
                out.push(' ');
            }
            c if !inside => out.push(c),
            _ => {}
        }
    }
    out.split_whitespace().collect::<Vec<_>>().join(" ").replace("&#x27;", "'").replace("&#x2f;", "/")
}

#[test]
fn the_same_dossier_gives_the_same_documents_in_any_thread_and_the_seal_shows() {
    let dossier = specimen::of(specimen::few(), 0.5);
    let first = documents(&dossier, &unsigned()).unwrap();
    let second = std::thread::scope(|scope| scope.spawn(|| documents(&dossier, &unsigned()).unwrap()).join().unwrap());
    assert!(first == second);
    let other = documents(&dossier, &signed()).unwrap();
    assert!(first.iter().zip(&other).all(|(a, b)| a.0 == b.0 && a.1 != b.1));
    let names: Vec<&str> = first.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names[0], "certificate.html");
    assert_eq!(names.contains(&"certificate.pdf"), cfg!(feature = "pdf"));
}

#[test]
fn the_code_names_the_certificate_and_the_digest_of_its_very_bytes() {
    let dossier = specimen::of(specimen::few(), 0.5);
    let model = CertificateModel::of(&dossier, &signed()).unwrap();
    let digest = sha256_hex(&canonical::to_vec(&dossier.certificate).unwrap());
    assert_eq!(model.verify.digest, digest);
    assert_eq!(model.verify.code_text, format!("wattproof verify\n{}\nsha256:{digest}", dossier.certificate.id));
    assert!(page(&dossier, &signed()).contains(&model.verify.code_path));
}

#[test]
fn only_a_certified_document_shows_a_class_or_its_scale() {
    for (name, dossier) in specimen::all() {
        let html = page(&dossier, &unsigned());
        let all = tags(&html);
        let has = |class: &str| all.iter().any(|t| t.get("class").is_some_and(|c| c.split(' ').any(|c| c == class)));
        let certified = dossier.certificate.decision == Decision::Certified;
        let rated = dossier.certificate.rating.is_some();
        assert_eq!(has("letter"), certified && rated, "{name}");
        assert_eq!(html.contains("id=\"scale-title\""), certified && rated, "{name}");
        assert_eq!(has("refusal"), !certified, "{name}");
        let text = words(&html);
        match dossier.certificate.decision {
            Decision::Certified => assert!(!text.contains("NOT CERTIFIED"), "{name}"),
            Decision::Refused => assert!(text.contains("NOT CERTIFIED") && !text.contains(" Class "), "{name}"),
            Decision::Inconclusive => {
                assert!(text.contains("INCONCLUSIVE: NOT CERTIFIED") && !text.contains(" Class "), "{name}")
            }
        }
        assert!(text.contains("UNSIGNED"), "{name}");
        // The margins of every printed page.
        let margins = &html[html.rfind("@bottom-center").unwrap()..];
        assert!(margins.contains("UNSIGNED"), "{name}");
        assert_eq!(margins.contains("NOT\\000020CERTIFIED"), !certified, "{name}");
        assert_eq!(margins.contains("SIMULATED"), !dossier.record.header.simulated.is_empty(), "{name}");
    }
    // A refusal keeps its word whatever rating was computed beside it.
    assert!(specimen::of(specimen::refused(), 0.5).certificate.rating.is_some());
}

#[test]
fn every_broken_rule_of_a_refusal_stands_there_with_what_was_found_and_how_to_mend_it() {
    for (name, dossier) in specimen::all().into_iter().filter(|(n, _)| *n != "hostile") {
        let text = words(&page(&dossier, &unsigned()));
        for finding in &dossier.certificate.findings {
            assert!(text.contains(finding.code), "{name}: {}", finding.code);
            if finding.status < crate::verdict::Status::Pass {
                let plain = |s: &str| crate::report::model::plain::sentence(s);
                for part in [&finding.observed, &finding.limit, &finding.fix] {
                    assert!(text.contains(&plain(part)), "{name}: {}: {part}", finding.code);
                }
            }
        }
    }
}

#[test]
fn all_that_the_method_asks_of_a_certificate_is_there() {
    let dossier = specimen::of(fixture::certifiable(), 0.5);
    let text = words(&page(&dossier, &signed()));
    let method = &dossier.certificate.method;
    let mut wanted = vec![
        // identity
        dossier.certificate.id.as_str(),
        "Specimen",
        "Nowhere",
        "23 November 2026, 09:30 UTC",
        "23 November 2027",
        "relate only to the items tested",
        "No deviation",
        // method
        &method.policy.sha256,
        &method.suite.sha256,
        &method.table.sha256,
        &method.uncertainty.sha256,
        "wattproof 0.1.0",
        "3f9c1e7",
        // item
        "AMD EPYC Fixture 2-Core Processor",
        "6.12.48+deb13-amd64",
        "Power cap 120 W",
        "Highest clock 3.70 GHz",
        "Virtual machine none recognised",
        // measurement
        "Rated: added up",
        "inside, not added",
        "Seen by no meter of the boundary",
        "Grade C",
        "rapl",
        "Gain bound",
        "Khan et al.",
        "Coverage",
        "Longest gap",
        "Overhead of the sampler",
        // environment
        "Temperature at the start 41 °C",
        "Power at rest",
        "Load of other processes 0.200 %",
        "Throttling",
        // results
        "Work",
        "Net energy",
        "× ref.",
        "Of peak",
        "CV",
        "ν_eff",
        "Largest error",
        "cancelling pairs",
        // decision
        "taken on the lower end of the interval: A from 5.66",
        "evidence-grade",
        // evidence
        "samples.jsonl",
        "wattproof verify BUNDLE",
    ];
    wanted.extend(dossier.certificate.evidence.iter().map(|f| f.sha256.as_str()));
    let text = text.replace("3.7 GHz", "3.70 GHz");
    let missing: Vec<&&str> = wanted.iter().filter(|w| !text.contains(**w)).collect();
    assert!(missing.is_empty(), "missing: {missing:?}\n{text}");
}

#[test]
fn hostile_text_in_every_field_adds_no_element_and_no_attribute() {
    let plain = tags(&page(&specimen::of(fixture::with_rapl(), 0.5), &unsigned()));
    let mut record = fixture::with_rapl();
    record.header.simulated.push("\"'><svg onload=alert(1)>".into());
    let shape = |html: &str| -> BTreeSet<(String, Vec<String>)> {
        tags(html).into_iter().map(|t| (t.name, t.attributes.into_iter().map(|(k, _)| k).collect())).collect()
    };
    let names: BTreeSet<&str> = plain.iter().map(|t| t.name.as_str()).collect();
    let attributes: BTreeSet<&str> = plain.iter().flat_map(|t| t.attributes.iter().map(|(k, _)| k.as_str())).collect();
    for dossier in [specimen::hostile(), specimen::of(record, 0.5)] {
        let html = page(&dossier, &Seal { key_id: Some(fixture::HOSTILE.to_owned()) });
        for (name, keys) in shape(&html) {
            // Only the list of lost sensors and of findings may be longer: known elements all the same.
            assert!(
                names.contains(name.as_str()) || ["article", "h4", "b"].contains(&name.trim_start_matches('/')),
                "{name}"
            );
            assert!(keys.iter().all(|k| attributes.contains(k.as_str())), "{name} {keys:?}");
        }
        assert!(html.contains("&lt;script&gt;"), "the text is there, and inert");
    }
}

#[test]
fn the_page_loads_nothing_and_its_policy_names_its_only_style_sheet() {
    for (name, dossier) in specimen::all() {
        let html = page(&dossier, &unsigned());
        for tag in tags(&html) {
            assert!(
                !["script", "link", "img", "iframe", "object", "embed", "base", "form", "use"]
                    .contains(&tag.name.as_str()),
                "{name}: {tag:?}"
            );
            for (key, value) in &tag.attributes {
                assert!(
                    !["src", "srcset", "xlink:href", "action", "data", "style"].contains(&key.as_str()),
                    "{name}: {tag:?}"
                );
                assert!(key != "href" || value.starts_with('#'), "{name}: {tag:?}");
            }
        }
        let style = &html[html.find("<style>").unwrap() + 7..html.find("</style>").unwrap()];
        assert!(!style.contains("url(") && !style.contains("@import"));
        let policy =
            tags(&html).iter().find_map(|t| t.get("http-equiv").and(t.get("content")).map(str::to_owned)).unwrap();
        let policy = policy.replace("&#x27;", "'").replace("&#x2f;", "/");
        assert_eq!(
            policy,
            format!(
                "default-src 'none'; style-src '{}'; base-uri 'none'; form-action 'none'",
                crate::report::html::integrity(style)
            )
        );
    }
}

#[test]
fn ids_are_unique_and_tables_speak_to_screen_readers() {
    for (name, dossier) in specimen::all() {
        let all = tags(&page(&dossier, &unsigned()));
        let ids: Vec<&str> = all.iter().filter_map(|t| t.get("id")).collect();
        let unique: BTreeSet<&str> = ids.iter().copied().collect();
        assert_eq!(ids.len(), unique.len(), "{name}");
        for tag in &all {
            let links = tag.get("href").map(|h| &h[1..]).into_iter();
            for target in links.chain(tag.get("aria-labelledby").unwrap_or_default().split_whitespace()) {
                assert!(unique.contains(target), "{name}: {tag:?}");
            }
        }
        let count = |wanted: &str| all.iter().filter(|t| t.name == wanted).count();
        assert_eq!(count("caption"), count("table"), "{name}");
        assert!(all.iter().filter(|t| t.name == "th").all(|t| matches!(t.get("scope"), Some("col" | "row"))));
        assert!(all.iter().filter(|t| t.name == "svg").all(|t| t.get("role") == Some("img")));
        assert_eq!((count("main"), count("h1"), count("nav")), (1, 1, 1), "{name}");
    }
}

#[test]
fn outline_of_a_certificate() {
    insta::assert_snapshot!(outline(&page(&specimen::of(specimen::few(), 0.5), &signed())));
}

#[test]
fn outline_of_a_refusal() {
    insta::assert_snapshot!(outline(&page(&specimen::of(specimen::refused(), 0.5), &unsigned())));
}

#[test]
fn the_terminal_gets_no_control_character_and_all_reasons() {
    for (name, dossier) in specimen::all() {
        let model = CertificateModel::of(&dossier, &unsigned()).unwrap();
        let text = text(&model);
        let odd: Vec<char> =
            text.chars().filter(|c| (c.is_control() && *c != '\n') || ('\u{202a}'..='\u{202e}').contains(c)).collect();
        assert!(odd.is_empty(), "{name}: {odd:?}");
        assert!(text.starts_with(&format!("{} · {}\n", model.word, dossier.certificate.id)), "{text}");
        assert!(text.contains("UNSIGNED"), "{text}");
        assert_eq!(model.reasons.is_empty(), dossier.certificate.decision == Decision::Certified, "{name}");
        assert!(model.reasons.iter().all(|r| text.contains(&r.code)), "{name}");
        assert!(text.lines().all(|l| l.chars().count() < 400), "{name}");
    }
}

#[test]
fn the_badge_says_id_and_class_or_that_nothing_is_certified() {
    for (name, mut dossier) in specimen::all() {
        let svg = badge(&dossier);
        let all = tags(&svg);
        let names: BTreeSet<&str> = all.iter().map(|t| t.name.trim_start_matches('/')).collect();
        assert_eq!(names, ["svg", "title", "rect", "path", "g", "text"].into(), "{name}");
        assert!(svg.contains(&dossier.certificate.id), "{name}");
        let title = &svg[svg.find("<title>").unwrap()..svg.find("</title>").unwrap()];
        match (dossier.certificate.decision, &dossier.certificate.rating) {
            (Decision::Certified, Some(rating)) => {
                assert!(title.contains(&format!("class {}, index", rating.class.letter)), "{title}");
            }
            (Decision::Certified, None) => assert!(title.contains("no class"), "{title}"),
            _ => assert!(
                title.contains("NOT CERTIFIED") && svg.contains(">NOT CERTIFIED</text>") && !svg.contains("class "),
                "{svg}"
            ),
        }
        // A policy may call its classes by any character.
        for letter in ['<', '"', '&', '\u{0}', '\u{202e}'] {
            if let Some(rating) = &mut dossier.certificate.rating {
                rating.class.letter = letter;
            }
            assert_eq!(tags(&badge(&dossier)).len(), all.len(), "{letter:?}");
        }
    }
}

#[test]
fn the_spread_of_the_windows_is_the_sample_standard_deviation_over_the_mean() {
    let mut record = fixture::hand_made(&[1e-3, 1e-3, 1e-3]);
    record.header.sensors = fixture::with_rapl().header.sensors;
    for (sample, watts) in record.measurements[0].samples.iter_mut().zip([90.0, 100.0, 110.0]) {
        fixture::add_energy(sample, "package-0", watts);
    }
    // Joules 0.09, 0.10, 0.11 an iteration: deviation 0.01, mean 0.1.
    let dossier = specimen::of(record.clone(), 0.5);
    let model = CertificateModel::of(&dossier, &unsigned()).unwrap();
    assert_eq!(cell(&model, "budgets", "cv"), "10.0");
    assert_eq!(cell(&model, "budgets", "n"), "3");
    // A discarded window does not count, and an unreadable one is unknown.
    record.measurements[0].samples[2].flags.push(crate::record::Flag { code: "steal".into(), detail: "x".into() });
    record.measurements[0].samples[1].energy[0].energy = MicroJoules::new(90_000_000);
    let model = CertificateModel::of(&specimen::of(record, 0.5), &unsigned()).unwrap();
    assert_eq!(cell(&model, "budgets", "cv"), "0");
}

/// A cell of the first row of a table.
fn cell(model: &CertificateModel, table: &str, column: &str) -> String {
    let tables = model.sections.iter().flat_map(|s| &s.blocks).filter_map(|b| match b {
        model::Block::Table(t) => Some(t),
        _ => None,
    });
    let table = tables.into_iter().find(|t| t.id == table).unwrap();
    let place = table.columns.iter().position(|c| c.key == column).unwrap();
    table.rows[0].cells[place].text.clone()
}

#[test]
fn what_is_unknown_is_said_to_be_unknown() {
    let mut record = fixture::certifiable();
    record.sampler = None;
    let windows = record.measurements.iter_mut().flat_map(|m| &mut m.samples).map(|s| &mut s.state);
    for state in windows.chain(record.idle.iter_mut().map(|w| &mut w.state)) {
        state.throttle_events = None;
        state.frequency = None;
    }
    let dossier = specimen::of(record, 0.5);
    let text = words(&page(&dossier, &unsigned()));
    for fact in
        ["Longest gap unknown", "Overhead of the sampler unknown", "Throttling unknown", "Clock in the windows unknown"]
    {
        assert!(text.contains(fact), "{fact}\n{text}");
    }
    let denied = words(&page(&specimen::of(fixture::denied(), 0.5), &unsigned()));
    assert!(denied.contains("no energy was measured") && !denied.contains("0 J"), "{denied}");
}

#[cfg(feature = "pdf")]
#[test]
fn the_pdf_declares_its_standards_and_its_moment_and_tells_pictures_in_words() {
    for dossier in [specimen::of(specimen::few(), 0.5), specimen::hostile()] {
        let bytes = pdf(&CertificateModel::of(&dossier, &unsigned()).unwrap()).unwrap();
        let has = |text: &str| bytes.windows(text.len()).any(|w| w == text.as_bytes());
        for mark in [
            "<pdfaid:part>2</pdfaid:part>",
            "<pdfaid:conformance>A</pdfaid:conformance>",
            "<pdfuaid:part>1</pdfuaid:part>",
            "/StructTreeRoot",
            "2026-11-23T09:30:00",
        ] {
            assert!(has(mark), "{mark}");
        }
        assert!(!has(env!("CARGO_MANIFEST_DIR")), "no path of the machine that built it");
    }
}

#[cfg(feature = "pdf")]
#[test]
fn the_source_of_a_refusal_has_the_hatched_ground_and_no_scale() {
    let source = |dossier: &Dossier| {
        let model = CertificateModel::of(dossier, &unsigned()).unwrap();
        super::pdf::prepare(&model).unwrap()
    };
    let (refused, files) = source(&specimen::of(specimen::refused(), 0.5));
    assert!(refused.contains("tiling(") && refused.contains("rotate("));
    assert!(!files.iter().any(|(name, _)| name.starts_with("scale")));
    let (certified, files) = source(&specimen::of(specimen::few(), 0.5));
    assert!(!certified.contains("tiling("));
    assert!(files.iter().any(|(name, _)| name.starts_with("scale")));
}
