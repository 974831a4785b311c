//! What stands around the figures: sensors, machine, method, caveats, provenance.

use super::plain::{domain_name, plain, sentence, shorten};
use super::{CaveatLine, Fact, FactGroup, Paragraph, SensorCard, Tone};
use crate::analysis::{Caveat, Severity, Summary};
use crate::record::{Cache, Channel, Environment, Quantity, RunRecord, RunState, SensorStatus};
use crate::report::si;
use std::fmt::Display;

/// Longest paragraph of the method, in characters: none of ours comes near it.
const PARAGRAPH: usize = 4000;

/// Caveats of one code that are listed by case before the rest is only counted.
const LISTED: usize = 6;

pub(in crate::report) fn fact(label: &str, value: impl Display) -> Fact {
    Fact { label: label.to_owned(), value: plain(&value.to_string()), mono: false }
}

pub(in crate::report) fn code(label: &str, value: impl Display) -> Fact {
    Fact { mono: true, ..fact(label, value) }
}

pub(in crate::report) fn maybe(label: &str, value: Option<impl Display>) -> Fact {
    match value {
        Some(value) => fact(label, value),
        None => fact(label, "unknown"),
    }
}

pub(in crate::report) fn yes_no(value: Option<bool>) -> Option<&'static str> {
    value.map(|v| if v { "yes" } else { "no" })
}

/// Every sensor family and its state.
pub(super) fn sensors(record: &RunRecord) -> Vec<SensorCard> {
    let card = |status: &SensorStatus| match status {
        SensorStatus::Ready(info) => {
            let lost = record.lost_sensors.iter().find(|(id, _)| *id == info.id);
            let mut lines: Vec<String> = info.channels.iter().map(channel).collect();
            lines.extend(info.notes.iter().map(|n| sentence(n)));
            SensorCard {
                id: shorten(&info.id, 60),
                title: shorten(&info.title, 120),
                tone: if lost.is_some() { Tone::Warning } else { Tone::Good },
                state: if lost.is_some() { "lost during the run" } else { "used" },
                detail: lost.map_or_else(|| plain(&info.source), |(_, why)| sentence(why)),
                remedy: None,
                lines,
            }
        }
        SensorStatus::Absent { id, title, reason } => SensorCard {
            id: shorten(id, 60),
            title: shorten(title, 120),
            tone: Tone::Neutral,
            state: "absent",
            detail: sentence(reason),
            remedy: None,
            lines: Vec::new(),
        },
        SensorStatus::Denied { id, title, reason, remedy } => SensorCard {
            id: shorten(id, 60),
            title: shorten(title, 120),
            tone: Tone::Warning,
            state: "denied",
            detail: sentence(reason),
            remedy: Some(sentence(remedy)),
            lines: Vec::new(),
        },
    };
    record.header.sensors.iter().map(card).collect()
}

fn channel(channel: &Channel) -> String {
    let mut text = format!("{}: {}", shorten(&channel.name, 80), kind(&channel.quantity));
    if !channel.name.ends_with(&channel.domain.to_string()) {
        text.push_str(&format!(" of {}", domain_name(&channel.domain)));
    }
    if let Quantity::Energy { resolution, range, .. } = channel.quantity {
        if let Some(step) = resolution {
            text.push_str(&format!(", step {}", si::setting(step.to_joules().get(), "J")));
        }
        if let Some(range) = range {
            text.push_str(&format!(", wraps at {}", si::quantity(range.to_joules().get(), "J")));
        }
    }
    match channel.update_period {
        Some(period) => text.push_str(&format!(", updated every {}", si::quantity(period.get(), "s"))),
        None => text.push_str(", update period unknown"),
    }
    text
}

const fn kind(quantity: &Quantity) -> &'static str {
    match quantity {
        Quantity::Energy { .. } => "energy counter",
        Quantity::InstantPower => "instantaneous power",
        Quantity::AveragePower { .. } => "averaged power",
        Quantity::Temperature => "temperature",
        Quantity::Clock => "clock",
        Quantity::MemoryClock => "clock of the memory",
        Quantity::Throttle => "throttle reasons",
        Quantity::PowerLimit => "power limit",
    }
}

/// The machine, in groups.
pub(super) fn environment(e: &Environment) -> Vec<FactGroup> {
    let group = |title: &str, facts: Vec<Fact>| FactGroup { title: title.to_owned(), facts };
    let (host, cpu, state) = (&e.host, &e.cpu, &e.state);
    let caches = cpu.caches.iter().map(cache).collect::<Vec<_>>().join(", ");
    let unless_empty = |text: String| (!text.is_empty()).then_some(text);
    let mut groups = vec![
        group(
            "Processor",
            vec![
                maybe("Model", cpu.model.as_ref()),
                maybe("Signature", cpu.signature.as_ref()),
                maybe("Microcode", cpu.microcode.as_ref()),
                maybe("Sockets", cpu.sockets),
                maybe("Cores", cpu.cores),
                maybe("Logical CPUs", cpu.logical),
                fact("Usable by the run", cpu.usable),
                maybe("SMT", yes_no(cpu.smt)),
                maybe("NUMA nodes", cpu.numa_nodes),
                maybe("Caches", unless_empty(caches)),
                maybe("Highest clock", cpu.max_frequency.map(|f| si::setting(f.get(), "Hz"))),
                maybe("Instruction sets", unless_empty(cpu.features.join(", "))),
                maybe("Memory", e.memory.map(|m| si::bytes(m.get()))),
            ],
        ),
        group(
            "System",
            vec![
                maybe("Operating system", host.os.as_ref()),
                maybe("Kernel", host.kernel.as_ref()),
                fact("Architecture", &host.arch),
                maybe("Board", host.board.as_ref()),
                fact("Virtual machine", host.virtualization.as_deref().unwrap_or("none recognised")),
                fact("Container", host.container.as_deref().unwrap_or("none recognised")),
                Fact { mono: true, ..maybe("Machine hash", host.machine_hash.as_ref()) },
            ],
        ),
        group(
            "State at the start",
            vec![
                maybe("Governor", state.governor.as_ref()),
                maybe("Turbo", yes_no(state.turbo)),
                maybe("Load average, 1 min", state.load_1min.map(|l| format!("{l:.2}"))),
                maybe("Autogroup", yes_no(state.autogroup)),
                maybe("Huge pages", state.huge_pages.as_ref()),
                maybe("perf_event_paranoid", state.perf_event_paranoid),
                maybe("Clock source", state.clock_source.as_ref()),
                maybe("Temperature", state.temperature.map(|t| format!("{:.0} °C", t.get()))),
                maybe("Energy filtering", yes_no(state.energy_filtering)),
                maybe("Power cap", state.power_cap.map(|w| si::setting(w.get(), "W"))),
                maybe("On battery", yes_no(state.on_battery)),
            ],
        ),
        group(
            "Build",
            vec![
                fact("Compiler", &e.compiler.rustc),
                fact("Target", &e.compiler.target),
                fact("Profile", &e.compiler.profile),
            ],
        ),
    ];
    for gpu in &e.gpus {
        let facts = vec![
            fact("Name", &gpu.name),
            maybe("Driver", gpu.driver.as_ref()),
            maybe("Power limit", gpu.power_limit.map(|w| si::setting(w.get(), "W"))),
            maybe("Memory", gpu.memory.map(|m| si::bytes(m.get()))),
            maybe("ECC", yes_no(gpu.ecc)),
            maybe("MIG", yes_no(gpu.mig)),
            code("UUID hash", &gpu.uuid_hash),
        ];
        groups.push(group("GPU", facts));
    }
    groups
}

fn cache(cache: &Cache) -> String {
    format!("L{} {} {}", cache.level, cache.kind.to_lowercase(), si::bytes(cache.size.get()))
}

/// Caveats, gravest first; one code that concerns many cases is listed for the first few only.
pub(super) fn caveats(summary: &Summary) -> Vec<CaveatLine> {
    let mut lines: Vec<CaveatLine> = Vec::new();
    let mut left_out: Vec<(&'static str, Tone, usize)> = Vec::new();
    for caveat in &summary.caveats {
        let tone = tone(caveat);
        let listed = lines.iter().filter(|l| l.code == caveat.code && l.tone == tone).count();
        if caveat.case.is_some() && listed >= LISTED {
            match left_out.iter_mut().find(|(code, t, _)| *code == caveat.code && *t == tone) {
                Some((.., n)) => *n += 1,
                None => left_out.push((caveat.code, tone, 1)),
            }
            continue;
        }
        lines.push(CaveatLine {
            code: caveat.code,
            tone,
            case: caveat.case.as_deref().map(|c| shorten(c, 120)).unwrap_or_default(),
            text: sentence(&caveat.text),
        });
    }
    for (code, tone, n) in left_out {
        let text = format!("The same holds for {n} more {}.", if n == 1 { "case" } else { "cases" });
        let after = lines.iter().rposition(|l| l.code == code && l.tone == tone).map_or(lines.len(), |i| i + 1);
        lines.insert(after, CaveatLine { code, tone, case: String::new(), text });
    }
    lines
}

const fn tone(caveat: &Caveat) -> Tone {
    match caveat.severity {
        Severity::Critical => Tone::Bad,
        Severity::Warning => Tone::Warning,
        Severity::Note => Tone::Neutral,
    }
}

/// How the figures were obtained, with the numbers of the profile.
pub(super) fn method(record: &RunRecord, summary: &Summary) -> Vec<Paragraph> {
    let p = &record.header.profile;
    let time = |s: crate::units::Seconds| si::setting(s.get(), "s");
    // The words are ours: the cap on texts from outside would cut them in the middle.
    let paragraph = |title: &str, text: String| Paragraph { title: title.to_owned(), text: shorten(&text, PARAGRAPH) };
    let confidence = si::set_percent(p.confidence);
    let windows = format!(
        "Every case runs {} times, interleaved with the others, each time for a window of at least {} and {} update \
         periods of the slowest energy counter. Warm-up lasts {} to {} and ends when the slope is below {}. A window \
         is discarded, with its reason, when other processes used more than {} of the CPUs or a hypervisor stole more \
         than {}; it is measured again up to {} times.",
        p.repeats,
        time(p.window_floor),
        p.window_tau_multiple,
        time(p.warm_up_min),
        time(p.warm_up_max),
        si::set_percent(p.warm_up_slope),
        si::set_percent(p.foreign_load_limit),
        si::set_percent(p.steal_limit),
        p.retries
    );
    let interval = format!(
        "A figure is the median of the windows that count. Its {confidence} interval is a percentile bootstrap of the \
         median with {} resamples (Efron & Tibshirani 1993), widened by √(n/(n−1)), seeded from the record: the same \
         record gives the same interval. Shares of a ceiling join the intervals of both medians (Zou & Donner 2008).",
        p.bootstrap_resamples
    );
    let policy = &summary.uncertainty_policy;
    let uncertainty = format!(
        "Beside energy, power and performance per watt stands the expanded uncertainty U = k·u_c of the GUM (JCGM \
         100:2008), which covers {} of the errors and not only scatter. u_c is the root of the sum of squares of the \
         standard error of the median (bootstrap of the windows, widened by √(n/(n−1))) and of bounds for gain, \
         linearity, quantisation, alignment, span, aliasing, clock and idle drift. k is Student's t of the effective \
         degrees of freedom, {} from {} on. Where a term is unknown, no uncertainty is stated. In a ratio of two \
         figures of one sensor its gain cancels.",
        si::set_percent(policy.coverage.confidence),
        policy.coverage.normal_factor,
        policy.coverage.normal_from
    );
    let answers = "Every timed window leaves an answer, and that answer is compared with an f64 reference against a \
                   fixed error limit; a precision canary shows that the declared precision was used. A wrong answer \
                   voids all figures of its case."
        .to_owned();
    let energy = if summary.boundary.domains.is_empty() {
        "Energy was not measured in this run, and nothing is put in its place.".to_owned()
    } else {
        let names: Vec<String> = summary.boundary.domains.iter().map(domain_name).collect();
        format!(
            "Energy is the difference of hardware counters read around each window, scaled from the reads to the \
             window itself. Rated figures are gross: everything that {} drew. Domains inside others are shown and \
             never added. Net energy subtracts idle power, measured for {} before and after the cases. The alignment \
             error of a window T with an update period τ is τ/(T·√6), limit {}.",
            names.join(" and "),
            time(p.idle),
            si::set_percent(p.alignment_limit)
        )
    };
    let ceilings = "Probes of arithmetic and read bandwidth run in the same suite with the same threads. A case is \
                    compared with the arithmetic probe of its element type and with the read probe of the nearest \
                    footprint that is not smaller."
        .to_owned();
    let mut all = vec![
        paragraph("Windows", windows),
        paragraph("Intervals", interval),
        paragraph("Answers", answers),
        paragraph("Energy", energy),
        paragraph("Uncertainty", uncertainty),
        paragraph("Ceilings", ceilings),
    ];
    if let Some(grade) = &summary.grade {
        all.push(paragraph("Evidence", format!("Grade {}: {}.", grade.letter, grade.reason)));
    }
    all
}

/// Digests, tool and ids.
pub(super) fn provenance(record: &RunRecord, summary: &Summary) -> Vec<Fact> {
    let h = &record.header;
    vec![
        code("Record", &h.id),
        fact("Started", h.started_at),
        match h.finished_at {
            Some(utc) => fact("Finished", utc),
            None => fact("Finished", "not finished"),
        },
        fact("State", state(h.state)),
        fact("Program", format!("{} {}", h.tool.name, h.tool.version)),
        Fact { mono: true, ..maybe("Commit", h.tool.commit.as_ref()) },
        fact("Features", if h.tool.features.is_empty() { "none".to_owned() } else { h.tool.features.join(", ") }),
        code("Suite", format!("{} ({})", h.suite.id, h.suite.path)),
        code("Suite SHA-256", &h.suite.digest),
        code("Samples SHA-256", &record.samples_digest),
        fact("Profile", &h.profile.name),
        fact("Uncertainty policy", &summary.uncertainty_policy.policy),
        code("Policy SHA-256", &summary.uncertainty_policy.sha256),
        code("Seed", h.seed),
        fact("Record schema", h.schema),
    ]
}

pub(super) const fn state(state: RunState) -> &'static str {
    match state {
        RunState::Running => "running",
        RunState::Interrupted => "interrupted",
        RunState::Complete => "complete",
    }
}
