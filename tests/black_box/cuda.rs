//! CUDA on machines without a GPU: a double of libcuda and NVRTC whose programs run in the emulator, do nothing, or fail.

use crate::counters::double_path;
use crate::library::Emulation;
use crate::skip::skip;
use crate::support::{FAST, Ran, Sandbox, events, header, of_kind};
use std::process::Command;

/// A machine with the devices of a script.
pub(crate) struct Machine {
    pub(crate) sandbox: Sandbox,
}

const ONE: &str = "device NVIDIA H200\nmemory-mib 1024\n";

impl Machine {
    fn new(script: &str) -> Self {
        let sandbox = Sandbox::new();
        std::fs::create_dir(sandbox.path("lib")).unwrap();
        std::fs::copy(double_path("libcuda_double.so"), sandbox.path("lib/libcuda.so")).unwrap();
        sandbox.write("script", script);
        Self { sandbox }
    }

    /// One whose programs run; `None` without a C++ compiler.
    pub(crate) fn emulated(script: &str) -> Option<Self> {
        let found = Emulation::find().map_err(|why| skip("CUDA programs from suite to record", &why)).ok()?;
        let machine = Self::new("");
        let folder = machine.sandbox.path("emulated");
        let (header, library) = (found.header.display(), found.library.display());
        machine.sandbox.write("script", format!("emulate {} {header} {library}\n{script}", folder.display()));
        Some(machine)
    }

    fn run(&self, args: &[&str]) -> Ran {
        Ran::from(self.command(args).output().unwrap())
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let library = self.sandbox.path("lib/libcuda.so");
        let mut command = self.sandbox.command(args);
        command
            .env("LD_LIBRARY_PATH", self.sandbox.path("lib"))
            .env("WATTPROOF_CUDA_DOUBLE", self.sandbox.path("script"))
            .env("WATTPROOF_NVRTC", library)
            .env("WATTPROOF_CACHE", self.sandbox.path("cache"))
            .env_remove("CUDA_VISIBLE_DEVICES");
        command
    }

    /// A suite of small cases on `devices`, run into `out`.
    pub(crate) fn measure(&self, devices: &str, cases: &[&str]) -> Ran {
        let cases: String = cases.iter().map(|c| format!("  - {c}\n")).collect();
        let text = format!(
            "version: 1\nsuite: gpu\ntitle: On a device\nprofile: quick\n{FAST}\ndevices: {devices}\ncases:\n{cases}"
        );
        self.sandbox.write("gpu.yaml", text);
        self.run(&["run", "gpu.yaml", "--out", "out", "--allow-software"])
    }

    pub(crate) fn voids(&self) -> Vec<(String, String)> {
        let events = events(&self.sandbox.path("out"));
        let word = |v: &serde_json::Value| v.as_str().unwrap().to_owned();
        of_kind(&events, "void").iter().map(|v| (word(&v["case"]), word(&v["reason"]))).collect()
    }
}

const TRIAD: &str = "{ kernel: triad, matrix: { bytes: 48 KiB } }";
const GEMV: &str = "{ kernel: gemv-quantized, matrix: { dtype: bf16, n: 33, k: 384, weights: int4 } }";

#[test]
fn a_suite_on_a_device_becomes_a_record_that_says_simulated() {
    let Some(machine) = Machine::emulated(ONE) else { return };
    machine.measure("[cpu, \"cuda:*\"]", &[TRIAD, GEMV]).expect(0);
    let out = machine.sandbox.path("out");
    let header = header(&out);
    let device = &header["devices"][0];
    assert_eq!((device["id"].as_str(), device.get("software")), (Some("cuda:0"), None), "{header}");
    let simulated = header["simulated"].as_array().unwrap();
    assert!(
        simulated.len() == 1 && simulated[0].as_str().unwrap().contains("the CUDA library is a double"),
        "{header}"
    );
    machine.run(&["certify", "out", "--out", "bundle"]).expect(3);
    let refusal = std::fs::read_to_string(machine.sandbox.path("bundle/certificate.json")).unwrap();
    assert!(refusal.contains("the CUDA library is a double"), "{refusal}");
    let events = events(&out);
    let prepared = of_kind(&events, "prepared");
    for (kernel, path) in [("triad", "cuda/vectors"), ("gemv-quantized", "cuda/mma-int4")] {
        let found =
            prepared.iter().find(|p| p["case"].as_str().unwrap().starts_with(kernel) && p["device"] == "cuda:0");
        let found = found.unwrap_or_else(|| panic!("no {kernel} on the device"));
        assert_eq!(found["program"]["path"], path);
        let canary = &found["canary"];
        assert!(canary["error"].as_f64().unwrap() <= canary["limit"].as_f64().unwrap(), "{canary}");
        let samples = of_kind(&events, "sample");
        let own: Vec<_> = samples.iter().filter(|s| s["case"] == found["case"]).collect();
        assert_eq!(own.len(), 2);
        for sample in own {
            let check = &sample["correctness"];
            assert!(check["error"].as_f64().unwrap() <= check["limit"].as_f64().unwrap(), "{check}");
            let (device, wall) = (sample["device_s"].as_f64().unwrap(), sample["wall_s"].as_f64().unwrap());
            assert!(device > 0.0 && device <= wall, "{sample}");
        }
    }
    // The second run finds the programs in the cache.
    let cached = || std::fs::read_dir(machine.sandbox.path("cache")).unwrap().count();
    let before = cached();
    assert_eq!(before, 2);
    std::fs::remove_dir_all(&out).unwrap();
    machine.measure("[\"cuda:*\"]", &[TRIAD, GEMV]).expect(0);
    assert_eq!(cached(), before);
}

#[test]
fn a_cold_case_goes_from_copy_to_copy_and_its_record_says_so() {
    let Some(machine) = Machine::emulated("") else { return };
    let log = machine.sandbox.path("launches");
    let script = std::fs::read_to_string(machine.sandbox.path("script")).unwrap();
    machine.sandbox.write("script", format!("{script}log {}\n{ONE}l2-kib 96\n", log.display()));
    let measured = |cache: &str| {
        let _ = std::fs::remove_file(&log);
        let _ = std::fs::remove_dir_all(machine.sandbox.path("out"));
        let case = format!("{{ kernel: triad, matrix: {{ bytes: 24 KiB, cache: {cache} }} }}");
        machine.measure("[\"cuda:*\"]", &[&case]).expect(0);
        let events = events(&machine.sandbox.path("out"));
        for sample in of_kind(&events, "sample") {
            let check = &sample["correctness"];
            assert!(check["error"].as_f64().unwrap() <= check["limit"].as_f64().unwrap(), "{check}");
        }
        // The first launch is the canary's.
        let launches = std::fs::read_to_string(&log).unwrap();
        let launches: Vec<String> = launches.lines().skip(1).map(str::to_owned).collect();
        (of_kind(&events, "prepared")[0]["program"]["facts"].clone(), launches)
    };
    let (facts, launches) = measured("cold");
    // Twice 96 KiB are eight copies of 24 KiB, besides the one whose turn it is.
    let fact = |name: &str| facts.as_array().unwrap().iter().find(|f| f[0] == name).map(|f| f[1].clone());
    assert_eq!(fact("cache"), Some("cold".into()), "{facts}");
    assert_eq!(fact("copies"), Some("9".into()));
    assert_eq!(fact("rotated-bytes"), Some((9 * 24 * 1024).to_string().into()));
    // From the warm-up to the last window, each buffer comes again after the eight others and not before.
    assert!(launches.len() > 9, "{launches:?}");
    assert_eq!(launches[..9].iter().collect::<std::collections::BTreeSet<_>>().len(), 9, "{launches:?}");
    assert!(launches.windows(10).all(|ten| ten[0] == ten[9]), "{launches:?}");
    let (facts, launches) = measured("warm");
    assert!(!facts.to_string().contains("copies"), "{facts}");
    assert!(launches.iter().all(|at| *at == launches[0]), "{launches:?}");
    // More copies than the card has room for.
    let full = Machine::new("device NVIDIA H200\nmemory-mib 1024 64\n");
    let ran = full.measure("[\"cuda:*\"]", &["{ kernel: triad, matrix: { bytes: 24 MiB, cache: cold } }"]);
    let said = format!("{}{}", ran.stdout, ran.stderr).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains("its 6 copies need 144.0 MiB on cuda:0"), "{said}");
}

const PRODUCT: &str = "{ kernel: gemm, matrix: { dtype: bf16, m: 130, n: 264, k: 72 } }";
const CAUSAL: &str = "{ kernel: attention, matrix: { dtype: bf16, heads: 1, seq: 200, dim: 64, mask: causal } }";

#[test]
fn hopper_gets_its_own_programs_with_tensor_maps_and_others_do_not() {
    for (capability, paths) in [
        ("9 0", ["cuda/wgmma-128x256", "cuda/wgmma-192x128-causal"]),
        ("10 0", ["cuda/mma-128x128", "cuda/mma-128x64-causal"]),
    ] {
        let Some(machine) = Machine::emulated(&format!("{ONE}capability {capability}\n")) else { return };
        machine.measure("[\"cuda:*\"]", &[PRODUCT, CAUSAL]).expect(0);
        let events = events(&machine.sandbox.path("out"));
        let prepared = of_kind(&events, "prepared");
        let found: Vec<&str> = prepared.iter().map(|p| p["program"]["path"].as_str().unwrap()).collect();
        assert_eq!(found, paths);
        for case in &prepared {
            let canary = &case["canary"];
            assert!(canary["error"].as_f64().unwrap() <= canary["limit"].as_f64().unwrap(), "{canary}");
        }
        for sample in of_kind(&events, "sample") {
            let check = &sample["correctness"];
            assert!(check["error"].as_f64().unwrap() <= check["limit"].as_f64().unwrap(), "{check}");
        }
    }
    // A driver that takes no such tensor voids the case, with its words.
    let machine = Machine::new("device NVIDIA H200\nmemory-mib 1024\nfail cuTensorMapEncodeTiled 1\n");
    machine.measure("[\"cuda:*\"]", &[PRODUCT]).expect(5);
    let voids = machine.voids();
    assert!(voids.len() == 1 && voids[0].1.contains("cuTensorMapEncodeTiled"), "{voids:?}");
}

#[test]
fn a_launch_that_does_nothing_leaves_the_poison_and_is_refused() {
    let machine = Machine::new(ONE);
    machine.measure("[\"cuda:*\"]", &[TRIAD]).expect(5);
    let voids = machine.voids();
    assert!(voids.len() == 1 && voids[0].1.contains("canary"), "{voids:?}");
}

#[test]
fn devices_are_listed_with_what_is_free_and_what_was_left_out() {
    let machine = Machine::new(
        "device NVIDIA H200\nmemory-mib 2048 512\ndevice NVIDIA H100 MIG 1g.10gb\nfail cuMemGetInfo_v2 46 1\n",
    );
    let listed = machine.run(&["list", "devices", "--format", "json"]).expect(0).json();
    let text = listed.to_string();
    let cuda = listed.as_array().unwrap().iter().find(|f| f["family"] == "cuda").unwrap_or_else(|| panic!("{text}"));
    let devices = cuda["devices"].as_array().unwrap();
    assert_eq!(devices.len(), 1, "{text}");
    assert_eq!(devices[0]["pci"], "0000:3b:00.0");
    assert_eq!(devices[0]["free_bytes"].as_f64(), Some(512.0 * 1024.0 * 1024.0));
    let left_out = devices[0]["facts"]["left-out"].as_str().unwrap();
    assert!(left_out.contains("cuda:1") && left_out.contains("another process"), "{left_out}");
    let machine = Machine::new("device NVIDIA H100 MIG 1g.10gb\n");
    let text = machine.run(&["list", "devices", "--format", "json"]).expect(0).stdout;
    assert!(text.contains("an instance of a divided board"), "{text}");
}

#[test]
fn drivers_that_cannot_be_used_are_absent_with_the_reason() {
    for (script, words) in [
        ("", "no CUDA-capable device"),
        ("driver 12060\ndevice NVIDIA H200\n", "speaks CUDA 12.6, and 12.8 is needed"),
        ("device NVIDIA H200\nfail cuInit 803\n", "restart the machine"),
        ("device NVIDIA H200\nfail cuInit 304\n", "/dev/nvidiactl"),
        ("device NVIDIA H200\nfail cuDevicePrimaryCtxRetain 46\n", "another process"),
        ("nonsense\n", "invalid"),
    ] {
        let ran = Machine::new(script).run(&["list", "devices"]).expect(0);
        let said = format!("{}{}", ran.stdout, ran.stderr).split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said.contains(words) || words == "invalid" && said.contains("absent"), "{script}: {said}");
    }
}

#[test]
fn memory_is_refused_at_plan_time_with_numbers_and_voids_one_case_later() {
    let machine = Machine::new("device NVIDIA H200\nmemory-mib 1024 8\n");
    let ran = machine.measure("[\"cuda:*\"]", &["{ kernel: triad, matrix: { bytes: 64 MiB } }"]);
    assert!(ran.stderr.contains("free there") || ran.stdout.contains("free there"), "{}{}", ran.stdout, ran.stderr);
    // The second allocation of the first case fails; the case on the processor goes on.
    let machine = Machine::new("device NVIDIA H200\nmemory-mib 1024\nfail cuMemAlloc_v2 2 1\n");
    machine.measure("[cpu, \"cuda:*\"]", &[TRIAD]).expect(5);
    let voids = machine.voids();
    assert!(voids.len() == 1 && voids[0].1.contains("out of memory (CUDA_ERROR_OUT_OF_MEMORY, 2)"), "{voids:?}");
    let events = events(&machine.sandbox.path("out"));
    assert!(of_kind(&events, "sample").iter().any(|s| s["case"].as_str().unwrap().contains("triad")));
}

#[test]
fn a_lost_device_voids_its_cases_with_the_reason_and_the_run_goes_on() {
    let Some(machine) = Machine::emulated("device NVIDIA H200\nfail cuLaunchKernel 719\n") else { return };
    machine.measure("[cpu, \"cuda:*\"]", &[TRIAD, GEMV]).expect(5);
    let voids = machine.voids();
    assert_eq!(voids.len(), 2, "{voids:?}");
    assert!(voids.iter().all(|(_, why)| why.contains("CUDA_ERROR_LAUNCH_FAILED, 719")), "{voids:?}");
    assert!(voids.iter().any(|(_, why)| why.contains("lost in an earlier case")), "{voids:?}");
    let events = events(&machine.sandbox.path("out"));
    assert!(!of_kind(&events, "sample").is_empty(), "the processor's cases were measured");
}

#[test]
fn a_program_that_does_not_compile_and_a_missing_compiler_void_the_case() {
    let machine = Machine::new("device NVIDIA H200\nfail nvrtcCompileProgram 11\n");
    machine.measure("[\"cuda:*\"]", &[TRIAD]).expect(5);
    assert!(machine.voids()[0].1.contains("NVRTC failed"), "{:?}", machine.voids());
    let machine = Machine::new("device NVIDIA H200\nfail cuModuleLoadData 200\n");
    machine.measure("[\"cuda:*\"]", &[TRIAD]).expect(5);
    assert!(machine.voids()[0].1.contains("a compiler newer than the driver"), "{:?}", machine.voids());
}
