//! Power over time, whose integral is known in closed form.

/// How power runs within one segment; the time is counted from the segment's start.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Shape {
    /// Watts.
    Constant(f64),
    /// From the first to the second power in a straight line, over the segment's length.
    Ramp(f64, f64),
    /// Mean and amplitude in watts, period in seconds; begins at the mean and rises.
    Sine(f64, f64, f64),
}

impl Shape {
    fn power(self, t: f64, length: f64) -> f64 {
        match self {
            Self::Constant(watts) => watts,
            Self::Ramp(from, to) => from + (to - from) * t / length,
            Self::Sine(mean, amplitude, period) => mean + amplitude * (std::f64::consts::TAU * t / period).sin(),
        }
    }

    /// Integral of [`Self::power`] from 0 to `t`.
    fn energy(self, t: f64, length: f64) -> f64 {
        match self {
            Self::Constant(watts) => watts * t,
            Self::Ramp(from, to) => from * t + (to - from) * t * t / (2.0 * length),
            Self::Sine(mean, amplitude, period) => {
                let turn = std::f64::consts::TAU / period;
                mean * t + amplitude / turn * (1.0 - (turn * t).cos())
            }
        }
    }
}

/// Segments one after another. The last one may be endless; after the end of the others power is 0,
/// or all begins again.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Curve {
    /// Shape and length in seconds; the length of an endless segment is infinite.
    segments: Vec<(Shape, f64)>,
    repeats: bool,
}

impl Curve {
    /// Appends a segment.
    ///
    /// # Errors
    /// What is wrong with it: power must not be negative, lengths and periods must be positive, and
    /// nothing can follow an endless segment.
    pub(crate) fn push(&mut self, shape: Shape, length: f64) -> Result<(), String> {
        if self.segments.last().is_some_and(|s| s.1.is_infinite()) {
            return Err("the segment before has no end (`for SECONDS`), so none can follow".to_owned());
        }
        if length.is_nan() || length <= 0.0 {
            return Err("a segment lasts longer than 0 s".to_owned());
        }
        let (least, sound) = match shape {
            Shape::Constant(watts) => (watts, true),
            Shape::Ramp(from, to) => (from.min(to), length.is_finite()),
            Shape::Sine(mean, amplitude, period) => (mean - amplitude.abs(), period > 0.0),
        };
        if !(least >= 0.0 && least.is_finite() && sound) {
            return Err("power is never negative, a ramp has an end and a sine has a period".to_owned());
        }
        self.segments.push((shape, length));
        Ok(())
    }

    /// From `second` on it draws `watts`, whatever came before.
    pub(crate) fn step_at(&mut self, second: f64, watts: f64) -> Result<(), String> {
        let before: f64 = self.segments.iter().rev().skip(1).map(|s| s.1).sum();
        match self.segments.last_mut() {
            Some(last) if last.1.is_infinite() && second > before => last.1 = second - before,
            None if second > 0.0 => self.segments.push((Shape::Constant(0.0), second)),
            None => {}
            Some(_) => return Err(format!("second {second} is not after the step before")),
        }
        self.push(Shape::Constant(watts), f64::INFINITY)
    }

    /// Lets all segments begin again after the last one.
    pub(crate) fn repeat(&mut self) -> Result<(), String> {
        if !self.cycle().is_finite() || self.segments.is_empty() {
            return Err("only segments that end (`for SECONDS`) can begin again".to_owned());
        }
        self.repeats = true;
        Ok(())
    }

    fn cycle(&self) -> f64 {
        self.segments.iter().map(|s| s.1).sum()
    }

    /// Whole cycles before `t` and the time within the present one.
    fn place(&self, t: f64) -> (f64, f64) {
        if !self.repeats {
            return (0.0, t);
        }
        let cycle = self.cycle();
        let cycles = (t / cycle).floor();
        (cycles, t - cycles * cycle)
    }

    /// Watts at second `t`; 0 before the start.
    pub(crate) fn power(&self, t: f64) -> f64 {
        if t < 0.0 {
            return 0.0;
        }
        let (_, mut rest) = self.place(t);
        for &(shape, length) in &self.segments {
            if rest < length {
                return shape.power(rest, length);
            }
            rest -= length;
        }
        0.0
    }

    /// Joules from the start to second `t`; 0 before the start.
    pub(crate) fn energy(&self, t: f64) -> f64 {
        if t <= 0.0 {
            return 0.0;
        }
        let (cycles, mut rest) = self.place(t);
        let mut joules = 0.0;
        if cycles > 0.0 {
            joules = cycles * self.segments.iter().map(|&(shape, length)| shape.energy(length, length)).sum::<f64>();
        }
        for &(shape, length) in &self.segments {
            joules += shape.energy(rest.min(length), length);
            rest -= length;
            if rest <= 0.0 {
                break;
            }
        }
        joules
    }
}

/// A curve and when it runs: from the start of the machine, or anew from every trigger.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Load {
    pub(crate) curve: Curve,
    /// Watts before the first trigger; `None` when no trigger is waited for.
    pub(crate) idle: Option<f64>,
}

impl Load {
    /// Watts at second `t`. `triggers` are seconds, in order.
    pub(crate) fn power(&self, t: f64, triggers: &[f64]) -> f64 {
        match (self.idle, triggers.iter().rev().find(|trigger| **trigger <= t)) {
            (None, _) => self.curve.power(t),
            (Some(_), Some(trigger)) => self.curve.power(t - trigger),
            (Some(idle), None) => idle,
        }
    }

    /// Joules from second 0 to `t`.
    pub(crate) fn energy(&self, t: f64, triggers: &[f64]) -> f64 {
        let Some(idle) = self.idle else { return self.curve.energy(t) };
        let first = triggers.first().copied().unwrap_or(f64::INFINITY);
        let ends = triggers.iter().skip(1).copied().chain([f64::INFINITY]);
        let runs: f64 = triggers.iter().zip(ends).map(|(start, end)| self.curve.energy(t.min(end) - start)).sum();
        idle * t.min(first).max(0.0) + runs
    }
}
