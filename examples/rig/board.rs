//! What a script says of a GPU besides its power: what it is called, who uses it, and what goes wrong with it.

use crate::script::{after, end, next, number, span};
use std::str::SplitWhitespace;

/// A board.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Board {
    pub(crate) uuid: Option<String>,
    pub(crate) pci: Option<String>,
    /// Clock of the multiprocessors in MHz, from and to, besides 1980 at other times.
    pub(crate) slow_sm: Option<(u32, f64, f64)>,
    /// Throttled for heat from and to, and again after so many seconds.
    pub(crate) slowdown: Option<(f64, f64, Option<f64>)>,
    /// Errors of the memory so far at second 0, and one more each time so many seconds have passed.
    pub(crate) corrected: Option<(u64, Option<f64>)>,
    pub(crate) uncorrected: Option<(u64, Option<f64>)>,
    /// The number of an error, and how often it happens.
    pub(crate) xid: Option<(u64, f64)>,
    /// Processes with a context; `None` where the driver does not list them.
    pub(crate) processes: Option<Vec<Process>>,
}

/// A process with a context on the GPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Process {
    /// Its number; `None` is the process that asks.
    pub(crate) pid: Option<u32>,
    /// Whether its context is one of graphics.
    pub(crate) graphics: bool,
    /// Its share of the multiprocessors, in percent; `None` where the driver does not say.
    pub(crate) sm: Option<u32>,
}

impl Board {
    /// Takes in a statement; false for one that is about something else.
    pub(crate) fn statement(&mut self, word: &str, rest: &str) -> Result<bool, String> {
        let mut words = rest.split_whitespace();
        match word {
            "uuid" => self.uuid = Some(next(&mut words, "a UUID")?),
            "pci" => self.pci = Some(next(&mut words, "an address")?),
            "slow-sm" => {
                let (megahertz, (from, to)) = (next(&mut words, "MHz")?, span(&mut words)?);
                self.slow_sm = Some((megahertz, from, to));
            }
            "slowdown" => {
                let (from, to) = span(&mut words)?;
                self.slowdown = Some((from, to, every(&mut words)?));
            }
            "ecc" => {
                let kind: String = next(&mut words, "corrected or uncorrected")?;
                let errors = Some((next(&mut words, "a number of errors")?, every(&mut words)?));
                match kind.as_str() {
                    "corrected" => self.corrected = errors,
                    "uncorrected" => self.uncorrected = errors,
                    _ => return Err(format!("`{kind}` is no kind of error: corrected, uncorrected")),
                }
            }
            "xid" => {
                let code = next(&mut words, "the number of an error")?;
                self.xid = Some((code, every(&mut words)?.ok_or("how often: `every SECONDS`")?));
            }
            "process" => self.process(&mut words)?,
            "processes" if rest == "none" => self.processes = Some(Vec::new()),
            _ => return Ok(false),
        }
        if word != "processes" {
            end(&mut words)?;
        }
        Ok(true)
    }

    fn process(&mut self, words: &mut SplitWhitespace<'_>) -> Result<(), String> {
        let pid = match words.next() {
            Some("self") => None,
            word => Some(number(word.unwrap_or_default(), "the number of a process")?),
        };
        let mut process = Process { pid, graphics: false, sm: None };
        while let Some(word) = words.next() {
            match word {
                "graphics" => process.graphics = true,
                "sm" => process.sm = Some(next(words, "percent")?),
                _ => return Err(format!("`{word}` is not understood here")),
            }
        }
        self.processes.get_or_insert_default().push(process);
        Ok(())
    }

    /// Whether it is throttled for heat at this second.
    pub(crate) fn is_throttled(&self, seconds: f64) -> bool {
        self.slowdown.is_some_and(|(from, to, every)| {
            let into =
                every.map_or(seconds, |every| if seconds < from { seconds } else { from + (seconds - from) % every });
            (from..to).contains(&into)
        })
    }

    /// Clock of the multiprocessors in MHz.
    pub(crate) fn sm_clock(&self, seconds: f64) -> u32 {
        match self.slow_sm {
            Some((megahertz, from, to)) if (from..to).contains(&seconds) => megahertz,
            _ => 1980,
        }
    }
}

/// How often something happened by this second that happens every so many.
pub(crate) fn times(seconds: f64, every: f64) -> u64 {
    (seconds / every).max(0.0) as u64
}

fn every(words: &mut SplitWhitespace<'_>) -> Result<Option<f64>, String> {
    match after(words, "every")? {
        Some(seconds) if seconds <= 0.0 => Err("longer than 0 s".to_owned()),
        every => Ok(every),
    }
}
