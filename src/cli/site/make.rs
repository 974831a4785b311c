//! Records and bundles become the files of a site. One record a thread is in memory at a time.

use super::find::{self, Found};
use crate::analysis::{Draws, Summary, summarise_remembering};
use crate::certificate::{Certificate, Dossier, Seal};
use crate::cli::{Failure, bundle};
use crate::evidence::bundle::{RECORD, SAMPLES, STATEMENT};
use crate::evidence::dsse::{self, Envelope};
use crate::evidence::{Bundle, Options as Verifying, archive, verify};
use crate::policy::Policy;
use crate::record::RunRecord;
use crate::record::store::{self, HEADER_FILE, sha256_hex};
use crate::report::site::{self, Attached, Entry, Key, LeftOut, Mark, Row};
use crate::report::{ReportModel, certificate, html, model::Tone};
use ed25519_dalek::VerifyingKey;
use serde::Deserialize;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Name of a report beside its record, and beside the record's page.
const REPORT: &str = "report.html";

/// How a site is made.
pub(in crate::cli) struct Options<'a> {
    /// Its heading.
    pub(in crate::cli) title: &'a str,
    /// Keys whose signatures prove an origin.
    pub(in crate::cli) keys: Vec<VerifyingKey>,
}

/// What was made.
#[derive(Debug)]
pub(in crate::cli) struct Made {
    /// Records shown.
    pub(in crate::cli) records: usize,
    /// Certificates and refusals shown with them.
    pub(in crate::cli) certificates: usize,
    /// What is not shown, or not as it lay there.
    pub(in crate::cli) left_out: Vec<LeftOut>,
}

/// Certificates by the record that they belong to.
type Certificates = BTreeMap<Key, Vec<Attached>>;

/// A bundle that holds.
struct Verified {
    certificate: Certificate,
    /// Its page, drawn again; `None` where the bundle holds no documents.
    document: Option<Vec<u8>>,
    /// Id of the key that has signed it, of those that were given.
    signed_by: Option<String>,
}

/// A record that has its page.
struct Shown {
    key: Key,
    row: Row,
}

/// Makes the site of `root` in the empty folder `site`.
///
/// # Errors
/// Exit code 2 where no record can be read or a file cannot be written.
pub(in crate::cli) fn make(root: &Path, site: &Path, options: &Options<'_>) -> Result<Made, Failure> {
    let Found { records, bundles, mut left_out } = find::find(root)?;
    create(&site.join(site::RECORDS))?;
    let maker = Maker { root, site, options, policy: Policy::shipped() };

    let mut certificates = Certificates::new();
    let mut of_bundles = Vec::new();
    let evidence = in_parallel(&bundles, |path, _| maker.evidence(path));
    for (path, result) in bundles.iter().zip(evidence) {
        match result? {
            Ok((key, attached)) => {
                let list = certificates.entry(key.clone()).or_default();
                if list.contains(&attached) {
                    left_out
                        .push(maker.left_out(path, "the same bundle lies elsewhere in the folder; it is shown once"));
                } else {
                    list.push(attached);
                }
                of_bundles.push((key, path));
            }
            Err(why) => left_out.push(why),
        }
    }

    let plain = in_parallel(&records, |path, draws| maker.record(path, &certificates, draws));
    let mut rows = BTreeMap::new();
    let mut again = BTreeSet::new();
    let mut keep = |path: &Path, result: Result<Shown, LeftOut>, left_out: &mut Vec<LeftOut>| match result {
        Err(why) => left_out.push(why),
        Ok(shown) => match rows.get(&shown.row.slug) {
            None => {
                rows.insert(shown.row.slug.clone(), (path.to_owned(), shown));
            }
            Some((first, of)) => {
                let what =
                    if of.key == shown.key { "the same record as" } else { "its page would have the name of that of" };
                left_out.push(maker.left_out(path, &format!("{what} {}, which is shown", find::below(root, first))));
                again.insert(shown.row.slug);
            }
        },
    };
    for (path, result) in records.iter().zip(plain) {
        keep(path, result?, &mut left_out);
    }
    // What the second of two records wrote is not what is shown.
    let mut draws = Draws::default();
    for slug in again {
        if let Some((path, _)) = rows.get(&slug) {
            fs::remove_file(site.join(site::RECORDS).join(&slug).join(REPORT)).unwrap_or_default();
            let _ = maker.record(path, &certificates, &mut draws)?;
        }
    }

    let mut known: BTreeSet<Key> = rows.values().map(|(_, shown)| shown.key.clone()).collect();
    for (key, path) in of_bundles {
        if known.insert(key) {
            match maker.record_of_bundle(path, &certificates, &mut draws)? {
                Ok(shown) => {
                    rows.insert(shown.row.slug.clone(), (path.to_owned(), shown));
                }
                Err(why) => left_out.push(why),
            }
        }
    }
    maker.finish(rows, &certificates, left_out)
}

struct Maker<'a> {
    root: &'a Path,
    site: &'a Path,
    options: &'a Options<'a>,
    policy: Policy,
}

/// The id in a header that holds anything else besides.
#[derive(Deserialize)]
struct Id {
    id: String,
}

impl Maker<'_> {
    fn left_out(&self, path: &Path, reason: &str) -> LeftOut {
        // Errors name whole paths; a site must not tell where on a machine it was made.
        let reason = reason.replace(&format!("{}/", self.root.display()), "");
        LeftOut::new(&find::below(self.root, path), &reason)
    }

    /// Reads a record, and writes its page and figures.
    fn record(
        &self,
        path: &Path,
        certificates: &Certificates,
        draws: &mut Draws,
    ) -> Result<Result<Shown, LeftOut>, Failure> {
        let read = fs::read(path.join(HEADER_FILE)).map_err(|e| format!("cannot read record.json: {e}"));
        let report = fs::symlink_metadata(path.join(REPORT)).is_ok_and(|kind| kind.is_file());
        let load = if report { store::load } else { store::load_without_trace };
        let read = read.and_then(|header| Ok((header, load(path).map_err(|e| e.to_string())?)));
        match read {
            Ok((header, record)) => {
                let key = Key::of(&header, &record.samples_digest);
                self.show(key, &record, certificates, report, draws).map(Ok)
            }
            Err(why) => Ok(Err(self.left_out(path, &why))),
        }
    }

    /// As [`Self::record`], of the record inside a bundle that was verified.
    fn record_of_bundle(
        &self,
        path: &Path,
        certificates: &Certificates,
        draws: &mut Draws,
    ) -> Result<Result<Shown, LeftOut>, Failure> {
        let read = || {
            let bundle = bundle::read(path).map_err(|e| e.to_string())?;
            let file = |name| bundle.file(name).map_err(|e| e.to_string());
            let (header, samples) = (file(RECORD)?, file(SAMPLES)?);
            let record = store::parse(Path::new(RECORD), header, Path::new(SAMPLES), samples);
            let record = record.map_err(|e| e.to_string())?;
            Ok::<_, String>((Key::of(header, &record.samples_digest), record))
        };
        match read() {
            Ok((key, record)) => self.show(key, &record, certificates, false, draws).map(Ok),
            Err(why) => Ok(Err(self.left_out(path, &why))),
        }
    }

    fn show(
        &self,
        key: Key,
        record: &RunRecord,
        certificates: &Certificates,
        report: bool,
        draws: &mut Draws,
    ) -> Result<Shown, Failure> {
        let summary = summarise_remembering(record, &self.policy, draws);
        let of_record = certificates.get(&key).cloned().unwrap_or_default();
        let entry = Entry::of(&key, record, &summary, of_record, report).map_err(Failure::internal)?;
        let folder = self.site.join(site::RECORDS).join(&entry.row.slug);
        create(&folder)?;
        write(&folder.join(site::INDEX_FILE), site::record_page(&entry).map_err(Failure::internal)?.as_bytes())?;
        write(&folder.join(site::FIGURES_FILE), entry.figures.as_bytes())?;
        if report {
            write(&folder.join(REPORT), &drawn(record, summary)?)?;
        }
        Ok(Shown { key, row: entry.row })
    }

    /// Verifies a bundle, and writes what the site holds of it.
    fn evidence(&self, path: &Path) -> Result<Result<(Key, Attached), LeftOut>, Failure> {
        let checked = bundle::read(path).map_err(|e| e.to_string()).and_then(|bundle| {
            let Verified { certificate, document, signed_by } = self.verified(&bundle)?;
            let file = |name| bundle.file(name).map_err(|e| e.to_string());
            let header = file(RECORD)?;
            let Id { id } = serde_json::from_slice(header).map_err(|e| e.to_string())?;
            let key = Key::of(header, &sha256_hex(file(SAMPLES)?));
            Ok((id, key, archive::write(&bundle)?, Attached::of(&certificate, signed_by), document))
        });
        let (id, key, bytes, mut attached, document) = match checked {
            Ok(checked) => checked,
            Err(why) => return Ok(Err(self.left_out(path, &why))),
        };
        let folder = self.site.join(site::RECORDS).join(site::slug(&id, &key));
        create(&folder)?;
        attached.sha256 = sha256_hex(&bytes);
        // The signed and the unsigned bundle of a certificate have one id.
        let name = format!("{}-{}", attached.id, &attached.sha256[..8]);
        attached.bundle = format!("{name}{}", archive::EXTENSION);
        write(&folder.join(&attached.bundle), &bytes)?;
        if let Some(document) = document {
            let name = format!("{name}.html");
            write(&folder.join(&name), &document)?;
            attached.document = Some(name);
        }
        Ok(Ok((key, attached)))
    }

    /// What a bundle comes to; an error says where it does not hold.
    fn verified(&self, bundle: &Bundle) -> Result<Verified, String> {
        let envelope = Envelope::parse(bundle.file(STATEMENT).map_err(|e| e.to_string())?)?;
        let key = self.options.keys.iter().find(|key| !envelope.signed_by(key).is_empty());
        let drawn: RefCell<Option<(Certificate, Vec<u8>)>> = RefCell::new(None);
        let documents = |dossier: &Dossier, seal: &Seal| {
            let model = certificate::CertificateModel::of(dossier, seal).map_err(|e| e.to_string())?;
            let page = certificate::html(&model).map_err(|e| e.to_string())?;
            drawn.replace(Some((dossier.certificate.clone(), page.clone())));
            Ok(vec![(certificate::HTML.to_owned(), page)])
        };
        let result = verify(bundle, &Verifying { key, policy: None, documents: &documents });
        if !result.holds() {
            let first = result.differences.first();
            let place = |d: &crate::evidence::Difference| {
                format!(": {}{}: {}", d.file, d.pointer.as_ref().map(|p| format!(" {p}")).unwrap_or_default(), d.text)
            };
            return Err(format!("the evidence does not verify{}", first.map(place).unwrap_or_default()));
        }
        let signed_by = key.map(dsse::key_id);
        match drawn.into_inner() {
            Some((certificate, page)) => {
                let holds_one = bundle.files.contains_key(certificate::HTML);
                Ok(Verified { certificate, document: holds_one.then_some(page), signed_by })
            }
            None => {
                let certificate = bundle.decide().map_err(|e| e.to_string())?.certificate;
                Ok(Verified { certificate, document: None, signed_by })
            }
        }
    }

    /// Writes the pages that hold all records.
    fn finish(
        &self,
        rows: BTreeMap<String, (PathBuf, Shown)>,
        certificates: &Certificates,
        mut left_out: Vec<LeftOut>,
    ) -> Result<Made, Failure> {
        let mut rows: Vec<(PathBuf, Row)> = rows.into_values().map(|(path, shown)| (path, shown.row)).collect();
        self.twice(&mut rows, &mut left_out);
        left_out.sort();
        if rows.is_empty() {
            return Err(Failure::usage(self.nothing(&left_out)));
        }
        rows.sort_by(|(_, a), (_, b)| (&b.started, &a.slug).cmp(&(&a.started, &b.slug)));
        let all: Vec<&Row> = rows.iter().map(|(_, row)| row).collect();
        let index = site::index(self.options.title, &all, left_out.len()).map_err(Failure::internal)?;
        write(&self.site.join(site::INDEX_FILE), index.html.as_bytes())?;
        write(&self.site.join(site::DATA_FILE), index.data.as_bytes())?;
        let list = site::left_out(self.options.title, &left_out).map_err(Failure::internal)?;
        write(&self.site.join(site::LEFT_OUT_FILE), list.as_bytes())?;
        for (name, text) in site::assets() {
            write(&self.site.join(name), text.as_bytes())?;
        }
        Ok(Made { records: rows.len(), certificates: certificates.values().map(Vec::len).sum(), left_out })
    }

    /// Marks different records with one id: both are shown, because nothing says which of them is meant.
    fn twice(&self, rows: &mut [(PathBuf, Row)], left_out: &mut Vec<LeftOut>) {
        let mut ids: BTreeMap<String, usize> = BTreeMap::new();
        rows.iter().for_each(|(_, row)| *ids.entry(row.id.clone()).or_default() += 1);
        for (path, row) in rows.iter_mut().filter(|(_, row)| ids[&row.id] > 1) {
            row.marks.push(Mark::new(Tone::Warning, "id twice"));
            let reason =
                format!("{} different records have the id {}; all are shown, and marked", ids[&row.id], row.id);
            left_out.push(self.left_out(path, &reason));
        }
    }

    fn nothing(&self, left_out: &[LeftOut]) -> String {
        let root = self.root.display();
        let mut message = match left_out {
            [] => format!("{root} holds no record: there is no {HEADER_FILE} in it or in the folders below"),
            _ => format!("{root} holds no record that can be read:"),
        };
        for LeftOut { path, reason } in left_out.iter().take(10) {
            message.push_str(&format!("\n  {path}: {reason}"));
        }
        if left_out.len() > 10 {
            message.push_str(&format!("\n  and {} more", left_out.len() - 10));
        }
        message
    }
}

/// The report of a record, drawn again: what lies beside a record may hold anything.
fn drawn(record: &RunRecord, summary: Summary) -> Result<Vec<u8>, Failure> {
    html::render(&ReportModel::new(record, summary)).map_err(Failure::internal)
}

fn create(folder: &Path) -> Result<(), Failure> {
    fs::create_dir_all(folder).map_err(|e| Failure::usage(format!("cannot create {}: {e}", folder.display())))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    fs::write(path, bytes).map_err(|e| Failure::usage(format!("cannot write {}: {e}", path.display())))
}

/// `work` of every item on all processors; results in the order of the items. Each thread keeps what it drew.
fn in_parallel<T: Sync, R: Send>(items: &[T], work: impl Fn(&T, &mut Draws) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::with_capacity(items.len()));
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(items.len());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut draws = Draws::default();
                while let Some((place, item)) = {
                    let place = next.fetch_add(1, Ordering::Relaxed);
                    items.get(place).map(|item| (place, item))
                } {
                    let result = work(item, &mut draws);
                    done.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((place, result));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    done.sort_by_key(|(place, _)| *place);
    done.into_iter().map(|(_, result)| result).collect()
}
