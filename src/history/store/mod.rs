//! Stores of a history: one SQLite file, or a PostgreSQL server. They only grow, and each record is in them once.
//!
//! A store is opened for reading or for writing. Writing brings it up to the newest version in one transaction;
//! reading never changes it. What a newer wattproof wrote is refused, and so is what is no history.

#[cfg(feature = "history")]
mod migrations;
#[cfg(feature = "history")]
mod postgres;
#[cfg(feature = "history")]
mod rows;
#[cfg(feature = "history")]
mod sqlite;
#[cfg(test)]
#[cfg(feature = "history")]
mod tests;
mod url;

pub use url::{Place, Refused};

use super::figures::{Entry, RecordEntry};
use super::series::Series;
use crate::gate::Metric;
use std::time::Duration;

/// What a history can be asked and told. One file a kind of store.
pub trait Store {
    /// Where it lies, for people; never a password.
    fn name(&self) -> &str;

    /// Version of its schema.
    fn version(&self) -> u32;

    /// Adds all records or none, in one transaction. What became of each, in their order.
    ///
    /// # Errors
    /// [`StoreError`]; nothing is stored then.
    fn add(&mut self, entries: &[Entry]) -> Result<Vec<Added>, StoreError>;

    /// Every record, the newest run first.
    ///
    /// # Errors
    /// [`StoreError`].
    fn records(&mut self) -> Result<Vec<RecordEntry>, StoreError>;

    /// Suite and id of every case, sorted.
    ///
    /// # Errors
    /// [`StoreError`].
    fn cases(&mut self) -> Result<Vec<(String, String)>, StoreError>;

    /// The series asked for, with all their figures.
    ///
    /// # Errors
    /// [`StoreError`].
    fn series(&mut self, asked: &Asked) -> Result<Vec<Series>, StoreError>;
}

/// Which series.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Asked {
    /// Suite id; `None` for all.
    pub suite: Option<String>,
    /// Case id, in which `*` stands for anything; `None` for all.
    pub case: Option<String>,
    /// Metrics; empty for all.
    pub metrics: Vec<Metric>,
    /// Branch; `None` for all, and for runs of which it is not known.
    pub branch: Option<String>,
}

/// What became of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Added {
    /// It is new.
    New,
    /// The same bytes were there already: nothing was stored.
    Known,
}

/// How a store is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// Whether anything will be added: the store is made, or brought up to date, where it has to be.
    pub write: bool,
    /// How long another process may hold it.
    pub wait: Duration,
    /// Password for a server, where its address has none.
    pub password: Option<String>,
}

/// A store that does not do what was asked. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The address says something that is not done.
    #[error(transparent)]
    Address(#[from] Refused),
    /// This program was built without stores.
    #[error(
        "{store}: this wattproof was built without the feature `history`, so it reads and writes no store; build it \
         with the default features"
    )]
    NotBuilt {
        /// Where it lies.
        store: String,
    },
    /// There is nothing.
    #[error("{store} holds no history yet; `wattproof history add RECORD` makes one")]
    Absent {
        /// Where it was looked for.
        store: String,
    },
    /// There is something else.
    #[error("{store} is no history: {reason}; it was left as it is")]
    Foreign {
        /// Where it lies.
        store: String,
        /// What it is.
        reason: String,
    },
    /// A newer program wrote it.
    #[error(
        "{store} has history version {found}, and this wattproof knows up to {known}; use a newer wattproof, or \
         another --store (it was left as it is)"
    )]
    Newer {
        /// Where it lies.
        store: String,
        /// Its version.
        found: u32,
        /// The newest known here.
        known: u32,
    },
    /// An older program wrote it, and reading changes nothing.
    #[error(
        "{store} has history version {found}, and this wattproof reads {known}; `wattproof history migrate` brings it up to date"
    )]
    Older {
        /// Where it lies.
        store: String,
        /// Its version.
        found: u32,
        /// What is read here.
        known: u32,
    },
    /// Another process holds it.
    #[error(
        "{store} is locked: another process held it for more than {waited} s; try again, or wait longer with --wait"
    )]
    Locked {
        /// Where it lies.
        store: String,
        /// Seconds waited.
        waited: f64,
    },
    /// The same id with other bytes.
    #[error(
        "{store} holds the record {record} with other bytes: its digest is {stored}, that of the one given is \
         {given}; one of the two was changed after its run, and nothing was stored"
    )]
    Conflict {
        /// Where it lies.
        store: String,
        /// Record id.
        record: String,
        /// Digest in the store.
        stored: String,
        /// Digest of the record given.
        given: String,
    },
    /// It may not be written.
    #[error("{store} cannot be written: {reason}")]
    ReadOnly {
        /// Where it lies.
        store: String,
        /// Why.
        reason: String,
    },
    /// It cannot be opened, and trying again will not help.
    #[error("{store} cannot be opened: {reason}")]
    NotOpened {
        /// Where it lies.
        store: String,
        /// Why.
        reason: String,
    },
    /// A server does not answer.
    #[error("{store} cannot be reached: {reason}")]
    Unreachable {
        /// Where it lies.
        store: String,
        /// Why.
        reason: String,
    },
    /// What is in it cannot be right.
    #[error("{store} is damaged: {reason}; go back to a copy of it")]
    Damaged {
        /// Where it lies.
        store: String,
        /// What is wrong.
        reason: String,
    },
    /// Anything else that the store said.
    #[error("{store}: {reason}")]
    Failed {
        /// Where it lies.
        store: String,
        /// What it said.
        reason: String,
    },
}

impl StoreError {
    /// Whether the machine or a server is the reason, so that the same command may succeed later.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Locked { .. } | Self::Unreachable { .. } | Self::Failed { .. })
    }
}

/// Opens the store at `place`.
///
/// # Errors
/// [`StoreError`]; nothing was changed then, unless a new store was made.
#[cfg(feature = "history")]
pub fn open(place: &Place, access: &Access) -> Result<Box<dyn Store>, StoreError> {
    Ok(match place {
        Place::File(path) => Box::new(sqlite::Sqlite::open(path, access)?),
        Place::Server(server) => Box::new(postgres::Postgres::open(server, access)?),
    })
}

/// Says that this program has no stores.
///
/// # Errors
/// Always [`StoreError::NotBuilt`].
#[cfg(not(feature = "history"))]
pub fn open(place: &Place, _: &Access) -> Result<Box<dyn Store>, StoreError> {
    Err(StoreError::NotBuilt { store: place.to_string() })
}

/// Newest version of the schema.
#[cfg(feature = "history")]
pub const VERSION: u32 = migrations::VERSION;

/// Whether `pattern`, in which `*` stands for any text, fits all of `text`. Linear in memory, and at worst the product
/// of both lengths in time.
#[must_use]
pub fn fits(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t, mut star) = (0, 0, None);
    while t < text.len() {
        if pattern.get(p) == Some(&'*') {
            star = Some((p, t));
            p += 1;
        } else if pattern.get(p) == Some(&text[t]) {
            (p, t) = (p + 1, t + 1);
        } else if let Some((at, from)) = star {
            // What the last star stands for grows by one character.
            star = Some((at, from + 1));
            (p, t) = (at + 1, from + 1);
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod pattern_tests {
    use super::fits;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, text) in [("gemm*", "gemm-f32"), ("*", ""), ("*-t2", "a-t2-t2"), ("a*b*c", "aXbYc"), ("x", "x")] {
            assert!(fits(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("gemm", "gemm-f32"), ("*-t2", "a-t22"), ("", "x"), ("a*b", "ac"), ("x", "")] {
            assert!(!fits(pattern, text), "{pattern} {text}");
        }
        // No exponential search on a hostile pattern.
        assert!(!fits(&"*a".repeat(200), &"a".repeat(199)));
    }
}
