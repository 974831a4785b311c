//! The schema, version by version, in the dialects of both stores. A number is permanent: what a version did is never
//! edited, the next one changes it.

/// One step of the schema.
#[derive(Debug)]
pub(super) struct Migration {
    pub(super) version: u32,
    pub(super) name: &'static str,
    pub(super) sqlite: &'static str,
    pub(super) postgres: &'static str,
}

/// Newest version.
pub(super) const VERSION: u32 = 3;

/// Every step, in order; the n-th makes version n.
pub(super) const MIGRATIONS: &[Migration] = &[
    Migration {
        version: 1,
        name: "records, series and figures",
        sqlite: "
CREATE TABLE wattproof_records (
  id INTEGER PRIMARY KEY,
  record_id TEXT NOT NULL UNIQUE,
  digest TEXT NOT NULL,
  started_at TEXT NOT NULL,
  started INTEGER NOT NULL,
  commit_id TEXT,
  suite TEXT NOT NULL,
  tool TEXT NOT NULL,
  processor TEXT,
  machine TEXT,
  simulated INTEGER NOT NULL CHECK (simulated IN (0, 1)),
  cases INTEGER NOT NULL CHECK (cases >= 0),
  void INTEGER NOT NULL CHECK (void >= 0),
  added_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ', 'now'))
) STRICT;
CREATE TABLE wattproof_series (
  id INTEGER PRIMARY KEY,
  digest TEXT NOT NULL UNIQUE,
  suite TEXT NOT NULL,
  case_id TEXT NOT NULL,
  metric TEXT NOT NULL,
  conditions TEXT NOT NULL
) STRICT;
-- Clustered by series: the figures of a chart lie side by side.
CREATE TABLE wattproof_figures (
  series INTEGER NOT NULL REFERENCES wattproof_series (id),
  record INTEGER NOT NULL REFERENCES wattproof_records (id),
  value REAL NOT NULL CHECK (value > 0),
  low REAL,
  high REAL,
  error REAL,
  windows INTEGER NOT NULL CHECK (windows > 0),
  PRIMARY KEY (series, record)
) STRICT, WITHOUT ROWID;",
        postgres: "
CREATE TABLE wattproof_records (
  id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  record_id TEXT NOT NULL UNIQUE,
  digest TEXT NOT NULL,
  started_at TEXT NOT NULL,
  started BIGINT NOT NULL,
  commit_id TEXT,
  suite TEXT NOT NULL,
  tool TEXT NOT NULL,
  processor TEXT,
  machine TEXT,
  simulated BOOLEAN NOT NULL,
  cases BIGINT NOT NULL CHECK (cases >= 0),
  void BIGINT NOT NULL CHECK (void >= 0),
  added_at TIMESTAMPTZ NOT NULL DEFAULT now()
);
CREATE TABLE wattproof_series (
  id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  digest TEXT NOT NULL UNIQUE,
  suite TEXT NOT NULL,
  case_id TEXT NOT NULL,
  metric TEXT NOT NULL,
  conditions TEXT NOT NULL
);
-- The key carries the figures: those of a chart are read from it alone, side by side.
CREATE TABLE wattproof_figures (
  series BIGINT NOT NULL REFERENCES wattproof_series (id),
  record BIGINT NOT NULL REFERENCES wattproof_records (id),
  value DOUBLE PRECISION NOT NULL CHECK (value > 0 AND value < 'infinity'),
  low DOUBLE PRECISION,
  high DOUBLE PRECISION,
  error DOUBLE PRECISION,
  windows BIGINT NOT NULL CHECK (windows > 0),
  PRIMARY KEY (series, record) INCLUDE (value, low, high, error, windows)
);",
    },
    Migration {
        version: 2,
        name: "a history only grows",
        // A BEFORE INSERT trigger as well: INSERT OR REPLACE deletes without asking the others.
        sqlite: "
CREATE TRIGGER wattproof_records_update BEFORE UPDATE ON wattproof_records
  BEGIN SELECT RAISE(ABORT, 'a history only grows: no row is changed'); END;
CREATE TRIGGER wattproof_records_delete BEFORE DELETE ON wattproof_records
  BEGIN SELECT RAISE(ABORT, 'a history only grows: no row is deleted'); END;
CREATE TRIGGER wattproof_records_replace BEFORE INSERT ON wattproof_records
  WHEN EXISTS (SELECT 1 FROM wattproof_records WHERE record_id = NEW.record_id OR id = NEW.id)
  BEGIN SELECT RAISE(ABORT, 'a history only grows: no row is replaced'); END;
CREATE TRIGGER wattproof_series_update BEFORE UPDATE ON wattproof_series
  BEGIN SELECT RAISE(ABORT, 'a history only grows: no row is changed'); END;
CREATE TRIGGER wattproof_series_delete BEFORE DELETE ON wattproof_series
  BEGIN SELECT RAISE(ABORT, 'a history only grows: no row is deleted'); END;
CREATE TRIGGER wattproof_series_replace BEFORE INSERT ON wattproof_series
  WHEN EXISTS (SELECT 1 FROM wattproof_series WHERE digest = NEW.digest OR id = NEW.id)
  BEGIN SELECT RAISE(ABORT, 'a history only grows: no row is replaced'); END;
CREATE TRIGGER wattproof_figures_update BEFORE UPDATE ON wattproof_figures
  BEGIN SELECT RAISE(ABORT, 'a history only grows: no row is changed'); END;
CREATE TRIGGER wattproof_figures_delete BEFORE DELETE ON wattproof_figures
  BEGIN SELECT RAISE(ABORT, 'a history only grows: no row is deleted'); END;
CREATE TRIGGER wattproof_figures_replace BEFORE INSERT ON wattproof_figures
  WHEN EXISTS (SELECT 1 FROM wattproof_figures WHERE series = NEW.series AND record = NEW.record)
  BEGIN SELECT RAISE(ABORT, 'a history only grows: no row is replaced'); END;",
        postgres: "
CREATE FUNCTION wattproof_only_grows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'a history only grows: no row is changed or deleted';
END
$$;
CREATE TRIGGER wattproof_records_grow BEFORE UPDATE OR DELETE OR TRUNCATE ON wattproof_records
  FOR EACH STATEMENT EXECUTE FUNCTION wattproof_only_grows();
CREATE TRIGGER wattproof_series_grow BEFORE UPDATE OR DELETE OR TRUNCATE ON wattproof_series
  FOR EACH STATEMENT EXECUTE FUNCTION wattproof_only_grows();
CREATE TRIGGER wattproof_figures_grow BEFORE UPDATE OR DELETE OR TRUNCATE ON wattproof_figures
  FOR EACH STATEMENT EXECUTE FUNCTION wattproof_only_grows();",
    },
    Migration {
        version: 3,
        name: "branches, and an index of cases",
        sqlite: "
ALTER TABLE wattproof_records ADD COLUMN branch TEXT;
CREATE INDEX wattproof_series_case ON wattproof_series (case_id, metric);",
        postgres: "
ALTER TABLE wattproof_records ADD COLUMN branch TEXT;
CREATE INDEX wattproof_series_case ON wattproof_series (case_id, metric);",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_rise_by_one_and_end_at_the_newest() {
        let numbers: Vec<u32> = MIGRATIONS.iter().map(|m| m.version).collect();
        assert_eq!(numbers, (1..=VERSION).collect::<Vec<_>>());
        assert!(MIGRATIONS.iter().all(|m| !m.name.is_empty() && m.sqlite != m.postgres || m.version > 2));
    }
}
