//! `site`: what becomes a page, what is left out with its reason, what is never overwritten.

use crate::support::Sandbox;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use wattproof::record::{RunRecord, fixture};

fn put(sandbox: &Sandbox, name: &str, record: &RunRecord) -> PathBuf {
    let (header, samples) = fixture::on_disk(record);
    sandbox.write(&format!("{name}/samples.jsonl"), samples);
    sandbox.write(&format!("{name}/record.json"), header).parent().unwrap().to_owned()
}

fn named(record: RunRecord, id: &str) -> RunRecord {
    let mut record = record;
    record.header.id = id.to_owned();
    record
}

/// Every file below `dir`, by its path below it.
fn tree(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut left = vec![dir.to_owned()];
    while let Some(folder) = left.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                left.push(path);
            } else {
                let name = path.strip_prefix(dir).unwrap().to_string_lossy().into_owned();
                files.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    files
}

fn text(site: &Path, name: &str) -> String {
    fs::read_to_string(site.join(name)).unwrap()
}

/// The only folder of a record in a site.
fn only_record(site: &Path) -> PathBuf {
    let mut folders = fs::read_dir(site.join("r")).unwrap();
    let first = folders.next().unwrap().unwrap().path();
    assert!(folders.next().is_none());
    first
}

#[test]
fn the_same_records_give_the_same_bytes_and_replace_their_site() {
    let sandbox = Sandbox::new();
    put(&sandbox, "records/a", &named(fixture::with_rapl(), "a"));
    put(&sandbox, "records/deep/er/b", &named(fixture::cpu_only(), "b"));
    let said = sandbox.run(&["site", "records", "-o", "out"]).expect(0);
    assert!(said.stdout.contains("2 records") && said.stderr.is_empty(), "{}{}", said.stdout, said.stderr);
    let first = tree(&sandbox.path("out"));
    assert!(first.contains_key("index.html") && first.len() == 8 + 2 * 2, "{:?}", first.keys());
    sandbox.run(&["site", "records", "-o", "out"]).expect(0);
    assert_eq!(tree(&sandbox.path("out")), first);
    fs::rename(sandbox.path("records"), sandbox.path("elsewhere")).unwrap();
    sandbox.run(&["site", "elsewhere", "-o", "out2"]).expect(0);
    assert_eq!(tree(&sandbox.path("out2")), first, "a site does not tell where it was made");
    let left: Vec<_> = fs::read_dir(sandbox.path(".")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left.len(), 3, "no draft stays: {left:?}");
}

#[test]
fn what_cannot_be_read_is_said_twice_and_the_rest_is_shown() {
    let sandbox = Sandbox::new();
    let (header, samples) = fixture::on_disk(&fixture::with_rapl());
    let header = String::from_utf8(header).unwrap();
    put(&sandbox, "records/good", &fixture::with_rapl());
    for (name, header) in [
        ("newer", header.replacen("\"schema\": 1", "\"schema\": 99", 1)),
        ("torn", header[..header.len() / 3].to_owned()),
        ("foreign", "{\"hello\": \"</td><script>alert(1)</script>\"}".to_owned()),
        ("empty", String::new()),
        ("again", header.clone()),
    ] {
        sandbox.write(&format!("records/{name}/record.json"), header);
        sandbox.write(&format!("records/{name}/samples.jsonl"), &samples);
    }
    sandbox.write("records/changed/record.json", &header);
    sandbox.write("records/changed/samples.jsonl", [samples.as_slice(), b"\n"].concat());
    sandbox.write("records/alone/record.json", &header);
    sandbox.write("records/bad.tar.zst", "no archive");
    std::os::unix::fs::symlink("good", sandbox.path("records/link")).unwrap();
    let said = sandbox.run(&["site", "records", "-o", "out"]).expect(0);
    let page = text(&sandbox.path("out"), "left-out.html");
    for (path, why) in [
        ("newer", "schema 99"),
        ("torn", "not a valid record"),
        ("foreign", "missing field"),
        ("empty", "EOF"),
        ("changed", "changed after the run"),
        ("alone", "cannot read"),
        ("bad.tar.zst", "bad.tar.zst"),
        ("link", "links are not followed"),
        ("good", "the same record as again"),
    ] {
        let line = said.stderr.lines().find(|l| l.contains(&format!("left out: {path}:")));
        assert!(line.is_some_and(|l| l.contains(why)), "{path}: {}", said.stderr);
        assert!(page.contains(&format!(">{path}<")), "{path} is on the page");
    }
    assert!(!page.contains("<script>alert"));
    assert!(!page.contains(sandbox.path("").to_str().unwrap()), "no path of the machine");
    assert!(said.stdout.contains("1 record, 9 left out"), "{}", said.stdout);
    assert!(text(&sandbox.path("out"), "index.html").contains("9 entries were left out"));
}

#[test]
fn one_id_of_two_records_is_marked_and_both_are_shown() {
    let sandbox = Sandbox::new();
    put(&sandbox, "records/a", &named(fixture::with_rapl(), "one"));
    put(&sandbox, "records/b", &named(fixture::cpu_only(), "one"));
    let said = sandbox.run(&["site", "records", "-o", "out"]).expect(0);
    assert!(said.stderr.contains("left out: a: 2 different records have the id one"), "{}", said.stderr);
    assert_eq!(fs::read_dir(sandbox.path("out/r")).unwrap().count(), 2);
    assert_eq!(text(&sandbox.path("out"), "index.html").matches("id twice").count(), 2);
}

#[test]
fn without_a_record_nothing_is_written() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("empty")).unwrap();
    let said = sandbox.run(&["site", "empty", "-o", "out"]).expect(2).stderr;
    assert!(said.contains("empty holds no record"), "{said}");
    sandbox.write("broken/a/record.json", "{");
    sandbox.write("broken/a/samples.jsonl", "");
    let said = sandbox.run(&["site", "broken", "-o", "out"]).expect(2).stderr;
    assert!(said.contains("no record that can be read") && said.contains("a: a/record.json:1:1"), "{said}");
    let said = sandbox.run(&["site", "nowhere", "-o", "out"]).expect(2).stderr;
    assert!(said.contains("cannot read nowhere"), "{said}");
    let left: Vec<_> = fs::read_dir(sandbox.path(".")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

#[test]
fn a_folder_that_is_no_site_is_left_alone() {
    let sandbox = Sandbox::new();
    put(&sandbox, "records/a", &fixture::with_rapl());
    sandbox.write("mine/thesis.txt", "years of work");
    let said = sandbox.run(&["site", "records", "-o", "mine"]).expect(2).stderr;
    assert!(said.contains("no site that wattproof made"), "{said}");
    assert_eq!(text(&sandbox.path("mine"), "thesis.txt"), "years of work");
    let said = sandbox.run(&["site", "records", "-o", "records"]).expect(2).stderr;
    assert!(said.contains("choose another --out"), "{said}");
    sandbox.run(&["site", "records", "-o", "out"]).expect(0);
    sandbox.write("out/CNAME", "example.org");
    let said = sandbox.run(&["site", "records", "-o", "out"]).expect(2).stderr;
    assert!(said.contains("CNAME"), "{said}");
    assert_eq!(text(&sandbox.path("out"), "CNAME"), "example.org");
}

#[test]
fn a_site_inside_its_records_is_not_a_record() {
    let sandbox = Sandbox::new();
    put(&sandbox, "records/a", &fixture::certifiable());
    sandbox.run(&["certify", "records/a"]).expect(0);
    sandbox.run(&["site", "records", "-o", "records/site"]).expect(0);
    let first = tree(&sandbox.path("records/site"));
    let said = sandbox.run(&["site", "records", "-o", "records/site"]).expect(0);
    assert!(said.stderr.is_empty(), "{}", said.stderr);
    assert_eq!(tree(&sandbox.path("records/site")), first);
}

#[test]
fn a_class_is_shown_where_the_evidence_verifies_and_nowhere_else() {
    let sandbox = Sandbox::new();
    put(&sandbox, "records/a", &fixture::certifiable());
    sandbox.run(&["keygen", "lab.key"]).expect(0);
    let issued = ["--issued-at", "2026-11-23T09:30:00Z", "--sign", "lab.key"];
    sandbox.run(&[&["certify", "records/a"], issued.as_slice()].concat()).expect(0);
    let said = sandbox.run(&["site", "records", "-o", "out", "--key", "lab.key.pub"]).expect(0);
    assert!(said.stdout.contains("1 record, 1 certificate"), "{}", said.stdout);
    let record = only_record(&sandbox.path("out"));
    let page = text(&record, "index.html");
    let command = page.split("<code>").find_map(|s| s.strip_prefix("wattproof verify WP-")).unwrap();
    let bundle = format!("WP-{}", command.split('<').next().unwrap());
    assert!(page.contains("signed by the key") && page.contains("Class "), "{page}");
    let bundle = record.join(bundle);
    sandbox.run(&["verify", bundle.to_str().unwrap(), "--key", "lab.key.pub"]).expect(0);
    sandbox.run(&["site", "records", "-o", "no-key"]).expect(0);
    let unproved = text(&only_record(&sandbox.path("no-key")), "index.html");
    assert!(unproved.contains("not proved") && !unproved.contains("signed by the key"));

    // The bundle alone is a record as well.
    fs::create_dir(sandbox.path("bundles")).unwrap();
    fs::copy(&bundle, sandbox.path("bundles/x.tar.zst")).unwrap();
    sandbox.run(&["site", "bundles", "-o", "from-bundle", "--key", "lab.key.pub"]).expect(0);
    let alone = only_record(&sandbox.path("from-bundle"));
    assert_eq!(alone.file_name(), record.file_name());
    assert_eq!(text(&alone, "index.html"), page);

    // One better class in the certificate, and the evidence does not hold.
    let certificate = sandbox.path("records/a/certificate/certificate.json");
    let stated = fs::read_to_string(&certificate).unwrap();
    let letter = stated.split("\"letter\":\"").nth(1).unwrap().chars().next().unwrap();
    let forged = stated.replacen(&format!("\"letter\":\"{letter}\""), "\"letter\":\"A\"", 1);
    assert_ne!(forged, stated, "the fixture is not of class A");
    fs::write(&certificate, forged).unwrap();
    let said = sandbox.run(&["site", "records", "-o", "forged"]).expect(0);
    assert!(said.stderr.contains("a/certificate: the evidence does not verify"), "{}", said.stderr);
    let index = text(&sandbox.path("forged"), "index.html");
    assert!(index.contains("no certificate") && !index.contains("until 20"));
    let files = tree(&only_record(&sandbox.path("forged")));
    assert_eq!(files.keys().collect::<Vec<_>>(), ["figures.js", "index.html"]);
}

#[test]
fn a_report_beside_a_record_is_drawn_again_and_never_copied() {
    let sandbox = Sandbox::new();
    put(&sandbox, "records/a", &fixture::with_rapl());
    sandbox.write("records/a/report.html", "<script>alert(1)</script>");
    sandbox.run(&["site", "records", "-o", "out"]).expect(0);
    let record = only_record(&sandbox.path("out"));
    let report = text(&record, "report.html");
    assert!(report.contains("<title>") && !report.contains("alert(1)"));
    assert!(text(&record, "index.html").contains("href=\"report.html\""));
}
