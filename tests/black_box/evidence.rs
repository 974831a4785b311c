//! Certificates from key to verification: `keygen`, `certify`, `verify`, and what OpenSSL, tar and zstd make of it.

use crate::skip::skip;
use crate::support::{Ran, Sandbox};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use wattproof::record::fixture;

const TIME: &str = "2026-11-22T12:00:00Z";

/// Writes a record that could be certified to `rec`.
pub(crate) fn record(sandbox: &Sandbox) {
    let (header, samples) = fixture::on_disk(&fixture::certifiable());
    sandbox.write("rec/record.json", header);
    sandbox.write("rec/samples.jsonl", samples);
}

/// Certifies `rec`; whether it is certified or refused is the rules' business.
#[track_caller]
pub(crate) fn certify(sandbox: &Sandbox, more: &[&str]) -> Ran {
    let args = [&["certify", "rec", "--issuer", "Energy lab", "--place", "Wien", "--issued-at", TIME], more].concat();
    let ran = sandbox.run(&args);
    assert!(matches!(ran.code, Some(0 | 3 | 4)), "{:?}\n{}\n{}", ran.code, ran.stdout, ran.stderr);
    ran
}

fn installed(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|o| o.status.success())
}

fn files(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap());
    let mut files: Vec<_> =
        entries.map(|e| (e.file_name().into_string().unwrap(), std::fs::read(e.path()).unwrap())).collect();
    files.sort();
    files
}

#[test]
fn a_key_is_private_and_never_overwritten() {
    let sandbox = Sandbox::new();
    let ran = sandbox.run(&["keygen", "lab.key"]).expect(0);
    let id = ran.stdout.split_whitespace().nth(1).unwrap();
    assert!(id.len() == 64 && id.chars().all(|c| c.is_ascii_hexdigit()), "{}", ran.stdout);
    let mode = std::fs::metadata(sandbox.path("lab.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let before = files(&sandbox.path("."));
    sandbox.run(&["keygen", "lab.key"]).expect(2).says(&["lab.key exists already"]);
    std::fs::remove_file(sandbox.path("lab.key")).unwrap();
    sandbox.run(&["keygen", "lab.key"]).expect(2).says(&["lab.key.pub exists already"]);
    assert!(!sandbox.path("lab.key").exists(), "no half of a pair is left");
    std::os::unix::fs::symlink("elsewhere", sandbox.path("link")).unwrap();
    sandbox.run(&["keygen", "link"]).expect(2).says(&["link exists already"]);
    assert!(!sandbox.path("elsewhere").exists());
    sandbox.run(&["keygen", "no/such/folder/key"]).expect(2).says(&["cannot write"]);
    assert_eq!(before.len(), 2);
}

#[test]
fn a_signed_bundle_verifies_and_names_its_key() {
    let sandbox = Sandbox::new();
    record(&sandbox);
    sandbox.run(&["keygen", "lab.key"]).expect(0);
    sandbox.run(&["keygen", "other.key"]).expect(0);
    let ran = certify(&sandbox, &["--sign", "lab.key", "--out", "bundle"]);
    assert!(ran.stdout.contains("signed by the key"), "{}", ran.stdout);
    let ran = sandbox.run(&["verify", "bundle", "--key", "lab.key.pub"]).expect(0);
    assert!(ran.stdout.contains("VERIFIED") && !ran.stdout.contains("not proved"), "{}", ran.stdout);
    let ran = sandbox.run(&["verify", "bundle"]).expect(0);
    assert!(ran.stdout.contains("origin not proved") && ran.stdout.contains("--key"), "{}", ran.stdout);
    let ran = sandbox.run(&["verify", "bundle", "--key", "other.key.pub"]).expect(8);
    assert!(ran.stdout.contains("statement.dsse.json: none of its 1 signatures"), "{}", ran.stdout);
    certify(&sandbox, &["--out", "unsigned"]);
    let ran = sandbox.run(&["verify", "unsigned"]).expect(0);
    assert!(ran.stdout.contains("not signed"), "{}", ran.stdout);
    sandbox.run(&["verify", "unsigned", "--key", "lab.key.pub"]).expect(8);
}

#[test]
fn a_difference_is_printed_by_field_and_ends_with_8() {
    let sandbox = Sandbox::new();
    record(&sandbox);
    certify(&sandbox, &["--out", "bundle"]);
    let path = sandbox.path("bundle/certificate.json");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("\"place\":\"Wien\"", "\"place\":\"W\\u001b[31mien\"")).unwrap();
    let ran = sandbox.run(&["verify", "bundle"]).expect(8);
    for words in ["certificate.json: was changed", "certificate.json /place:", "found \"Wien\"", "NOT VERIFIED"] {
        assert!(ran.stdout.contains(words), "no `{words}` in:\n{}", ran.stdout);
    }
    assert!(!ran.stdout.contains('\u{1b}'), "a terminal would obey it: {:?}", ran.stdout);
    let ran = sandbox.run(&["verify", "bundle", "--format", "json"]).expect(8);
    let json = ran.json();
    assert_eq!(json["holds"], false);
    let found = json["result"]["differences"].as_array().unwrap();
    assert!(found.iter().any(|d| d["pointer"] == "/place" && d["found"] == "\"Wien\""), "{found:?}");
}

#[test]
fn another_policy_is_compared_and_changes_no_verdict_on_the_evidence() {
    let sandbox = Sandbox::new();
    record(&sandbox);
    certify(&sandbox, &["--out", "bundle"]);
    let policy = std::fs::read_to_string(sandbox.path("bundle/policy.yaml")).unwrap();
    sandbox.write("same.yaml", &policy);
    let ran = sandbox.run(&["verify", "bundle", "--policy", "same.yaml"]).expect(0);
    assert!(ran.stdout.contains("nothing would change"), "{}", ran.stdout);
    sandbox.write("broken.yaml", "version: 1\n");
    sandbox.run(&["verify", "bundle", "--policy", "broken.yaml"]).expect(2).says(&["broken.yaml"]);
}

#[test]
fn the_same_record_gives_the_same_bytes_everywhere() {
    let sandbox = Sandbox::new();
    record(&sandbox);
    sandbox.run(&["keygen", "lab.key"]).expect(0);
    certify(&sandbox, &["--sign", "lab.key", "--out", "a"]);
    certify(&sandbox, &["--sign", "lab.key", "--out", "a.tar.zst"]);
    for (out, more) in [("b", ""), ("b.tar.zst", "")] {
        let args = ["certify", "rec", "--issuer", "Energy lab", "--place", "Wien", "--issued-at", TIME];
        let mut command = sandbox.command(&args);
        command.args(["--sign", "lab.key", "--out", out]).env("TZ", "Asia/Kathmandu").env("LANG", "tr_TR.UTF-8");
        command.env("LC_ALL", "tr_TR.UTF-8").env("RAYON_NUM_THREADS", "1").env("SOURCE_DATE_EPOCH", more);
        assert!(matches!(command.status().unwrap().code(), Some(0 | 3 | 4)));
    }
    // The same moment, said in another time zone.
    let args = ["certify", "rec", "--issuer", "Energy lab", "--place", "Wien", "--out", "c", "--sign", "lab.key"];
    let local = sandbox.run(&[&args[..], &["--issued-at", "2026-11-22T17:45:00+05:45"]].concat());
    assert!(matches!(local.code, Some(0 | 3 | 4)), "{}", local.stderr);
    let a = files(&sandbox.path("a"));
    assert!(a.len() >= 9, "{:?}", a.iter().map(|(name, _)| name).collect::<Vec<_>>());
    for other in ["b", "c"] {
        for ((name, bytes), (_, again)) in a.iter().zip(files(&sandbox.path(other))) {
            assert!(*bytes == again, "{name} of {other} differs");
        }
    }
    let archive = |name: &str| std::fs::read(sandbox.path(name)).unwrap();
    assert!(archive("a.tar.zst") == archive("b.tar.zst"), "the archives differ");
    for (zone, threads) in [("UTC", "1"), ("Pacific/Apia", "7")] {
        let mut command = sandbox.command(&["verify", "a.tar.zst", "--key", "lab.key.pub"]);
        let status = command.env("TZ", zone).env("LANG", "de_AT.UTF-8").env("RAYON_NUM_THREADS", threads).status();
        assert!(status.unwrap().success());
    }
    sandbox
        .run(&["certify", "rec", "--issued-at", "yesterday", "--out", "d"])
        .expect(2)
        .says(&["2026-11-22T08:00:00Z"]);
}

#[test]
fn tar_and_zstd_read_what_we_write_and_we_read_what_they_write() {
    if !installed("tar") || !installed("zstd") {
        return skip("archives of tar and zstd", "tar or zstd is not installed");
    }
    let sandbox = Sandbox::new();
    record(&sandbox);
    certify(&sandbox, &["--out", "bundle"]);
    certify(&sandbox, &["--out", "bundle.tar.zst"]);
    let shell = |script: &str| {
        let output = Command::new("sh").args(["-ec", script]).current_dir(sandbox.path(".")).output().unwrap();
        assert!(output.status.success(), "{script}\n{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    shell("mkdir unpacked; zstd -dcq bundle.tar.zst | tar -x -C unpacked");
    assert!(files(&sandbox.path("unpacked")) == files(&sandbox.path("bundle")));
    let listing = shell("zstd -dcq bundle.tar.zst | TZ=UTC tar -tv --numeric-owner --full-time");
    for line in listing.lines() {
        assert!(line.starts_with("-rw-r--r-- 0/0") && line.contains("1970-01-01 00:00:00"), "{line}");
    }
    shell("tar -c -C bundle . | zstd -q -19 -o again.tar.zst");
    sandbox.run(&["verify", "again.tar.zst"]).expect(0);
    shell("tar -c bundle | zstd -q -o folder.tar.zst");
    sandbox.run(&["verify", "folder.tar.zst"]).expect(8).says(&["is a folder"]);
}

#[test]
fn openssl_verifies_the_signature_as_the_documentation_says() {
    if !installed("openssl") && Command::new("openssl").arg("version").output().is_err() {
        return skip("signature by OpenSSL", "openssl is not installed");
    }
    let sandbox = Sandbox::new();
    record(&sandbox);
    sandbox.run(&["keygen", "lab.key"]).expect(0);
    certify(&sandbox, &["--sign", "lab.key", "--out", "bundle"]);
    std::fs::copy(sandbox.path("lab.key.pub"), sandbox.path("bundle/lab.key.pub")).unwrap();
    let page = include_str!("../../docs/evidence.md");
    let blocks: Vec<&str> = page.split("```sh\n").skip(1).filter_map(|b| b.split("```").next()).collect();
    let script = blocks.iter().find(|b| b.contains("openssl pkeyutl")).expect("docs/evidence.md has the commands");
    let digests = blocks.iter().find(|b| b.contains("sha256sum")).expect("docs/evidence.md checks the digests");
    let run =
        |script: &str| Command::new("sh").args(["-euc", script]).current_dir(sandbox.path("bundle")).output().unwrap();
    let output = run(script);
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("Signature Verified Successfully"), "{said}");
    let output = run(digests);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && said.matches(": OK").count() >= 8, "{said}");
    // And it says no to another payload.
    let path = sandbox.path("bundle/statement.dsse.json");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replacen("\"payload\":\"ey", "\"payload\":\"fy", 1)).unwrap();
    assert!(!run(script).status.success());
}

#[test]
fn keys_of_other_kinds_are_named() {
    let sandbox = Sandbox::new();
    record(&sandbox);
    sandbox.run(&["keygen", "lab.key"]).expect(0);
    certify(&sandbox, &["--sign", "lab.key", "--out", "bundle"]);
    sandbox
        .run(&["certify", "rec", "--sign", "lab.key.pub", "--out", "x"])
        .expect(2)
        .says(&["lab.key.pub holds a public key"]);
    sandbox.run(&["verify", "bundle", "--key", "lab.key"]).expect(2).says(&["lab.key holds a private key"]);
    sandbox.run(&["verify", "bundle", "--key", "rec/record.json"]).expect(2).says(&["no PEM block"]);
    sandbox.run(&["verify", "bundle", "--key", "absent.pub"]).expect(2).says(&["absent.pub"]);
    std::fs::set_permissions(sandbox.path("lab.key"), PermissionsExt::from_mode(0o644)).unwrap();
    sandbox
        .run(&["certify", "rec", "--sign", "lab.key", "--out", "x"])
        .expect(2)
        .says(&["mode 0644", "chmod 600 lab.key"]);
    assert!(!sandbox.path("x").exists());
    for (name, options, words) in [
        ("rsa.key", &["RSA", "-pkeyopt", "rsa_keygen_bits:2048"][..], "an RSA private key"),
        ("ec.key", &["EC", "-pkeyopt", "ec_paramgen_curve:P-256"][..], "an elliptic-curve (ECDSA) private key"),
        ("x25519.key", &["X25519"][..], "an X25519 private key"),
        ("ed448.key", &["ED448"][..], "an Ed448 private key"),
    ] {
        let mut made = Command::new("openssl");
        made.args(["genpkey", "-out", name, "-algorithm"]).args(options).current_dir(sandbox.path("."));
        let Ok(output) = made.output() else {
            return skip("foreign keys", "openssl is not installed");
        };
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        sandbox.run(&["certify", "rec", "--sign", name, "--out", "x"]).expect(2).says(&[words]);
    }
    // A key that OpenSSL made signs as well, and OpenSSL reads ours.
    let openssl = |args: &[&str]| {
        let output = Command::new("openssl").args(args).current_dir(sandbox.path(".")).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    openssl(&["genpkey", "-algorithm", "ED25519", "-out", "ossl.key"]);
    std::fs::set_permissions(sandbox.path("ossl.key"), PermissionsExt::from_mode(0o600)).unwrap();
    openssl(&["pkey", "-in", "ossl.key", "-pubout", "-out", "ossl.pub"]);
    certify(&sandbox, &["--sign", "ossl.key", "--out", "ossl"]);
    sandbox.run(&["verify", "ossl", "--key", "ossl.pub"]).expect(0);
    openssl(&["pkey", "-in", "lab.key", "-pubout", "-out", "derived.pub"]);
    let text = |name: &str| std::fs::read_to_string(sandbox.path(name)).unwrap();
    assert_eq!(text("derived.pub"), text("lab.key.pub"));
}
