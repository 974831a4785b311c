//! A history in one SQLite file. Write-ahead log: readers and one writer at a time do not stop each other.

use super::migrations::{MIGRATIONS, VERSION};
use super::rows::{self, FigureRow, Runs, SeriesRow};
use super::{Access, Added, Asked, Store, StoreError, fits};
use crate::history::figures::{Entry, RecordEntry};
use crate::history::series::{Run, Series};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Row, Transaction, TransactionBehavior, params};
use std::collections::HashMap;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

/// `application_id` of a history: "Watt".
const APPLICATION: i32 = 0x5761_7474;
/// How every SQLite file begins.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// Between two tries to change the journal, which does not wait by itself.
const PAUSE: Duration = Duration::from_millis(20);

/// An open file.
#[derive(Debug)]
pub(super) struct Sqlite {
    connection: Connection,
    name: String,
    wait: Duration,
}

impl Sqlite {
    pub(super) fn open(path: &Path, access: &Access) -> Result<Self, StoreError> {
        let name = path.display().to_string();
        look_at(path, &name, access)?;
        let said = |error: rusqlite::Error| translate(&name, access.wait, &error);
        let connection = if access.write { to_write(path) } else { to_read(path) }.map_err(said)?;
        connection.busy_timeout(access.wait).map_err(said)?;
        // A file of unknown origin runs nothing of its own.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true).map_err(said)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false).map_err(said)?;
        let mut store = Self { connection, name, wait: access.wait };
        let found = store.found()?;
        match (found, access.write) {
            (None, false) => return Err(StoreError::Absent { store: store.name }),
            (Some(VERSION), false) => {}
            (Some(found), false) => return Err(StoreError::Older { store: store.name, found, known: VERSION }),
            (_, true) => {
                store.keep_a_log(found.is_none())?;
                store.migrate(VERSION)?;
            }
        }
        Ok(store)
    }

    /// Version of the file; `None` for one that holds nothing at all.
    fn found(&self) -> Result<Option<u32>, StoreError> {
        let said = |error: rusqlite::Error| translate(&self.name, self.wait, &error);
        version_of(&self.connection, &self.name).map_err(said)?
    }

    /// Switches to the write-ahead log, for which nobody else may be at work in the file.
    fn keep_a_log(&self, fresh: bool) -> Result<(), StoreError> {
        let said = |error: &rusqlite::Error| translate(&self.name, self.wait, error);
        let mut waited = Duration::ZERO;
        loop {
            let mode = self.connection.pragma_update_and_check(None, "journal_mode", "WAL", |r| r.get::<_, String>(0));
            match mode {
                // Some file systems have no shared memory: SQLite then keeps its own journal, which is safe as well.
                Ok(_) => return Ok(()),
                Err(error) if is_busy(&error) && waited < self.wait => {
                    std::thread::sleep(PAUSE);
                    waited += PAUSE;
                }
                Err(error) if is_busy(&error) || fresh => return Err(said(&error)),
                // A file that cannot be written says so when it is.
                Err(_) => return Ok(()),
            }
        }
    }

    /// Takes the file to `newest`, in one transaction.
    fn migrate(&mut self, newest: u32) -> Result<(), StoreError> {
        let (name, wait) = (self.name.clone(), self.wait);
        let said = |error: rusqlite::Error| translate(&name, wait, &error);
        let found = self.found()?;
        if found == Some(newest) {
            return Ok(());
        }
        let change = self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(said)?;
        // Another process may have done it meanwhile.
        let found = version_of(&change, &name).map_err(said)??.unwrap_or(0);
        for step in MIGRATIONS.iter().filter(|m| m.version > found && m.version <= newest) {
            change.execute_batch(step.sqlite).map_err(|e| StoreError::Failed {
                store: name.clone(),
                reason: format!("version {} ({}): {e}", step.version, step.name),
            })?;
        }
        if found < newest {
            change.pragma_update(None, "application_id", APPLICATION).map_err(said)?;
            change.pragma_update(None, "user_version", newest).map_err(said)?;
        }
        change.commit().map_err(said)
    }

    fn damaged(&self, reason: String) -> StoreError {
        StoreError::Damaged { store: self.name.clone(), reason }
    }

    fn said(&self, error: &rusqlite::Error) -> StoreError {
        translate(&self.name, self.wait, error)
    }
}

impl Store for Sqlite {
    fn name(&self) -> &str {
        &self.name
    }

    fn version(&self) -> u32 {
        VERSION
    }

    fn add(&mut self, entries: &[Entry]) -> Result<Vec<Added>, StoreError> {
        let (name, wait) = (self.name.clone(), self.wait);
        let said = |error: rusqlite::Error| translate(&name, wait, &error);
        let change = self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(said)?;
        let mut series = HashMap::new();
        let mut done = Vec::new();
        for entry in entries {
            let added = rows::compare(&name, entry, digest_of(&change, &entry.record.id).map_err(said)?)?;
            if added == Added::New {
                insert(&change, entry, &mut series).map_err(said)?;
            }
            done.push(added);
        }
        change.commit().map_err(said)?;
        Ok(done)
    }

    fn records(&mut self) -> Result<Vec<RecordEntry>, StoreError> {
        let sql = "SELECT record_id, digest, started_at, started, commit_id, branch, suite, tool, processor, machine, \
                   simulated, cases, void FROM wattproof_records ORDER BY started DESC, record_id DESC";
        let rows: Vec<(RecordEntry, i64, i64)> =
            collect(&self.connection, sql, [], record_row).map_err(|e| self.said(&e))?;
        let whole = |(mut record, cases, void): (RecordEntry, i64, i64)| {
            record.cases = rows::count(cases, "cases")?;
            record.void = rows::count(void, "void cases")?;
            Ok(record)
        };
        rows.into_iter().map(whole).collect::<Result<_, String>>().map_err(|e| self.damaged(e))
    }

    fn cases(&mut self) -> Result<Vec<(String, String)>, StoreError> {
        let sql = "SELECT DISTINCT suite, case_id FROM wattproof_series ORDER BY suite, case_id";
        collect(&self.connection, sql, [], |r| Ok((r.get(0)?, r.get(1)?))).map_err(|e| self.said(&e))
    }

    fn series(&mut self, asked: &Asked) -> Result<Vec<Series>, StoreError> {
        let (name, wait) = (self.name.clone(), self.wait);
        let said = |error: rusqlite::Error| translate(&name, wait, &error);
        let damaged = |reason: String| StoreError::Damaged { store: name.clone(), reason };
        // One transaction: all figures are of one moment.
        let view = self.connection.transaction().map_err(said)?;
        let mut found = Vec::new();
        let mut runs = Runs::default();
        for row in series_rows(&view, asked).map_err(said)? {
            let (id, key) = rows::key(row).map_err(damaged)?;
            let sql = "SELECT record, value, low, high, error, windows FROM wattproof_figures WHERE series = ?1";
            let figures: Vec<FigureRow> =
                collect(&view, sql, [id], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?, r.get(4)?, r.get(5)?)))
                    .map_err(said)?;
            for id in runs.missing(figures.iter()) {
                let run = run_of(&view, id).map_err(said)?;
                run.into_iter().for_each(|run| runs.learn(id, run, asked));
            }
            found.push(runs.series(key, figures).map_err(damaged)?);
        }
        Ok(found)
    }
}

/// Looks at a file without opening it as a database: nothing of another kind is touched.
fn look_at(path: &Path, name: &str, access: &Access) -> Result<(), StoreError> {
    let store = || name.to_owned();
    if path.is_dir() {
        return Err(StoreError::Foreign { store: store(), reason: "it is a folder".to_owned() });
    }
    let mut file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            if !access.write {
                return Err(StoreError::Absent { store: store() });
            }
            let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
            let made = folder.map_or(Ok(()), fs::create_dir_all);
            return made.map_err(|e| StoreError::ReadOnly { store: store(), reason: format!("its folder: {e}") });
        }
        Err(error) => return Err(StoreError::NotOpened { store: store(), reason: error.to_string() }),
    };
    let mut head = Vec::new();
    let read = file.by_ref().take(MAGIC.len() as u64).read_to_end(&mut head);
    read.map_err(|e| StoreError::NotOpened { store: store(), reason: e.to_string() })?;
    // An empty file is what another process leaves while it makes a new store.
    if !head.is_empty() && head != MAGIC {
        return Err(StoreError::Foreign { store: store(), reason: "it is not an SQLite database".to_owned() });
    }
    Ok(())
}

fn to_write(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    Ok(connection)
}

/// In a folder that may not be written no log can be made, and a file without one needs none.
fn to_read(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    let tried = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()));
    let no_log = || {
        let log = path.as_os_str().to_owned().into_encoded_bytes().into_iter().chain(*b"-wal").collect::<Vec<u8>>();
        String::from_utf8(log).is_ok_and(|log| fs::metadata(log).map_or(true, |m| m.len() == 0))
    };
    let no_folder =
        |e: &rusqlite::Error| matches!(e.sqlite_error_code(), Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly));
    match (tried, path.to_str()) {
        (Err(error), Some(text)) if no_folder(&error) && no_log() => {
            let escaped = text.replace('%', "%25").replace('?', "%3f").replace('#', "%23");
            let address = format!("file:{escaped}?immutable=1");
            Connection::open_with_flags(address, flags | OpenFlags::SQLITE_OPEN_URI)
        }
        _ => Ok(connection),
    }
}

/// Version of an open file; `None` for one that holds nothing at all.
fn version_of(connection: &Connection, name: &str) -> rusqlite::Result<Result<Option<u32>, StoreError>> {
    let number = |pragma: &str| connection.pragma_query_value(None, pragma, |r| r.get::<_, i64>(0));
    let (application, version) = (number("application_id")?, number("user_version")?);
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |r| r.get(0))?;
    let store = || name.to_owned();
    Ok(match u32::try_from(version) {
        Ok(0) if application == 0 && tables == 0 => Ok(None),
        Ok(found) if application == i64::from(APPLICATION) && found > VERSION => {
            Err(StoreError::Newer { store: store(), found, known: VERSION })
        }
        Ok(found) if application == i64::from(APPLICATION) && found > 0 => Ok(Some(found)),
        _ => Err(StoreError::Foreign { store: store(), reason: "it is a database of something else".to_owned() }),
    })
}

fn digest_of(change: &Transaction<'_>, record: &str) -> rusqlite::Result<Option<String>> {
    let sql = "SELECT digest FROM wattproof_records WHERE record_id = ?1";
    change.prepare_cached(sql)?.query_row([record], |r| r.get(0)).optional()
}

fn insert(change: &Transaction<'_>, entry: &Entry, series: &mut HashMap<String, i64>) -> rusqlite::Result<()> {
    let r = &entry.record;
    let sql = "INSERT INTO wattproof_records (record_id, digest, started_at, started, commit_id, branch, suite, tool, \
               processor, machine, simulated, cases, void) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, \
               ?13)";
    let values = params![
        r.id,
        r.digest,
        r.started_at,
        r.started,
        r.commit,
        r.branch,
        r.suite,
        r.tool,
        r.processor,
        r.machine,
        r.simulated,
        r.cases,
        r.void
    ];
    change.prepare_cached(sql)?.execute(values)?;
    let record = change.last_insert_rowid();
    let sql = "INSERT INTO wattproof_figures (series, record, value, low, high, error, windows) VALUES \
               (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let mut insert = change.prepare_cached(sql)?;
    for figure in &entry.figures {
        let digest = figure.series.digest();
        let id = match series.get(&digest) {
            Some(id) => *id,
            None => {
                let id = series_id(change, &digest, figure)?;
                series.insert(digest, id);
                id
            }
        };
        insert.execute(params![id, record, figure.value, figure.low, figure.high, figure.error, figure.windows])?;
    }
    Ok(())
}

fn series_id(change: &Transaction<'_>, digest: &str, figure: &crate::history::Figure) -> rusqlite::Result<i64> {
    let mut known = change.prepare_cached("SELECT id FROM wattproof_series WHERE digest = ?1")?;
    if let Some(id) = known.query_row([digest], |r| r.get(0)).optional()? {
        return Ok(id);
    }
    let key = &figure.series;
    let sql = "INSERT INTO wattproof_series (digest, suite, case_id, metric, conditions) VALUES (?1, ?2, ?3, ?4, ?5)";
    let conditions = rows::conditions(key);
    change.prepare_cached(sql)?.execute(params![digest, key.suite, key.case, key.metric, conditions])?;
    Ok(change.last_insert_rowid())
}

/// The series asked for. A case without a star is found by the index.
fn series_rows(view: &Transaction<'_>, asked: &Asked) -> rusqlite::Result<Vec<SeriesRow>> {
    let columns = "SELECT id, suite, case_id, metric, conditions FROM wattproof_series";
    let row = |r: &Row<'_>| Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?, r.get(4)?));
    let mut found: Vec<SeriesRow> = match asked.case.as_deref().filter(|c| !c.contains('*')) {
        Some(case) => collect(view, &format!("{columns} WHERE case_id = ?1 ORDER BY id"), [case], row)?,
        None => collect(view, &format!("{columns} ORDER BY id"), [], row)?,
    };
    found.retain(|(_, suite, case, metric, _)| {
        asked.suite.as_ref().is_none_or(|s| s == suite)
            && asked.case.as_ref().is_none_or(|pattern| fits(pattern, case))
            && (asked.metrics.is_empty() || asked.metrics.iter().any(|m| m.name() == metric))
    });
    Ok(found)
}

fn run_of(view: &Transaction<'_>, id: i64) -> rusqlite::Result<Option<Run>> {
    let sql = "SELECT started, started_at, record_id, commit_id, branch FROM wattproof_records WHERE id = ?1";
    let run = |r: &Row<'_>| {
        let (started, started_at, record) = (r.get(0)?, r.get(1)?, r.get(2)?);
        Ok(Run { started, started_at, record, commit: r.get(3)?, branch: r.get(4)? })
    };
    view.prepare_cached(sql)?.query_row([id], run).optional()
}

/// Cases and void ones as they stand: whoever reads them checks that they are counts.
fn record_row(r: &Row<'_>) -> rusqlite::Result<(RecordEntry, i64, i64)> {
    let record = RecordEntry {
        id: r.get(0)?,
        digest: r.get(1)?,
        started_at: r.get(2)?,
        started: r.get(3)?,
        commit: r.get(4)?,
        branch: r.get(5)?,
        suite: r.get(6)?,
        tool: r.get(7)?,
        processor: r.get(8)?,
        machine: r.get(9)?,
        simulated: r.get(10)?,
        cases: 0,
        void: 0,
    };
    Ok((record, r.get(11)?, r.get(12)?))
}

fn collect<T>(
    connection: &Connection,
    sql: &str,
    values: impl rusqlite::Params,
    row: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    connection.prepare_cached(sql)?.query_map(values, row)?.collect()
}

fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

/// What SQLite says, in the words of a store.
fn translate(name: &str, wait: Duration, error: &rusqlite::Error) -> StoreError {
    let (store, reason) = (name.to_owned(), error.to_string());
    match error {
        _ if is_busy(error) => StoreError::Locked { store, waited: wait.as_secs_f64() },
        rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::IntegralValueOutOfRange(..)
        | rusqlite::Error::Utf8Error(..)
        | rusqlite::Error::InvalidColumnType(..) => StoreError::Damaged { store, reason },
        _ => match error.sqlite_error_code() {
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => StoreError::ReadOnly { store, reason },
            Some(ErrorCode::CannotOpen) => StoreError::NotOpened { store, reason },
            Some(ErrorCode::NotADatabase) => {
                StoreError::Foreign { store, reason: "it is not an SQLite database".to_owned() }
            }
            Some(ErrorCode::DatabaseCorrupt) => StoreError::Damaged { store, reason },
            _ => StoreError::Failed { store, reason },
        },
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A file at an older version, as the wattproof of that version left it.
    pub(in crate::history::store) fn at_version(path: &Path, version: u32) -> Connection {
        let access = Access { write: true, wait: Duration::from_secs(1), password: None };
        look_at(path, "store", &access).unwrap();
        let mut store = Sqlite { connection: to_write(path).unwrap(), name: "store".into(), wait: access.wait };
        store.migrate(version).unwrap();
        store.connection
    }
}
