//! The remedies that `doctor` prints, against the rule files and the documentation they name: the same commands
//! everywhere, and rules that do what they say.

use super::{hwmon, power_pmu, rapl};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

const RULES: [(&str, &str, &str); 2] =
    [("99-wattproof-rapl.rules", rapl::REMEDY, "intel-rapl:0"), ("99-wattproof-hwmon.rules", hwmon::REMEDY, "hwmon3")];

fn file(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// One `KEY op "value"` of a rule.
#[derive(Debug)]
struct Part {
    key: String,
    op: String,
    value: String,
}

/// The rules of a file (udev(7)): comments left out, lines that end in a backslash joined.
fn rules(text: &str) -> Vec<Vec<Part>> {
    let lines: Vec<&str> = text.lines().filter(|l| !l.trim_start().starts_with('#')).collect();
    let text = lines.join("\n").replace("\\\n", " ");
    let lines = text.lines().map(str::trim).filter(|l| !l.is_empty());
    lines.map(|line| parts(line).unwrap_or_else(|| panic!("no rule: {line}"))).collect()
}

fn parts(mut line: &str) -> Option<Vec<Part>> {
    let mut parts = Vec::new();
    while !line.is_empty() {
        let (key, rest) = line.split_at(line.find(['=', '!', '+'])?);
        let (op, rest) = rest.split_at(rest.find('"')?);
        let (value, rest) = rest[1..].split_once('"')?;
        if !["==", "!=", "=", "+="].contains(&op) || !key.chars().all(|c| c.is_ascii_uppercase()) {
            return None;
        }
        parts.push(Part { key: key.to_owned(), op: op.to_owned(), value: value.to_owned() });
        line = rest.trim_start().trim_start_matches(',').trim_start();
    }
    Some(parts)
}

/// A pattern of udev, as far as the rules use it: `|` and `*`.
fn fits(pattern: &str, text: &str) -> bool {
    fn one(pattern: &str, text: &str) -> bool {
        match pattern.split_once('*') {
            None => pattern == text,
            Some((head, rest)) => text
                .strip_prefix(head)
                .is_some_and(|tail| (0..=tail.len()).any(|i| tail.is_char_boundary(i) && one(rest, &tail[i..]))),
        }
    }
    pattern.split('|').any(|pattern| one(pattern, text))
}

/// What the rules of `text` run for a device that is added: its folder stands for `/sys%p`, and the calling
/// user's group for `energy`.
fn run(text: &str, subsystem: &str, kernel: &str, folder: &Path, group: u32) {
    for rule in rules(text) {
        let holds = |part: &&Part| match part.key.as_str() {
            "ACTION" => fits(&part.value, "add"),
            "SUBSYSTEM" => fits(&part.value, subsystem),
            "KERNEL" => fits(&part.value, kernel),
            "TEST" => folder.join(&part.value).exists(),
            other => panic!("{other} decides nothing here"),
        };
        if !rule.iter().filter(|p| p.op == "==").all(|p| holds(&p)) {
            continue;
        }
        for command in rule.iter().filter(|p| p.op != "==") {
            assert_eq!((command.key.as_str(), command.op.as_str()), ("RUN", "+="));
            let command = command.value.replace("/sys%p", folder.to_str().unwrap());
            let command = command.replace("chgrp energy", &format!("chgrp {group}"));
            assert!(Command::new("sh").args(["-c", &command]).status().unwrap().success(), "{command}");
        }
    }
}

#[test]
fn the_rules_let_a_group_read_and_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let group = fs::metadata(folder.path()).unwrap().gid();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let cases = [
        (0, "powercap", "intel-rapl:0", "energy_uj", 0o440),
        (0, "powercap", "intel-rapl:0:1", "energy_uj", 0o440),
        (0, "powercap", "intel-rapl-mmio:0", "energy_uj", 0o440),
        (0, "powercap", "intel-rapl", "energy_uj", 0o400),
        (0, "powercap", "intel-rapl:0", "constraint_0_power_limit_uw", 0o400),
        (0, "hwmon", "intel-rapl:0", "energy_uj", 0o400),
        (1, "hwmon", "hwmon3", "energy1_input", 0o440),
        (1, "hwmon", "hwmon3", "power1_input", 0o440),
        (1, "hwmon", "hwmon3", "power1_average", 0o440),
        (1, "hwmon", "hwmon3", "temp1_input", 0o400),
        (1, "powercap", "hwmon3", "energy1_input", 0o400),
    ];
    for (i, (rule, subsystem, kernel, name, expected)) in cases.into_iter().enumerate() {
        let device = folder.path().join(i.to_string());
        fs::create_dir(&device).unwrap();
        let path = device.join(name);
        fs::write(&path, "1\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        run(&file(&format!("ci/{}", RULES[rule].0)), subsystem, kernel, &device, group);
        assert_eq!(mode(&path), expected, "{subsystem} {kernel} {name}: {:o}", mode(&path));
    }
}

/// The commands with `sudo` in a text: in backquotes and divided by `;`, or each on a line of its own.
fn commands(text: &str) -> Vec<String> {
    let ends = |c: char| matches!(c, ';' | '`' | '\n');
    let found = text.split(ends).map(|part| part.trim().trim_start_matches('#').trim());
    found.filter(|part| part.starts_with("sudo ")).map(|part| part.replace(['"', '\\'], "")).collect()
}

#[test]
fn remedies_rule_files_and_documentation_name_the_same_commands() {
    let page = commands(&file("docs/sensors.md"));
    for (name, remedy, _) in RULES {
        let printed = commands(remedy);
        let of_file = commands(&file(&format!("ci/{name}")).replace("cp 99-", "cp ci/99-"));
        assert_eq!(of_file.len(), 5, "{of_file:?}");
        assert_eq!(printed[..5], of_file, "{name}");
        assert!(printed[2].contains(&format!("ci/{name}")), "{printed:?}");
    }
    assert!(page.windows(5).any(|five| *five == commands(rapl::REMEDY)[..5]), "{page:?}");
}

#[test]
fn the_program_is_given_one_capability() {
    let printed = commands(power_pmu::REMEDY);
    let page = commands(&file("docs/sensors.md"));
    let setcap: Vec<&String> = printed.iter().filter(|c| c.contains("setcap")).collect();
    assert_eq!(setcap, ["sudo setcap cap_perfmon=ep $(command -v wattproof)"]);
    assert!(page.contains(setcap[0]), "{page:?}");
    let all = [power_pmu::REMEDY, rapl::REMEDY, hwmon::REMEDY].concat();
    for broad in ["cap_sys_admin", "chmod a+r", "chmod o+r", "chmod 777", "chmod 644", "sudo wattproof"] {
        assert!(!all.contains(broad), "{broad}");
    }
}
