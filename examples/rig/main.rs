//! A machine with a known power: a powercap tree and an NVML library driven by one script, and the
//! true energy of any window.
//!
//! ```text
//! rig SCRIPT [--at DIR | --real] [--truth FILE] -- COMMAND…   runs a command on that machine
//! rig truth SCRIPT --origin NS [--triggers FILE]              truth of the windows on standard input
//! rig nap SECONDS [FILE]                                      `go`, then sleeps; appends its own window
//!                                                             to the file
//! rig go                                                      begins the curves that wait for a trigger
//! rig check SCRIPT                                            reads the script
//! ```
//!
//! The grammar of the script stands in `script.rs`. `--at DIR` puts the tree
//! below `DIR` (for `wattproof --sysfs-root DIR`); `--real` puts it at `/sys/class/powercap` in a mount
//! namespace of its own, without root. The command finds
//! `RIG_ORIGIN` (second 0 in nanoseconds of `CLOCK_MONOTONIC`), `RIG_ROOT`, `RIG_NVML` (the library,
//! whose folder is also first in `LD_LIBRARY_PATH`) and `RIG_TRIGGERS` in its environment. Its exit
//! code is passed on. `--truth FILE` writes one JSON line with the lateness of the driver and one a
//! domain with the true energy of the command's own window; `FILE.triggers` keeps the triggers.
//!
//! A window for `rig truth` is a line `DOMAIN FROM TO`, with nanoseconds of `CLOCK_MONOTONIC`; the
//! answer is a JSON line with the energy in joules and what happened to the counter. A domain is the
//! path of a zone or `gpu:0`.

#![allow(dead_code, clippy::allow_attributes, reason = "it draws no power itself, which the curve it shares can")]
#![expect(unsafe_code, reason = "namespaces and mounts have no safe wrapper in std")]
#![expect(clippy::print_stderr, reason = "errors are for whoever ran it")]

mod board;
mod curve;
mod script;
mod tree;

use script::Script;
use std::ffi::CString;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, BufRead, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use tree::{Tree, hurry, monotonic, sleep_until};

type Failure = Box<dyn std::error::Error>;

/// Where the kernel keeps the zones, and where it lists them.
const PLACES: [&str; 2] = ["sys/devices/virtual/powercap", "sys/class/powercap"];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        ["go"] => go().map(|()| 0),
        ["nap", seconds, file @ ..] if file.len() < 2 => nap(seconds, file.first()).map(|()| 0),
        ["check", script] => load(script).map(|_| 0),
        ["truth", script, "--origin", origin] => truth(script, origin, None).map(|()| 0),
        ["truth", script, "--origin", origin, "--triggers", file] => truth(script, origin, Some(file)).map(|()| 0),
        [script, rest @ ..] => run(script, rest),
        [] => Err("usage: rig SCRIPT [--at DIR | --real] [--truth FILE] -- COMMAND…".into()),
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("rig: {error}");
            ExitCode::from(70)
        }
    }
}

fn load(path: &str) -> Result<Script, Failure> {
    let text = fs::read_to_string(path).map_err(|e| format!("{path}: {e}"))?;
    Script::parse(&text).map_err(|problem| format!("{path}: {problem}").into())
}

/// Sleeps, and appends the first and the last moment of the program to a file.
fn nap(seconds: &str, file: Option<&&str>) -> Result<(), Failure> {
    if std::env::var_os("RIG_TRIGGERS").is_some() {
        go()?;
    }
    let from = monotonic();
    sleep_until(from + (seconds.parse::<f64>()? * 1e9) as u64);
    if let Some(path) = file {
        let mut file = fs::OpenOptions::new().append(true).create(true).open(path)?;
        writeln!(file, "{from} {}", monotonic())?;
    }
    Ok(())
}

/// Appends the present moment to the file of triggers.
fn go() -> Result<(), Failure> {
    let path = std::env::var_os("RIG_TRIGGERS").ok_or("there is no RIG_TRIGGERS: run below a rig")?;
    let mut file = fs::OpenOptions::new().append(true).create(true).open(path)?;
    file.write_all(format!("{}\n", monotonic()).as_bytes())?;
    Ok(())
}

/// Seconds at which curves were triggered.
fn triggers(path: Option<&Path>, origin: u64) -> Vec<f64> {
    let text = path.and_then(|p| fs::read_to_string(p).ok()).unwrap_or_default();
    let nanos = text.lines().filter_map(|line| line.parse::<u64>().ok());
    nanos.map(|at| at.saturating_sub(origin) as f64 / 1e9).collect()
}

/// True joules of a domain between two seconds, and what happened to its counter.
fn energy(
    script: &Script,
    domain: &str,
    (from, to): (f64, f64),
    triggers: &[f64],
) -> Result<(f64, Vec<&'static str>), Failure> {
    if let Some(index) = domain.strip_prefix("gpu:") {
        let gpu = script.gpus.get(index.parse::<usize>()?).ok_or("there is no such GPU")?;
        let lost = gpu.lost_at.is_some_and(|lost| lost <= to);
        let words = if lost { vec!["lost"] } else { Vec::new() };
        return Ok((gpu.load.energy(to, triggers) - gpu.load.energy(from, triggers), words));
    }
    let zone = script.zones.iter().find(|z| z.path == domain).ok_or_else(|| format!("there is no zone {domain}"))?;
    let source = zone.copy_of.as_ref().and_then(|path| script.zones.iter().find(|z| z.path == *path)).unwrap_or(zone);
    Ok(((source.microjoules(to) - source.microjoules(from)) / 1e6, source.happenings(from, to)))
}

fn answer(
    script: &Script,
    origin: u64,
    domain: &str,
    (from, to): (u64, u64),
    triggers: &[f64],
) -> Result<String, Failure> {
    let second = |nanos: u64| (nanos as f64 - origin as f64) / 1e9;
    let window = (second(from), second(to));
    let (joules, events) = energy(script, domain, window, triggers)?;
    let mut words = String::new();
    for event in &events {
        write!(words, "{}\"{event}\"", if words.is_empty() { "" } else { "," })?;
    }
    Ok(format!(
        "{{\"domain\":\"{domain}\",\"from_ns\":{from},\"to_ns\":{to},\"from_s\":{:.6},\"to_s\":{:.6},\"energy_j\":{joules:.9},\
         \"events\":[{words}]}}",
        window.0, window.1
    ))
}

fn truth(script: &str, origin: &str, file: Option<&str>) -> Result<(), Failure> {
    let script = load(script)?;
    let origin: u64 = origin.parse()?;
    let triggers = triggers(file.map(Path::new), origin);
    let mut out = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        let line = line?;
        let &[domain, from, to] = line.split_whitespace().collect::<Vec<_>>().as_slice() else {
            return Err(format!("`{line}` is no window: DOMAIN FROM TO").into());
        };
        writeln!(out, "{}", answer(&script, origin, domain, (from.parse()?, to.parse()?), &triggers)?)?;
    }
    Ok(())
}

/// What `rig SCRIPT …` was asked for.
struct Order<'a> {
    at: Option<PathBuf>,
    real: bool,
    truth: Option<PathBuf>,
    command: &'a [&'a str],
}

impl<'a> Order<'a> {
    fn parse(mut words: &'a [&'a str]) -> Result<Self, Failure> {
        let mut order = Self { at: None, real: false, truth: None, command: &[] };
        loop {
            words = match words {
                ["--at", folder, rest @ ..] => {
                    order.at = Some(std::path::absolute(folder)?);
                    rest
                }
                ["--real", rest @ ..] => {
                    order.real = true;
                    rest
                }
                ["--truth", file, rest @ ..] => {
                    order.truth = Some(file.into());
                    rest
                }
                ["--", command @ ..] if !command.is_empty() => {
                    order.command = command;
                    return if order.real == order.at.is_some() {
                        Err("either --at DIR or --real says where the tree is".into())
                    } else {
                        Ok(order)
                    };
                }
                [word, ..] => return Err(format!("`{word}` is not understood").into()),
                [] => return Err("a command follows `--`".into()),
            };
        }
    }
}

/// A folder that is removed at the end.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn run(script: &str, words: &[&str]) -> Result<u8, Failure> {
    let order = Order::parse(words)?;
    let text = fs::read_to_string(script).map_err(|e| format!("{script}: {e}"))?;
    let script = load(script)?;
    let scratch = Scratch(std::env::temp_dir().join(format!("rig-{}", std::process::id())));
    fs::create_dir_all(&scratch.0)?;
    // Before the namespace is entered: there the right to it is gone.
    hurry(true);
    if order.real {
        own_sys()?;
    }
    let [base, links] = PLACES.map(|place| order.at.as_deref().unwrap_or(Path::new("/")).join(place));
    fs::create_dir_all(&base)?;
    fs::create_dir_all(&links)?;
    let triggered = scratch.0.join("triggers");
    fs::write(&triggered, "")?;
    let origin = monotonic() + 2_000_000;
    let mut command = Command::new(order.command[0]);
    command.args(&order.command[1..]);
    if !script.gpus.is_empty() || script.init.is_some() {
        let library = stand_in(&scratch.0, &format!("origin {origin}\n{text}"))?;
        let before = std::env::var("LD_LIBRARY_PATH").unwrap_or_default();
        command.env("LD_LIBRARY_PATH", format!("{}:{before}", scratch.0.display()));
        command.env("RIG_NVML", library);
    }
    command.env("RIG_ORIGIN", origin.to_string()).env("RIG_TRIGGERS", &triggered);
    command.env("RIG_ROOT", order.at.as_deref().unwrap_or(Path::new("/")));
    let tree = Tree::start(&script, &base, origin, Some(&links))?;
    hurry(false);
    sleep_until(origin);
    let from = monotonic();
    let status = command.status().map_err(|e| format!("{}: {e}", order.command[0]))?;
    let to = monotonic();
    let lateness = tree.stop();
    if let Some(path) = &order.truth {
        let triggers = triggers(Some(&triggered), origin);
        let domains = script.zones.iter().map(|z| z.path.clone());
        let gpus = (0..script.gpus.len()).map(|i| format!("gpu:{i}"));
        let mut lines = format!("{{\"origin_ns\":{origin},\"driver\":{}}}\n", lateness.json());
        for domain in domains.chain(gpus) {
            writeln!(lines, "{}", answer(&script, origin, &domain, (from, to), &triggers)?)?;
        }
        fs::write(path, lines)?;
        let mut copy = path.clone().into_os_string();
        copy.push(".triggers");
        fs::copy(&triggered, copy)?;
    }
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(71))
}

/// A copy of the NVML double with its own script, under the names by which it is looked for.
fn stand_in(folder: &Path, script: &str) -> Result<PathBuf, Failure> {
    let double = std::env::current_exe()?.with_file_name("libnvml_double.so");
    let library = folder.join("libnvidia-ml.so.1");
    fs::copy(&double, &library).map_err(|e| format!("{}: {e}; build the examples", double.display()))?;
    fs::write(library.with_extension("script"), script)?;
    std::os::unix::fs::symlink(&library, folder.join("libnvidia-ml.so"))?;
    Ok(library)
}

/// Enters a user and a mount namespace whose `/sys/class` and `/sys/devices/virtual` are empty.
fn own_sys() -> Result<(), Failure> {
    // SAFETY: both calls only ask for a number.
    let (user, group) = unsafe { (libc::geteuid(), libc::getegid()) };
    // SAFETY: no other thread runs yet, which is what the call needs.
    if unsafe { libc::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNS) } != 0 {
        return Err(format!("no namespace of its own: {}", io::Error::last_os_error()).into());
    }
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("0 {user} 1"))?;
    fs::write("/proc/self/gid_map", format!("0 {group} 1"))?;
    mount("none", "/", None, libc::MS_REC | libc::MS_PRIVATE)?;
    mount("none", "/sys/devices/virtual", Some("tmpfs"), 0)?;
    mount("none", "/sys/class", Some("tmpfs"), 0)
}

fn mount(source: &str, target: &str, kind: Option<&str>, flags: libc::c_ulong) -> Result<(), Failure> {
    let (source, place) = (CString::new(source)?, CString::new(target)?);
    let kind = kind.map(CString::new).transpose()?;
    let kind = kind.as_ref().map_or(std::ptr::null(), |k| k.as_ptr());
    // SAFETY: all strings end in zero and outlive the call; a null type and null data are allowed.
    if unsafe { libc::mount(source.as_ptr(), place.as_ptr(), kind, flags, std::ptr::null()) } == 0 {
        Ok(())
    } else {
        Err(format!("{target} cannot be mounted: {}", io::Error::last_os_error()).into())
    }
}
