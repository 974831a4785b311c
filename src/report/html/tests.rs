use super::*;
use crate::record::fixture;
use crate::report::plots::specimen::specimen;
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// A tag of a document: name, `/` in front of it for a closing one, and attributes.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::report) struct Tag {
    pub(in crate::report) name: String,
    pub(in crate::report) attributes: Vec<(String, String)>,
}

impl Tag {
    pub(in crate::report) fn get(&self, attribute: &str) -> Option<&str> {
        self.attributes.iter().find(|(k, _)| k == attribute).map(|(_, v)| v.as_str())
    }
}

/// Tags in the order in which a browser finds them: quotes end attributes, and the contents of
/// `script`, `style` and `title` are text up to their own closing tag.
pub(in crate::report) fn tags(html: &str) -> Vec<Tag> {
    let mut tags = Vec::new();
    let mut rest = html;
    while let Some(start) = rest.find('<') {
        rest = &rest[start + 1..];
        let starts_tag = rest.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/' || c == '!');
        assert!(starts_tag, "a bare < before {:?}", &rest[..rest.len().min(30)]);
        let name: String = rest.chars().take_while(|c| !c.is_whitespace() && *c != '>').collect();
        rest = &rest[name.len()..];
        let mut attributes = Vec::new();
        loop {
            rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == '/');
            if let Some(after) = rest.strip_prefix('>') {
                rest = after;
                break;
            }
            let key: String = rest.chars().take_while(|c| !c.is_whitespace() && !"=>".contains(*c)).collect();
            assert!(!key.is_empty(), "no attribute at {:?}", &rest[..rest.len().min(30)]);
            rest = &rest[key.len()..];
            let value = match rest.strip_prefix("=\"") {
                Some(value) => {
                    let end = value.find('"').expect("attributes end");
                    rest = &value[end + 1..];
                    value[..end].to_owned()
                }
                None => String::new(),
            };
            attributes.push((key, value));
        }
        if ["script", "style", "title"].contains(&name.as_str()) {
            rest = &rest[rest.find(&format!("</{name}")).expect("raw text ends")..];
        }
        tags.push(Tag { name, attributes });
    }
    tags
}

/// `tags` without what is inside charts, whose labels move with their texts.
pub(in crate::report) fn outside_charts(tags: &[Tag]) -> Vec<Tag> {
    let mut inside = false;
    tags.iter()
        .filter(|tag| {
            let was = inside;
            inside = if was { tag.name != "/svg" } else { tag.name == "svg" };
            !was
        })
        .cloned()
        .collect()
}

/// The elements of a page, indented, charts and cells left out.
pub(in crate::report) fn outline(html: &str) -> String {
    let mut outline = String::new();
    let mut depth = 0;
    for tag in outside_charts(&tags(html)) {
        if tag.name.starts_with('/') {
            depth -= 1;
            continue;
        }
        let mark = |sign: &str, key: &str| tag.get(key).map(|v| format!("{sign}{v}")).unwrap_or_default();
        if !["th", "td", "tr", "dt", "dd", "div", "small", "span", "meta"].contains(&tag.name.as_str()) {
            let line = format!("{}{}{}", tag.name, mark("#", "id"), mark(".", "class"));
            writeln!(outline, "{:indent$}{line}", "", indent = depth * 2).unwrap();
        }
        depth += usize::from(!["meta", "!doctype", "svg"].contains(&tag.name.as_str()));
    }
    outline
}

fn html(model: &ReportModel) -> String {
    String::from_utf8(render(model).unwrap()).unwrap()
}

#[test]
fn hostile_text_in_every_field_adds_no_element_and_no_attribute() {
    let plain = tags(&html(&specimen(12, &|s| s.to_owned())));
    for evil in [fixture::HOSTILE.to_owned(), "\" onload=\"x".to_owned(), "</script></style></svg>".repeat(400)] {
        let attacked = tags(&html(&specimen(12, &|s| format!("{s}{evil}"))));
        let shape = |tags: &[Tag]| -> Vec<(String, Vec<String>)> {
            outside_charts(tags)
                .into_iter()
                .map(|t| (t.name, t.attributes.into_iter().map(|(k, _)| k).collect()))
                .collect()
        };
        assert_eq!(shape(&attacked), shape(&plain));
        let known: BTreeSet<&str> = plain.iter().map(|t| t.name.as_str()).collect();
        for tag in &attacked {
            assert!(known.contains(tag.name.as_str()), "{tag:?}");
            assert!(tag.attributes.iter().all(|(k, _)| !k.starts_with("on")), "{tag:?}");
        }
    }
}

#[test]
fn nothing_is_loaded_from_anywhere() {
    for record in [fixture::cpu_only(), fixture::with_gpu(), fixture::hostile()] {
        let html = html(&ReportModel::of(&record));
        for tag in tags(&html) {
            assert!(!["link", "img", "iframe", "object", "embed", "base", "form", "use"].contains(&tag.name.as_str()));
            for (key, value) in &tag.attributes {
                assert!(!["src", "srcset", "xlink:href", "action", "data", "style"].contains(&key.as_str()), "{tag:?}");
                assert!(key != "href" || value.starts_with('#'), "{tag:?}");
            }
        }
        let style = &html[html.find("<style>").unwrap()..html.find("</style>").unwrap()];
        assert!(!style.contains("url(") && !style.contains("@import"));
    }
    assert!(!html(&ReportModel::of(&fixture::with_rapl())).contains("http:"));
    assert!(!html(&ReportModel::of(&fixture::with_rapl())).contains("https:"));
}

#[test]
fn the_policy_names_the_very_blocks_of_the_page() {
    assert_eq!([b"".as_slice(), b"f", b"fo", b"foo", b"foobar"].map(base64), ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYmFy"]);
    let html = html(&specimen(2, &|s| s.to_owned()));
    let block = |tag: &str| {
        let start = html.find(&format!("<{tag}>")).unwrap() + tag.len() + 2;
        html[start..start + html[start..].find(&format!("</{tag}>")).unwrap()].to_owned()
    };
    let all = tags(&html);
    let policy = all.iter().find(|t| t.get("http-equiv").is_some()).and_then(|t| t.get("content")).unwrap();
    let policy = policy.replace("&#x27;", "'").replace("&#x2f;", "/").replace("&#x2F;", "/");
    assert!(policy.starts_with("default-src 'none';") && !policy.contains("unsafe"), "{policy}");
    assert!(policy.contains(&format!("style-src '{}'", integrity(&block("style")))), "{policy}");
    assert!(policy.contains(&format!("script-src '{}'", integrity(&block("script")))), "{policy}");
}

#[test]
fn ids_are_unique_and_every_reference_finds_its_own() {
    for record in [fixture::with_gpu(), fixture::fifty_cases(), fixture::wrong_answer()] {
        let tags = tags(&html(&ReportModel::of(&record)));
        let ids: Vec<&str> = tags.iter().filter_map(|t| t.get("id")).collect();
        let unique: BTreeSet<&str> = ids.iter().copied().collect();
        assert_eq!(ids.len(), unique.len());
        for tag in &tags {
            let links = tag.get("href").map(|h| &h[1..]).into_iter();
            for target in links.chain(tag.get("aria-labelledby").unwrap_or_default().split_whitespace()) {
                assert!(unique.contains(target), "{tag:?}");
            }
        }
    }
}

#[test]
fn tables_and_charts_speak_to_screen_readers() {
    let html = html(&ReportModel::of(&fixture::with_rapl()));
    let tags = tags(&html);
    let count = |name: &str| tags.iter().filter(|t| t.name == name).count();
    assert_eq!(count("caption"), count("table"));
    assert!(tags.iter().filter(|t| t.name == "th").all(|t| matches!(t.get("scope"), Some("col" | "row"))));
    assert_eq!((count("svg"), count("desc")), (3, 3));
    assert!(tags.iter().filter(|t| t.name == "svg").all(|t| t.get("role") == Some("img")));
    assert_eq!((count("main"), count("header"), count("nav"), count("footer"), count("h1")), (1, 1, 1, 1, 1));
    assert_eq!(tags.iter().find(|t| t.name == "html").and_then(|t| t.get("lang")), Some("en"));
}

#[test]
fn without_data_a_sentence_stands_where_the_chart_would() {
    let html = html(&specimen(0, &|s| s.to_owned()));
    assert!(html.contains("No case has a figure.") && html.contains("No case has both."));
    assert!(html.contains("No case was measured."));
    assert_eq!(tags(&html).iter().filter(|t| t.name == "svg").count(), 1, "the trace alone has data");
}

#[test]
fn outline_of_the_page() {
    let html = html(&ReportModel::of(&fixture::cpu_only()));
    insta::assert_snapshot!(outline(&html));
}
