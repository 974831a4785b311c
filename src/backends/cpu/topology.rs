//! Which logical CPUs this process may use, which of them share a core, and pinning to them.

#![expect(unsafe_code, reason = "sched_getaffinity and sched_setaffinity have no safe wrapper in std")]

use crate::host::Host;
use crate::suite::Threads;
use std::collections::BTreeSet;

/// The usable logical CPUs, in the order in which threads are put on them: one per physical core
/// first, then the siblings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topology {
    order: Vec<u32>,
    cores: usize,
}

/// More threads were asked for than this process may use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{asked} threads asked for, but only {usable} logical CPUs are usable: lower `threads` or widen the CPU affinity"
)]
pub struct TooManyThreads {
    asked: u32,
    usable: usize,
}

impl Topology {
    /// Reads the affinity mask of the calling thread and the cores from sysfs below `host`.
    #[must_use]
    pub fn read(host: &Host) -> Self {
        Self::of(&usable_cpus(), |cpu| core_of(host, cpu))
    }

    fn of(usable: &[u32], core: impl Fn(u32) -> Option<String>) -> Self {
        let mut seen = BTreeSet::new();
        // A CPU whose core is unknown counts as a core of its own.
        let (mut order, siblings): (Vec<u32>, Vec<u32>) =
            usable.iter().partition(|cpu| core(**cpu).is_none_or(|name| seen.insert(name)));
        let cores = order.len();
        order.extend(siblings);
        Self { order, cores }
    }

    /// Physical cores with at least one usable CPU.
    #[must_use]
    pub const fn cores(&self) -> usize {
        self.cores
    }

    /// Usable logical CPUs.
    #[must_use]
    pub fn cpus(&self) -> usize {
        self.order.len()
    }

    /// All of them, in the order in which threads are put on them.
    #[must_use]
    pub fn all(&self) -> &[u32] {
        &self.order
    }

    /// The logical CPU of each thread of a case.
    ///
    /// # Errors
    /// [`TooManyThreads`] when more are asked for than are usable.
    pub fn assign(&self, threads: Threads) -> Result<Vec<u32>, TooManyThreads> {
        let count = match threads {
            Threads::Count(n) => usize::try_from(n).unwrap_or(usize::MAX).max(1),
            Threads::Cores => self.cores.max(1),
            Threads::All => self.order.len().max(1),
        };
        match self.order.get(..count) {
            Some(cpus) => Ok(cpus.to_vec()),
            None => Err(TooManyThreads { asked: u32::try_from(count).unwrap_or(u32::MAX), usable: self.order.len() }),
        }
    }
}

/// The siblings list names a core uniquely; `None` where sysfs lacks it.
fn core_of(host: &Host, cpu: u32) -> Option<String> {
    host.read(&format!("sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"))
}

/// Largest number of logical CPUs the affinity calls below can express (Linux itself: 8,192).
const MAX_CPUS: usize = 8192;
type Mask = [u64; MAX_CPUS / 64];

/// Affinity mask of a thread (0 is the calling one), `None` when the system refuses.
pub(super) fn affinity(thread: i32) -> Option<Vec<u32>> {
    let mut mask: Mask = [0; MAX_CPUS / 64];
    // SAFETY: the kernel writes at most `size_of::<Mask>()` bytes into `mask`, and any bits are valid.
    let rc = unsafe { libc::sched_getaffinity(thread, size_of::<Mask>(), (&raw mut mask).cast()) };
    if rc < 0 {
        return None;
    }
    let bits = (0_u32..).zip(mask).flat_map(|(word, bits)| (0..64).map(move |bit| (word * 64 + bit, bits >> bit & 1)));
    Some(bits.filter(|(_, set)| *set == 1).map(|(cpu, _)| cpu).collect())
}

/// Restricts a thread (0 is the calling one) to `cpus`; false when the system refuses.
pub(super) fn set_affinity(thread: i32, cpus: &[u32]) -> bool {
    let mut mask: Mask = [0; MAX_CPUS / 64];
    for cpu in cpus {
        if let Some(word) = mask.get_mut(*cpu as usize / 64) {
            *word |= 1 << (cpu % 64);
        }
    }
    // SAFETY: the kernel only reads `size_of::<Mask>()` bytes of `mask`.
    unsafe { libc::sched_setaffinity(thread, size_of::<Mask>(), (&raw const mask).cast()) == 0 }
}

/// Operating-system id of the calling thread.
pub(super) fn thread_id() -> i32 {
    // SAFETY: gettid takes no argument and cannot fail.
    unsafe { libc::gettid() }
}

fn usable_cpus() -> Vec<u32> {
    affinity(0).filter(|cpus| !cpus.is_empty()).unwrap_or_else(|| {
        let count = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        (0..u32::try_from(count).unwrap_or(1)).collect()
    })
}

/// Pins a thread as long as this lives, then gives it its old mask back.
#[derive(Debug)]
pub(super) struct Pin {
    thread: i32,
    before: Vec<u32>,
}

impl Pin {
    /// Pins the calling thread to `cpu`; `None` when the system refuses.
    pub(super) fn current(cpu: u32) -> Option<Self> {
        Self::to(&[cpu])
    }

    /// The same to several CPUs.
    fn to(cpus: &[u32]) -> Option<Self> {
        let before = affinity(0)?;
        set_affinity(0, cpus).then(|| Self { thread: thread_id(), before })
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        set_affinity(self.thread, &self.before);
    }
}

/// The CPUs that a thread may use before any workload pins it.
///
/// Threads that are started inherit the mask of the one that starts them: what drivers of other devices start must
/// not be held on the one CPU that a workload of the processor is pinned to.
#[derive(Debug)]
pub(in crate::backends) struct Home(Vec<u32>);

/// Gives the calling thread its home back as long as this lives.
pub(in crate::backends) struct AtHome(
    #[expect(dead_code, reason = "what it does on its end is the purpose")] Option<Pin>,
);

impl Home {
    /// Those of the calling thread.
    pub(in crate::backends) fn here() -> Self {
        Self(affinity(0).unwrap_or_default())
    }

    /// Lets the calling thread use them.
    pub(in crate::backends) fn enter(&self) -> AtHome {
        AtHome(if self.0.is_empty() { None } else { Pin::to(&self.0) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Four CPUs on two cores, numbered as Linux does: 0 and 2 share a core, 1 and 3 another.
    fn two_cores() -> Topology {
        Topology::of(&[0, 1, 2, 3], |cpu| Some(format!("core {}", cpu % 2)))
    }

    #[test]
    fn threads_fill_physical_cores_before_siblings() {
        let topology = two_cores();
        assert_eq!(topology.assign(Threads::Cores).unwrap(), [0, 1]);
        assert_eq!(topology.assign(Threads::Count(3)).unwrap(), [0, 1, 2]);
        assert_eq!(topology.assign(Threads::All).unwrap(), [0, 1, 2, 3]);
        let adjacent = Topology::of(&[4, 5, 6, 7], |cpu| Some(format!("core {}", cpu / 2)));
        assert_eq!(adjacent.assign(Threads::Count(4)).unwrap(), [4, 6, 5, 7]);
    }

    #[test]
    fn unknown_cores_count_as_separate_ones() {
        let topology = Topology::of(&[3, 9], |_| None);
        assert_eq!((topology.cores(), topology.cpus()), (2, 2));
    }

    #[test]
    fn too_many_threads_is_an_error_that_says_what_to_do() {
        let error = two_cores().assign(Threads::Count(5)).unwrap_err();
        assert!(error.to_string().starts_with("5 threads asked for, but only 4 logical CPUs are usable"));
    }

    #[test]
    fn a_pinned_thread_goes_home_and_back() {
        std::thread::spawn(|| {
            let home = Home::here();
            let all = affinity(0).unwrap();
            let _pin = Pin::current(all[0]).unwrap();
            let there = home.enter();
            assert_eq!(affinity(0).unwrap(), all);
            assert_eq!(std::thread::spawn(|| affinity(0).unwrap()).join().unwrap(), all, "what it starts inherits it");
            drop(there);
            assert_eq!(affinity(0).unwrap(), [all[0]]);
        })
        .join()
        .unwrap();
    }

    #[test]
    fn a_pin_holds_and_is_given_back() {
        // On a thread of its own: the mask of the test's thread stays as it is.
        std::thread::spawn(|| {
            let before = affinity(0).unwrap();
            let cpu = *before.last().unwrap();
            let pin = Pin::current(cpu).unwrap();
            assert_eq!(affinity(0).unwrap(), [cpu]);
            drop(pin);
            assert_eq!(affinity(0).unwrap(), before);
        })
        .join()
        .unwrap();
    }
}
