//! A case on a graphics card and the board it runs on: CUDA and NVML doubles together, so that what a window says of its
//! board can be held against a script.

use crate::counters::double_path;
use crate::cuda::Machine;
use crate::skip::skip;
use crate::support::{Ran, events, header, of_kind};
use serde_json::Value;
use std::process::Command;
use wattproof::sensors::nvml::public_id;

/// Two boards as CUDA counts them: the second of NVML's first.
const CUDA: &str = "device NVIDIA H200\npci 0000:5e:00.0\nuuid 22222222-2222-2222-2222-222222222222\n\
                    device NVIDIA H200\npci 0000:3b:00.0\nuuid 11111111-1111-1111-1111-111111111111\n";
/// The same as NVML counts them; the first draws 100 W, the second 300 W.
const NVML: &str = "gpu NVIDIA H200\nuuid GPU-11111111-1111-1111-1111-111111111111\npci 00000000:3B:00.0\npower constant 100\n\
                    gpu NVIDIA H200\nuuid GPU-22222222-2222-2222-2222-222222222222\npci 00000000:5E:00.0\npower constant 300\n";
const FIRST: &str = "GPU-11111111-1111-1111-1111-111111111111";
const SECOND: &str = "GPU-22222222-2222-2222-2222-222222222222";

/// The first board alone, to be described further.
const ALONE: &str =
    "gpu NVIDIA H200\nuuid GPU-11111111-1111-1111-1111-111111111111\npci 00000000:3B:00.0\npower constant 100\n";

/// A machine with both libraries.
struct Cards {
    machine: Machine,
}

impl Cards {
    /// `None` without a C++ compiler.
    fn new(cuda: &str, nvml: &str) -> Option<Self> {
        let machine = Machine::emulated(cuda)?;
        std::fs::create_dir(machine.sandbox.path("nvml")).unwrap();
        let library = machine.sandbox.path("nvml/libnvidia-ml.so");
        std::fs::copy(double_path("libnvml_double.so"), library).unwrap();
        let cards = Self { machine };
        cards.script(nvml);
        Some(cards)
    }

    fn script(&self, nvml: &str) {
        self.machine.sandbox.write("nvml/libnvidia-ml.script", nvml);
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.machine.command(args);
        command.arg("--nvml-library").arg(self.machine.sandbox.path("nvml/libnvidia-ml.so"));
        command
    }

    /// Runs one small case on `devices` into a new folder, with more settings, and CUDA_VISIBLE_DEVICES where one is given.
    fn measure(&self, devices: &str, settings: &str, visible: Option<&str>) -> Ran {
        let _ = std::fs::remove_dir_all(self.machine.sandbox.path("out"));
        let load = if settings.contains("foreign_load_limit") { "" } else { "foreign_load_limit: 1, " };
        let longest = if settings.contains("warm_up_max") { "" } else { "warm_up_max: 20 ms, " };
        let text = format!(
            "version: 1\nsuite: cards\ntitle: On a card\nprofile: quick\nsettings: {{ idle: 30 ms, warm_up_min: 2 ms, {longest}\
             probe: 2 ms, probe_size: 4 MiB, {load}steal_limit: 1, bootstrap_resamples: 200, {settings} \
             }}\ndevices: {devices}\ncases:\n  - {{ kernel: triad, matrix: {{ bytes: 48 KiB }} }}\n"
        );
        self.machine.sandbox.write("cards.yaml", text);
        let mut command = self.command(&["run", "cards.yaml", "--out", "out", "--format", "json"]);
        if let Some(visible) = visible {
            command.env("CUDA_VISIBLE_DEVICES", visible);
        }
        Ran::from(command.output().unwrap())
    }

    fn header(&self) -> Value {
        header(&self.machine.sandbox.path("out"))
    }

    fn samples(&self) -> Vec<Value> {
        let events = events(&self.machine.sandbox.path("out"));
        of_kind(&events, "sample").into_iter().cloned().collect()
    }
}

const SHORT: &str = "repeats: 2, window_floor: 20 ms, retries: 0";

/// Mean power in watts of the domain of `device` over the windows.
fn power(cards: &Cards, device: usize) -> (String, f64) {
    let domain = cards.header()["devices"][device]["domain"].as_str().unwrap().to_owned();
    let (mut joules, mut seconds) = (0.0, 0.0);
    for sample in cards.samples() {
        let span = sample["energy"].as_array().unwrap().iter().find(|s| s["domain"] == domain.as_str()).unwrap();
        joules += span["energy_uj"].as_str().unwrap().parse::<f64>().unwrap() / 1e6;
        seconds += (span["to"].as_f64().unwrap() - span["from"].as_f64().unwrap()) / 1e9;
    }
    (domain, joules / seconds)
}

/// What a case of a report is rated on, in watts.
fn rated_power(case: &Value) -> f64 {
    let power = &case["energy"]["power_w"];
    power["measured"]["median"].as_f64().unwrap_or_else(|| panic!("{power}"))
}

#[track_caller]
fn near(watts: f64, truth: f64) {
    assert!((watts / truth - 1.0).abs() < 0.05, "{watts} W, truth {truth} W");
}

#[test]
fn a_window_reads_the_board_that_its_case_runs_on_however_it_is_chosen() {
    let Some(cards) = Cards::new(CUDA, NVML) else { return };
    // CUDA's order is not NVML's; a choice by number, by UUID and by the beginning of one renumbers the devices.
    for (visible, uuid, watts) in [
        (None, SECOND, 300.0),
        (Some("1"), FIRST, 100.0),
        (Some("1,0"), FIRST, 100.0),
        (Some(SECOND), SECOND, 300.0),
        (Some("GPU-1111"), FIRST, 100.0),
    ] {
        let report = cards.measure("[\"cuda:0\"]", SHORT, visible).expect(0).json();
        let (domain, measured) = power(&cards, 0);
        assert_eq!(domain, format!("gpu-{}", public_id(uuid)), "{visible:?}");
        near(measured, watts);
        near(rated_power(&report["cases"][0]), watts);
        let device = &cards.header()["devices"][0];
        assert_eq!((device["interface"].as_str(), device["driver"].as_str()), (Some("CUDA 13.0"), Some("580.82.07")));
    }
    // Both at once: each window holds both boards' energy, and each case is rated on its own.
    let report = cards.measure("[\"cuda:*\"]", SHORT, None).expect(0).json();
    let text = report["cases"].to_string();
    let of = |id: &str| {
        report["cases"].as_array().unwrap().iter().find(|c| c["device"] == id).unwrap_or_else(|| panic!("{text}"))
    };
    for (id, watts) in [("cuda:0", 300.0), ("cuda:1", 100.0)] {
        near(rated_power(of(id)), watts);
    }
}

#[test]
fn energy_that_is_required_is_that_of_what_the_cases_run_on() {
    let Some(cards) = alone("") else { return };
    cards.measure("[\"cuda:0\"]", SHORT, None).expect(0);
    let args = |out| ["run", "cards.yaml", "--require", "energy", "--out", out];
    // A card whose board NVML reads needs no counter of the processor.
    let ran = Ran::from(cards.command(&args("metered")).output().unwrap()).expect(0);
    assert!(cards.machine.sandbox.path("metered/record.json").exists(), "{}", ran.stderr);
    // The same card without its meter.
    let ran = Ran::from(cards.machine.command(&args("blind")).output().unwrap());
    if ran.code == Some(0) {
        return skip("a card without a meter", "something here reads the whole machine");
    }
    ran.expect(6).says(&["--require energy: no energy counter of cuda:0 (NVIDIA H200) works here"]);
    assert!(!cards.machine.sandbox.path("blind").exists());
}

#[test]
fn the_one_command_for_a_machine_with_a_card_goes_all_its_way() {
    let Some(cards) = alone("") else { return };
    cards.measure("[\"cuda:0\"]", SHORT, None).expect(0);
    let sandbox = &cards.machine.sandbox;
    // The script finds both libraries where a driver puts them.
    for (from, to) in [("libnvidia-ml.so", "libnvidia-ml.so.1"), ("libnvidia-ml.script", "libnvidia-ml.so.script")] {
        std::fs::copy(sandbox.path("nvml").join(from), sandbox.path("lib").join(to)).unwrap();
    }
    let wattproof = cards.machine.command(&[]);
    let mut script = Command::new("bash");
    script.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/ci/gpu.sh")).arg("--binary").arg(wattproof.get_program());
    script.arg("--suite").arg(sandbox.path("cards.yaml")).arg("--out").arg(sandbox.path("gpu"));
    script.envs(wattproof.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let ran = Ran::from(script.output().unwrap());
    let said = format!("{}{}", ran.stdout, ran.stderr);
    assert_eq!(ran.code, Some(0), "{said}");
    for words in ["--- every answer against its f64 reference", "--- record", "--- certificate", "0 failed"] {
        assert!(ran.stdout.contains(words), "no `{words}` in: {said}");
    }
    // No certificate for doubles, and the reasons against one.
    let refusal = std::fs::read_to_string(sandbox.path("gpu/certificate/certificate.json")).unwrap();
    assert!(refusal.contains("the CUDA library is a double") && refusal.contains("simulated"), "{refusal}");
    let record = header(&sandbox.path("gpu/record"));
    assert_eq!(record["devices"][0]["domain"], format!("gpu-{}", public_id(FIRST)).as_str());
}

#[test]
fn a_uuid_and_an_address_that_name_two_boards_refuse_the_device_with_both() {
    let swapped = CUDA.replacen("5e", "xx", 1).replacen("3b", "5e", 1).replacen("xx", "3b", 1);
    let Some(cards) = Cards::new(&swapped, NVML) else { return };
    let listed = Ran::from(cards.machine.command(&["list", "devices", "--format", "json"]).output().unwrap());
    assert!(!listed.expect(0).stdout.contains("11111111-"), "UUIDs are not shown");
    let report = Ran::from(cards.command(&["doctor", "--format", "json"]).output().unwrap()).expect(0).json();
    let family = report["devices"].as_array().unwrap().iter().find(|f| f["family"] == "cuda").unwrap();
    for device in family["devices"].as_array().unwrap() {
        let why = device["refused"].as_str().unwrap_or_else(|| panic!("{device}"));
        assert!(why.contains("so nobody can tell whose energy would be read"), "{why}");
    }
    let ran = cards.measure("[cpu, \"cuda:0\"]", SHORT, None).expect(0);
    let skips = cards.header()["plan"]["skips"].clone();
    assert_eq!(skips.as_array().unwrap().len(), 1, "{}", ran.stderr);
    let reason = skips[0]["reason"].as_str().unwrap();
    for word in ["cuda:0", "0000:3b:00.0", &public_id(FIRST), &public_id(SECOND), "nvidia-smi"] {
        assert!(reason.contains(word), "no {word} in: {reason}");
    }
    assert!(!cards.samples().is_empty(), "the processor's case went on");
}

#[test]
fn an_instance_of_a_divided_board_is_measured_and_never_rated() {
    let mig = "device NVIDIA H200 MIG 1g.18gb\npci 0000:3b:00.0\nuuid 33333333-3333-3333-3333-333333333333\n";
    let nvml = NVML.replacen("pci", "mig\npci", 1);
    let Some(cards) = Cards::new(mig, &nvml) else { return };
    for visible in [None, Some("MIG-33333333-3333-3333-3333-333333333333")] {
        let report = cards.measure("[\"cuda:0\"]", SHORT, visible).expect(0).json();
        let device = &cards.header()["devices"][0];
        assert_eq!((device["pci"].as_str(), device.get("domain")), (Some("0000:3b:00.0"), None), "{device}");
        let energy = report["cases"][0]["energy"].to_string();
        assert!(energy.contains("an instance of a card that is divided (MIG)"), "{energy}");
    }
    cards.machine.sandbox.run(&["certify", "out", "--out", "bundle"]).expect(3);
    let text = std::fs::read_to_string(cards.machine.sandbox.path("bundle/certificate.json")).unwrap();
    assert!(text.contains("MIG is on: the counter covers other instances as well"), "{text}");
}

/// The first board alone, with more statements about it.
fn alone(more: &str) -> Option<Cards> {
    Cards::new(
        "device NVIDIA H200\npci 0000:3b:00.0\nuuid 11111111-1111-1111-1111-111111111111\n",
        &format!("{ALONE}{more}\n"),
    )
}

fn codes(sample: &Value) -> Vec<&str> {
    sample["flags"]
        .as_array()
        .map_or_else(Vec::new, |flags| flags.iter().map(|f| f["code"].as_str().unwrap()).collect())
}

/// Codes and texts of the caveats about the card.
fn caveats(report: &Value) -> Vec<(String, String)> {
    let word = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    report["caveats"].as_array().unwrap().iter().map(|c| (word(&c["code"]), word(&c["text"]))).collect()
}

#[test]
fn every_window_says_what_its_card_was_like_and_who_said_so() {
    let Some(cards) = alone(
        "limit-mw 650000\nslow-sm 600 0 60\necc corrected 3 every 0.02\necc uncorrected 1\nprocess self sm 90\nxid 79 every 900",
    ) else {
        return;
    };
    let ran = cards.measure("[\"cuda:0\"]", SHORT, None).expect(0);
    let samples = cards.samples();
    assert_eq!(samples.len(), 2);
    for sample in &samples {
        let card = &sample["state"]["card"];
        assert_eq!(card["domain"], format!("gpu-{}", public_id(FIRST)).as_str());
        assert_eq!(card["sensor"], "nvml");
        assert!(card["readings"].as_u64().unwrap() >= 2, "{card}");
        assert_eq!(card["sm_clock_hz"], serde_json::json!({"median": 6e8, "min": 6e8}));
        assert_eq!(card["memory_clock_hz"], serde_json::json!({"median": 2.619e9, "min": 2.619e9}));
        assert_eq!((card["temperature_c"].as_f64(), card["power_limit_w"].as_f64()), (Some(40.0), Some(650.0)));
        assert_eq!(
            (card["throttle"].clone(), card["throttle_events"].as_u64()),
            (serde_json::json!(["idle"]), Some(0))
        );
        let (before, after) = (card["ecc_corrected"][0].as_u64().unwrap(), card["ecc_corrected"][1].as_u64().unwrap());
        assert!(before >= 3 && after > before, "{card}");
        assert_eq!(card["ecc_uncorrected"], serde_json::json!([1, 1]), "errors of the past are nobody's");
        assert_eq!(
            (card["pcie_replays"].clone(), card["xids"].clone()),
            (serde_json::json!([0, 0]), serde_json::json!([]))
        );
        assert_eq!(card["others"], serde_json::json!({"count": 0, "own_seen": true}));
        assert_eq!(card["foreign_load"].as_f64(), Some(0.0));
        assert!(codes(sample).is_empty(), "{sample}");
    }
    assert!(caveats(&ran.json()).iter().any(|(code, _)| code == "ecc-corrected"), "{}", ran.stdout);
    let page = std::fs::read_to_string(cards.machine.sandbox.path("out/report.html")).unwrap();
    for words in ["cuda:0 in its windows", "600 MHz", "650 W", "40 °C", "idle in 2 of 2 windows"] {
        assert!(page.contains(words), "no `{words}` on the page");
    }
}

#[test]
fn windows_on_a_card_that_throttles_are_discarded_and_retried_so_often_and_no_more() {
    // All the time: each window is taken, flagged and repeated until the retries of the case are used up.
    let Some(cards) = alone("slowdown 0 600") else { return };
    let report = cards.measure("[\"cuda:0\"]", "repeats: 2, window_floor: 20 ms, retries: 3", None).expect(0).json();
    let samples = cards.samples();
    assert_eq!(samples.len(), 2 + 3, "two repeats, three retries a case");
    for sample in &samples {
        assert_eq!(codes(sample), ["throttled"], "{sample}");
        assert!(sample["flags"][0]["detail"].as_str().unwrap().contains("cuda:0 slowed itself down"), "{sample}");
        assert!(sample["state"]["throttle_events"].as_u64().unwrap() > 0, "{sample}");
    }
    assert_eq!(report["cases"][0]["windows"]["discarded"], serde_json::json!([["throttled", 5]]), "{report}");
    // Before each of the three the card was left alone for as long as a warm-up may take, and to no avail.
    let pauses: Vec<&Value> = samples.iter().map(|s| &s["state"]["card"]["cool_down"]).collect();
    assert_eq!(
        pauses.iter().map(|p| p.is_object()).collect::<Vec<_>>(),
        [false, true, true, true, false],
        "{pauses:?}"
    );
    for pause in &pauses[1..4] {
        assert!((0.02..1.0).contains(&pause["wall_s"].as_f64().unwrap()), "{pause}");
        assert_eq!((pause["over"].as_bool(), &pause["reasons"]), (Some(false), &serde_json::json!(["thermal"])));
    }
    let page = std::fs::read_to_string(cards.machine.sandbox.path("out/report.html")).unwrap();
    assert!(page.contains("before 3 of 5 windows, 3 times in vain"), "the page does not tell of the pauses");
}

#[test]
fn a_window_is_measured_again_as_soon_as_the_card_has_cooled_down() {
    let Some(cards) = alone("slowdown 0 0.5 every 1") else { return };
    // A pause may last three seconds, and none does: it ends with the slowdown.
    let settings = "repeats: 4, window_floor: 40 ms, retries: 100, warm_up_max: 3 s";
    cards.measure("[\"cuda:0\"]", settings, None).expect(0);
    let samples = cards.samples();
    let pauses: Vec<&Value> =
        samples.iter().map(|s| &s["state"]["card"]["cool_down"]).filter(|p| p.is_object()).collect();
    assert!(!pauses.is_empty(), "{samples:?}");
    for pause in &pauses {
        assert_eq!((pause["over"].as_bool(), &pause["reasons"]), (Some(true), &serde_json::json!(["thermal"])));
        assert!((0.001..3.0).contains(&pause["wall_s"].as_f64().unwrap()), "{pause}");
    }
    // What was taken in between counts, and every window says which it was.
    let (bad, good): (Vec<&Value>, Vec<&Value>) = samples.iter().partition(|s| !codes(s).is_empty());
    assert_eq!(good.len(), 4, "{} discarded", bad.len());
    let hot = |s: &Value| s["state"]["card"]["throttle"].as_array().unwrap().contains(&"thermal".into());
    assert!(bad.iter().all(|s| hot(s) && codes(s) == ["throttled"]), "{bad:?}");
    assert!(!good.iter().any(|s| hot(s)), "{good:?}");
    // Without a pause a slowdown of half a second would hit a dozen windows.
    assert!(bad.len() <= 2 * pauses.len() + 2, "{} discarded, {} pauses", bad.len(), pauses.len());
}

#[test]
fn heat_of_another_card_is_nothing_to_a_case() {
    let Some(cards) = Cards::new(CUDA, &format!("{NVML}slowdown 0 600\n")) else { return };
    cards.measure("[cpu, \"cuda:1\"]", SHORT, None).expect(0);
    let samples = cards.samples();
    assert!(samples.iter().all(|s| !codes(s).contains(&"throttled")), "{samples:?}");
    let (on_card, on_cpu): (Vec<&Value>, Vec<&Value>) =
        samples.iter().partition(|s| s["case"].as_str().unwrap().ends_with("cuda1"));
    assert!(on_card.len() == 2 && on_card.iter().all(|s| s["state"]["card"]["throttle_events"] == 0), "{on_card:?}");
    assert!(
        !on_cpu.is_empty() && on_cpu.iter().all(|s| s["state"].get("card").is_none()),
        "a case on the processor has no card"
    );
    cards.measure("[\"cuda:0\"]", SHORT, None).expect(0);
    assert!(cards.samples().iter().all(|s| codes(s) == ["throttled"]), "its own is");
}

#[test]
fn errors_that_memory_cannot_correct_and_critical_ones_void_the_window() {
    let Some(cards) = alone("ecc uncorrected 0 every 0.001") else { return };
    cards.measure("[\"cuda:0\"]", SHORT, None).expect(0);
    for sample in cards.samples() {
        assert_eq!(codes(&sample), ["card-error"], "{sample}");
        let detail = sample["flags"][0]["detail"].as_str().unwrap();
        assert!(detail.contains("memory errors of cuda:0 could not be corrected (ECC)"), "{detail}");
    }
    let Some(cards) = alone("xid 79 every 0.01") else { return };
    let report = cards.measure("[\"cuda:0\"]", "repeats: 2, window_floor: 30 ms, retries: 1", None).expect(0).json();
    let samples = cards.samples();
    assert_eq!(samples.len(), 3);
    for sample in &samples {
        assert_eq!(codes(sample), ["card-error"], "{sample}");
        assert!(sample["flags"][0]["detail"].as_str().unwrap().contains("Xid 79"), "{sample}");
        assert_eq!(sample["state"]["card"]["xids"][0], 79);
    }
    let why = report["cases"][0]["energy"].to_string();
    assert!(why.contains("none of 3 windows counts"), "{why}");
}

#[test]
fn another_process_on_the_card_is_a_caveat_and_its_load_voids_the_window() {
    // It has a context and does nothing: the owner of a desktop, say.
    let Some(cards) = alone("process self sm 90\nprocess 4242 graphics sm 0") else { return };
    let ran = cards.measure("[\"cuda:0\"]", SHORT, None).expect(0);
    for sample in cards.samples() {
        assert_eq!(sample["state"]["card"]["others"], serde_json::json!({"count": 1, "own_seen": true}));
        assert_eq!(sample["state"]["card"]["foreign_load"].as_f64(), Some(0.0));
        assert!(codes(&sample).is_empty());
    }
    let told = caveats(&ran.json());
    let shared = told.iter().find(|(code, _)| code == "shared-card").unwrap_or_else(|| panic!("{told:?}"));
    assert!(shared.1.contains("in 2 of 2 windows: they used 0.0 % of it at most"), "{}", shared.1);
    // At work: the load of others is measured like that on the processor, against the same limit.
    cards.script(&format!("{ALONE}process self sm 55\nprocess 4242 sm 40\nprocess 4243 sm 2\n"));
    let strict = "repeats: 2, window_floor: 20 ms, retries: 1, foreign_load_limit: 0.05";
    cards.measure("[\"cuda:0\"]", strict, None).expect(0);
    let samples = cards.samples();
    assert_eq!(samples.len(), 3);
    for sample in &samples {
        let flags = sample["flags"].to_string();
        assert!(flags.contains("other processes used 42.0 % of cuda:0, limit 5.0 %"), "{flags}");
        assert!(codes(sample).contains(&"foreign-load"), "{flags}");
    }
    // In a container this program has another number: whose load is whose is unknown, and said to be.
    cards.script(&format!("{ALONE}process 90210 sm 55\nprocess 4242 sm 40\n"));
    let ran = cards.measure("[\"cuda:0\"]", SHORT, None).expect(0);
    for sample in cards.samples() {
        let card = &sample["state"]["card"];
        assert_eq!(card["others"], serde_json::json!({"count": 1, "own_seen": false}));
        assert_eq!(card.get("foreign_load"), None, "unknown is not 0");
    }
    let told = caveats(&ran.json());
    for (code, words) in [
        ("shared-card", "what they used of it is unknown"),
        ("card-processes-renumbered", "under a number of another namespace"),
    ] {
        assert!(told.iter().any(|(c, text)| c == code && text.contains(words)), "no {code}: {told:?}");
    }
    // A driver that lists none at all, although this program is there.
    cards.script(&format!("{ALONE}processes none\n"));
    let ran = cards.measure("[\"cuda:0\"]", SHORT, None).expect(0);
    assert!(cards.samples().iter().all(|s| s["state"]["card"].get("others").is_none()));
    assert!(caveats(&ran.json()).iter().any(|(code, _)| code == "card-processes-unknown"), "{}", ran.stdout);
}
