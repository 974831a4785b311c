//! `wattproof doctor`: which sensors work here, why the others do not, and how ready the machine
//! is for measuring.

use super::{Exit, Failure, Format, devices, doubles::Doubles, duration, print, print_json, style, table};
use crate::clock::Clock;
use crate::host::{self, Advice, Readiness};
use crate::kernels::Isa;
use crate::record::Environment;
use crate::sensors::perf::ActivityCounters;
use crate::sensors::{self, Probe, Quantity, ReaderRole, SensorInfo};
use serde_json::{Value, json};

/// Show sensors, devices and how ready this machine is for measuring
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  wattproof doctor\n  wattproof doctor --format json | jq .sensors")]
pub(super) struct Args {
    /// What to print on stdout
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    #[command(flatten)]
    doubles: Doubles,
}

/// A sensor family with what its probe answered.
struct Finding {
    id: &'static str,
    title: &'static str,
    state: State,
}

enum State {
    Ready(SensorInfo),
    Absent(String),
    Denied { reason: String, remedy: String },
}

pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    let host = args.doubles.host();
    let environment = host::environment(&host, args.doubles.gpus());
    let advice = host::readiness(&environment);
    let clock = Clock::start();
    let mut findings: Vec<Finding> = sensors::REGISTRY
        .iter()
        .map(|family| Finding {
            id: family.id,
            title: family.title,
            state: match (family.probe)(&host) {
                Probe::Absent { reason } => State::Absent(reason),
                Probe::Denied { reason, remedy } => State::Denied { reason, remedy },
                Probe::Ready(mut sensor) => {
                    let mut info = sensor.info().clone();
                    let periods = sensors::probe_period(sensor.as_mut(), &clock);
                    for (channel, (_, period)) in info.channels.iter_mut().zip(periods) {
                        channel.update_period = period;
                    }
                    State::Ready(info)
                }
            },
        })
        .collect();
    let ready =
        findings.iter_mut().filter_map(|f| if let State::Ready(info) = &mut f.state { Some(info) } else { None });
    sensors::assign_roles(&mut ready.collect::<Vec<_>>());
    let counters = ActivityCounters::open(&[0]);
    let devices = devices::Found::probe(&host, &environment.gpus, |_| true).findings;
    match args.format {
        Format::Json => print_json(&as_json(&environment, &findings, &devices, &counters, &advice))?,
        Format::Text => print(&as_text(&environment, &findings, &devices, &counters, &advice))?,
    }
    Ok(Exit::Ok)
}

fn as_text(
    environment: &Environment,
    findings: &[Finding],
    devices: &[devices::Finding],
    counters: &ActivityCounters,
    advice: &[Advice],
) -> String {
    let mut text = format!("{}\n", style::bold("Machine"));
    text.push_str(&format!("  {}\n", headline(environment)));
    text.push_str(&format!("  code path: {} (of {})\n", Isa::detect().name(), isa_names()));
    text.push_str(&format!("\n{}\n", style::bold("Power sensors")));
    for finding in findings {
        match &finding.state {
            State::Absent(reason) => {
                text.push_str(&format!("  {}  {}: {reason}\n", style::dim("absent"), finding.title));
            }
            State::Denied { reason, remedy } => {
                text.push_str(&format!("  {}  {}: {reason}\n", style::warn("denied"), finding.title));
                for line in remedy.lines() {
                    text.push_str(&format!("          {line}\n"));
                }
            }
            State::Ready(info) => {
                text.push_str(&format!("  {}   {} ({})\n", style::good("ready"), finding.title, info.source));
                let rows: Vec<Vec<String>> = info.channels.iter().map(channel_row).collect();
                for line in table::plain(&["channel", "what", "update period τ", "resolution"], &rows).lines() {
                    text.push_str(&format!("          {line}\n"));
                }
                for note in &info.notes {
                    text.push_str(&format!("          note: {note}\n"));
                }
            }
        }
    }
    text.push_str(&device_lines(devices));
    text.push_str(&format!("\n{}\n", style::bold("Processor counters")));
    for name in counters.available() {
        text.push_str(&format!("  {}   {name}\n", style::good("ready")));
    }
    for missing in counters.unavailable() {
        text.push_str(&format!("  {}  {}: {}\n", style::dim("absent"), missing.counter, missing.reason));
    }
    text.push_str(&format!("\n{}\n", style::bold("Readiness")));
    for item in advice {
        let mark = match item.state {
            Readiness::Good => style::good("good   "),
            Readiness::Warn => style::warn("warning"),
            Readiness::Unknown => style::dim("unknown"),
        };
        text.push_str(&format!("  {mark}  {}: {}\n", item.topic, item.detail));
        if let Some(fix) = &item.fix {
            text.push_str(&format!("           → {fix}\n"));
        }
    }
    text
}

/// Devices besides the processor, or why there are none; nothing where no family was looked for.
fn device_lines(devices: &[devices::Finding]) -> String {
    if devices.is_empty() {
        return String::new();
    }
    let mut text = format!("\n{}\n", style::bold("Devices"));
    for row in devices::rows(devices).iter().skip(1) {
        let state = if row[1] == "ready" { style::good("ready") } else { style::dim(&row[1]) };
        let rest: Vec<&str> = row[2..].iter().map(String::as_str).filter(|cell| !cell.is_empty()).collect();
        text.push_str(&format!("  {state}  {}: {}\n", row[0], rest.join(", ")));
    }
    text
}

/// The machine in a line or two.
fn headline(environment: &Environment) -> String {
    let (cpu, host) = (&environment.cpu, &environment.host);
    let known = |v: &Option<String>| v.clone().unwrap_or_else(|| "unknown".into());
    let count = |v: Option<u32>| v.map_or_else(|| "?".into(), |n| n.to_string());
    let mut text = format!(
        "{} · {} sockets, {} cores, {} CPUs usable\n  {} · {}",
        known(&cpu.model),
        count(cpu.sockets),
        count(cpu.cores),
        cpu.usable,
        known(&host.os),
        known(&host.kernel)
    );
    if let Some(hypervisor) = &host.virtualization {
        text.push_str(&format!(" · virtual machine ({hypervisor})"));
    }
    for gpu in &environment.gpus {
        text.push_str(&format!("\n  {}", gpu.name));
    }
    text
}

fn isa_names() -> String {
    Isa::of_this_architecture().rev().map(Isa::name).collect::<Vec<_>>().join(", ")
}

fn channel_row(channel: &sensors::Channel) -> Vec<String> {
    let (what, resolution) = match &channel.quantity {
        Quantity::Energy { resolution, .. } => ("energy counter", *resolution),
        Quantity::InstantPower => ("power, instantaneous", None),
        Quantity::AveragePower { .. } => ("power, averaged by the hardware", None),
        Quantity::Temperature => ("temperature", None),
        Quantity::Clock => ("clock", None),
        Quantity::MemoryClock => ("clock of the memory", None),
        Quantity::Throttle => ("throttle reasons", None),
        Quantity::PowerLimit => ("power limit", None),
    };
    let purpose = match (channel.role, channel.domain.is_placed()) {
        (ReaderRole::CrossCheck, _) => " (cross-check)",
        (ReaderRole::OfRecord, false) => " (enters no sum)",
        (ReaderRole::OfRecord, true) => "",
    };
    vec![
        channel.name.clone(),
        format!("{what}{purpose}"),
        channel.update_period.map_or_else(|| "unknown".to_owned(), duration),
        resolution.map_or_else(|| "not stated".to_owned(), |r| format!("{} µJ", r.get())),
    ]
}

fn as_json(
    environment: &Environment,
    findings: &[Finding],
    devices: &[devices::Finding],
    counters: &ActivityCounters,
    advice: &[Advice],
) -> Value {
    let sensors: Vec<Value> = findings
        .iter()
        .map(|f| match &f.state {
            State::Ready(info) => json!({"id": f.id, "title": f.title, "state": "ready", "info": info}),
            State::Absent(reason) => json!({"id": f.id, "title": f.title, "state": "absent", "reason": reason}),
            State::Denied { reason, remedy } => {
                json!({"id": f.id, "title": f.title, "state": "denied", "reason": reason, "remedy": remedy})
            }
        })
        .collect();
    json!({
        "schema": 1,
        "environment": environment,
        "code_path": Isa::detect(),
        "sensors": sensors,
        "devices": devices::as_json(devices),
        "counters": {
            "ready": counters.available().collect::<Vec<_>>(),
            "user_only": counters.is_user_only(),
            "absent": counters.unavailable().iter().map(|u| json!({"name": u.counter, "reason": u.reason})).collect::<Vec<_>>(),
        },
        "readiness": advice,
    })
}
