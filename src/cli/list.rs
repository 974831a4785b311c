//! `wattproof list`: what the program knows, straight from the registries.

use super::{Exit, Failure, Format, devices, print, print_json, run::read_suite, table};
use crate::gate;
use crate::host::Host;
use crate::interop;
use crate::kernels::{self, ParamKind, ParamSpec};
use crate::policy::Certification;
use crate::report::FORMATS;
use crate::sensors::{self, nvml};
use crate::suite::Catalog;
use crate::verdict::rules;
use clap::ValueEnum;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// List kernels, devices, sensors, suites, formats or rules
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  wattproof list kernels\n  wattproof list suites --dir suites --format json")]
pub(super) struct Args {
    /// What to list
    #[arg(value_enum)]
    what: What,
    /// Where suites are looked for
    #[arg(long, default_value = "suites")]
    dir: PathBuf,
    /// What to print on stdout
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    /// Kernels with their parameters and formulas
    Kernels,
    /// Devices that cases can run on
    Devices,
    /// Sensor families
    Sensors,
    /// Suites in a folder
    Suites,
    /// Report formats
    Formats,
    /// Rules of certification
    Rules,
    /// Formats of `wattproof export`
    Exports,
    /// Formats of `wattproof gate --out`
    Gates,
}

/// Heading, rows and the same as JSON.
type Listing = (&'static [&'static str], Vec<Vec<String>>, Value);

pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    let (header, rows, json): Listing = match args.what {
        What::Kernels => kernels(),
        What::Sensors => {
            let rows = sensors::REGISTRY.iter().map(|f| vec![f.id.to_owned(), f.title.to_owned()]).collect();
            (
                &["sensor", "what"],
                rows,
                sensors::REGISTRY.iter().map(|f| json!({"id": f.id, "title": f.title})).collect(),
            )
        }
        What::Devices => {
            let found = devices::Found::probe(&Host::real(), &nvml::inventory(None), |_| true).findings;
            (&["device", "state", "what", "memory", "where"], devices::rows(&found), devices::as_json(&found))
        }
        What::Suites => suites(&args.dir)?,
        What::Rules => rules(),
        What::Exports => {
            let rows = interop::FORMATS.iter().map(|f| vec![f.id.to_owned(), f.file.to_owned(), f.summary.to_owned()]);
            let json = interop::FORMATS.iter().map(|f| json!({"id": f.id, "file": f.file, "summary": f.summary}));
            (&["format", "file", "what"], rows.collect(), json.collect())
        }
        What::Gates => {
            let all = gate::output::FORMATS;
            let rows = all.iter().map(|f| vec![f.id.to_owned(), f.file.to_owned(), f.summary.to_owned()]).collect();
            let json = all.iter().map(|f| json!({"id": f.id, "file": f.file, "summary": f.summary})).collect();
            (&["format", "file", "what"], rows, json)
        }
        What::Formats => {
            let rows =
                FORMATS.iter().map(|f| vec![f.id.to_owned(), format!("report.{}", f.extension), f.summary.to_owned()]);
            let json = FORMATS.iter().map(|f| json!({"id": f.id, "extension": f.extension, "summary": f.summary}));
            (&["format", "file", "what"], rows.collect(), json.collect())
        }
    };
    match args.format {
        Format::Json => print_json(&json)?,
        Format::Text => print(&table::plain(header, &rows))?,
    }
    Ok(Exit::Ok)
}

fn rules() -> Listing {
    let policy = Certification::shipped();
    let all: Vec<_> = rules::REGISTRY.iter().map(|r| r.explain(&policy)).collect();
    let limits = |e: &rules::Explanation| match e.limits.is_empty() {
        true => "none".to_owned(),
        false => e.limits.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>().join(", "),
    };
    let rows = all.iter().map(|e| vec![e.code.to_owned(), limits(e), e.title.to_owned()]).collect();
    (&["rule", "limit", "what it asks for"], rows, json!(all))
}

fn kernels() -> Listing {
    let infos = || kernels::REGISTRY.iter().map(|k| k.info());
    let rows = infos()
        .map(|k| {
            let dtypes = k.dtypes.iter().map(|d| d.name()).collect::<Vec<_>>().join(" ");
            let params = k.params.iter().map(param).collect::<Vec<_>>().join(" ");
            vec![k.id.to_owned(), k.title.to_owned(), dtypes, params, k.flops.to_owned(), k.bytes.to_owned()]
        })
        .collect();
    let json = infos()
        .map(|k| {
            json!({
                "id": k.id, "title": k.title, "summary": k.summary, "role": k.role, "flops": k.flops, "bytes": k.bytes,
                "source": k.source, "dtypes": k.dtypes,
                "params": k.params.iter().map(|p| json!({"name": p.name, "meaning": p.meaning, "required": p.default.is_none()})).collect::<Vec<_>>(),
            })
        })
        .collect();
    (&["kernel", "what", "dtypes", "parameters", "FLOP", "bytes"], rows, json)
}

fn param(spec: &ParamSpec) -> String {
    let default = spec.default.map(|d| format!("={}", kernels::ParamValue::from(d))).unwrap_or_default();
    match spec.kind {
        ParamKind::Choice(words) => format!("{}:{}{default}", spec.name, words.join("|")),
        _ => format!("{}{default}", spec.name),
    }
}

fn suites(dir: &Path) -> Result<Listing, Failure> {
    let entries = std::fs::read_dir(dir).map_err(|e| {
        Failure::usage(format!("cannot read the folder {}: {e}; name the suites' folder with --dir", dir.display()))
    })?;
    let mut paths: Vec<PathBuf> = entries.filter_map(|e| e.ok().map(|e| e.path())).collect();
    paths.retain(|p| p.extension().is_some_and(|e| e == "yaml" || e == "yml"));
    paths.sort();
    let catalog = Catalog::builtin();
    let (mut rows, mut json) = (Vec::new(), Vec::new());
    for path in paths {
        let shown = path.display().to_string();
        match read_suite(&path, &catalog) {
            Ok(suite) => {
                rows.push(vec![
                    shown.clone(),
                    suite.profile.name.clone(),
                    suite.cases.len().to_string(),
                    suite.title.clone(),
                ]);
                json.push(json!({"path": shown, "id": suite.id, "title": suite.title, "profile": suite.profile.name, "cases": suite.cases.len(), "valid": true}));
            }
            Err(failure) => {
                rows.push(vec![shown.clone(), "-".into(), "-".into(), "not a valid suite".into()]);
                json.push(json!({"path": shown, "valid": false, "reason": failure.message}));
            }
        }
    }
    Ok((&["suite", "profile", "cases", "title"], rows, Value::Array(json)))
}

/// Whether `text` matches `pattern`, in which `*` stands for any run of characters.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns() {
        for (pattern, text, expected) in [
            ("gemm*", "gemm-f32", true),
            ("gemm", "gemm-f32", false),
            ("*-t2", "gemm-f32-t2", true),
            ("*f32*t2", "gemm-f32-m8-t2", true),
            ("*f64*", "gemm-f32", false),
            ("*", "", true),
            ("a*a", "a", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }
}
