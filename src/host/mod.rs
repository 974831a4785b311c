//! The host: identity and state, read from sysfs and procfs below an injectable root.

use std::path::{Path, PathBuf};

/// Where sysfs and procfs are found. Redirecting the root lets tests bring their own machine; a
/// record made that way is `simulated` for ever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    root: PathBuf,
}

impl Host {
    /// The real machine.
    #[must_use]
    pub fn real() -> Self {
        Self { root: PathBuf::from("/") }
    }

    /// A machine below `root`.
    #[must_use]
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Whether this is not the real machine.
    #[must_use]
    pub fn is_redirected(&self) -> bool {
        self.root != Path::new("/")
    }

    /// `sys/class/powercap` → the path below this host's root.
    #[must_use]
    pub fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative.trim_start_matches('/'))
    }

    /// The trimmed text of a file, `None` when it cannot be read or is empty.
    #[must_use]
    pub fn read(&self, relative: &str) -> Option<String> {
        let text = std::fs::read_to_string(self.path(relative)).ok()?;
        let trimmed = text.trim();
        (!trimmed.is_empty()).then(|| trimmed.to_owned())
    }
}
