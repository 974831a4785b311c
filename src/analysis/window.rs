//! Energy of a set of meters over one window.

use super::energy::Meter;
use crate::record::Sample;

/// Energy of a set of meters over one window.
pub(super) struct Window<'a> {
    pub(super) meters: Vec<&'a Meter>,
    pub(super) repeat: u32,
    /// Joules of each meter, scaled to the window, and how often it wrapped.
    pub(super) parts: Vec<(f64, u32)>,
    pub(super) energy: f64,
    pub(super) wall: f64,
    pub(super) iterations: f64,
    /// Update period of the slowest meter; `None` when one is unknown.
    pub(super) period: Option<f64>,
    pub(super) correction: f64,
    pub(super) stuck: bool,
}

impl<'a> Window<'a> {
    /// `None` when a meter has no reading here, or the window has no length.
    pub(super) fn of(sample: &Sample, meters: &[&'a Meter]) -> Option<Self> {
        let wall = sample.wall.get();
        if wall <= 0.0 || sample.iterations == 0 {
            return None;
        }
        let mut window = Self {
            meters: meters.to_vec(),
            repeat: sample.repeat,
            parts: Vec::with_capacity(meters.len()),
            energy: 0.0,
            wall,
            iterations: sample.iterations as f64,
            period: Some(0.0),
            correction: 0.0,
            stuck: false,
        };
        for meter in meters {
            let span = meter.find(&sample.energy)?;
            let covered = span.to.since(span.from).get();
            if covered <= 0.0 {
                return None;
            }
            // The reads lie a little outside the window: what was counted between them is scaled
            // to the window's own length, as if power were constant over the difference.
            let energy = span.energy.to_joules().get() * (wall / covered);
            window.parts.push((energy, span.wraps));
            window.energy += energy;
            window.correction = window.correction.max((1.0 - wall / covered).abs());
            window.stuck |= span.energy.get() == 0;
            window.period = window.period.and_then(|p| Some(p.max(span.update_period?.get())));
        }
        Some(window)
    }
}
