//! The energy of a window: a figure for each domain, and a total in which nothing counts twice.

use super::bank::outermost;
use super::uncertainty::{COVERAGE_FACTOR, SHORT_WINDOW, Terms};
use crate::record::EnergyMethod;
use crate::sensors::Domain;
use crate::units::{Joules, Seconds, Watts};

/// What every domain drew in a window, or in the mean of several.
#[derive(Debug, Clone, PartialEq)]
pub struct Measurement {
    /// Length of the window.
    pub window: Seconds,
    /// Where it begins and ends on `CLOCK_MONOTONIC`, in nanoseconds, so that it can be found in the
    /// logs of other programs; `None` for a mean of several windows.
    pub on_clock: Option<(u64, u64)>,
    /// How many windows it is the mean of.
    pub runs: u32,
    /// One entry a domain and sensor, a domain before those inside it.
    pub domains: Vec<DomainEnergy>,
    /// Why it is no measurement of real hardware; empty for the real machine.
    pub simulated: Vec<String>,
}

/// The energy of one domain.
#[derive(Debug, Clone, PartialEq)]
pub struct DomainEnergy {
    /// The part of the machine. All of it: whatever else ran there is in the figure.
    pub domain: Domain,
    /// Family id of the sensor.
    pub sensor: String,
    /// The smallest measured domain that includes this one: the two must never be added.
    pub inside: Option<Domain>,
    /// Counter, or integral of polled power.
    pub method: EnergyMethod,
    /// The energy, or why it is unknown.
    pub figure: Result<Figure, String>,
}

/// A known energy.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figure {
    /// The energy.
    pub energy: Joules,
    /// Mean power between the two reads.
    pub power: Watts,
    /// Energy less what the domain draws at rest in that time; `None` without an idle window.
    pub net: Option<Joules>,
    /// Terms of the standard uncertainty of `energy`.
    pub terms: Terms,
    /// How often the counter wrapped.
    pub wraps: u32,
    /// Time between two changes of the counter; `None` where it could not be probed.
    pub update_period: Option<Seconds>,
    /// Windows that it is the mean of.
    pub n: u32,
    /// Standard deviation over these; `None` for one.
    pub spread: Option<Joules>,
}

impl Figure {
    /// Standard uncertainty of the energy. The interval to print is ± [`COVERAGE_FACTOR`] times it.
    #[must_use]
    pub fn u(&self) -> Joules {
        self.terms.combined()
    }

    /// Expanded uncertainty relative to the energy; `None` for an energy of zero.
    #[must_use]
    pub fn relative(&self) -> Option<f64> {
        (self.u() * COVERAGE_FACTOR).ratio(self.energy)
    }
}

/// Sum over the outermost domains.
#[derive(Debug, Clone, PartialEq)]
pub struct Total {
    /// What was added: no domain contains another.
    pub domains: Vec<Domain>,
    /// The energy.
    pub energy: Joules,
    /// Its standard uncertainty: the sum of those of the domains, because the gains of counters
    /// made alike may err alike.
    pub u: Joules,
    /// Mean power.
    pub power: Watts,
    /// Energy less the idle power in that time; `None` without an idle window.
    pub net: Option<Joules>,
}

impl Measurement {
    /// Sum over the domains that no other measured domain contains.
    ///
    /// # Errors
    /// The reason, when the energy of one of these domains is unknown or there is none: a sum
    /// that leaves something out would be too small.
    pub fn total(&self) -> Result<Total, String> {
        let all: Vec<&Domain> = self.domains.iter().map(|d| &d.domain).collect();
        let parts: Vec<&DomainEnergy> = outermost(&all).into_iter().map(|i| &self.domains[i]).collect();
        if parts.is_empty() {
            return Err("no domain is measured".to_owned());
        }
        let known = |part: &&DomainEnergy| match &part.figure {
            Ok(figure) => Ok(*figure),
            Err(reason) => Err(format!("{}: {reason}", part.domain)),
        };
        let figures = parts.iter().map(known).collect::<Result<Vec<Figure>, String>>()?;
        Ok(Total {
            domains: parts.iter().map(|p| p.domain.clone()).collect(),
            energy: figures.iter().map(|f| f.energy).sum(),
            u: figures.iter().map(Figure::u).sum(),
            power: figures.iter().map(|f| f.power).sum(),
            net: figures.iter().map(|f| f.net).sum(),
        })
    }

    /// With one domain more.
    #[must_use]
    pub fn and(mut self, part: DomainEnergy) -> Self {
        self.domains.push(part);
        self.domains = nest(self.domains);
        self
    }

    /// Puts in the net energy: what is above the power of `idle`, a window in which the command
    /// did not run. Net energy carries the errors of both windows and is a second figure only.
    #[must_use]
    pub fn above(mut self, idle: &Self) -> Self {
        for part in &mut self.domains {
            let same = |other: &&DomainEnergy| other.domain == part.domain && other.sensor == part.sensor;
            let rest = idle.domains.iter().find(same).and_then(|d| d.figure.as_ref().ok());
            if let (Ok(figure), Some(rest)) = (&mut part.figure, rest) {
                figure.net = Some(figure.energy - rest.power * self.window);
            }
        }
        self
    }

    /// What a reader has to know about the figures.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let known = || self.domains.iter().filter_map(|part| Some((&part.domain, part.figure.as_ref().ok()?)));
        let mut warnings = Vec::new();
        let periods = known().filter_map(|(domain, figure)| Some((domain, figure.update_period?)));
        if let Some((domain, tau)) = periods.max_by(|a, b| a.1.get().total_cmp(&b.1.get()))
            && self.window < tau * SHORT_WINDOW
        {
            warnings.push(format!(
                "{} is shorter than {SHORT_WINDOW} update periods of the counter of {domain} ({} each): let the work \
                 repeat within one window",
                seconds(self.window),
                seconds(tau)
            ));
        }
        for (domain, figure) in known() {
            if figure.update_period.is_none() {
                warnings.push(format!(
                    "{domain}: the update period of its counter could not be probed; its uncertainty assumes 0.2 s"
                ));
            }
            if figure.n < self.runs {
                warnings.push(format!("{domain}: only {} of {} runs have an energy", figure.n, self.runs));
            }
        }
        warnings
    }
}

fn seconds(time: Seconds) -> String {
    if time.get() < 1.0 { format!("{:.1} ms", time.get() * 1e3) } else { format!("{:.1} s", time.get()) }
}

/// Puts a domain before those inside it and names for each the smallest one that contains it.
pub(crate) fn nest(domains: Vec<DomainEnergy>) -> Vec<DomainEnergy> {
    let names: Vec<Domain> = domains.iter().map(|d| d.domain.clone()).collect();
    let depth = |domain: &Domain| names.iter().filter(|other| other.contains(domain)).count();
    let mut nested: Vec<(Vec<usize>, DomainEnergy)> = domains
        .into_iter()
        .map(|mut part| {
            let place = |domain: &Domain| names.iter().position(|n| n == domain).unwrap_or(0);
            let mut above: Vec<&Domain> = names.iter().filter(|other| other.contains(&part.domain)).collect();
            above.sort_by_key(|domain| depth(domain));
            above.dedup();
            part.inside = above.last().map(|domain| (*domain).clone());
            // The path from the outermost domain down orders a tree as it is drawn.
            let path = above.into_iter().map(place).chain([place(&part.domain)]).collect();
            (path, part)
        })
        .collect();
    nested.sort_by(|a, b| a.0.cmp(&b.0));
    nested.into_iter().map(|(_, part)| part).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::meter::uncertainty::Origin;

    pub(crate) fn part(domain: &str, joules: f64) -> DomainEnergy {
        let (energy, power) = (Joules::new(joules).unwrap(), Watts::new(joules).unwrap());
        let update_period = Seconds::new(1e-3).ok();
        let origin = Origin { gain: 0.05, update_period, resolution: None, wraps: 0 };
        let figure = Figure {
            energy,
            power,
            net: None,
            terms: Terms::of(energy, power, origin),
            wraps: 0,
            update_period,
            n: 1,
            spread: None,
        };
        DomainEnergy {
            domain: domain.parse().unwrap(),
            sensor: "rapl".into(),
            inside: None,
            method: EnergyMethod::Counter,
            figure: Ok(figure),
        }
    }

    pub(crate) fn second(parts: Vec<DomainEnergy>) -> Measurement {
        let window = Seconds::new(1.0).unwrap();
        Measurement { window, on_clock: None, runs: 1, domains: nest(parts), simulated: Vec::new() }
    }

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-9
    }

    #[test]
    fn the_total_adds_outermost_domains_only() {
        let parts = vec![part("cores-0", 40.0), part("dram-0", 5.5), part("package-0", 65.0), part("gpu-GPU-1", 100.0)];
        let total = second(parts).total().unwrap();
        assert!(close(total.energy.get(), 170.5), "{total:?}");
        assert_eq!(total.domains.len(), 3);
        let platform = second(vec![part("package-0", 65.0), part("psys", 90.0), part("dram-0", 5.5)]).total().unwrap();
        assert!(close(platform.energy.get(), 90.0));
        // Two sensors of one domain are one domain.
        assert!(close(
            second(vec![part("package-0", 65.0), part("package-0", 64.0)]).total().unwrap().energy.get(),
            65.0
        ));
    }

    #[test]
    fn a_total_that_lacks_a_domain_is_unknown() {
        let mut lost = part("dram-0", 5.5);
        lost.figure = Err("set back".into());
        let reason = second(vec![part("package-0", 65.0), lost]).total().unwrap_err();
        assert_eq!(reason, "dram-0: set back");
        // What is inside a known domain is not missed.
        let mut cores = part("cores-0", 40.0);
        cores.figure = Err("set back".into());
        assert!(second(vec![part("package-0", 65.0), cores]).total().is_ok());
        assert!(second(Vec::new()).total().is_err());
    }

    #[test]
    fn domains_are_drawn_as_a_tree() {
        let parts = ["cores-1", "dram-0", "cores-0", "package-1", "package-0", "psys"].map(|d| part(d, 1.0));
        let nested = second(parts.to_vec());
        let order: Vec<String> = nested.domains.iter().map(|d| d.domain.to_string()).collect();
        assert_eq!(order, ["psys", "dram-0", "package-1", "cores-1", "package-0", "cores-0"]);
        let inside: Vec<_> = nested.domains.iter().map(|d| d.inside.as_ref().map(ToString::to_string)).collect();
        let expected = [None, Some("psys"), Some("psys"), Some("package-1"), Some("psys"), Some("package-0")];
        assert_eq!(inside, expected.map(|d| d.map(str::to_owned)));
    }

    #[test]
    fn net_energy_is_above_the_idle_power() {
        let net = second(vec![part("package-0", 65.0)]).above(&second(vec![part("package-0", 15.0)]));
        assert!(close(net.total().unwrap().net.unwrap().get(), 50.0));
        let unknown = second(vec![part("package-0", 65.0)]).above(&second(Vec::new()));
        assert_eq!(unknown.total().unwrap().net, None);
    }

    #[test]
    fn short_windows_and_unknown_periods_are_warned_about() {
        let mut short = second(vec![part("package-0", 1.0)]);
        assert!(short.warnings().is_empty());
        short.window = Seconds::new(0.019).unwrap();
        assert!(short.warnings()[0].contains("19.0 ms is shorter than 20 update periods"), "{:?}", short.warnings());
        if let Ok(figure) = &mut short.domains[0].figure {
            figure.update_period = None;
        }
        assert!(short.warnings()[0].contains("could not be probed"));
    }
}
