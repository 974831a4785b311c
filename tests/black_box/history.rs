//! `history`: records in, changes and charts out; what is refused, and two writers at once.

use crate::server::{PASSWORD, Server};
use crate::skip::skip;
use crate::support::{Ran, Sandbox};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use wattproof::record::{RunRecord, RunState, fixture};
use wattproof::units::MicroJoules;

/// A case of the fixture.
const CASE: &str = "gemm-f32-k1024-m1024-n1024-t2";

fn run(id: &str, factor: f64, day: u32) -> RunRecord {
    let mut record = fixture::with_rapl();
    record.header.id = id.to_owned();
    record.header.started_at = record.header.started_at.plus_days(day);
    record.header.tool.commit = Some(format!("{day:07x}"));
    record.trace.clear();
    for span in record.measurements.iter_mut().flat_map(|m| &mut m.samples).flat_map(|s| &mut s.energy) {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a fixture's joules")]
        let scaled = (span.energy.get() as f64 * factor).round() as u64;
        span.energy = MicroJoules::new(scaled);
    }
    record
}

fn put(sandbox: &Sandbox, name: &str, record: &RunRecord) -> PathBuf {
    let (header, samples) = fixture::on_disk(record);
    sandbox.write(&format!("{name}/samples.jsonl"), samples);
    sandbox.write(&format!("{name}/record.json"), header).parent().unwrap().to_owned()
}

/// The program without what a CI system says.
fn history(sandbox: &Sandbox, args: &[&str]) -> Command {
    let mut command = sandbox.command(&[&["history"], args].concat());
    for name in [
        "GITHUB_SHA",
        "GITHUB_HEAD_REF",
        "GITHUB_REF_NAME",
        "CI_COMMIT_SHA",
        "CI_COMMIT_BRANCH",
        "CI_COMMIT_REF_NAME",
        "GIT_COMMIT",
        "GIT_BRANCH",
        "BRANCH_NAME",
        "WATTPROOF_STORE",
        "PGPASSWORD",
    ] {
        command.env_remove(name);
    }
    command
}

fn told(sandbox: &Sandbox, args: &[&str]) -> Ran {
    Ran::from(history(sandbox, args).output().unwrap())
}

/// Twelve quiet days, then one in a hundred more, then five days with 10 % more.
fn fill(sandbox: &Sandbox, folder: &str) {
    let noise = [1.0, 1.004, 0.997, 1.002, 0.995, 1.001, 0.999, 1.003, 0.998, 1.0, 1.002, 0.996];
    for (day, noise) in noise.iter().enumerate() {
        let day = u32::try_from(day).unwrap();
        put(sandbox, &format!("{folder}/day{day:02}"), &run(&format!("day{day:02}"), *noise, day));
    }
    for day in 12..17u32 {
        let factor = 1.1 * noise[usize::try_from(day - 12).unwrap()];
        put(sandbox, &format!("{folder}/day{day}"), &run(&format!("day{day}"), factor, day));
    }
}

/// What a user does, through one kind of store.
fn the_usual_way(sandbox: &Sandbox, store: &[&str]) {
    let told = |args: &[&str]| told(sandbox, &[args, store].concat());
    let first = told(&["add", "runs/day00", "--branch", "main", "--commit", "abc1234"]).expect(0).stdout;
    assert!(first.contains("added day00") && first.contains("commit abc1234 (from --commit)"), "{first}");
    assert!(first.contains("branch main (from --branch)"), "{first}");
    let again = told(&["add", "runs/day00"]).expect(0).stdout;
    assert!(again.contains("known day00") && again.contains("0 added, 1 known"), "{again}");
    let ci = history(sandbox, &[&["add", "runs/day01"], store].concat())
        .env("GITHUB_SHA", "feedbee")
        .env("GITHUB_REF_NAME", "trunk")
        .output()
        .unwrap();
    let ci = Ran::from(ci).expect(0).stdout;
    assert!(ci.contains("commit feedbee (from GITHUB_SHA)") && ci.contains("branch trunk"), "{ci}");
    let rest = told(&["import", "runs"]).expect(0).stdout;
    assert!(rest.contains("15 added, 2 known already"), "{rest}");
    let list = told(&["list", "--last", "2", "--format", "json"]).expect(0).json();
    assert_eq!((list["records_in_all"].as_u64(), list["records"].as_array().unwrap().len()), (Some(17), 2));
    assert_eq!((&list["records"][0]["id"], &list["records"][0]["commit"]), (&"day16".into(), &"0000010".into()));

    let found = told(&["changes", "--format", "json", "--metric", "energy"]).expect(0).json();
    assert_eq!(
        (found["family"].as_u64(), found["changes"].as_u64(), found["worse"].as_u64()),
        (Some(8), Some(8), Some(8))
    );
    let series = found["series"].as_array().unwrap().iter().find(|s| s["case"] == CASE).unwrap();
    let change = &series["changes"][0];
    assert_eq!((&change["record"], &change["commit_before"]), (&"day12".into(), &"000000b".into()));
    assert!((change["ratio"].as_f64().unwrap() - 1.1).abs() < 0.01, "{change}");
    assert_eq!((change["runs_since"].as_u64(), change["worse"].as_bool()), (Some(5), Some(true)));
    let text = told(&["changes", "--case", CASE]).expect(0).stdout;
    assert!(text.contains("000000b → 000000c") && text.contains("1 change, 1 for the worse"), "{text}");
    told(&["changes", "--fail-recent", "5"]).expect(7);
    told(&["changes", "--fail-recent", "4"]).expect(0);
    told(&["changes", "--fail-recent", "5", "--minimum-effect", "20%"]).expect(0);
    told(&["changes", "--branch", "main"]).expect(0);

    let shown = told(&["show", CASE, "--metric", "energy", "--last", "6"]).expect(0).stdout;
    assert!(shown.contains("worse: +") && shown.contains("6 of 17 runs"), "{shown}");
    told(&["show", "gemm-f32-k1024-m1024-n1024-t3"]).expect(2).says(&["did you mean `gemm-f32-k1024"]);
    told(&["show", "nothing*"]).expect(2).says(&["list --cases"]);

    told(&["plot", "--case", CASE, "-o", "charts/one.html"]).expect(0);
    let page = std::fs::read_to_string(sandbox.path("charts/one.html")).unwrap();
    assert_eq!(page.matches("<svg").count(), 2, "energy and time");
    assert!(
        page.contains("One certain change, for the worse.") && !page.contains("<script") && !page.contains("http://")
    );
    told(&["plot", "-o", "all.svg"]).expect(2).says(&["an SVG holds one chart"]);
    told(&["plot", "-o", "all.png"]).expect(2).says(&[".html or .svg"]);
    told(&["plot", "--case", CASE, "--metric", "energy", "-o", "one.svg"]).expect(0);
    assert!(std::fs::read_to_string(sandbox.path("one.svg")).unwrap().starts_with("<svg xmlns"));

    let said = told(&["export", "--csv", "all.csv", "--parquet", "all.parquet"]).expect(0).stdout;
    let csv = std::fs::read_to_string(sandbox.path("all.csv")).unwrap();
    let rows = csv.lines().count() - 1;
    assert!(said.contains(&format!("({rows} figures)")) && rows > 17 * 8 * 2, "{said}");
    told(&["export"]).expect(2);
    told(&["export", "--csv", "none.csv", "--case", "nothing"]).expect(2);
    assert!(!sandbox.path("none.csv").exists());
    told(&["migrate"]).expect(0);
}

#[test]
fn a_history_in_a_file() {
    let sandbox = Sandbox::new();
    fill(&sandbox, "runs");
    let list = told(&sandbox, &["list"]).expect(2).says(&["holds no history yet", "history add"]);
    assert!(!sandbox.path("reports").exists(), "reading makes nothing: {}", list.stderr);
    the_usual_way(&sandbox, &[]);
    assert!(sandbox.path("reports/history.sqlite").exists());
}

#[test]
fn a_history_on_a_server() {
    let server = match Server::start() {
        Ok(server) => server,
        Err(why) => return skip("history on PostgreSQL", &why),
    };
    let sandbox = Sandbox::new();
    fill(&sandbox, "runs");
    let url = server.url(&server.database("results"));
    told(&sandbox, &["list", "--store", &url]).expect(2).says(&["holds no history yet"]);
    the_usual_way(&sandbox, &["--store", &url]);
    // The password from the environment; shown nowhere.
    let bare = server.shown("results");
    let ran = history(&sandbox, &["add", "runs/day00", "--store", &bare]).env("PGPASSWORD", PASSWORD).output().unwrap();
    let said = Ran::from(ran).expect(0);
    assert!(said.stdout.contains(&format!("{bare}: 0 added, 1 known")), "{}", said.stdout);
    let shown = told(&sandbox, &["plot", "-o", "p.html", "--store", &url]).expect(0);
    let page = std::fs::read_to_string(sandbox.path("p.html")).unwrap();
    assert!(
        !page.contains(PASSWORD) && !shown.stdout.contains(PASSWORD) && page.replace("&#x2f;", "/").contains(&bare)
    );
    let help = history(&sandbox, &["list", "--help"]).env("WATTPROOF_STORE", &url).output().unwrap();
    assert!(!Ran::from(help).expect(0).stdout.contains(PASSWORD));

    let refused = |url: &str, code: i32, words: &[&str]| {
        let ran = told(&sandbox, &["add", "runs/day00", "--wait", "1", "--store", url]).expect(code).says(words);
        assert!(!ran.stderr.contains(PASSWORD) && !ran.stderr.contains("wr0ng"), "{}", ran.stderr);
    };
    refused(&url.replace(PASSWORD, "wr0ng"), 2, &["password authentication failed"]);
    refused(&bare, 2, &["asks for a password", "PGPASSWORD"]);
    refused(&server.url("nowhere"), 2, &["does not exist"]);
    refused(&format!("{url}?sslmode=verify-full"), 2, &["sslmode=verify-full", "ssh -N -L"]);
    refused("postgres://bench:wr0ng@localhost:1/results", 1, &["cannot be reached", "refused"]);

    // A reader who may not write is told so, and reads all the same.
    let grant = "CREATE ROLE guest LOGIN PASSWORD 'guest'; GRANT SELECT ON ALL TABLES IN SCHEMA public TO guest";
    server.sql("results", grant).unwrap();
    let guest = url.replace(&format!("bench:{PASSWORD}"), "guest:guest");
    told(&sandbox, &["list", "--store", &guest]).expect(0);
    put(&sandbox, "new", &run("new", 1.0, 40));
    told(&sandbox, &["add", "new", "--store", &guest]).expect(2).says(&["cannot be written", "permission denied"]);
    two_writers(&sandbox, &server.url(&server.database("both")));
}

#[test]
fn two_writers_of_a_file_do_not_lose_a_record() {
    let sandbox = Sandbox::new();
    two_writers(&sandbox, "both.sqlite");
}

/// Two processes, each of which adds a hundred records one by one; ten records are added by both.
fn two_writers(sandbox: &Sandbox, store: &str) {
    for n in 0..190u32 {
        let mut record = fixture::hand_made(&[1.0, 1.1, 1.2]);
        record.header.id = format!("w{n:03}");
        record.header.started_at = record.header.started_at.plus_days(n);
        put(sandbox, &format!("w/{n:03}"), &record);
    }
    let writer = |from: u32, to: u32| {
        let script = format!(
            "for n in $(seq -f %03g {from} {to}); do \"$PROGRAM\" history add w/$n --wait 60 --store \"$STORE\" || exit 9; done"
        );
        let mut command = Command::new("sh");
        command.args(["-c", &script]).current_dir(sandbox.path("")).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.env("PROGRAM", env!("CARGO_BIN_EXE_wattproof")).env("STORE", store).spawn().unwrap()
    };
    let (a, b) = (writer(0, 99), writer(90, 189));
    let outputs = [a, b].map(|child| Ran::from(child.wait_with_output().unwrap()).expect(0).stdout);
    let added: usize = outputs.iter().map(|o| o.matches("1 added, 0 known").count()).sum();
    let known: usize = outputs.iter().map(|o| o.matches("0 added, 1 known").count()).sum();
    assert_eq!((added, known), (190, 10));
    let list = told(sandbox, &["list", "--format", "json", "--store", store]).expect(0).json();
    assert_eq!(list["records_in_all"], 190);
}

#[test]
fn a_folder_is_imported_and_what_is_left_out_is_listed() {
    let sandbox = Sandbox::new();
    put(&sandbox, "all/good", &run("good", 1.0, 0));
    put(&sandbox, "all/deep/er/good", &run("deeper", 1.0, 1));
    put(&sandbox, "all/same-again", &run("good", 1.0, 0));
    put(&sandbox, "all/z-same-id-other-bytes", &run("good", 1.5, 0));
    let mut running = run("running", 1.0, 2);
    running.header.state = RunState::Running;
    put(&sandbox, "all/running", &running);
    let altered = put(&sandbox, "all/altered", &run("altered", 1.0, 3));
    let samples = std::fs::read_to_string(altered.join("samples.jsonl")).unwrap();
    sandbox.write("all/altered/samples.jsonl", samples.replacen("\"repeat\":0", "\"repeat\":1", 1));
    sandbox.write("all/corrupt/record.json", "{\"schema\": 1, \"id\": ");
    sandbox.write("all/corrupt/samples.jsonl", "");
    sandbox.write("all/foreign/record.json", "[1, 2]");
    sandbox.write("all/foreign/samples.jsonl", "");
    let mut future: serde_json::Value =
        serde_json::from_slice(&std::fs::read(sandbox.path("all/good/record.json")).unwrap()).unwrap();
    future["schema"] = 99.into();
    sandbox.write("all/future/record.json", future.to_string());
    sandbox.write("all/future/samples.jsonl", "");
    let said = told(&sandbox, &["import", "all"]).expect(2).stdout;
    for (record, reason) in [
        ("all/running", "the run is not complete"),
        ("all/altered", "was changed after the run"),
        ("all/corrupt", "not a valid record"),
        ("all/foreign", "not a valid record"),
        ("all/future", "record schema 99"),
        ("all/z-same-id-other-bytes", "is there with other bytes"),
    ] {
        let found = said.lines().any(|l| l.starts_with("skipped") && l.contains(record) && l.contains(reason));
        assert!(found, "{record}: {reason} not in\n{said}");
    }
    assert!(said.contains("known all/same-again") && said.contains("2 added, 1 known already, 6 skipped"), "{said}");
    let again = told(&sandbox, &["import", "all/deep"]).expect(0).stdout;
    assert!(again.contains("0 added, 1 known already"), "{again}");

    std::fs::create_dir(sandbox.path("empty")).unwrap();
    told(&sandbox, &["import", "empty"]).expect(2).says(&["holds no record"]);
    told(&sandbox, &["import", "nowhere"]).expect(2).says(&["is no folder"]);
    // Of several records given to `add` none is stored when one cannot be.
    put(&sandbox, "new", &run("new", 1.0, 5));
    told(&sandbox, &["add", "new", "all/running"]).expect(2).says(&["all/running", "--resume"]);
    told(&sandbox, &["add", "new", "all/z-same-id-other-bytes"]).expect(2).says(&["good", "nothing was stored"]);
    let list = told(&sandbox, &["list", "--format", "json"]).expect(0).json();
    assert_eq!(list["records_in_all"], 2);
}

#[test]
fn stores_that_cannot_be_used_are_left_as_they_are() {
    let sandbox = Sandbox::new();
    put(&sandbox, "one", &run("one", 1.0, 0));
    put(&sandbox, "two", &run("two", 1.0, 1));
    let add = |record: &str, store: &str| told(&sandbox, &["add", record, "--wait", "0.2", "--store", store]);
    add("one", "good.sqlite").expect(0);
    // Held by another process.
    let other = rusqlite::Connection::open(sandbox.path("good.sqlite")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    add("two", "good.sqlite").expect(1).says(&["is locked", "0.2 s", "--wait"]);
    told(&sandbox, &["list", "--store", "good.sqlite"]).expect(0);
    other.execute_batch("ROLLBACK").unwrap();
    drop(other);
    add("two", "good.sqlite").expect(0);

    let keep = |name: &str, bytes: &[u8], words: &[&str]| {
        let path = sandbox.write(name, bytes);
        add("one", name).expect(2).says(words);
        told(&sandbox, &["list", "--store", name]).expect(2).says(words);
        assert_eq!(std::fs::read(path).unwrap(), bytes, "{name} was touched");
    };
    keep("notes.txt", b"what I have to do today, and what I have not", &["is no history", "not an SQLite database"]);
    let good = std::fs::read(sandbox.path("good.sqlite")).unwrap();
    keep("half.sqlite", &good[..good.len() / 2], &["damaged"]);
    std::fs::copy(sandbox.path("good.sqlite"), sandbox.path("newer.sqlite")).unwrap();
    rusqlite::Connection::open(sandbox.path("newer.sqlite"))
        .unwrap()
        .execute_batch("PRAGMA user_version = 99")
        .unwrap();
    let newer = std::fs::read(sandbox.path("newer.sqlite")).unwrap();
    keep("newer.sqlite", &newer, &["history version 99", "use a newer wattproof"]);
    rusqlite::Connection::open(sandbox.path("other.sqlite")).unwrap().execute_batch("CREATE TABLE mine (x)").unwrap();
    let other = std::fs::read(sandbox.path("other.sqlite")).unwrap();
    keep("other.sqlite", &other, &["a database of something else"]);
    add("one", "one/record.json/x.sqlite").expect(2).says(&["x.sqlite"]);
    add("one", "one").expect(2).says(&["it is a folder"]);
    told(&sandbox, &["list", "--wait", "soon"]).expect(2).says(&["a number of seconds"]);
    told(&sandbox, &["show", "x", "--metric", "accuracy"]).expect(2).says(&["a history has energy"]);
}

/// Root may write anything, so somebody else has to try.
#[test]
fn a_store_that_may_not_be_written_is_still_read() {
    let sandbox = Sandbox::new();
    put(&sandbox, "one", &run("one", 1.0, 0));
    put(&sandbox, "two", &run("two", 1.0, 1));
    told(&sandbox, &["add", "one", "--store", "shelf/h.sqlite"]).expect(0);
    let root = String::from_utf8(Command::new("id").arg("-u").output().unwrap().stdout).unwrap().trim() == "0";
    let shell = |script: &str| {
        assert!(Command::new("sh").args(["-c", script]).current_dir(sandbox.path("")).status().unwrap().success())
    };
    // The program lies where not everybody may go.
    std::fs::copy(env!("CARGO_BIN_EXE_wattproof"), sandbox.path("program")).unwrap();
    shell("chmod 755 . program && chmod -R a+rX one two && chmod 555 shelf && chmod 444 shelf/h.sqlite");
    let other = |args: &[&str]| {
        let mut command = if root {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]).arg(sandbox.path("program"));
            command
        } else {
            Command::new(sandbox.path("program"))
        };
        command.args(args).current_dir(sandbox.path("")).env_remove("WATTPROOF_STORE");
        Ran::from(command.output().unwrap())
    };
    let list = other(&["history", "list", "--store", "shelf/h.sqlite"]).expect(0).stdout;
    assert!(list.contains("1 of 1 records"), "{list}");
    other(&["history", "add", "two", "--store", "shelf/h.sqlite"]).expect(2).says(&["cannot be written"]);
    other(&["history", "add", "two", "--store", "shelf/new.sqlite"])
        .expect(2)
        .says(&["shelf/new.sqlite", "cannot be opened"]);
    shell("chmod 755 shelf");
}

#[test]
fn hostile_records_stay_inert_in_every_output() {
    let sandbox = Sandbox::new();
    // What holds a NUL character is refused as a whole: below.
    let (header, samples) = fixture::on_disk(&fixture::hostile());
    let without = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().replace("\\u0000", "");
    let samples = without(samples);
    let mut header: serde_json::Value = serde_json::from_str(&without(header)).unwrap();
    header["samples"]["sha256"] = wattproof::record::store::sha256_hex(samples.as_bytes()).into();
    let hostile = fixture::HOSTILE.replace('\0', "");
    let mut put_hostile = |name: &str, id: String| {
        header["id"] = id.into();
        header["tool"]["commit"] = format!("\u{1b}]0;x\u{7}<script>{hostile}").into();
        sandbox.write(&format!("{name}/record.json"), header.to_string());
        sandbox.write(&format!("{name}/samples.jsonl"), &samples);
    };
    put_hostile("bad", format!("::error::x ##[command] {hostile}"));
    put_hostile("bad2", "second".to_owned());
    let mut texts = vec![
        told(&sandbox, &["add", "bad", "bad2", "--branch", "</td><img src=x onerror=alert(1)>\u{1b}[2J"])
            .expect(0)
            .stdout,
    ];
    texts.push(told(&sandbox, &["list"]).expect(0).stdout);
    texts.push(told(&sandbox, &["list", "--cases"]).expect(0).stdout);
    texts.push(told(&sandbox, &["changes"]).expect(0).stdout);
    texts.push(told(&sandbox, &["show", "*"]).expect(0).stdout);
    told(&sandbox, &["export", "--csv", "h.csv"]).expect(0);
    texts.push(std::fs::read_to_string(sandbox.path("h.csv")).unwrap());
    for text in &texts {
        assert!(!text.chars().any(|c| c.is_control() && !"\r\n".contains(c)), "{text:?}");
        assert!(!text.contains("##[") && !text.lines().any(|l| l.trim().starts_with("::")), "{text}");
    }
    told(&sandbox, &["plot", "-o", "h.html"]).expect(0);
    let page = std::fs::read_to_string(sandbox.path("h.html")).unwrap();
    assert!(!page.contains("<script") && !page.contains("<img") && !page.contains("onerror=alert(1)>"), "markup");
    assert!(!page.chars().any(|c| c.is_control() && c != '\n'));
    // A text that no store can hold is refused.
    let mut record = run("plain", 1.0, 0);
    record.header.id = "x".repeat(5000);
    put(&sandbox, "long", &record);
    told(&sandbox, &["add", "long"]).expect(2).says(&["the record id has 5000 bytes"]);
    record.header.id = "nul\u{0}".into();
    put(&sandbox, "nul", &record);
    told(&sandbox, &["add", "nul"]).expect(2).says(&["NUL"]);
}

/// Another path or machine begins a new series, and both are said.
#[test]
fn what_is_not_comparable_begins_a_new_series() {
    let sandbox = Sandbox::new();
    for day in 0..8u32 {
        let mut record = run(&format!("day{day}"), if day < 4 { 1.0 } else { 1.3 }, day);
        if day >= 4 {
            for prepared in record.measurements.iter_mut().filter_map(|m| m.prepared.as_mut()) {
                prepared.program.path = "portable".into();
            }
            record.header.environment.host.machine_hash = Some("another".into());
        }
        put(&sandbox, &format!("runs/{day}"), &record);
    }
    told(&sandbox, &["import", "runs"]).expect(0);
    let found = told(&sandbox, &["changes", "--case", CASE, "--metric", "energy", "--format", "json"]).expect(0).json();
    let series = found["series"].as_array().unwrap();
    assert_eq!((series.len(), found["changes"].as_u64()), (2, Some(0)), "30 % more is no change of one series");
    let broken = series[1]["break"].as_str().unwrap();
    assert!(broken.contains("→ portable") && broken.contains("→ another"), "{broken}");
    let text = told(&sandbox, &["changes", "--case", CASE, "--metric", "energy"]).expect(0).stdout;
    assert!(text.contains("new series") && text.contains("→ portable"), "{text}");
    told(&sandbox, &["plot", "--case", CASE, "-o", "p.html"]).expect(0);
    let page = std::fs::read_to_string(sandbox.path("p.html")).unwrap();
    assert!(page.contains("A new series begins with day4") && page.contains("→ portable"));
}
