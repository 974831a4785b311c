//! What a page of a site shows of a record: parts of its report, without charts and without what takes long.

use super::plain::Anchors;
use super::{CaveatLine, Fact, Table, VerdictLine, build, context, results};
use crate::analysis::{CaseSummary, Summary};
use crate::record::{Role, RunRecord};
use serde::Serialize;

/// Columns of the results that such a page has room for.
const COLUMNS: [&str; 8] = ["case", "answer", "time", "rate", "energy", "power", "efficiency", "windows"];

/// Parts of a report. Strings are final, as in [`super::ReportModel`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(in crate::report) struct Short {
    /// Title of the suite.
    pub(in crate::report) title: String,
    /// Machine, date, tool.
    pub(in crate::report) subtitle: String,
    /// The result in one sentence.
    pub(in crate::report) verdict: VerdictLine,
    /// Short facts.
    pub(in crate::report) facts: Vec<Fact>,
    /// The most important columns of the results, one row a workload.
    pub(in crate::report) results: Table,
    /// What a reader must know, gravest first.
    pub(in crate::report) caveats: Vec<CaveatLine>,
    /// Digests, tool and ids.
    pub(in crate::report) provenance: Vec<Fact>,
}

impl Short {
    /// From a record and the summary that was made of it.
    pub(in crate::report) fn of(record: &RunRecord, summary: &Summary) -> Self {
        let mut anchors = Anchors::default();
        let workloads = summary.cases.iter().filter(|c| c.role == Role::Workload);
        let anchored: Vec<(String, &CaseSummary)> = workloads.map(|c| (anchors.take(&c.id), c)).collect();
        let mut table = results::results(summary, &anchored);
        let keep: Vec<bool> = table.columns.iter().map(|c| COLUMNS.contains(&c.key)).collect();
        retain(&mut table.columns, &keep);
        table.rows.iter_mut().for_each(|row| retain(&mut row.cells, &keep));
        Self {
            title: build::title(record),
            subtitle: build::subtitle(record),
            verdict: build::verdict(summary),
            facts: build::facts(record, summary),
            results: table,
            caveats: context::caveats(summary),
            provenance: context::provenance(record, summary),
        }
    }
}

fn retain<T>(list: &mut Vec<T>, keep: &[bool]) {
    let mut keep = keep.iter();
    list.retain(|_| keep.next().copied().unwrap_or(false));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::summarise;
    use crate::record::fixture;
    use crate::report::ReportModel;

    #[test]
    fn a_page_says_what_the_report_says() {
        for record in [fixture::with_rapl(), fixture::cpu_only(), fixture::wrong_answer()] {
            let summary = summarise(&record);
            let (short, whole) = (Short::of(&record, &summary), ReportModel::of(&record));
            assert_eq!((&short.title, &short.verdict), (&whole.title, &whole.verdict));
            assert_eq!(short.caveats, whole.caveats);
            for (few, all) in short.results.rows.iter().zip(&whole.results.rows) {
                assert_eq!(few.anchor, all.anchor);
                assert!(few.cells.len() >= 7 && few.cells.iter().all(|cell| all.cells.contains(cell)));
            }
            assert_eq!(short.results.rows.len(), whole.results.rows.len());
            assert!(short.results.rows.iter().all(|row| row.cells.len() == short.results.columns.len()));
        }
    }
}
