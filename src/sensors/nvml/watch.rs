//! What happens on one board over a window besides its readings: other processes, errors of memory and link.
//!
//! Asking for these takes the driver longer than reading a counter, so it is done outside of the window, before its first
//! and after its last reading.

use super::inventory::{public_id_of, uuid_hash};
use crate::record::Others;
use nvml_wrapper::bitmasks::event::EventTypes;
use nvml_wrapper::enum_wrappers::device::{EccCounter, MemoryError};
use nvml_wrapper::enums::event::XidError;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::event::EventSet;
use nvml_wrapper::struct_wrappers::device::ProcessUtilizationSample;
use nvml_wrapper::{Device, Nvml};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Events that are taken from the driver after a window at most.
const MOST_EVENTS: usize = 64;

/// The number that stands for an error that the driver cannot name (`nvmlEventData_t`).
const UNNAMED_XID: u64 = 999;

/// Watches one board, window after window.
pub struct BoardWatch {
    library: Option<PathBuf>,
    uuid_hash: String,
    own: u32,
    inner: RefCell<Inner>,
}

struct Inner {
    board: Option<Board>,
    before: Option<Glimpse>,
}

/// The board, open.
struct Board {
    device: Device<'static>,
    /// Where the driver tells of critical errors; `None` where it does not.
    events: Option<EventSet<'static>>,
}

/// A board at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Glimpse {
    /// Microseconds of the system's clock.
    at: u64,
    ecc_corrected: Option<u64>,
    ecc_uncorrected: Option<u64>,
    pcie_replays: Option<u64>,
    others: Option<Others>,
}

/// What happened on a board over a window; `None` is unknown. Counters are before and after.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct BoardEvents {
    /// Memory errors that were corrected.
    pub ecc_corrected: Option<(u64, u64)>,
    /// Memory errors that could not be corrected.
    pub ecc_uncorrected: Option<(u64, u64)>,
    /// Transfers that the link repeated.
    pub pcie_replays: Option<(u64, u64)>,
    /// Critical errors by their numbers.
    pub xids: Option<Vec<u64>>,
    /// Other processes with a context.
    pub others: Option<Others>,
    /// Largest share of the multiprocessors that other processes had.
    pub foreign_load: Option<f64>,
}

impl BoardWatch {
    /// Watches the board of this [`public_id`](super::public_id) through the NVML library at `library`, or the system's;
    /// `None` where NVML knows no such board.
    #[must_use]
    pub fn open(library: Option<&Path>, public_id: &str) -> Option<Self> {
        let (board, uuid_hash) = find(library, |hash| public_id_of(hash) == public_id)?;
        let inner = RefCell::new(Inner { board: Some(board), before: None });
        Some(Self { library: library.map(Path::to_owned), uuid_hash, own: std::process::id(), inner })
    }

    /// Looks before a window; `micros` is the system's clock in microseconds since 1970.
    pub fn begin(&self, micros: u64) {
        let mut inner = self.inner.borrow_mut();
        // A driver that was loaded anew gives new handles.
        if inner.board.is_none() {
            inner.board = find(self.library.as_deref(), |hash| hash == self.uuid_hash).map(|(board, _)| board);
        }
        // Errors from before the window are nobody's.
        drop(inner.board.as_ref().and_then(Board::xids));
        inner.before = self.look(&mut inner, micros);
    }

    /// Looks after a window, and says what lies between.
    pub fn end(&self, micros: u64) -> BoardEvents {
        let mut inner = self.inner.borrow_mut();
        let before = inner.before.take();
        let xids = inner.board.as_ref().and_then(Board::xids);
        let after = self.look(&mut inner, micros);
        let (Some(before), Some(after)) = (before, after) else {
            return BoardEvents { xids, ..BoardEvents::default() };
        };
        let both = |pick: fn(&Glimpse) -> Option<u64>| pick(&before).zip(pick(&after));
        let others = most(before.others, after.others);
        let shares = inner.board.as_ref().and_then(|board| board.shares(before.at));
        BoardEvents {
            ecc_corrected: both(|g| g.ecc_corrected),
            ecc_uncorrected: both(|g| g.ecc_uncorrected),
            pcie_replays: both(|g| g.pcie_replays),
            xids,
            foreign_load: shares.and_then(|shares| foreign(&shares, others, self.own)),
            others,
        }
    }

    /// `None`, and the board closed, where it is gone.
    fn look(&self, inner: &mut Inner, at: u64) -> Option<Glimpse> {
        let glimpse = inner.board.as_ref()?.look(at, self.own);
        if glimpse.is_none() {
            inner.board = None;
        }
        glimpse
    }
}

/// Opens the first board whose salted hash is `wanted`.
fn find(library: Option<&Path>, wanted: impl Fn(&str) -> bool) -> Option<(Board, String)> {
    // Devices borrow the library. It stays loaded until the process ends, as the driver advises.
    let nvml: &'static Nvml = Box::leak(Box::new(super::load(library).ok()?));
    let count = nvml.device_count().ok()?;
    let boards = (0..count).filter_map(|index| nvml.device_by_index(index).ok());
    let (device, hash) =
        boards.filter_map(|d| d.uuid().ok().map(|uuid| (d, uuid_hash(&uuid)))).find(|(_, hash)| wanted(hash))?;
    let set = nvml.create_event_set().ok();
    let events = set.and_then(|set| device.register_events(EventTypes::CRITICAL_XID_ERROR, set).ok());
    Some((Board { device, events }, hash))
}

impl Board {
    /// `None` where the board or its driver is gone.
    fn look(&self, at: u64, own: u32) -> Option<Glimpse> {
        if let Err(error) = self.device.uuid()
            && super::device::is_fatal(&error)
        {
            return None;
        }
        let errors = |kind| self.device.total_ecc_errors(kind, EccCounter::Volatile).ok();
        Some(Glimpse {
            at,
            ecc_corrected: errors(MemoryError::Corrected),
            ecc_uncorrected: errors(MemoryError::Uncorrected),
            pcie_replays: self.device.pcie_replay_counter().ok().map(u64::from),
            others: self.processes().map(|listed| others(&listed, own)),
        })
    }

    /// Numbers of the processes with a context to compute or to draw; `None` where one of the lists is not given, or where
    /// nothing is listed although this program has a context: then the driver hides processes.
    fn processes(&self) -> Option<BTreeSet<u32>> {
        let compute = self.device.running_compute_processes().ok()?;
        let graphics = match self.device.running_graphics_processes() {
            Ok(graphics) => graphics,
            // A board that cannot draw has no such list.
            Err(NvmlError::NotSupported) => Vec::new(),
            Err(_) => return None,
        };
        Some(compute.iter().chain(&graphics).map(|p| p.pid).collect()).filter(|all: &BTreeSet<u32>| !all.is_empty())
    }

    /// Critical errors since the last call; `None` where the driver tells none.
    fn xids(&self) -> Option<Vec<u64>> {
        let events = self.events.as_ref()?;
        let mut xids = Vec::new();
        while xids.len() < MOST_EVENTS {
            match events.wait(0) {
                Ok(event) => xids.extend(event.event_data.map(|xid| match xid {
                    XidError::Value(number) => number,
                    XidError::Unknown => UNNAMED_XID,
                })),
                Err(NvmlError::Timeout) => return Some(xids),
                Err(_) => return (!xids.is_empty()).then_some(xids),
            }
        }
        Some(xids)
    }

    /// Shares of the multiprocessors by process, a reading of the driver each, since `micros`; `None` where it took
    /// none: this program alone would show.
    fn shares(&self, micros: u64) -> Option<Vec<Share>> {
        let samples = self.device.process_utilization_stats(micros).ok()?;
        // Some drivers answer with what they measured before, too.
        let own = samples.iter().filter(|s| s.timestamp > micros);
        let share = |s: &ProcessUtilizationSample| f64::from(s.sm_util.min(100)) / 100.0;
        let shares: Vec<Share> = own.map(|s| Share { at: s.timestamp, pid: s.pid, share: share(s) }).collect();
        (!shares.is_empty()).then_some(shares)
    }
}

/// What one process had of the multiprocessors in one reading.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Share {
    at: u64,
    pid: u32,
    share: f64,
}

/// Processes besides this program among those listed. One that is not listed under its number, in a container for example,
/// is one of them all the same: it has a context.
fn others(listed: &BTreeSet<u32>, own: u32) -> Others {
    let count = u32::try_from(listed.len()).unwrap_or(u32::MAX).saturating_sub(1);
    Others { count, own_seen: listed.contains(&own) }
}

/// The larger of two counts; unknown when one is.
fn most(before: Option<Others>, after: Option<Others>) -> Option<Others> {
    let (a, b) = before.zip(after)?;
    Some(Others { count: a.count.max(b.count), own_seen: a.own_seen && b.own_seen })
}

/// The largest share that others had in one reading; `None` where nobody can tell whose a share is.
fn foreign(shares: &[Share], others: Option<Others>, own: u32) -> Option<f64> {
    if !shares.iter().any(|s| s.pid == own) && !others?.own_seen {
        // Under another number: of one process it is this program's, of several nobody knows which.
        let pids: BTreeSet<u32> = shares.iter().map(|s| s.pid).collect();
        return (others?.count == 0 && pids.len() == 1).then_some(0.0);
    }
    let mut readings: BTreeMap<u64, f64> = BTreeMap::new();
    for share in shares.iter().filter(|s| s.pid != own) {
        *readings.entry(share.at).or_default() += share.share;
    }
    Some(readings.into_values().fold(0.0, f64::max).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: u32 = 7;

    fn seen(pids: &[u32]) -> Others {
        others(&pids.iter().copied().collect(), OWN)
    }

    #[test]
    fn this_program_is_none_of_the_others() {
        assert_eq!(seen(&[OWN]), Others { count: 0, own_seen: true });
        assert_eq!(seen(&[OWN, 8, 9]), Others { count: 2, own_seen: true });
        assert_eq!(seen(&[4242]), Others { count: 0, own_seen: false }, "in a container it has another number");
        assert_eq!(seen(&[4242, 8]), Others { count: 1, own_seen: false });
        let two = Some(Others { count: 2, own_seen: true });
        assert_eq!(most(Some(seen(&[OWN])), two), two);
        assert_eq!(most(None, two), None);
    }

    #[test]
    fn load_of_others_is_the_largest_reading_and_unknown_where_nobody_can_tell() {
        let share = |at, pid, share| Share { at, pid, share };
        let here = Some(Others { count: 2, own_seen: true });
        let mixed = [share(1, OWN, 0.9), share(1, 8, 0.1), share(2, 8, 0.2), share(2, 9, 0.25), share(3, OWN, 1.0)];
        assert!((foreign(&mixed, here, OWN).unwrap() - 0.45).abs() < 1e-12);
        assert_eq!(foreign(&[share(1, OWN, 0.9)], here, OWN), Some(0.0));
        let hidden = |count| Some(Others { count, own_seen: false });
        assert_eq!(foreign(&[share(1, 4242, 0.9)], hidden(0), OWN), Some(0.0), "it is this program");
        assert_eq!(foreign(&[share(1, 4242, 0.9), share(1, 8, 0.9)], hidden(1), OWN), None);
        assert_eq!(foreign(&[share(1, 4242, 0.9)], hidden(1), OWN), None);
        assert_eq!(foreign(&[share(1, 4242, 0.9)], None, OWN), None);
    }
}
