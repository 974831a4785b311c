//! `wattproof run`: suite → plan → measure → record → reports.

use super::wall::{self, Attached, MeterArgs};
use super::{
    Exit, Failure, Format, answers, devices::Found, doubles::Doubles, list, print, print_json, progress, report, style,
    table,
};
use crate::analysis::Status;
use crate::backends::{Backend, cpu::Topology, fault::Spoiled};
use crate::clock::{Clock, Utc};
use crate::host::Host;
use crate::measure::{End, Remaining, Run, UsedDevice};
use crate::meter::{self, Bank, Unmeasured, share};
use crate::plan::{self, Capacity, Plan};
use crate::policy::Policy;
use crate::record::store::{self, Writer};
use crate::record::{
    Device, Environment, Event, Header, Outcome, PolicyDigest, RunRecord, RunState, SCHEMA, SensorStatus, SuiteSource,
    TdpModel, Tool,
};
use crate::report::ReportModel;
use crate::sensors::{SensorInfo, wall::ID};
use crate::suite::{Case, Catalog, Suite, Threads};
use crate::units::{Bytes, Watts};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Seed of a run that names none; with the case id it fixes every input bit.
const DEFAULT_SEED: u64 = 20_260_407;

const EXAMPLES: &str = "\
Examples:
  wattproof run suites/quick.yaml
  wattproof run suites/quick.yaml --require energy     exit 6 where no energy counter works
  wattproof run suites/quick.yaml --estimate tdp=95W   adds a column marked \"estimated\"
  wattproof run suites/reference-cpu.yaml --case 'gemm*' --case 'spmm*'
  wattproof run suites/quick.yaml --meter plug.csv --meter-accuracy 1% --meter-calibrated 2026-03-01
  wattproof run --resume reports/20261122T080000Z-quick-3f2a";

/// Measure a suite and write its record and reports
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The suite (YAML); `suites/FORMAT.md` describes the format
    #[arg(required_unless_present = "resume", conflicts_with = "resume")]
    suite: Option<PathBuf>,
    /// Go on with an unfinished record
    #[arg(long, value_name = "DIR", conflicts_with = "metering")]
    resume: Option<PathBuf>,
    /// Folder for the record and its reports [default: reports/<id>]
    #[arg(long, short, value_name = "DIR", conflicts_with = "resume")]
    out: Option<PathBuf>,
    /// Print the plan and its time, and measure nothing
    #[arg(long)]
    dry_run: bool,
    /// Check every kernel's answer, and time nothing
    #[arg(long, conflicts_with = "dry_run")]
    verify: bool,
    /// Fail (exit 6) where this cannot be measured
    #[arg(long, value_name = "WHAT", value_enum)]
    require: Option<Require>,
    /// Add an estimate from a model, e.g. tdp=95W; marked as such and never mixed with measurements
    #[arg(long, value_name = "MODEL", value_parser = parse_estimate)]
    estimate: Option<TdpModel>,
    /// Only cases whose id matches (`*` stands for anything); may be given again
    #[arg(long = "case", value_name = "PATTERN")]
    cases: Vec<String>,
    /// Let `wgpu:*` stand for software devices too: right answers, and never a certificate
    #[arg(long)]
    allow_software: bool,
    /// Seed of inputs, order and bootstrap
    #[arg(long, default_value_t = DEFAULT_SEED)]
    seed: u64,
    /// What to print on stdout
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    #[command(flatten)]
    wall: MeterArgs,
    /// Make the pulses now; the log is given after the run, to `wattproof import meter`
    #[arg(long, group = "metering", help_heading = "Wall meter")]
    meter_later: bool,
    #[command(flatten)]
    doubles: Doubles,
}

/// What `--require` can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Require {
    /// Energy counters for every case
    Energy,
}

fn parse_estimate(text: &str) -> Result<TdpModel, String> {
    let help = || format!("`{text}` is no model; write tdp=95W");
    let value = text.strip_prefix("tdp=").ok_or_else(help)?;
    let number = value.trim_end_matches(['W', 'w', ' ']).trim();
    let watts: f64 = number.parse().map_err(|_| help())?;
    match Watts::new(watts) {
        Ok(tdp) if watts > 0.0 => Ok(TdpModel { tdp }),
        _ => Err(format!("`{value}` is no power above 0 W")),
    }
}

pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    let host = args.doubles.host();
    let catalog = Catalog::builtin();
    match (&args.suite, &args.resume) {
        (_, Some(dir)) => resume(args, &host, dir),
        (Some(path), None) => {
            let suite = read_suite(path, &catalog)?;
            let environment = crate::host::environment(&host, args.doubles.gpus());
            let found = Found::for_cases(&host, &environment.gpus, &suite.cases);
            let mut plan = plan::build(&suite, &capacity(args, &host, &environment, &found), &catalog);
            select(&mut plan, &catalog, &args.cases, path)?;
            if args.dry_run {
                return dry_run(args, &suite, &plan);
            }
            if args.verify {
                return answers::run(&plan, args.seed, backend(args, found).as_mut(), args.format);
            }
            fresh(args, &host, &suite, plan, environment, found)
        }
        (None, None) => Err(Failure::usage("give a suite, or --resume DIR")),
    }
}

/// Reads and validates a suite; every problem of the file is in the message.
pub(super) fn read_suite(path: &Path, catalog: &Catalog) -> Result<Suite, Failure> {
    Suite::load(path, catalog).map_err(|errors| Failure::usage(errors.render(style::colored())))
}

fn backend(args: &Args, found: Found) -> Box<dyn Backend> {
    let fleet = Box::new(found.fleet);
    match &args.doubles.inject {
        Some(fault) => Box::new(Spoiled::new(fleet, fault.clone())),
        None => fleet,
    }
}

fn capacity(args: &Args, host: &Host, environment: &Environment, found: &Found) -> Capacity {
    let cpu = &environment.cpu;
    Capacity {
        usable_cpus: cpu.usable,
        cores: cpu.cores.unwrap_or(cpu.usable).min(cpu.usable),
        available_memory: crate::host::available_memory(host),
        last_level_cache: cpu.caches.iter().filter(|c| c.kind != "Instruction").max_by_key(|c| c.level).map(|c| c.size),
        caches: caches(host),
        devices: found.for_plan(args.allow_software),
    }
}

/// What the caches hold of the CPUs that each number of threads runs on; empty where the kernel does not tell.
fn caches(host: &Host) -> Vec<Bytes> {
    let topology = Topology::read(host);
    let counts = 1..=u32::try_from(topology.cpus()).unwrap_or(u32::MAX);
    let cpus = counts.filter_map(|n| topology.assign(Threads::Count(n)).ok());
    cpus.map(|cpus| crate::host::caches_hold(host, &cpus)).collect::<Option<_>>().unwrap_or_default()
}

/// Keeps the cases that match a pattern; ceiling probes stay as long as any case does.
fn select(plan: &mut Plan, catalog: &Catalog, patterns: &[String], suite: &Path) -> Result<(), Failure> {
    if !patterns.is_empty() {
        let wanted = |id: &str| patterns.iter().any(|p| list::matches(p, id));
        plan.retain(catalog, wanted);
    }
    if plan.cases.is_empty() {
        let mut message = format!("{}: no case is left to run", suite.display());
        for skip in &plan.skips {
            message.push_str(&format!("\n  {}: {}", skip.case.id, skip.reason));
        }
        return Err(if patterns.is_empty() { Failure::missing(message) } else { Failure::usage(message) });
    }
    Ok(())
}

fn dry_run(args: &Args, suite: &Suite, plan: &Plan) -> Result<Exit, Failure> {
    match args.format {
        Format::Json => print_json(plan)?,
        Format::Text => print(&table::plan(suite, plan))?,
    }
    Ok(Exit::Ok)
}

/// Exit 6 with the reason of every sensor that cannot serve, where one of `cases` has no counter: of the processor, or of the
/// device that it runs on.
fn require_energy(cases: &[Case], used: &[UsedDevice], bank: &Bank, statuses: &[SensorStatus]) -> Result<(), Failure> {
    let unread = used.iter().find(|device| !bank.covers_card(device.domain.as_ref()));
    let mut message = if cases.iter().any(|case| case.device.is_cpu()) && !bank.covers_cpu() {
        "--require energy: no energy counter of the CPU works here".to_owned()
    } else if let Some(device) = unread {
        let (id, name) = (&device.planned.id, &device.planned.name);
        format!("--require energy: no energy counter of {id} ({name}) works here")
    } else {
        return Ok(());
    };
    for missing in Unmeasured::of(statuses).reasons {
        message.push_str(&format!("\n  {missing}"));
    }
    Err(Failure::missing(message))
}

fn fresh(
    args: &Args,
    host: &Host,
    suite: &Suite,
    plan: Plan,
    environment: Environment,
    found: Found,
) -> Result<Exit, Failure> {
    let clock = Clock::start();
    let (mut sensors, ready) = meter::probe(host, |_| true);
    let mut bank = Bank::new(ready);
    let (devices, used) = found.used(host, &plan.cases, &environment.gpus, bank.infos());
    if args.require == Some(Require::Energy) && args.wall.meter.is_none() {
        require_energy(&plan.cases, &used, &bank, &sensors)?;
    }
    let wall = args.wall.open()?;
    bank.probe_periods(&clock);
    adopt_periods(&mut sensors, &bank);
    let started_at = Utc::now();
    let id = format!("{}-{}-{}", started_at.compact(), suite.id, random_suffix());
    let dir = args.out.clone().unwrap_or_else(|| Path::new("reports").join(&id));
    let remaining = Remaining::all(&plan, suite.profile.repeats);
    let header = Header {
        schema: SCHEMA,
        id,
        tool: this_tool(),
        started_at,
        finished_at: None,
        state: RunState::Running,
        seed: args.seed,
        simulated: args.doubles.reasons().into_iter().chain(found.simulated(&plan.cases)).collect(),
        suite: SuiteSource::of(suite),
        profile: suite.profile.clone(),
        environment,
        sensors,
        devices,
        uncertainty_policy: Some(policy_in_force()),
        estimate: args.estimate,
        plan,
        samples: None,
    };
    let writer = Writer::create(&dir, &header)?;
    measure(args, host, clock, bank, header, writer, remaining, wall.as_ref(), (found, &used))
}

fn resume(args: &Args, host: &Host, dir: &Path) -> Result<Exit, Failure> {
    let record = store::load(dir)?;
    if record.header.state == RunState::Complete {
        return Err(Failure::usage(format!("{} is complete; there is nothing to resume", dir.display())));
    }
    let environment = crate::host::environment(host, args.doubles.gpus());
    same_machine(&record.header.environment, &environment, dir)?;
    let found = Found::for_cases(host, &environment.gpus, &record.header.plan.cases);
    let mut header = record.header.clone();
    let doubles = args.doubles.reasons().into_iter().chain(found.simulated(&header.plan.cases));
    header.simulated.extend(doubles.filter(|r| !record.header.simulated.contains(r)));
    header.state = RunState::Running;
    header.samples = None;
    let resumed = record.last_moment();
    let clock = Clock::resume_at(resumed);
    let (_, ready) = meter::probe(host, |_| true);
    let mut bank = Bank::new(ready);
    let (devices, used) = found.used(host, &header.plan.cases, &environment.gpus, bank.infos());
    if args.require == Some(Require::Energy) {
        require_energy(&header.plan.cases, &used, &bank, &header.sensors)?;
    }
    bank.probe_periods(&clock);
    same_devices(&header.devices, &devices, dir)?;
    let mut writer = Writer::reopen(dir, &header)?;
    writer.append(&Event::Resumed { at: resumed, utc: Utc::now() })?;
    measure(args, host, clock, bank, header, writer, Remaining::of(&record), None, (found, &used))
}

/// What was one device has to be the same one: its number alone could be another's by now.
fn same_devices(then: &[Device], now: &[Device], dir: &Path) -> Result<(), Failure> {
    let key = |d: &Device| (d.name.clone(), d.pci.clone(), d.driver.clone(), d.domain.clone());
    match then.iter().find(|d| now.iter().find(|n| n.id == d.id).map(key) != Some(key(d))) {
        None => Ok(()),
        Some(device) => Err(Failure::usage(format!(
            "{} was measured on {} ({}), which is not here as it was then; start a new run",
            dir.display(),
            device.id,
            device.name
        ))),
    }
}

/// A record is of one machine. Sensors or a kernel update in between would mix two.
fn same_machine(then: &Environment, now: &Environment, dir: &Path) -> Result<(), Failure> {
    let facts = [
        ("machine id", &then.host.machine_hash, &now.host.machine_hash),
        ("CPU", &then.cpu.model, &now.cpu.model),
        ("kernel", &then.host.kernel, &now.host.kernel),
        ("microcode", &then.cpu.microcode, &now.cpu.microcode),
    ];
    for (what, before, after) in facts {
        if before != after {
            let say = |v: &Option<String>| v.clone().unwrap_or_else(|| "unknown".into());
            return Err(Failure::usage(format!(
                "{} was measured on another machine: its {what} was {}, here it is {}; start a new run",
                dir.display(),
                say(before),
                say(after)
            )));
        }
    }
    Ok(())
}

#[expect(clippy::too_many_arguments, reason = "the pieces of a run, put together here")]
fn measure(
    args: &Args,
    host: &Host,
    clock: Clock,
    bank: Bank,
    mut header: Header,
    writer: Writer,
    remaining: Remaining,
    wall: Option<&Attached<'_>>,
    (found, devices): (Found, &[UsedDevice]),
) -> Result<Exit, Failure> {
    let dir = writer.dir().to_owned();
    let stop = interruptible()?;
    let mut backend = backend(args, found);
    let mut display = progress::Display::new(&header, remaining.windows());
    let writer = Arc::new(Mutex::new(writer));
    let (plan, profile) = (header.plan.clone(), header.profile.clone());
    let memory = crate::host::available_memory(host).map(|m| m * 0.5);
    let mut run = Run {
        plan: &plan,
        profile: &profile,
        seed: header.seed,
        clock,
        host,
        backend: backend.as_mut(),
        bank: share(bank),
        writer: Arc::clone(&writer),
        stop,
        remaining,
        memory,
        devices,
        pulse: (wall.is_some() || args.meter_later).then(|| args.wall.pulse()),
    };
    let end = run.execute(&mut |event| display.show(&event)).map_err(|e| {
        let kept = format!("{e}\nwhat was measured until then is in {}", dir.display());
        Failure::internal(format!("{kept}; `wattproof run --resume {}` finishes it", dir.display()))
    })?;
    drop(run);
    display.finish();
    if let Some(wall) = wall {
        header.sensors.push(SensorStatus::Ready(read_meter(wall, &dir, &writer, &clock, stop)?));
    }
    header.state = if end == End::Complete { RunState::Complete } else { RunState::Interrupted };
    header.finished_at = Some(Utc::now());
    let writer = Arc::into_inner(writer).and_then(|m| m.into_inner().ok());
    writer.ok_or_else(|| Failure::internal("the sampler still holds the record"))?.finish(&mut header)?;
    let record = store::load(&dir)?;
    conclude(args, &record, &dir, end)
}

/// Waits for the log of the wall meter and appends its rows to the record.
fn read_meter(
    wall: &Attached<'_>,
    dir: &Path,
    writer: &Mutex<Writer>,
    clock: &Clock,
    stop: &AtomicBool,
) -> Result<SensorInfo, Failure> {
    let pulses = store::load(dir)?.wall.pulses;
    let (rows, alignment) = wall.finish(&pulses, clock, &|| stop.load(Ordering::Relaxed));
    let mut writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
    wall::append_rows(&mut writer, &rows)?;
    if rows.is_empty()
        && let Err(why) = &alignment
    {
        // Without rows nothing in the record would say that the meter gave none.
        writer.append(&Event::SensorLost { at: clock.now(), sensor: ID.to_owned(), reason: why.clone() })?;
    }
    Ok(wall.info(&alignment))
}

/// Renders the reports, prints the table and decides the exit code.
fn conclude(args: &Args, record: &RunRecord, dir: &Path, end: End) -> Result<Exit, Failure> {
    let model = ReportModel::of(record);
    let files = report::write_all(&model, dir)?;
    match args.format {
        Format::Text => {
            print(&table::results(&model))?;
            print(&table::files(dir, &files))?;
        }
        Format::Json => print(&report::json(&model)?)?,
    }
    if end == End::Interrupted {
        eprintln!("interrupted; `wattproof run --resume {}` finishes it", dir.display());
        return Ok(Exit::Interrupted);
    }
    if record.measurements.iter().any(|m| matches!(m.outcome, Outcome::WrongAnswer { .. } | Outcome::Failed { .. })) {
        return Ok(Exit::Kernel);
    }
    let cases = &model.data.summary.cases;
    let unmeasured =
        cases.iter().filter(|c| c.status == Status::Measured && c.energy.per_iteration.estimate().is_none()).count();
    if args.require == Some(Require::Energy) && unmeasured > 0 {
        eprintln!("--require energy: {unmeasured} cases have no energy; the table says why");
        return Ok(Exit::Missing);
    }
    Ok(Exit::Ok)
}

/// The flag that Ctrl-C and SIGTERM set. A second one ends the program at once; the record on
/// disk reads all the same.
fn interruptible() -> Result<&'static AtomicBool, Failure> {
    static STOP: AtomicBool = AtomicBool::new(false);
    ctrlc::set_handler(|| {
        if STOP.swap(true, Ordering::SeqCst) {
            #[expect(clippy::exit, reason = "the user asked a second time; the record needs no clean-up")]
            std::process::exit(i32::from(Exit::Interrupted.code()));
        }
        eprintln!("\nstopping after this window; press Ctrl-C again to stop at once");
    })
    .map_err(|e| Failure::internal(format!("cannot listen for Ctrl-C: {e}")))?;
    Ok(&STOP)
}

/// The probed update periods belong to the description of the sensors.
fn adopt_periods(statuses: &mut [SensorStatus], bank: &Bank) {
    for info in bank.infos() {
        for status in statuses.iter_mut() {
            if let SensorStatus::Ready(known) = status
                && known.id == info.id
            {
                *known = info.clone();
            }
        }
    }
}

/// Names the bounds that are in force.
fn policy_in_force() -> PolicyDigest {
    let Policy { policy, sha256, .. } = Policy::shipped();
    PolicyDigest { policy, sha256 }
}

/// This very program, as it stands in records.
fn this_tool() -> Tool {
    Tool {
        name: env!("CARGO_PKG_NAME").to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        commit: crate::host::commit().map(str::to_owned),
        features: crate::host::features(),
    }
}

/// Four hex digits that tell runs of the same second apart.
fn random_suffix() -> String {
    use std::hash::{BuildHasher, Hasher};
    let random = std::collections::hash_map::RandomState::new().build_hasher().finish();
    format!("{:04x}", random & 0xffff)
}
