//! A file of sysfs that holds one number: opened once, read in place.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Why a file did not give a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum AttributeError {
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

impl AttributeError {
    fn from_io(path: &Path, error: &io::Error) -> Self {
        let place = path.display().to_string();
        match (error.kind(), error.raw_os_error()) {
            // A driver refuses with EPERM what it cannot do just now, to everybody: amdgpu does
            // while the board sleeps. Rights are refused with EACCES.
            (_, Some(libc::EPERM)) => Self::Broken(format!("{place}: {error}")),
            (io::ErrorKind::PermissionDenied, _) => Self::Denied(place),
            // A sysfs attribute whose device was removed answers ENODEV on a descriptor that is kept.
            (io::ErrorKind::NotFound, _) | (_, Some(libc::ENODEV | libc::ENXIO)) => Self::Gone(place),
            _ => Self::Broken(format!("{place}: {error}")),
        }
    }
}

/// An open file. It stays open and is read in place, which takes one system call.
#[derive(Debug)]
pub(super) struct Attribute {
    file: File,
    path: PathBuf,
}

impl Attribute {
    /// Opens the file; it is not read yet.
    pub(super) fn open(path: PathBuf) -> Result<Self, AttributeError> {
        match File::open(&path) {
            Ok(file) => Ok(Self { file, path }),
            Err(error) => Err(AttributeError::from_io(&path, &error)),
        }
    }

    /// The number that it holds now, in the unit of the file.
    pub(super) fn read(&self) -> Result<u64, AttributeError> {
        self.parsed(parse_number)
    }

    /// As [`Self::read`], where a minus sign may stand before the number.
    pub(super) fn read_signed(&self) -> Result<i64, AttributeError> {
        self.parsed(parse_signed)
    }

    /// Whether its text is `word`; false when it cannot be read.
    pub(super) fn says(&self, word: &str) -> bool {
        self.parsed(|text| (text == word.as_bytes()).then_some(())).is_ok()
    }

    fn parsed<T>(&self, parse: impl Fn(&[u8]) -> Option<T>) -> Result<T, AttributeError> {
        // 20 digits and a newline is the longest number that fits in 64 bits.
        let mut buffer = [0u8; 64];
        let length = self.file.read_at(&mut buffer, 0).map_err(|e| AttributeError::from_io(&self.path, &e))?;
        let text = buffer[..length].trim_ascii();
        if text.is_empty() && self.file.metadata().is_ok_and(|m| m.nlink() == 0) {
            return Err(AttributeError::Gone(self.path.display().to_string()));
        }
        parse(text).ok_or_else(|| {
            AttributeError::Broken(format!("{}: `{}` is no counter value", self.path.display(), text.escape_ascii()))
        })
    }
}

/// Decimal digits alone: no sign, no exponent, no unit.
pub(super) fn parse_number(text: &[u8]) -> Option<u64> {
    let text = text.trim_ascii();
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Decimal digits with at most a minus sign before them.
fn parse_signed(text: &[u8]) -> Option<i64> {
    let text = text.trim_ascii();
    match text.strip_prefix(b"-") {
        Some(digits) if digits.first()?.is_ascii_digit() => 0i64.checked_sub_unsigned(parse_number(digits)?),
        Some(_) => None,
        None => i64::try_from(parse_number(text)?).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_plain_digits_are_a_number() {
        for (text, value) in [("0", 0), ("00000000000000000042\n", 42), (" 7 ", 7), ("18446744073709551615", u64::MAX)]
        {
            assert_eq!(parse_number(text.as_bytes()), Some(value), "{text}");
        }
        for bad in ["", " ", "\n", "-1", "+1", "1.5", "1e3", "12 34", "18446744073709551616", "0x10", "nan", "\u{663}"]
        {
            assert_eq!(parse_number(bad.as_bytes()), None, "{bad}");
        }
        for (text, value) in [("-12\n", Some(-12)), ("12", Some(12)), ("-9223372036854775808", Some(i64::MIN))] {
            assert_eq!(parse_signed(text.as_bytes()), value, "{text}");
        }
        for bad in ["", "-", "--1", "- 1", "+1", "-1.5", "9223372036854775808", "-9223372036854775809"] {
            assert_eq!(parse_signed(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn a_file_that_is_truncated_is_broken_and_one_that_is_removed_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("energy_uj");
        std::fs::write(&path, "123\n").unwrap();
        let counter = Attribute::open(path.clone()).unwrap();
        assert_eq!((counter.read(), counter.read_signed()), (Ok(123), Ok(123)));
        assert!(counter.says("123") && !counter.says("12"));
        std::fs::write(&path, "").unwrap();
        assert!(matches!(counter.read(), Err(AttributeError::Broken(text)) if text.contains("energy_uj")));
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(counter.read(), Err(AttributeError::Gone(_))));
        assert!(matches!(Attribute::open(path), Err(AttributeError::Gone(_))));
    }

    #[test]
    fn a_refusal_to_everybody_is_no_question_of_rights() {
        let error = |code| AttributeError::from_io(Path::new("/x"), &io::Error::from_raw_os_error(code));
        assert_eq!(error(libc::EACCES), AttributeError::Denied("/x".to_owned()));
        assert!(matches!(error(libc::EPERM), AttributeError::Broken(_)));
        assert!(matches!(error(libc::EIO), AttributeError::Broken(_)));
        assert_eq!(error(libc::ENODEV), AttributeError::Gone("/x".to_owned()));
    }

    proptest! {
        #[test]
        fn any_bytes_parse_or_do_not_but_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Some(value) = parse_number(&bytes) {
                let text = std::str::from_utf8(&bytes).unwrap().trim().trim_start_matches('0');
                prop_assert_eq!(if text.is_empty() { "0" } else { text }, value.to_string());
            }
            let _ = parse_signed(&bytes);
        }

        #[test]
        fn numbers_round_trip(value in any::<i64>(), count in any::<u64>()) {
            prop_assert_eq!(parse_signed(format!("{value}\n").as_bytes()), Some(value));
            prop_assert_eq!(parse_number(count.to_string().as_bytes()), Some(count));
        }
    }
}
