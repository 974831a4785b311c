//! A fork-join pool whose dispatch costs about a microsecond.
//!
//! A general-purpose pool wakes its workers through the kernel, which costs 5–50 µs: as long as a
//! small kernel runs. Here workers spin on a counter between dispatches, and only after a while
//! without work do they sleep, so that an idle window measures an idle machine.
//!
//! One dispatch: the caller publishes the job, raises `epoch`, does part 0 itself and waits until
//! `running` is zero. A panic in a part is caught and kept for [`Pool::take_panic`]; the others
//! finish and nothing hangs.

#![expect(unsafe_code, reason = "lends a borrowed closure to running threads for the length of one call")]

use super::topology::{Pin, set_affinity, thread_id};
use crate::clock::Clock;
use crate::kernels::Team;
use std::any::Any;
use std::cell::UnsafeCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::{JoinHandle, Thread};

/// Nanoseconds a worker spins without work before it sleeps: much longer than the gap between two
/// iterations, much shorter than an idle window.
const SPIN_NANOS: u64 = 100_000;
/// Spins between two looks at the clock.
const SPINS_PER_LOOK: u32 = 64;

type Job<'a> = dyn Fn(usize) + Sync + 'a;

/// Keeps what one thread writes off the cache line another one spins on.
#[repr(align(128))]
struct Apart<T>(T);

struct Shared {
    epoch: Apart<AtomicU64>,
    running: Apart<AtomicUsize>,
    asleep: Vec<Apart<AtomicBool>>,
    job: UnsafeCell<Option<&'static Job<'static>>>,
    stop: AtomicBool,
    panic: Mutex<Option<String>>,
    /// More threads than CPUs: spinning would keep the others from running.
    yields: bool,
}

// SAFETY: `job` is written by the caller before it raises `epoch` (release) and read by workers
// after they saw the raise (acquire); it is not written again before `running` is zero.
unsafe impl Sync for Shared {}
// SAFETY: the reference in `job` is to a `Sync` closure.
unsafe impl Send for Shared {}

impl Shared {
    fn keep_panic(&self, thread: usize, payload: &(dyn Any + Send)) {
        let text = payload
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| payload.downcast_ref::<&str>().copied())
            .unwrap_or("a panic without a message");
        let mut first = self.panic.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert_with(|| format!("thread {thread} panicked: {text}"));
    }

    /// Waits until `ready`, spinning; offers the CPU now and then, for a worker that was moved onto
    /// it or another program that keeps one from running.
    fn spin_until(&self, ready: impl Fn() -> bool) {
        let mut spins = 0_u32;
        while !ready() {
            spins = spins.wrapping_add(1);
            if self.yields || spins.is_multiple_of(1 << 10) {
                std::thread::yield_now();
            } else {
                std::hint::spin_loop();
            }
        }
    }
}

/// Why a pool could not be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot start a worker thread: {0}")]
pub(super) struct SpawnError(#[from] std::io::Error);

/// Pinned threads that run one closure each; thread 0 is the caller.
pub(super) struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    handles: Vec<Thread>,
    tids: Vec<i32>,
    pinned: bool,
    busy: AtomicBool,
}

impl Pool {
    /// A pool with one thread on each of `cpus`; the first is the caller's.
    ///
    /// # Errors
    /// [`SpawnError`] when the system gives no more threads.
    pub(super) fn new(cpus: &[u32]) -> Result<Self, SpawnError> {
        Self::start(cpus.len(), Some(cpus), false)
    }

    /// Threads wherever the scheduler puts them, possibly more than there are CPUs.
    #[cfg(test)]
    pub(super) fn unpinned(threads: usize) -> Result<Self, SpawnError> {
        Self::start(threads, None, true)
    }

    fn start(threads: usize, cpus: Option<&[u32]>, yields: bool) -> Result<Self, SpawnError> {
        let shared = Arc::new(Shared {
            epoch: Apart(AtomicU64::new(0)),
            running: Apart(AtomicUsize::new(0)),
            asleep: (0..threads).map(|_| Apart(AtomicBool::new(false))).collect(),
            job: UnsafeCell::new(None),
            stop: AtomicBool::new(false),
            panic: Mutex::new(None),
            yields,
        });
        let mut pool = Self {
            shared,
            workers: Vec::new(),
            handles: Vec::new(),
            tids: Vec::new(),
            pinned: cpus.is_some(),
            busy: AtomicBool::new(false),
        };
        for thread in 1..threads {
            let (send, receive) = mpsc::channel();
            let (shared, cpu) = (Arc::clone(&pool.shared), cpus.map(|cpus| cpus[thread]));
            let worker = std::thread::Builder::new().name(format!("wattproof-{thread}")).spawn(move || {
                let pinned = cpu.is_none_or(|cpu| set_affinity(0, &[cpu]));
                if send.send((thread_id(), pinned)).is_ok() {
                    work(&shared, thread);
                }
            })?;
            pool.handles.push(worker.thread().clone());
            pool.workers.push(worker);
            let (tid, pinned) = receive.recv().map_err(std::io::Error::other)?;
            pool.tids.push(tid);
            pool.pinned &= pinned;
        }
        Ok(pool)
    }

    /// Operating-system ids of the workers (the caller's is not among them).
    pub(super) fn worker_ids(&self) -> &[i32] {
        &self.tids
    }

    /// Whether every worker is pinned.
    pub(super) const fn is_pinned(&self) -> bool {
        self.pinned
    }

    /// The first panic since the last call, if there was one.
    pub(super) fn take_panic(&self) -> Option<String> {
        self.shared.panic.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Raises the epoch and wakes the workers that sleep.
    fn announce(&self) {
        // Sequentially consistent against `asleep`: either the worker sees the new epoch before it
        // sleeps, or this thread sees that it sleeps.
        self.shared.epoch.0.fetch_add(1, Ordering::SeqCst);
        for (asleep, handle) in self.shared.asleep[1..].iter().zip(&self.handles) {
            if asleep.0.load(Ordering::SeqCst) {
                handle.unpark();
            }
        }
    }
}

impl Team for Pool {
    fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    fn run(&self, job: &Job<'_>) {
        assert!(!self.busy.swap(true, Ordering::Acquire), "a team cannot run a job inside a job");
        if !self.workers.is_empty() {
            // SAFETY: only the lifetime changes. This function does not return, and does not
            // unwind, before every worker is done with the reference.
            let job = unsafe { std::mem::transmute::<&Job<'_>, &'static Job<'static>>(job) };
            // SAFETY: no worker reads `job` now: `running` is zero and the epoch not yet raised.
            unsafe { *self.shared.job.get() = Some(job) };
            self.shared.running.0.store(self.workers.len(), Ordering::Relaxed);
            self.announce();
        }
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| job(0))) {
            self.shared.keep_panic(0, payload.as_ref());
        }
        self.shared.spin_until(|| self.shared.running.0.load(Ordering::Acquire) == 0);
        self.busy.store(false, Ordering::Release);
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.announce();
        for worker in self.workers.drain(..) {
            // A worker catches every panic of its jobs; there is nothing left to report here.
            drop(worker.join());
        }
    }
}

/// What a worker does until the pool is dropped.
fn work(shared: &Shared, thread: usize) {
    let clock = Clock::start();
    let mut seen = 0;
    loop {
        wait_for_epoch(shared, thread, seen, &clock);
        seen += 1;
        if shared.stop.load(Ordering::SeqCst) {
            return;
        }
        // SAFETY: the epoch was raised after `job` was written, and `run` does not write it again
        // before this worker has lowered `running`.
        let job = unsafe { *shared.job.get() };
        if let Some(job) = job
            && let Err(payload) = catch_unwind(AssertUnwindSafe(|| job(thread)))
        {
            shared.keep_panic(thread, payload.as_ref());
        }
        shared.running.0.fetch_sub(1, Ordering::Release);
    }
}

/// Returns when the epoch is past `seen`: spins first, then sleeps.
fn wait_for_epoch(shared: &Shared, thread: usize, seen: u64, clock: &Clock) {
    let raised = || shared.epoch.0.load(Ordering::SeqCst) > seen;
    let start = clock.now().nanos();
    while clock.now().nanos() - start < SPIN_NANOS {
        for _ in 0..SPINS_PER_LOOK {
            if raised() {
                return;
            }
            std::hint::spin_loop();
        }
        if shared.yields {
            std::thread::yield_now();
        }
    }
    shared.asleep[thread].0.store(true, Ordering::SeqCst);
    while !raised() {
        std::thread::park();
    }
    shared.asleep[thread].0.store(false, Ordering::SeqCst);
}

/// Pins the calling thread as thread 0 of a pool on `cpus`.
pub(super) fn pin_caller(cpus: &[u32]) -> Option<Pin> {
    cpus.first().and_then(|cpu| Pin::current(*cpu))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_thread_does_its_part_ten_thousand_times() {
        for threads in 1..=4 {
            let pool = Pool::unpinned(threads).unwrap();
            let counts: Vec<AtomicUsize> = (0..threads).map(|_| AtomicUsize::new(0)).collect();
            let mut plain = vec![0_u64; threads];
            for round in 0..10_000_u64 {
                let parts = crate::kernels::Parts::of(&mut plain);
                pool.run(&|t| {
                    counts[t].fetch_add(1, Ordering::Relaxed);
                    // SAFETY: each thread takes its own element.
                    unsafe { parts.range(t..t + 1)[0] += round };
                });
            }
            assert!(counts.iter().all(|c| c.load(Ordering::Relaxed) == 10_000));
            // Plain writes of the workers are visible to the caller: `run` orders like a join.
            assert!(plain.iter().all(|sum| *sum == 10_000 * 9_999 / 2));
            assert_eq!(pool.take_panic(), None);
        }
    }

    #[test]
    fn sleeping_workers_wake_for_the_next_job() {
        let pool = Pool::unpinned(3).unwrap();
        for _ in 0..20 {
            let hits = AtomicUsize::new(0);
            std::thread::sleep(std::time::Duration::from_millis(2));
            pool.run(&|_| {
                hits.fetch_add(1, Ordering::Relaxed);
            });
            assert_eq!(hits.load(Ordering::Relaxed), 3);
        }
    }

    #[test]
    fn idle_workers_sleep() {
        let pool = Pool::unpinned(4).unwrap();
        pool.run(&|_| {});
        for _ in 0..500 {
            std::thread::sleep(std::time::Duration::from_millis(2));
            if pool.shared.asleep[1..].iter().all(|a| a.0.load(Ordering::SeqCst)) {
                return;
            }
        }
        panic!("workers still spin a second after their last job");
    }

    #[test]
    fn a_panic_in_a_part_is_kept_and_the_pool_goes_on() {
        let pool = Pool::unpinned(3).unwrap();
        for culprit in 0..3 {
            pool.run(&|t| assert!(t != culprit, "part {t} broke"));
            assert_eq!(pool.take_panic().unwrap(), format!("thread {culprit} panicked: part {culprit} broke"));
            assert_eq!(pool.take_panic(), None);
        }
        let hits = AtomicUsize::new(0);
        pool.run(&|_| {
            hits.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(hits.load(Ordering::Relaxed), 3);
    }

    #[test]
    fn a_job_inside_a_job_is_an_error_and_no_deadlock() {
        let pool = Pool::unpinned(2).unwrap();
        pool.run(&|t| {
            if t == 0 {
                pool.run(&|_| {});
            }
        });
        assert!(pool.take_panic().unwrap().contains("a job inside a job"));
    }
}
