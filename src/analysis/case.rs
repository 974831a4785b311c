//! Figures of one case from its windows.

use super::bootstrap::Resampler;
use super::ceilings::role_of;
use super::draws::Draws;
use super::energy::Meters;
use super::{ActivityFigures, CaseSummary, CountedWindow, EnergyFigures, EstimatedEnergy, Figure, Status, Windows};
use crate::record::{Correctness, DeviceId, Header, Measurement, Outcome, Sample, Threads, Work};
use std::collections::BTreeMap;

/// Everything but the figures relative to ceilings, which need all cases first.
pub(super) fn summarise(measurement: &Measurement, header: &Header, meters: &Meters<'_>, draws: &Draws) -> CaseSummary {
    let prepared = measurement.prepared.as_ref();
    let status = status(measurement);
    let void = void_reason(&status);
    let samples: Vec<&Sample> = if void.is_some() { Vec::new() } else { measurement.valid_samples().collect() };
    let profile = &header.profile;
    let mut by = Resampler::new(header.seed, &measurement.case.id, profile.bootstrap_resamples, profile.confidence)
        .remembering(draws);
    let timed = samples.iter().filter(|s| s.iterations > 0 && s.wall.get() > 0.0);
    let times: Vec<f64> = timed.map(|s| s.wall.get() / s.iterations as f64).collect();
    let time = by.estimate(&times);
    let work = prepared.map(|p| p.work);
    let device = prepared.map(|p| p.device.clone());
    let why = void.unwrap_or_else(|| match measurement.samples.len() {
        0 => "no window was taken".to_owned(),
        n => format!("none of {n} windows counts"),
    });
    let known = |estimate: Option<_>| estimate.map_or_else(|| Figure::missing(why.clone()), Figure::Measured);
    let per_second = |amount: f64, what: &str| match time {
        Some(_) if amount <= 0.0 => Figure::missing(format!("the kernel has no {what}")),
        _ => known(time.and_then(|t| t.divide(amount))),
    };
    let flops = |w: Work| (w.useful.get(), w.dense_equivalent.get());
    let (useful, dense) = work.map_or((0.0, 0.0), flops);
    // A record without the `prepared` event has times, and nothing to relate them to.
    let without_work = match time {
        Some(_) => "the record does not say what an iteration computes".to_owned(),
        None => why.clone(),
    };
    let cpu = DeviceId("cpu".into());
    let (energy, domains) = match (time, &work) {
        (Some(_), Some(work)) => {
            let device = device.as_ref().unwrap_or(&cpu);
            (meters.rate(device, &samples, work, &mut by), meters.each(device, &samples, work, &mut by))
        }
        _ => (EnergyFigures::missing(&without_work, dense > useful), Vec::new()),
    };
    let rests_on: Vec<CountedWindow> =
        samples.iter().map(|s| counted(s, meters.window_energy(device.as_ref().unwrap_or(&cpu), s))).collect();
    let joules: Option<Vec<f64>> = rests_on.iter().map(|w| Some(w.energy? / w.iterations as f64)).collect();
    let activity = match time {
        Some(_) => super::activity::figures(&samples, &mut by),
        None => ActivityFigures::missing(&why),
    };
    CaseSummary {
        activity,
        id: measurement.case.id.clone(),
        kernel: measurement.case.kernel.clone(),
        role: role_of(&measurement.case.kernel),
        params: measurement.case.params.clone(),
        threads: prepared.map(|p| p.program.threads).or(match measurement.case.threads {
            Threads::Count(n) => Some(n),
            Threads::Cores | Threads::All => None,
        }),
        device,
        cache: measurement.case.cache,
        path: prepared.map(|p| p.program.path.clone()),
        facts: prepared.map(|p| p.program.facts.clone()).unwrap_or_default(),
        correctness: worst(measurement),
        canary: prepared.and_then(|p| p.canary.clone()),
        windows: windows(measurement, header, samples.len()),
        time_cv: variation(&times),
        energy_cv: joules.as_deref().and_then(variation),
        rests_on,
        work,
        intensity: work.map(|w| w.useful.get() / w.bytes.get()).filter(|i| i.is_finite() && *i > 0.0),
        time: known(time),
        rate: match work {
            Some(_) => per_second(useful, "floating-point operations"),
            None => Figure::missing(without_work.clone()),
        },
        dense_rate: (dense > useful).then(|| per_second(dense, "floating-point operations")),
        bandwidth: match work {
            Some(w) => per_second(w.bytes.get(), "compulsory traffic"),
            None => Figure::missing(without_work.clone()),
        },
        of_peak: Figure::missing(why.clone()),
        of_read: Figure::missing(why.clone()),
        of_copy: None,
        binding: None,
        energy,
        domains,
        estimated: header.estimate.zip(time).map(|(model, time)| {
            let per_iteration = model.tdp.get() * time.median;
            EstimatedEnergy {
                power: model.tdp.get(),
                per_iteration,
                efficiency: Some(useful / per_iteration).filter(|e| e.is_finite() && *e > 0.0),
                inputs: format!("constant {} W for the whole CPU while the case runs", model.tdp.get()),
            }
        }),
        status,
    }
}

fn counted(sample: &Sample, energy: Option<f64>) -> CountedWindow {
    CountedWindow {
        repeat: sample.repeat,
        start_ns: sample.start.nanos(),
        wall: sample.wall.get(),
        iterations: sample.iterations,
        energy,
    }
}

/// Coefficient of variation: sample standard deviation over mean. `None` for fewer than two values, or
/// where it is not finite.
fn variation(values: &[f64]) -> Option<f64> {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|v| (v - mean) * (v - mean)).sum();
    (values.len() > 1).then(|| (squares / (n - 1.0)).sqrt() / mean).filter(|cv| cv.is_finite())
}

/// How the case ended. The record's own outcome is not trusted where the answers say otherwise.
pub(super) fn status(measurement: &Measurement) -> Status {
    if let Outcome::WrongAnswer { reason } = &measurement.outcome {
        return Status::WrongAnswer { reason: reason.clone() };
    }
    if let Outcome::Failed { reason } = &measurement.outcome {
        return Status::Failed { reason: reason.clone() };
    }
    if let Some(wrong) = worst(measurement).filter(|c| !c.passed()) {
        return Status::WrongAnswer { reason: against_limit("error", wrong.error, wrong.limit) };
    }
    if let Some(canary) = measurement.prepared.as_ref().and_then(|p| p.canary.as_ref()).filter(|c| !c.passed()) {
        let what = format!("precision canary `{}`: error", canary.name);
        return Status::WrongAnswer { reason: against_limit(&what, canary.error, canary.limit) };
    }
    match &measurement.outcome {
        Outcome::Partial { reason } => Status::Partial { reason: reason.clone() },
        Outcome::NotRun => Status::NotRun,
        _ => Status::Measured,
    }
}

fn against_limit(what: &str, error: Option<f64>, limit: f64) -> String {
    match error {
        Some(error) => format!("{what} {error:.1e}, limit {limit:.1e}"),
        None => format!("{what} is not a number"),
    }
}

/// Why no figure of the case counts, where that is so.
fn void_reason(status: &Status) -> Option<String> {
    match status {
        Status::Measured | Status::Partial { .. } => None,
        Status::WrongAnswer { reason } => Some(format!("wrong answer: {reason}")),
        Status::Failed { reason } => Some(format!("failed: {reason}")),
        Status::NotRun => Some("the run ended before this case".to_owned()),
    }
}

/// The comparison with the largest error against its limit, of ALL windows: an answer that was
/// wrong in a discarded window was wrong.
pub(super) fn worst(measurement: &Measurement) -> Option<Correctness> {
    let excess = |c: &Correctness| c.error.map_or(f64::INFINITY, |e| e / c.limit);
    let all = measurement.samples.iter().filter_map(|s| s.correctness);
    all.max_by(|a, b| excess(a).total_cmp(&excess(b)))
}

fn windows(measurement: &Measurement, header: &Header, counted: usize) -> Windows {
    let mut discarded: BTreeMap<String, u32> = BTreeMap::new();
    for flag in measurement.samples.iter().filter_map(|s| s.flags.first()) {
        *discarded.entry(flag.code.clone()).or_default() += 1;
    }
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Windows {
        planned: header.profile.repeats,
        taken: count(measurement.samples.len()),
        counted: count(counted),
        discarded: discarded.into_iter().collect(),
        warm_up_stable: measurement.prepared.as_ref().map(|p| p.warm_up.stable),
    }
}
