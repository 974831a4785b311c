//! Exports of `history` before their real readers: pyarrow (which pandas reads with), DuckDB, and Python's strict CSV.
//! `ci/test.sh` installs them below `target/gate`.

#![cfg(feature = "history")]
#![expect(clippy::unwrap_used, reason = "a test may fail here")]

mod skip;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use wattproof::history::export::{Csv, Parquet, Sink};
use wattproof::history::{Point, Run, Series, SeriesKey};

const HOSTILE: &str = "=cmd|'/c calc'!A1, \"quoted\"\r\n::error::x ##[y] \u{1b}[31m 你好";

/// Two cases with four series; the second case has unknown bounds, and names that no reader should obey.
fn cases() -> Vec<Vec<Series>> {
    let run = |n: i64| {
        let commit = (n % 2 == 0).then(|| format!("{n:040x}"));
        let record = if n == 3 { HOSTILE.to_owned() } else { format!("run-{n}") };
        Arc::new(Run {
            started: n * 86_400,
            started_at: format!("1970-01-{:02}T00:00:00Z", n + 1),
            record,
            commit,
            branch: None,
        })
    };
    let series = |case: &str, metric: &str, path: &str, known: bool| {
        let conditions = vec![("path".to_owned(), path.to_owned()), ("power limit".to_owned(), "95 W".to_owned())];
        let key = SeriesKey { suite: "quick".into(), case: case.into(), metric: metric.into(), conditions };
        let point = |n: i64| {
            let value = 1.5 + n as f64;
            let bound = |factor: f64| known.then_some(value * factor);
            Point { run: run(n), value, low: bound(0.9), high: bound(1.1), error: bound(0.01), windows: 5 }
        };
        // Not in the order of their runs: the export brings them into it.
        Series { key, points: [4, 1, 3, 2].map(point).to_vec() }
    };
    vec![
        vec![series("gemm", "time", "avx2", true), series("gemm", "energy", "avx2", true)],
        vec![series(HOSTILE, "energy", "avx2", false), series(HOSTILE, "energy", "avx512", true)],
    ]
}

fn written(mut sink: impl Sink, cases: Vec<Vec<Series>>) -> usize {
    let rows = cases.into_iter().map(|case| sink.series(case).unwrap()).sum();
    sink.end().unwrap();
    rows
}

#[test]
fn exports_are_read_by_pyarrow_duckdb_and_csv() {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/gate/venv/bin/python");
    if !python.exists() {
        return skip::skip("exports of history", &format!("{} is not there; ci/test.sh installs it", python.display()));
    }
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let file = |name: &str| fs::File::create(path(name)).unwrap();
    assert_eq!(written(Parquet::new(file("full.parquet")).unwrap(), cases()), 16);
    assert_eq!(written(Csv::new(file("full.csv")), cases()), 16);
    assert_eq!(written(Parquet::new(file("empty.parquet")).unwrap(), Vec::new()), 0);
    assert_eq!(written(Csv::new(file("empty.csv")), Vec::new()), 0);
    let program = "
import csv, sys
import duckdb, pyarrow as pa, pyarrow.parquet as pq
folder, hostile = sys.argv[1], sys.argv[2]
table = pq.read_table(folder + '/full.parquet')
assert (table.num_rows, table.num_columns) == (16, 25), table.schema
assert pq.ParquetFile(folder + '/full.parquet').num_row_groups == 2
types = {f.name: f.type for f in table.schema}
assert types['case'] == pa.string() and types['value'] == pa.float64() and types['started'] == pa.int64()
rows = table.to_pylist()
assert {r['unit'] for r in rows} == {'J', 's'} and {r['power_limit'] for r in rows} == {'95 W'}
assert sum(r['low'] is None for r in rows) == 4 and all((r['low'] is None) == (r['standard_error'] is None) for r in rows)
assert {r['case'] for r in rows} == {'gemm', hostile} and any(r['record'] == hostile for r in rows)
assert all(r['branch'] is None and r['machine'] is None and r['windows'] == 5 for r in rows)
for r in rows:
    assert abs(r['value'] - 1.5 - r['started'] / 86400) < 1e-12 and (r['commit'] is None) == (r['started'] // 86400 % 2 == 1)
assert len({r['series'] for r in rows}) == 4
for series in {r['series'] for r in rows}:
    runs = [r['started'] for r in rows if r['series'] == series]
    assert runs == sorted(runs), 'in the order of the runs'
counted = duckdb.sql(f\"select count(*), count(low), sum(value), count(distinct path) from read_parquet('{folder}/full.parquet')\").fetchall()
assert counted == [(16, 12, sum(r['value'] for r in rows), 2)], counted
empty = pq.read_table(folder + '/empty.parquet')
assert empty.num_rows == 0 and empty.schema.names == table.schema.names
assert duckdb.sql(f\"select count(*) from read_parquet('{folder}/empty.parquet')\").fetchall() == [(0,)]
lines = list(csv.DictReader(open(folder + '/full.csv', newline='', encoding='utf-8'), strict=True))
assert len(lines) == 16 and list(lines[0]) == table.schema.names
assert all(None not in r and None not in r.values() for r in lines)
for r in lines:
    assert not any(str(v).startswith(('=', '+', '-', '@')) for v in r.values()), r
    assert not any(ord(c) < 32 for v in r.values() for c in v) and '##[' not in ''.join(r.values())
assert sum(r['low'] == '' for r in lines) == 4
assert sorted(float(r['value']) for r in lines) == sorted(r['value'] for r in rows)
assert len(list(csv.reader(open(folder + '/empty.csv', newline='')))) == 1";
    let read = || Command::new(&python).args(["-c", program]).arg(dir.path()).arg(HOSTILE).output().unwrap();
    let output = read();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // A reader that accepts everything would prove nothing.
    let mut bytes = fs::read(path("full.parquet")).unwrap();
    let at = bytes.len() / 2;
    bytes.remove(at);
    fs::write(path("full.parquet"), bytes).unwrap();
    assert!(!read().status.success(), "a byte less went unnoticed");
}
