//! Energy of anything: read the counters, do the work, read them again.
//!
//! ```
//! use wattproof::meter::Meter;
//!
//! match Meter::open() {
//!     Ok(meter) => {
//!         let window = meter.begin();
//!         let answer: u64 = (0..1_000_000).sum();
//!         let used = meter.end(window);
//!         assert_eq!(answer, 499_999_500_000);
//!         for part in &used.domains {
//!             match &part.figure {
//!                 Ok(figure) => println!("{}: {} J ± {} J", part.domain, figure.energy.get(), 2.0 * figure.u().get()),
//!                 Err(reason) => println!("{}: not measured: {reason}", part.domain),
//!             }
//!         }
//!     }
//!     // Most virtual machines and containers have no counter. The reasons say what to do.
//!     Err(unmeasured) => println!("{unmeasured}"),
//! }
//! ```
//!
//! Counters see the whole machine: everything that runs during the window is in the figure, in
//! whatever process. While a [`Meter`] is open, a thread reads the counters often enough that none
//! can wrap unseen, so a window may last for days.

pub(crate) mod bank;
mod energy;
mod phase;
mod probe;
mod pulse;
pub mod repeats;
pub(crate) mod sampler;
mod trace;
pub mod uncertainty;
pub mod wall;

pub use bank::{Bank, SharedBank, share};
pub use energy::{DomainEnergy, Figure, Measurement, Total};
pub(crate) use phase::phase;
pub use probe::{Missing, Unmeasured, probe};
pub use pulse::pulse;
pub use trace::{Trace, TraceError, TraceFormat};

use crate::clock::{Clock, Moment};
use crate::host::Host;
use crate::policy::Policy;
use crate::record::{EnergyMethod, EnergySpan, SensorStatus};
use crate::sensors::{Channel, Quantity};
use crate::units::{Hertz, MicroJoules, Seconds};
use bank::Edge;
use bank::align::{End, Updates, updates};
use energy::nest;
use sampler::Sampler;
use std::convert::Infallible;
use std::sync::{Arc, PoisonError};
use uncertainty::{Origin, Terms};

/// Polls a second where energy has to be integrated from power, unless the user asks for more.
const POLLS: Hertz = match Hertz::new(10.0) {
    Ok(rate) => rate,
    Err(_) => Hertz::ZERO,
};

/// How a [`Meter`] is opened.
#[derive(Debug, Clone)]
pub struct Options {
    /// The machine whose counters are read.
    pub host: Host,
    /// Families that are read (`rapl`, `nvml`); `None` is all of them.
    pub sensors: Option<Vec<String>>,
    /// Reads a second while the meter is open; `None` is as often as the counters need. Faster
    /// where a counter would wrap otherwise.
    pub rate: Option<Hertz>,
    /// Whether families that were named and do not work are left out.
    pub allow_missing: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { host: Host::real(), sensors: None, rate: None, allow_missing: false }
    }
}

/// All energy counters that work here, open.
pub struct Meter {
    bank: SharedBank,
    clock: Clock,
    statuses: Vec<SensorStatus>,
    simulated: Vec<String>,
    policy: Policy,
    keeper: Option<Sampler<Infallible>>,
}

/// A window that has begun.
#[derive(Debug, Clone)]
pub struct Window {
    /// Updates of the counters just before it.
    before: Updates,
    first: Edge,
    start: Moment,
}

impl Meter {
    /// Opens every energy counter of this machine and probes how often it changes, which takes
    /// 20 of its update periods (20 ms for RAPL) and 2.5 s at most.
    ///
    /// # Errors
    /// [`Unmeasured`] with the reason of every sensor, when there is no counter that works.
    pub fn open() -> Result<Self, Unmeasured> {
        Self::with(&Options::default())
    }

    /// As [`Self::open`], for another machine, some sensors or another rate.
    ///
    /// ```
    /// use wattproof::meter::{Meter, Options};
    ///
    /// let gpus = Options { sensors: Some(vec!["nvml".to_owned()]), ..Options::default() };
    /// match Meter::with(&gpus) {
    ///     Ok(meter) => println!("{} sensors answered", meter.sensors().len()),
    ///     Err(unmeasured) => assert_eq!(unmeasured.reasons[0].sensor, "nvml"),
    /// }
    /// ```
    ///
    /// # Errors
    /// [`Unmeasured`] when no counter works, or when a named sensor does not and
    /// [`Options::allow_missing`] is off.
    pub fn with(options: &Options) -> Result<Self, Unmeasured> {
        let wanted = |id: &str| options.sensors.as_ref().is_none_or(|ids| ids.iter().any(|i| i == id));
        let (statuses, ready) = probe(&options.host, wanted);
        let unmeasured = Unmeasured::of(&statuses);
        let incomplete = options.sensors.is_some() && !options.allow_missing && !unmeasured.reasons.is_empty();
        let mut bank = Bank::new(ready);
        if incomplete || bank.metered().next().is_none() {
            return Err(unmeasured);
        }
        let clock = Clock::start();
        bank.probe_periods(&clock);
        Ok(Self::over(bank, clock, statuses, options))
    }

    fn over(bank: Bank, clock: Clock, statuses: Vec<SensorStatus>, options: &Options) -> Self {
        let period = keeping_period(&bank, options.rate);
        let bank = share(bank);
        let keeper = period.and_then(|period| {
            let bank = Arc::clone(&bank);
            Sampler::start(period, clock, move || {
                bank::edge(&bank, &clock);
                Ok(true)
            })
        });
        Self { bank, clock, statuses, simulated: options.host.simulated(), policy: Policy::shipped(), keeper }
    }

    /// What every sensor that was asked for answered.
    #[must_use]
    pub fn sensors(&self) -> &[SensorStatus] {
        &self.statuses
    }

    /// Waits for the moment at which repeat `repeat` of `repeats` should begin, so that polled power is
    /// seen in every phase of its sensor; at once where no energy is integrated. 2 of its update
    /// periods at most.
    pub fn pause(&self, repeat: u32, repeats: u32) {
        if let Some(period) = bank::await_update(&self.bank, &self.clock) {
            std::thread::sleep((period * phase(0.0, repeat, repeats)).to_duration());
        }
    }

    /// Waits until every counter was updated twice (2 ms for RAPL, four of its update periods at most,
    /// not at all for one slower than 0.15 s) and reads them all: a window begins. Windows may overlap.
    #[must_use]
    pub fn begin(&self) -> Window {
        let before = updates(&self.bank, &self.clock, End::Begin);
        let first = bank::edge(&self.bank, &self.clock);
        Window { before, first, start: self.clock.now() }
    }

    /// As [`Self::begin`], without waiting for updates: for windows that [`Self::spent`] ends, whose energy is not taken
    /// to their ends. One that began at an update and ended anywhere would lack half an update on the average.
    #[cfg(feature = "criterion")]
    pub(crate) fn begin_at_once(&self) -> Window {
        let first = bank::edge(&self.bank, &self.clock);
        Window { before: Updates::default(), first, start: self.clock.now() }
    }

    /// Reads all counters again: exact energy of the outermost domains since `window` began, and its
    /// length. 0 µJ means that no counter was updated in between.
    ///
    /// # Errors
    /// The reason, when the energy of one of these domains is unknown.
    #[cfg(feature = "criterion")]
    pub(crate) fn spent(&self, window: &Window) -> Result<(MicroJoules, Seconds), String> {
        let end = self.clock.now();
        let last = bank::edge(&self.bank, &self.clock);
        let outcomes = Edge::outcomes(&window.first, &last);
        let bank = self.bank.lock().unwrap_or_else(PoisonError::into_inner);
        let mut energy = MicroJoules::new(0);
        for (info, channel) in bank.outermost() {
            let outcome = outcomes.iter().find(|o| o.is_of(info, channel));
            let outcome = outcome.ok_or_else(|| format!("{} could not be read", channel.domain))?;
            let span = outcome.result.as_ref().map_err(|flag| flag.detail.clone())?;
            energy = energy.checked_add(span.energy).ok_or("the sum of the energies is out of range")?;
        }
        Ok((energy, end.since(window.start)))
    }

    /// Update period of the slowest counter among the outermost domains; [`MAX_STALENESS`] bounds
    /// one that could not be probed.
    ///
    /// [`MAX_STALENESS`]: crate::sensors::counter::MAX_STALENESS
    #[cfg(feature = "criterion")]
    pub(crate) fn slowest_period(&self) -> Seconds {
        let bank = self.bank.lock().unwrap_or_else(PoisonError::into_inner);
        let periods = bank.outermost().into_iter().map(|(_, channel)| channel.update_period);
        periods
            .map(|period| period.unwrap_or(crate::sensors::counter::MAX_STALENESS))
            .max_by(|a, b| a.get().total_cmp(&b.get()))
            .unwrap_or(crate::sensors::counter::MAX_STALENESS)
    }

    /// Reads all counters again: what every domain drew since `window` began. The window ends with the
    /// call; after it the next two updates of every counter are waited for.
    #[must_use]
    pub fn end(&self, window: Window) -> Measurement {
        let end = self.clock.now();
        let last = bank::edge(&self.bank, &self.clock);
        let after = updates(&self.bank, &self.clock, End::Finish);
        let outcomes = Edge::outcomes(&window.first, &last);
        let bank = self.bank.lock().unwrap_or_else(PoisonError::into_inner);
        let lost = bank.losses();
        let why_lost = |sensor: &str| lost.iter().find(|l| l.sensor == sensor).map(|l| l.reason.clone());
        let domains = bank
            .metered()
            .map(|(info, channel)| {
                let outcome = outcomes.iter().find(|o| o.is_of(info, channel));
                let figure = match outcome.map(|o| &o.result) {
                    Some(Ok(span)) => {
                        let aligned = bank.aligned(span, (&window.before, &after), (window.start, end));
                        figure(span, &aligned, channel, &self.policy)
                    }
                    Some(Err(flag)) => Err(why_lost(&info.id).unwrap_or_else(|| flag.detail.clone())),
                    None => Err(why_lost(&info.id)
                        .unwrap_or_else(|| "it could not be read at the start of the window".to_owned())),
                };
                DomainEnergy {
                    domain: channel.domain.clone(),
                    sensor: info.id.clone(),
                    inside: None,
                    method: method(channel),
                    figure,
                }
            })
            .collect();
        Measurement {
            window: end.since(window.start),
            on_clock: Some((self.clock.system_nanos(window.start), self.clock.system_nanos(end))),
            runs: 1,
            domains: nest(domains),
            simulated: self.simulated.clone(),
        }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        if let Some(keeper) = self.keeper.take() {
            // It cannot fail; the join only makes sure that no read outlives the meter.
            let _ = keeper.stop();
        }
    }
}

impl std::fmt::Debug for Meter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Meter").field("sensors", &self.statuses).finish_non_exhaustive()
    }
}

/// How often the counters are read between the edges of windows; `None` where nothing needs it.
fn keeping_period(bank: &Bank, rate: Option<Hertz>) -> Option<Seconds> {
    let asked = rate.or_else(|| bank.integrates().then_some(POLLS)).filter(|r| r.get() > 0.0);
    let asked = asked.and_then(|rate| Seconds::new(1.0 / rate.get()).ok());
    asked.into_iter().chain(bank.poll_interval()).min_by(|a, b| a.get().total_cmp(&b.get()))
}

fn method(channel: &Channel) -> EnergyMethod {
    match channel.quantity {
        Quantity::Energy { .. } => EnergyMethod::Counter,
        _ => EnergyMethod::Integrated,
    }
}

/// The figure of `aligned`, which is `span` taken to the window's own ends.
fn figure(span: &EnergySpan, aligned: &EnergySpan, channel: &Channel, policy: &Policy) -> Result<Figure, String> {
    if span.method == EnergyMethod::Counter && span.energy == MicroJoules::new(0) {
        return Err("its counter did not advance: less than one step, which is not 0 J".to_owned());
    }
    let energy = aligned.energy.to_joules();
    let power = energy.over(aligned.to.since(aligned.from)).ok_or("the window has no length")?;
    let resolution = match channel.quantity {
        Quantity::Energy { resolution, .. } => resolution,
        _ => None,
    };
    let gain = policy
        .systematic_bound(&span.sensor, span.method)
        .ok_or_else(|| format!("the uncertainty policy states no bound for {}", span.sensor))?;
    let origin = Origin { gain, update_period: span.update_period, resolution, wraps: span.wraps };
    Ok(Figure {
        energy,
        power,
        net: None,
        terms: Terms::of(energy, power, origin),
        wraps: span.wraps,
        update_period: span.update_period,
        n: 1,
        spread: None,
    })
}

#[cfg(test)]
mod tests;
