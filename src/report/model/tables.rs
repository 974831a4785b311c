//! The other tables: ceilings, energy by domain, power at rest.

use super::grid::{Grid, Numbers, how, missing, text_column, tone, void_rows, words};
use super::plain::{domain_name, sentence, shorten};
use super::uncertainty;
use super::{Cell, CellKind, Column, Row, Table, Tone};
use crate::analysis::{CaseSummary, DomainEnergy, EnergyFigures, Figure, IdlePower, Summary};
use crate::record::{EnergyMethod, Role};
use crate::report::si;

type PickCase<'a> = &'a dyn Fn(&&CaseSummary) -> Figure;
type PickEnergy<'a> = &'a dyn Fn(&EnergyFigures) -> Figure;

/// One row a ceiling probe.
pub(super) fn ceilings(anchors: &[(String, &CaseSummary)]) -> Table {
    let cases: Vec<&CaseSummary> = anchors.iter().map(|(_, c)| *c).collect();
    let mut grid = Grid::new();
    grid.push((
        text_column("case", "Probe", "what was probed"),
        cases.iter().map(|c| words(shorten(&c.id, 120), CellKind::Code, Some(how(c)))).collect(),
    ));
    grid.push((
        text_column("kind", "Ceiling of", "arithmetic, read or copy bandwidth"),
        cases.iter().map(|c| words(ceiling_of(c.role), CellKind::Text, None)).collect(),
    ));
    let void = void_rows(&cases);
    let columns: [(_, _, _, _, PickCase<'_>); 4] = [
        ("rate", "Rate", "FLOP/s", "operations a second", &|c| c.rate.clone()),
        ("bandwidth", "Bandwidth", "B/s", "bytes a second", &|c| c.bandwidth.clone()),
        ("power", "Power", "W", "mean power over the window", &|c| c.energy.power.clone()),
        ("efficiency", "Perf/W", "FLOP/J", "operations a joule", &|c| c.energy.efficiency.clone()),
    ];
    let energy = cases.iter().any(|c| c.energy.power.estimate().is_some());
    for (key, title, unit, meaning, pick) in columns {
        if matches!(key, "power" | "efficiency") && !energy {
            continue;
        }
        let figures: Vec<Figure> = cases.iter().map(pick).collect();
        let numbers = Numbers { key, title, unit, meaning, missing: "–", kind: CellKind::Measured };
        let (column, mut cells) = numbers.fill(&figures, &void);
        let figure = match key {
            "power" => "power_w",
            "efficiency" => "efficiency_flop_per_j",
            _ => "",
        };
        let budgets: Vec<_> = cases.iter().map(|c| c.energy.budget(figure)).collect();
        uncertainty::state(&mut cells, &budgets);
        grid.push((column, cells));
    }
    let (columns, rows) = grid.rows(anchors.iter().map(|(a, c)| (a.clone(), tone(c))).collect());
    Table {
        id: "ceilings",
        caption: "Ceilings measured in this run".to_owned(),
        columns,
        rows,
        notes: vec![denominators(&cases)],
        empty: "No ceiling was measured in this run.".to_owned(),
    }
}

const fn ceiling_of(role: Role) -> &'static str {
    match role {
        Role::ComputeCeiling => "arithmetic",
        Role::MemoryCeiling => "reading",
        Role::CopyCeiling => "copying",
        Role::Workload => "nothing",
    }
}

fn denominators(probes: &[&CaseSummary]) -> String {
    let columns = match probes.iter().any(|c| c.role == Role::CopyCeiling) {
        true => "“of peak”, “of read” and “of copy”",
        false => "“of peak” and “of read”",
    };
    format!("They are the denominators of the columns {columns}.")
}

/// One row a workload; a counter that no case has is named in a note instead of a column.
pub(super) fn counters(anchors: &[(String, &CaseSummary)]) -> Table {
    let cases: Vec<&CaseSummary> = anchors.iter().map(|(_, c)| *c).collect();
    let mut grid = Grid::new();
    grid.push((
        text_column("case", "Case", "the case"),
        cases.iter().map(|c| words(shorten(&c.id, 120), CellKind::Code, None)).collect(),
    ));
    let void = void_rows(&cases);
    let columns: [(_, _, _, PickCase<'_>); 7] = [
        ("instructions", "Instructions", "instructions an iteration", &|c| c.activity.instructions.clone()),
        ("cycles", "Cycles", "core cycles an iteration", &|c| c.activity.cycles.clone()),
        ("per-cycle", "Instr./cycle", "instructions a core cycle", &|c| c.activity.per_cycle.clone()),
        ("llc-misses", "LLC misses", "last-level cache misses an iteration", &|c| c.activity.llc_misses.clone()),
        ("cpus", "CPUs busy", "CPU time over wall time", &|c| c.activity.cpus.clone()),
        ("context-switches", "Context switches", "a window", &|c| c.activity.context_switches.clone()),
        ("page-faults", "Page faults", "a window", &|c| c.activity.page_faults.clone()),
    ];
    let mut absent = Vec::new();
    let mut present = 0;
    for (key, title, meaning, pick) in columns {
        let figures: Vec<Figure> = cases.iter().map(pick).collect();
        if figures.iter().all(|f| f.estimate().is_none()) {
            absent.push(title);
            continue;
        }
        present += 1;
        let numbers = Numbers { key, title, unit: "", meaning, missing: "–", kind: CellKind::Measured };
        let (column, mut cells) = numbers.fill(&figures, &void);
        for cell in &mut cells {
            // Counts are there to explain a figure, not to be compared: medians suffice, and whole
            // numbers read as such.
            cell.interval = None;
            cell.text = cell.text.strip_suffix(".00").unwrap_or(&cell.text).to_owned();
        }
        grid.push((column, cells));
    }
    let (columns, mut rows) = grid.rows(anchors.iter().map(|(a, c)| (format!("{a}-counters"), tone(c))).collect());
    if present == 0 {
        rows.clear();
    }
    Table {
        id: "counters",
        caption: "Processor counters: medians".to_owned(),
        columns,
        rows,
        notes: match absent.len() {
            0 => Vec::new(),
            _ => vec![format!("Not counted on this host: {}.", absent.join(", "))],
        },
        empty: "This host counts no processor events for this user.".to_owned(),
    }
}

/// One row a case and domain.
pub(super) fn domains(summary: &Summary, anchors: &[(String, &CaseSummary)]) -> Table {
    let rows: Vec<_> = anchors.iter().flat_map(|(a, c)| c.domains.iter().map(move |d| (a, *c, d))).collect();
    // The reader of record comes first; another reader of its domain is told apart by its sensor.
    let place = |c: &CaseSummary, d: &DomainEnergy| {
        c.domains.iter().filter(|o| o.domain == d.domain).position(|o| o.sensor == d.sensor).unwrap_or(0)
    };
    let reader = |c: &CaseSummary, d: &DomainEnergy| match place(c, d) {
        0 => domain_name(&d.domain),
        _ => format!("{} ({})", domain_name(&d.domain), d.sensor),
    };
    let mut grid = Grid::new();
    let code = |text: &str| words(shorten(text, 120), CellKind::Code, None);
    grid.push((text_column("case", "Case", "the case"), rows.iter().map(|(_, c, _)| code(&c.id)).collect()));
    grid.push((
        text_column("domain", "Domain", "the part of the machine"),
        rows.iter()
            .map(|(_, c, d)| match d.method {
                EnergyMethod::Counter => code(&reader(c, d)),
                EnergyMethod::Integrated => code(&format!("{} (polled power)", reader(c, d))),
            })
            .collect(),
    ));
    grid.push((
        text_column("use", "Counts as", "whether it is part of the rated boundary"),
        rows.iter()
            .map(|(.., d)| match (&d.inside, d.rated) {
                (_, true) => words("rated", CellKind::Text, None),
                (Some(outer), false) => words(format!("inside {}", domain_name(outer)), CellKind::Text, None),
                (None, false) => words("shown apart", CellKind::Text, None),
            })
            .collect(),
    ));
    let void = vec![false; rows.len()];
    let columns: [(_, _, _, _, _, PickEnergy<'_>); 3] = [
        ("energy", "Energy", "J", "gross joules an iteration", "energy_j", &|f| f.per_iteration.clone()),
        ("net-energy", "Net energy", "J", "joules an iteration above idle", "net_energy_j", &|f| {
            f.net_per_iteration.clone()
        }),
        ("power", "Power", "W", "mean power", "power_w", &|f| f.power.clone()),
    ];
    for (key, title, unit, meaning, figure, pick) in columns {
        let figures: Vec<Figure> = rows.iter().map(|(.., d)| pick(&d.figures)).collect();
        let numbers = Numbers { key, title, unit, meaning, missing: "not measured", kind: CellKind::Measured };
        let (column, mut cells) = numbers.fill(&figures, &void);
        let budgets: Vec<_> = rows.iter().map(|(.., d)| d.figures.budget(figure)).collect();
        uncertainty::state(&mut cells, &budgets);
        grid.push((column, cells));
    }
    let relative = |u: Option<f64>, why: &str| match u {
        Some(u) => Cell { sort: Some(u), ..words(si::percent(u), CellKind::Measured, None) },
        None => missing("unknown", why),
    };
    grid.push((
        Column { numeric: true, ..text_column("u-align", "u align", "alignment error of counter updates, relative") },
        rows.iter()
            .map(|(.., d)| relative(d.figures.type_b.and_then(|b| b.u_align), "the update period is not known"))
            .collect(),
    ));
    let anchors = rows.iter().map(|(a, c, d)| {
        let name = domain_name(&d.domain);
        let anchor = match place(c, d) {
            0 => format!("{a}-{name}"),
            place => format!("{a}-{name}-{}", place + 1),
        };
        (anchor, Tone::Neutral)
    });
    let anchors = anchors.collect();
    let (columns, rows) = grid.rows(anchors);
    Table {
        id: "domains",
        caption: "Energy by domain".to_owned(),
        columns,
        rows,
        notes: vec!["Domains inside others are shown, and never added to them.".to_owned()],
        empty: format!("No domain was read. {}", sentence(&summary.boundary.text)),
    }
}

/// One row a domain at rest.
pub(super) fn idle(summary: &Summary) -> Table {
    let watts = |value: Option<f64>| match value {
        Some(w) => Cell { sort: Some(w), ..words(si::number(w), CellKind::Measured, None) },
        None => missing("not measured", "no undisturbed idle window on this side"),
    };
    let row = |i: &IdlePower| Row {
        anchor: format!("idle-{}", domain_name(&i.domain)),
        tone: Tone::Neutral,
        cells: vec![
            words(domain_name(&i.domain), CellKind::Code, None),
            watts(i.before),
            watts(i.after),
            watts(Some(i.mean)),
            match i.drift {
                Some(d) => Cell { sort: Some(d), ..words(si::percent(d), CellKind::Measured, None) },
                None => missing("unknown", "idle was measured on one side only"),
            },
        ],
    };
    let numeric = |key, title: &str, unit: Option<&str>| Column {
        numeric: true,
        unit: unit.map(str::to_owned),
        ..text_column(key, title, "")
    };
    Table {
        id: "idle",
        caption: "Power at rest".to_owned(),
        columns: vec![
            text_column("domain", "Domain", "the part of the machine"),
            numeric("before", "Before", Some("W")),
            numeric("after", "After", Some("W")),
            numeric("mean", "Mean", Some("W")),
            numeric("drift", "Drift", None),
        ],
        rows: summary.idle.iter().map(row).collect(),
        notes: vec!["Net energy is gross energy less the mean of these times the length of the window.".to_owned()],
        empty: format!("Power at rest was not measured. {}", sentence(&summary.boundary.text)),
    }
}
