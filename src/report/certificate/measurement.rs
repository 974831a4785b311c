//! How energy was measured, and in what surroundings.

use crate::certificate::Dossier;
use crate::record::{Channel, EnergyMethod, Quantity, ReaderRole, Sample, SensorInfo, SensorStatus, State};
use crate::report::model::context::{fact, maybe};
use crate::report::model::grid::{missing, text_column, words};
use crate::report::model::plain::{domain_name, plain, sentence, shorten};
use crate::report::model::{Cell, CellKind, Column, Fact, Row, Table, Tone};
use crate::report::si;

/// One row a channel of energy or power: what it counts, how often, how well.
pub(super) fn meters(dossier: &Dossier) -> Table {
    let ready = dossier.certificate.sensors.iter().filter_map(|status| match status {
        SensorStatus::Ready(info) => Some(info),
        SensorStatus::Absent { .. } | SensorStatus::Denied { .. } => None,
    });
    let rows = ready.flat_map(|info| info.channels.iter().filter_map(move |c| row(dossier, info, c)));
    Table {
        id: "meters",
        caption: "Meters".to_owned(),
        columns: vec![
            text_column("domain", "Domain", "the part of the machine"),
            text_column("sensor", "Sensor", "sensor family"),
            text_column("use", "Counts as", "whether its energy is added"),
            Column { numeric: true, ..text_column("tau", "τ", "update period, probed on this machine") },
            Column { numeric: true, ..text_column("step", "Step", "resolution") },
            Column { numeric: true, ..text_column("range", "Wraps at", "range of the counter") },
            Column { numeric: true, ..text_column("gain", "Gain bound", "bound of the systematic error") },
        ],
        rows: rows
            .enumerate()
            .map(|(n, cells)| Row { anchor: format!("meter-{n}"), tone: Tone::Neutral, cells })
            .collect(),
        notes: sources(dossier),
        empty: "No meter of energy or power could be read.".to_owned(),
    }
}

/// Where the gain bounds come from: each source once.
fn sources(dossier: &Dossier) -> Vec<String> {
    let mut notes: Vec<String> = Vec::new();
    let read = dossier.certificate.results.iter().flat_map(|c| &c.domains);
    for (sensor, method) in read.map(|d| (&d.sensor, d.method)) {
        let word = if method == EnergyMethod::Counter { "counter" } else { "polled power" };
        if let Some(bound) = dossier.summary.uncertainty_policy.bound(sensor, method) {
            let note = format!("Gain bound of {} {word}: {}", shorten(sensor, 40), sentence(&bound.source));
            if !notes.contains(&note) {
                notes.push(note);
            }
        }
    }
    notes
}

fn row(dossier: &Dossier, info: &SensorInfo, channel: &Channel) -> Option<Vec<Cell>> {
    let (method, resolution, range) = match channel.quantity {
        Quantity::Energy { resolution, range, .. } => (EnergyMethod::Counter, resolution, range),
        Quantity::InstantPower | Quantity::AveragePower { .. } => (EnergyMethod::Integrated, None, None),
        _ => return None,
    };
    let rated = &dossier.certificate.boundary.domains;
    let used = if channel.role == ReaderRole::CrossCheck {
        "check".to_owned()
    } else if rated.contains(&channel.domain) {
        "rated".to_owned()
    } else if let Some(outer) = rated.iter().find(|d| d.contains(&channel.domain)) {
        format!("inside {}", domain_name(outer))
    } else {
        "shown apart".to_owned()
    };
    let bound = dossier.summary.uncertainty_policy.bound(&info.id, method);
    let unknown = |why: &str| missing("unknown", why);
    let number = |text: String| words(text, CellKind::Measured, None);
    Some(vec![
        words(shorten(&domain_name(&channel.domain), 80), CellKind::Code, None),
        words(shorten(&info.id, 60), CellKind::Text, None),
        words(used, CellKind::Text, None),
        channel.update_period.map_or_else(|| unknown("not probed"), |p| number(si::quantity(p.get(), "s"))),
        resolution.map_or_else(|| missing("–", "not stated"), |q| number(si::setting(q.to_joules().get(), "J"))),
        range.map_or_else(|| missing("–", "not stated"), |r| number(si::quantity(r.to_joules().get(), "J"))),
        bound.map_or_else(|| unknown("no row of the policy"), |b| number(si::set_percent(b.gain))),
    ])
}

/// Gaps, coverage and cost of the measurement itself.
pub(super) fn quality(dossier: &Dossier) -> Vec<Fact> {
    let mut facts = Vec::new();
    let type_b = || dossier.certificate.results.iter().filter_map(|c| c.energy.type_b);
    let correction = type_b().map(|b| b.span_correction).max_by(f64::total_cmp);
    let coverage = correction.map(|c| {
        format!(
            "counters were read around every window; at most {} was scaled from the reads to the window",
            si::percent(c)
        )
    });
    facts.push(maybe("Coverage", coverage));
    // One unknown makes the largest unknown.
    let alignment: Option<Vec<f64>> = type_b().map(|b| b.u_align).collect();
    let alignment = alignment.and_then(|all| all.into_iter().max_by(f64::total_cmp));
    let limit = si::set_percent(dossier.record.header.profile.alignment_limit);
    facts.push(match alignment {
        Some(worst) => fact("Alignment error", format!("{} at most, limit {limit}", si::percent(worst))),
        None => fact("Alignment error", format!("unknown, limit {limit}")),
    });
    match &dossier.certificate.sampler {
        Some(s) => {
            facts.push(fact("Power trace", format!("{} points in {}", s.points, si::quantity(s.wall.get(), "s"))));
            facts.push(fact("Longest gap", si::quantity(s.longest_gap.get(), "s")));
            let share = s.cpu.get() / s.wall.get();
            let share = share.is_finite().then(|| format!("{} of one CPU", si::percent(share)));
            facts.push(maybe("Overhead of the sampler", share));
        }
        None => {
            facts.push(fact(
                "Power trace",
                format!("{} points; the sampler left no account of itself", dossier.record.trace.len()),
            ));
            facts.push(fact("Longest gap", "unknown"));
            facts.push(fact("Overhead of the sampler", "unknown"));
        }
    }
    let wraps: u32 = samples(dossier).flat_map(|s| &s.energy).map(|e| e.wraps).fold(0, u32::saturating_add);
    facts.push(fact("Counter wraps", format!("{wraps}, corrected")));
    if !dossier.record.lost_sensors.is_empty() {
        let lost: Vec<String> = dossier
            .record
            .lost_sensors
            .iter()
            .map(|(id, why)| format!("{}: {}", shorten(id, 40), shorten(why, 160)))
            .collect();
        facts.push(fact("Lost during the run", lost.join("; ")));
    }
    facts
}

fn samples(dossier: &Dossier) -> impl Iterator<Item = &Sample> {
    dossier.record.measurements.iter().flat_map(|m| &m.samples)
}

/// State of the machine over all windows, idle ones included.
pub(super) fn surroundings(dossier: &Dossier) -> Vec<Fact> {
    let record = &dossier.record;
    let states: Vec<&State> = record.idle.iter().map(|w| &w.state).chain(samples(dossier).map(|s| &s.state)).collect();
    let p = &record.header.profile;
    // Of how many windows a figure speaks, where it is not all of them.
    let of = |known: usize| {
        if known == states.len() { String::new() } else { format!(" ({known} of {} windows say)", states.len()) }
    };
    let most = |pick: fn(&State) -> Option<f64>| {
        let known: Vec<f64> = states.iter().filter_map(|s| pick(s)).collect();
        let most = known.iter().copied().max_by(f64::total_cmp)?;
        let least = known.iter().copied().min_by(f64::total_cmp)?;
        Some((least, most, of(known.len())))
    };
    let load = most(|s| s.foreign_load).map(|(_, m, of)| {
        format!("{} of all CPUs at most, limit {}{of}", si::percent(m), si::set_percent(p.foreign_load_limit))
    });
    let steal = most(|s| s.steal)
        .map(|(_, m, of)| format!("{} at most, limit {}{of}", si::percent(m), si::set_percent(p.steal_limit)));
    let heat = most(|s| s.temperature.map(|t| t.get())).map(|(l, m, of)| format!("{l:.0} to {m:.0} °C{of}"));
    let clock = most(|s| s.frequency.map(|f| f.get()))
        .map(|(l, m, of)| format!("{} to {}{of}", si::quantity(l, "Hz"), si::quantity(m, "Hz")));
    let throttled: Vec<u64> = states.iter().filter_map(|s| s.throttle_events).collect();
    let throttle = (!throttled.is_empty()).then(|| {
        let sum = throttled.iter().copied().fold(0, u64::saturating_add);
        format!("{sum} events{}", of(throttled.len()))
    });
    let jump =
        most(|s| s.clock_jump.map(|j| j.get().abs())).map(|(_, m, of)| format!("{} at most{of}", si::quantity(m, "s")));
    let start = record.header.environment.state.temperature.map(|t| format!("{:.0} °C", t.get()));
    vec![
        maybe("Temperature at the start", start),
        maybe("Temperature in the windows", heat),
        maybe("Clock in the windows", clock),
        maybe("Throttling", throttle),
        maybe("Load of other processes", load),
        maybe("Stolen by a hypervisor", steal),
        maybe("Jumps of the wall clock", jump),
        fact("Windows discarded", discarded(dossier)),
    ]
}

fn discarded(dossier: &Dossier) -> String {
    let taken = samples(dossier).count();
    let flagged: Vec<&Sample> = samples(dossier).filter(|s| !s.flags.is_empty()).collect();
    let mut codes: Vec<(String, usize)> = Vec::new();
    for code in flagged.iter().filter_map(|s| s.flags.first()).map(|f| shorten(&f.code, 60)) {
        match codes.iter_mut().find(|(c, _)| *c == code) {
            Some((_, n)) => *n += 1,
            None => codes.push((code, 1)),
        }
    }
    if codes.is_empty() {
        return format!("none of {taken}");
    }
    let list: Vec<String> = codes.iter().map(|(code, n)| format!("{n} {code}")).collect();
    plain(&format!("{} of {taken}: {}", flagged.len(), list.join(", ")))
}
