//! Bundles from people with other intentions: exit code 8 with the place, and nothing is written.

use crate::evidence::{certify, record};
use crate::skip::skip;
use crate::support::Sandbox;
use std::path::Path;
use std::process::Command;
use wattproof::certificate::{Dossier, Issue};
use wattproof::clock::Utc;
use wattproof::evidence::{Bundle, archive};
use wattproof::policy::{Certification, Table};
use wattproof::record::fixture;

fn bundle() -> (Bundle, Dossier) {
    let (header, samples) = fixture::on_disk(&fixture::certifiable());
    let table = Table::shipped("reference-cpu-1").unwrap();
    let issued_at = Utc::try_from("2026-11-22T12:00:00Z".to_owned()).unwrap();
    let issue = Issue { issuer: None, place: None, issued_at };
    let (mut bundle, dossier) = Bundle::of(&header, &samples, &Certification::shipped(), &table, &issue).unwrap();
    bundle.seal(&dossier, None).unwrap();
    (bundle, dossier)
}

fn write(sandbox: &Sandbox, name: &str, bundle: &Bundle) {
    for (file, bytes) in &bundle.files {
        sandbox.write(&format!("{name}/{file}"), bytes);
    }
}

/// Every path below the sandbox, so that a test sees what was written.
fn tree(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap().map(|e| e.unwrap()) {
        found.push(entry.path().display().to_string());
        if entry.file_type().unwrap().is_dir() {
            found.extend(tree(&entry.path()));
        }
    }
    found.sort();
    found
}

/// Verifies and expects `code`, `words` on either stream, and a tree that is as it was.
#[track_caller]
fn refused(sandbox: &Sandbox, bundle: &str, code: i32, words: &[&str]) {
    let before = tree(&sandbox.path("."));
    let ran = sandbox.run(&["verify", bundle]).expect(code);
    let said = format!("{}{}", ran.stdout, ran.stderr);
    for word in words {
        assert!(said.contains(word), "no `{word}` in:\n{said}");
    }
    assert_eq!(tree(&sandbox.path(".")), before, "something was written");
}

#[test]
fn missing_files_are_named() {
    let sandbox = Sandbox::new();
    let (whole, _) = bundle();
    for name in whole.files.keys() {
        let mut lacking = whole.clone();
        lacking.files.remove(name);
        write(&sandbox, &format!("no-{name}"), &lacking);
        refused(&sandbox, &format!("no-{name}"), 8, &[name]);
    }
    refused(&sandbox, "nothing-here", 2, &["nothing-here"]);
    std::fs::create_dir(sandbox.path("empty")).unwrap();
    refused(&sandbox, "empty", 8, &["statement.dsse.json"]);
}

#[test]
fn links_folders_and_pipes_in_a_folder_are_refused() {
    let sandbox = Sandbox::new();
    let (whole, _) = bundle();
    for name in ["link", "folder", "pipe", "extra", "odd"] {
        write(&sandbox, name, &whole);
    }
    let secret = sandbox.write("secret", "not yours");
    std::fs::remove_file(sandbox.path("link/table.yaml")).unwrap();
    std::os::unix::fs::symlink(secret, sandbox.path("link/table.yaml")).unwrap();
    refused(&sandbox, "link", 8, &["link/table.yaml", "no plain file"]);
    std::fs::create_dir(sandbox.path("folder/more")).unwrap();
    refused(&sandbox, "folder", 8, &["folder/more", "no plain file"]);
    assert!(Command::new("mkfifo").arg(sandbox.path("pipe/wait")).status().unwrap().success());
    refused(&sandbox, "pipe", 8, &["pipe/wait", "no plain file"]);
    sandbox.write("extra/notes.txt", "x");
    refused(&sandbox, "extra", 8, &["notes.txt: is not named by the statement"]);
    sandbox.write("odd/na me", "x");
    refused(&sandbox, "odd", 8, &["na me", "no file of a bundle"]);
}

/// A `.tar.zst` with one entry of this raw name and kind.
fn archived(name: &str, kind: tar::EntryType) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
    header.set_entry_type(kind);
    header.set_size(1);
    header.set_link_name_literal("/etc/passwd").unwrap();
    header.set_mode(0o644);
    header.set_cksum();
    let mut tar = tar::Builder::new(Vec::new());
    tar.append(&header, &b"x"[..]).unwrap();
    let tar = tar.into_inner().unwrap();
    ruzstd::encoding::compress_to_vec(tar.as_slice(), ruzstd::encoding::CompressionLevel::Fastest)
}

#[test]
fn archives_cannot_reach_out() {
    let sandbox = Sandbox::new();
    for (file, name, kind, words) in [
        ("up.tar.zst", "../escaped", tar::EntryType::Regular, "leads out of the bundle"),
        ("root.tar.zst", "/tmp/escaped", tar::EntryType::Regular, "leads out of the bundle"),
        ("deep.tar.zst", "a/b", tar::EntryType::Regular, "leads out of the bundle"),
        ("soft.tar.zst", "record.json", tar::EntryType::Symlink, "a symbolic link"),
        ("hard.tar.zst", "record.json", tar::EntryType::Link, "a hard link"),
        ("dev.tar.zst", "record.json", tar::EntryType::Char, "a device"),
    ] {
        sandbox.write(file, archived(name, kind));
        refused(&sandbox, file, 8, &[file, words]);
    }
    let (whole, _) = bundle();
    let archive = archive::write(&whole).unwrap();
    sandbox.write("cut.tar.zst", &archive[..archive.len() * 2 / 3]);
    refused(&sandbox, "cut.tar.zst", 8, &["cut.tar.zst", "truncated"]);
    sandbox.write("long.tar.zst", [&archive[..], b"garbage"].concat());
    refused(&sandbox, "long.tar.zst", 8, &["long.tar.zst", "data after the Zstandard frame"]);
    sandbox.write("text.tar.zst", "hello");
    refused(&sandbox, "text.tar.zst", 8, &["no Zstandard file"]);
}

#[test]
fn a_bomb_is_refused_in_bounded_memory() {
    let sandbox = Sandbox::new();
    // 300 KiB that unpack to 4 GiB: one block of a tar header, then run lengths of zeros.
    let mut header = tar::Header::new_gnu();
    header.set_path("samples.jsonl").unwrap();
    header.set_size(400 << 20);
    header.set_cksum();
    let mut bomb = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58];
    bomb.extend_from_slice(&(512u32 << 3).to_le_bytes()[..3]);
    bomb.extend_from_slice(header.as_bytes());
    for _ in 0..1 << 15 {
        bomb.extend_from_slice(&((1u32 << 17) << 3 | 2).to_le_bytes()[..3]);
        bomb.push(0);
    }
    sandbox.write("bomb.tar.zst", bomb);
    let script = format!("ulimit -v 2000000 && exec {} verify bomb.tar.zst", env!("CARGO_BIN_EXE_wattproof"));
    let output = Command::new("sh").args(["-c", &script]).current_dir(sandbox.path(".")).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(8), "{said}");
    assert!(said.contains("unpacks to more than"), "{said}");
}

#[test]
fn duplicate_keys_and_other_forms_are_refused_with_the_place() {
    let sandbox = Sandbox::new();
    let (whole, dossier) = bundle();
    // The statement is redone over the edited files, so that only reading them can tell.
    let edited = |name: &str, file: &str, from: &str, to: &str| {
        let mut bundle = whole.clone();
        let text = String::from_utf8(bundle.files[file].clone()).unwrap();
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text, "{from} is not in {file}");
        bundle.files.insert(file.to_owned(), changed.into_bytes());
        if file != "statement.dsse.json" {
            bundle.seal(&dossier, None).unwrap();
        }
        write(&sandbox, name, &bundle);
    };
    edited("issue", "issue.json", "{", "{\"method\":1,");
    refused(&sandbox, "issue", 8, &["issue.json", "\"method\" stands twice"]);
    edited("record", "record.json", "\"seed\"", "\"seed\": 1, \"seed\"");
    refused(&sandbox, "record", 8, &["record.json", "\"seed\" stands twice", "line"]);
    edited("samples", "samples.jsonl", "\"wall_s\"", "\"wall_s\":1.0,\"wall_s\"");
    refused(&sandbox, "samples", 8, &["samples.jsonl", "\"wall_s\" stands twice", "line 1 column"]);
    edited("envelope", "statement.dsse.json", "{", "{\"payload\":\"\",");
    refused(&sandbox, "envelope", 8, &["statement.dsse.json", "\"payload\" stands twice"]);
    edited("space", "statement.dsse.json", ",", ", ");
    refused(&sandbox, "space", 8, &["statement.dsse.json", "canonical form"]);
    edited("type", "statement.dsse.json", "vnd.in-toto", "vnd.other");
    refused(&sandbox, "type", 8, &["statement.dsse.json", "vnd.other"]);
    edited("future", "issue.json", "\"schema\":1", "\"schema\":99");
    refused(&sandbox, "future", 8, &["issue.json", "schema 99", "use a newer wattproof"]);
    edited("method", "issue.json", "\"method\":", "\"method\":9");
    refused(&sandbox, "method", 8, &["issue.json", "computed with method 9"]);
    edited("header", "record.json", "\"schema\": 1", "\"schema\": 99");
    refused(&sandbox, "header", 8, &["record.json", "record schema 99"]);
    edited("tail", "issue.json", "}", "}x");
    refused(&sandbox, "tail", 8, &["issue.json", "trailing"]);
}

#[test]
fn certify_refuses_what_it_could_not_stand_for() {
    let sandbox = Sandbox::new();
    record(&sandbox);
    certify(&sandbox, &["--out", "bundle"]);
    let before = tree(&sandbox.path("bundle"));
    sandbox.run(&["certify", "rec", "--out", "bundle"]).expect(2).says(&["bundle exists and is no empty folder"]);
    sandbox.write("taken.tar.zst", "mine");
    sandbox.run(&["certify", "rec", "--out", "taken.tar.zst"]).expect(2).says(&["taken.tar.zst exists already"]);
    assert_eq!(tree(&sandbox.path("bundle")), before);
    let path = sandbox.path("rec/record.json");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replacen("\"seed\"", "\"seed\": 1, \"seed\"", 1)).unwrap();
    sandbox.run(&["certify", "rec", "--out", "twice"]).expect(2).says(&["seed"]);
    assert!(!sandbox.path("twice").exists());
    let left: Vec<_> = tree(&sandbox.path(".")).into_iter().filter(|p| p.contains("draft")).collect();
    assert!(left.is_empty(), "{left:?}");
    if !Path::new("/proc/self").exists() {
        return skip("a folder that takes no files", "/proc is not mounted");
    }
    std::fs::write(&path, text).unwrap();
    sandbox.run(&["certify", "rec", "--out", "/proc/self/bundle"]).expect(2).says(&["cannot write /proc/self/bundle"]);
}
