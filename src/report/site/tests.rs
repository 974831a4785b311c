use super::*;
use crate::analysis::summarise;
use crate::record::{RunRecord, fixture};
use crate::report::html::tests::{Tag, tags};
use std::collections::BTreeSet;

fn entry(record: &RunRecord) -> Entry {
    let (header, _) = fixture::on_disk(record);
    let key = Key::of(&header, &record.samples_digest);
    Entry::of(&key, record, &summarise(record), Vec::new(), false).unwrap()
}

fn shape(html: &str) -> Vec<(String, Vec<String>)> {
    let attributes = |t: &Tag| t.attributes.iter().map(|(k, _)| k.clone()).collect();
    tags(html).iter().map(|t| (t.name.clone(), attributes(t))).collect()
}

#[test]
fn hostile_text_in_every_field_adds_no_element_and_no_attribute() {
    let (plain, evil) = (entry(&fixture::with_rapl()), entry(&fixture::hostile()));
    let pages = |e: &Entry| (index("Results", &[&e.row], 0).unwrap(), record_page(e).unwrap());
    let ((plain_index, plain_page), (evil_index, evil_page)) = (pages(&plain), pages(&evil));
    let names = |html: &str| shape(html).into_iter().collect::<BTreeSet<_>>();
    // Caveats of single cases have elements of their own.
    let known = &names(&plain_page) | &names(&record_page(&entry(&fixture::wrong_answer())).unwrap());
    let foreign: Vec<_> = names(&evil_page).difference(&known).cloned().collect();
    assert!(foreign.is_empty(), "{foreign:?}");
    assert!(names(&evil_index.html).is_subset(&names(&plain_index.html)));
    for text in [&evil_index.data, &evil.figures] {
        assert!(!text.contains(['<', '>', '\u{2028}', '\u{2029}']));
        assert_eq!(text.lines().count(), 1);
    }
    let evil_title = index(fixture::HOSTILE, &[&plain.row], 3).unwrap();
    assert!(names(&evil_title.html).is_subset(&names(&plain_index.html)));
    let list = [LeftOut::new(fixture::HOSTILE, fixture::HOSTILE)];
    let known = shape(&left_out("Results", &[LeftOut::new("a", "b")]).unwrap());
    assert_eq!(shape(&left_out(fixture::HOSTILE, &list).unwrap()), known);
}

#[test]
fn pages_load_nothing_but_files_of_the_site() {
    let entry = entry(&fixture::with_rapl());
    let index = index("Results", &[&entry.row], 1).unwrap().html;
    for html in [index, record_page(&entry).unwrap(), left_out("Results", &[]).unwrap()] {
        for tag in tags(&html) {
            for (key, value) in &tag.attributes {
                let allowed = match key.as_str() {
                    "src" => {
                        ["theme.js", "data.js", "compare.js", "site.js"].contains(&value.trim_start_matches("../"))
                    }
                    "href" => !value.contains(':') && !value.starts_with('/'),
                    key => !key.starts_with("on") && !["style", "srcset", "action"].contains(&key),
                };
                assert!(allowed, "{tag:?}");
            }
            assert!(!["style", "iframe", "img", "object", "base"].contains(&tag.name.as_str()), "{tag:?}");
        }
        assert!(html.contains("default-src &#x27;none&#x27;"), "every page has a policy");
    }
    for (name, text) in assets() {
        assert!(!text.contains("http:") && !text.contains("https:") && !text.contains("url("), "{name}");
        assert!(!text.contains("innerHTML") && !text.contains("eval(") && !text.contains("document.write"), "{name}");
    }
}

#[test]
fn scripts_stay_small() {
    let bytes: usize = assets().iter().filter(|(name, _)| name.ends_with(".js")).map(|(_, text)| text.len()).sum();
    assert!(bytes < 16 * 1024, "{bytes} bytes of JavaScript");
}

#[test]
fn rows_say_what_is_known_and_what_is_not() {
    let row = |record: &RunRecord| entry(record).row;
    let (rapl, none, wrong) = (row(&fixture::with_rapl()), row(&fixture::cpu_only()), row(&fixture::wrong_answer()));
    assert_eq!((rapl.energy, none.energy, wrong.energy), ("measured", "not measured", "partly measured"));
    assert_eq!((rapl.grade.as_str(), none.grade.as_str()), ("C", ""));
    assert!(rapl.efficiency.is_some() && none.efficiency.is_none() && none.rate.is_some());
    assert_eq!((rapl.class.as_str(), rapl.index), ("no certificate", None));
    assert_eq!(rapl.machines, [Machine { vendor: "AMD".into(), device: "AMD EPYC Fixture 2-Core Processor".into() }]);
    assert_eq!(rapl.marks, [Mark::new(crate::report::model::Tone::Bad, "simulated")]);
    let texts: Vec<&str> = wrong.marks.iter().map(|m| m.text.as_str()).collect();
    assert_eq!(texts, ["simulated", "2 wrong", "1 failed"]);
    assert!(row(&fixture::partial()).marks.iter().any(|m| m.text == "incomplete"));
    assert!(rapl.kernels.contains(&"gemm".to_owned()) && !rapl.kernels.contains(&"fma-peak".to_owned()));
}

#[test]
fn the_table_holds_every_row_without_a_script() {
    let entries = [entry(&fixture::with_rapl()), entry(&fixture::cpu_only())];
    let rows: Vec<&Row> = entries.iter().map(|e| &e.row).collect();
    let Index { html, data } = index("Results", &rows, 0).unwrap();
    let links = tags(&html).into_iter().filter(|t| t.name == "a");
    let links: Vec<String> = links.filter_map(|t| t.get("href").map(str::to_owned)).collect();
    for row in rows {
        assert!(links.contains(&format!("r/{}/index.html", row.slug)), "{links:?}");
    }
    let json = data.strip_prefix("const WATTPROOF = ").unwrap().strip_suffix(";\n").unwrap();
    let data: serde_json::Value = serde_json::from_str(json).unwrap();
    assert_eq!(data["slugs"].as_array().unwrap().len(), 2);
    let vendors = data["facets"].as_array().unwrap().iter().find(|f| f["key"] == "vendor").unwrap();
    assert_eq!((&vendors["values"][0], &vendors["counts"][0]), (&"AMD".into(), &2.into()));
}

#[test]
fn figures_hold_what_the_report_says() {
    let record = fixture::with_rapl();
    let script = entry(&record).figures;
    let json = script.strip_prefix("wattproofFigures(").unwrap().strip_suffix(");\n").unwrap();
    let sheet: serde_json::Value = serde_json::from_str(json).unwrap();
    let summary = summarise(&record);
    let case = &sheet["cases"][0];
    let found = summary.cases.iter().find(|c| c.id == case["id"].as_str().unwrap()).unwrap();
    assert_eq!(case["time"]["value"].as_f64(), found.time.estimate().map(|e| e.median));
    assert_eq!(case["time"]["dof"].as_u64(), Some(4));
    let u = found.energy.budget("energy_j").unwrap().expanded().unwrap().expanded_uncertainty;
    let joules = found.energy.per_iteration.estimate().unwrap().median;
    assert_eq!(case["energy"]["high"].as_f64(), Some(joules * (1.0 + u)));
    let none = entry(&fixture::cpu_only()).figures;
    assert!(none.contains("\"energy\":{\"why\":"), "what is not measured says why");
}

#[test]
fn the_same_records_give_the_same_bytes() {
    let (a, b) = (entry(&fixture::with_rapl()), entry(&fixture::with_rapl()));
    assert_eq!(a, b);
    assert_eq!(index("Results", &[&a.row], 0).unwrap(), index("Results", &[&b.row], 0).unwrap());
    assert_eq!(record_page(&a).unwrap(), record_page(&b).unwrap());
}
