//! Outputs of `gate` before their schemas and real readers: jsonschema and sarif-tools, junitparser, pyarrow, DuckDB,
//! markdown-it. `ci/test.sh` installs them below `target/gate`.

#![expect(clippy::unwrap_used, reason = "a test may fail here")]

mod skip;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use wattproof::gate::output::FORMATS;
use wattproof::gate::{Outcome, Rules, Verdict, compare};
use wattproof::policy::Policy;
use wattproof::record::{self, RunRecord, fixture};

/// Passed; failed; refused; without energy; hostile and failed.
fn outcomes() -> Vec<Outcome> {
    let gate = |mut new: RunRecord, old: RunRecord, id: &str| {
        new.header.id = id.to_owned();
        compare(&new, &[old], Vec::new(), &Rules::default(), &Policy::shipped())
    };
    let mut foreign = fixture::with_rapl();
    foreign.header.suite.digest = "00".repeat(32);
    let mut poisoned = fixture::hostile();
    for measurement in &mut poisoned.measurements {
        measurement.outcome = record::Outcome::Failed { reason: fixture::HOSTILE.into() };
    }
    poisoned.header.suite.path = format!("suites/::error::x ##[command] %0A,:{}", fixture::HOSTILE);
    let all = vec![
        gate(fixture::with_rapl(), fixture::with_rapl(), "same"),
        gate(fixture::wrong_answer(), fixture::with_rapl(), "wrong"),
        gate(foreign, fixture::with_rapl(), "foreign"),
        gate(fixture::cpu_only(), fixture::cpu_only(), "no-energy"),
        gate(poisoned, fixture::hostile(), fixture::HOSTILE),
    ];
    let verdicts: Vec<Verdict> = all.iter().map(|o| o.verdict).collect();
    use Verdict::{Failed, Passed, Refused};
    assert_eq!(verdicts, [Passed, Failed, Refused, Passed, Failed]);
    all
}

fn render(id: &str, outcome: &Outcome) -> Vec<u8> {
    (FORMATS.iter().find(|f| f.id == id).unwrap().render)(outcome).unwrap()
}

/// Writes every outcome in a format and lets a Python program read the files; each is followed by its numbers:
/// comparisons, failures, ambiguous ones that do not fail, refusing differences.
fn before(id: &str, program: &str, broken: &dyn Fn(String) -> String) {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/gate/venv/bin/python");
    if !python.exists() {
        skip::skip(id, &format!("{} is not there; ci/test.sh installs it", python.display()));
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let all = outcomes();
    let mut arguments = Vec::new();
    for (n, outcome) in all.iter().enumerate() {
        let file = dir.path().join(n.to_string());
        fs::write(&file, render(id, outcome)).unwrap();
        let fails = outcome.comparisons.iter().filter(|c| c.fails).count();
        let unsure = outcome
            .comparisons
            .iter()
            .filter(|c| c.decision == wattproof::gate::Decision::Ambiguous && !c.fails)
            .count();
        let refused = outcome.differences.iter().filter(|d| !d.accepted).count();
        arguments.push(file.display().to_string());
        arguments.extend([outcome.comparisons.len(), fails, unsure, refused].map(|n| n.to_string()));
    }
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let run = |arguments: &[String]| -> Result<(), String> {
        let preface = "import sys, json, itertools\n\
                       files = [(a[0], *map(int, a[1:])) for a in zip(*[iter(sys.argv[2:])] * 5)]\n\
                       data = sys.argv[1]\n";
        let output = Command::new(&python)
            .arg("-c")
            .arg(format!("{preface}{program}"))
            .arg(&data)
            .args(arguments)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
        if output.status.success() { Ok(()) } else { Err(said) }
    };
    run(&arguments).unwrap();
    // A reader that accepts everything would prove nothing.
    let file = PathBuf::from(&arguments[5]);
    let text = fs::read(&file).unwrap();
    let text = text.iter().map(|b| char::from(*b)).collect::<String>();
    let changed = broken(text.clone());
    assert_ne!(changed, text, "{id}: nothing was broken");
    let bytes: Vec<u8> = changed.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
    fs::write(&file, bytes).unwrap();
    run(&arguments[5..10]).unwrap_err();
}

#[test]
fn sarif_validates_against_its_schema_and_is_read() {
    let program = "
import jsonschema
from sarif.loader import load_sarif_file
schema = json.load(open(data + '/sarif-schema-2.1.0.json'))
validator = jsonschema.Draft7Validator(schema)
for path, rows, fails, unsure, refused in files:
    validator.validate(json.load(open(path)))
    sarif = load_sarif_file(path)
    counts = sarif.get_report().get_issue_count_for_severity
    assert counts('error') == fails + refused, (path, fails, refused)
    for record in sarif.get_records():
        assert record['Line'] >= 1 and 'suites/' in record['Location'], record";
    before("sarif", program, &|t| t.replace("\"startLine\": ", "\"startLine\": -"));
}

#[test]
fn junit_is_read_with_the_same_counts() {
    let program = "
from junitparser import JUnitXml, Failure, Error, Skipped
for path, rows, fails, unsure, refused in files:
    xml = JUnitXml.fromfile(path)
    cases = [case for suite in xml for case in suite]
    kinds = [type(r) for case in cases for r in case.result]
    found = (len(cases), kinds.count(Failure), kinds.count(Error), kinds.count(Skipped))
    assert found == (rows + refused, fails, refused, unsure), (path, found)
    stated = (xml.tests, xml.failures, xml.errors, xml.skipped)
    assert stated == found, (stated, found)
    xml.update_statistics()
    assert (xml.tests, xml.failures, xml.errors, xml.skipped) == found";
    before("junit", program, &|t| t.replacen("<failure", "<success", 1).replacen("</failure", "</success", 1));
}

#[test]
fn bencher_metric_format_validates_against_its_schema() {
    let program = "
import jsonschema
schema = json.load(open(data + '/bmf.schema.json'))
for path, *_ in files:
    found = json.load(open(path))
    jsonschema.Draft7Validator(schema).validate(found)
    for name, measures in found.items():
        assert 0 < len(name) <= 1024
        for slug, metric in measures.items():
            assert len(slug) <= 64 and slug == slug.lower()
            if 'lower_value' in metric:
                assert metric['lower_value'] <= metric['value'] <= metric['upper_value'], (name, slug, metric)";
    before("bencher", program, &|t| t.replace("\"value\": ", "\"valu\": "));
}

/// Required by https://docs.gitlab.com/ci/testing/code_quality/: description, check_name, fingerprint, severity,
/// location.path and location.lines.begin.
#[test]
fn gitlab_finds_the_fields_it_documents() {
    let program = "
for path, rows, fails, unsure, refused in files:
    found = json.load(open(path))
    for f in found:
        assert all(isinstance(f[k], str) and f[k] for k in ('description', 'check_name', 'fingerprint'))
        assert f['severity'] in ('info', 'minor', 'major', 'critical', 'blocker')
        where = f['location']
        assert not where['path'].startswith(('./', '/')) and where['lines']['begin'] >= 1
    assert sum(f['severity'] == 'major' for f in found) == fails + refused
    assert len({f['fingerprint'] for f in found}) == len(found), 'one fingerprint, one finding'";
    before("gitlab", program, &|t| t.replacen("\"fingerprint\"", "\"fingerprnt\"", 1));
}

/// `customSmallerIsBetter` reads name, value, unit, range and extra of every entry of a list.
#[test]
fn github_action_benchmark_finds_its_fields() {
    let program = "
import re
for path, *_ in files:
    entries = json.load(open(path))
    for e in entries:
        assert set(e) <= {'name', 'value', 'unit', 'range', 'extra'} and isinstance(e['value'], (int, float))
        assert isinstance(e['name'], str) and isinstance(e['unit'], str)
        assert 'perf-per-watt' not in e['name'], 'larger is better'
        assert 'range' not in e or re.match(r'± \\d', e['range'])
    assert len({e['name'] for e in entries}) == len(entries)";
    before("benchmark-action", program, &|t| t.replacen("\"unit\"", "\"units\"", 1));
}

/// The grammar of the runner: a line that begins with `::` after trimming, `command properties::data`.
#[test]
fn annotations_are_what_was_meant_after_the_runner_has_read_them() {
    let program = "
for path, rows, fails, unsure, refused in files:
    commands = []
    for line in open(path, newline='\\n').read().split('\\n'):
        line = line.strip()
        assert '##[' not in line, line
        if not line.startswith('::'):
            assert not line, line
            continue
        head, data = line[2:].split('::', 1)
        word, properties = head.split(' ', 1)
        pairs = dict(p.split('=', 1) for p in properties.split(','))
        commands.append((word, pairs, data))
    assert {w for w, _, _ in commands} <= {'error', 'warning', 'notice'}
    assert len([c for c in commands if c[0] == 'error' and 'file' in c[1]]) == min(fails + refused, 10)
    for word, pairs, data in commands[:-1]:
        assert set(pairs) == {'file', 'line', 'title'} and int(pairs['line']) >= 1 and data, pairs";
    before("github", program, &|t| t.replacen(",line=", ",lin=", 1));
}

#[test]
fn markdown_renders_to_tables_without_anything_active() {
    let program = "
from html.parser import HTMLParser
from markdown_it import MarkdownIt
class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.seen, self.rows = set(), 0
    def handle_starttag(self, tag, attributes):
        self.seen.add(tag)
        self.rows += tag == 'tr'
        assert not [a for a in attributes if a[0].startswith('on') or 'javascript' in str(a[1])], attributes
for path, rows, *_ in files:
    tags = Tags()
    tags.feed(MarkdownIt('commonmark').enable('table').render(open(path).read()))
    extra = tags.seen - {'h2', 'h3', 'p', 'table', 'thead', 'tbody', 'tr', 'th', 'td', 'strong', 'ul', 'li'}
    assert not extra, extra
    assert tags.rows == (rows + 1 if rows else 0), (tags.rows, rows)";
    before("markdown", program, &|t| t.replacen("| ", "| <img src=x> ", 1));
}

#[test]
fn csv_has_the_same_columns_in_every_row() {
    let program = "
import csv
for path, rows, fails, *_ in files:
    found = list(csv.DictReader(open(path, newline=''), strict=True))
    assert len(found) == rows and all(None not in r and None not in r.values() for r in found)
    assert sum(r['fails'] == 'true' for r in found) == fails
    for r in found:
        assert not r['case'].startswith(('=', '+', '-', '@'))
        for key in ('baseline', 'candidate', 'ratio', 'p_adjusted'):
            assert r[key] == '' or float(r[key]) >= 0";
    before("csv", program, &|t| t.replacen(",true,", ",", 1));
}

/// pyarrow (which pandas reads with; Polars and DuckDB have readers of their own).
#[test]
fn parquet_is_read_by_pyarrow_and_duckdb() {
    let program = "
import duckdb, pyarrow as pa, pyarrow.parquet as pq
for path, rows, fails, *_ in files:
    table = pq.read_table(path)
    assert table.num_rows == rows and table.num_columns == 26, table.schema
    types = {f.name: f.type for f in table.schema}
    assert types['case'] == pa.string() and types['ratio'] == pa.float64()
    assert types['line'] == pa.int64() and types['fails'] == pa.bool_()
    found = table.to_pylist()
    assert sum(r['fails'] for r in found) == fails
    for r in found:
        assert (r['ratio'] is None) == (r['p'] is None) and r['case'] and r['line'] >= 0
        if r['ratio'] is not None and r['baseline'] and r['pairing'] == 'independent':
            assert abs(r['candidate'] / r['baseline'] / r['ratio'] - 1) < 1e-9, r
    query = f\"select count(*), coalesce(sum(fails::int), 0), count(ratio) from read_parquet('{path}')\"
    counted = duckdb.sql(query).fetchall()
    assert counted == [(rows, fails, sum(r['ratio'] is not None for r in found))], counted";
    before("parquet", program, &|t| {
        let at = t.len() - 20;
        format!("{}{}", &t[..t.char_indices().nth(t.chars().count() - 40).map_or(at, |(i, _)| i)], "PAR1")
    });
}
