//! Specimens of every kind of certificate for tests, benches and examples. They are issued by “Specimen”, and
//! their reference tables are made of their own figures.

use crate::certificate::{self, Dossier, FileDigest, Issue};
use crate::clock::Utc;
use crate::plan::Skip;
use crate::policy::{Certification, Table};
use crate::record::store::sha256_hex;
use crate::record::{RunRecord, SuiteSource, fixture};
use crate::suite::{Case, Catalog, Suite};
use std::fmt::Write as _;
use std::path::Path;

/// The kinds: name and dossier.
#[must_use]
pub fn all() -> Vec<(&'static str, Dossier)> {
    vec![
        ("certified", of(fixture::certifiable(), 0.47)),
        ("class-a", of(few(), 0.1)),
        ("class-g", of(fixture::certifiable(), 9.0)),
        ("many", of(many(), 0.61)),
        ("long-names", of(long_names(), 0.9)),
        ("unrated", of(fixture::certifiable(), 0.0)),
        ("refused", of(refused(), 0.5)),
        ("simulated", of(fixture::with_gpu(), 0.5)),
        ("unmeasured", of(fixture::denied(), 0.5)),
        ("inconclusive", inconclusive()),
        ("hostile", hostile()),
    ]
}

/// A certificate of `record` against references that are `fraction` of its own figures; without a table's
/// rows where that is 0.
#[must_use]
pub fn of(record: RunRecord, fraction: f64) -> Dossier {
    let issue = Issue {
        issuer: Some("Specimen".to_owned()),
        place: Some("Nowhere".to_owned()),
        issued_at: Utc::try_from("2026-11-23T09:30:00Z".to_owned()).expect("a date"),
    };
    issued(record, fraction, issue)
}

fn issued(record: RunRecord, fraction: f64, issue: Issue) -> Dossier {
    let (table, policy) = (table(&record, fraction), policy(&record));
    let (header, samples) = fixture::on_disk(&record);
    let file = |name: &str, bytes: &[u8]| FileDigest {
        name: name.to_owned(),
        sha256: sha256_hex(bytes),
        bytes: bytes.len() as u64,
    };
    let evidence = vec![
        file("issue.json", b"specimen"),
        file("policy.yaml", policy.text.as_bytes()),
        file("record.json", &header),
        file("samples.jsonl", &samples),
        file("suite.yaml", record.header.suite.text.as_bytes()),
        file("table.yaml", table.text.as_bytes()),
    ];
    certificate::issue(record, &policy, &table, issue, evidence)
}

/// A reference table made of `fraction` of the record's own figures.
fn table(record: &RunRecord, fraction: f64) -> Table {
    let mut text =
        "version: 1\ntable: specimen-1\ncategory: cpu\nprovisional: true\nwhy_provisional: it is made of the \
                    specimen's own figures\nrows:"
            .to_owned();
    let summary = crate::analysis::summarise(record);
    let rated = summary.cases.iter().filter(|c| c.role == crate::record::Role::Workload && fraction > 0.0);
    let mut empty = true;
    for (n, case) in rated.enumerate() {
        let Some(efficiency) = case.energy.efficiency.estimate() else { continue };
        empty = false;
        // Spread around the fraction, so that the kernels differ.
        let reference = efficiency.median * fraction * (1.0 + 0.08 * ((n % 5) as f64 - 2.0));
        let id = serde_json::to_string(&case.id).expect("a string is JSON");
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "\n  - case: {id}\n    weight: {}\n    efficiency_flop_per_j: {reference:e}\n    source: specimen, a part of its own figure",
            1 + n % 3
        );
    }
    if empty {
        text.push_str(" []");
    }
    Table::parse(&text).expect("the specimen's table is valid")
}

/// Three workloads; the machine could not run the others.
#[must_use]
pub fn few() -> RunRecord {
    let mut record = fixture::certifiable();
    let keep = record.measurements.len() - 5;
    record.measurements.truncate(keep);
    let plan = &mut record.header.plan;
    let left_out = plan.cases.split_off(keep);
    plan.skips.extend(left_out.into_iter().map(|case| Skip { case, reason: "it needs more memory".to_owned() }));
    record
}

/// Id of the suite of [`many`].
const SIXTY: &str = "sixty";

/// The workloads of the certified suite in eight sizes that differ little, so that their times stay plausible; the
/// last variant of the last four is left out.
fn sixty() -> Suite {
    let mut text = format!("version: 1\nsuite: {SIXTY}\ntitle: Sixty workloads\nprofile: certify\ncases:");
    for n in 0..8 {
        let mut cases = vec![
            ("gemm", format!("shape: {0}x1024x1024, dtype: f32", 1024 + n)),
            ("gemm", format!("shape: {0}x2048x2048, dtype: f32", 2048 + n)),
            ("gemm", format!("shape: {0}x1024x1024, dtype: f64", 1024 + n)),
            ("spmm-csr", format!("shape: {0}x2048x512, density: 10 %, dtype: f32", 2048 + n)),
            ("spmv-csr", format!("shape: {0}x65536, density: 1 %, dtype: f32", 65536 + n)),
            ("attention", format!("heads: 8, seq: {0}, dim: 64, mask: dense, dtype: f32", 2048 + n)),
            ("attention", format!("heads: 8, seq: {0}, dim: 64, mask: causal, dtype: f32", 2048 + n)),
            ("triad", format!("bytes: {0} KiB, dtype: f32", 256 * 1024 + n)),
        ];
        cases.truncate(if n == 7 { 4 } else { 8 });
        for (kernel, with) in cases {
            // Writing to a string cannot fail.
            let _ = write!(text, "\n  - kernel: {kernel}\n    with: {{ {with}, threads: all }}");
        }
    }
    Suite::parse(Path::new("suites/sixty.yaml"), &text, &Catalog::builtin()).expect("the specimen's suite is valid")
}

/// Sixty workloads.
#[must_use]
pub fn many() -> RunRecord {
    let mut record = fixture::certifiable();
    let workloads = record.measurements.split_off(6);
    let suite = sixty();
    record.header.suite = SuiteSource::of(&suite);
    record.header.plan.cases.truncate(6);
    for (n, case) in suite.cases.iter().enumerate() {
        let mut copy = workloads[n % workloads.len()].clone();
        copy.case = Case { threads: copy.case.threads, ..case.clone() };
        if let Some(prepared) = &mut copy.prepared {
            prepared.case.clone_from(&case.id);
            let kernel = crate::kernels::find(&case.kernel).expect("a kernel of the product");
            prepared.work = kernel.work_on(&case.params, case.device.api()).expect("the specimen's suite is valid");
        }
        for sample in &mut copy.samples {
            sample.case.clone_from(&case.id);
        }
        record.header.plan.cases.push(copy.case.clone());
        record.measurements.push(copy);
    }
    record
}

/// The shipped policy; where the record is of sixty workloads, one that rates that suite as well.
fn policy(record: &RunRecord) -> Certification {
    let shipped = Certification::shipped();
    if record.header.suite.id != SIXTY {
        return shipped;
    }
    let text = shipped.text.replace("    - id: certify-cpu\n", &format!("    - id: {SIXTY}\n    - id: certify-cpu\n"));
    Certification::parse(&text).expect("the specimen's policy is valid")
}

/// Names as long as machines and suites have them, and longer.
#[must_use]
pub fn long_names() -> RunRecord {
    let mut record = fixture::certifiable();
    let environment = &mut record.header.environment;
    environment.cpu.model = Some(
        "Intel(R) Xeon(R) Platinum 8592+ Processor with a marketing name that goes on, and on, at 1.90GHz (Sapphire Rapids HBM)"
            .to_owned(),
    );
    environment.host.os = Some("Red Hat Enterprise Linux 9.4 (Plow) for High Performance Computing".to_owned());
    environment.host.board =
        Some("Supermicro X13DEI-T with an unbreakableserialnumberfieldofsixtyfourcharacterswithoutspaces".to_owned());
    record.header.suite.title = "مجموعة اختبار المرجع للمعالجات: Reference suite".to_owned();
    record
}

/// A wrong answer in one case, a failed canary in a second, a third that could not run.
#[must_use]
pub fn refused() -> RunRecord {
    let mut record = fixture::wrong_answer();
    record.header.simulated.clear();
    record
}

/// A record that breaks nothing and does not hold enough. No rule of today's policy says so by itself, so the
/// decision is set by hand.
#[must_use]
pub fn inconclusive() -> Dossier {
    let mut dossier = of(fixture::certifiable(), 0.5);
    let certificate = &mut dossier.certificate;
    certificate.decision = crate::verdict::Decision::Inconclusive;
    certificate.expires_at = None;
    if let Some(finding) = certificate.findings.last_mut() {
        finding.status = crate::verdict::Status::Inconclusive;
        finding.observed = "the record does not say whether the machine was shared".to_owned();
        finding.fix = "measure again with a version that records it".to_owned();
    }
    dossier
}

/// Hostile text in every field, the issuer's included.
#[must_use]
pub fn hostile() -> Dossier {
    let issue = Issue {
        issuer: Some(fixture::HOSTILE.to_owned()),
        place: Some("P".repeat(10_000)),
        issued_at: Utc::try_from("2026-11-23T09:30:00Z".to_owned()).expect("a date"),
    };
    let mut dossier = issued(fixture::hostile(), 0.5, issue);
    dossier.certificate.deviations.push(fixture::HOSTILE.to_owned());
    dossier.certificate.method.table_provisional = Some(fixture::HOSTILE.to_owned());
    dossier.certificate.method.policy.title = Some(fixture::HOSTILE.to_owned());
    for finding in &mut dossier.certificate.findings {
        finding.observed = fixture::HOSTILE.to_owned();
        finding.limit = "L".repeat(10_000);
        finding.fix = fixture::HOSTILE.to_owned();
    }
    dossier
}
