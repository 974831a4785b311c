//! `wattproof measure -- CMD`: the energy of any command.

mod activity;
mod child;
mod result;
mod text;

use super::wall::{Attached, MeterArgs};
use super::{Exit, Failure, Format, doubles::Doubles, duration, print, style};
use crate::clock::{Clock, Moment, Utc};
use crate::meter::{
    Measurement, Meter, Missing, Options, Trace, TraceError, TraceFormat, Unmeasured, Window, repeats, wall,
};
use crate::record::Pulse;
use crate::sensors::{self, perf::ActivityCounters};
use crate::units::{Hertz, Seconds};
use activity::Processors;
use result::{Outcome, Run, TraceSummary};
use std::fs::File;
use std::io::{BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Points a second of a trace when `--hz` does not say.
const TRACE_RATE: Hertz = match Hertz::new(10.0) {
    Ok(rate) => rate,
    Err(_) => Hertz::ZERO,
};

/// Highest rate: RAPL counters change once a millisecond.
const MAX_RATE: f64 = 1000.0;

const EXAMPLES: &str = "\
Examples:
  wattproof measure -- make -j8                          the table goes to stderr, after the command
  wattproof measure --repeat 5 --idle 5s -- ./bench      mean and spread; energy above idle beside it
  wattproof measure --format json -- ./bench | tail -n 1 | jq .total
  wattproof measure --format json --output e.json -- producer | consumer
  wattproof measure --trace power.csv --hz 100 -- ./bench
  wattproof measure --meter plug.csv --meter-accuracy 1% -- ./bench    an external meter beside them

Counters see the whole machine: whatever else runs at the same time is in the figures.

Exit codes: those of the command; 128 + n when signal n ended it; 126 it cannot be executed; 127 it was
not found; 6 no energy counter works (the command is not started); 2 wrong arguments.";

/// Measure the energy of a command
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The command with its arguments, after `--`
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "CMD")]
    command: Vec<String>,
    /// The result: text goes to stderr, JSON to stdout as one line after what the command prints
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Write the result to this file, so that stdout and stderr are the command's alone
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Read these sensors only; exit 6 where one of them does not work
    #[arg(long, value_name = "ID,…", value_delimiter = ',', value_parser = sensor)]
    sensors: Vec<String>,
    /// Run the command N times; mean, spread and every run are shown
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    repeat: u32,
    /// Measure the idle machine this long first, and show the energy above it as a second figure
    #[arg(long, value_name = "TIME", value_parser = time)]
    idle: Option<Seconds>,
    /// Read the counters R times a second, at most 1000 [default: 10 for a trace, else as needed]
    #[arg(long, value_name = "R", value_parser = rate)]
    hz: Option<Hertz>,
    /// Write energy and power over time to FILE.csv or FILE.jsonl
    #[arg(long, value_name = "FILE", value_parser = trace_file)]
    trace: Option<(PathBuf, Kind)>,
    /// Write the figures to FILE in the Prometheus text format
    #[arg(long, value_name = "FILE")]
    prometheus: Option<PathBuf>,
    /// Run the command even where no counter works; its energy is then "not measured"
    #[arg(long)]
    allow_unmeasured: bool,
    #[command(flatten)]
    wall: MeterArgs,
    #[command(flatten)]
    doubles: Doubles,
}

/// The format of a trace, by the ending of its name.
#[derive(Debug, Clone, Copy)]
struct Kind(TraceFormat);

fn sensor(text: &str) -> Result<String, String> {
    let known: Vec<&str> = sensors::REGISTRY.iter().map(|f| f.id).collect();
    if known.contains(&text) {
        Ok(text.to_owned())
    } else {
        Err(format!("`{text}` is no sensor; there are {}", known.join(", ")))
    }
}

fn time(text: &str) -> Result<Seconds, String> {
    crate::suite::duration(text)
        .filter(|time| time.get() > 0.0 && time.get() <= 86_400.0)
        .ok_or_else(|| format!("`{text}` is no time up to a day; write a number and a unit: 5s, 500ms"))
}

fn rate(text: &str) -> Result<Hertz, String> {
    let wrong = || format!("`{text}` is no rate; write a number above 0 and up to {MAX_RATE}");
    let rate = text.trim().trim_end_matches("Hz").trim_end().parse::<f64>().map_err(|_| wrong())?;
    if rate > 0.0 && rate <= MAX_RATE { Hertz::new(rate).map_err(|_| wrong()) } else { Err(wrong()) }
}

fn trace_file(text: &str) -> Result<(PathBuf, Kind), String> {
    let path = PathBuf::from(text);
    match path.extension().and_then(|e| e.to_str()) {
        Some("csv") => Ok((path, Kind(TraceFormat::Csv))),
        Some("jsonl") => Ok((path, Kind(TraceFormat::JsonLines))),
        _ => Err(format!("`{text}` ends neither in .csv nor in .jsonl")),
    }
}

pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    if args.doubles.inject.is_some() {
        return Err(Failure::usage("--inject spoils answers of kernels; a command has none that are checked"));
    }
    let (meter, missing) = open(args)?;
    if let Some(program) = args.command.first() {
        look_for(program)?;
    }
    let mut files = Files::create(args)?;
    child::listen().map_err(|e| Failure::internal(format!("cannot listen for signals: {e}")))?;
    let log = args.wall.open()?;
    let mut session = Session { args, meter, clock: Clock::start(), pulses: Vec::new(), windows: Vec::new() };
    session.pulse();
    let idle = args.idle.and_then(|length| session.idle(length));
    if let Some(signal) = child::received() {
        eprintln!("interrupted before the command was started");
        return Ok(Exit::Command(u8::try_from(child::signal_code(signal)).unwrap_or(u8::MAX)));
    }
    let (runs, exit_code, trace_failure) = session.runs(&mut files)?;
    session.pulse();
    let (idle, runs) = session.with_wall(log.as_ref(), idle, runs);
    let above = |run: Measurement| idle.iter().fold(run, Measurement::above);
    let runs: Vec<Run> = runs.into_iter().map(|run| Run { measured: above(run.measured), ..run }).collect();
    let measurements: Vec<Measurement> = runs.iter().map(|run| run.measured.clone()).collect();
    let mean = repeats::mean(&measurements).ok_or_else(|| Failure::internal("the command was not run"))?;
    let trace = files.trace_summary();
    let outcome = Outcome { command: args.command.clone(), runs, mean, idle, missing, trace, exit_code };
    files.publish(args, &outcome)?;
    match trace_failure {
        Some(error) => Err(Failure::internal(error)),
        None => Ok(Exit::Command(exit_code)),
    }
}

/// The meter, or, where the user allows that, none; and what is missing.
fn open(args: &Args) -> Result<(Option<Meter>, Vec<Missing>), Failure> {
    let options = Options {
        host: args.doubles.host(),
        sensors: (!args.sensors.is_empty()).then(|| args.sensors.clone()),
        // A trace reads by itself.
        rate: args.hz.filter(|_| args.trace.is_none()),
        allow_missing: args.allow_unmeasured,
    };
    match Meter::with(&options) {
        Ok(meter) => {
            let named = if args.sensors.is_empty() { &[] } else { meter.sensors() };
            let missing = Unmeasured::of(named).reasons;
            Ok((Some(meter), missing))
        }
        Err(unmeasured) if args.allow_unmeasured => Ok((None, unmeasured.reasons)),
        // An external meter is one that works, unless others were asked for by name.
        Err(_) if args.wall.meter.is_some() && args.sensors.is_empty() => Ok((None, Vec::new())),
        Err(unmeasured) => Err(refusal(args, &unmeasured)),
    }
}

fn refusal(args: &Args, unmeasured: &Unmeasured) -> Failure {
    let mut message = if args.sensors.is_empty() {
        "no energy counter works here".to_owned()
    } else {
        "not every sensor of --sensors works here".to_owned()
    };
    for missing in &unmeasured.reasons {
        message.push_str(&format!("\n  {missing}"));
    }
    message.push_str("\nthe command was not started; --allow-unmeasured runs it with what there is");
    Failure::missing(message)
}

/// Fails early on a command that cannot be found, before time is spent on measuring the idle
/// machine. Whatever else may be wrong with it shows when it is started.
fn look_for(program: &str) -> Result<(), Failure> {
    let found = if program.contains('/') {
        Path::new(program).exists()
    } else {
        let path = std::env::var_os("PATH");
        path.is_none_or(|path| std::env::split_paths(&path).any(|folder| folder.join(program).exists()))
    };
    if found { Ok(()) } else { Err(not_found(program)) }
}

fn not_found(program: &str) -> Failure {
    Failure { exit: Exit::NotFound, message: format!("{program}: command not found") }
}

/// The runs of a command.
struct Session<'a> {
    args: &'a Args,
    meter: Option<Meter>,
    clock: Clock,
    /// Pulses of load for a wall meter.
    pulses: Vec<Pulse>,
    /// Begin and end of the idle window, where there is one, then of every run.
    windows: Vec<(Moment, Moment)>,
}

/// Runs with their exit codes, the code to pass on, and what went wrong with the trace.
type Ran = (Vec<Run>, u8, Option<TraceError>);

impl Session<'_> {
    /// A pulse by which the log of the wall meter is aligned; none without one, or after a signal.
    fn pulse(&mut self) {
        if self.args.wall.meter.is_none() {
            return;
        }
        let length = self.args.wall.pulse();
        eprintln!("pulse of load to align the wall meter, {}", duration(length * 3.0));
        self.pulses.extend(crate::meter::pulse(&self.clock, length, &|| child::received().is_some()));
    }

    /// Gives the idle window and every run the energy that the wall meter saw.
    fn with_wall(
        &self,
        log: Option<&Attached<'_>>,
        idle: Option<Measurement>,
        runs: Vec<Run>,
    ) -> (Option<Measurement>, Vec<Run>) {
        let Some(log) = log else { return (idle, runs) };
        let stop = || child::received().is_some();
        let alignment = log.finish(&self.pulses, &self.clock, &stop).1;
        let accuracy = self.args.wall.accuracy();
        let mut windows = self.windows.iter();
        let mut with = |measured: Measurement| match windows.next() {
            Some((from, to)) => measured.and(wall::part(&alignment, *from, *to, accuracy.as_ref())),
            None => measured,
        };
        let idle = idle.map(&mut with);
        (idle, runs.into_iter().map(|run| Run { measured: with(run.measured), ..run }).collect())
    }

    /// The machine at rest; `None` without a meter, or when a signal came.
    fn idle(&mut self, length: Seconds) -> Option<Measurement> {
        if self.meter.is_none() && self.args.wall.meter.is_none() {
            return None;
        }
        let (window, start) = (self.meter.as_ref().map(Meter::begin), self.clock.now());
        loop {
            let left = length - self.clock.now().since(start);
            if left <= Seconds::ZERO {
                let end = self.clock.now();
                self.windows.push((start, end));
                return Some(match (&self.meter, window) {
                    (Some(meter), Some(window)) => meter.end(window),
                    _ => self.unmetered((start, end)),
                });
            }
            if child::received().is_some() {
                return None;
            }
            std::thread::sleep(left.to_duration().min(Duration::from_millis(50)));
        }
    }

    /// Runs the command as often as asked for; a failure or a signal ends the series.
    fn runs(&mut self, files: &mut Files) -> Result<Ran, Failure> {
        let (mut runs, mut failure) = (Vec::new(), None);
        for number in 1..=self.args.repeat {
            let (run, trace) = self.once(number, files)?;
            let code = run.exit_code;
            runs.push(run);
            failure = failure.or(trace);
            let stopped = code != 0 || child::received().is_some();
            if stopped && number < self.args.repeat {
                eprintln!("run {number} of {} ended with exit code {code}; no more runs", self.args.repeat);
            }
            if stopped || number == self.args.repeat {
                return Ok((runs, code, failure));
            }
        }
        Err(Failure::internal("the command was not run"))
    }

    /// A window without a counter.
    fn unmetered(&self, (start, end): (Moment, Moment)) -> Measurement {
        Measurement {
            window: end.since(start),
            on_clock: Some((self.clock.system_nanos(start), self.clock.system_nanos(end))),
            runs: 1,
            domains: Vec::new(),
            simulated: self.args.doubles.reasons(),
        }
    }

    fn once(&mut self, number: u32, files: &mut Files) -> Result<(Run, Option<TraceError>), Failure> {
        if let Some(meter) = &self.meter {
            meter.pause(number - 1, self.args.repeat);
        }
        let begun = self.meter.as_ref().map(|meter| (meter, meter.begin()));
        let (trace, mut failure) = match begun.as_ref().and_then(|(m, w)| files.start_trace(m, w, number, self.args.hz))
        {
            Some(Ok(trace)) => (Some(trace), None),
            Some(Err(error)) => (None, Some(error)),
            None => (None, None),
        };
        // On this thread, which is the one that starts the command.
        let counters = ActivityCounters::of_children();
        let start = self.clock.now();
        let status = child::run(&self.args.command, self.args.wall.takes_stdin());
        let end = self.clock.now();
        let measured = match begun {
            Some((meter, window)) => meter.end(window),
            None => self.unmetered((start, end)),
        };
        let processors = Processors::of(counters);
        self.windows.push((start, end));
        if let Some(trace) = trace {
            failure = files.end_trace(trace).err();
        }
        let program = self.args.command.first().map_or("", String::as_str);
        let status = status.map_err(|error| match error.kind() {
            ErrorKind::NotFound => not_found(program),
            _ => Failure { exit: Exit::NotExecutable, message: format!("{program}: cannot be executed: {error}") },
        })?;
        Ok((Run { measured, exit_code: child::exit_code(status), processors }, failure))
    }
}

type TraceFile = BufWriter<File>;

/// The files that were asked for, created before the command starts: a mistyped path must not
/// cost a measurement.
struct Files {
    output: Option<File>,
    trace: Option<TraceFile>,
    format: TraceFormat,
    summary: Option<TraceSummary>,
}

impl Files {
    fn create(args: &Args) -> Result<Self, Failure> {
        let create = |path: &Path| {
            File::create(path).map_err(|e| Failure::usage(format!("cannot create {}: {e}", path.display())))
        };
        if let Some(path) = &args.prometheus {
            let temporary = beside(path);
            create(&temporary)?;
            std::fs::remove_file(&temporary).map_err(Failure::internal)?;
        }
        let mut files = Self {
            output: args.output.as_deref().map(create).transpose()?,
            trace: None,
            format: TraceFormat::Csv,
            summary: None,
        };
        if let Some((path, kind)) = &args.trace {
            let mut out = BufWriter::new(create(path)?);
            kind.0.header(&mut out).map_err(|e| Failure::usage(format!("cannot write to {}: {e}", path.display())))?;
            (files.trace, files.format) = (Some(out), kind.0);
        }
        Ok(files)
    }

    fn start_trace(
        &mut self,
        meter: &Meter,
        window: &Window,
        run: u32,
        rate: Option<Hertz>,
    ) -> Option<Result<Trace<TraceFile>, TraceError>> {
        let out = self.trace.take()?;
        Some(Trace::start(meter, window, run, rate.unwrap_or(TRACE_RATE), self.format, out))
    }

    fn end_trace(&mut self, trace: Trace<TraceFile>) -> Result<(), TraceError> {
        let (out, cost) = trace.finish()?;
        self.trace = Some(out);
        let so_far = self.summary.unwrap_or(TraceSummary { points: 0, longest_gap: Seconds::ZERO, cpu: Seconds::ZERO });
        self.summary = Some(TraceSummary {
            points: so_far.points + cost.points,
            longest_gap: if cost.longest_gap > so_far.longest_gap { cost.longest_gap } else { so_far.longest_gap },
            cpu: so_far.cpu + cost.cpu,
        });
        Ok(())
    }

    const fn trace_summary(&self) -> Option<TraceSummary> {
        self.summary
    }

    /// Writes the result to where it belongs.
    fn publish(self, args: &Args, outcome: &Outcome) -> Result<(), Failure> {
        if let Some(path) = &args.prometheus {
            // Collectors read at any moment: they find the old file or the new one, never half of it.
            let unix_seconds = Utc::now().date_time().unix_timestamp() as f64;
            let temporary = beside(path);
            std::fs::write(&temporary, outcome.prometheus(unix_seconds))
                .and_then(|()| std::fs::rename(&temporary, path))
                .map_err(|e| Failure::internal(format!("cannot write {}: {e}", path.display())))?;
        }
        let text = match args.format {
            Format::Json => outcome.json().map_err(Failure::internal)?,
            Format::Text => text::render(outcome, self.output.is_none() && style::colored()),
        };
        match (self.output, args.format) {
            (Some(mut file), _) => file
                .write_all(text.as_bytes())
                .and_then(|()| if text.ends_with('\n') { Ok(()) } else { file.write_all(b"\n") })
                .map_err(|e| Failure::internal(format!("cannot write the result: {e}"))),
            (None, Format::Json) => print(&text),
            (None, Format::Text) => {
                eprint!("{text}");
                Ok(())
            }
        }
    }
}

/// Where a file is written before it takes its place.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".tmp");
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_checked_before_anything_runs() {
        assert_eq!(rate("1000"), Ok(Hertz::new(1000.0).unwrap()));
        assert_eq!(rate("12.5 Hz"), Ok(Hertz::new(12.5).unwrap()));
        for wrong in ["0", "-1", "1001", "NaN", "inf", "fast", ""] {
            assert!(rate(wrong).is_err(), "{wrong}");
        }
        assert_eq!(time("5s"), Ok(Seconds::new(5.0).unwrap()));
        for wrong in ["5", "0 s", "-1 s", "2 d", "25 h"] {
            assert!(time(wrong).is_err(), "{wrong}");
        }
        assert!(matches!(trace_file("a/b.csv"), Ok((_, Kind(TraceFormat::Csv)))));
        assert!(matches!(trace_file("b.jsonl"), Ok((_, Kind(TraceFormat::JsonLines)))));
        assert!(trace_file("b.txt").is_err() && trace_file("csv").is_err());
        assert!(sensor("rapl").is_ok());
        assert!(sensor("rapI").unwrap_err().contains("there are rapl, "));
    }

    #[test]
    fn a_temporary_file_lies_beside_its_place() {
        assert_eq!(beside(Path::new("/a/b.prom")), Path::new("/a/b.prom.tmp"));
    }
}
