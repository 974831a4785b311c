//! A powercap tree that is driven by a known power, so that tests have a true energy to compare.
//!
//! ```text
//! powercap_double FOLDER [period-us=976] ZONE...
//! ZONE = path=name,KEY=VALUE,...   intel-rapl:0/intel-rapl:0:1=dram,power=5.5
//!   power=65           watts; or steps `power=0:65/1.5:120`: from second 0 on 65 W, from 1.5 on 120 W
//!   start=1000000      first value in µJ             range=262143328850   last value before the wrap
//!   reset-at=2         set back to 0 at second 2     vanish-at=3          removed at second 3
//!   no-range           no max_energy_range_uj file
//! ```
//!
//! It prints `ready` once all files exist, then answers lines on its standard input:
//! `energy PATH FROM TO` with the true energy in µJ that the zone drew between two readings of
//! `CLOCK_MONOTONIC` in nanoseconds, `quit` by ending. The end of the input ends it too.
//!
//! Values have a fixed width and are written in place with one system call, because readers keep
//! the files open and must never see half a number.

#![expect(unsafe_code, reason = "clock_gettime")]
#![expect(clippy::print_stdout, reason = "the answers are its interface")]

use std::fs::{self, File};
use std::io::{self, BufRead, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

type Failure = Box<dyn std::error::Error>;

/// What a zone does.
#[derive(Clone)]
struct Zone {
    path: String,
    name: String,
    /// Second and watts from then on.
    power: Vec<(f64, f64)>,
    start: u64,
    range: u64,
    states_range: bool,
    reset_at: Option<f64>,
    vanish_at: Option<f64>,
}

impl Zone {
    fn parse(text: &str) -> Result<Self, Failure> {
        let (path, rest) = text.split_once('=').ok_or("a zone is path=name,...")?;
        let mut parts = rest.split(',');
        let name = parts.next().unwrap_or_default().to_owned();
        let mut zone = Self {
            path: path.to_owned(),
            name,
            power: Vec::new(),
            start: 1_000_000,
            range: 262_143_328_850,
            states_range: true,
            reset_at: None,
            vanish_at: None,
        };
        for part in parts {
            match part.split_once('=') {
                Some(("power", curve)) => zone.power = power_curve(curve)?,
                Some(("start", value)) => zone.start = value.parse()?,
                Some(("range", value)) => zone.range = value.parse()?,
                Some(("reset-at", value)) => zone.reset_at = Some(value.parse()?),
                Some(("vanish-at", value)) => zone.vanish_at = Some(value.parse()?),
                None if part == "no-range" => zone.states_range = false,
                _ => return Err(format!("`{part}` is no property of a zone").into()),
            }
        }
        Ok(zone)
    }

    /// True energy from the start to `seconds`, in µJ.
    fn energy(&self, seconds: f64) -> f64 {
        let ends = self.power.iter().skip(1).map(|step| step.0).chain([f64::INFINITY]);
        let joules: f64 =
            self.power.iter().zip(ends).map(|(step, end)| (end.min(seconds) - step.0).max(0.0) * step.1).sum();
        joules * 1e6
    }

    /// What the counter shows at `seconds`.
    fn counter(&self, seconds: f64) -> u64 {
        let raw = match self.reset_at {
            Some(reset) if seconds >= reset => (self.energy(seconds) - self.energy(reset)) as u64,
            _ => self.start + self.energy(seconds) as u64,
        };
        raw % (self.range + 1)
    }

    /// Makes the files; returns the open counter.
    fn create(&self, base: &Path) -> io::Result<(PathBuf, File)> {
        let folder = base.join(&self.path);
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("name"), format!("{}\n", self.name))?;
        if self.states_range {
            fs::write(folder.join("max_energy_range_uj"), format!("{}\n", self.range))?;
        }
        let file = File::create(folder.join("energy_uj"))?;
        file.write_all_at(line(self.counter(0.0)).as_bytes(), 0)?;
        Ok((folder, file))
    }
}

fn power_curve(text: &str) -> Result<Vec<(f64, f64)>, Failure> {
    if !text.contains(':') {
        return Ok(vec![(0.0, text.parse()?)]);
    }
    text.split('/')
        .map(|step| {
            let (second, watts) = step.split_once(':').ok_or("a step is second:watts")?;
            Ok((second.parse()?, watts.parse()?))
        })
        .collect()
}

fn line(value: u64) -> String {
    format!("{value:020}\n")
}

/// `CLOCK_MONOTONIC` in nanoseconds: the same for every process of the machine.
fn monotonic() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid place for the answer and outlives the call.
    let status = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    assert_eq!(status, 0, "every Linux has a monotonic clock");
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Keeps the counters going until `stop`.
fn drive(zones: &[Zone], mut open: Vec<Option<(PathBuf, File)>>, start: u64, period: Duration, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        for (zone, place) in zones.iter().zip(&mut open) {
            let seconds = (monotonic() - start) as f64 / 1e9;
            let Some((folder, file)) = place else { continue };
            if zone.vanish_at.is_some_and(|vanish| seconds >= vanish) {
                // First removed, then emptied: readers that kept it open see no empty file that is there.
                let _ = fs::remove_dir_all(folder);
                let _ = file.set_len(0);
                *place = None;
            } else if let Err(error) = file.write_all_at(line(zone.counter(seconds)).as_bytes(), 0) {
                println!("error: {}: {error}", zone.path);
                return;
            }
        }
        std::thread::sleep(period);
    }
}

fn reply(command: &str, zones: &[Zone], start: u64) -> Result<String, Failure> {
    let words: Vec<&str> = command.split_whitespace().collect();
    let &["energy", path, from, to] = words.as_slice() else {
        return Err(format!("`{command}` is no command").into());
    };
    let zone = zones.iter().find(|z| z.path == path).ok_or("there is no such zone")?;
    let at = |text: &str| -> Result<f64, Failure> { Ok(text.parse::<u64>()?.saturating_sub(start) as f64 / 1e9) };
    Ok(format!("{:.0}", zone.energy(at(to)?) - zone.energy(at(from)?)))
}

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1).peekable();
    let base = PathBuf::from(arguments.next().ok_or("usage: powercap_double FOLDER [period-us=N] ZONE...")?);
    let period = arguments.next_if(|a| a.starts_with("period-us="));
    let period = period.map_or(Ok(976), |text| text["period-us=".len()..].parse())?;
    let zones = arguments.map(|text| Zone::parse(&text)).collect::<Result<Vec<_>, _>>()?;
    let open = zones.iter().map(|zone| zone.create(&base).map(Some)).collect::<Result<Vec<_>, _>>()?;
    let start = monotonic();
    let stop = Arc::new(AtomicBool::new(false));
    let driver = std::thread::spawn({
        let (zones, stop) = (zones.clone(), Arc::clone(&stop));
        move || drive(&zones, open, start, Duration::from_micros(period), &stop)
    });
    println!("ready");
    io::stdout().flush()?;
    for command in io::stdin().lock().lines() {
        let command = command?;
        if command == "quit" {
            break;
        }
        match reply(&command, &zones, start) {
            Ok(answer) => println!("{answer}"),
            Err(error) => println!("error: {error}"),
        }
        io::stdout().flush()?;
    }
    stop.store(true, Ordering::Relaxed);
    driver.join().map_err(|_| "the driver panicked")?;
    Ok(())
}
