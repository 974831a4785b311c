//! The rig itself: its curves against numerical integration, its scripts line by line, and its
//! counters against its own truth. What it calls true must be true.

#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]
#![allow(dead_code, clippy::allow_attributes, reason = "the modules have more than a test needs")]

#[path = "../examples/rig/board.rs"]
mod board;
#[path = "../examples/rig/curve.rs"]
mod curve;
#[path = "../examples/rig/script.rs"]
mod script;
mod sensors_support;
#[path = "../examples/rig/tree.rs"]
mod tree;

use script::{Script, Zone};
use sensors_support::example;
use std::process::Command;
use tree::Shown;

const CURVES: [&str; 7] = [
    "power constant 65",
    "power ramp 20 120 for 1.7\npower constant 3",
    "power sine 65 60 0.37",
    "power steps 20 120 0 80 each 0.3",
    "power sine 65 60 0.37 for 0.9\npower ramp 100 0 for 0.25\npower steps 5 250 each 0.1\nrepeat",
    "power ramp 5 250 for 0.05\nrepeat",
    "power from 0.5 40\npower from 1.25 90",
];

fn zone(text: &str) -> Zone {
    Script::parse(&format!("zone intel-rapl:0 package-0\n{text}\n")).unwrap().zones.remove(0)
}

#[test]
fn energy_is_the_integral_of_power() {
    for text in CURVES {
        let zone = zone(text);
        // The midpoint rule on a grid that is fine beside the shortest segment.
        let (mut sum, mut place) = (0.0, 0.0);
        let step = 1e-5;
        for until in [0.1, 0.52, 1.3, 2.9, 4.0] {
            while place < until {
                sum += zone.load.power(place + step / 2.0, &[]) * step;
                place += step;
            }
            let exact = zone.load.energy(place, &[]);
            assert!((exact - sum).abs() < 2e-3 * (1.0 + sum) / 10.0, "{text} at {until}: {exact} J, sum {sum} J");
        }
        assert!(zone.load.energy(-1.0, &[]).abs() < 1e-12);
    }
}

#[test]
fn repeated_curves_are_exact_after_many_cycles() {
    // 1 s: 20, 120 W and a sine of whole periods around 60 W.
    let zone = zone("power steps 20 120 each 0.25\npower sine 60 50 0.05 for 0.5\nrepeat");
    let cycle = 0.25 * 140.0 + 0.5 * 60.0;
    for seconds in [1.0, 7.0, 3600.0, 86_400.0] {
        assert!((zone.load.energy(seconds, &[]) - cycle * seconds).abs() < 1e-9 * cycle * seconds, "{seconds}");
    }
    assert!((zone.load.energy(7.25, &[]) - (7.0 * cycle + 5.0)).abs() < 1e-9);
}

#[test]
fn a_trigger_begins_the_curve_anew() {
    let script = Script::parse("gpu NVIDIA H200\npower constant 300 for 1\non-trigger 70\n").unwrap();
    let load = &script.gpus[0].load;
    // 70 W until second 2, 300 W for a second, nothing until second 5, 300 W again, cut short at 5.5.
    let triggers = [2.0, 5.0, 5.5];
    let energy = |t: f64| load.energy(t, &triggers);
    for (t, joules) in [(1.0, 70.0), (2.5, 290.0), (4.0, 440.0), (5.25, 515.0), (6.0, 740.0), (9.0, 890.0)] {
        assert!((energy(t) - joules).abs() < 1e-9, "{t}: {} J, not {joules}", energy(t));
    }
    assert!((load.energy(3.0, &[]) - 210.0).abs() < 1e-9);
    assert!((load.power(5.6, &triggers) - 300.0).abs() < 1e-9 && load.power(4.0, &triggers).abs() < 1e-9);
}

#[test]
fn counters_wrap_and_reset_and_stall_as_the_script_says() {
    let counter = |zone: &Zone, t: f64| match zone.shows(t) {
        Shown::Value(value) => value,
        other => panic!("{other:?} at {t}"),
    };
    let wraps = zone("range 262143328850\npower constant 100\nwrap-at 1.5");
    assert_eq!(counter(&wraps, 1.4), 262_143_328_851 - 10_000_000);
    assert_eq!(counter(&wraps, 1.5), 0);
    assert_eq!(counter(&wraps, 1.6), 10_000_000);
    let reset = zone("power constant 100\nstart 5000\nat 1 every 2 reset 7");
    for (t, value) in [(0.5, 50_005_000), (1.0, 7), (2.5, 150_000_007), (3.0, 7), (3.5, 50_000_007)] {
        assert_eq!(counter(&reset, t), value, "{t}");
    }
    assert_eq!(reset.happenings(1.5, 2.9), [""; 0]);
    assert_eq!(reset.happenings(2.9, 3.1), ["reset"]);
    let stall = zone("power constant 100\nstart 0\nat 1 stall for 0.5");
    assert_eq!([0.9, 1.2, 1.4, 1.5].map(|t| counter(&stall, t)), [90_000_000, 100_000_000, 100_000_000, 150_000_000]);
    assert_eq!(stall.happenings(1.2, 1.3), ["stall"]);
    let odd = zone(
        "power constant 1\nat 1 says truncated for 0.5\nat 2 says -12 for 0.5\nat 3 says empty\nat 4 eio\nat 5 vanish",
    );
    assert_eq!(odd.shows(1.2), Shown::Text("0000000".into()));
    assert_eq!(counter(&odd, 1.6), 2_600_000);
    assert_eq!(odd.shows(2.2), Shown::Text("-12\n".into()));
    assert_eq!(odd.shows(3.5), Shown::Text(String::new()));
    assert_eq!((odd.shows(4.5), odd.shows(5.0)), (Shown::Eio, Shown::Gone));
}

#[test]
fn a_script_that_is_wrong_names_its_line() {
    for (text, words) in [
        ("power constant 65", "line 1: `power` describes a domain"),
        ("\n# nothing\nzone a", "line 3: a name is missing"),
        ("zone ../../etc package-0", "does not stay below"),
        ("zone a b\npower constant -1", "line 2: power is never negative"),
        ("zone a b\npower constant nan", "line 2"),
        ("zone a b\npower sine 10 20 1", "never negative"),
        ("zone a b\npower ramp 1 2", "a ramp has an end"),
        ("zone a b\npower constant 1\npower constant 2", "line 3: the segment before has no end"),
        ("zone a b\npower constant 1\nrepeat", "only segments that end"),
        ("zone a b\npower steps 1 2 3", "each SECONDS"),
        ("zone a b\npower wave 1", "`wave` is no curve"),
        ("zone a b\npower constant 65 till 3", "`till` is not understood"),
        ("zone a b\nat 1 explode", "`explode` is no event"),
        ("zone a b\nat 1 chmod 999", "`999` is no mode"),
        ("zone a b\ncopy-of c", "no zone c to copy"),
        ("zone a b\non-trigger 5", "only GPUs"),
        ("gpu A\nsampled 25", "seconds is missing"),
        ("gpu A\ncounter-ms 0", "longer than 0"),
        ("gpu A\nspeed 9", "no property of a GPU"),
        ("fail nvmlInit_v2", "an error code is missing"),
    ] {
        let problem = Script::parse(text).unwrap_err();
        assert!(problem.contains(words), "{text:?}: {problem}");
    }
}

#[test]
fn the_rig_prints_the_truth_of_a_commands_window() {
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("machine");
    std::fs::write(
        &script,
        "zone intel-rapl/intel-rapl:0 package-0\npower ramp 20 120 for 0.5\nrepeat\nwrap-at 0.2\n\
         zone intel-rapl-mmio/intel-rapl-mmio:0 package-0\ncopy-of intel-rapl/intel-rapl:0\n\
         gpu NVIDIA H200\npower constant 300\n",
    )
    .unwrap();
    let counters =
        "for z in intel-rapl/intel-rapl:0 intel-rapl-mmio:0; do cat $RIG_ROOT/sys/class/powercap/$z/energy_uj; done";
    let output = Command::new(example("rig"))
        .arg(&script)
        .args(["--at".as_ref(), dir.path(), "--truth".as_ref(), &dir.path().join("truth")])
        .args(["--", "sh", "-c", &format!("{counters}; sleep 0.6; {counters}; test -e $RIG_NVML || exit 9; exit 3")])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stderr));
    let values: Vec<i128> =
        String::from_utf8(output.stdout).unwrap().lines().map(|line| line.parse().unwrap()).collect();
    let truth: Vec<serde_json::Value> = std::fs::read_to_string(dir.path().join("truth"))
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(truth[0]["driver"]["ticks"].as_u64().unwrap() > 100, "{}", truth[0]);
    let joules = |i: usize| truth[i]["energy_j"].as_f64().unwrap();
    assert!((joules(1) - joules(2)).abs() < 1e-12, "a copy draws what its source draws");
    let seconds = truth[3]["to_s"].as_f64().unwrap() - truth[3]["from_s"].as_f64().unwrap();
    assert!((joules(3) - 300.0 * seconds).abs() < 1e-3, "{} J in {seconds} s", joules(3));
    let counted = (values[2] - values[0] + 262_143_328_851) as f64 / 1e6;
    assert!((values[3] - values[1] - (values[2] - values[0])).abs() < 5_000_000, "{values:?}");
    // The counter was read just after the window began and just before it ended.
    assert!(counted > 0.0 && counted <= joules(1) && counted > joules(1) * 0.85, "{counted} J of {} J", joules(1));
}
