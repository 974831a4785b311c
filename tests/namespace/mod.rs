//! Tests that need the kernel's own paths: a mount namespace gives them an empty `/sys/class`,
//! without root. Where the kernel forbids that, the test says so and passes.

use crate::skip::skip;
use std::process::Command;

/// Set in the namespace alone: without it, the tests below would write to the real tree.
const INSIDE: &str = "WATTPROOF_TEST_INSIDE_NAMESPACE";

/// Runs the ignored test `name` of this binary in a mount namespace whose `/sys/class` is empty.
pub(crate) fn in_namespace(name: &str) {
    let try_it = Command::new("unshare").args(["-Urm", "mount", "-t", "tmpfs", "none", "/sys/class"]).output();
    match try_it {
        Ok(output) if output.status.success() => {}
        Ok(output) => {
            let why = String::from_utf8_lossy(&output.stderr);
            return skip("counters at the real path, in a mount namespace", why.trim());
        }
        Err(error) => {
            return skip("counters at the real path, in a mount namespace", &format!("unshare cannot be run: {error}"));
        }
    }
    let script = "mount -t tmpfs none /sys/class && mkdir /sys/class/powercap && exec \"$0\" --ignored --exact \"$1\" --nocapture";
    let output = Command::new("unshare")
        .args(["-Urm", "sh", "-c", script])
        .arg(std::env::current_exe().unwrap())
        .arg(name)
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    print!("{text}");
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

pub(crate) fn assert_inside() {
    assert!(std::env::var_os(INSIDE).is_some(), "this test runs in a namespace, through its outer test");
}
