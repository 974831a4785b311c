//! A history on a PostgreSQL server, for teams: the same tables, in the schema that the connection uses.
//!
//! Writers take turns by an advisory lock, so a record is looked for and stored in one step.

use super::migrations::{MIGRATIONS, VERSION};
use super::rows::{self, FigureRow, Runs, SeriesRow};
use super::url::{Refused, Server};
use super::{Access, Added, Asked, Store, StoreError, fits};
use crate::history::figures::{Entry, RecordEntry};
use crate::history::series::{Run, Series};
use postgres::config::Host;
use postgres::error::SqlState;
use postgres::{Client, Config, Error, NoTls, Row, Transaction};
use std::collections::HashMap;
use std::error::Error as _;
use std::time::Duration;

/// Number of the advisory lock that writers take: "wattproo", for it is shared by a whole server's database.
const LOCK: i64 = i64::from_be_bytes(*b"wattproo");

/// An open connection.
pub(super) struct Postgres {
    client: Client,
    name: String,
    wait: Duration,
}

impl Postgres {
    pub(super) fn open(server: &Server, access: &Access) -> Result<Self, StoreError> {
        let name = server.to_string();
        let config = settings(server, access)?;
        let said = |error: Error| translate(&name, access.wait, &error);
        let mut client = config.connect(NoTls).map_err(said)?;
        // Of locks of rows and of the turn alike; notices are none of ours.
        let wait = access.wait.as_millis().clamp(1, 2_000_000_000);
        let begin = format!("SET lock_timeout = {wait}; SET client_min_messages = warning;");
        client.batch_execute(&begin).map_err(said)?;
        let mut store = Self { client, name, wait: access.wait };
        let found = store.found()?;
        match (found, access.write) {
            (None, false) => return Err(StoreError::Absent { store: store.name }),
            (Some(VERSION), _) => {}
            (Some(found), false) => return Err(StoreError::Older { store: store.name, found, known: VERSION }),
            (_, true) => store.migrate(VERSION)?,
        }
        Ok(store)
    }

    fn found(&mut self) -> Result<Option<u32>, StoreError> {
        let (name, wait) = (self.name.clone(), self.wait);
        let said = |error: Error| translate(&name, wait, &error);
        let mut look = self.client.transaction().map_err(said)?;
        version_of(&mut look, &name).map_err(said)?
    }

    /// Takes the tables to `newest`, in one transaction.
    fn migrate(&mut self, newest: u32) -> Result<(), StoreError> {
        let (name, wait) = (self.name.clone(), self.wait);
        let said = |error: Error| translate(&name, wait, &error);
        let mut change = self.client.transaction().map_err(said)?;
        take_turn(&mut change).map_err(said)?;
        // Another process may have done it meanwhile.
        let found = version_of(&mut change, &name).map_err(said)??.unwrap_or(0);
        if found == 0 {
            let table = "CREATE TABLE wattproof_version (version BIGINT PRIMARY KEY, name TEXT NOT NULL, made_at \
                         TIMESTAMPTZ NOT NULL DEFAULT now())";
            change.batch_execute(table).map_err(said)?;
        }
        for step in MIGRATIONS.iter().filter(|m| m.version > found && m.version <= newest) {
            change.batch_execute(step.postgres).map_err(said)?;
            let row = "INSERT INTO wattproof_version (version, name) VALUES ($1, $2)";
            change.execute(row, &[&i64::from(step.version), &step.name]).map_err(said)?;
        }
        change.commit().map_err(said)
    }

    fn damaged(&self, reason: String) -> StoreError {
        StoreError::Damaged { store: self.name.clone(), reason }
    }
}

impl Store for Postgres {
    fn name(&self) -> &str {
        &self.name
    }

    fn version(&self) -> u32 {
        VERSION
    }

    fn add(&mut self, entries: &[Entry]) -> Result<Vec<Added>, StoreError> {
        let (name, wait) = (self.name.clone(), self.wait);
        let said = |error: Error| translate(&name, wait, &error);
        let mut change = self.client.transaction().map_err(said)?;
        take_turn(&mut change).map_err(said)?;
        let mut series = HashMap::new();
        let mut done = Vec::new();
        for entry in entries {
            let sql = "SELECT digest FROM wattproof_records WHERE record_id = $1";
            let known = change.query_opt(sql, &[&entry.record.id]).map_err(said)?;
            let stored = known.map(|r| r.try_get::<_, String>(0)).transpose().map_err(said)?;
            let added = rows::compare(&name, entry, stored)?;
            if added == Added::New {
                insert(&mut change, entry, &mut series).map_err(said)?;
            }
            done.push(added);
        }
        change.commit().map_err(said)?;
        Ok(done)
    }

    fn records(&mut self) -> Result<Vec<RecordEntry>, StoreError> {
        let sql = "SELECT record_id, digest, started_at, started, commit_id, branch, suite, tool, processor, machine, \
                   simulated, cases, void FROM wattproof_records ORDER BY started DESC, record_id COLLATE \"C\" DESC";
        let found = self.client.query(sql, &[]).map_err(|e| translate(&self.name, self.wait, &e))?;
        let mut records = Vec::with_capacity(found.len());
        for row in &found {
            let (mut record, cases, void) = record_row(row).map_err(|e| translate(&self.name, self.wait, &e))?;
            record.cases = rows::count(cases, "cases").map_err(|e| self.damaged(e))?;
            record.void = rows::count(void, "void cases").map_err(|e| self.damaged(e))?;
            records.push(record);
        }
        Ok(records)
    }

    fn cases(&mut self) -> Result<Vec<(String, String)>, StoreError> {
        let sql = "SELECT DISTINCT suite COLLATE \"C\", case_id COLLATE \"C\" FROM wattproof_series ORDER BY 1, 2";
        let pair = |row: &Row| Ok((row.try_get(0)?, row.try_get(1)?));
        let found = self.client.query(sql, &[]).and_then(|rows| rows.iter().map(pair).collect());
        found.map_err(|e| translate(&self.name, self.wait, &e))
    }

    fn series(&mut self, asked: &Asked) -> Result<Vec<Series>, StoreError> {
        let (name, wait) = (self.name.clone(), self.wait);
        let said = |error: Error| translate(&name, wait, &error);
        let damaged = |reason: String| StoreError::Damaged { store: name.clone(), reason };
        let view = self.client.build_transaction().read_only(true);
        let mut view = view.isolation_level(postgres::IsolationLevel::RepeatableRead).start().map_err(said)?;
        let keys: Vec<_> = series_rows(&mut view, asked).map_err(said)?.into_iter().map(rows::key).collect();
        let keys = keys.into_iter().collect::<Result<Vec<_>, String>>().map_err(damaged)?;
        let ids: Vec<i64> = keys.iter().map(|(id, _)| *id).collect();
        let mut figures = figure_rows(&mut view, &ids).map_err(said)?;
        let mut runs = Runs::default();
        let missing = runs.missing(figures.values().flatten());
        for (id, run) in run_rows(&mut view, &missing).map_err(said)? {
            runs.learn(id, run, asked);
        }
        let whole = |(id, key)| runs.series(key, figures.remove(&id).unwrap_or_default());
        keys.into_iter().map(whole).collect::<Result<_, String>>().map_err(damaged)
    }
}

/// The address as the client takes it, unless figures and passwords would cross a network in the clear.
fn settings(server: &Server, access: &Access) -> Result<Config, StoreError> {
    let mode = server.ssl_mode().unwrap_or("prefer");
    if matches!(mode, "require" | "verify-ca" | "verify-full") {
        return Err(Refused::Tls { server: server.to_string(), mode: mode.to_owned() }.into());
    }
    // What the parser says may quote the address, and with it the password.
    let malformed = |_| Refused::Malformed {
        server: server.to_string(),
        reason: "write postgres://USER@HOST:PORT/DATABASE, special characters as %XX".to_owned(),
    };
    let mut config: Config = server.secret().parse().map_err(malformed)?;
    let far = config.get_hosts().iter().find_map(|host| match host {
        Host::Tcp(name) if !is_here(name) => Some(name.clone()),
        _ => None,
    });
    if let (Some(host), true) = (far, mode != "disable") {
        return Err(Refused::InTheClear { server: server.to_string(), host }.into());
    }
    config.ssl_mode(postgres::config::SslMode::Disable);
    config.application_name("wattproof");
    config.connect_timeout(access.wait.max(Duration::from_secs(1)));
    if let (None, Some(password)) = (config.get_password(), &access.password) {
        config.password(password);
    }
    Ok(config)
}

fn is_here(host: &str) -> bool {
    let host = host.trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Version of the tables; `None` where there are none.
fn version_of(look: &mut Transaction<'_>, name: &str) -> Result<Result<Option<u32>, StoreError>, Error> {
    // Opening the catalogue makes the server drop what it remembers of names: whoever waited for another process to
    // make the tables would else be told that they are still missing.
    let sql = "SELECT EXISTS (SELECT FROM pg_class WHERE oid = to_regclass('wattproof_version')), \
               EXISTS (SELECT FROM pg_class WHERE oid = to_regclass('wattproof_records'))";
    let row = look.query_one(sql, &[])?;
    let foreign = |reason: &str| Err(StoreError::Foreign { store: name.to_owned(), reason: reason.to_owned() });
    match (row.try_get(0)?, row.try_get(1)?) {
        (false, false) => return Ok(Ok(None)),
        (true, true) => {}
        (true, false) | (false, true) => return Ok(foreign("it has a part of the tables of one")),
    }
    let newest: Option<i64> = look.query_one("SELECT max(version) FROM wattproof_version", &[])?.try_get(0)?;
    Ok(match newest.map(u32::try_from) {
        Some(Ok(found)) if found > VERSION => Err(StoreError::Newer { store: name.to_owned(), found, known: VERSION }),
        Some(Ok(found)) if found > 0 => Ok(Some(found)),
        _ => foreign("its table wattproof_version names no version"),
    })
}

/// Until the end of the transaction nobody else writes.
fn take_turn(change: &mut Transaction<'_>) -> Result<(), Error> {
    change.execute("SELECT pg_advisory_xact_lock($1)", &[&LOCK]).map(|_| ())
}

fn insert(change: &mut Transaction<'_>, entry: &Entry, series: &mut HashMap<String, i64>) -> Result<(), Error> {
    let r = &entry.record;
    let sql = "INSERT INTO wattproof_records (record_id, digest, started_at, started, commit_id, branch, suite, tool, \
               processor, machine, simulated, cases, void) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, \
               $13) RETURNING id";
    let (cases, void) = (i64::from(r.cases), i64::from(r.void));
    let row = change.query_one(
        sql,
        &[
            &r.id,
            &r.digest,
            &r.started_at,
            &r.started,
            &r.commit,
            &r.branch,
            &r.suite,
            &r.tool,
            &r.processor,
            &r.machine,
            &r.simulated,
            &cases,
            &void,
        ],
    )?;
    let record: i64 = row.try_get(0)?;
    let mut ids = Vec::with_capacity(entry.figures.len());
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
        ids.push(id);
    }
    // All figures of a record in one round.
    let real = |value: &dyn Fn(&crate::history::Figure) -> Option<f64>| -> Vec<Option<f64>> {
        entry.figures.iter().map(value).collect()
    };
    let windows: Vec<i64> = entry.figures.iter().map(|f| i64::from(f.windows)).collect();
    let sql = "INSERT INTO wattproof_figures (series, record, value, low, high, error, windows) SELECT s, $2, v, l, h, \
               e, w FROM unnest($1::bigint[], $3::float8[], $4::float8[], $5::float8[], $6::float8[], $7::bigint[]) \
               AS t (s, v, l, h, e, w)";
    let (value, low, high) = (real(&|f| Some(f.value)), real(&|f| f.low), real(&|f| f.high));
    change.execute(sql, &[&ids, &record, &value, &low, &high, &real(&|f| f.error), &windows])?;
    Ok(())
}

fn series_id(change: &mut Transaction<'_>, digest: &str, figure: &crate::history::Figure) -> Result<i64, Error> {
    if let Some(row) = change.query_opt("SELECT id FROM wattproof_series WHERE digest = $1", &[&digest])? {
        return row.try_get(0);
    }
    let key = &figure.series;
    let sql = "INSERT INTO wattproof_series (digest, suite, case_id, metric, conditions) VALUES ($1, $2, $3, $4, $5) \
               RETURNING id";
    change.query_one(sql, &[&digest, &key.suite, &key.case, &key.metric, &rows::conditions(key)])?.try_get(0)
}

/// The series asked for. A case without a star is found by the index.
fn series_rows(view: &mut Transaction<'_>, asked: &Asked) -> Result<Vec<SeriesRow>, Error> {
    let columns = "SELECT id, suite, case_id, metric, conditions FROM wattproof_series";
    let found = match asked.case.as_deref().filter(|c| !c.contains('*')) {
        Some(case) => view.query(&format!("{columns} WHERE case_id = $1 ORDER BY id"), &[&case])?,
        None => view.query(&format!("{columns} ORDER BY id"), &[])?,
    };
    let row = |r: &Row| Ok((r.try_get(0)?, r.try_get(1)?, r.try_get(2)?, r.try_get(3)?, r.try_get(4)?));
    let mut found: Vec<SeriesRow> = found.iter().map(row).collect::<Result<_, Error>>()?;
    found.retain(|(_, suite, case, metric, _)| {
        asked.suite.as_ref().is_none_or(|s| s == suite)
            && asked.case.as_ref().is_none_or(|pattern| fits(pattern, case))
            && (asked.metrics.is_empty() || asked.metrics.iter().any(|m| m.name() == metric))
    });
    Ok(found)
}

/// Figures by series, in the order of their records.
fn figure_rows(view: &mut Transaction<'_>, ids: &[i64]) -> Result<HashMap<i64, Vec<FigureRow>>, Error> {
    let sql = "SELECT series, record, value, low, high, error, windows FROM wattproof_figures WHERE series = ANY($1) \
               ORDER BY series, record";
    let mut figures: HashMap<i64, Vec<FigureRow>> = HashMap::new();
    for r in view.query(sql, &[&ids])? {
        let row = (r.try_get(1)?, r.try_get(2)?, r.try_get(3)?, r.try_get(4)?, r.try_get(5)?, r.try_get(6)?);
        figures.entry(r.try_get(0)?).or_default().push(row);
    }
    Ok(figures)
}

fn run_rows(view: &mut Transaction<'_>, ids: &[i64]) -> Result<Vec<(i64, Run)>, Error> {
    let sql = "SELECT id, started, started_at, record_id, commit_id, branch FROM wattproof_records WHERE id = ANY($1)";
    let run = |r: &Row| {
        let (started, started_at, record) = (r.try_get(1)?, r.try_get(2)?, r.try_get(3)?);
        Ok((r.try_get(0)?, Run { started, started_at, record, commit: r.try_get(4)?, branch: r.try_get(5)? }))
    };
    view.query(sql, &[&ids])?.iter().map(run).collect()
}

/// Cases and void ones as they stand: whoever reads them checks that they are counts.
fn record_row(r: &Row) -> Result<(RecordEntry, i64, i64), Error> {
    let record = RecordEntry {
        id: r.try_get(0)?,
        digest: r.try_get(1)?,
        started_at: r.try_get(2)?,
        started: r.try_get(3)?,
        commit: r.try_get(4)?,
        branch: r.try_get(5)?,
        suite: r.try_get(6)?,
        tool: r.try_get(7)?,
        processor: r.try_get(8)?,
        machine: r.try_get(9)?,
        simulated: r.try_get(10)?,
        cases: 0,
        void: 0,
    };
    Ok((record, r.try_get(11)?, r.try_get(12)?))
}

/// What the client or the server says, in the words of a store.
fn translate(name: &str, wait: Duration, error: &Error) -> StoreError {
    let store = name.to_owned();
    let Some(said) = error.as_db_error() else {
        let cause = error.source().map(|s| format!(": {s}")).unwrap_or_default();
        let text = error.to_string();
        let reason = format!("{text}{cause}");
        return match text.as_str() {
            t if t.starts_with("error deserializing") => StoreError::Damaged { store, reason },
            "invalid configuration" if cause.contains("password") => StoreError::NotOpened {
                store,
                reason: "the server asks for a password; set PGPASSWORD, or write it into the address".to_owned(),
            },
            t if t.starts_with("error connecting") || t.starts_with("timeout") || error.is_closed() => {
                StoreError::Unreachable { store, reason }
            }
            _ => StoreError::Failed { store, reason },
        };
    };
    let reason = crate::gate::inert(said.message());
    match said.code() {
        code if *code == SqlState::LOCK_NOT_AVAILABLE => StoreError::Locked { store, waited: wait.as_secs_f64() },
        code if *code == SqlState::INSUFFICIENT_PRIVILEGE || *code == SqlState::READ_ONLY_SQL_TRANSACTION => {
            StoreError::ReadOnly { store, reason }
        }
        code if *code == SqlState::INVALID_PASSWORD
            || *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION
            || *code == SqlState::INVALID_CATALOG_NAME =>
        {
            StoreError::NotOpened { store, reason }
        }
        code if *code == SqlState::TOO_MANY_CONNECTIONS || *code == SqlState::CANNOT_CONNECT_NOW => {
            StoreError::Unreachable { store, reason }
        }
        _ => StoreError::Failed { store, reason },
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Tables at an older version, as the wattproof of that version left them.
    pub(in crate::history::store) fn at_version(server: &Server, access: &Access, version: u32) -> Client {
        let client = settings(server, access).unwrap().connect(NoTls).unwrap();
        let mut store = Postgres { client, name: "store".into(), wait: access.wait };
        store.migrate(version).unwrap();
        store.client
    }
}
