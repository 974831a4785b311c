//! Compiled programs on disk, so that a second run starts at once.
//!
//! A file is named after everything that its contents depend on: text, macros, architecture, version of the compiler. It begins
//! with the digest of the rest, so a damaged one is noticed and made anew. It is written beside its place and moved there, so
//! that two processes never see half of one.

use super::nvrtc::{Compiler, NvrtcError, Source};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// Names the folder.
pub const FOLDER_VARIABLE: &str = "WATTPROOF_CACHE";
const MAGIC: &str = "wattproof cubin 1";
/// No program of ours comes near; a larger file is not ours.
const LARGEST: u64 = 64 << 20;

/// Where a CUBIN came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Read from disk.
    Cached,
    /// Compiled, as the cache had none.
    Compiled,
    /// Compiled, as what the cache had was damaged.
    Repaired,
}

/// The folder, or none: then everything is compiled anew.
#[derive(Debug, Clone, Default)]
pub struct Cache {
    folder: Option<PathBuf>,
}

impl Cache {
    /// The user's: [`FOLDER_VARIABLE`], else `wattproof` in `XDG_CACHE_HOME`, else in `~/.cache`; none where no variable is set.
    #[must_use]
    pub fn of_user() -> Self {
        let folder = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
        let own = folder(FOLDER_VARIABLE);
        let shared = || folder("XDG_CACHE_HOME").or_else(|| Some(folder("HOME")?.join(".cache")));
        Self { folder: own.or_else(|| Some(shared()?.join("wattproof"))) }
    }

    /// A folder of one's own.
    #[must_use]
    pub const fn at(folder: PathBuf) -> Self {
        Self { folder: Some(folder) }
    }

    /// The CUBIN of a text, compiled if need be. What cannot be written to disk is compiled again next time.
    ///
    /// # Errors
    /// [`NvrtcError`] when it has to be compiled and cannot be.
    pub fn cubin(&self, compiler: &Compiler, source: &Source<'_>) -> Result<(Vec<u8>, Origin), NvrtcError> {
        let file = self.folder.as_ref().map(|f| f.join(format!("{}.cubin", key(source, compiler.version()))));
        let mut origin = Origin::Compiled;
        if let Some(file) = &file {
            match read(file) {
                Stored::Whole(cubin) => return Ok((cubin, Origin::Cached)),
                Stored::Damaged => origin = Origin::Repaired,
                Stored::Absent => {}
            }
        }
        let cubin = compiler.compile(source)?;
        if let Some(file) = &file {
            drop(write(file, &cubin));
        }
        Ok((cubin, origin))
    }
}

/// The digest of all that a CUBIN depends on; lengths keep the parts apart.
fn key(source: &Source<'_>, version: (u32, u32)) -> String {
    let mut hash = Sha256::new();
    let mut part = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    part(source.text.as_bytes());
    for (name, value) in source.macros {
        part(name.as_bytes());
        part(&value.to_le_bytes());
    }
    part(source.architecture.option().as_bytes());
    part(format!("{}.{}", version.0, version.1).as_bytes());
    hex(&hash.finalize())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

enum Stored {
    Whole(Vec<u8>),
    Damaged,
    Absent,
}

fn read(file: &Path) -> Stored {
    match std::fs::metadata(file) {
        Err(_) => return Stored::Absent,
        Ok(facts) if facts.len() > LARGEST || !facts.is_file() => return Stored::Damaged,
        Ok(_) => {}
    }
    let Ok(bytes) = std::fs::read(file) else { return Stored::Absent };
    let head = head(&[]).len();
    match bytes.split_at_checked(head) {
        Some((found, cubin)) if found == self::head(cubin).as_bytes() => Stored::Whole(cubin.to_vec()),
        _ => Stored::Damaged,
    }
}

/// What stands before a CUBIN in its file.
fn head(cubin: &[u8]) -> String {
    format!("{MAGIC}\n{}\n", hex(&Sha256::digest(cubin)))
}

fn write(file: &Path, cubin: &[u8]) -> std::io::Result<()> {
    let folder = file.parent().unwrap_or_else(|| Path::new("."));
    std::fs::create_dir_all(folder)?;
    let part = file.with_extension(format!("part-{}", std::process::id()));
    let written =
        std::fs::write(&part, [head(cubin).as_bytes(), cubin].concat()).and_then(|()| std::fs::rename(&part, file));
    if written.is_err() {
        drop(std::fs::remove_file(&part));
    }
    written
}

#[cfg(test)]
mod tests {
    use super::super::nvrtc::Architecture;
    use super::*;

    #[test]
    fn the_key_follows_everything_that_a_cubin_depends_on() {
        let hopper = Architecture { major: 9, minor: 0 };
        let source = Source { text: "x", macros: &[("A", 1)], architecture: hopper };
        let all = [
            key(&source, (13, 0)),
            key(&source, (13, 1)),
            key(&Source { text: "y", ..source }, (13, 0)),
            key(&Source { macros: &[("A", 2)], ..source }, (13, 0)),
            key(&Source { macros: &[("B", 1)], ..source }, (13, 0)),
            key(&Source { macros: &[], ..source }, (13, 0)),
            key(&Source { architecture: Architecture { major: 8, minor: 0 }, ..source }, (13, 0)),
        ];
        for (i, one) in all.iter().enumerate() {
            assert!(one.len() == 64 && !all[..i].contains(one), "{i}");
        }
    }

    #[test]
    fn a_file_reads_back_and_any_damage_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("deep").join("a.cubin");
        assert!(matches!(read(&file), Stored::Absent));
        write(&file, b"machine code").unwrap();
        assert!(matches!(read(&file), Stored::Whole(cubin) if cubin == b"machine code"));
        let whole = std::fs::read(&file).unwrap();
        for at in [0, 20, whole.len() - 1] {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            std::fs::write(&file, bytes).unwrap();
            assert!(matches!(read(&file), Stored::Damaged), "byte {at}");
        }
        for len in [0, 10, whole.len() - 1] {
            std::fs::write(&file, &whole[..len]).unwrap();
            assert!(matches!(read(&file), Stored::Damaged), "{len} bytes");
        }
        assert_eq!(std::fs::read_dir(file.parent().unwrap()).unwrap().count(), 1, "no part is left behind");
    }
}
