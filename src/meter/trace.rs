//! A trace of energy and power over a window, streamed to its file: memory does not grow with it.

use super::bank::{self, Edge};
use super::sampler::Sampler;
use super::{Meter, Window};
use crate::clock::{Clock, Moment};
use crate::record::SamplerSummary;
use crate::sensors::Domain;
use crate::units::{Hertz, Joules, MicroJoules, Seconds, Watts};
use serde::Serialize;
use std::io::{self, Write};
use std::sync::Arc;

/// How a trace is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TraceFormat {
    /// A table: one line for each domain and point.
    Csv,
    /// One JSON object a line for each point.
    JsonLines,
}

/// A trace that cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The file, or what is behind it, failed.
    #[error("cannot write the trace: {0}")]
    Write(#[from] io::Error),
    /// No thread could be started.
    #[error("cannot start a thread for the trace")]
    Thread,
}

/// A trace that is being taken.
pub struct Trace<W> {
    sampler: Sampler<TraceError>,
    out: Arc<std::sync::Mutex<Option<W>>>,
}

impl TraceFormat {
    /// What stands before the first point.
    ///
    /// # Errors
    /// When `out` fails.
    pub fn header(self, out: &mut impl Write) -> io::Result<()> {
        match self {
            Self::Csv => writeln!(out, "run,t_s,domain,energy_j,power_w"),
            Self::JsonLines => Ok(()),
        }
    }
}

impl<W: Write + Send + 'static> Trace<W> {
    /// Writes a point to `out` `rate` times a second until [`Self::finish`]. `run` is written in
    /// each, because one file takes the windows of all repeats.
    ///
    /// # Errors
    /// [`TraceError::Thread`].
    pub fn start(
        meter: &Meter,
        window: &Window,
        run: u32,
        rate: Hertz,
        format: TraceFormat,
        out: W,
    ) -> Result<Self, TraceError> {
        let period = Seconds::new(1.0 / rate.get()).map_err(|_| TraceError::Thread)?;
        let out = Arc::new(std::sync::Mutex::new(Some(out)));
        let (shared, bank, clock) = (Arc::clone(&out), Arc::clone(&meter.bank), meter.clock);
        let mut course = Course { first: window.clone(), before: None, run, format, line: Vec::with_capacity(1024) };
        let sampler = Sampler::start(period, clock, move || {
            let mut out = shared.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let Some(out) = out.as_mut() else { return Ok(false) };
            course.point(bank::edge(&bank, &clock), &clock, out)?;
            Ok(true)
        });
        Ok(Self { sampler: sampler.ok_or(TraceError::Thread)?, out })
    }

    /// Stops; gives back what was written to, and what it cost.
    ///
    /// # Errors
    /// The first failure to write. Points after it are missing.
    pub fn finish(self) -> Result<(W, SamplerSummary), TraceError> {
        let summary = self.sampler.stop()?;
        let mut out = self.out.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        let mut out = out.take().ok_or(TraceError::Thread)?;
        out.flush()?;
        Ok((out, summary))
    }
}

/// From point to point of one window. Its buffers are used again at every point.
struct Course {
    first: Window,
    before: Option<Edge>,
    run: u32,
    format: TraceFormat,
    line: Vec<u8>,
}

/// One domain at one point. Energy is `None` from the moment on at which it is not known any more.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Point<'a> {
    domain: &'a Domain,
    #[serde(rename = "energy_j")]
    energy: Option<Joules>,
    #[serde(rename = "power_w")]
    power: Option<Watts>,
}

#[derive(Serialize)]
struct Line<'a> {
    run: u32,
    t_s: f64,
    domains: &'a [Point<'a>],
}

impl Course {
    fn point(&mut self, edge: Edge, clock: &Clock, out: &mut impl Write) -> Result<(), TraceError> {
        let at = edge.at().unwrap_or_else(|| clock.now());
        let t = at.since(self.first.start);
        // Energy since the window began, and mean power since the point before.
        let first = &self.first.first;
        let course = Edge::course(first, self.before.as_ref().unwrap_or(first), &edge);
        // A line has no place for a second reader of a domain.
        let points = course.filter(|(check, ..)| !check).map(|(_, domain, energy, power)| Point {
            domain,
            energy: energy.map(MicroJoules::to_joules),
            power,
        });
        self.line.clear();
        match self.format {
            TraceFormat::Csv => csv(self.run, t, points, &mut self.line)?,
            TraceFormat::JsonLines => json(self.run, t, &points.collect::<Vec<_>>(), &mut self.line)?,
        }
        out.write_all(&self.line)?;
        self.before = Some(edge);
        Ok(())
    }
}

fn csv<'a>(run: u32, t: Seconds, points: impl Iterator<Item = Point<'a>>, line: &mut Vec<u8>) -> io::Result<()> {
    let mut time = None;
    for point in points {
        let from = line.len();
        match time.clone() {
            // Run and time are the same in every line of a point.
            Some(range) => line.extend_from_within(range),
            None => {
                write!(line, "{run},{:.6},", t.get())?;
                time = Some(from..line.len());
            }
        }
        write!(line, "{},", point.domain)?;
        if let Some(energy) = point.energy {
            write!(line, "{}", energy.get())?;
        }
        line.push(b',');
        if let Some(power) = point.power {
            write!(line, "{}", power.get())?;
        }
        line.push(b'\n');
    }
    Ok(())
}

fn json(run: u32, t: Seconds, points: &[Point<'_>], line: &mut Vec<u8>) -> io::Result<()> {
    let t_s = (t.get() * 1e6).round() / 1e6;
    serde_json::to_writer(&mut *line, &Line { run, t_s, domains: points })?;
    line.push(b'\n');
    Ok(())
}

impl Edge {
    /// When it was read; `None` when no sensor answers any more.
    fn at(&self) -> Option<Moment> {
        self.moments().max()
    }
}
