use super::*;
use crate::record::fixture;
use crate::report::plots::specimen::specimen;

fn contains(pdf: &[u8], text: &str) -> bool {
    pdf.windows(text.len()).any(|w| w == text.as_bytes())
}

#[test]
fn the_same_record_gives_the_same_bytes_in_any_thread() {
    let model = ReportModel::of(&fixture::with_rapl());
    let first = render(&model).unwrap();
    let (second, third) = std::thread::scope(|scope| {
        let other = scope.spawn(|| render(&model).unwrap());
        (render(&model).unwrap(), other.join().unwrap())
    });
    assert!(first == second && first == third);
    let other = render(&ReportModel::of(&fixture::cpu_only())).unwrap();
    assert!(first != other);
}

#[test]
fn it_says_that_it_is_an_archive_and_accessible_and_when_it_was_measured() {
    let pdf = render(&specimen(3, &|s| s.to_owned())).unwrap();
    assert!(pdf.starts_with(b"%PDF-1.7"));
    for mark in [
        "<pdfaid:part>2</pdfaid:part>",
        "<pdfaid:conformance>A</pdfaid:conformance>",
        "<pdfuaid:part>1</pdfuaid:part>",
        "/Lang",
        "/MarkInfo",
        "/StructTreeRoot",
        "2026-11-22T08:00:00",
        "Reference kernels on one CPU",
    ] {
        assert!(contains(&pdf, mark), "{mark}");
    }
    assert!(!contains(&pdf, env!("CARGO_MANIFEST_DIR")), "no path of the machine that built it");
}

#[test]
fn every_picture_has_an_alternative_text_and_every_table_a_head() {
    let tree = String::from_utf8_lossy(&pretty(&specimen(3, &|s| s.to_owned()))).into_owned();
    assert_eq!(tree.matches("/Figure").count(), 4);
    assert!(tree.matches("/Alt").count() >= 4);
    assert!(tree.contains("/TH") && tree.contains("/THead") && tree.contains("/Scope"));
}

/// The document without compressed object streams, so that its structure can be read.
fn pretty(model: &ReportModel) -> Vec<u8> {
    let (source, files) = prepare(model).unwrap();
    let options = PdfOptions { pretty: true, ..options(&format!("report:{}", model.record_id)).unwrap() };
    export(source, files, &options).unwrap()
}

/// Makes a text hostile.
type Attack = fn(&str) -> String;

#[test]
fn hostile_text_in_every_field_is_only_text() {
    let attacks: [(&str, Attack); 4] = [
        ("markup", |s| format!("{s}{}", fixture::HOSTILE)),
        ("ends a literal", |s| format!("{s}\\\" #panic(\"out\") \"\\")),
        ("no glyphs", |s| format!("{s} 你好 שלום \u{202e}abc\u{e000}\u{feff}\u{fffe} e\u{301}\u{1f50b}")),
        ("empty", |_| String::new()),
    ];
    for (name, attack) in attacks {
        let pdf = render(&specimen(5, &attack));
        assert!(pdf.is_ok(), "{name}: {}", pdf.unwrap_err());
    }
}

#[test]
fn a_title_of_ten_thousand_characters_and_no_cases_at_all_still_make_a_document() {
    let mut model = specimen(0, &|s| s.to_owned());
    model.title = "x".repeat(10_000);
    model.results.columns[0].title = "y".repeat(10_000);
    model.caveats[0].text = "z-".repeat(5_000);
    model.record_id = "0".repeat(10_000);
    render(&model).unwrap();
    render(&ReportModel::of(&fixture::hostile())).unwrap();
}

#[test]
fn what_typst_refuses_is_reported_with_its_reason() {
    let failure = |source: &str| export(source.to_owned(), Vec::new(), &options("r").unwrap()).unwrap_err().to_string();
    assert!(failure("#panic(\"broken\")").contains("broken"));
    assert!(failure("#image(\"/etc/passwd\")").starts_with("cannot render pdf: "));
    // A document without a title would break PDF/UA-1.
    assert!(failure("text").contains("PDF/UA"), "{}", failure("text"));
}

#[test]
fn the_date_is_the_records_in_utc_or_an_error_that_quotes_it() {
    let hour = |text: &str| date(text).unwrap().get_attr("hour").unwrap().to_string();
    assert_eq!((hour("2026-11-22T08:00:00+02:00"), hour("2026-11-22T08:00:00Z")), ("6".into(), "8".into()));
    assert!(date("yesterday").unwrap_err().to_string().contains("`yesterday`"));
}
