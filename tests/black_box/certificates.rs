//! Certificates, opened by the programs that people open them with: Chromium and poppler.

use crate::reports::{chromium, installed};
use crate::skip::skip;
use crate::support::Sandbox;
use std::process::Command;
use wattproof::certificate::{Dossier, Seal};
use wattproof::record::fixture;
use wattproof::report::certificate::{badge, documents, specimen};

/// Writes the documents of a specimen into the sandbox.
fn write(sandbox: &Sandbox, dossier: &Dossier) {
    for (name, bytes) in documents(dossier, &Seal::default()).unwrap() {
        sandbox.write(&name, bytes);
    }
}

/// The text of every page of a PDF, white space squeezed.
fn pages(sandbox: &Sandbox, pdf: &str) -> Vec<String> {
    let output = Command::new("pdftotext").args(["-layout", pdf, "-"]).current_dir(sandbox.path("")).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let squeezed = text.split('\u{c}').map(|page| page.split_whitespace().collect::<Vec<_>>().join(" "));
    squeezed.filter(|page| !page.is_empty()).collect()
}

/// Every page has the id, its number and what `marks` lists.
fn every_page_says(pages: &[String], dossier: &Dossier, marks: &[&str]) {
    assert!(pages.len() > 4, "{} pages", pages.len());
    for (i, page) in pages.iter().enumerate() {
        assert!(page.contains(&dossier.certificate.id), "page {} lacks the id:\n{page}", i + 1);
        let number = format!("Page {} of {}", i + 1, pages.len());
        assert!(page.contains(&number), "no `{number}` in:\n{page}");
        for mark in marks {
            assert!(page.contains(mark), "page {} does not say {mark}:\n{page}", i + 1);
        }
    }
}

#[test]
fn every_page_of_the_pdf_carries_id_number_and_marks() {
    if !installed("pdftotext") {
        return skip("certificate PDF text", "pdftotext (poppler-utils) is not installed");
    }
    for (name, dossier) in specimen::all() {
        let sandbox = Sandbox::new();
        write(&sandbox, &dossier);
        let pages = pages(&sandbox, "certificate.pdf");
        let mut marks = vec!["UNSIGNED"];
        match dossier.certificate.decision {
            wattproof::verdict::Decision::Certified => {
                assert!(!pages.concat().contains("NOT CERTIFIED"), "{name}");
            }
            _ => marks.push("NOT CERTIFIED"),
        }
        if !dossier.record.header.simulated.is_empty() {
            marks.push("SIMULATED");
        }
        every_page_says(&pages, &dossier, &marks);
        // Page one is one page, whatever it has to hold.
        assert!(pages[0].contains("relate only to the items tested"), "{name}:\n{}", pages[0]);
        assert!(pages[1].contains("Decision"), "{name}:\n{}", pages[1]);
    }
}

#[test]
fn hostile_text_is_text_in_the_pdf() {
    if !installed("pdftotext") {
        return skip("certificate PDF text", "pdftotext (poppler-utils) is not installed");
    }
    let sandbox = Sandbox::new();
    write(&sandbox, &specimen::hostile());
    let text: String = pages(&sandbox, "certificate.pdf").concat().split_whitespace().collect();
    for inert in ["<script>alert(1)</script>", "#panic(\"typst\")", "{{7*7}}", "$x$"] {
        assert!(text.contains(&inert.replace(' ', "")), "{inert} is not in the text");
    }
    assert!(!text.contains("49}}") && !text.chars().any(|c| ('\u{202a}'..='\u{202e}').contains(&c)));
    let bytes = std::fs::read(sandbox.path("certificate.pdf")).unwrap();
    for action in ["/JavaScript", "/JS ", "/Launch", "/OpenAction", "/URI"] {
        assert!(!bytes.windows(action.len()).any(|w| w == action.as_bytes()), "the PDF acts: {action}");
    }
}

#[test]
fn text_of_the_pdf() {
    if !installed("pdftotext") {
        return skip("certificate PDF text", "pdftotext (poppler-utils) is not installed");
    }
    let sandbox = Sandbox::new();
    write(&sandbox, &specimen::of(specimen::few(), 0.5));
    let args = ["-raw", "-f", "1", "-l", "2", "certificate.pdf", "-"];
    let output = Command::new("pdftotext").args(args).current_dir(sandbox.path("")).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    // Digests and the id follow from every byte of the inputs: their places count here, not their values.
    let words = text.split_inclusive(char::is_whitespace).map(|word| {
        let bare = word.trim_end();
        let digest = bare.len() == 64 && bare.chars().all(|c| c.is_ascii_hexdigit());
        if digest || bare.starts_with("WP-") { word.replace(bare, "[…]") } else { word.to_owned() }
    });
    let words: String = words.collect();
    insta::assert_snapshot!(words.replace('\u{200b}', ""));
}

#[test]
fn chromium_runs_nothing_and_adds_nothing_for_a_hostile_record() {
    let sandbox = Sandbox::new();
    let dossier = specimen::hostile();
    write(&sandbox, &dossier);
    let url = format!("file://{}", sandbox.path("certificate.html").display());
    let flags = ["--enable-logging=stderr", "--v=0", "--virtual-time-budget=2000", "--dump-dom"];
    let Some(output) = chromium(&sandbox.path("chromium"), &url, &flags) else {
        return skip("certificate in Chromium", "chromium is not installed");
    };
    let dom = String::from_utf8_lossy(&output.stdout);
    assert!(dom.contains(&dossier.certificate.id), "{}", String::from_utf8_lossy(&output.stderr));
    for element in ["<script", "<img", "<iframe", "<a href=\"javascript", "onerror=", "onload="] {
        let bare = dom.match_indices(element).filter(|(at, _)| inside_a_tag(&dom, *at)).count();
        assert_eq!(bare, 0, "{element} is in the page");
    }
    let log = String::from_utf8_lossy(&output.stderr);
    let complaints: Vec<&str> = log.lines().filter(|l| l.contains("CONSOLE")).collect();
    assert!(complaints.is_empty(), "the page complains: {complaints:?}");
}

/// Whether `at` is markup: the start of a tag, or inside one.
fn inside_a_tag(dom: &str, at: usize) -> bool {
    let before = &dom[..at];
    dom[at..].starts_with('<') || before.rfind('<') > before.rfind('>')
}

#[test]
fn chromium_loads_nothing_for_a_badge_and_shows_its_title() {
    let sandbox = Sandbox::new();
    let dossier = specimen::of(specimen::few(), 0.5);
    sandbox.write("badge.svg", badge(&dossier));
    let url = format!("file://{}", sandbox.path("badge.svg").display());
    let Some(output) = chromium(&sandbox.path("chromium"), &url, &["--dump-dom"]) else {
        return skip("badge in Chromium", "chromium is not installed");
    };
    let dom = String::from_utf8_lossy(&output.stdout);
    assert!(dom.contains(&format!("<title>wattproof certificate {}: class ", dossier.certificate.id)), "{dom}");
    assert!(!dom.contains("parsererror"), "{dom}");
}

#[test]
fn on_paper_every_page_of_the_html_carries_id_number_and_marks() {
    if !installed("pdftotext") {
        return skip("certificate HTML on paper", "pdftotext (poppler-utils) is not installed");
    }
    for (dossier, marks) in [
        (specimen::of(specimen::few(), 0.5), vec!["UNSIGNED"]),
        (specimen::of(fixture::with_rapl(), 0.5), vec!["UNSIGNED", "NOT CERTIFIED", "SIMULATED"]),
    ] {
        let sandbox = Sandbox::new();
        write(&sandbox, &dossier);
        let url = format!("file://{}", sandbox.path("certificate.html").display());
        let print = format!("--print-to-pdf={}", sandbox.path("print.pdf").display());
        let flags = ["--no-pdf-header-footer", print.as_str()];
        if chromium(&sandbox.path("chromium"), &url, &flags).is_none() {
            return skip("certificate HTML on paper", "chromium is not installed");
        }
        let pages = pages(&sandbox, "print.pdf");
        every_page_says(&pages, &dossier, &marks);
        assert!(pages[0].contains("relate only to the items tested"), "{}", pages[0]);
    }
}

#[test]
fn no_part_of_a_certificate_sticks_out_of_a_phone() {
    for dossier in [specimen::of(specimen::long_names(), 0.5), specimen::hostile()] {
        let sandbox = Sandbox::new();
        write(&sandbox, &dossier);
        // The page is framed by one that measures it: the frame is as wide as a phone.
        let html = std::fs::read_to_string(sandbox.path("certificate.html")).unwrap();
        let quoted = html.replace('&', "&amp;").replace('"', "&quot;");
        let frame = format!(
            "<!doctype html><iframe id=f width=390 height=800 srcdoc=\"{quoted}\"></iframe><p id=r>waiting</p>\
             <script>f.onload=()=>{{r.textContent='width='+f.contentDocument.documentElement.scrollWidth}}</script>"
        );
        let page = sandbox.write("frame.html", frame);
        let url = format!("file://{}", page.display());
        let flags = ["--virtual-time-budget=3000", "--dump-dom"];
        let Some(output) = chromium(&sandbox.path("chromium"), &url, &flags) else {
            return skip("certificate at phone width", "chromium is not installed");
        };
        let dom = String::from_utf8_lossy(&output.stdout);
        let width = dom.split("width=").filter_map(|t| t.split('<').next()?.parse::<u32>().ok()).last();
        assert!(width.is_some_and(|w| w <= 390), "the page is {width:?} px wide in a 390 px frame");
    }
}
