//! The result for people.

use super::result::Outcome;
use crate::cli::{duration, style, table};
use crate::meter::uncertainty::COVERAGE_FACTOR;
use crate::meter::{DomainEnergy, Figure, Measurement};
use crate::record::EnergyMethod;
use crate::report::si;
use crate::units::{Joules, Seconds};

/// Header line, table, then what a reader has to know. `colored` marks the header.
pub(super) fn render(outcome: &Outcome, colored: bool) -> String {
    let mean = &outcome.mean;
    let mut text = String::from("\n");
    let runs = if mean.runs > 1 { format!(" · mean of {} runs", mean.runs) } else { String::new() };
    let title = format!("energy of `{}`", printable(&outcome.command.join(" ")));
    text.push_str(&format!(
        "{} · {}{runs} · exit code {}\n",
        if colored { style::bold(&title) } else { title },
        si::quantity(mean.window.get(), "s"),
        outcome.exit_code
    ));
    if mean.domains.is_empty() {
        text.push_str("energy: not measured\n");
    } else {
        text.push_str(&figures(outcome));
        text.push_str("The counters see the whole machine, not this command alone.\n");
    }
    if let Some(processors) = outcome.processors() {
        text.push_str(&processors.line());
    }
    for missing in &outcome.missing {
        text.push_str(&format!("  {missing}\n"));
    }
    for part in &mean.domains {
        if let Err(reason) = &part.figure {
            text.push_str(&format!("{}: not measured: {reason}\n", part.domain));
        }
    }
    if let Some(idle) = &outcome.idle {
        text.push_str(&format!(
            "net is the energy above the idle power, which was measured for {} before; it is rated nowhere\n",
            duration(idle.window)
        ));
    }
    let simulated = mean.simulated.iter().map(|reason| format!("simulated: {reason}"));
    for warning in mean.warnings().into_iter().chain(simulated) {
        let label = if colored { style::warn("warning") } else { "warning".to_owned() };
        text.push_str(&format!("{label}: {warning}\n"));
    }
    if outcome.runs.len() > 1 {
        text.push_str(&every_run(outcome));
    }
    text
}

fn figures(outcome: &Outcome) -> String {
    let mean = &outcome.mean;
    let (spread, net) = (mean.runs > 1, outcome.idle.is_some());
    let uncertainty = format!("± (k = {COVERAGE_FACTOR})");
    let mut header = vec!["domain", "energy", &uncertainty, "power"];
    if spread {
        header.push("spread (s)");
    }
    if net {
        header.push("net");
    }
    header.extend(["sensor", "method"]);
    let cells = |first: [String; 4], s: Option<Joules>, n: Option<Joules>, last: [String; 2]| {
        let joules = |value: Option<Joules>| value.map_or_else(|| "—".to_owned(), |v| si::quantity(v.get(), "J"));
        let mut row = Vec::from(first);
        if spread {
            row.push(joules(s));
        }
        if net {
            row.push(joules(n));
        }
        row.extend(last);
        row
    };
    let mut rows: Vec<Vec<String>> = mean
        .domains
        .iter()
        .map(|part| {
            let name = format!("{}{}", "  ".repeat(depth(mean, part)), part.domain);
            let known = part.figure.as_ref().ok();
            let (spread, net) = (known.and_then(|f| f.spread), known.and_then(|f| f.net));
            cells(
                [name, energy(known), relative(known.and_then(Figure::relative)), power(known)],
                spread,
                net,
                [part.sensor.clone(), method(part.method).to_owned()],
            )
        })
        .collect();
    rows.push(match mean.total() {
        Ok(total) => {
            let parts: Vec<String> = total.domains.iter().map(ToString::to_string).collect();
            let share = (total.u * COVERAGE_FACTOR).ratio(total.energy);
            let watts = si::quantity(total.power.get(), "W");
            let first = ["total".to_owned(), si::quantity(total.energy.get(), "J"), relative(share), watts];
            cells(first, total_spread(outcome), total.net, [String::new(), parts.join(" + ")])
        }
        Err(_) => {
            let unknown = || "—".to_owned();
            let first = ["total".to_owned(), "not measured".to_owned(), unknown(), unknown()];
            cells(first, None, None, [String::new(), String::new()])
        }
    });
    table::plain(&header, &rows).lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// How many of the measured domains lie around this one.
fn depth(measurement: &Measurement, part: &DomainEnergy) -> usize {
    let mut around: Vec<_> =
        measurement.domains.iter().map(|d| &d.domain).filter(|d| d.contains(&part.domain)).collect();
    around.sort();
    around.dedup();
    around.len()
}

fn total_spread(outcome: &Outcome) -> Option<Joules> {
    let totals: Vec<f64> =
        outcome.runs.iter().filter_map(|run| Some(run.measured.total().ok()?.energy.get())).collect();
    crate::meter::repeats::deviation(&totals).and_then(|s| Joules::new(s).ok())
}

fn every_run(outcome: &Outcome) -> String {
    let rows: Vec<Vec<String>> = outcome
        .runs
        .iter()
        .enumerate()
        .map(|(i, run)| {
            let total =
                run.measured.total().map_or_else(|_| "not measured".to_owned(), |t| si::quantity(t.energy.get(), "J"));
            vec![(i + 1).to_string(), time(run.measured.window), total, run.exit_code.to_string()]
        })
        .collect();
    format!("\n{}\n", table::plain(&["run", "time", "total", "exit code"], &rows))
}

fn time(window: Seconds) -> String {
    si::quantity(window.get(), "s")
}

fn energy(figure: Option<&Figure>) -> String {
    figure.map_or_else(|| "not measured".to_owned(), |f| si::quantity(f.energy.get(), "J"))
}

fn power(figure: Option<&Figure>) -> String {
    figure.map_or_else(|| "—".to_owned(), |f| si::quantity(f.power.get(), "W"))
}

fn relative(share: Option<f64>) -> String {
    share.map_or_else(|| "—".to_owned(), si::percent)
}

const fn method(method: EnergyMethod) -> &'static str {
    match method {
        EnergyMethod::Counter => "counter",
        EnergyMethod::Integrated => "integrated",
    }
}

/// Arguments may hold anything, terminal escapes included.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
