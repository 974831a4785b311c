//! What a test has to leave out on this machine, said aloud and counted by `ci/test.sh`.

/// Says that something could not be tested here, and why; the test script counts it.
pub(crate) fn skip(what: &str, why: &str) {
    use std::io::Write;
    // For whoever reads the test's output; one that cannot be written to is no reason to fail.
    let _ = writeln!(std::io::stderr(), "skipped: {what}: {why}");
    if let Some(path) = std::env::var_os("WATTPROOF_SKIPPED") {
        let file = std::fs::OpenOptions::new().append(true).create(true).open(path);
        file.and_then(|mut f| writeln!(f, "{what}: {why}")).unwrap();
    }
}
