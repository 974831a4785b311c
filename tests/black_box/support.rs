//! What the black-box tests share: the binary, a folder of their own and small suites.

use serde_json::Value;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

/// Settings that make a run last a fraction of a second and accept a busy machine.
pub(crate) const FAST: &str = "settings: { repeats: 2, window_floor: 5 ms, idle: 60 ms, warm_up_min: 2 ms, \
     warm_up_max: 20 ms, probe: 2 ms, probe_size: 4 MiB, retries: 0, foreign_load_limit: 1, steal_limit: 1, \
     bootstrap_resamples: 200 }";

/// A folder for one test, with the binary to run in it.
pub(crate) struct Sandbox {
    dir: TempDir,
}

/// What a run of the binary left behind.
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Sandbox {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    /// A suite of two small workloads, gemm and triad.
    pub(crate) fn tiny_suite(&self) -> PathBuf {
        self.suite("tiny", FAST)
    }

    pub(crate) fn suite(&self, id: &str, settings: &str) -> PathBuf {
        let mut text = format!("version: 1\nsuite: {id}\ntitle: Tiny suite\nprofile: quick\n{settings}\ncases:\n");
        for case in [
            "{ kernel: gemm, matrix: { shape: [64x48x32], threads: 1 } }",
            "{ kernel: triad, matrix: { bytes: 1 MiB, threads: 1 } }",
        ] {
            writeln!(text, "  - {case}").unwrap();
        }
        self.write(&format!("{id}.yaml"), text)
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wattproof"));
        command.args(args).current_dir(self.dir.path()).env_remove("NO_COLOR");
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        Ran::from(self.command(args).output().unwrap())
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Ran {
    /// Fails with everything the program said unless it ended with `code`, and never on a panic.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert!(!self.stderr.contains("panicked"), "panic:\n{}", self.stderr);
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// Fails unless stderr has every one of `words`.
    #[track_caller]
    pub(crate) fn says(self, words: &[&str]) -> Self {
        for word in words {
            assert!(self.stderr.contains(word), "no `{word}` in:\n{}", self.stderr);
        }
        self
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e} in:\n{}", self.stdout))
    }
}

/// `record.json` of a record folder.
pub(crate) fn header(dir: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(dir.join("record.json")).unwrap()).unwrap()
}

/// The whole lines of `samples.jsonl`.
pub(crate) fn events(dir: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(dir.join("samples.jsonl")).unwrap();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// Events of one kind.
pub(crate) fn of_kind<'a>(events: &'a [Value], kind: &str) -> Vec<&'a Value> {
    events.iter().filter(|e| e["event"] == kind).collect()
}
