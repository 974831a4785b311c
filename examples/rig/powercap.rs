//! A powercap tree that is driven by a known power, so that tests have a true energy to compare.
//!
//! ```text
//! powercap_double FOLDER [period-us=976] ZONE...
//! ZONE = path=name,KEY=VALUE,...   intel-rapl:0/intel-rapl:0:1=dram,power=5.5
//!   power=65           watts; or steps `power=0:65/1.5:120`: from second 0 on 65 W, from 1.5 on 120 W
//!   start=1000000      first value in µJ             range=262143328850   last value before the wrap
//!   reset-at=2         set back to 0 at second 2     vanish-at=3          removed at second 3
//!   no-range           no max_energy_range_uj file
//!   EVENT@2            any event of the rig's scripts, with `_` for blanks: says_empty_for_0.5@2
//! ```
//!
//! It prints `ready` once all files exist, then answers lines on its standard input:
//! `energy PATH FROM TO` with the true energy in µJ that the zone drew between two readings of
//! `CLOCK_MONOTONIC` in nanoseconds, `quit` by ending. The end of the input ends it too.
//!
//! It is the tree of the rig for tests that make up their machine as they go.

#![allow(dead_code, clippy::allow_attributes, reason = "it has no GPUs, which the modules it shares know")]
#![expect(clippy::print_stdout, reason = "the answers are its interface")]

mod board;
mod curve;
mod script;
mod tree;

use script::Script;
use std::fmt::Write as _;
use std::io::{self, BufRead, Write};
use std::path::PathBuf;
use tree::{Tree, hurry, monotonic};

type Failure = Box<dyn std::error::Error>;

/// The statements of the rig's script that an argument stands for.
fn statements(argument: &str) -> Result<String, Failure> {
    let (path, rest) = argument.split_once('=').ok_or("a zone is path=name,...")?;
    let mut parts = rest.split(',');
    let mut text = format!("zone {path} {}\n", parts.next().unwrap_or_default());
    for part in parts {
        match part.split_once('=') {
            Some(("power", steps)) if steps.contains(':') => {
                for step in steps.split('/') {
                    let (second, watts) = step.split_once(':').ok_or("a step is second:watts")?;
                    writeln!(text, "power from {second} {watts}")?;
                }
            }
            Some(("power", watts)) => writeln!(text, "power constant {watts}")?,
            Some((word @ ("start" | "range"), value)) => writeln!(text, "{word} {value}")?,
            Some(("reset-at", second)) => writeln!(text, "at {second} reset")?,
            Some(("vanish-at", second)) => writeln!(text, "at {second} vanish")?,
            None if part == "no-range" => text.push_str("range none\n"),
            None if part.contains('@') => {
                let (event, second) = part.split_once('@').unwrap_or_default();
                writeln!(text, "at {second} {}", event.replace('_', " "))?;
            }
            _ => return Err(format!("`{part}` is no property of a zone").into()),
        }
    }
    Ok(text)
}

fn reply(command: &str, script: &Script, origin: u64) -> Result<String, Failure> {
    let words: Vec<&str> = command.split_whitespace().collect();
    let &["energy", path, from, to] = words.as_slice() else {
        return Err(format!("`{command}` is no command").into());
    };
    let zone = script.zones.iter().find(|z| z.path == path).ok_or("there is no such zone")?;
    let at = |text: &str| -> Result<f64, Failure> { Ok(text.parse::<u64>()?.saturating_sub(origin) as f64 / 1e9) };
    Ok(format!("{:.0}", zone.microjoules(at(to)?) - zone.microjoules(at(from)?)))
}

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1).peekable();
    let base = PathBuf::from(arguments.next().ok_or("usage: powercap_double FOLDER [period-us=N] ZONE...")?);
    let mut text = String::new();
    if let Some(period) = arguments.next_if(|a| a.starts_with("period-us=")) {
        writeln!(text, "{}", period.replace('=', " "))?;
    }
    for argument in arguments {
        text.push_str(&statements(&argument)?);
    }
    let script = Script::parse(&text)?;
    let origin = monotonic();
    hurry(true);
    let tree = Tree::start(&script, &base, origin, None)?;
    hurry(false);
    println!("ready");
    io::stdout().flush()?;
    for command in io::stdin().lock().lines() {
        let command = command?;
        if command == "quit" {
            break;
        }
        match reply(&command, &script, origin) {
            Ok(answer) => println!("{answer}"),
            Err(error) => println!("error: {error}"),
        }
        io::stdout().flush()?;
    }
    tree.stop();
    Ok(())
}
