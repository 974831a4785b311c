//! One powercap zone: its id, its name and its counter file.

use crate::sensors::Domain;
use crate::units::MicroJoules;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

/// How the kernel reaches the counters of a zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Control {
    /// `intel-rapl`: model-specific registers or TPMI, on AMD as well.
    Msr,
    /// `intel-rapl-mmio`: the same package through memory-mapped registers.
    Mmio,
}

/// Id of a zone: `intel-rapl:a:1` is control type `intel-rapl`, zone 10, subzone 1. The kernel
/// prints the indices in hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ZoneId {
    pub(super) control: Control,
    /// One index a level; empty for the control type itself.
    pub(super) index: Vec<u32>,
}

impl ZoneId {
    /// Parses a folder name; `None` for anything that is no RAPL zone or control type.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let (control, rest) = match name.strip_prefix("intel-rapl-mmio") {
            Some(rest) => (Control::Mmio, rest),
            None => (Control::Msr, name.strip_prefix("intel-rapl")?),
        };
        let mut index = Vec::new();
        if !rest.is_empty() {
            for digits in rest.strip_prefix(':')?.split(':') {
                if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
                    return None;
                }
                index.push(u32::from_str_radix(digits, 16).ok()?);
            }
        }
        Some(Self { control, index })
    }

    /// The zone that contains this one; `None` at the top.
    pub(super) fn parent(&self) -> Option<Self> {
        let (_, above) = self.index.split_last()?;
        (!above.is_empty()).then(|| Self { control: self.control, index: above.to_vec() })
    }

    /// Whether this zone is directly below its control type.
    pub(super) fn is_top(&self) -> bool {
        self.index.len() == 1
    }
}

impl std::fmt::Display for ZoneId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.control {
            Control::Msr => "intel-rapl",
            Control::Mmio => "intel-rapl-mmio",
        })?;
        self.index.iter().try_for_each(|i| write!(f, ":{i:x}"))
    }
}

/// A zone whose counter was opened and read once.
#[derive(Debug)]
#[cfg_attr(not(feature = "rapl-energy"), expect(dead_code, reason = "id and name find it again in rapl-energy's tree"))]
pub(super) struct Zone {
    pub(super) id: ZoneId,
    /// The kernel's name of it: `package-0`, `core`, `dram`, `psys`.
    pub(super) name: String,
    pub(super) domain: Domain,
    pub(super) range: Option<MicroJoules>,
    pub(super) counter: CounterFile,
}

/// Why a counter file did not give a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum CounterError {
    /// It is there, and not for this user.
    #[error("{0}: permission denied")]
    Denied(String),
    /// It does not exist (any more).
    #[error("{0} is gone")]
    Gone(String),
    /// It gives an error or nonsense.
    #[error("{0}")]
    Broken(String),
}

impl CounterError {
    fn from_io(path: &Path, error: &io::Error) -> Self {
        let place = path.display().to_string();
        // A sysfs attribute whose device was removed answers ENODEV on a descriptor that is kept.
        match (error.kind(), error.raw_os_error()) {
            (io::ErrorKind::PermissionDenied, _) => Self::Denied(place),
            (io::ErrorKind::NotFound, _) | (_, Some(libc::ENODEV | libc::ENXIO)) => Self::Gone(place),
            _ => Self::Broken(format!("{place}: {error}")),
        }
    }
}

/// An open `energy_uj` file. It stays open and is read in place, which takes one system call.
#[derive(Debug)]
pub(super) struct CounterFile {
    file: File,
    path: PathBuf,
}

impl CounterFile {
    /// Opens the file; it is not read yet.
    pub(super) fn open(path: PathBuf) -> Result<Self, CounterError> {
        match File::open(&path) {
            Ok(file) => Ok(Self { file, path }),
            Err(error) => Err(CounterError::from_io(&path, &error)),
        }
    }

    /// The counter's value now.
    pub(super) fn read(&self) -> Result<MicroJoules, CounterError> {
        // 20 digits and a newline is the longest that fits in 64 bits.
        let mut buffer = [0u8; 64];
        let length = self.file.read_at(&mut buffer, 0).map_err(|e| CounterError::from_io(&self.path, &e))?;
        let text = buffer[..length].trim_ascii();
        if text.is_empty() && self.file.metadata().is_ok_and(|m| m.nlink() == 0) {
            return Err(CounterError::Gone(self.path.display().to_string()));
        }
        parse_counter(text).ok_or_else(|| {
            CounterError::Broken(format!("{}: `{}` is no counter value", self.path.display(), text.escape_ascii()))
        })
    }
}

/// Decimal digits alone: no sign, no exponent, no unit.
pub(super) fn parse_counter(text: &[u8]) -> Option<MicroJoules> {
    let text = text.trim_ascii();
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok().map(MicroJoules::new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn zone_ids_are_hexadecimal_and_nest() {
        let id = ZoneId::parse("intel-rapl:a:1").unwrap();
        assert_eq!((id.control, id.index.as_slice()), (Control::Msr, &[10, 1][..]));
        assert_eq!(id.parent().unwrap().to_string(), "intel-rapl:a");
        assert_eq!(id.parent().unwrap().parent(), None);
        assert_eq!(ZoneId::parse("intel-rapl-mmio:0").unwrap().control, Control::Mmio);
        assert!(ZoneId::parse("intel-rapl").unwrap().index.is_empty());
        for bad in ["", "dtpm", "intel-rapl:", "intel-rapl:g", "intel-rapl:0:", "intel-rapl-x:0", "intel-rapl:+1"] {
            assert_eq!(ZoneId::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn only_plain_digits_are_a_counter() {
        for (text, value) in [("0", 0), ("00000000000000000042\n", 42), (" 7 ", 7), ("18446744073709551615", u64::MAX)]
        {
            assert_eq!(parse_counter(text.as_bytes()), Some(MicroJoules::new(value)), "{text}");
        }
        for bad in ["", " ", "\n", "-1", "+1", "1.5", "1e3", "12 34", "18446744073709551616", "0x10", "nan", "\u{663}"]
        {
            assert_eq!(parse_counter(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn a_file_that_is_truncated_is_broken_and_one_that_is_removed_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("energy_uj");
        std::fs::write(&path, "123\n").unwrap();
        let counter = CounterFile::open(path.clone()).unwrap();
        assert_eq!(counter.read(), Ok(MicroJoules::new(123)));
        std::fs::write(&path, "").unwrap();
        assert!(matches!(counter.read(), Err(CounterError::Broken(text)) if text.contains("energy_uj")));
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(counter.read(), Err(CounterError::Gone(_))));
        assert!(matches!(CounterFile::open(path), Err(CounterError::Gone(_))));
    }

    proptest! {
        #[test]
        fn any_bytes_parse_or_do_not_but_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Some(value) = parse_counter(&bytes) {
                let text = std::str::from_utf8(&bytes).unwrap().trim().trim_start_matches('0');
                prop_assert_eq!(if text.is_empty() { "0" } else { text }, value.get().to_string());
            }
        }

        #[test]
        fn zone_ids_round_trip(mmio in any::<bool>(), index in proptest::collection::vec(0u32..400, 0..4)) {
            let id = ZoneId { control: if mmio { Control::Mmio } else { Control::Msr }, index };
            prop_assert_eq!(ZoneId::parse(&id.to_string()), Some(id));
        }

        #[test]
        fn any_folder_name_is_safe(name in ".*") {
            let _ = ZoneId::parse(&name);
            let prefixed = format!("intel-rapl{name}");
            if let Some(id) = ZoneId::parse(&prefixed) {
                prop_assert!(prefixed.starts_with("intel-rapl") && id.index.len() <= prefixed.len());
            }
        }
    }
}
