//! Joules as a measurement of the [criterion](https://docs.rs/criterion) harness: `cargo bench`
//! of any crate prints energy an iteration instead of time.
//!
//! ```no_run
//! use criterion::{Criterion, criterion_group, criterion_main};
//! use wattproof::criterion::Energy;
//!
//! fn sums(criterion: &mut Criterion<Energy>) {
//!     criterion.bench_function("sum", |b| b.iter(|| (0..1000u64).map(std::hint::black_box).sum::<u64>()));
//! }
//!
//! criterion_group! { name = benches; config = Energy::criterion(); targets = sums }
//! criterion_main!(benches);
//! ```
//!
//! A counter shows its state of up to one update period τ ago (1 ms for RAPL, 20–100 ms for NVML),
//! so a short window can show no energy, or that of a whole τ. [`Energy::configure`] plans windows
//! of at least [`PERIODS`]·τ, and a sample that is too short all the same ends the benchmark with the
//! reason: an energy that was not resolved is never reported as 0 J.
//!
//! The figure is the sum of the outermost domains that are measured, of the whole machine: whatever
//! else runs at the same time is in it. Criterion's interval is the scatter of the samples alone; the
//! gain of the counters (±5 % for RAPL and NVML) is in every sample alike and does not show there.

mod units;

use crate::meter::{Meter, Options, Unmeasured, Window};
use crate::units::{MicroJoules, Seconds};
use ::criterion::Criterion;
use ::criterion::measurement::{Measurement, ValueFormatter};
use std::time::Duration;
use units::JouleFormatter;

/// Update periods in the shortest window that [`Energy::configure`] plans: its alignment error,
/// 1/(PERIODS·√6), is 2 %.
pub const PERIODS: f64 = 20.0;

/// Measuring time of a benchmark where the counters do not ask for more: criterion's default.
const TARGET: Seconds = match Seconds::new(5.0) {
    Ok(time) => time,
    Err(_) => Seconds::ZERO,
};

/// Samples of a benchmark, the first that fits into [`TARGET`]; criterion allows no fewer than 10.
const SAMPLES: [u32; 2] = [20, 10];

/// Energy of the machine as what criterion measures. Opens all counters once, for all benchmarks.
#[derive(Debug)]
pub struct Energy {
    meter: Meter,
    /// Update period of the slowest counter in the sum.
    period: Seconds,
    trial: bool,
}

/// Energy of one sample, or of a part of one: exact microjoules, and over which time they came.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Value {
    /// Sum of the outermost domains.
    pub energy: MicroJoules,
    /// Time inside the windows.
    pub time: Seconds,
    /// Windows that were added up: 1, or the number of batches of `iter_batched`.
    pub windows: u32,
    /// Why the energy is unknown; `None` where it is known.
    pub broken: Option<String>,
}

impl Energy {
    /// Opens every energy counter of this machine, as [`Meter::open`] does.
    ///
    /// # Errors
    /// [`Unmeasured`] with the reason of every sensor and its remedy, when no counter works.
    pub fn open() -> Result<Self, Unmeasured> {
        Self::with(&Options::default())
    }

    /// As [`Self::open`], for some sensors only, or another machine.
    ///
    /// ```
    /// use wattproof::criterion::Energy;
    /// use wattproof::meter::Options;
    ///
    /// let gpus = Options { sensors: Some(vec!["nvml".to_owned()]), ..Options::default() };
    /// match Energy::with(&gpus) {
    ///     Ok(energy) => println!("counters change every {} s", energy.update_period().get()),
    ///     Err(unmeasured) => println!("{unmeasured}"), // the reason, and what to do
    /// }
    /// ```
    ///
    /// # Errors
    /// [`Unmeasured`] as [`Meter::with`].
    pub fn with(options: &Options) -> Result<Self, Unmeasured> {
        let meter = Meter::with(options)?;
        let period = meter.slowest_period();
        Ok(Self { meter, period, trial: is_trial(std::env::args()) })
    }

    /// A `Criterion` that measures energy, for `criterion_group!`.
    ///
    /// # Panics
    /// When no energy counter works here: with the reason of every sensor and its remedy. Criterion
    /// leaves no other way to refuse; call [`Self::open`] to decide yourself.
    #[must_use]
    pub fn criterion() -> Criterion<Self> {
        match Self::open() {
            Ok(energy) => energy.configure(Criterion::default()),
            Err(unmeasured) => panic!("nothing can be benchmarked: {unmeasured}"),
        }
    }

    /// Makes `criterion` measure energy, with windows that are long enough for the counters: 20
    /// samples in 5 s, and 10 samples in as long as it takes where the counters are slow.
    ///
    /// Criterion gives sample i of n i/(1 + … + n) of the measuring time (linear sampling), or takes
    /// equal samples where an iteration is long. So the shortest is [`PERIODS`]·τ long when
    /// the whole is PERIODS·τ·n(n+1)/2. A group may choose `SamplingMode::Flat`: its samples are
    /// then longer still.
    #[must_use]
    pub fn configure<M: Measurement>(self, criterion: Criterion<M>) -> Criterion<Self> {
        let (samples, time) = plan(self.period);
        criterion.sample_size(samples).measurement_time(time).with_measurement(self)
    }

    /// Time between two changes of the slowest counter in the sum; 0.2 s is assumed for a counter
    /// whose period could not be probed.
    #[must_use]
    pub const fn update_period(&self) -> Seconds {
        self.period
    }

    /// The energy in joules.
    ///
    /// # Errors
    /// Why it is unknown: a counter broke, or the windows are too short to resolve it.
    pub fn joules(&self, value: &Value) -> Result<f64, String> {
        if let Some(reason) = &value.broken {
            return Err(reason.clone());
        }
        // Each window adds an alignment error of up to τ; of w independent ones √w·τ is left.
        let shortest = self.period * f64::from(value.windows).sqrt();
        if value.energy == MicroJoules::new(0) || value.time < shortest {
            return Err(format!(
                "{:.3} ms in {} windows do not resolve an energy: the counters change every {:.1} ms. Raise \
                 measurement_time or lower sample_size; with iter_batched take larger batches",
                value.time.get() * 1e3,
                value.windows,
                self.period.get() * 1e3
            ));
        }
        Ok(value.energy.to_joules().get())
    }
}

/// Samples and measuring time for counters that change every `period`.
fn plan(period: Seconds) -> (usize, Duration) {
    let needed = |n: u32| period * (PERIODS * f64::from(n * (n + 1) / 2));
    let samples = SAMPLES.into_iter().find(|n| needed(*n) <= TARGET).unwrap_or(10);
    let time = if needed(samples) > TARGET { needed(samples) } else { TARGET };
    (samples as usize, time.to_duration())
}

/// Whether criterion only tries the benchmarks, or feels its way up from one iteration (`--quick`):
/// then short windows are no mistake, and their energy is not used.
fn is_trial(arguments: impl Iterator<Item = String>) -> bool {
    let (mut bench, mut trial) = (false, false);
    for argument in arguments {
        bench |= argument == "--bench";
        trial |= ["--test", "--quick", "--list"].contains(&argument.as_str());
    }
    // Without `--bench` (`cargo test --benches`) criterion runs each benchmark once.
    trial || !bench
}

impl Measurement for Energy {
    type Intermediate = Window;
    type Value = Value;

    fn start(&self) -> Window {
        self.meter.begin_at_once()
    }

    fn end(&self, window: Window) -> Value {
        match self.meter.spent(&window) {
            Ok((energy, time)) => Value { energy, time, windows: 1, broken: None },
            Err(reason) => Value { windows: 1, broken: Some(reason), ..Value::default() },
        }
    }

    fn add(&self, a: &Value, b: &Value) -> Value {
        let energy = a.energy.checked_add(b.energy);
        let overflow = || energy.is_none().then(|| "the sum of the energies is out of range".to_owned());
        Value {
            energy: energy.unwrap_or_default(),
            time: a.time + b.time,
            windows: a.windows.saturating_add(b.windows),
            broken: a.broken.clone().or_else(|| b.broken.clone()).or_else(overflow),
        }
    }

    fn zero(&self) -> Value {
        Value::default()
    }

    /// Joules.
    ///
    /// # Panics
    /// With the reason, when the energy is unknown: criterion would take 0 for a result and drop the
    /// benchmark. In a trial the value is NaN instead, which criterion refuses to analyse.
    fn to_f64(&self, value: &Value) -> f64 {
        match self.joules(value) {
            Ok(joules) => joules,
            Err(_) if self.trial => f64::NAN,
            Err(reason) => panic!("the energy of a sample is unknown: {reason}"),
        }
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        &JouleFormatter
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(value: f64) -> Seconds {
        Seconds::new(value).unwrap()
    }

    #[test]
    fn the_shortest_linear_sample_is_long_enough_for_the_counter() {
        for tau in [1e-5, 1e-3, 0.0119, 0.02, 0.1, 0.2] {
            let (n, time) = plan(seconds(tau));
            let shortest = time.as_secs_f64() / (n * (n + 1) / 2) as f64;
            assert!(shortest >= PERIODS * tau * (1.0 - 1e-9), "τ = {tau}: {shortest}");
            assert!((10..=20).contains(&n) && time.as_secs_f64() >= 5.0);
        }
        assert_eq!(plan(seconds(1e-3)), (20, Duration::from_secs(5)));
        assert_eq!(plan(seconds(0.1)), (10, Duration::from_secs(110)));
    }

    #[test]
    fn only_a_benchmark_that_is_really_measured_is_strict() {
        let trial = |arguments: &[&str]| is_trial(arguments.iter().map(|a| (*a).to_owned()));
        assert!(!trial(&["bench", "--bench"]));
        assert!(!trial(&["bench", "--bench", "sum"]));
        for lenient in
            [&["bench"][..], &["bench", "--test"], &["bench", "--bench", "--test"], &["b", "--bench", "--quick"]]
        {
            assert!(trial(lenient), "{lenient:?}");
        }
    }
}
