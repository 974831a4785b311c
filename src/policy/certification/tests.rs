use super::*;

fn broken(from: &str, to: &str) -> SuiteErrors {
    let text = SHIPPED.replacen(from, to, 1);
    assert_ne!(text, SHIPPED, "nothing was replaced: {from}");
    Certification::read(Path::new("mine.yaml"), &text).unwrap_err()
}

#[test]
fn the_shipped_policy_reads_and_knows_its_lines() {
    let policy = Certification::shipped();
    assert_eq!(policy.classes[0], ('A', 5.66));
    let line = |n: u32| SHIPPED.lines().nth(n as usize - 1).unwrap().trim();
    assert_eq!(line(policy.grade.line), "grade: C");
    assert_eq!(line(policy.repeats.line), "repeats: 10");
    assert_eq!(line(policy.battery_refused.line), "battery: refused");
    assert!((policy.alignment.value - 0.0025).abs() < 1e-15);
    for k in KEYS {
        let at = policy.line_of(&format!("{}.{}", k.section, k.key)).unwrap();
        assert!(line(at).starts_with(&format!("{}:", k.key)), "{}: {}", k.key, line(at));
    }
}

#[test]
fn the_shipped_policy_names_the_shipped_suite_by_its_digest() {
    for suite in Certification::shipped().suites.value {
        let (_, text) = crate::suite::SHIPPED.iter().find(|(id, _)| *id == suite.id).unwrap();
        assert_eq!(suite.sha256.unwrap(), super::super::sha256_hex(text), "put the digest of {} here", suite.id);
    }
}

#[test]
fn every_number_of_the_shipped_policy_says_why() {
    let lines: Vec<&str> = SHIPPED.lines().collect();
    for k in KEYS {
        let at = lines.iter().position(|l| l.trim_start().starts_with(&format!("{}:", k.key))).unwrap();
        let group = lines[..at].iter().rev().take_while(|l| !l.trim().is_empty());
        assert!(group.clone().any(|l| l.trim_start().starts_with('#')), "`{}` has no reason above it", k.key);
    }
}

#[test]
fn every_problem_of_a_broken_policy_shows_at_once_with_its_place() {
    let text = SHIPPED
        .replacen("repeats: 10", "repeat: 10", 1)
        .replacen("floor: 60 s", "floor: 60", 1)
        .replacen("grade: C", "grade: D", 1)
        .replacen("  B: 2.83", "  B: 6", 1)
        .replacen("steal: 0.5 %", "steal: 200 %", 1);
    let errors = Certification::read(Path::new("mine.yaml"), &text).unwrap_err();
    let found: Vec<(usize, String)> =
        errors.problems().iter().map(|p| (p.position().unwrap().0, p.message.clone())).collect();
    let expected = [
        ("grade:", "none of its words"),
        ("floor:", "has no unit"),
        ("repeat:", "unknown key `repeat`"),
        ("steal:", "out of range"),
        ("B: 6", "class B begins at 6"),
    ];
    assert_eq!(found.len(), expected.len(), "{errors}");
    for ((line, message), (key, part)) in found.iter().zip(expected) {
        assert!(text.lines().nth(line - 1).unwrap().contains(key), "{key}: line {line}");
        assert!(message.contains(part), "{message}");
    }
    assert!(errors.to_string().contains("did you mean `repeats`?") && errors.to_string().contains("mine.yaml:"));
}

#[test]
fn no_policy_can_rate_polled_power_or_models() {
    for grade in ["D", "E", "F", "Z", "3", "[C]"] {
        broken("grade: C", &format!("grade: {grade}"));
    }
}

#[test]
fn hostile_policies_are_refused_with_a_place() {
    for (from, to, part) in [
        ("version: 1", "version: 2", "reads version 1"),
        ("repeats: 10", "repeats: 0", "out of range"),
        ("repeats: 10", "repeats: -1", "out of range"),
        ("uncertainty: 15 %", "uncertainty: .nan", "out of range"),
        ("clock_jump: 50 ms", "clock_jump: .inf", "has no unit"),
        ("profile: certify", "profile: certfy", "did you mean `certify`?"),
        ("canary: required", "canary: ~", "none of its words"),
        ("  A: 5.66\n", "", "lacks the key `A`"),
        ("  B: 2.83", "  B: 2.83\n  B: 2", "written twice"),
        ("sha256: 5b", "sha256: zz", "no SHA-256"),
        ("classes:", "klasses:", "did you mean `classes`?"),
        ("idle:\n", "idle: 5\nidel:\n", "unknown key `idel`"),
        ("state:\n", "state: &a [*a]\nx:\n", ""),
    ] {
        let errors = broken(from, to);
        assert!(errors.to_string().contains(part), "{from} → {to}: {errors}");
        assert!(!errors.problems().is_empty());
    }
    for text in ["", "\u{0}", "[", "a: b: c", "- 1", "version: 1"] {
        assert!(Certification::parse(text).is_err(), "{text:?}");
    }
}
