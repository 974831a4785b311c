use super::*;
use crate::compare::{By, Comparison, Entrant, Options, compare};
use crate::gate::Skipped;
use crate::policy::Policy;
use crate::record::{RunRecord, fixture};
use crate::report::html::tests::{outline, outside_charts, tags};
use std::collections::BTreeSet;

fn comparison(records: &[RunRecord], options: &Options) -> Comparison {
    let policy = Policy::shipped();
    let entrants: Vec<Entrant> = records.iter().map(|r| Entrant::of(r, &policy)).collect();
    let skipped = vec![Skipped { record: "reports/broken".into(), reason: "not a valid record".into() }];
    compare(&entrants, skipped, options, &policy).unwrap_or_else(|e| panic!("{e}"))
}

/// `count` rivals of one suite.
fn rivals(count: u32) -> Vec<RunRecord> {
    let template = fixture::with_rapl();
    (0..count).map(|n| fixture::rival(&template, n)).collect()
}

fn rendered(c: &Comparison, id: &str) -> String {
    String::from_utf8((find(id).unwrap().render)(&CompareModel::of(c)).unwrap()).unwrap()
}

/// Two rivals with `text` wherever text comes from outside; the last case of both has it as its name.
fn poisoned(text: &str) -> Comparison {
    let mut records = vec![fixture::hostile(), fixture::hostile()];
    let [a, b] = &mut records[..] else { unreachable!() };
    a.header.id = format!("{text} a");
    b.header.id = format!("{text} b");
    b.header.environment.host.machine_hash = Some(text.to_owned());
    b.header.environment.state.governor = Some(format!("{text} governor"));
    b.header.suite.digest = text.to_owned();
    comparison(&records, &Options::default())
}

#[test]
fn the_same_comparison_gives_the_same_bytes_and_says_the_same_everywhere() {
    let c = comparison(&rivals(5), &Options::default());
    for format in FORMATS {
        let render = || (format.render)(&CompareModel::of(&c)).unwrap();
        assert_eq!(render(), render(), "{}", format.id);
    }
    for id in ["html", "markdown"] {
        let text = rendered(&c, id);
        let place = |what: &str| text.find(what).unwrap_or_else(|| panic!("{id} has no {what:?}"));
        // Caveats stand before the first figure.
        assert!(place("simulated records show how a comparison works") < place("× reference"), "{id}");
    }
}

#[test]
fn json_has_every_figure_and_keeps_its_keys() {
    let c = comparison(&rivals(3), &Options::default());
    let value: serde_json::Value = serde_json::from_str(&rendered(&c, "json")).unwrap();
    assert_eq!(value["schema"], 1);
    assert_eq!(value["cases"].as_array().unwrap().len(), 8);
    let keys = |v: &serde_json::Value| v.as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" ");
    insta::assert_snapshot!(
        "json_keys",
        format!(
            "{}\ncase: {}\nrow: {}\nmean: {}\nmean row: {}\narm: {}\nroof: {}\nratio: {}",
            keys(&value),
            keys(&value["cases"][0]),
            keys(&value["cases"][0]["rows"][0]),
            keys(&value["means"][0]),
            keys(&value["means"][0]["rows"][0]),
            keys(&value["arms"][0]),
            keys(&value["roofs"][0]),
            keys(&value["cases"][0]["rows"][0]["energy_ratio"]),
        )
    );
    assert_eq!(value["cases"][0]["rows"][1]["energy_ratio"]["ratio"], c.cases[0].rows[1].energy_ratio.unwrap().ratio);
}

#[test]
fn hostile_names_add_no_element_no_attribute_and_no_markup() {
    let plain = tags(&rendered(&poisoned("plain"), "html"));
    let shape = |tags: &[crate::report::html::tests::Tag]| -> Vec<(String, Vec<String>)> {
        outside_charts(tags).into_iter().map(|t| (t.name, t.attributes.into_iter().map(|(k, _)| k).collect())).collect()
    };
    for evil in [fixture::HOSTILE, "\" onload=\"x", "</script></style></svg>"] {
        let c = poisoned(evil);
        let attacked = tags(&rendered(&c, "html"));
        assert_eq!(shape(&attacked), shape(&plain), "{evil}");
        for tag in &attacked {
            assert!(tag.attributes.iter().all(|(k, _)| !k.starts_with("on")), "{tag:?}");
            assert!(!["img", "link", "iframe", "base", "form"].contains(&tag.name.as_str()), "{tag:?}");
        }
        let markdown = rendered(&c, "markdown");
        let bare = markdown.replace("\\<", "").replace("\\]", "");
        assert!(!bare.contains('<') && !bare.contains("]("), "{evil}");
        #[cfg(feature = "pdf")]
        assert!((find("pdf").unwrap().render)(&CompareModel::of(&c)).unwrap().starts_with(b"%PDF"));
        let text = text(&CompareModel::of(&c));
        assert!(text.rows.iter().flat_map(|r| &r.cells).all(|c| !c.chars().any(char::is_control)), "{evil}");
    }
}

#[test]
fn ids_are_unique_links_find_their_own_and_the_policy_names_the_blocks() {
    let html = rendered(&comparison(&rivals(7), &Options::default()), "html");
    let all = tags(&html);
    let ids: Vec<&str> = all.iter().filter_map(|t| t.get("id")).collect();
    let unique: BTreeSet<&str> = ids.iter().copied().collect();
    assert_eq!(ids.len(), unique.len());
    for tag in &all {
        let links = tag.get("href").map(|h| &h[1..]).into_iter();
        for target in links.chain(tag.get("aria-labelledby").unwrap_or_default().split_whitespace()) {
            assert!(unique.contains(target), "{tag:?}");
        }
    }
    let count = |name: &str| all.iter().filter(|t| t.name == name).count();
    assert_eq!(count("caption"), count("table"));
    assert_eq!((count("h1"), count("main"), count("script")), (1, 1, 1));
    let policy = all.iter().find(|t| t.get("http-equiv").is_some()).and_then(|t| t.get("content")).unwrap();
    for tag in ["style", "script"] {
        let start = html.find(&format!("<{tag}>")).unwrap() + tag.len() + 2;
        let block = &html[start..start + html[start..].find(&format!("</{tag}>")).unwrap()];
        let hash = crate::report::html::integrity(block);
        let escaped = hash.replace('/', "&#x2f;");
        assert!(policy.contains(&hash) || policy.contains(&escaped), "{tag}: {policy}");
    }
    insta::assert_snapshot!("outline", outline(&html));
}

#[test]
fn many_arms_stay_readable_and_say_what_is_not_shown() {
    let mut record = fixture::with_rapl();
    record.measurements.truncate(8);
    record.header.plan.cases.truncate(8);
    let records: Vec<RunRecord> = (0..60).map(|n| fixture::rival(&record, n)).collect();
    let c = comparison(&records, &Options { reference: Some(records[59].header.id.clone()), ..Options::default() });
    let model = CompareModel::of(&c);
    assert_eq!((model.ranking.rows.len(), model.cases.len()), (60, 2));
    assert_eq!((model.means.rows.len(), model.roofline.arms.len(), model.cases[0].front.points.len()), (40, 12, 12));
    assert!(model.roofline.description.contains("best 12 of 60 arms are drawn"), "{}", model.roofline.description);
    assert!(model.means.rows.iter().any(|r| r.reference), "the reference is always drawn");
    let table = &model.cases[0].table;
    assert_eq!(table.rows.len(), 40);
    assert_eq!(model.cases[0].more, 20);
    assert!(rendered(&c, "html").contains("20 more arms stand in compare.json."));
    let short = tables::cut(table, 10, 20, "compare.json");
    assert!(short.rows.len() == 10 && short.rows.iter().any(|r| r.cells[0].interval.is_some()), "the reference stays");
    assert_eq!(short.notes.last().map(String::as_str), Some("50 more rows stand in compare.json."));
    for table in [&model.ranking, &model.environment, &model.sparse, &model.left_out, &model.records, table] {
        assert!(table.rows.iter().all(|r| r.cells.len() == table.columns.len()), "{}", table.id);
    }
    assert!(model.environment.columns.len() == 3, "by value, not side by side");
    let markdown = rendered(&c, "markdown");
    assert!(markdown.len() < 65_536 && markdown.contains("10 more rows stand in compare.html"), "{}", markdown.len());
}

#[test]
fn without_energy_no_column_pretends_to_have_any() {
    let template = fixture::cpu_only();
    let records: Vec<RunRecord> = (0..2).map(|n| fixture::rival(&template, n)).collect();
    let c = comparison(&records, &Options::default());
    let model = CompareModel::of(&c);
    let keys: Vec<&str> = model.ranking.columns.iter().map(|c| c.key).collect();
    assert!(!keys.contains(&"efficiency") && !keys.contains(&"energy"), "{keys:?}");
    assert!(model.ranking.notes.iter().any(|n| n.starts_with("Energy was not compared.")), "{:?}", model.ranking.notes);
    assert!(model.cases.iter().all(|k| k.front.points.is_empty()));
    let html = rendered(&c, "html");
    assert!(html.contains("ranked by time alone") && !html.contains("FLOP/J"));
}

#[test]
fn element_types_have_labels_without_the_type() {
    let c = comparison(&[fixture::fifty_cases()], &Options { by: By::Dtype, ..Options::default() });
    let model = CompareModel::of(&c);
    assert_eq!(model.title, "Comparison of 2 element types");
    assert!(model.cases.iter().all(|k| !k.title.contains("f32")), "{}", model.cases[0].title);
}
