//! Memory that can be allocated without swapping.

use super::Host;
use crate::units::Bytes;

/// `MemAvailable` of `/proc/meminfo`: the kernel's own estimate of what can be allocated without
/// swapping. `None` when it is not stated.
#[must_use]
pub fn available_memory(host: &Host) -> Option<Bytes> {
    available(&host.read("proc/meminfo")?)
}

fn available(meminfo: &str) -> Option<Bytes> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Bytes::new(kibibytes.checked_mul(1024)? as f64).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_stated_amount_counts() {
        let text = "MemTotal:       24603232 kB\nMemAvailable:   24000000 kB\n";
        assert_eq!(available(text), Bytes::new(24_000_000.0 * 1024.0).ok());
        for odd in ["", "MemAvailable:", "MemAvailable: -4 kB", "MemAvailable: 12 MB", "MemTotal: 5 kB"] {
            assert_eq!(available(odd), None, "{odd}");
        }
    }
}
