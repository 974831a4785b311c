//! A powercap tree in real time: its files, the thread that writes them, and the truth about them.
//!
//! Values have a fixed width and are written in place with one system call, because readers keep the
//! files open and must never see half a number. The writer asks for real-time priority and for a
//! thread of its own, and keeps count of how late it was all the same.

#![expect(unsafe_code, reason = "clock_gettime, clock_nanosleep and the scheduler")]

use crate::script::{Script, What, Zone};
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// `CLOCK_MONOTONIC` in nanoseconds: the same for every process of the machine.
pub(crate) fn monotonic() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid place for the answer and outlives the call.
    let status = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    assert_eq!(status, 0, "every Linux has a monotonic clock");
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Sleeps until a moment of `CLOCK_MONOTONIC`.
pub(crate) fn sleep_until(nanos: u64) {
    let time = libc::timespec {
        tv_sec: (nanos / 1_000_000_000) as libc::time_t,
        tv_nsec: (nanos % 1_000_000_000) as libc::c_long,
    };
    // SAFETY: `time` is valid for the call, and the remaining time is not asked for.
    unsafe { libc::clock_nanosleep(libc::CLOCK_MONOTONIC, libc::TIMER_ABSTIME, &raw const time, std::ptr::null_mut()) };
}

/// Asks for real-time priority for the calling thread and those that it starts, and gives it back.
/// Where it is not granted, the thread goes on without.
pub(crate) fn hurry(yes: bool) {
    let (policy, sched_priority) = if yes { (libc::SCHED_FIFO, 50) } else { (libc::SCHED_OTHER, 0) };
    let parameters = libc::sched_param { sched_priority };
    // SAFETY: the parameters are valid for the call, and 0 is the calling thread.
    unsafe { libc::sched_setscheduler(0, policy, &raw const parameters) };
}

/// Whether the calling thread has real-time priority.
fn hurries() -> bool {
    // SAFETY: the call only asks for a number.
    unsafe { libc::sched_getscheduler(0) == libc::SCHED_FIFO }
}

/// What the counter of a zone shows.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Shown {
    /// A value.
    Value(u64),
    /// Something else: the raw contents.
    Text(String),
    /// Nothing: reads fail.
    Eio,
    /// The folder is gone.
    Gone,
}

impl Zone {
    /// Joules from second 0 to `t`, times a million.
    pub(crate) fn microjoules(&self, t: f64) -> f64 {
        self.load.energy(t, &[]) * 1e6
    }

    /// Value of the counter at second `t`, were it updated and readable.
    fn value(&self, t: f64) -> u64 {
        let reset = self.events.iter().filter_map(|e| match e.what {
            What::Reset(to) => Some((e.last(t)?, to)),
            _ => None,
        });
        let raw = match reset.max_by(|a, b| a.0.total_cmp(&b.0)) {
            Some((when, to)) => to + (self.microjoules(t) - self.microjoules(when)) as u64,
            None => self.start + self.microjoules(t) as u64,
        };
        raw % (self.range + 1)
    }

    /// What can be read at second `t`.
    pub(crate) fn shows(&self, t: f64) -> Shown {
        let mut latest = (f64::NEG_INFINITY, None);
        for event in &self.events {
            let Some(when) = event.last(t) else { continue };
            let shown = match &event.what {
                What::Vanish => Shown::Gone,
                What::Eio => Shown::Eio,
                What::Stall(lasts) if t - when < *lasts => Shown::Value(self.value(when)),
                What::Says(text, lasts) if t - when < *lasts => Shown::Text(match text.as_str() {
                    "empty" => String::new(),
                    "truncated" => line(self.value(t))[..7].to_owned(),
                    other => format!("{other}\n"),
                }),
                What::Stall(_) | What::Says(..) | What::Reset(_) | What::Chmod(_) => continue,
            };
            if when >= latest.0 {
                latest = (when, Some(shown));
            }
        }
        latest.1.unwrap_or_else(|| Shown::Value(self.value(t)))
    }

    /// The words of what happens between two seconds.
    pub(crate) fn happenings(&self, from: f64, to: f64) -> Vec<&'static str> {
        self.events.iter().filter(|e| e.touches(from, to)).map(|e| e.what.word()).collect()
    }
}

fn line(value: u64) -> String {
    format!("{value:020}\n")
}

/// How late the writer was: nanoseconds after the moment at which a counter was due.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lateness {
    ticks: u64,
    /// Ticks by the power of two of their lateness in microseconds.
    buckets: [u64; 32],
    worst: u64,
    pub(crate) real_time: bool,
}

impl Lateness {
    fn add(&mut self, nanos: u64) {
        let micros = nanos / 1000;
        self.ticks += 1;
        self.worst = self.worst.max(nanos);
        self.buckets[(64 - micros.leading_zeros()).min(31) as usize] += 1;
    }

    /// Microseconds that this share of the ticks stayed below (rounded up to a power of two).
    fn below(&self, share: f64) -> u64 {
        let mut seen = 0;
        for (power, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen as f64 >= share * self.ticks as f64 {
                return 1 << power;
            }
        }
        u64::MAX
    }

    /// One JSON object.
    pub(crate) fn json(&self) -> String {
        format!(
            "{{\"ticks\":{},\"real_time\":{},\"half_below_us\":{},\"p99_below_us\":{},\"worst_us\":{}}}",
            self.ticks,
            self.real_time,
            self.below(0.5),
            self.below(0.99),
            self.worst / 1000
        )
    }
}

/// A zone with its files.
struct Place {
    zone: Zone,
    folder: PathBuf,
    link: Option<PathBuf>,
    /// `None` once it vanished or was made unreadable.
    file: Option<File>,
    mode: u32,
    text: bool,
    /// Index of the place whose counter it shows.
    source: Option<usize>,
}

/// A tree that is driven until it is dropped.
pub(crate) struct Tree {
    stop: Arc<AtomicBool>,
    driver: Option<JoinHandle<Lateness>>,
}

impl Tree {
    /// Makes the files below `base` and begins to drive them, with the priority of the caller; second 0
    /// is at `origin`. In `links` every zone and control type is listed by a link, as in the kernel's
    /// `/sys/class/powercap`.
    pub(crate) fn start(script: &Script, base: &Path, origin: u64, links: Option<&Path>) -> io::Result<Self> {
        let mut places = Vec::new();
        for zone in &script.zones {
            // A copy shows what its source shows, and is named for itself.
            let source = zone.copy_of.as_ref().and_then(|path| script.zones.iter().find(|z| z.path == *path));
            let mut driven = source.unwrap_or(zone).clone();
            (driven.path, driven.name) = (zone.path.clone(), zone.name.clone());
            let mut place = Place::create(driven, base, links)?;
            place.source = source.and_then(|s| script.zones.iter().position(|z| z.path == s.path));
            places.push(place);
        }
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let period = script.period_us * 1000;
        let driver = std::thread::Builder::new().name("driver".into()).spawn(move || {
            let mut lateness = Lateness { real_time: hurries(), ..Lateness::default() };
            let mut due = origin;
            let mut written = vec![0.0; places.len()];
            while !stopped.load(Ordering::Relaxed) {
                sleep_until(due);
                lateness.add(monotonic().saturating_sub(due));
                for (i, place) in places.iter_mut().enumerate() {
                    let now = (monotonic() - origin) as f64 / 1e9;
                    // One counter that is listed twice was updated once.
                    written[i] = place.source.filter(|source| *source < i).map_or(now, |source| written[source]);
                    place.write(written[i]);
                }
                // Ticks that were missed are not made up for.
                let now = monotonic();
                due += period * (now.saturating_sub(due) / period + 1);
            }
            lateness
        })?;
        Ok(Self { stop, driver: Some(driver) })
    }

    /// Ends the driver; how late it was.
    pub(crate) fn stop(mut self) -> Lateness {
        self.end()
    }

    fn end(&mut self) -> Lateness {
        self.stop.store(true, Ordering::Relaxed);
        self.driver.take().and_then(|driver| driver.join().ok()).unwrap_or_default()
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        self.end();
    }
}

impl Place {
    fn create(zone: Zone, base: &Path, links: Option<&Path>) -> io::Result<Self> {
        let folder = base.join(&zone.path);
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("name"), format!("{}\n", zone.name))?;
        if zone.states_range {
            fs::write(folder.join("max_energy_range_uj"), format!("{}\n", zone.range))?;
        }
        let mut link = None;
        if let Some(links) = links {
            let (mut place, mut last) = (base.to_owned(), PathBuf::new());
            for part in Path::new(&zone.path) {
                place.push(part);
                last = links.join(part);
                if last.symlink_metadata().is_err() {
                    fs::create_dir_all(&place)?;
                    symlink(links, place.join("subsystem"))?;
                    symlink(&place, &last)?;
                }
            }
            link = Some(last);
        }
        let file = File::create(folder.join("energy_uj"))?;
        let mut place = Self { zone, folder, link, file: Some(file), mode: 0o644, text: false, source: None };
        place.write(0.0);
        Ok(place)
    }

    fn write(&mut self, t: f64) {
        let Some(file) = &self.file else { return };
        let path = self.folder.join("energy_uj");
        match self.zone.shows(t) {
            Shown::Value(value) => {
                if std::mem::take(&mut self.text) {
                    let _ = file.set_len(21);
                }
                let _ = file.write_all_at(line(value).as_bytes(), 0);
            }
            Shown::Text(text) => {
                if !self.text {
                    let _ = file.set_len(text.len() as u64);
                    self.text = true;
                }
                let _ = file.write_all_at(text.as_bytes(), 0);
            }
            Shown::Eio => {
                // The memory of a process has no page 0: reading it there fails with EIO. Whoever kept
                // the old file open finds it empty and removed.
                let _ = fs::remove_file(&path).and_then(|()| symlink("/proc/self/mem", &path));
                let _ = file.set_len(0);
                self.file = None;
                return;
            }
            Shown::Gone => {
                // First removed, then emptied: readers that kept it open see no empty file that is there.
                if let Some(link) = &self.link {
                    let _ = fs::remove_file(link);
                }
                let _ = fs::remove_dir_all(&self.folder);
                let _ = file.set_len(0);
                self.file = None;
                return;
            }
        }
        let mode = self.zone.events.iter().rev().find_map(|e| match e.what {
            What::Chmod(mode) if e.last(t).is_some() => Some(mode),
            _ => None,
        });
        if let Some(mode) = mode.filter(|mode| *mode != self.mode) {
            let _ = fs::set_permissions(&path, Permissions::from_mode(mode));
            self.mode = mode;
        }
    }
}
