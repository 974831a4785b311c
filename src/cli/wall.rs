//! Options for an external wall meter, the same for every command that takes one.

use super::Failure;
use crate::clock::Clock;
use crate::host::salted_hash;
use crate::meter::wall::MeterLog;
use crate::record::store::{StoreError, Writer};
use crate::record::{Accuracy, Event, MeterRow, Pulse, SensorInfo};
use crate::sensors::wall::{self, Alignment, Columns};
use crate::units::Seconds;
use std::path::{Path, PathBuf};
use time::macros::format_description;

/// An external wall meter.
#[derive(Debug, clap::Args)]
pub(super) struct MeterArgs {
    /// Read an external wall meter from the CSV log that it writes meanwhile; `-` is stdin
    #[arg(long, value_name = "FILE", group = "metering", help_heading = "Wall meter")]
    pub(super) meter: Option<PathBuf>,
    #[command(flatten)]
    declared: DeclaredArgs,
    /// Length of the load of the two pulses that align its clock; each takes three times as long
    #[arg(long, value_name = "TIME", requires = "metering", default_value = "4s", value_parser = pulse, help_heading = "Wall meter")]
    meter_pulse: Seconds,
    /// Wait this long for the log to reach the end of the run
    #[arg(long, value_name = "TIME", requires = "meter", default_value = "15s", value_parser = patience, help_heading = "Wall meter")]
    meter_wait: Seconds,
}

/// What the owner of a meter says of its log and its accuracy.
#[derive(Debug, clap::Args)]
pub(super) struct DeclaredArgs {
    /// Columns of the log, e.g. time=ts,power=apower:W or energy=total:Wh [default: usual names]
    #[arg(long, value_name = "SPEC", requires = "meter", value_parser = Columns::parse, help_heading = "Wall meter")]
    meter_columns: Option<Columns>,
    /// Largest error of the meter, e.g. 1%
    #[arg(long, value_name = "PERCENT", requires = "meter", value_parser = accuracy, help_heading = "Wall meter")]
    meter_accuracy: Option<f64>,
    /// Day of its last calibration
    #[arg(long, value_name = "DATE", requires = "meter_accuracy", value_parser = date, help_heading = "Wall meter")]
    meter_calibrated: Option<String>,
    /// Its serial number; only a salted hash is recorded
    #[arg(long, value_name = "TEXT", requires = "meter_accuracy", help_heading = "Wall meter")]
    meter_serial: Option<String>,
}

/// Shortest and longest load of a pulse, in seconds.
const PULSE: std::ops::RangeInclusive<f64> = 0.2..=120.0;

fn accuracy(text: &str) -> Result<f64, String> {
    let wrong = || format!("`{text}` is no accuracy; write a percentage above 0 and up to 20: 1%");
    let percent = text.strip_suffix('%').ok_or_else(wrong)?.trim().parse::<f64>().map_err(|_| wrong())?;
    if percent > 0.0 && percent <= 20.0 { Ok(percent / 100.0) } else { Err(wrong()) }
}

fn date(text: &str) -> Result<String, String> {
    time::Date::parse(text, format_description!("[year]-[month]-[day]"))
        .map(|_| text.to_owned())
        .map_err(|_| format!("`{text}` is no day; write 2026-03-01"))
}

fn pulse(text: &str) -> Result<Seconds, String> {
    crate::suite::duration(text)
        .filter(|time| PULSE.contains(&time.get()))
        .ok_or_else(|| format!("`{text}` is no length of a pulse; write {} s to {} s", PULSE.start(), PULSE.end()))
}

fn patience(text: &str) -> Result<Seconds, String> {
    crate::suite::duration(text)
        .filter(|time| (0.0..=3600.0).contains(&time.get()))
        .ok_or_else(|| format!("`{text}` is no time up to an hour; write 15s"))
}

/// A meter that is being read.
pub(super) struct Attached<'a> {
    args: &'a MeterArgs,
    log: MeterLog,
}

impl MeterArgs {
    /// Opens the log; `None` where no meter was named.
    pub(super) fn open(&self) -> Result<Option<Attached<'_>>, Failure> {
        let Some(path) = &self.meter else { return Ok(None) };
        let log = MeterLog::open(path, self.declared.columns())
            .map_err(|e| Failure::usage(format!("cannot read {}: {e}", path.display())))?;
        Ok(Some(Attached { args: self, log }))
    }

    /// Whether the log is standard input, which a measured command cannot have then.
    pub(super) fn takes_stdin(&self) -> bool {
        self.meter.as_ref().is_some_and(|path| path.as_os_str() == "-")
    }

    /// Length of a pulse's load.
    pub(super) const fn pulse(&self) -> Seconds {
        self.meter_pulse
    }

    /// What the user declared.
    pub(super) fn accuracy(&self) -> Option<Accuracy> {
        self.declared.accuracy()
    }
}

impl DeclaredArgs {
    /// Where the log has what.
    pub(super) fn columns(&self) -> Columns {
        self.meter_columns.clone().unwrap_or_default()
    }

    /// What the user declared.
    fn accuracy(&self) -> Option<Accuracy> {
        let calibrated = self.meter_calibrated.as_ref().map(|day| format!(", calibrated {day}")).unwrap_or_default();
        self.meter_accuracy.map(|bound| Accuracy {
            bound,
            source: format!("declared on the command line: ±{} %{calibrated}", bound * 100.0),
            calibrated: self.meter_calibrated.clone(),
            serial_hash: self.meter_serial.as_ref().map(|serial| salted_hash("meter-serial", serial)),
        })
    }

    /// The meter as it stands in a record.
    pub(super) fn info(&self, log: &Path, alignment: &Result<Alignment, String>) -> SensorInfo {
        let name = log.file_name().map(|n| n.to_string_lossy().into_owned());
        let source = match name.as_deref() {
            None | Some("-") => "CSV log on standard input".to_owned(),
            Some(name) => format!("CSV log {name}"),
        };
        wall::info(source, alignment, self.accuracy())
    }
}

/// Appends the rows of a log to a record.
pub(super) fn append_rows(writer: &mut Writer, rows: &[MeterRow]) -> Result<(), StoreError> {
    /// Rows of one event: a line of the samples stays below a megabyte.
    const ROWS: usize = 10_000;
    rows.chunks(ROWS).try_for_each(|rows| writer.append(&Event::MeterRows { rows: rows.to_vec() }))
}

impl Attached<'_> {
    /// Waits for the log to cover the pulses; its rows, and where it lies on the run's clock.
    pub(super) fn finish(
        &self,
        pulses: &[Pulse],
        clock: &Clock,
        stop: &dyn Fn() -> bool,
    ) -> (Vec<MeterRow>, Result<Alignment, String>) {
        self.log.finish(pulses, clock, self.args.meter_wait, stop)
    }

    /// The meter as it stands in a record.
    pub(super) fn info(&self, alignment: &Result<Alignment, String>) -> SensorInfo {
        let log = self.args.meter.as_deref().unwrap_or(Path::new("-"));
        self.args.declared.info(log, alignment)
    }
}
