//! How much the caches of a set of CPUs hold.

use super::{Host, kernel_text};
use crate::units::Bytes;
use std::collections::BTreeMap;

/// A data cache of a CPU.
struct Level {
    level: u64,
    size: f64,
    /// The CPUs that share it, as the kernel lists them: its name.
    shared: String,
}

/// A last-level cache, and what of it a set of threads uses.
struct Group {
    size: f64,
    /// The caches between it and the first level, by level and name.
    below: BTreeMap<(u64, String), f64>,
    threads: u32,
}

/// Bytes that threads on `cpus`, each with an equal part of the data, have to go through before no cache of theirs
/// has room for anything older: the sum of a last-level cache and of the second-level ones below it, where one
/// excludes what is in the other. Of several last-level caches the one counts that gets the fewest threads for its
/// size. `None` where the kernel does not tell the caches of each CPU.
#[must_use]
pub fn caches_hold(host: &Host, cpus: &[u32]) -> Option<Bytes> {
    let mut groups: BTreeMap<String, Group> = BTreeMap::new();
    for cpu in cpus {
        let mut levels = levels(host, *cpu);
        levels.sort_by_key(|l| l.level);
        let last = levels.pop()?;
        let new = || Group { size: last.size, below: BTreeMap::new(), threads: 0 };
        let group = groups.entry(last.shared).or_insert_with(new);
        group.below.extend(levels.into_iter().filter(|l| l.level > 1).map(|l| ((l.level, l.shared), l.size)));
        group.threads += 1;
    }
    let needed = groups.values().map(|group| {
        let held = group.size + group.below.values().sum::<f64>();
        held * cpus.len() as f64 / f64::from(group.threads)
    });
    needed.max_by(f64::total_cmp).and_then(|bytes| Bytes::new(bytes.ceil()).ok())
}

fn levels(host: &Host, cpu: u32) -> Vec<Level> {
    let folder = format!("sys/devices/system/cpu/cpu{cpu}/cache");
    let indices = host.list(&folder).into_iter().filter(|name| name.starts_with("index"));
    let level = |index: String| {
        let file = |name: &str| host.read(&format!("{folder}/{index}/{name}"));
        if file("type")? == "Instruction" {
            return None;
        }
        Some(Level {
            level: kernel_text::digits(&file("level")?)?,
            size: kernel_text::cache_size(&file("size")?)?.get(),
            // A cache whose sharers are unknown counts as the CPU's own.
            shared: file("shared_cpu_list").unwrap_or_else(|| cpu.to_string()),
        })
    };
    indices.filter_map(level).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CPUs with 48 KiB, 2 MiB each, and a third level of these sizes for these lists of CPUs.
    fn machine(last: &[(&str, u64, &[u32])]) -> (tempfile::TempDir, Host) {
        let root = tempfile::tempdir().unwrap();
        for (list, mib, cpus) in last {
            for cpu in *cpus {
                let own = cpu.to_string();
                let levels = [
                    ("1", "Data", "48K".to_owned(), own.as_str()),
                    ("1", "Instruction", "64K".to_owned(), own.as_str()),
                    ("2", "Unified", "2048K".to_owned(), own.as_str()),
                    ("3", "Unified", format!("{mib}M"), *list),
                ];
                for (index, (level, kind, size, shared)) in levels.iter().enumerate() {
                    let folder = root.path().join(format!("sys/devices/system/cpu/cpu{cpu}/cache/index{index}"));
                    std::fs::create_dir_all(&folder).unwrap();
                    for (file, text) in [("level", *level), ("type", kind), ("size", size), ("shared_cpu_list", shared)]
                    {
                        std::fs::write(folder.join(file), format!("{text}\n")).unwrap();
                    }
                }
            }
        }
        let host = Host::at(root.path());
        (root, host)
    }

    fn mib(host: &Host, cpus: &[u32]) -> Option<f64> {
        caches_hold(host, cpus).map(|b| b.get() / 1_048_576.0)
    }

    #[test]
    fn a_last_level_cache_counts_once_and_the_second_level_of_every_cpu_in_use() {
        let (_root, host) = machine(&[("0-3", 32, &[0, 1, 2, 3])]);
        assert_eq!(mib(&host, &[0]), Some(34.0));
        assert_eq!(mib(&host, &[0, 1]), Some(36.0));
        assert_eq!(mib(&host, &[0, 1, 2, 3]), Some(40.0));
    }

    #[test]
    fn the_cache_with_the_fewest_threads_needs_the_most_data() {
        let (_root, host) = machine(&[("0-1", 32, &[0, 1]), ("2-3", 32, &[2, 3])]);
        // Each half of the data goes through one of them.
        assert_eq!(mib(&host, &[0, 2]), Some(68.0));
        assert_eq!(mib(&host, &[0, 1, 2, 3]), Some(72.0));
        // A third of the data has to fill the second cache.
        assert_eq!(mib(&host, &[0, 1, 2]), Some(102.0));
    }

    #[test]
    fn caches_that_the_kernel_does_not_tell_are_unknown() {
        let (root, host) = machine(&[("0", 32, &[0])]);
        assert_eq!(mib(&host, &[0, 1]), None);
        assert_eq!(mib(&host, &[]), None);
        std::fs::write(root.path().join("sys/devices/system/cpu/cpu0/cache/index3/size"), "much\n").unwrap();
        // What is nonsense is left out; the second level is then the last one.
        assert_eq!(mib(&host, &[0]), Some(2.0));
    }
}
