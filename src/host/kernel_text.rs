//! The kernel's text formats. Every parser answers `None` to anything it does not know.

use crate::units::Bytes;
use std::collections::BTreeMap;

/// CPU numbers above this are nonsense (the kernel's own limit is 8192).
const MAX_CPU: u32 = 65_535;

/// `0-3,8,10-11` → the CPU numbers, sorted, each once.
pub(super) fn cpu_list(text: &str) -> Option<Vec<u32>> {
    let mut cpus = Vec::new();
    for part in text.trim().split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (digits(first)?, digits(last)?);
        if first > last || last > u64::from(MAX_CPU) {
            return None;
        }
        cpus.extend((first..=last).filter_map(|cpu| u32::try_from(cpu).ok()));
    }
    cpus.sort_unstable();
    cpus.dedup();
    Some(cpus)
}

/// Plain decimal digits; no sign, no space inside.
pub(super) fn digits(text: &str) -> Option<u64> {
    let text = text.trim();
    (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

/// `480K`, `32M` → bytes, as in a cache's `size` file.
pub(super) fn cache_size(text: &str) -> Option<Bytes> {
    let text = text.trim();
    let (number, factor) = match text.as_bytes().last()? {
        b'K' => (text.strip_suffix('K')?, 1024),
        b'M' => (text.strip_suffix('M')?, 1024 * 1024),
        _ => (text, 1),
    };
    bytes(digits(number)?.checked_mul(factor)?)
}

/// `MemTotal` of `/proc/meminfo`.
pub(super) fn memory_total(text: &str) -> Option<Bytes> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes = digits(line.trim().strip_suffix("kB")?)?;
    bytes(kibibytes.checked_mul(1024)?)
}

fn bytes(count: u64) -> Option<Bytes> {
    Bytes::new(count as f64).ok()
}

/// Fields of one block of `/proc/cpuinfo`, the first value of each name.
pub(super) fn cpuinfo_block(text: &str) -> BTreeMap<String, String> {
    let mut fields = BTreeMap::new();
    for line in text.lines().take_while(|line| !line.trim().is_empty()) {
        if let Some((name, value)) = line.split_once(':') {
            fields.entry(name.trim().to_owned()).or_insert_with(|| value.trim().to_owned());
        }
    }
    fields
}

/// Value of `key` in `/etc/os-release`, without its quotes.
pub(super) fn os_release(text: &str, key: &str) -> Option<String> {
    let value = text.lines().find_map(|line| line.trim().strip_prefix(key)?.strip_prefix('='))?;
    let bare = value.trim().trim_matches(['"', '\'']);
    (!bare.is_empty()).then(|| bare.to_owned())
}

/// `always [madvise] never` → `madvise`.
pub(super) fn chosen(text: &str) -> Option<String> {
    let (_, rest) = text.split_once('[')?;
    let (word, _) = rest.split_once(']')?;
    (!word.trim().is_empty()).then(|| word.trim().to_owned())
}

/// `0`/`1`, also `N`/`Y`.
pub(super) fn switch(text: &str) -> Option<bool> {
    match text.trim() {
        "0" | "N" => Some(false),
        "1" | "Y" => Some(true),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn cpu_lists() {
        assert_eq!(cpu_list("0"), Some(vec![0]));
        assert_eq!(cpu_list("0-3,8,10-11\n"), Some(vec![0, 1, 2, 3, 8, 10, 11]));
        assert_eq!(cpu_list("2,1,1-2"), Some(vec![1, 2]));
        for bad in ["", "-", "3-1", "-1", "a", "0-4294967295", "1,,2", "0-", "1 2"] {
            assert_eq!(cpu_list(bad), None, "{bad}");
        }
    }

    #[test]
    fn sizes_and_memory() {
        let size = |text| cache_size(text).map(Bytes::get);
        assert_eq!(size("48K"), Some(49152.0));
        assert_eq!(size("491520K\n"), Some(503_316_480.0));
        assert_eq!(size("2M"), Some(2_097_152.0));
        assert_eq!(size("64"), Some(64.0));
        for bad in ["", "K", "-1K", "1G", "1.5M", "99999999999999999999K", "18446744073709551615K"] {
            assert_eq!(cache_size(bad), None, "{bad}");
        }
        let memory = |text| memory_total(text).map(Bytes::get);
        assert_eq!(memory("MemTotal:        8145292 kB\nMemFree: 1 kB\n"), Some(8_340_779_008.0));
        for bad in ["", "MemTotal:", "MemTotal: kB", "MemTotal: -5 kB", "MemTotal: 5 MB", "MemFree: 5 kB"] {
            assert_eq!(memory_total(bad), None, "{bad}");
        }
    }

    #[test]
    fn cpuinfo_and_os_release() {
        let fields =
            cpuinfo_block("processor\t: 0\nmodel name\t: A: B\nflags\t\t: fpu avx2\nflags : x\n\nprocessor : 1\n");
        assert_eq!(fields["model name"], "A: B");
        assert_eq!(fields["flags"], "fpu avx2");
        assert_eq!(fields["processor"], "0");
        let release = "NAME=\"Debian\"\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nVERSION_ID='12'\nEMPTY=\n";
        assert_eq!(os_release(release, "PRETTY_NAME").as_deref(), Some("Debian GNU/Linux 12 (bookworm)"));
        assert_eq!(os_release(release, "VERSION_ID").as_deref(), Some("12"));
        assert_eq!(os_release(release, "EMPTY"), None);
        assert_eq!(os_release(release, "PRETTY"), None);
    }

    #[test]
    fn choices_and_switches() {
        assert_eq!(chosen("always [madvise] never").as_deref(), Some("madvise"));
        assert_eq!((chosen("always"), chosen("[]"), chosen("]x[")), (None, None, None));
        assert_eq!((switch("1\n"), switch("N"), switch("2"), switch("")), (Some(true), Some(false), None, None));
    }

    proptest! {
        #[test]
        fn no_text_makes_a_parser_panic(text in "(?s).{0,200}") {
            let _ = (cpu_list(&text), digits(&text), cache_size(&text), memory_total(&text), chosen(&text), switch(&text));
            let _ = (cpuinfo_block(&text), os_release(&text, "ID"));
        }

        #[test]
        fn near_misses_are_safe(text in "[0-9,:K M\\-\n\\[\\]]{0,40}") {
            if let Some(cpus) = cpu_list(&text) {
                prop_assert!(cpus.is_sorted() && cpus.iter().all(|c| *c <= MAX_CPU));
            }
            let _ = (cache_size(&text), memory_total(&format!("MemTotal:{text} kB")), cpuinfo_block(&text), chosen(&text));
        }
    }
}
