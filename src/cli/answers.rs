//! `wattproof run --verify`: is every kernel's answer right? Nothing is timed.

use super::{Exit, Failure, Format, print, print_json, table};
use crate::backends::Backend;
use crate::kernels::random::case_seed;
use crate::plan::Plan;
use serde_json::json;

/// One case's answer.
struct Row {
    case: String,
    path: String,
    verdict: Result<String, String>,
}

pub(super) fn run(plan: &Plan, seed: u64, backend: &mut dyn Backend, format: Format) -> Result<Exit, Failure> {
    let mut rows = Vec::new();
    for case in &plan.cases {
        eprintln!("checking {}", case.id);
        let row = match backend.prepare(case, case_seed(&case.id, seed)) {
            Err(error) => Row { case: case.id.clone(), path: String::new(), verdict: Err(error.to_string()) },
            Ok(mut workload) => {
                let path = workload.program().path;
                Row { case: case.id.clone(), path, verdict: answer(workload.as_mut()) }
            }
        };
        rows.push(row);
    }
    let wrong = rows.iter().filter(|r| r.verdict.is_err()).count();
    match format {
        Format::Json => print_json(&json!({
            "checked": rows.len(), "wrong": wrong,
            "cases": rows.iter().map(|r| json!({
                "case": r.case, "path": r.path, "correct": r.verdict.is_ok(),
                "detail": r.verdict.as_ref().map_or_else(Clone::clone, Clone::clone),
            })).collect::<Vec<_>>(),
        }))?,
        Format::Text => {
            let cells: Vec<Vec<String>> = rows
                .iter()
                .map(|r| match &r.verdict {
                    Ok(detail) => vec![r.case.clone(), r.path.clone(), "correct".into(), detail.clone()],
                    Err(detail) => vec![r.case.clone(), r.path.clone(), "WRONG".into(), detail.clone()],
                })
                .collect();
            print(&table::plain(&["case", "code path", "answer", "error against limit"], &cells))?;
            print(&format!("{} of {} cases correct", rows.len() - wrong, rows.len()))?;
        }
    }
    Ok(if wrong == 0 { Exit::Ok } else { Exit::Kernel })
}

fn answer(workload: &mut dyn crate::backends::Workload) -> Result<String, String> {
    if let Some(canary) = workload.canary().filter(|c| !c.passed()) {
        let error = canary.error.map_or_else(|| "not finite".into(), |e| format!("{e:.2e}"));
        return Err(format!("canary `{}`: {error}, limit {:.2e}", canary.name, canary.limit));
    }
    workload.poison();
    workload.run(1).map_err(|e| e.to_string())?;
    let check = workload.check();
    let detail = match check.error {
        Some(error) => format!("{error:.2e} ≤ {:.2e}", check.limit),
        None => "an output is not finite".to_owned(),
    };
    if check.passed() { Ok(detail) } else { Err(detail.replace('≤', ">")) }
}
