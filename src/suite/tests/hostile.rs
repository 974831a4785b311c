use super::*;
use crate::clock::Clock;
use proptest::prelude::*;

#[test]
fn a_billion_cases_are_refused_by_multiplication() {
    let list = (1..=1000).map(|n| n.to_string()).collect::<Vec<_>>().join(", ");
    let text = with_cases(&format!(
        "  - kernel: gemm\n    matrix:\n      m: [{list}]\n      n: [{list}]\n      k: [{list}]\n"
    ));
    let found = errors(&text);
    assert_eq!(found.problems().len(), 1);
    assert!(found.problems()[0].message.contains("1000000000 cases"), "{found}");
}

#[test]
fn the_limit_counts_all_entries_together_and_allows_exactly_ten_thousand() {
    let list = |from: u32| (from..from + 100).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
    let entry = |m: u32| format!("  - kernel: gemm\n    matrix: {{m: [{}], n: [{}], k: 1}}\n", list(m), list(1));
    assert_eq!(parse(&with_cases(&entry(1))).unwrap().cases.len(), 10_000);
    let both = with_cases(&format!("{}  - {{kernel: gemm, with: {{shape: 9x9x9}}}}\n", entry(100)));
    assert!(errors(&both).problems()[0].message.contains("10001 cases"));
}

#[test]
fn odd_files_get_a_clear_answer() {
    for (text, part) in [
        ("", "no YAML document"),
        ("# only a comment\n", "no YAML document"),
        ("just words", "a suite is a map"),
        ("[1, 2]", "a suite is a map"),
        ("\tversion: 1", "a tab where YAML wants spaces"),
        ("version: 1\n---\nversion: 1\n", "a second YAML document"),
        ("version: 1\nsuite: \"a\\e[31mb\"\ncases: []\n", "is no suite id"),
        ("version: 1\nsuite: a\ntitle: \"\\e]0;owned\\a\"\ncases: []\n", "control characters"),
        ("version: 1\nsuite: a\ntitle: \"\\u202Egpj\"\ncases: []\n", "control characters"),
        ("version: 1\nsuite: a\ncases: []\n", "list of cases is empty"),
        ("version: 1\nsuite: a\ncases: {}\n", "`cases` is a list"),
        ("version: 1\nsuite: a\ncases: [1, ~, gemm]\n", "a case is a map"),
        ("version: 1\nsuite: a\n? [x]\n: 1\ncases: []\n", "a list cannot be a key"),
        ("version: 1\nsuite: a\n1: 1\ncases: []\n", "the number 1 cannot be a key"),
        ("version: 1\nsuite: a\n<<: {x: 1}\ncases: []\n", "unknown key `<<`"),
        ("version: 1\u{0}", "control character U+0000"),
        ("version: 1 # \u{1b}[31mred\nsuite: a\n", "control character U+001B"),
        ("version: 1\nsuite: \u{202e}a\ncases: []\n", "is no suite id"),
    ] {
        let shown = errors(text).to_string();
        assert!(shown.contains(part), "{text:?}: {shown}");
        assert!(!shown.contains(['\u{1b}', '\u{7}', '\u{202e}', '\u{0}']), "{shown:?}");
    }
}

#[test]
fn a_byte_order_mark_is_no_error() {
    assert_eq!(parse(&format!("\u{feff}{}", with_cases(GEMM))).unwrap().cases.len(), 1);
}

#[test]
fn values_that_are_no_numbers_are_refused() {
    for (yaml, part) in [
        ("{kernel: triad, with: {bytes: -5}}", "out of range"),
        ("{kernel: triad, with: {bytes: -64 MiB}}", "out of range"),
        ("{kernel: triad, with: {bytes: .inf}}", "not a size"),
        ("{kernel: triad, with: {bytes: 99999999999999999999999999999999999999999}}", "out of range"),
        ("{kernel: spmv-csr, with: {shape: 8x8, density: .nan}}", "out of range"),
        ("{kernel: spmv-csr, with: {shape: 8x8, density: 0}}", "out of range"),
        ("{kernel: gemm, with: {shape: 8x8x8, threads: 0}}", "no number of threads"),
        ("{kernel: gemm, with: {shape: 8x8x8, threads: 99999999}}", "no number of threads"),
        ("{kernel: gemm, with: {shape: 8x-8x8}}", "`n` of the shape"),
        ("{kernel: gemm, with: {shape: 8x8x99999999999999999999}}", "`k` of the shape"),
        ("{kernel: gemm, with: {shape: xx}}", "`m` of the shape"),
        ("{kernel: gemm, with: {shape: {}}}", "an empty shape"),
        ("{kernel: gemm, with: {shape: [8x8x8]}}", "`with` takes one value"),
        ("{kernel: gemm, matrix: {shape: []}}", "list of `shape` is empty"),
        ("{kernel: gemm, matrix: {shape: [8x8x8, 8x8x8]}}", "value of `shape` is repeated"),
        ("{kernel: gemm, matrix: ~}", "`matrix` is a map"),
        ("{kernel: ~}", "unknown kernel"),
        ("{kernel: gemm, label: \"../up\", with: {shape: 8x8x8}}", "no label"),
    ] {
        let shown = errors(&with_cases(&format!("  - {yaml}\n"))).to_string();
        assert!(shown.contains(part), "{yaml}: {shown}");
    }
}

#[test]
fn files_that_cannot_be_read_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let load = |path: &Path| Suite::load(path, &catalog()).unwrap_err().to_string();
    assert!(load(&folder.path().join("none.yaml")).contains("no such file"));
    assert!(load(folder.path()).contains("not a regular file"));
    assert!(load(&write("big.yaml", &vec![b'#'; 2 << 20])).contains("more than 1048576 bytes"));
    assert!(load(&write("latin1.yaml", b"version: 1\nsuite: \xe4\n")).contains("line 2, column 8 is not UTF-8"));
    assert_eq!(Suite::load(&write("good.yaml", with_cases(GEMM).as_bytes()), &catalog()).unwrap().cases.len(), 1);
}

#[test]
fn a_very_long_line_is_quoted_in_part() {
    let text = with_cases(&format!("  - {{kernel: gemm, label: {}, wrong: 1}}\n", "a".repeat(200_000)));
    let shown = errors(&text).to_string();
    assert!(shown.len() < 4000, "{}", shown.len());
    assert!(shown.contains("unknown key `wrong`"));
}

#[test]
fn hostile_files_are_answered_quickly() {
    // Generous bounds for a loaded machine; quadratic behaviour would take minutes.
    let list = (1..=1000).map(|n| n.to_string()).collect::<Vec<_>>().join(", ");
    let errors_everywhere: String = (0..20_000).map(|i| format!("  - {{kernel: k{i}}}\n")).collect();
    let flat = format!("version: 1\nsuite: x\ncases: [{}]\n", vec!["[]"; 300_000].join(","));
    let long = (1..=10_000).map(|n| n.to_string()).collect::<Vec<_>>().join(", ");
    for text in [
        with_cases(&format!(
            "  - kernel: gemm\n    matrix: {{m: [{long}], n: 1, k: 1}}\n    exclude: {{m: [{long}]}}\n"
        )),
        with_cases(&format!("  - kernel: gemm\n    matrix: {{m: [{list}], n: [{list}], k: [{list}]}}\n")),
        with_cases(&errors_everywhere),
        flat,
        "- ".repeat(500_000),
        "[".repeat(1_000_000),
        "a: {".repeat(250_000),
        format!("a: \"{}", "x".repeat(1_000_000)),
    ] {
        let clock = Clock::start();
        assert!(parse(&text).is_err());
        let took = clock.now().seconds();
        assert!(took.get() < 5.0, "{took:?}: {}", &text[..40]);
    }
}

const VALID: &str = include_str!("../../../suites/reference-cpu.yaml");

proptest! {
    /// Whatever is done to a valid suite, the answer is a suite or errors with places, no panic.
    #[test]
    fn mutated_suites_never_panic(edits in prop::collection::vec((any::<prop::sample::Index>(), 0usize..24, 0usize..12), 1..6)) {
        const PARTS: [&str; 24] = [
            "", "\n", " ", "\t", ":", "- ", "[", "]", "{", "}", "\"", "'", "&a ", "*a", "!!int ", "#", "\r\n",
            "ä", "\u{202e}", "-1", ".nan", "? ", "|", "---\n",
        ];
        let mut text = VALID.to_owned();
        for (at, part, cut) in edits {
            let mut start = at.index(text.len());
            while !text.is_char_boundary(start) { start -= 1; }
            let mut end = (start + cut).min(text.len());
            while !text.is_char_boundary(end) { end += 1; }
            text.replace_range(start..end, PARTS[part]);
        }
        match parse(&text) {
            Ok(suite) => prop_assert!(!suite.cases.is_empty()),
            Err(found) => {
                prop_assert!(!found.problems().is_empty());
                let lines = text.matches('\n').count() + 1;
                for p in found.problems() {
                    prop_assert!(!p.message.is_empty() && !p.help.is_empty());
                    if let Some((line, column)) = p.position() {
                        prop_assert!(line >= 1 && line <= lines && column >= 1, "{line}:{column}");
                    }
                }
                let shown = found.render(false);
                prop_assert!(!shown.contains('\u{202e}'), "{shown}");
            }
        }
    }
}
