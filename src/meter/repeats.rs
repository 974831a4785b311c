//! The mean of repeated windows.

use super::energy::{DomainEnergy, Figure, Measurement};
use super::uncertainty::Terms;
use crate::record::{EnergyMethod, phase_weights};
use crate::sensors::Domain;
use crate::units::{Joules, Seconds};

/// Mean over `runs`, which come from one meter; `None` without any.
///
/// A run whose energy is unknown is left out of its domain's mean, and [`Figure::n`] says so. The
/// gain of a sensor is the same in every run, so its term does not shrink; alignment and
/// quantisation are drawn anew in every run and shrink with √n. The scatter term is s/√n.
///
/// Of polled power every phase in which runs began counts the same ([`phase_weights`]): a run shows the part
/// of the load that its phase met.
#[must_use]
pub fn mean(runs: &[Measurement]) -> Option<Measurement> {
    let first = runs.first()?;
    if runs.len() == 1 {
        return Some(first.clone());
    }
    let windows: Vec<f64> = runs.iter().map(|r| r.window.get()).collect();
    let domains = first
        .domains
        .iter()
        .enumerate()
        .map(|(i, part)| {
            let known = |r: usize| Some((r, runs[r].domains.get(i)?.figure.as_ref().ok()?));
            let (numbers, figures): (Vec<usize>, Vec<&Figure>) = (0..runs.len()).filter_map(known).unzip();
            let weights = if part.method == EnergyMethod::Integrated && part.domain != Domain::Wall {
                let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
                let numbers: Vec<u32> = numbers.into_iter().map(number).collect();
                phase_weights(&numbers, number(runs.len()))
            } else {
                vec![1.0 / figures.len() as f64; figures.len()]
            };
            let last_reason = || runs.iter().rev().find_map(|r| r.domains.get(i)?.figure.clone().err());
            let figure = join(&figures, &weights)
                .ok_or_else(|| last_reason().unwrap_or_else(|| "no run has an energy of it".to_owned()));
            DomainEnergy { figure, ..part.clone() }
        })
        .collect();
    Some(Measurement {
        window: Seconds::new(average(&windows)).unwrap_or(first.window),
        on_clock: None,
        runs: u32::try_from(runs.len()).unwrap_or(u32::MAX),
        domains,
        simulated: first.simulated.clone(),
    })
}

/// `weights` have the sum 1.
fn join(figures: &[&Figure], weights: &[f64]) -> Option<Figure> {
    let first = figures.first()?;
    let n = figures.len() as f64;
    let weighted = |values: &[f64]| values.iter().zip(weights).map(|(v, w)| v * w).sum::<f64>();
    let over = |part: fn(&Figure) -> f64| weighted(&figures.iter().map(|f| part(f)).collect::<Vec<f64>>());
    let joules = |value: f64| Joules::new(value).ok();
    let energies: Vec<f64> = figures.iter().map(|f| f.energy.get()).collect();
    let spread = deviation(&energies);
    let nets: Option<Vec<f64>> = figures.iter().map(|f| f.net.map(Joules::get)).collect();
    Some(Figure {
        energy: joules(weighted(&energies))?,
        power: crate::units::Watts::new(over(|f| f.power.get())).ok()?,
        net: nets.and_then(|nets| joules(weighted(&nets))),
        terms: Terms {
            gain: joules(over(|f| f.terms.gain.get()))?,
            alignment: joules(over(|f| f.terms.alignment.get()) / n.sqrt())?,
            quantisation: joules(over(|f| f.terms.quantisation.get()) / n.sqrt())?,
            scatter: spread.and_then(|s| joules(s / n.sqrt())),
        },
        wraps: figures.iter().map(|f| f.wraps).sum(),
        update_period: first.update_period,
        n: u32::try_from(figures.len()).unwrap_or(u32::MAX),
        spread: spread.and_then(joules),
    })
}

fn average(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Sample standard deviation, with n − 1; `None` for fewer than two values.
#[must_use]
pub fn deviation(values: &[f64]) -> Option<f64> {
    let mean = average(values);
    let squares: f64 = values.iter().map(|v| (v - mean) * (v - mean)).sum();
    (values.len() > 1).then(|| (squares / (values.len() as f64 - 1.0)).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meter::energy::tests::{part, second};

    #[test]
    fn the_mean_of_three_runs_has_spread_and_scatter() {
        let runs = [60.0, 65.0, 70.0].map(|joules| second(vec![part("package-0", joules)]));
        let joined = mean(&runs).unwrap();
        let figure = joined.domains[0].figure.clone().unwrap();
        assert_eq!((joined.runs, figure.n), (3, 3));
        assert!((figure.energy.get() - 65.0).abs() < 1e-12);
        assert!((figure.spread.unwrap().get() - 5.0).abs() < 1e-12);
        assert!((figure.terms.scatter.unwrap().get() - 5.0 / 3f64.sqrt()).abs() < 1e-12);
        // Gain does not average out, alignment does.
        let single = runs[1].domains[0].figure.clone().unwrap();
        assert!((figure.terms.gain.get() - single.terms.gain.get()).abs() < 1e-12);
        assert!((figure.terms.alignment.get() - single.terms.alignment.get() / 3f64.sqrt()).abs() < 1e-12);
        assert!(figure.u() > single.u());
    }

    #[test]
    fn a_run_without_energy_is_left_out_and_said() {
        let mut runs = [60.0, 65.0, 70.0].map(|joules| second(vec![part("package-0", joules)]));
        runs[2].domains[0].figure = Err("set back".into());
        let joined = mean(&runs).unwrap();
        assert_eq!(joined.domains[0].figure.clone().unwrap().n, 2);
        assert!(joined.warnings().iter().any(|w| w.contains("only 2 of 3 runs")), "{:?}", joined.warnings());
        for run in &mut runs {
            run.domains[0].figure = Err("set back".into());
        }
        assert_eq!(mean(&runs).unwrap().domains[0].figure, Err("set back".to_owned()));
        assert_eq!(mean(&[]), None);
    }

    #[test]
    fn one_run_has_no_spread() {
        let runs = [second(vec![part("package-0", 60.0)])];
        assert_eq!(mean(&runs).unwrap(), runs[0]);
        assert_eq!(deviation(&[1.0]), None);
    }
}
