//! The fuzz targets on stable Rust: every file of the corpus, and mutations of them that are the same in
//! every run.

#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]
#![expect(clippy::print_stdout, reason = "what was run")]

#[path = "../fuzz/targets.rs"]
mod targets;

use std::panic::catch_unwind;
use std::path::Path;
use targets::TARGETS;

/// SplitMix64 (Steele, Lea & Flood, OOPSLA 2014).
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % n.max(1) as u64) as usize
    }
}

/// What parsers trip over.
const TOKENS: [&[u8]; 24] = [
    b"",
    b"\0",
    b"\n",
    b"-",
    b"-1",
    b"0",
    b"18446744073709551615",
    b"18446744073709551616",
    b"9223372036854775808",
    b"1e308",
    b"1e-320",
    b"-0.0",
    b".nan",
    b"null",
    b"{}",
    b"[]",
    b"\"",
    b"\\u0000",
    b"\xff\xfe",
    b"0-4294967295",
    b"4294967296",
    b": ",
    b"- ",
    b"&a [*a]",
];

/// One to four changes of `seed`; one of them may take a piece of `other`.
fn mutate(seed: &[u8], other: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len() + 1);
        let end = (at + random.below(24)).min(bytes.len());
        match random.below(7) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            1 if at < bytes.len() => bytes[at] = random.below(256) as u8,
            2 => drop(bytes.drain(at..end)),
            3 => bytes.truncate(at),
            4 => {
                let copy = bytes[at..end].to_vec();
                drop(bytes.splice(at..at, copy));
            }
            5 => {
                let from = random.below(other.len() + 1);
                let piece = &other[from..(from + random.below(64)).min(other.len())];
                drop(bytes.splice(at..end, piece.iter().copied()));
            }
            _ => drop(bytes.splice(at..end, TOKENS[random.below(TOKENS.len())].iter().copied())),
        }
    }
    bytes
}

/// Runs a target over its corpus and `mutations` changed inputs.
fn run(name: &str, mutations: usize) {
    let target = TARGETS.iter().find(|(n, _)| *n == name).unwrap().1;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
    let mut paths: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "{} is empty", folder.display());
    let seeds: Vec<Vec<u8>> = paths.iter().map(|path| std::fs::read(path).unwrap()).collect();
    let check = |what: &str, input: &[u8]| {
        catch_unwind(|| target(input)).unwrap_or_else(|_| {
            let kept = std::env::temp_dir().join(format!("wattproof-{name}-failure"));
            std::fs::write(&kept, input).unwrap();
            panic!("{name} fails on {what}; the input is in {}", kept.display())
        })
    };
    let mut accepted = 0;
    for (path, seed) in paths.iter().zip(&seeds) {
        accepted += usize::from(check(&path.display().to_string(), seed));
    }
    assert!(accepted > 0, "{name}: no file of the corpus is accepted, so only refusals are tried");
    let mut random = Random(0x0077_6174_7470_726f);
    let mut accepted = 0;
    for number in 0..mutations {
        let (seed, other) = (&seeds[random.below(seeds.len())], &seeds[random.below(seeds.len())]);
        accepted += usize::from(check(&format!("mutation {number}"), &mutate(seed, other, &mut random)));
    }
    let _ = std::fs::remove_dir_all(format!("/dev/shm/wattproof-fuzz-{}", std::process::id()));
    println!("{name}: {} files of the corpus and {mutations} mutations, {accepted} of them accepted", seeds.len());
}

#[test]
fn texts_of_sysfs() {
    run("sysfs", 2_000);
}

#[test]
fn suites_and_profiles() {
    run("suite", 5_000);
}

#[test]
fn policies() {
    run("policy", 5_000);
}

#[test]
fn records() {
    run("record", 1_000);
}

#[test]
fn results_of_criterion() {
    run("criterion", 10_000);
}

#[test]
fn quantities() {
    run("quantities", 20_000);
}

#[test]
fn rules_of_gates() {
    run("gate", 3_000);
}

#[test]
fn limits_of_certification() {
    run("certification", 3_000);
}

#[test]
fn reference_tables() {
    run("table", 3_000);
}

#[test]
fn logs_of_wall_meters() {
    run("wall", 5_000);
}

#[test]
fn strict_and_canonical_json() {
    run("json", 20_000);
}

#[test]
fn envelopes_and_statements() {
    run("envelope", 1_000);
}

#[test]
fn key_files() {
    run("keys", 10_000);
}

#[test]
fn archives() {
    run("archive", 3_000);
}

#[test]
fn whole_bundles() {
    run("bundle", 300);
}

#[test]
fn every_target_has_a_test() {
    let tests = include_str!("fuzz_corpus.rs");
    for (name, _) in TARGETS {
        assert!(tests.contains(&format!("run(\"{name}\"")), "{name} has no test");
    }
}
