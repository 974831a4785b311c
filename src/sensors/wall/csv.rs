//! Reading a meter's log: CSV with a header, as loggers of Shelly, Yokogawa and many others write it.
//!
//! Lines that begin with `#` and empty lines are skipped, and so is whatever stands before the
//! header. The separator is `,`, `;` or a tab, whichever the header has most of; beside `;` and tabs
//! a comma is a decimal point. Times are ISO 8601, or numbers: seconds of any zero, or milliseconds.

use super::Row;
use crate::units::{Joules, Seconds, Watts};
use time::format_description::well_known::{Iso8601, Rfc3339};
use time::{OffsetDateTime, PrimitiveDateTime};

/// Rows that are read at most: 23 days at one a second. A longer log is refused.
pub const MAX_ROWS: usize = 2_000_000;

/// The header has to stand within this many lines.
const HEADER_WITHIN: usize = 200;

/// Which columns are read, by the names in the header; `None` finds them by their usual names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Columns {
    /// The column of times.
    pub time: Option<(String, Option<TimeUnit>)>,
    /// The column of power.
    pub power: Option<(String, Option<PowerUnit>)>,
    /// The column of cumulative energy.
    pub energy: Option<(String, Option<EnergyUnit>)>,
}

/// How times are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeUnit {
    /// ISO 8601; without a zone it is taken as UTC, which makes no difference within one log.
    Iso,
    /// Seconds since any zero.
    Seconds,
    /// Milliseconds since any zero.
    Milliseconds,
}

/// Unit of a power column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PowerUnit {
    /// mW.
    Milliwatts,
    /// W.
    Watts,
    /// kW.
    Kilowatts,
}

/// Unit of an energy column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EnergyUnit {
    /// J.
    Joules,
    /// Wh.
    WattHours,
    /// kWh.
    KilowattHours,
}

impl PowerUnit {
    const fn watts(self) -> f64 {
        match self {
            Self::Milliwatts => 1e-3,
            Self::Watts => 1.0,
            Self::Kilowatts => 1e3,
        }
    }

    fn parse(word: &str) -> Option<Self> {
        match word {
            "mW" | "mw" => Some(Self::Milliwatts),
            "W" | "w" => Some(Self::Watts),
            "kW" | "kw" | "KW" => Some(Self::Kilowatts),
            _ => None,
        }
    }
}

impl EnergyUnit {
    const fn joules(self) -> f64 {
        match self {
            Self::Joules => 1.0,
            Self::WattHours => 3600.0,
            Self::KilowattHours => 3.6e6,
        }
    }

    fn parse(word: &str) -> Option<Self> {
        match word.to_ascii_lowercase().as_str() {
            "j" => Some(Self::Joules),
            "wh" => Some(Self::WattHours),
            "kwh" => Some(Self::KilowattHours),
            _ => None,
        }
    }
}

impl Columns {
    /// Reads `time=NAME[:iso|s|ms],power=NAME[:W|mW|kW],energy=NAME[:Wh|kWh|J]`.
    ///
    /// # Errors
    /// What is wrong, with what to write.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut columns = Self::default();
        for part in text.split(',').map(str::trim) {
            let help = || format!("`{part}` is no column; write time=NAME, power=NAME:W or energy=NAME:Wh");
            let (kind, rest) = part.split_once('=').ok_or_else(help)?;
            let (name, unit) = match rest.rsplit_once(':') {
                Some((name, unit)) => (name, Some(unit)),
                None => (rest, None),
            };
            if name.is_empty() {
                return Err(help());
            }
            let name = name.to_owned();
            let wrong = |units: &str| format!("`{}` is no unit of {kind}; write {units}", unit.unwrap_or_default());
            match kind {
                "time" => {
                    let unit = match unit {
                        None => None,
                        Some("iso") => Some(TimeUnit::Iso),
                        Some("s") => Some(TimeUnit::Seconds),
                        Some("ms") => Some(TimeUnit::Milliseconds),
                        Some(_) => return Err(wrong("iso, s or ms")),
                    };
                    columns.time = Some((name, unit));
                }
                "power" => {
                    let unit = unit.map(|u| PowerUnit::parse(u).ok_or_else(|| wrong("W, mW or kW"))).transpose()?;
                    columns.power = Some((name, unit));
                }
                "energy" => {
                    let unit = unit.map(|u| EnergyUnit::parse(u).ok_or_else(|| wrong("Wh, kWh or J"))).transpose()?;
                    columns.energy = Some((name, unit));
                }
                _ => return Err(help()),
            }
        }
        Ok(columns)
    }
}

/// Where things stand in a line.
struct Layout {
    separator: char,
    time: (usize, Option<TimeUnit>),
    power: Option<(usize, PowerUnit)>,
    energy: Option<(usize, EnergyUnit)>,
}

/// What a log is, read line by line: the header once, then rows as they come.
pub struct Reader {
    columns: Columns,
    layout: Option<Layout>,
    lines: usize,
    rows: Vec<Row>,
}

impl Reader {
    /// A reader that has seen nothing.
    #[must_use]
    pub const fn new(columns: Columns) -> Self {
        Self { columns, layout: None, lines: 0, rows: Vec::new() }
    }

    /// Forgets the rows so far and keeps the header: what comes next is new.
    pub fn skip(&mut self) {
        self.rows.clear();
    }

    /// The rows so far.
    #[must_use]
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Whether the header was found.
    #[must_use]
    pub const fn has_header(&self) -> bool {
        self.layout.is_some()
    }

    /// Takes in one line without its end.
    ///
    /// # Errors
    /// No header within the first lines, a header whose units are not known, or too many rows; names the line.
    pub fn line(&mut self, line: &str) -> Result<(), String> {
        self.lines += 1;
        let line = line.trim_start_matches('\u{feff}').trim_end_matches(['\r', '\n']);
        if line.trim().is_empty() || line.trim_start().starts_with('#') {
            return Ok(());
        }
        let Some(layout) = &self.layout else {
            self.layout = layout(line, &self.columns).map_err(|e| format!("line {}: {e}", self.lines))?;
            if self.layout.is_none() && self.lines >= HEADER_WITHIN {
                return Err(self.no_header());
            }
            return Ok(());
        };
        if self.rows.len() >= MAX_ROWS {
            return Err(format!("line {}: more than {MAX_ROWS} rows; give the part that covers the run", self.lines));
        }
        let row = row(line, self.lines, layout);
        self.rows.push(row);
        Ok(())
    }

    /// Why there is no header, with what to do.
    #[must_use]
    pub fn no_header(&self) -> String {
        "no header with a column of times and one of power or energy was found; name the columns: time=NAME,power=NAME:W"
            .to_owned()
    }
}

/// Reads a whole log.
///
/// # Errors
/// As [`Reader::line`], and a log without a header.
pub fn parse(text: &str, columns: Columns) -> Result<Vec<Row>, String> {
    let mut reader = Reader::new(columns);
    text.lines().try_for_each(|line| reader.line(line))?;
    if reader.has_header() { Ok(reader.rows) } else { Err(reader.no_header()) }
}

fn cells(line: &str, separator: char) -> impl Iterator<Item = &str> {
    line.split(separator).map(|cell| cell.trim().trim_matches('"').trim())
}

/// The layout that this line is the header of; `None` when it is none.
fn layout(line: &str, columns: &Columns) -> Result<Option<Layout>, String> {
    let count = |c: char| line.matches(c).count();
    let Some(separator) = [',', ';', '\t'].into_iter().max_by_key(|c| count(*c)).filter(|c| count(*c) > 0) else {
        return Ok(None);
    };
    let names: Vec<&str> = cells(line, separator).collect();
    let place = |wanted: &str| names.iter().position(|n| n.eq_ignore_ascii_case(wanted));
    let usual = |kind: &[&str]| names.iter().position(|n| kind.contains(&words(n).0.as_str()));
    let time = match &columns.time {
        Some((name, unit)) => place(name).map(|i| (i, *unit)),
        None => usual(&["time", "timestamp", "datetime", "date-time", "t", "epoch", "unix", "ts", "seconds"])
            .map(|i| (i, None)),
    };
    let power = match &columns.power {
        Some((name, unit)) => place(name).map(|i| (i, *unit)),
        None if columns.energy.is_some() => None,
        None => usual(&["power", "apower", "active-power", "p", "watt", "watts"]).map(|i| (i, None)),
    };
    let energy = match &columns.energy {
        Some((name, unit)) => place(name).map(|i| (i, *unit)),
        None if columns.power.is_some() => None,
        None => usual(&["energy", "aenergy", "active-energy", "total-energy", "wh", "kwh"]).map(|i| (i, None)),
    };
    let (Some(time), true) = (time, power.is_some() || energy.is_some()) else { return Ok(None) };
    let declared = columns.power.is_some() == power.is_some() || columns.power.is_none();
    if !declared || (columns.energy.is_some() && energy.is_none()) {
        return Ok(None);
    }
    let unit = |i: usize| words(names[i]).1;
    let time = match (time.1, unit(time.0).as_deref()) {
        (None, Some("ms")) => (time.0, Some(TimeUnit::Milliseconds)),
        (declared, _) => (time.0, declared),
    };
    let power = power.map(|(i, declared)| {
        (i, declared.or_else(|| unit(i).as_deref().and_then(PowerUnit::parse)).unwrap_or(PowerUnit::Watts))
    });
    let energy = match energy {
        None => None,
        Some((i, declared)) => {
            let stated = unit(i).or_else(|| Some(names[i].to_owned()));
            match declared.or_else(|| stated.as_deref().and_then(EnergyUnit::parse)) {
                Some(unit) => Some((i, unit)),
                None => {
                    let name = names[i];
                    return Err(format!(
                        "the unit of the column `{name}` is not stated; write energy={name}:Wh, :kWh or :J"
                    ));
                }
            }
        }
    };
    Ok(Some(Layout { separator, time, power, energy }))
}

/// `Active Power [W]` → (`active-power`, `W`); `energy_kwh` → (`energy`, `kwh`).
fn words(name: &str) -> (String, Option<String>) {
    const UNITS: [&str; 10] = ["s", "ms", "w", "mw", "kw", "j", "wh", "kwh", "iso", "utc"];
    let split = |c: char| !(c.is_ascii_alphanumeric());
    let parts: Vec<&str> = name.split(split).filter(|p| !p.is_empty()).collect();
    match parts.split_last() {
        Some((last, rest)) if !rest.is_empty() && UNITS.contains(&last.to_ascii_lowercase().as_str()) => {
            (rest.join("-").to_ascii_lowercase(), Some((*last).to_owned()))
        }
        _ => (parts.join("-").to_ascii_lowercase(), None),
    }
}

fn row(line: &str, number: usize, layout: &Layout) -> Row {
    let cells: Vec<&str> = cells(line, layout.separator).collect();
    let mut fault = None;
    let mut wrong = |text: String| {
        fault.get_or_insert(format!("line {number}: {text}"));
    };
    let at = match cells.get(layout.time.0).map(|cell| moment(cell, layout.time.1, layout.separator)) {
        Some(Ok(at)) => Some(at),
        Some(Err(why)) => {
            wrong(why);
            None
        }
        None => {
            wrong("the line ends before its time".to_owned());
            None
        }
    };
    let mut value = |place: Option<(usize, f64)>, what: &str| -> Option<f64> {
        let (i, factor) = place?;
        let Some(cell) = cells.get(i) else {
            wrong(format!("the line ends before its {what}"));
            return None;
        };
        match number_of(cell, layout.separator).map(|v| v * factor) {
            Some(v) if v.is_finite() && v >= 0.0 => Some(v),
            Some(v) if v.is_finite() => {
                wrong(format!("{what} is negative ({cell})"));
                None
            }
            _ => {
                wrong(format!("`{}` is no {what}", shown(cell)));
                None
            }
        }
    };
    let power = value(layout.power.map(|(i, unit)| (i, unit.watts())), "power");
    let energy = value(layout.energy.map(|(i, unit)| (i, unit.joules())), "energy");
    Row { at, power: power.and_then(|p| Watts::new(p).ok()), energy: energy.and_then(|e| Joules::new(e).ok()), fault }
}

/// A cell for a message: short, without control characters.
fn shown(cell: &str) -> String {
    cell.chars().take(40).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// A finite decimal number. Words that Rust takes for numbers (`nan`, `inf`) are none.
fn number_of(cell: &str, separator: char) -> Option<f64> {
    let plain = |b: u8| b.is_ascii_digit() || matches!(b, b'.' | b'+' | b'-' | b'e' | b'E');
    let text = if separator == ',' { cell.to_owned() } else { cell.replace(',', ".") };
    if !text.bytes().all(plain) {
        return None;
    }
    text.parse::<f64>().ok().filter(|v| v.is_finite())
}

fn moment(cell: &str, unit: Option<TimeUnit>, separator: char) -> Result<Seconds, String> {
    let no_time = || format!("`{}` is no time; write ISO 8601 or seconds", shown(cell));
    let iso = cell.contains(':') || cell.matches('-').count() >= 2;
    let seconds = match unit {
        Some(TimeUnit::Iso) => date_time(cell),
        None if iso => date_time(cell),
        Some(TimeUnit::Milliseconds) => number_of(cell, separator).map(|ms| ms / 1e3),
        // Seconds of this size lie 3,000 years ahead: they are milliseconds.
        None => number_of(cell, separator).map(|s| if s.abs() > 1e11 { s / 1e3 } else { s }),
        Some(TimeUnit::Seconds) => number_of(cell, separator),
    };
    seconds.and_then(|s| Seconds::new(s).ok()).ok_or_else(no_time)
}

/// Seconds of the Unix epoch.
fn date_time(cell: &str) -> Option<f64> {
    if !cell.is_ascii() || cell.len() > 40 {
        return None;
    }
    let text = cell.replacen([' ', '/'], "T", usize::from(cell.contains(' '))).replace(',', ".");
    let nanos = OffsetDateTime::parse(&text, &Rfc3339)
        .ok()
        .or_else(|| OffsetDateTime::parse(&text, &Iso8601::DEFAULT).ok())
        .or_else(|| PrimitiveDateTime::parse(&text, &Iso8601::DEFAULT).ok().map(PrimitiveDateTime::assume_utc))?
        .unix_timestamp_nanos();
    // The whole seconds are exact in a double; the nanoseconds are rounded to 0.2 µs there.
    Some(nanos as f64 / 1e9)
}
