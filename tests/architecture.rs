//! The house rules that a compiler does not hold: which room may import which, who prints, how
//! large a file may grow. ARCHITECTURE.md explains them.

#![expect(clippy::unwrap_used, reason = "a test may fail here")]

use std::fs;
use std::path::{Path, PathBuf};

/// A room and what its files must not contain. Types that are plain data (`Domain`, `DeviceId`)
/// are what the record is made of, so the exceptions name them.
struct Rule {
    room: &'static str,
    forbidden: &'static [&'static str],
    except: &'static [&'static str],
    why: &'static str,
}

const HARDWARE: &[&str] = &[
    "crate::host",
    "crate::backends",
    "crate::sensors",
    "crate::measure",
    "crate::meter",
    "crate::cli",
    "std::fs",
    "std::env",
    "std::process",
    "std::thread",
    "std::net",
    "Clock::",
    "&Clock",
    "Utc::now",
];

/// Data that may cross the waist of the product.
const DATA: &[&str] = &[
    "crate::backends::DeviceId",
    "crate::sensors::Domain",
    "crate::sensors::{Domain",
    "crate::sensors::{Channel",
    "crate::sensors::Quantity",
];

const RULES: &[Rule] = &[
    Rule { room: "units.rs", forbidden: &["crate::"], except: &[], why: "units import nothing" },
    Rule {
        room: "kernels",
        forbidden: &[
            "crate::backends",
            "crate::sensors",
            "crate::measure",
            "crate::meter",
            "crate::host",
            "crate::clock",
            "crate::cli",
        ],
        except: &[],
        why: "a kernel is data and formulas; it is timed from outside",
    },
    Rule {
        room: "suite",
        forbidden: &[
            "crate::backends",
            "crate::sensors",
            "crate::measure",
            "crate::meter",
            "crate::cli",
            "crate::clock",
        ],
        except: &[],
        why: "a suite is read the same on every machine",
    },
    Rule {
        room: "backends",
        forbidden: &["crate::sensors", "crate::measure", "crate::meter", "crate::cli", "crate::record"],
        except: &[],
        why: "only measure sees backends and sensors together",
    },
    Rule {
        room: "sensors",
        forbidden: &[
            "crate::backends",
            "crate::measure",
            "crate::meter",
            "crate::kernels",
            "crate::cli",
            "crate::suite",
        ],
        except: &[],
        why: "only measure sees backends and sensors together",
    },
    Rule {
        room: "record",
        forbidden: &["crate::measure", "crate::meter", "crate::host", "crate::analysis", "crate::report", "crate::cli"],
        except: &[],
        why: "the record is the waist: it knows neither side",
    },
    Rule { room: "analysis", forbidden: HARDWARE, except: DATA, why: "analysis is a pure function of the record" },
    Rule { room: "policy", forbidden: HARDWARE, except: DATA, why: "a policy is data" },
    Rule { room: "verdict", forbidden: HARDWARE, except: DATA, why: "a verdict is a pure function of the record" },
    Rule { room: "gate", forbidden: HARDWARE, except: DATA, why: "a gate is a pure function of records and rules" },
    Rule { room: "compare", forbidden: HARDWARE, except: DATA, why: "a comparison is a pure function of records" },
    Rule { room: "columns", forbidden: HARDWARE, except: DATA, why: "a table is made of what it is given" },
    Rule {
        room: "history/figures.rs",
        forbidden: HARDWARE,
        except: DATA,
        why: "figures are a pure function of the record",
    },
    Rule { room: "history/series.rs", forbidden: HARDWARE, except: DATA, why: "series are a pure function of rows" },
    Rule {
        room: "history/changes.rs",
        forbidden: HARDWARE,
        except: DATA,
        why: "changes are a pure function of figures",
    },
    Rule { room: "history/chart.rs", forbidden: HARDWARE, except: DATA, why: "a chart is a pure function of series" },
    Rule { room: "history/table.rs", forbidden: HARDWARE, except: DATA, why: "a table is a pure function of series" },
    Rule {
        room: "history/export.rs",
        forbidden: HARDWARE,
        except: DATA,
        why: "an export is a pure function of series",
    },
    Rule {
        room: "history/store",
        forbidden: &[
            "crate::host",
            "crate::backends",
            "crate::sensors",
            "crate::measure",
            "crate::meter",
            "crate::analysis",
            "crate::report",
            "crate::cli",
            "std::env",
            "&Clock",
            "Utc::now",
        ],
        except: &[],
        why: "a store keeps what it is given; it asks neither hardware nor the clock",
    },
    Rule { room: "interop", forbidden: HARDWARE, except: DATA, why: "what is exported comes from the certificate" },
    Rule { room: "report", forbidden: HARDWARE, except: DATA, why: "a report is a pure function of the record" },
    Rule {
        room: "certificate",
        forbidden: HARDWARE,
        except: DATA,
        why: "a certificate is a pure function of record, policies and issue",
    },
    Rule { room: "evidence", forbidden: HARDWARE, except: DATA, why: "evidence is bytes in, bytes out" },
    Rule {
        room: "meter",
        forbidden: &[
            "crate::backends",
            "crate::kernels",
            "crate::suite",
            "crate::plan",
            "crate::measure",
            "crate::analysis",
            "crate::report",
            "crate::cli",
        ],
        except: &[],
        why: "a meter does not know what runs in its windows",
    },
    Rule {
        room: "import",
        forbidden: &[
            "crate::host",
            "crate::backends",
            "crate::sensors",
            "crate::measure",
            "crate::meter",
            "crate::record",
            "crate::report",
            "crate::cli",
            "&Clock",
        ],
        except: &[],
        why: "an import reads files and reckons; it measures nothing and is no record",
    },
    Rule {
        room: "criterion",
        forbidden: &[
            "crate::backends",
            "crate::kernels",
            "crate::suite",
            "crate::plan",
            "crate::measure",
            "crate::sensors",
            "crate::record",
            "crate::analysis",
            "crate::report",
            "crate::cli",
        ],
        except: &[],
        why: "a measurement for criterion is a thin layer over the meter",
    },
    Rule {
        room: "measure",
        forbidden: &["crate::cli", "crate::analysis", "crate::report"],
        except: &[],
        why: "measuring judges nothing",
    },
];

fn rust_files(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The product code of a file: everything before its unit tests, without comments.
fn code(path: &Path) -> Vec<(usize, String)> {
    let text = fs::read_to_string(path).unwrap();
    let lines = text.lines().enumerate().take_while(|(_, line)| !line.starts_with("#[cfg(test)]"));
    lines
        .map(|(i, line)| (i + 1, line.split("//").next().unwrap_or_default().to_owned()))
        .filter(|(_, line)| !line.trim().is_empty())
        .collect()
}

#[test]
fn rooms_import_only_what_they_may() {
    let mut broken = Vec::new();
    for rule in RULES {
        let files = rust_files(&src().join(rule.room));
        assert!(!files.is_empty(), "the rule for `{}` guards no file", rule.room);
        for file in files.iter().filter(|f| is_product(f)) {
            for (number, line) in code(file) {
                let excepted = rule.except.iter().any(|e| line.contains(e));
                if let Some(found) = rule.forbidden.iter().find(|f| mentions(&line, f) && !excepted) {
                    broken.push(format!("{}:{number}: `{found}`: {}", file.display(), rule.why));
                }
            }
        }
    }
    assert!(broken.is_empty(), "broken house rules:\n{}", broken.join("\n"));
}

/// Rooms whose figures must have the same bits on every machine.
const RIGHT_OF_THE_RECORD: &[&str] = &[
    "analysis",
    "policy",
    "verdict",
    "certificate",
    "evidence",
    "interop",
    "report",
    "record",
    "gate",
    "compare",
    "history",
];

/// Methods of floating-point numbers that the standard library takes from the system (or leaves open, as
/// `powi` does): their last bit differs from one C library to the next. `libm` has the same bits everywhere.
const OF_THE_SYSTEM: &[&str] = &[
    ".ln(",
    ".exp(",
    ".powf(",
    ".powi(",
    ".cbrt(",
    ".log(",
    ".log10(",
    ".log2(",
    ".exp2(",
    ".ln_1p(",
    ".exp_m1(",
    ".hypot(",
    ".sin(",
    ".cos(",
    ".tan(",
    ".sin_cos(",
    ".asin(",
    ".acos(",
    ".atan(",
    ".atan2(",
    ".sinh(",
    ".cosh(",
    ".tanh(",
    ".asinh(",
    ".acosh(",
    ".atanh(",
    ".gamma(",
    ".ln_gamma(",
];

/// Modules that only tests, benches and examples use.
const ONLY_FOR_TESTS: &[&str] = &["coverage.rs", "specimen.rs", "robustness.rs", "breaks.rs", "simulation.rs"];

#[test]
fn no_figure_comes_from_the_mathematics_of_the_system() {
    let mut found = Vec::new();
    for room in RIGHT_OF_THE_RECORD {
        let for_tests = |f: &PathBuf| ONLY_FOR_TESTS.iter().any(|name| f.ends_with(name));
        for file in rust_files(&src().join(room)).iter().filter(|f| is_product(f) && !for_tests(f)) {
            for (number, line) in code(file) {
                found.extend(
                    OF_THE_SYSTEM
                        .iter()
                        .filter(|m| line.contains(*m) || line.contains(&m.replacen('.', "f64::", 1)))
                        .map(|m| format!("{}:{number}: `{m}`: use libm", file.display())),
                );
            }
        }
    }
    assert!(found.is_empty(), "not the same on every machine:\n{}", found.join("\n"));
}

/// Fixtures and unit tests are no part of the data flow.
fn is_product(file: &Path) -> bool {
    let below = file.strip_prefix(src()).unwrap();
    !below.components().any(|c| matches!(c.as_os_str().to_str(), Some("fixture" | "fixture.rs" | "tests" | "tests.rs")))
}

/// Whether `line` names `path` as a whole path segment: `Clock` is not in `ClockSource`.
fn mentions(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + path.len()..].chars().next();
        let inner = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        path.ends_with(':') || (!inner(before) && !inner(after))
    })
}

#[test]
fn only_the_command_line_prints() {
    let mut found = Vec::new();
    for file in rust_files(&src()).iter().filter(|f| is_product(f) && !f.starts_with(src().join("cli"))) {
        for (number, line) in code(file) {
            if ["println!", "print!(", "eprintln!", "eprint!("].iter().any(|m| line.contains(m)) {
                found.push(format!("{}:{number}", file.display()));
            }
        }
    }
    assert!(found.is_empty(), "printing outside src/cli: {found:?}");
}

#[test]
fn files_have_names_and_sizes_one_can_live_with() {
    for file in rust_files(&src()) {
        let stem = file.file_stem().unwrap().to_string_lossy().into_owned();
        let nameless = ["util", "utils", "common", "helper", "helpers", "misc"].contains(&stem.as_str());
        assert!(!nameless, "{} says nothing about what is in it", file.display());
        let lines = fs::read_to_string(&file).unwrap().lines().count();
        assert!(lines <= 600, "{} has {lines} lines: is it one room or two?", file.display());
        let depth = file.strip_prefix(src()).unwrap().components().count();
        assert!(depth <= 4, "{} is too deep", file.display());
    }
}

#[test]
fn the_rule_reader_sees_what_it_should() {
    assert!(mentions("fn f(clock: &Clock) {", "&Clock"));
    assert!(!mentions("fn f(clock: &ClockSource) {", "&Clock"));
    assert!(mentions("use crate::units::Joules;", "crate::"));
    assert!(mentions("let x = std::fs::read(path);", "std::fs"));
}
