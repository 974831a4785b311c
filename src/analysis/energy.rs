//! Energy of windows: which domains may be added, and what a counter span says of a window.

use super::bootstrap::Resampler;
use super::idle;
use super::sources::{Basis, Group, Rest, Scatter};
use super::window::Window;
use super::{Boundary, DomainEnergy, EnergyFigures, Estimate, Figure, IdlePower, TypeB};
use crate::policy::Policy;
use crate::record::{
    Accuracy, Channel, DeviceId, Domain, EnergyMethod, EnergySpan, Quantity, ReaderRole, RunRecord, Sample,
    SensorStatus, Work, phase_weights,
};
use std::collections::BTreeSet;

/// One domain as one sensor sees it by one method. The reader of record sorts before those that
/// check it, and counters before integrated power.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Meter {
    pub(super) domain: Domain,
    /// Whether it only checks another sensor of this domain.
    pub(super) checks: bool,
    pub(super) integrated: bool,
    pub(super) sensor: String,
}

impl Meter {
    fn of(span: &EnergySpan, sensors: &[SensorStatus]) -> Self {
        Self {
            domain: span.domain.clone(),
            checks: checks(span, sensors),
            integrated: span.method == EnergyMethod::Integrated,
            sensor: span.sensor.clone(),
        }
    }

    pub(super) fn method(&self) -> EnergyMethod {
        if self.integrated { EnergyMethod::Integrated } else { EnergyMethod::Counter }
    }

    fn matches(&self, span: &EnergySpan) -> bool {
        self.domain == span.domain
            && self.sensor == span.sensor
            && self.integrated == (span.method == EnergyMethod::Integrated)
    }

    /// Whether `idle` was read by this meter.
    pub(super) fn is_that_of(&self, idle: &IdlePower) -> bool {
        idle.domain == self.domain && idle.sensor == self.sensor && idle.method == self.method()
    }

    /// Its span among `spans`.
    pub(super) fn find<'a>(&self, spans: &'a [EnergySpan]) -> Option<&'a EnergySpan> {
        spans.iter().find(|span| self.matches(span))
    }
}

/// Whether the sensors' descriptions say that what `span` comes from only checks another reader, or the
/// counter of the same one.
fn checks(span: &EnergySpan, sensors: &[SensorStatus]) -> bool {
    let channels = sensors.iter().filter_map(|s| match s {
        SensorStatus::Ready(info) if info.id == span.sensor => Some(&info.channels),
        _ => None,
    });
    let counted = span.method == EnergyMethod::Counter;
    let same = |c: &&Channel| c.domain == span.domain && counted == matches!(c.quantity, Quantity::Energy { .. });
    channels.flatten().filter(same).any(|c| c.role == ReaderRole::CrossCheck)
}

/// Sensors whose owner declares an accuracy.
fn declared(sensors: &[SensorStatus]) -> impl Iterator<Item = (&str, &Accuracy)> {
    sensors.iter().filter_map(|s| match s {
        SensorStatus::Ready(info) => Some((info.id.as_str(), info.accuracy.as_ref()?)),
        _ => None,
    })
}

/// What its owner declares of the accuracy of `sensor`.
pub(super) fn declared_of<'r>(record: &'r RunRecord, sensor: &str) -> Option<&'r Accuracy> {
    declared(&record.header.sensors).find(|(id, _)| *id == sensor).map(|(_, accuracy)| accuracy)
}

/// What a record can say of energy: its meters and, by device, the rated ones.
#[derive(Debug)]
pub(super) struct Meters<'r> {
    record: &'r RunRecord,
    /// Every meter that delivered a span in a window that counts or at rest, in order.
    pub(super) all: Vec<Meter>,
    pub(super) idle: Vec<IdlePower>,
    /// Bounds of systematic error.
    pub(super) policy: Policy,
    /// The same, with what owners of meters declare.
    bounds: Policy,
}

impl<'r> Meters<'r> {
    pub(super) fn of(record: &'r RunRecord, policy: Policy) -> Self {
        let windows = record.measurements.iter().flat_map(|m| m.valid_samples()).flat_map(|s| &s.energy);
        let at_rest = record.idle.iter().flat_map(|w| &w.energy);
        let all: BTreeSet<Meter> = windows.chain(at_rest).map(|span| Meter::of(span, &record.header.sensors)).collect();
        let all: Vec<Meter> = all.into_iter().collect();
        let idle = idle::power_at_rest(record, &all);
        let bounds = declared(&record.header.sensors).fold(policy.clone(), |policy, (sensor, accuracy)| {
            policy.with_declared(sensor, Some((accuracy.bound, &accuracy.source)))
        });
        Self { record, all, idle, policy, bounds }
    }

    /// Power at rest, one a domain: that of the reader of record.
    pub(super) fn idle_of_record(&self) -> Vec<IdlePower> {
        let mut idle = self.idle.clone();
        // In the order of the meters, so the reader of record is the first of its domain.
        idle.dedup_by(|later, earlier| later.domain == earlier.domain);
        idle
    }

    /// The meters whose energies are added for a case on `device`: one a domain, none inside another.
    ///
    /// A CPU case is rated on packages and memory; where no package is counted, on the smallest
    /// enclosing domain there is (platform, node, wall). A case on another device is rated on that device's own
    /// domain and the host's packages and memory, never on another device's; where the device has no domain, on
    /// what encloses the whole machine (node, wall) or on nothing. A software device is the processor. A wall
    /// meter of declared accuracy goes before everything, on every device.
    pub(super) fn rated(&self, device: &DeviceId) -> Vec<&Meter> {
        // Whoever brings a meter and answers for its accuracy wants to be rated on it. It contains all.
        if let Some(wall) = self.all.iter().find(|m| m.domain == Domain::Wall && self.accuracy(m).is_some()) {
            return vec![wall];
        }
        let placed = self.record.header.devices.iter().find(|d| d.id == *device);
        let on_gpu = !device.is_cpu() && !placed.is_some_and(|d| d.software);
        let own = placed.and_then(|d| d.domain.as_ref());
        let mut candidates: Vec<&Meter> = self
            .all
            .iter()
            .filter(|m| match m.domain {
                Domain::Package { .. } | Domain::Dram { .. } | Domain::DramOfDie { .. } => true,
                Domain::Gpu { .. } | Domain::GpuModule { .. } => on_gpu && own == Some(&m.domain),
                Domain::Cores { .. } | Domain::Uncore { .. } | Domain::Other { .. } => false,
                Domain::Psys | Domain::Node | Domain::Wall => false,
            })
            .collect();
        let device_counted = candidates.iter().any(|m| own == Some(&m.domain));
        let package_counted = candidates.iter().any(|m| matches!(m.domain, Domain::Package { .. }));
        if if on_gpu { !device_counted } else { !package_counted } {
            // The platform's regulator feeds processors; cards draw from the supply beside it.
            let whole =
                if on_gpu { &[Domain::Node, Domain::Wall][..] } else { &[Domain::Psys, Domain::Node, Domain::Wall] };
            candidates = whole.iter().find_map(|d| self.all.iter().find(|m| m.domain == *d)).into_iter().collect();
        }
        // Meters are sorted: the reader of record comes before those that check it, and the counter
        // of a domain before its integrated power.
        candidates.dedup_by(|later, earlier| later.domain == earlier.domain);
        let kept: Vec<&Meter> = candidates
            .iter()
            .filter(|m| !candidates.iter().any(|outer| outer.domain.contains(&m.domain)))
            .copied()
            .collect();
        kept
    }

    /// What its owner declares of the accuracy of the sensor of `meter`.
    pub(super) fn accuracy(&self, meter: &Meter) -> Option<&'r Accuracy> {
        declared_of(self.record, &meter.sensor)
    }

    /// The boundary of CPU cases, in words, and what cases on cards add to it.
    pub(super) fn boundary(&self) -> Boundary {
        let rated = self.rated(&DeviceId("cpu".into()));
        let domains: Vec<Domain> = rated.iter().map(|m| m.domain.clone()).collect();
        let has = |test: fn(&Domain) -> bool| domains.iter().any(test);
        let text = match (
            has(|d| matches!(d, Domain::Package { .. })),
            has(|d| matches!(d, Domain::Dram { .. } | Domain::DramOfDie { .. })),
        ) {
            (true, true) => "CPU packages and memory".to_owned(),
            (true, false) => "CPU packages without memory".to_owned(),
            _ => match domains.first() {
                Some(Domain::Psys) => "the platform".to_owned(),
                Some(Domain::Node) => "the whole node".to_owned(),
                Some(Domain::Wall) => "the wall socket".to_owned(),
                _ => self.why_nothing(),
            },
        };
        let read = |d: &Domain| self.all.iter().any(|m| m.domain == *d);
        let cards = self.record.header.devices.iter().any(|d| !d.software && d.domain.as_ref().is_some_and(read));
        let text =
            if cards && !domains.is_empty() { format!("{text}, for a case on a card with that card") } else { text };
        Boundary { domains, text }
    }

    /// Why no energy of a case on `device` is known.
    pub(super) fn why_nothing_of(&self, device: &DeviceId) -> String {
        let software = self.record.header.devices.iter().any(|d| d.id == *device && d.software);
        if device.is_cpu() || software || self.all.is_empty() {
            return self.why_nothing();
        }
        if self.is_instance(device) {
            return format!(
                "{device} is an instance of a card that is divided (MIG): the card's meter counts every instance on it, and an \
                 instance has none"
            );
        }
        format!("no sensor counts the energy of {device}, and without it the rest of the machine would pass for all")
    }

    /// Whether the card of `device` is divided: NVML says so of the board at its address, or its name does.
    fn is_instance(&self, device: &DeviceId) -> bool {
        let header = &self.record.header;
        let Some(device) = header.devices.iter().find(|d| d.id == *device) else { return false };
        let board = header.environment.gpus.iter().find(|g| g.pci.is_some() && g.pci == device.pci);
        board.is_some_and(|g| g.mig == Some(true)) || device.name.contains(" MIG ")
    }

    /// Why no energy of a CPU case is known, from the answers of the sensors.
    pub(super) fn why_nothing(&self) -> String {
        let mut reasons: Vec<String> =
            self.record.lost_sensors.iter().map(|(id, why)| format!("{id} was lost during the run: {why}")).collect();
        for status in &self.record.header.sensors {
            match status {
                SensorStatus::Absent { id, reason, .. } => reasons.push(format!("{id}: {reason}")),
                SensorStatus::Denied { id, reason, .. } => reasons.push(format!("{id}: not permitted: {reason}")),
                SensorStatus::Ready(info) => {
                    let counts = info.channels.iter().any(|c| matches!(c.quantity, Quantity::Energy { .. }));
                    if counts && !self.all.iter().any(|m| m.sensor == info.id) {
                        reasons.push(format!("{}: ready, but no window has a reading of it", info.id));
                    }
                }
            }
        }
        match (reasons.is_empty(), self.all.is_empty()) {
            (true, _) => "no sensor counts the energy of the CPU".to_owned(),
            (false, true) => format!("no energy counter: {}", reasons.join("; ")),
            (false, false) => format!("no counter covers the CPU: {}", reasons.join("; ")),
        }
    }

    /// Figures of the rated boundary of a case.
    pub(super) fn rate(
        &self,
        device: &DeviceId,
        samples: &[&Sample],
        work: &Work,
        by: &mut Resampler,
    ) -> EnergyFigures {
        let rated = self.rated(device);
        if rated.is_empty() {
            return EnergyFigures::missing(&self.why_nothing_of(device), sparse(work));
        }
        self.figures(&rated, samples, work, by)
    }

    /// Energy of the rated boundary in one window, in joules; `None` where a domain of it has no reading.
    pub(super) fn window_energy(&self, device: &DeviceId, sample: &Sample) -> Option<f64> {
        let rated = self.rated(device);
        let window = Window::of(sample, &rated).filter(|_| !rated.is_empty())?;
        Some(window.energy).filter(|e| e.is_finite() && !window.stuck)
    }

    /// Figures of every meter by itself.
    pub(super) fn each(
        &self,
        device: &DeviceId,
        samples: &[&Sample],
        work: &Work,
        by: &mut Resampler,
    ) -> Vec<DomainEnergy> {
        let rated = self.rated(device);
        let seen = |m: &Meter| samples.iter().any(|s| m.find(&s.energy).is_some());
        self.all
            .iter()
            .filter(|m| seen(m))
            .map(|meter| DomainEnergy {
                domain: meter.domain.clone(),
                sensor: meter.sensor.clone(),
                method: meter.method(),
                rated: rated.contains(&meter),
                inside: self.all.iter().map(|m| &m.domain).find(|d| d.contains(&meter.domain)).cloned(),
                figures: self.figures(&[meter], samples, work, by),
            })
            .collect()
    }

    fn figures(&self, meters: &[&Meter], samples: &[&Sample], work: &Work, by: &mut Resampler) -> EnergyFigures {
        let windows: Vec<Window> = samples.iter().filter_map(|s| Window::of(s, meters)).collect();
        if windows.is_empty() {
            let names: Vec<String> = meters.iter().map(|m| m.domain.to_string()).collect();
            return EnergyFigures::missing(
                &format!("no window has a reading of {}", names.join(" and ")),
                sparse(work),
            );
        }
        // A counter that stands still says "less than a step", not "nothing".
        let still = windows.iter().filter(|w| w.stuck).count();
        if still > 0 {
            let reason = format!("a counter did not advance in {still} of {} windows: too short for it", windows.len());
            return EnergyFigures::missing(&reason, sparse(work));
        }
        // Of polled power a window shows the part of the load that its phase met: only the mean over all phases
        // is the energy. A wall meter is no sensor of this machine, and its windows have no phase.
        let polled = meters.iter().any(|m| m.integrated && m.domain != Domain::Wall);
        let weights = polled.then(|| {
            let repeats: Vec<u32> = windows.iter().map(|w| w.repeat).collect();
            phase_weights(&repeats, self.record.header.profile.repeats)
        });
        let mut column = |value: &dyn Fn(&Window) -> f64| {
            let values: Vec<f64> = windows.iter().map(value).collect();
            let n = u32::try_from(values.len()).unwrap_or(u32::MAX);
            if let Some(weights) = &weights {
                let (estimate, error) = by.mean(&values, weights).unzip();
                let relative = |e: Estimate| Some(error?? / e.median.abs()).filter(|u| u.is_finite());
                return (estimate, Scatter { relative: estimate.and_then(relative), n, of: "mean" });
            }
            let estimate = by.estimate(&values);
            let relative = |e: Estimate| Some(by.standard_error(&values)? / e.median.abs()).filter(|u| u.is_finite());
            (estimate, Scatter { relative: estimate.and_then(relative), n, of: "median" })
        };
        let (whole, whole_scatter) = column(&|w| w.energy);
        let (each, each_scatter) = column(&|w| w.energy / w.iterations);
        let (power, power_scatter) = column(&|w| w.energy / w.wall);
        let idle = idle::sum_of_means(&self.idle, meters);
        let net = idle.map(|idle| column(&|w| (w.energy - idle * w.wall) / w.iterations));
        let (useful, dense) = (work.useful.get(), work.dense_equivalent.get());
        let figure = |estimate: Option<_>, why: &str| estimate.map_or_else(|| Figure::missing(why), Figure::Measured);
        let none = "the kernel has no floating-point operations";
        let efficiency = each.filter(|_| useful > 0.0).and_then(|e| e.divide(useful));
        let basis = self.basis(meters, &windows);
        // What is proportional or inversely proportional to joules an iteration has their budget.
        let mut with_each = vec!["energy_j"];
        if efficiency.is_some() {
            with_each.extend(["efficiency_flop_per_j", "energy_per_flop_j"]);
            with_each.extend(sparse(work).then_some("dense_equivalent_efficiency_flop_per_j"));
        }
        let mut budgets = vec![
            basis.energy(each_scatter, with_each),
            basis.energy(whole_scatter, vec!["window_energy_j"]),
            basis.power(power_scatter, vec!["power_w"]),
        ];
        budgets.extend(net.map(|(_, scatter)| basis.net(scatter, vec!["net_energy_j"])));
        EnergyFigures {
            window: figure(whole, "the energy is not finite"),
            per_iteration: figure(each, "the energy is not finite"),
            power: figure(power, "the power is not finite"),
            efficiency: figure(efficiency, none),
            dense_efficiency: sparse(work)
                .then(|| figure(each.and_then(|e| e.divide(dense)), "the energy is not positive")),
            per_flop: figure(each.filter(|_| useful > 0.0).and_then(|e| e.scaled(1.0 / useful)), none),
            net_per_iteration: figure(
                net.and_then(|(net, _)| net),
                "idle power was not measured for every domain of the boundary",
            ),
            type_b: Some(self.type_b(&windows)),
            budgets,
        }
    }

    /// What a budget needs to know of `meters` over `windows`, which all have readings of all of them.
    pub(super) fn basis(&self, meters: &[&Meter], windows: &[Window<'_>]) -> Basis<'_> {
        let energy: f64 = windows.iter().map(|w| w.energy).sum();
        let wall: f64 = windows.iter().map(|w| w.wall).sum();
        let at_rest = |m: &Meter| self.idle.iter().find(|i| m.is_that_of(i));
        let mut groups: Vec<Group> = Vec::new();
        for (i, meter) in meters.iter().enumerate() {
            let share = windows.iter().map(|w| w.parts[i].0).sum::<f64>() / energy;
            let rest = at_rest(meter).map(|idle| idle.mean * wall / energy);
            match groups.iter_mut().find(|g| g.sensor == meter.sensor && g.method == meter.method()) {
                Some(group) => {
                    group.share += share;
                    group.rest = group.rest.zip(rest).map(|(a, b)| a + b);
                    group.domains.push_str(&format!("+{}", meter.domain));
                }
                None => groups.push(Group {
                    sensor: meter.sensor.clone(),
                    method: meter.method(),
                    domains: meter.domain.to_string(),
                    share,
                    rest,
                }),
            }
        }
        if let [only] = groups.as_mut_slice() {
            only.share = 1.0; // a sum of shares would be off by rounding
        }
        let host = &self.record.header.environment.host;
        let drift = |m: &&Meter| at_rest(m).and_then(|i| Some((i.after? - i.before?).abs() / 2.0));
        Basis {
            policy: &self.bounds,
            machine: host.machine_hash.as_deref().unwrap_or(&self.record.header.id),
            alignment: worst(windows.iter().map(|w| Some(w.period? / w.wall))),
            quantisation: worst(windows.iter().map(|w| self.steps(w))),
            span: windows.iter().map(|w| w.correction).fold(0.0, f64::max),
            rest: groups.iter().map(|g| g.rest).sum::<Option<f64>>().map(|share| Rest {
                share,
                half_drift: meters.iter().map(drift).sum::<Option<f64>>().map(|d| d * wall / energy),
            }),
            groups,
        }
    }

    /// √Σq²(1 + 2w²) over the energy of the window: over √6 that is two readings in steps of q, and a
    /// step for each of w wraps, of every counter.
    fn steps(&self, window: &Window<'_>) -> Option<f64> {
        let counters = window.meters.iter().zip(&window.parts).filter(|(m, _)| !m.integrated);
        let square = |(m, (_, wraps)): (&&Meter, &(f64, u32))| {
            Some(square_of(self.resolution(m)?) * (1.0 + 2.0 * square_of(f64::from(*wraps))))
        };
        Some(counters.map(square).sum::<Option<f64>>()?.sqrt() / window.energy)
    }

    fn type_b(&self, windows: &[Window]) -> TypeB {
        let root6 = 6f64.sqrt();
        let u_align = worst(windows.iter().map(|w| Some(w.period? / (w.wall * root6))));
        let step = |m: &Meter| self.resolution(m);
        let u_quantisation = worst(windows.iter().map(|w| {
            let squares: Option<f64> = w.meters.iter().map(|m| step(m).map(|q| q * q)).sum();
            Some(squares?.sqrt() / (w.energy * root6))
        }));
        TypeB {
            u_align,
            aligned: u_align.map(|u| u <= self.record.header.profile.alignment_limit),
            u_quantisation,
            span_correction: windows.iter().map(|w| w.correction).fold(0.0, f64::max),
        }
    }

    /// Step of a counter in joules, where its sensor states it.
    fn resolution(&self, meter: &Meter) -> Option<f64> {
        let infos = self.record.header.sensors.iter().filter_map(|s| match s {
            SensorStatus::Ready(info) if info.id == meter.sensor => Some(info),
            _ => None,
        });
        let mut channels = infos.flat_map(|info| &info.channels).filter(|c| c.domain == meter.domain);
        channels.find_map(|c| match c.quantity {
            Quantity::Energy { resolution, .. } => resolution.map(|q| q.to_joules().get()),
            _ => None,
        })
    }
}

fn square_of(x: f64) -> f64 {
    x * x
}

/// The largest value; `None` when one is unknown.
fn worst(mut values: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    values.try_fold(0.0, |worst: f64, value| Some(worst.max(value?)))
}

/// Whether a dense kernel would need more operations for the same result.
fn sparse(work: &Work) -> bool {
    work.dense_equivalent > work.useful
}

impl EnergyFigures {
    /// Nothing is known, and why; `sparse` cases have dense-equivalent figures besides.
    pub(super) fn missing(reason: &str, sparse: bool) -> Self {
        let missing = || Figure::missing(reason);
        Self {
            window: missing(),
            per_iteration: missing(),
            power: missing(),
            efficiency: missing(),
            dense_efficiency: sparse.then(missing),
            per_flop: missing(),
            net_per_iteration: missing(),
            type_b: None,
            budgets: Vec::new(),
        }
    }
}
