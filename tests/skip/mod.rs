//! What a test has to leave out on this machine, said aloud and counted by `ci/test.sh`.

/// Says that something could not be tested here, and why; the test script counts it.
#[expect(clippy::print_stderr, reason = "for whoever reads the test's output")]
pub(crate) fn skip(what: &str, why: &str) {
    eprintln!("skipped: {what}: {why}");
    if let Some(path) = std::env::var_os("WATTPROOF_SKIPPED") {
        use std::io::Write;
        let file = std::fs::OpenOptions::new().append(true).create(true).open(path);
        file.and_then(|mut f| writeln!(f, "{what}: {why}")).unwrap();
    }
}
