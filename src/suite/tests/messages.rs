use super::*;

#[test]
fn all_errors_of_a_file_are_shown_at_once_with_place_and_advice() {
    let text = "\
version: 1
suite: Quick Look
profle: quick
settings:
  repeats: many
  idle: 2
cases:
  - kernel: gem
  - kernel: gemm
    matrx: {m: [1]}
  - kernel: spmm-csr
    matrix:
      shape: [8x8x8, 8x8]
      densty: [10 %]
      dtype: [f23, f64]
      threads: [0, al]
  - kernel: attention
    with: {heads: -1, seq: .nan, mask: casual}
";
    let found = errors(text);
    let expected = [
        (2, 8, "Quick Look", "`Quick Look` is no suite id"),
        (3, 1, "profle", "unknown key `profle` in a suite"),
        (5, 12, "many", "`repeats`: `many` is not a whole number"),
        (6, 9, "2", "`idle`: the number 2 has no unit"),
        (8, 13, "gem", "unknown kernel `gem`"),
        (10, 5, "matrx", "unknown key `matrx` in a case"),
        (13, 22, "8x8", "`8x8` is no shape of kernel `spmm-csr`"),
        (14, 7, "densty", "kernel `spmm-csr` has no parameter `densty`"),
        (15, 15, "f23", "kernel `spmm-csr` has no type `f23`"),
        (16, 17, "0", "the number 0 is no number of threads"),
        (16, 20, "al", "`al` is no number of threads"),
        (18, 19, "-1", "`heads`: the number -1 is out of range"),
        (18, 28, ".nan", "`seq`: the number NaN is not a whole number"),
        (18, 40, "casual", "`mask`: `casual` is none of its words"),
    ];
    let all = summary(&found);
    for line in expected {
        assert!(all.contains(&line), "{line:?} is not in {all:#?}");
    }
    let help = |message: &str| found.problems().iter().find(|p| p.message.contains(message)).unwrap().help.clone();
    assert_eq!(help("profle"), "did you mean `profile`?");
    assert_eq!(help("gem`"), "did you mean `gemm`?");
    assert_eq!(help("densty"), "did you mean `density`?");
    assert_eq!(help("casual"), "did you mean `causal`?");
    assert_eq!(help("8x8"), "write `mxkxn`, or a map");
    assert!(found.problems().iter().all(|p| !p.help.is_empty()));
}

#[test]
fn the_rendering_quotes_the_line_and_marks_the_place() {
    let shown = errors(&with_cases("  - kernel: gemm\n    matrx: {m: [1]}\n")).render(false);
    assert_eq!(
        shown,
        "\
error: unknown key `matrx` in a case
 --> suites/test.yaml:5:5
  |
5 |     matrx: {m: [1]}
  |     ^^^^^
  |
  = help: did you mean `matrix`?"
    );
}

#[test]
fn colours_come_only_when_asked_for() {
    let found = errors("version: 1\n");
    assert!(!found.render(false).contains('\x1b'));
    assert!(found.render(true).contains("\x1b["));
}

#[test]
fn missing_keys_are_named_with_their_meaning() {
    let found = errors("title: x\n");
    let messages: Vec<&str> = found.problems().iter().map(|p| p.message.as_str()).collect();
    assert_eq!(
        messages,
        ["a suite lacks the key `version`", "a suite lacks the key `suite`", "a suite lacks the key `cases`"]
    );
    assert!(found.problems()[1].help.contains("lower-case words"));
}

#[test]
fn duplicate_keys_show_both_places() {
    let found = errors(&format!("version: 1\nsuite: a\nsuite: b\ncases:\n{GEMM}"));
    assert_eq!(summary(&found), [(3, 1, "suite", "`suite` is written twice in a suite")]);
    assert!(found.to_string().contains("first written here"));
}

#[test]
fn a_newer_version_asks_for_a_newer_program() {
    let found = errors(&with_cases(GEMM).replace("version: 1", "version: 2"));
    assert_eq!(summary(&found), [(1, 10, "2", "the file has version 2, this program reads version 1")]);
}

#[test]
fn syntax_errors_look_the_same() {
    let shown = errors("version: 1\nsuite: x\ncases:\n  - kernel: gemm\n   with: {}\n").to_string();
    assert!(shown.contains("suites/test.yaml:5:"), "{shown}");
    assert!(shown.contains("not valid YAML"), "{shown}");
}

#[test]
fn after_fifty_problems_the_rest_is_counted() {
    let mut text = with_cases(GEMM);
    for i in 0..80 {
        text += &format!("    wrong{i}: 1\n");
    }
    let found = errors(&text);
    assert_eq!((found.problems().len(), found.more()), (50, 30));
    assert!(found.to_string().ends_with("and 30 more; mend these first"));
}

#[test]
fn columns_count_characters_and_survive_crlf() {
    let found =
        errors("version: 1\r\nsuite: x\r\ntitle: \"äöü\"\r\ncases:\r\n  - {kernel: gemm, label: ä, wiht: 1}\r\n");
    assert_eq!(summary(&found)[0].0, 5);
    assert!(summary(&found).contains(&(5, 30, "wiht", "unknown key `wiht` in a case")), "{:?}", summary(&found));
}
#[test]
fn a_key_in_the_wrong_place_is_told_its_place() {
    let found = errors(&with_cases("  - kernel: gemm\n    shape: 8x8x8\n"));
    assert_eq!(summary(&found), [(5, 5, "shape", "unknown key `shape` in a case")]);
    assert_eq!(found.problems()[0].help, "`shape` is a parameter: write it inside `with:` or `matrix:`");
    let found = errors(&with_cases("  - kernel: gemm\n    with: {shape: 8x8x8, label: x}\n"));
    assert_eq!(found.problems()[0].help, "write `label:` beside `with`, not inside");
}

#[test]
fn control_characters_are_shown_at_their_place_and_harmless() {
    let found = errors("version: 1 # \u{1b}[31mred\n");
    assert_eq!(summary(&found), [(1, 14, "\u{1b}", "the control character U+001B stands here")]);
    assert!(!found.to_string().contains('\u{1b}'));
}

#[test]
fn a_state_of_a_cache_is_one_of_two_words() {
    let found = errors(&with_cases("  - kernel: triad\n    with: {bytes: 1 MiB, cache: colt}\n"));
    assert_eq!(summary(&found), [(5, 33, "colt", "`colt` is no state of a cache")]);
    assert_eq!(found.problems()[0].help, "did you mean `cold`?");
    let found = errors(&with_cases("  - kernel: triad\n    with: {bytes: 1 MiB, cache: 3}\n"));
    assert_eq!(summary(&found)[0].3, "the number 3 is no state of a cache");
}
