//! The script of a machine: which counters it has, what they draw and what happens to them.
//!
//! One statement a line; `#` begins a comment. `zone` and `gpu` begin a domain, and the statements
//! below describe it. Times are seconds since the machine started.
//!
//! ```text
//! period-us 976                    the counters of the tree change this often
//! zone PATH NAME                   a powercap zone: folder below the tree, contents of `name`
//! gpu NVIDIA H200                  a GPU of this name
//!
//! power constant 65 [for 2]        watts, for so many seconds; without `for` to the end
//! power ramp 20 120 for 1          from 20 W to 120 W
//! power sine 65 40 0.5 [for 3]     mean, amplitude, period
//! power steps 20 120 80 each 0.3   one constant after the other
//! power from 1.5 120               from this second on so many watts
//! repeat                           all of the above begins again
//! on-trigger 70                    draws 70 W until the trigger, at which the curve begins (anew)
//! at 2 [every 5] EVENT             see below
//! ```
//!
//! Of a zone: `start 1000000` (first value in µJ), `range 262143328850` or `range none`, `wrap-at 1.5`
//! (starts so that it wraps at this second), `copy-of PATH` (shows that zone's counter). Events:
//! `reset [µJ]`, `stall for 0.5` (no updates), `vanish`, `chmod 000`, `eio`, and `says TEXT [for 0.5]`
//! (`empty`, `truncated`, or the text itself: `says -12`).
//!
//! Of a GPU: `counter-ms 20` (the energy counter changes this often), `energy-start-mj 5000000`,
//! `limit-mw 700000`, `sampled 25 100` (power is the mean of 25 ms, every 100 ms), `average 1000`
//! (power usage is the mean of the last 1000 ms), `without energy` (also: fields, power, clock,
//! temperature, throttle, limit), `lost-at 3`, `mig` (split into instances), `slowdown 1 2 [every 3]` (throttled for
//! heat from second 1 to 2), `slow-sm 600 1 2` (MHz from second 1 to 2; else 1980), `uuid GPU-…`, `pci 00000000:3B:00.0`,
//! `ecc uncorrected 0 [every 0.5]` (or corrected: errors so far, and one more each time), `xid 79 every 0.5`,
//! `process 4242 [graphics] [sm 40]` (has a context and so many percent; `self` is whoever asks), `processes none` (the driver
//! lists none, and without either it lists nothing). Of earlier scripts: `period-ms 20` (energy and power
//! change this often), `power SECOND MILLIWATTS`.
//!
//! Of NVML as a whole: `driver 580.82.07`, `init driver-not-loaded` (also: no-permission),
//! `fail nvmlDeviceGetPowerUsage 999 [from 2]`, `reload 1 2` (the driver is away from second 1 to 2; then
//! `nvmlInit` has to be called again, and energy counts from second 2 anew), and `origin NS`: second 0 on `CLOCK_MONOTONIC`, which
//! the rig writes for its copy of the library.

use crate::board::Board;
use crate::curve::{Load, Shape};
use std::str::{FromStr, SplitWhitespace};

/// A whole machine.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Script {
    /// Update period of the tree.
    pub(crate) period_us: u64,
    /// Second 0 on `CLOCK_MONOTONIC`.
    pub(crate) origin: Option<u64>,
    pub(crate) init: Option<String>,
    pub(crate) driver: String,
    pub(crate) zones: Vec<Zone>,
    pub(crate) gpus: Vec<Gpu>,
    pub(crate) failures: Vec<Failure>,
    /// When the driver goes away and when it is there again.
    pub(crate) reload: Option<(f64, f64)>,
}

/// A powercap zone.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Zone {
    pub(crate) path: String,
    pub(crate) name: String,
    pub(crate) load: Load,
    pub(crate) start: u64,
    /// Last value before the wrap.
    pub(crate) range: u64,
    pub(crate) states_range: bool,
    wrap_at: Option<f64>,
    pub(crate) copy_of: Option<String>,
    pub(crate) events: Vec<Event>,
}

/// Something that happens to a zone.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Event {
    at: f64,
    every: Option<f64>,
    pub(crate) what: What,
}

/// What happens.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum What {
    Reset(u64),
    /// Seconds without an update.
    Stall(f64),
    Vanish,
    Chmod(u32),
    /// Reads of the file fail with EIO from then on.
    Eio,
    /// The file holds this for so many seconds.
    Says(String, f64),
}

impl What {
    /// The word of the script.
    pub(crate) const fn word(&self) -> &'static str {
        match self {
            Self::Reset(_) => "reset",
            Self::Stall(_) => "stall",
            Self::Vanish => "vanish",
            Self::Chmod(_) => "chmod",
            Self::Eio => "eio",
            Self::Says(..) => "says",
        }
    }

    const fn lasts(&self) -> f64 {
        match self {
            Self::Reset(_) => 0.0,
            Self::Stall(seconds) | Self::Says(_, seconds) => *seconds,
            Self::Vanish | Self::Chmod(_) | Self::Eio => f64::INFINITY,
        }
    }
}

impl Event {
    /// The last time at or before `t` that it happened.
    pub(crate) fn last(&self, t: f64) -> Option<f64> {
        if t < self.at {
            return None;
        }
        Some(self.every.map_or(self.at, |every| self.at + ((t - self.at) / every).floor() * every))
    }

    /// Whether it happens or goes on between `from` and `to`.
    pub(crate) fn touches(&self, from: f64, to: f64) -> bool {
        self.last(to).is_some_and(|last| last + self.what.lasts() >= from)
    }
}

/// A GPU.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Gpu {
    pub(crate) name: String,
    pub(crate) load: Load,
    /// Update period of energy, and of power where nothing else is said, in seconds.
    pub(crate) period: Option<f64>,
    pub(crate) counter_period: Option<f64>,
    pub(crate) energy_start_mj: u64,
    pub(crate) limit_mw: u32,
    /// Seconds averaged and seconds between two averages.
    pub(crate) sampled: Option<(f64, f64)>,
    pub(crate) average: Option<f64>,
    pub(crate) without: Vec<String>,
    pub(crate) lost_at: Option<f64>,
    pub(crate) mig: bool,
    pub(crate) board: Board,
}

/// A function of NVML that fails.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Failure {
    pub(crate) function: String,
    pub(crate) code: u32,
    pub(crate) from: f64,
}

enum Within {
    Machine,
    Zone,
    Gpu,
}

impl Script {
    /// Reads a script.
    ///
    /// # Errors
    /// The line and what is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut script = Self {
            period_us: 976,
            origin: None,
            init: None,
            driver: "580.82.07".to_owned(),
            zones: Vec::new(),
            gpus: Vec::new(),
            failures: Vec::new(),
            reload: None,
        };
        let mut within = Within::Machine;
        for (number, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if let Some((word, rest)) =
                line.split_once(char::is_whitespace).or((!line.is_empty()).then_some((line, "")))
            {
                script
                    .statement(word, rest.trim(), &mut within)
                    .map_err(|problem| format!("line {}: {problem}", number + 1))?;
            }
        }
        script.finish()?;
        Ok(script)
    }

    fn statement(&mut self, word: &str, rest: &str, within: &mut Within) -> Result<(), String> {
        let mut words = rest.split_whitespace();
        match word {
            "period-us" => self.period_us = next::<u64>(&mut words, "microseconds")?.clamp(10, 10_000_000),
            "origin" => self.origin = Some(next(&mut words, "nanoseconds")?),
            "driver" => self.driver = rest.to_owned(),
            "reload" => self.reload = Some(span(&mut words)?),
            "init" if matches!(rest, "driver-not-loaded" | "no-permission") => self.init = Some(rest.to_owned()),
            "fail" => {
                let (function, code) = (next(&mut words, "a function")?, next(&mut words, "an error code")?);
                let from = after(&mut words, "from")?.unwrap_or(f64::NEG_INFINITY);
                self.failures.push(Failure { function, code, from });
            }
            "zone" => {
                let (path, name) = (next::<String>(&mut words, "a path")?, next(&mut words, "a name")?);
                if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
                    return Err(format!("`{path}` does not stay below the tree"));
                }
                self.zones.push(Zone::new(path, name));
                *within = Within::Zone;
                return Ok(());
            }
            "gpu" if !rest.is_empty() => {
                self.gpus.push(Gpu::new(rest));
                *within = Within::Gpu;
                return Ok(());
            }
            _ => {
                return match (&*within, self.zones.last_mut(), self.gpus.last_mut()) {
                    (Within::Zone, Some(zone), _) => zone.statement(word, rest),
                    (Within::Gpu, _, Some(gpu)) => gpu.statement(word, rest),
                    _ => Err(format!("`{word}` describes a domain; begin one with `zone` or `gpu`")),
                };
            }
        }
        end(&mut words).or(if matches!(word, "driver" | "init") { Ok(()) } else { Err("too many words".to_owned()) })
    }

    /// What can be settled only when all is known.
    fn finish(&mut self) -> Result<(), String> {
        let paths: Vec<String> = self.zones.iter().map(|z| z.path.clone()).collect();
        for zone in &mut self.zones {
            if let Some(source) = &zone.copy_of
                && !paths.contains(source)
            {
                return Err(format!("zone {}: there is no zone {source} to copy", zone.path));
            }
            if let Some(second) = zone.wrap_at {
                let drawn = (zone.load.energy(second, &[]) * 1e6) as u64 % (zone.range + 1);
                zone.start = zone.range + 1 - drawn.max(1);
            }
        }
        Ok(())
    }
}

impl Zone {
    fn new(path: String, name: String) -> Self {
        Self {
            path,
            name,
            load: Load::default(),
            start: 1_000_000,
            range: 262_143_328_850,
            states_range: true,
            wrap_at: None,
            copy_of: None,
            events: Vec::new(),
        }
    }

    fn statement(&mut self, word: &str, rest: &str) -> Result<(), String> {
        if word == "on-trigger" {
            return Err("only GPUs wait for a trigger".to_owned());
        }
        if load_statement(&mut self.load, word, rest)? {
            return Ok(());
        }
        let mut words = rest.split_whitespace();
        match word {
            "start" => self.start = next(&mut words, "µJ")?,
            "range" if rest == "none" => {
                self.states_range = false;
                return Ok(());
            }
            "range" => self.range = next::<u64>(&mut words, "µJ")?.clamp(1, u64::MAX - 1),
            "wrap-at" => self.wrap_at = Some(seconds(&mut words)?),
            "copy-of" => self.copy_of = Some(next(&mut words, "a path")?),
            "at" => {
                let at = seconds(&mut words)?;
                let mut what: Option<String> = words.next().map(str::to_owned);
                let mut every = None;
                if what.as_deref() == Some("every") {
                    every = Some(seconds(&mut words)?).filter(|e| *e > 0.0);
                    what = words.next().map(str::to_owned);
                }
                let what = match what.as_deref() {
                    Some("reset") => What::Reset(words.next().map_or(Ok(0), |w| number(w, "µJ"))?),
                    Some("stall") => What::Stall(after(&mut words, "for")?.unwrap_or(f64::INFINITY)),
                    Some("vanish") => What::Vanish,
                    Some("eio") => What::Eio,
                    Some("chmod") => {
                        let mode: String = next(&mut words, "a mode")?;
                        What::Chmod(u32::from_str_radix(&mode, 8).map_err(|_| format!("`{mode}` is no mode"))?)
                    }
                    Some("says") => {
                        let text: String = next(&mut words, "a text")?;
                        What::Says(text, after(&mut words, "for")?.unwrap_or(f64::INFINITY))
                    }
                    other => return Err(format!("`{}` is no event", other.unwrap_or_default())),
                };
                self.events.push(Event { at, every, what });
            }
            _ => return Err(format!("`{word}` is no property of a zone")),
        }
        end(&mut words)
    }
}

impl Gpu {
    fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            load: Load::default(),
            period: None,
            counter_period: None,
            energy_start_mj: 5_000_000,
            limit_mw: 700_000,
            sampled: None,
            average: None,
            without: Vec::new(),
            lost_at: None,
            mig: false,
            board: Board::default(),
        }
    }

    fn statement(&mut self, word: &str, rest: &str) -> Result<(), String> {
        let mut words = rest.split_whitespace();
        if word == "power" && rest.starts_with(|c: char| c.is_ascii_digit()) {
            let (second, milliwatts) = (seconds(&mut words)?, next::<u32>(&mut words, "milliwatts")?);
            self.load.curve.step_at(second, f64::from(milliwatts) / 1e3)?;
            return end(&mut words);
        }
        if load_statement(&mut self.load, word, rest)? || self.board.statement(word, rest)? {
            return Ok(());
        }
        let milliseconds = |words: &mut SplitWhitespace<'_>| -> Result<f64, String> {
            Some(seconds(words)? / 1e3).filter(|s| *s > 0.0).ok_or_else(|| "longer than 0 ms".to_owned())
        };
        match word {
            "period-ms" => self.period = Some(milliseconds(&mut words)?),
            "counter-ms" => self.counter_period = Some(milliseconds(&mut words)?),
            "energy-start-mj" => self.energy_start_mj = next(&mut words, "mJ")?,
            "limit-mw" => self.limit_mw = next(&mut words, "mW")?,
            "sampled" => self.sampled = Some((milliseconds(&mut words)?, milliseconds(&mut words)?)),
            "average" => self.average = Some(milliseconds(&mut words)?),
            "without" => self.without.push(next(&mut words, "a function")?),
            "lost-at" => self.lost_at = Some(seconds(&mut words)?),
            "mig" => self.mig = true,
            _ => return Err(format!("`{word}` is no property of a GPU")),
        }
        end(&mut words)
    }
}

/// Statements that zones and GPUs share; false for any other.
fn load_statement(load: &mut Load, word: &str, rest: &str) -> Result<bool, String> {
    let mut words = rest.split_whitespace();
    match word {
        "repeat" => load.curve.repeat()?,
        "on-trigger" => load.idle = Some(next(&mut words, "watts")?),
        "power" => match words.next() {
            Some("steps") => {
                let mut watts = Vec::new();
                let each = loop {
                    match words.next() {
                        Some("each") => break seconds(&mut words)?,
                        Some(word) => watts.push(number::<f64>(word, "watts")?),
                        None => return Err("steps end with `each SECONDS`".to_owned()),
                    }
                };
                for watts in watts {
                    load.curve.push(Shape::Constant(watts), each)?;
                }
            }
            Some("from") => load.curve.step_at(seconds(&mut words)?, next(&mut words, "watts")?)?,
            Some(kind @ ("constant" | "ramp" | "sine")) => {
                let first = next(&mut words, "watts")?;
                let shape = match kind {
                    "constant" => Shape::Constant(first),
                    "ramp" => Shape::Ramp(first, next(&mut words, "watts")?),
                    _ => Shape::Sine(first, next(&mut words, "watts")?, next(&mut words, "seconds")?),
                };
                load.curve.push(shape, after(&mut words, "for")?.unwrap_or(f64::INFINITY))?;
            }
            other => {
                return Err(format!("`{}` is no curve: constant, ramp, sine, steps, from", other.unwrap_or_default()));
            }
        },
        _ => return Ok(false),
    }
    end(&mut words).map(|()| true)
}

pub(crate) fn number<T: FromStr>(word: &str, what: &str) -> Result<T, String> {
    word.parse().map_err(|_| format!("`{word}` is not {what}"))
}

pub(crate) fn next<T: FromStr>(words: &mut SplitWhitespace<'_>, what: &str) -> Result<T, String> {
    number(words.next().ok_or_else(|| format!("{what} is missing"))?, what)
}

fn seconds(words: &mut SplitWhitespace<'_>) -> Result<f64, String> {
    let value: f64 = next(words, "seconds")?;
    if value.is_finite() && value >= 0.0 { Ok(value) } else { Err(format!("{value} s is no time")) }
}

/// Two times, the second of them later.
pub(crate) fn span(words: &mut SplitWhitespace<'_>) -> Result<(f64, f64), String> {
    let (from, to) = (seconds(words)?, seconds(words)?);
    if from < to { Ok((from, to)) } else { Err(format!("{to} s is not after {from} s")) }
}

/// The number after `keyword`, where it stands there.
pub(crate) fn after(words: &mut SplitWhitespace<'_>, keyword: &str) -> Result<Option<f64>, String> {
    match words.next() {
        None => Ok(None),
        Some(word) if word == keyword => seconds(words).map(Some),
        Some(word) => Err(format!("`{word}` is not understood here")),
    }
}

pub(crate) fn end(words: &mut SplitWhitespace<'_>) -> Result<(), String> {
    words.next().map_or(Ok(()), |word| Err(format!("`{word}` is not understood here")))
}
