//! Commands that show what there is: doctor, list, schema, completions, help.

use crate::support::Sandbox;

#[test]
fn doctor_gives_every_sensor_a_state_and_a_reason() {
    let sandbox = Sandbox::new();
    let report = sandbox.run(&["doctor", "--format", "json"]).expect(0).json();
    let sensors = report["sensors"].as_array().unwrap();
    for id in ["rapl", "nvml"] {
        let sensor = sensors.iter().find(|s| s["id"] == id).unwrap_or_else(|| panic!("no {id} in {sensors:?}"));
        match sensor["state"].as_str().unwrap() {
            "ready" => assert!(!sensor["info"]["channels"].as_array().unwrap().is_empty()),
            "absent" => assert!(sensor["reason"].as_str().unwrap().len() > 10),
            "denied" => assert!(sensor["remedy"].as_str().unwrap().len() > 10),
            other => panic!("state {other}"),
        }
    }
    assert!(report["environment"]["cpu"]["usable"].as_u64().unwrap() >= 1);
    let text = sandbox.run(&["doctor"]).expect(0).stdout;
    for heading in ["Machine", "Power sensors", "Processor counters", "Readiness"] {
        assert!(text.contains(heading), "{text}");
    }
    assert!(!text.contains('\u{1b}'), "escape sequences without a terminal");
}

#[test]
fn lists_show_the_registries() {
    let sandbox = Sandbox::new();
    let ids = |what: &str| -> Vec<String> {
        let json = sandbox.run(&["list", what, "--format", "json"]).expect(0).json();
        json.as_array().unwrap().iter().map(|k| k["id"].as_str().unwrap().to_owned()).collect()
    };
    let kernels = ids("kernels");
    for kernel in ["gemm", "spmv-csr", "spmm-csr", "attention", "triad", "fma-peak", "read-bandwidth"] {
        assert!(kernels.iter().any(|k| k == kernel), "{kernel} not in {kernels:?}");
    }
    let formats = ids("formats");
    for format in ["html", "pdf", "markdown", "json"] {
        assert!(formats.iter().any(|f| f == format), "{format} not in {formats:?}");
    }
    assert!(ids("sensors").iter().any(|s| s == "rapl"));
    sandbox.tiny_suite();
    let text = sandbox.run(&["list", "suites", "--dir", "."]).expect(0).stdout;
    assert!(text.contains("tiny.yaml"), "{text}");
    sandbox.run(&["list", "suites", "--dir", "nowhere"]).expect(2).says(&["nowhere"]);
}

#[test]
fn shipped_suites_are_valid_and_the_quick_one_is_quick() {
    let sandbox = Sandbox::new();
    let suites = concat!(env!("CARGO_MANIFEST_DIR"), "/suites");
    let listed = sandbox.run(&["list", "suites", "--dir", suites, "--format", "json"]).expect(0).json();
    assert!(listed.as_array().unwrap().iter().all(|s| s["valid"] == true), "{listed}");
    let plan = sandbox.run(&["run", &format!("{suites}/quick.yaml"), "--dry-run", "--format", "json"]).expect(0).json();
    assert!(plan["estimate_s"].as_f64().unwrap() <= 60.0, "{}", plan["estimate_s"]);
}

#[test]
fn schema_and_completions_are_printed() {
    let sandbox = Sandbox::new();
    let schema = sandbox.run(&["schema", "suite"]).expect(0).json();
    assert!(schema["properties"]["cases"].is_object(), "{schema}");
    for shell in ["bash", "zsh", "fish"] {
        assert!(sandbox.run(&["completions", shell]).expect(0).stdout.contains("wattproof"));
    }
}

#[test]
fn help_has_examples_and_version_is_known() {
    let sandbox = Sandbox::new();
    for args in [
        &["--help"][..],
        &["run", "--help"],
        &["doctor", "--help"],
        &["report", "--help"],
        &["list", "--help"],
        &["measure", "--help"],
    ] {
        let help = sandbox.run(args).expect(0).stdout;
        assert!(help.contains("Example"), "{args:?}:\n{help}");
    }
    let version = sandbox.run(&["--version"]).expect(0).stdout;
    assert_eq!(version.trim(), concat!("wattproof ", env!("CARGO_PKG_VERSION")));
}

#[test]
fn colours_come_only_when_asked_for() {
    let sandbox = Sandbox::new();
    assert!(!sandbox.run(&["doctor"]).expect(0).stdout.contains('\u{1b}'));
    assert!(sandbox.run(&["doctor", "--color", "always"]).expect(0).stdout.contains('\u{1b}'));
}
