//! The written reports, opened by the programs that people open them with.

use crate::skip::skip;
use crate::support::{Sandbox, header};
use std::path::Path;
use std::process::Command;

fn measured(sandbox: &Sandbox) {
    sandbox.tiny_suite();
    sandbox.run(&["run", "tiny.yaml", "--out", "out"]).expect(0);
}

pub(crate) fn installed(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok() || Command::new(program).arg("-v").output().is_ok()
}

#[test]
fn rendering_again_gives_the_same_bytes() {
    let sandbox = Sandbox::new();
    measured(&sandbox);
    sandbox
        .command(&["report", "out", "--out", "again"])
        .env("TZ", "Asia/Kathmandu")
        .env("LANG", "tr_TR.UTF-8")
        .output()
        .map(|o| assert!(o.status.success()))
        .unwrap();
    for file in ["report.html", "report.pdf", "report.md", "report.json"] {
        let bytes = |dir: &str| std::fs::read(sandbox.path(dir).join(file)).unwrap();
        assert!(bytes("out") == bytes("again"), "{file} differs");
    }
    sandbox.run(&["report", "out", "--only", "html", "--out", "only"]).expect(0);
    let written: Vec<_> = std::fs::read_dir(sandbox.path("only")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(written, ["report.html"]);
    sandbox.run(&["report", "out", "--only", "docx"]).expect(2).says(&["docx", "html"]);
}

#[test]
fn every_format_says_the_same() {
    let sandbox = Sandbox::new();
    measured(&sandbox);
    let read = |file: &str| std::fs::read_to_string(sandbox.path("out").join(file)).unwrap();
    let report: serde_json::Value = serde_json::from_str(&read("report.json")).unwrap();
    let id = header(&sandbox.path("out"))["id"].as_str().unwrap().to_owned();
    let verdict = report["verdict"]["text"].as_str().or(report["verdict"].as_str()).unwrap().to_owned();
    for file in ["report.html", "report.md"] {
        let text = read(file);
        assert!(text.contains(&id), "{file} lacks the record id");
        assert!(text.contains(&verdict), "{file} lacks the verdict `{verdict}`");
        assert!(text.contains("gemm-f32-m64-n48-k32-t1"), "{file} lacks a case");
    }
    if !installed("pdftotext") {
        return skip("PDF text", "pdftotext (poppler-utils) is not installed");
    }
    let output =
        Command::new("pdftotext").args(["-layout", "report.pdf", "-"]).current_dir(sandbox.path("out")).output();
    let text = String::from_utf8(output.unwrap().stdout).unwrap();
    let squeezed: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(squeezed.contains(&id), "the PDF lacks the record id:\n{text}");
    assert!(squeezed.contains("gemm-f32-m64"), "the PDF lacks a case:\n{text}");
    assert!(squeezed.contains("1 / ") || squeezed.contains("1 of "), "the PDF lacks page numbers");
}

#[test]
fn the_pdf_is_tagged_and_declares_its_standards() {
    let sandbox = Sandbox::new();
    measured(&sandbox);
    if !installed("pdfinfo") {
        return skip("PDF structure", "pdfinfo (poppler-utils) is not installed");
    }
    let info = |args: &[&str]| {
        let output = Command::new("pdfinfo").args(args).arg("report.pdf").current_dir(sandbox.path("out")).output();
        String::from_utf8_lossy(&output.unwrap().stdout).into_owned()
    };
    let facts = info(&[]);
    assert!(
        facts.contains("Tagged:") && facts.split("Tagged:").nth(1).unwrap().trim_start().starts_with("yes"),
        "{facts}"
    );
    assert!(facts.contains("Title:"), "{facts}");
    assert!(facts.contains("A4"), "{facts}");
    let meta = info(&["-meta"]);
    assert!(meta.contains("<pdfaid:part>2</pdfaid:part>"), "{meta}");
    assert!(meta.contains("<pdfaid:conformance>A</pdfaid:conformance>"), "{meta}");
    assert!(meta.contains("<pdfuaid:part>1</pdfuaid:part>"), "{meta}");
}

/// Chromium's arguments for a page that must not reach for the network.
pub(crate) fn chromium(profile: &Path, url: &str, extra: &[&str]) -> Option<std::process::Output> {
    let mut command = Command::new("chromium");
    command.args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]);
    command.args(["--disable-background-networking", "--disable-component-update", "--disable-sync"]);
    command.arg(format!("--user-data-dir={}", profile.display())).args(extra).arg(url);
    command.output().ok()
}

#[test]
fn chromium_shows_the_page_without_asking_the_network() {
    let sandbox = Sandbox::new();
    measured(&sandbox);
    let url = format!("file://{}", sandbox.path("out/report.html").display());
    let profile = sandbox.path("chromium");
    let Some(output) = chromium(&profile, &url, &["--enable-logging=stderr", "--v=0", "--dump-dom"]) else {
        return skip("HTML in Chromium", "chromium is not installed");
    };
    let dom = String::from_utf8_lossy(&output.stdout);
    assert!(dom.contains("gemm-f32-m64-n48-k32-t1"), "{}", String::from_utf8_lossy(&output.stderr));
    let log = String::from_utf8_lossy(&output.stderr);
    let complaints: Vec<&str> = log.lines().filter(|l| l.contains("CONSOLE")).collect();
    assert!(complaints.is_empty(), "the page complains: {complaints:?}");
    for needle in ["src=\"http", "href=\"http", "url(http", "@import", "src=\"//"] {
        assert!(!dom.contains(needle), "the page reaches out: {needle}");
    }
    assert_eq!(dom.matches("<svg").count(), dom.matches("<title id=").count(), "every chart has a title");
}

#[test]
fn no_part_of_the_page_sticks_out_of_a_phone() {
    let sandbox = Sandbox::new();
    measured(&sandbox);
    // The page is framed by one that measures it: the frame is as wide as a phone.
    let html = std::fs::read_to_string(sandbox.path("out/report.html")).unwrap();
    let quoted = html.replace('&', "&amp;").replace('"', "&quot;");
    let frame = format!(
        "<!doctype html><iframe id=f width=390 height=800 srcdoc=\"{quoted}\"></iframe><p id=r>waiting</p>\
         <script>f.onload=()=>{{r.textContent='width='+f.contentDocument.documentElement.scrollWidth}}</script>"
    );
    let page = sandbox.write("frame.html", frame);
    let url = format!("file://{}", page.display());
    let Some(output) = chromium(&sandbox.path("chromium"), &url, &["--virtual-time-budget=3000", "--dump-dom"]) else {
        return skip("phone width", "chromium is not installed");
    };
    let dom = String::from_utf8_lossy(&output.stdout);
    let width = dom.split("width=").filter_map(|t| t.split('<').next()?.parse::<u32>().ok()).last();
    assert!(width.is_some_and(|w| w <= 390), "the page is {width:?} px wide in a 390 px frame");
}
