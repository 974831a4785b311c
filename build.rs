//! Facts of the build that the program states in its records. Works without git and offline: what
//! cannot be found out is left unset.

use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=Cargo.lock");
    println!("cargo::rerun-if-changed=src");
    let root = PathBuf::from(variable("CARGO_MANIFEST_DIR"));
    set("WATTPROOF_RUSTC", &output(Command::new(variable("RUSTC")).arg("--version")).unwrap_or_default());
    set("WATTPROOF_TARGET", &variable("TARGET"));
    set("WATTPROOF_PROFILE", &profile(Path::new(&variable("OUT_DIR"))));
    for (name, package) in [("WATTPROOF_RAPL_ENERGY", "rapl-energy"), ("WATTPROOF_NVML_WRAPPER", "nvml-wrapper")] {
        set(name, &locked_version(&root.join("Cargo.lock"), package).unwrap_or_default());
    }
    if let Some(commit) = commit(&root) {
        set("WATTPROOF_COMMIT", &commit);
    }
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}

fn set(name: &str, value: &str) {
    println!("cargo::rustc-env={name}={value}");
}

fn output(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|o| o.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}

/// Name of the cargo profile. `PROFILE` says `release` for every profile that inherits from it,
/// but OUT_DIR is `…/<profile>/build/<package>/out`.
fn profile(out_dir: &Path) -> String {
    let folder = out_dir.ancestors().find(|p| p.ends_with("build")).and_then(Path::parent).and_then(Path::file_name);
    folder.map_or_else(|| variable("PROFILE"), |name| name.to_string_lossy().into_owned())
}

/// Version of a dependency in the lock file.
fn locked_version(lock: &Path, package: &str) -> Option<String> {
    let text = std::fs::read_to_string(lock).ok()?;
    let mut lines = text.lines().skip_while(|line| *line != format!("name = \"{package}\""));
    let version = lines.nth(1)?.strip_prefix("version = \"")?.strip_suffix('"')?;
    Some(version.to_owned())
}

/// Commit that is checked out, with `+dirty` when tracked files differ from it. Only of a
/// repository whose top is this very package: an unpacked archive inside another one has none.
fn commit(root: &Path) -> Option<String> {
    let git = |arguments: &[&str]| output(Command::new("git").arg("-C").arg(root).args(arguments));
    let top = git(&["rev-parse", "--show-toplevel"])?;
    if std::fs::canonicalize(top).ok()? != std::fs::canonicalize(root).ok()? {
        return None;
    }
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"]).map(|p| root.join(p)).filter(|p| p.exists()) {
        println!("cargo::rerun-if-changed={}", log.display());
    }
    let commit = git(&["rev-parse", "HEAD"])?;
    let changed = !git(&["status", "--porcelain", "--untracked-files=no"])?.is_empty();
    Some(if changed { commit + "+dirty" } else { commit })
}
