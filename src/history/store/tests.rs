//! One suite over both stores: the same promises, asked of each.

#[path = "../../../tests/server/mod.rs"]
mod server;
#[path = "../../../tests/skip/mod.rs"]
mod skip;

use super::*;
use crate::history::{Figure, RecordEntry, SeriesKey};
use crate::record::fixture::HOSTILE;
use proptest::prelude::*;
use server::Server;
use std::path::PathBuf;
use tempfile::TempDir;

/// Places for stores, and a way past the product to what is in them.
enum Bench {
    Files(TempDir),
    Server(Server),
}

impl Bench {
    fn place(&self, name: &str) -> Place {
        match self {
            Self::Files(dir) => Place::File(dir.path().join(name)),
            Self::Server(server) => Place::parse(&server.url(&server.database(name))),
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        match self {
            Self::Files(dir) => dir.path().join(name),
            Self::Server(_) => panic!("a server is no file"),
        }
    }

    /// Runs SQL as any other program would.
    fn sql(&self, name: &str, sql: &str) -> Result<(), String> {
        match self {
            Self::Files(_) => {
                let connection = rusqlite::Connection::open(self.file(name)).unwrap();
                connection.execute_batch(sql).map_err(|e| e.to_string())
            }
            Self::Server(server) => server.sql(name, sql).map(|_| ()),
        }
    }

    /// A store as the wattproof of an older version left it.
    fn at_version(&self, name: &str, version: u32) -> Place {
        let place = self.place(name);
        match &place {
            Place::File(path) => drop(sqlite::tests::at_version(path, version)),
            Place::Server(server) => drop(postgres::tests::at_version(server, &access(true), version)),
        }
        place
    }

    fn is_server(&self) -> bool {
        matches!(self, Self::Server(_))
    }
}

fn access(write: bool) -> Access {
    Access { write, wait: Duration::from_secs(5), password: None }
}

fn writing(place: &Place) -> Box<dyn Store> {
    open(place, &access(true)).unwrap_or_else(|e| panic!("{e}"))
}

fn reading(place: &Place) -> Box<dyn Store> {
    open(place, &access(false)).unwrap_or_else(|e| panic!("{e}"))
}

fn figure(case: &str, metric: &str, value: f64) -> Figure {
    let conditions = vec![("path".to_owned(), "avx2".to_owned()), ("threads".to_owned(), "2".to_owned())];
    let series = SeriesKey { suite: "quick".into(), case: case.into(), metric: metric.into(), conditions };
    Figure { series, value, low: Some(value * 0.99), high: Some(value * 1.01), error: Some(0.002), windows: 5 }
}

fn entry(id: &str, started: i64, figures: Vec<Figure>) -> Entry {
    let record = RecordEntry {
        id: id.to_owned(),
        digest: crate::record::store::sha256_hex(id.as_bytes()),
        started_at: "2026-11-22T07:45:12Z".to_owned(),
        started,
        commit: Some("3f9c1e7".to_owned()),
        branch: Some("main".to_owned()),
        suite: "quick".to_owned(),
        tool: "0.1.0".to_owned(),
        processor: None,
        machine: None,
        simulated: false,
        cases: 2,
        void: 1,
    };
    Entry { record, figures }
}

fn two(id: &str, started: i64) -> Entry {
    entry(id, started, vec![figure("a", "energy", 1.5), figure("b", "time", 2.5e-3)])
}

/// Every figure in a store: case, record, value.
fn everything(place: &Place) -> Vec<(String, String, f64)> {
    let series = reading(place).series(&Asked::default()).unwrap();
    let of = |s: Series| {
        let case = s.key.case;
        s.points.into_iter().map(move |p| (case.clone(), p.run.record.clone(), p.value))
    };
    let mut all: Vec<_> = series.into_iter().flat_map(of).collect();
    all.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
    all
}

/// Runs every promise over a kind of store.
fn keep_all_promises(bench: &Bench) {
    what_goes_in_comes_out(bench);
    a_record_is_stored_once(bench);
    nothing_is_ever_changed(bench);
    older_versions_are_brought_up_to_date(bench);
    other_and_newer_things_are_left_alone(bench);
    a_writer_waits_and_then_says_so(bench);
    two_may_begin_at_once(bench);
    hostile_texts_are_only_texts(bench);
    any_entry_comes_back(bench);
}

#[test]
fn a_file_keeps_all_promises() {
    keep_all_promises(&Bench::Files(tempfile::tempdir().unwrap()));
}

#[test]
fn a_server_keeps_all_promises() {
    match Server::start() {
        Ok(server) => {
            assert!(server.url("x").contains(server.shown("x").trim_start_matches("postgres://bench")));
            keep_all_promises(&Bench::Server(server));
        }
        Err(why) => skip::skip("history on PostgreSQL", &why),
    }
}

fn what_goes_in_comes_out(bench: &Bench) {
    let place = bench.place("round");
    assert!(matches!(open(&place, &access(false)), Err(StoreError::Absent { .. })));
    let mut last = two("second", 200);
    last.figures[0].low = None;
    last.figures[0].high = None;
    last.figures[0].error = None;
    last.record.branch = None;
    let entries = [two("first", 100), last];
    assert_eq!(writing(&place).add(&entries).unwrap(), [Added::New, Added::New]);
    let mut store = reading(&place);
    assert_eq!(store.version(), VERSION);
    assert_eq!(store.records().unwrap(), [entries[1].record.clone(), entries[0].record.clone()], "newest first");
    assert_eq!(store.cases().unwrap(), [("quick".into(), "a".into()), ("quick".into(), "b".into())]);
    let energy = Asked { metrics: vec![Metric::Energy], ..Asked::default() };
    let found = store.series(&energy).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].key, entries[0].figures[0].series);
    let points = &found[0].points;
    assert_eq!(points.iter().map(|p| p.run.record.as_str()).collect::<Vec<_>>(), ["first", "second"]);
    assert_eq!((points[0].low, points[0].error, points[0].windows), (Some(1.5 * 0.99), Some(0.002), 5));
    assert_eq!((points[1].low, points[1].high, points[1].error), (None, None, None), "unknown stays unknown");
    let asked = |case: &str| Asked { case: Some(case.into()), ..Asked::default() };
    assert_eq!(store.series(&asked("b")).unwrap().len(), 1);
    assert_eq!(store.series(&asked("*")).unwrap().len(), 2);
    assert!(store.series(&asked("c")).unwrap().is_empty());
    let main = store.series(&Asked { branch: Some("main".into()), ..Asked::default() }).unwrap();
    assert!(main.iter().all(|s| s.points.len() == 1 && s.points[0].run.record == "first"));
}

fn a_record_is_stored_once(bench: &Bench) {
    let place = bench.place("once");
    let mut store = writing(&place);
    store.add(&[two("one", 1)]).unwrap();
    assert_eq!(store.add(&[two("one", 1), two("new", 2)]).unwrap(), [Added::Known, Added::New]);
    let before = everything(&place);
    assert_eq!(before.len(), 4);
    let mut other = two("one", 1);
    other.record.digest = "ff".repeat(32);
    let refused = store.add(&[two("third", 3), other]).unwrap_err();
    assert!(matches!(&refused, StoreError::Conflict { record, .. } if record == "one"), "{refused}");
    assert_eq!(everything(&place), before, "the good one beside it was not stored either");
}

fn nothing_is_ever_changed(bench: &Bench) {
    let place = bench.place("grow");
    writing(&place).add(&[two("one", 1)]).unwrap();
    let before = everything(&place);
    for table in ["records", "series", "figures"] {
        let column = if table == "figures" { "value" } else { "suite" };
        let mut attempts =
            vec![format!("UPDATE wattproof_{table} SET {column} = {column}"), format!("DELETE FROM wattproof_{table}")];
        if bench.is_server() {
            attempts.push(format!("TRUNCATE wattproof_{table} CASCADE"));
        } else {
            attempts.push(format!("INSERT OR REPLACE INTO wattproof_{table} SELECT * FROM wattproof_{table}"));
        }
        for sql in attempts {
            let said = bench.sql("grow", &sql).expect_err(&sql);
            assert!(said.contains("a history only grows"), "{sql}: {said}");
        }
    }
    assert_eq!(everything(&place), before);
}

fn older_versions_are_brought_up_to_date(bench: &Bench) {
    for version in 1..VERSION {
        let name = format!("old{version}");
        let place = bench.at_version(&name, version);
        let simulated = if bench.is_server() { "false" } else { "0" };
        bench
            .sql(
                &name,
                &format!(
                    "INSERT INTO wattproof_records (record_id, digest, started_at, started, suite, tool, simulated, \
                     cases, void) VALUES ('old', 'd', '2020-01-01T00:00:00Z', 5, 'quick', '0', {simulated}, 1, 0); \
                     INSERT INTO wattproof_series (digest, suite, case_id, metric, conditions) VALUES ('s', 'quick', \
                     'a', 'energy', '[[\"path\",\"avx2\"]]'); \
                     INSERT INTO wattproof_figures (series, record, value, windows) VALUES (1, 1, 0.5, 3);"
                ),
            )
            .unwrap();
        let older = open(&place, &access(false)).err().map(|e| e.to_string()).unwrap_or_default();
        assert!(older.contains(&format!("version {version}")) && older.contains("history migrate"), "{older}");
        let mut store = writing(&place);
        store.add(&[two("new", 9)]).unwrap();
        let records = store.records().unwrap();
        assert_eq!(records.iter().map(|r| r.id.as_str()).collect::<Vec<_>>(), ["new", "old"]);
        assert_eq!(records[1].branch, None, "nobody knows it of an old record");
        assert_eq!(everything(&place).len(), 3, "version {version}");
        let said = bench.sql(&name, "DELETE FROM wattproof_figures").unwrap_err();
        assert!(said.contains("only grows"), "{said}");
    }
}

fn other_and_newer_things_are_left_alone(bench: &Bench) {
    let place = bench.place("future");
    writing(&place).add(&[two("one", 1)]).unwrap();
    let raise = if bench.is_server() {
        "INSERT INTO wattproof_version (version, name) VALUES (99, 'the future')"
    } else {
        "PRAGMA user_version = 99"
    };
    bench.sql("future", raise).unwrap();
    for write in [true, false] {
        let said = open(&place, &access(write)).err().map(|e| e.to_string()).unwrap_or_default();
        assert!(said.contains("version 99") && said.contains("use a newer wattproof"), "{said}");
    }
    bench.sql("future", "INSERT INTO wattproof_series (digest, suite, case_id, metric, conditions) VALUES ('still there', '', '', '', '[]')").unwrap();

    let other = bench.place("other");
    bench.sql("other", "CREATE TABLE wattproof_records (mine INT); INSERT INTO wattproof_records VALUES (7)").unwrap();
    for write in [true, false] {
        let found = open(&other, &access(write)).err().map(|e| e.to_string()).unwrap_or_default();
        assert!(found.contains("is no history"), "{found}");
    }
    bench.sql("other", "INSERT INTO wattproof_records SELECT mine + 1 FROM wattproof_records WHERE mine = 7").unwrap();

    // What cannot be right is said, and is no panic.
    let place = bench.place("damaged");
    writing(&place).add(&[two("one", 1)]).unwrap();
    let row = "INSERT INTO wattproof_series (digest, suite, case_id, metric, conditions) VALUES ('x', 'quick', 'a', 'energy', '{]')";
    bench.sql("damaged", row).unwrap();
    let damaged = reading(&place).series(&Asked::default()).unwrap_err();
    assert!(matches!(damaged, StoreError::Damaged { .. }), "{damaged}");
}

fn a_writer_waits_and_then_says_so(bench: &Bench) {
    let place = bench.place("lock");
    writing(&place).add(&[two("one", 1)]).unwrap();
    let brief = Access { wait: Duration::from_millis(150), ..access(true) };
    let try_it = || {
        let mut store = open(&place, &brief)?;
        store.add(&[two("blocked", 2)])
    };
    let blocked = match &place {
        Place::File(path) => {
            let other = rusqlite::Connection::open(path).unwrap();
            other.execute_batch("BEGIN IMMEDIATE").unwrap();
            let blocked = try_it();
            // A reader is not stopped by a writer.
            assert_eq!(everything(&place).len(), 2);
            other.execute_batch("ROLLBACK").unwrap();
            blocked
        }
        Place::Server(server) => {
            let mut other = ::postgres::Client::connect(server.secret(), ::postgres::NoTls).unwrap();
            let lock = i64::from_be_bytes(*b"wattproo");
            other.execute("SELECT pg_advisory_lock($1)", &[&lock]).unwrap();
            try_it()
        }
    };
    let said = blocked.unwrap_err();
    assert!(matches!(said, StoreError::Locked { .. }) && said.may_pass(), "{said}");
    assert_eq!(everything(&place).len(), 2, "nothing of it was stored");
    assert_eq!(try_it().unwrap(), [Added::New], "it is free again");
}

/// Of two that begin a history at the same moment the second finds what the first has made.
fn two_may_begin_at_once(bench: &Bench) {
    let place = bench.place("begun");
    // Both have found nothing by the time that one of them gets its turn.
    let other = match &place {
        Place::File(_) => None,
        Place::Server(server) => {
            let mut other = ::postgres::Client::connect(server.secret(), ::postgres::NoTls).unwrap();
            other.execute("SELECT pg_advisory_lock($1)", &[&i64::from_be_bytes(*b"wattproo")]).unwrap();
            Some(other)
        }
    };
    std::thread::scope(|scope| {
        let writers = ["one", "two"].map(|id| {
            let place = &place;
            scope.spawn(move || writing(place).add(&[two(id, 1)]).unwrap())
        });
        std::thread::sleep(Duration::from_millis(500));
        drop(other);
        for writer in writers {
            assert_eq!(writer.join().unwrap(), [Added::New]);
        }
    });
    assert_eq!(reading(&place).records().unwrap().len(), 2);
}

fn hostile_texts_are_only_texts(bench: &Bench) {
    let place = bench.place("hostile");
    // Texts with a NUL character never come this far (`Unfit::Text`).
    let hostile = HOSTILE.replace('\0', "");
    let names =
        [hostile.as_str(), "'; DROP TABLE wattproof_records; --", "\u{202e}\u{1b}[31m", "%s\\", "a*b", "\"quoted\""];
    let mut entries = Vec::new();
    for (n, name) in names.iter().enumerate() {
        let mut entry = entry(name, 10, vec![figure(name, "energy", 1.0)]);
        entry.record.commit = Some((*name).to_owned());
        entry.record.suite = (*name).to_owned();
        entry.record.digest = n.to_string();
        entries.push(entry);
    }
    writing(&place).add(&entries).unwrap();
    let mut store = reading(&place);
    for name in names {
        let asked = Asked { case: Some(name.to_owned()), ..Asked::default() };
        let found = store.series(&asked).unwrap();
        assert!(found.iter().any(|s| s.key.case == name && s.points[0].run.record == name), "{name:?}");
    }
    assert_eq!(store.records().unwrap().len(), names.len());
}

/// A figure that was drawn: case, value, error, windows.
type Drawn = (String, f64, Option<f64>, u32);

/// Anything an entry can be comes back as it was.
fn any_entry_comes_back(bench: &Bench) {
    let place = bench.place("any");
    let store = std::cell::RefCell::new(writing(&place));
    let number = std::cell::Cell::new(0i64);
    let text = "[^\u{0}]{0,40}";
    let positive = prop_oneof![Just(f64::MIN_POSITIVE), Just(f64::MAX), 1e-30..1e30f64];
    let figures = prop::collection::vec((text, positive, prop::option::of(0.0..1.0f64), 1u32..), 0..8);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 48,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let property = |(id, commit, figures): (String, Option<String>, Vec<Drawn>)| {
        number.set(number.get() + 1);
        let id = format!("{}-{id}", number.get());
        let one = |(n, (case, value, error, windows)): (usize, Drawn)| {
            let case = format!("{n}-{id}-{case}");
            Figure { value, error, windows, low: error.map(|_| value), ..figure(&case, "time", 1.0) }
        };
        let figures: Vec<Figure> = figures.into_iter().enumerate().map(one).collect();
        let mut given = entry(&id, number.get(), figures);
        given.record.commit = commit;
        let mut store = store.borrow_mut();
        prop_assert_eq!(store.add(std::slice::from_ref(&given)).unwrap(), vec![Added::New]);
        let records = store.records().unwrap();
        prop_assert_eq!(records.iter().find(|r| r.id == id), Some(&given.record));
        for figure in &given.figures {
            // Of the pattern's stars one stands for itself, and may fit others as well.
            let asked = Asked { case: Some(figure.series.case.clone()), ..Asked::default() };
            let found = store.series(&asked).unwrap();
            let found = found.iter().find(|s| s.key == figure.series).expect("its series");
            let point = &found.points[0];
            prop_assert_eq!(
                (point.value.to_bits(), point.error, point.windows),
                (figure.value.to_bits(), figure.error, figure.windows)
            );
        }
        Ok(())
    };
    runner.run(&(text, prop::option::of(text), figures), property).unwrap();
}

/// A file with any bytes changed or cut off is read or refused: no panic, and nothing is written to it.
#[test]
fn a_damaged_file_is_read_or_refused() {
    let bench = Bench::Files(tempfile::tempdir().unwrap());
    let place = bench.place("good");
    writing(&place).add(&(0..20).map(|n| two(&format!("run-{n}"), n)).collect::<Vec<_>>()).unwrap();
    let good = std::fs::read(bench.file("good")).unwrap();
    let (mut refused, mut read) = (0, 0);
    let mut state = 20_261_122_u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % below
    };
    for n in 0..300 {
        let mut bytes = good.clone();
        for _ in 0..=random(20) {
            let at = random(bytes.len());
            bytes[at] = u8::try_from(random(256)).unwrap();
        }
        if n % 3 == 0 {
            bytes.truncate(random(good.len()));
        }
        let path = bench.file(&format!("bad{n}"));
        std::fs::write(&path, &bytes).unwrap();
        let place = Place::File(path.clone());
        let outcome = open(&place, &access(false)).and_then(|mut store| {
            store.records()?;
            store.cases()?;
            store.series(&Asked::default())
        });
        if outcome.is_ok() {
            read += 1
        } else {
            refused += 1
        }
        assert_eq!(std::fs::read(&path).unwrap(), bytes, "reading changed it");
        std::fs::remove_file(&path).unwrap();
    }
    assert!(refused > 50 && read > 20, "{refused} refused, {read} read: neither side was tried");
}

#[test]
fn a_file_of_another_kind_is_left_as_it_is() {
    let bench = Bench::Files(tempfile::tempdir().unwrap());
    let path = bench.file("notes.txt");
    std::fs::write(&path, "my notes, which are longer than the head of a database").unwrap();
    for write in [true, false] {
        let said = open(&Place::File(path.clone()), &access(write)).err().map(|e| e.to_string()).unwrap_or_default();
        assert!(said.contains("it is not an SQLite database"), "{said}");
        let said = open(&Place::File(bench.file(".")), &access(write)).err().map(|e| e.to_string()).unwrap_or_default();
        assert!(said.contains("it is a folder"), "{said}");
    }
    assert!(std::fs::read_to_string(&path).unwrap().starts_with("my notes"));
}

/// Addresses that are refused before anything is sent.
#[test]
fn passwords_and_figures_do_not_cross_networks_in_the_clear() {
    let said = |url: &str| open(&Place::parse(url), &access(true)).err().map(|e| e.to_string()).unwrap_or_default();
    for mode in ["require", "verify-ca", "verify-full"] {
        let said = said(&format!("postgres://u:s3cret@localhost/db?sslmode={mode}"));
        assert!(said.contains(mode) && said.contains("ssh -N -L") && !said.contains("s3cret"), "{said}");
    }
    let far = said("postgres://u:s3cret@192.0.2.1/db");
    assert!(far.contains("another machine") && far.contains("sslmode=disable") && !far.contains("s3cret"), "{far}");
    let odd = said("postgres://u:s3cret@localhost/db?nonsense=s3cret");
    assert!(odd.contains("no address") && !odd.contains("s3cret"), "{odd}");
    let closed = said("postgres://u:s3cret@localhost:1/db");
    assert!(
        closed.contains("cannot be reached") && closed.contains("refused") && !closed.contains("s3cret"),
        "{closed}"
    );
}
