//! Calls of a card's driver that fail, one after the other, and a host whose cards have a meter and no CUDA: the reason is said,
//! with its code, and everything else goes on.

use crate::counters::double_path;
use crate::cuda::Machine;
use crate::skip::skip;
use crate::support::{FAST, Sandbox, events, header, of_kind};

const ONE: &str = "device NVIDIA H200\nmemory-mib 1024\n";
const TRIAD: &str = "{ kernel: triad, matrix: { bytes: 48 KiB } }";

/// Without these there is no device.
const OPENING: [&str; 11] = [
    "cuInit",
    "cuDriverGetVersion",
    "cuDeviceGetCount",
    "cuDeviceGet",
    "cuDeviceGetName",
    "cuDeviceGetPCIBusId",
    "cuDeviceGetAttribute",
    "cuDevicePrimaryCtxRetain",
    "cuCtxSetCurrent",
    "cuStreamCreate",
    "cuMemGetInfo_v2",
];

/// Without these there is no case.
const RUNNING: [&str; 12] = [
    "cuMemHostAlloc",
    "cuMemAlloc_v2",
    "cuMemcpyHtoDAsync_v2",
    "cuMemcpyDtoHAsync_v2",
    "cuMemsetD32Async",
    "cuModuleLoadData",
    "cuModuleGetFunction",
    "cuLaunchKernel",
    "cuStreamSynchronize",
    "cuEventCreate",
    "cuEventRecord",
    "cuEventElapsedTime_v2",
];

/// What gives back, and what a description can do without.
const MISSED_BY_NOBODY: [&str; 7] = [
    "cuDeviceGetUuid_v2",
    "cuMemFree_v2",
    "cuMemFreeHost",
    "cuEventDestroy_v2",
    "cuModuleUnload",
    "cuStreamDestroy_v2",
    "cuDevicePrimaryCtxRelease_v2",
];

/// Runs a case on the processor and on the device of a machine on which `function` answers with `code`, from the call after
/// `others` on: what the run said, and the reasons of the void cases.
fn failing(machine: &Machine, base: &str, function: &str, code: u32, others: u32, exit: i32) -> (String, Vec<String>) {
    machine.sandbox.write("script", format!("{base}fail {function} {code} {others}\n{ONE}"));
    let _ = std::fs::remove_dir_all(machine.sandbox.path("out"));
    let ran = machine.measure("[cpu, \"cuda:*\"]", &[TRIAD]);
    assert_eq!(ran.code, Some(exit), "{function}: {}", ran.stderr);
    assert!(!ran.stderr.contains("panicked"), "{function}: {}", ran.stderr);
    let events = events(&machine.sandbox.path("out"));
    let on_cpu = |case: &str| case.contains("triad") && !case.contains("cuda");
    let samples = of_kind(&events, "sample");
    assert!(samples.iter().any(|s| on_cpu(s["case"].as_str().unwrap())), "{function}: the processor's case went on");
    let said = format!("{}{}", ran.stdout, ran.stderr).split_whitespace().collect::<Vec<_>>().join(" ");
    (said, machine.voids().into_iter().map(|(_, why)| why).collect())
}

#[test]
fn every_call_of_the_driver_may_fail_and_the_run_goes_on() {
    let Some(machine) = Machine::emulated("") else { return };
    let base = std::fs::read_to_string(machine.sandbox.path("script")).unwrap();
    for function in OPENING {
        let (said, voids) = failing(&machine, &base, function, 999, 0, 0);
        assert!(voids.is_empty(), "{function}: {voids:?}");
        assert!(
            said.contains("there is no cuda device: CUDA cannot be used") && said.contains("999"),
            "{function}: {said}"
        );
    }
    for function in RUNNING {
        let (_, voids) = failing(&machine, &base, function, 999, 0, 5);
        assert!(voids.len() == 1 && voids[0].contains("999"), "{function}: {voids:?}");
    }
    for function in MISSED_BY_NOBODY {
        let (said, voids) = failing(&machine, &base, function, 999, 0, 0);
        assert!(voids.is_empty() && !said.contains("there is no cuda device"), "{function}: {voids:?} {said}");
    }
}

#[test]
fn an_error_of_memory_that_the_driver_reports_in_a_window_loses_the_device_and_nothing_else() {
    let Some(machine) = Machine::emulated("") else { return };
    let base = std::fs::read_to_string(machine.sandbox.path("script")).unwrap();
    // After the transfers, the canary and some of the warm-up.
    let (_, voids) = failing(&machine, &base, "cuStreamSynchronize", 214, 14, 5);
    let words = "CUDA_ERROR_ECC_UNCORRECTABLE, 214";
    assert!(voids.len() == 1 && voids[0].contains(words) && voids[0].contains("nvidia-smi -q -d ECC"), "{voids:?}");
}

#[test]
fn a_host_with_a_meter_of_its_card_and_no_cuda_skips_and_reads_the_meter() {
    let sandbox = Sandbox::new();
    let families = sandbox.run(&["list", "devices", "--format", "json"]).expect(0).json();
    let cuda = families.as_array().unwrap().iter().find(|f| f["family"] == "cuda").unwrap().clone();
    if cuda["state"] != "absent" {
        return skip("a host without CUDA", "CUDA is here");
    }
    std::fs::copy(double_path("libnvml_double.so"), sandbox.path("libnvidia-ml.so")).unwrap();
    sandbox.write("libnvidia-ml.script", "gpu NVIDIA H200\npci 00000000:3B:00.0\npower constant 100\n");
    let library = sandbox.path("libnvidia-ml.so");
    let text = format!(
        "version: 1\nsuite: gpu\ntitle: On a device\nprofile: quick\n{FAST}\ndevices: [cpu, 'cuda:*']\ncases:\n  - {TRIAD}\n"
    );
    sandbox.write("gpu.yaml", text);
    let args = ["run", "gpu.yaml", "--out", "out", "--nvml-library", library.to_str().unwrap()];
    sandbox.run(&args).expect(0);
    let header = header(&sandbox.path("out"));
    let skip = &header["plan"]["skips"][0];
    let reason = skip["reason"].as_str().unwrap();
    assert!(reason.starts_with("there is no cuda device: "), "{reason}");
    assert!(skip["case"]["id"].as_str().unwrap().ends_with("-cuda"), "{skip}");
    // The board is described, and its rest is measured, although nothing ran on it.
    assert!(header["environment"].to_string().contains("NVIDIA H200"), "{header}");
    let events = events(&sandbox.path("out"));
    let idle = of_kind(&events, "idle");
    assert_eq!(idle.len(), 2);
    for window in idle {
        let spans = window["energy"].as_array().unwrap();
        assert!(spans.iter().any(|s| s["domain"].as_str().unwrap().starts_with("gpu-")), "{window}");
    }
}
