//! The recipes of ci/ for real: their shell steps, run by the shells that CI uses, against the built binary.

#![expect(clippy::unwrap_used, reason = "a test may fail here")]

mod skip;

use serde_yaml::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;
use wattproof::record::{fixture, store};
use wattproof::units::Seconds;

/// A fast suite, and a gate that only a change by more than eleven times fails: real windows on a busy machine.
const SUITE: &str = "version: 1\nsuite: ci\nprofile: quick\nsettings: { repeats: 6, window_floor: 5 ms, idle: 60 ms, \
     warm_up_min: 2 ms, warm_up_max: 20 ms, probe: 2 ms, probe_size: 4 MiB, retries: 0, foreign_load_limit: 1, \
     steal_limit: 1, bootstrap_resamples: 200 }\ncases:\n  - { kernel: gemm, matrix: { shape: [64x48x32], threads: 1 } }\n";
const GATE: &str = "version: 1\nminimum_effect: 1000 %\nmetrics: [time, accuracy]\n";

/// A repository with the suite, and with a baseline that was measured here.
struct Project {
    home: TempDir,
}

impl Project {
    fn new() -> Self {
        let project = Self { home: tempfile::tempdir().unwrap() };
        project.write("suites/ci.yaml", SUITE);
        project.write("gate.yaml", GATE);
        let run = project.wattproof(&["run", "suites/ci.yaml", "--out", "records/base"]);
        assert!(run.status.success(), "{}", said(&run));
        for args in [
            &["init", "-q", "-b", "main"][..],
            &["add", "suites", "gate.yaml", "records/base/record.json", "records/base/samples.jsonl"],
            &["-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-q", "-m", "baseline"],
        ] {
            let git = Command::new("git").args(args).current_dir(project.path("")).output().unwrap();
            assert!(git.status.success(), "{}", said(&git));
        }
        project
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join("project").join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn wattproof(&self, args: &[&str]) -> Output {
        Command::new(BINARY).args(args).current_dir(self.path("")).output().unwrap()
    }

    /// Rewrites the baseline as if every window had taken a hundredth of its time.
    fn faster_baseline(&self) {
        let mut record = store::load(&self.path("records/base")).unwrap();
        for sample in record.measurements.iter_mut().flat_map(|m| &mut m.samples) {
            sample.wall = Seconds::new(sample.wall.get() / 100.0).unwrap();
        }
        let (header, samples) = fixture::on_disk(&record);
        self.write("records/base/record.json", header);
        self.write("records/base/samples.jsonl", samples);
    }
}

const BINARY: &str = env!("CARGO_BIN_EXE_wattproof");

fn ci(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("ci").join(name)
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn recipe(name: &str) -> Value {
    serde_yaml::from_str(&fs::read_to_string(ci(name)).unwrap()).unwrap()
}

#[test]
fn the_shell_script_measures_gates_and_keeps_everything() {
    let project = Project::new();
    let gate = |baseline: &str, gate: &str| {
        let mut command = Command::new("sh");
        command.arg(ci("gate.sh")).current_dir(project.path("")).env("WATTPROOF_BIN", BINARY);
        command.env("WATTPROOF_SUITE", "suites/ci.yaml").env("WATTPROOF_BASELINE", baseline);
        command.env("WATTPROOF_GATE", gate).output().unwrap()
    };
    let first = gate("", "");
    assert_eq!(first.status.code(), Some(0), "{}", said(&first));
    assert!(said(&first).contains("no baseline") && !project.path("wattproof-out/gate.json").exists());
    let passed = gate("main:records", "gate.yaml");
    assert_eq!(passed.status.code(), Some(0), "{}", said(&passed));
    for file in [
        "record/record.json",
        "record/report.html",
        "bundle.tar.zst",
        "gate.json",
        "gate.xml",
        "gate.sarif",
        "gate.md",
        "annotations.txt",
        "gl-code-quality-report.json",
        "gate.parquet",
    ] {
        assert!(project.path(&format!("wattproof-out/{file}")).exists(), "{file}");
    }
    project.faster_baseline();
    let worse = gate("records", "gate.yaml");
    assert_eq!(worse.status.code(), Some(7), "{}", said(&worse));
    assert!(said(&worse).contains("gate FAILED"));
    let nothing = gate("no-such-ref", "gate.yaml");
    assert_eq!(nothing.status.code(), Some(2), "{}", said(&nothing));
    let unnamed = Command::new("sh").arg(ci("gate.sh")).env("WATTPROOF_BIN", BINARY).output().unwrap();
    assert!(!unnamed.status.success() && said(&unnamed).contains("name the suite"), "{}", said(&unnamed));
}

/// What GitHub fills in between `${{` and `}}`.
struct Context {
    inputs: BTreeMap<String, String>,
    outputs: BTreeMap<String, String>,
    temp: String,
}

impl Context {
    fn fill(&self, text: &str) -> String {
        let mut rest = text;
        let mut out = String::new();
        while let Some((before, after)) = rest.split_once("${{") {
            let (expression, after) = after.split_once("}}").unwrap();
            let name = expression.trim();
            let value = match name.split('.').collect::<Vec<_>>().as_slice() {
                ["inputs", input] => self.inputs[*input].clone(),
                ["steps", step, "outputs", output] => self.outputs[&format!("{step}.{output}")].clone(),
                ["runner", "temp"] => self.temp.clone(),
                ["runner", "os" | "arch"] => "any".to_owned(),
                other => panic!("unknown expression {other:?}"),
            };
            out.push_str(before);
            out.push_str(&value);
            rest = after;
        }
        out + rest
    }
}

/// Runs the action as a runner does: each step in bash with `-e -o pipefail`, outputs handed on. The build comes out of
/// the cache, as it does in every run but the first. Returns what was printed, the summary and how it ended.
fn action(project: &Project, given: &[(&str, &str)]) -> (String, String, i32) {
    let action = recipe("action.yml");
    let temp = project.home.path().join("temp");
    fs::create_dir_all(temp.join("wattproof/bin")).unwrap();
    let _ = std::os::unix::fs::symlink(BINARY, temp.join("wattproof/bin/wattproof"));
    let mut context = Context {
        inputs: BTreeMap::new(),
        outputs: [("cache.cache-hit".to_owned(), "true".to_owned())].into(),
        temp: temp.display().to_string(),
    };
    for (name, input) in action["inputs"].as_mapping().unwrap() {
        let name = name.as_str().unwrap();
        let set = given.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
        let default = input.get("default").and_then(Value::as_str).map(str::to_owned);
        context.inputs.insert(name.to_owned(), set.or(default).unwrap_or_else(|| panic!("{name} is required")));
    }
    let (outputs, summary) = (temp.join("outputs"), temp.join("summary"));
    fs::write(&summary, "").unwrap();
    let mut printed = String::new();
    for step in action["runs"]["steps"].as_sequence().unwrap() {
        if step.get("if").and_then(Value::as_str) == Some("steps.cache.outputs.cache-hit != 'true'") {
            continue;
        }
        let Some(script) = step.get("run").and_then(Value::as_str) else {
            let uses = step["uses"].as_str().unwrap();
            let commit = uses.split_once('@').unwrap().1;
            assert!(commit.len() == 40 && commit.chars().all(|c| c.is_ascii_hexdigit()), "{uses} is not pinned");
            let with = step["with"].as_mapping().unwrap();
            with.values().for_each(|v| assert!(!context.fill(v.as_str().unwrap()).is_empty()));
            continue;
        };
        assert_eq!(step["shell"], Value::from("bash"));
        assert!(!script.contains("${{"), "an input inside a script is a way to inject commands: {script}");
        fs::write(&outputs, "").unwrap();
        let mut command = Command::new("bash");
        command.args(["--noprofile", "--norc", "-e", "-o", "pipefail", "-c", script]).current_dir(project.path(""));
        command.env("GITHUB_ACTION_PATH", ci("")).env("RUNNER_TEMP", &temp);
        command.env("GITHUB_OUTPUT", &outputs).env("GITHUB_STEP_SUMMARY", &summary);
        for (name, value) in step.get("env").and_then(Value::as_mapping).into_iter().flatten() {
            command.env(name.as_str().unwrap(), context.fill(value.as_str().unwrap()));
        }
        let output = command.output().unwrap();
        printed += &said(&output);
        for line in fs::read_to_string(&outputs).unwrap().lines() {
            let (name, value) = line.split_once('=').unwrap();
            context.outputs.insert(format!("{}.{name}", step["id"].as_str().unwrap()), value.to_owned());
        }
        if !output.status.success() {
            return (printed, fs::read_to_string(&summary).unwrap(), output.status.code().unwrap());
        }
    }
    for (_, output) in action["outputs"].as_mapping().unwrap() {
        assert!(!context.fill(output["value"].as_str().unwrap()).is_empty());
    }
    (printed, fs::read_to_string(&summary).unwrap(), 0)
}

#[test]
fn the_action_runs_step_by_step() {
    let project = Project::new();
    let given = [("suite", "suites/ci.yaml"), ("baseline", "main"), ("path", "records"), ("gate", "gate.yaml")];
    let (printed, summary, code) = action(&project, &given);
    assert_eq!(code, 0, "{printed}");
    assert!(
        summary.contains("## ✅ wattproof gate") && printed.contains("::notice title=wattproof gate::"),
        "{printed}"
    );
    project.faster_baseline();
    let given = [("suite", "suites/ci.yaml"), ("baseline", "records"), ("gate", "gate.yaml")];
    let (printed, summary, code) = action(&project, &given);
    assert_eq!(code, 7, "{printed}");
    assert!(
        summary.contains("## ❌ wattproof gate") && printed.contains("::error file=suites/ci.yaml,line="),
        "{printed}"
    );
    let hostile = "$(touch pwned); \"`touch pwned`";
    let (printed, _, code) = action(&project, &[("suite", "suites/ci.yaml"), ("baseline", hostile)]);
    assert!(code == 2 && !project.path("pwned").exists(), "{code}: {printed}");
}

#[test]
fn the_gitlab_job_runs_from_its_cache() {
    let project = Project::new();
    let job = recipe("gitlab.yml");
    let job = &job["wattproof"];
    // What the cache of an earlier job holds.
    let home = project.path(".wattproof/v1");
    fs::create_dir_all(home.join("bin")).unwrap();
    fs::create_dir_all(home.join("src/ci")).unwrap();
    std::os::unix::fs::symlink(BINARY, home.join("bin/wattproof")).unwrap();
    fs::copy(ci("gate.sh"), home.join("src/ci/gate.sh")).unwrap();
    let mut variables: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in job["variables"].as_mapping().unwrap() {
        variables.insert(name.as_str().unwrap().to_owned(), value.as_str().unwrap().to_owned());
    }
    for (name, value) in [
        ("WATTPROOF_REF", "v1"),
        ("WATTPROOF_SUITE", "suites/ci.yaml"),
        ("WATTPROOF_BASELINE", "main:records/base"),
        ("WATTPROOF_GATE", "gate.yaml"),
    ] {
        variables.insert(name.to_owned(), value.to_owned());
    }
    // GitLab expands variables inside variables.
    let expanded = variables["WATTPROOF_BIN"].replace("$WATTPROOF_REF", "v1");
    variables.insert("WATTPROOF_BIN".to_owned(), expanded);
    let run = |variables: &BTreeMap<String, String>| {
        let lines = ["before_script", "script"].map(|key| {
            job[key]
                .as_sequence()
                .unwrap()
                .iter()
                .map(|l| l.as_str().unwrap().to_owned())
                .collect::<Vec<_>>()
                .join("\n")
        });
        let mut command = Command::new("sh");
        command.args(["-e", "-c", &lines.join("\n")]).current_dir(project.path("")).envs(variables);
        command.env("CI_PROJECT_DIR", project.path("")).output().unwrap()
    };
    let output = run(&variables);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let reports = job["artifacts"]["reports"].as_mapping().unwrap();
    assert_eq!(reports.len(), 2);
    for file in reports.values() {
        assert!(project.path(file.as_str().unwrap()).exists(), "{file:?}");
    }
    project.faster_baseline();
    variables.insert("WATTPROOF_BASELINE".to_owned(), "records/base".to_owned());
    let output = run(&variables);
    assert_eq!(output.status.code(), Some(7), "{}", said(&output));
}

/// The nightly recipe of docs/ci.md, word for word, on two nights.
#[test]
fn the_nightly_recipe_keeps_a_history_and_gates_against_it() {
    let project = Project::new();
    fs::create_dir_all(project.path("ci")).unwrap();
    fs::copy(ci("gate.sh"), project.path("ci/gate.sh")).unwrap();
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/ci.md")).unwrap();
    let section = page.split_once("## Nightly history").unwrap().1;
    let script = section.split_once("```sh\n").unwrap().1.split_once("```").unwrap().0;
    let script = script.replace("suites/quick.yaml", "suites/ci.yaml");
    let bash = |script: &str| {
        let mut command = Command::new("bash");
        command.args(["-e", "-o", "pipefail", "-c", script]).current_dir(project.path(""));
        for name in ["GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"] {
            command.env(name, "t");
        }
        command.env("WATTPROOF_BIN", BINARY).env("WATTPROOF_GATE", "gate.yaml").output().unwrap()
    };
    let origin = bash("git init -q --bare ../origin.git && git remote add origin ../origin.git");
    assert!(origin.status.success(), "{}", said(&origin));
    let first = bash(&script.replace("WATTPROOF_BASELINE=wattproof-history", "WATTPROOF_BASELINE="));
    assert!(first.status.success() && said(&first).contains("nothing was gated"), "{}", said(&first));
    let fresh = bash("git worktree remove --force ../history && git branch -D wattproof-history");
    assert!(fresh.status.success(), "{}", said(&fresh));
    let second = bash(&script.replace("%Y%m%d", "%Y%m%d-second"));
    assert!(second.status.success() && said(&second).contains("gate passed"), "{}", said(&second));
    let kept = bash("git ls-tree -r --name-only origin/wattproof-history | grep -c record.json");
    assert_eq!(said(&kept).trim(), "2", "{}", said(&second));
    // The store saw both nights, each once, with the commit of the project.
    assert!(said(&second).contains("1 added, 0 known already"), "{}", said(&second));
    let list = project.wattproof(&["history", "list", "--store", "../history.sqlite", "--format", "json"]);
    let list: serde_json::Value = serde_json::from_slice(&list.stdout).unwrap();
    let head = said(&bash("git rev-parse HEAD"));
    assert_eq!(list["records_in_all"], 2);
    assert_eq!((&list["records"][0]["commit"], &list["records"][0]["branch"]), (&head.trim().into(), &"main".into()));
    assert!(fs::read_to_string(project.path("wattproof-out/history.html")).unwrap().contains("<svg"));
}

/// Before the schemas of GitHub and GitLab that check-jsonschema brings.
#[test]
fn recipes_fit_the_schemas_of_their_readers() {
    let tool = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/gate/venv/bin/check-jsonschema");
    if !tool.exists() {
        skip::skip("schemas of CI files", &format!("{} is not there; ci/test.sh installs it", tool.display()));
        return;
    }
    let check = |arguments: &[&str], file: &Path| {
        Command::new(&tool).arg("--builtin-schema").args(arguments).arg(file).output().unwrap()
    };
    let github = check(&["vendor.github-actions"], &ci("action.yml"));
    assert!(github.status.success(), "{}", said(&github));
    let gitlab = check(&["vendor.gitlab-ci", "--data-transform", "gitlab-ci"], &ci("gitlab.yml"));
    assert!(gitlab.status.success(), "{}", said(&gitlab));
    let dir = tempfile::tempdir().unwrap();
    let broken = dir.path().join("action.yml");
    fs::write(&broken, fs::read_to_string(ci("action.yml")).unwrap().replace("using: composite", "using: compost"))
        .unwrap();
    assert!(!check(&["vendor.github-actions"], &broken).status.success());
}

/// A crate with a finding, in its code or documentation, counts as not compiled, or cargo would never look at it again; what
/// rustc makes is all that is made.
#[test]
fn linting_rides_on_compiling() {
    if !Command::new("clippy-driver").arg("--version").output().is_ok_and(|o| o.status.success()) {
        skip::skip("lints while compiling", "clippy-driver is not installed");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    fs::create_dir(&out).unwrap();
    let compile = |text: &str| {
        let source = dir.path().join("crate.rs");
        fs::write(&source, text).unwrap();
        let mut command = Command::new(ci("lint.sh"));
        command.args(["rustc", "--crate-name=crated", "--crate-type=lib", "--emit=dep-info,metadata,link"]);
        command.args(["--error-format=json", "--json=diagnostic-rendered-ansi,artifacts", "--out-dir"]).arg(&out);
        // Cargo says by this variable that a crate is one of the project, of which clippy speaks.
        command.arg(&source).args(["-W", "clippy::all"]).env("CARGO_PRIMARY_PACKAGE", "1").output().unwrap()
    };
    let clean = compile("//! Nothing.\n");
    assert!(clean.status.success(), "{}", said(&clean));
    let made: Vec<_> = fs::read_dir(&out).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(made.len(), 3, "{made:?}");
    // Cargo goes on as soon as it is told of a file, so each is told of once.
    assert_eq!(said(&clean).matches(".rmeta").count(), 1, "{}", said(&clean));
    let finding =
        compile("//! A finding of clippy, none of rustc.\n/// Less.\npub fn less(v: &[u8]) -> bool { v.len() == 0 }\n");
    assert!(!finding.status.success() && said(&finding).contains("clippy::len_zero"), "{}", said(&finding));
    let dead_link = compile("//! See [`Nowhere`].\n");
    assert!(!dead_link.status.success() && said(&dead_link).contains("unresolved link"), "{}", said(&dead_link));
    let wrong = compile("//! No Rust.\nlet\n");
    assert!(!wrong.status.success(), "{}", said(&wrong));
    // What cargo asks before it compiles is answered as rustc does.
    let version = |program: &mut Command| said(&program.arg("-vV").output().unwrap());
    assert_eq!(version(Command::new(ci("lint.sh")).arg("rustc")), version(&mut Command::new("rustc")));
}
