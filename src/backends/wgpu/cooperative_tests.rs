//! Programs with cooperative matrices: as they are where the adapter has such matrices, and everywhere with functions in
//! their place, which shows all of the program but the instruction.

use super::tests::{backend, case, counts, skip};
use super::*;
use crate::kernels::cooperative::emulated;
use crate::kernels::{
    Array, BuildContext, Cooperative, DeviceCanary, DeviceProgram, Dtype, KernelError, KernelInfo, NoProgram,
    ParamError, Params, Program, Target, Work,
};

/// A kernel whose programs for devices have functions in place of cooperative matrices.
struct Emulated(&'static dyn kernels::Kernel);

impl kernels::Kernel for Emulated {
    fn info(&self) -> &'static KernelInfo {
        self.0.info()
    }

    fn work(&self, params: &Params) -> Result<Work, ParamError> {
        self.0.work(params)
    }

    fn build(&self, params: &Params, context: &BuildContext<'_>) -> Result<Box<dyn Program>, KernelError> {
        self.0.build(params, context)
    }

    fn operands(&self, params: &Params, context: &BuildContext<'_>) -> Result<Vec<Array>, KernelError> {
        self.0.operands(params, context)
    }

    fn device_program(&self, params: &Params, target: &Target) -> Result<DeviceProgram, NoProgram> {
        let mut program = self.0.device_program(params, target)?;
        for step in &mut program.steps {
            // The program that is left where this one fails has none; its path then tells.
            if step.source.contains("coop_mat") {
                step.source = emulated(step.source).leak();
            }
        }
        Ok(program)
    }

    fn device_canary(&self, params: &Params) -> Result<Option<DeviceCanary>, KernelError> {
        self.0.device_canary(params)
    }
}

/// Runs a case with functions in place of matrices of `side` rows, in groups for subgroups of this size.
fn verify_emulated(kernel: &str, params: &Params, side: u32, subgroup: u32) {
    let mut backend = WgpuBackend::new(adapters::enumerate());
    for member in &mut backend.members {
        let mut info = member.adapter.info.clone();
        info.target.limits.cooperative = Cooperative { half: Some(side), single: Some(side) };
        info.target.limits.subgroup = Some((subgroup, subgroup));
        let kernel = Emulated(kernels::find(kernel).unwrap());
        let case = case(kernel.0.info().id, params.clone(), &info.id);
        let what = format!("{} with matrices of {side} and groups for subgroups of {subgroup}", case.id);
        let judge = Judge::new(&kernel, &case, 20_260_407).unwrap();
        let opened = member.open().unwrap();
        let workload = WgpuWorkload::new(opened, &info, &kernel, &case, judge);
        let mut workload = workload.unwrap_or_else(|e| panic!("{what}: {e}"));
        let program = workload.program();
        assert!(program.path.starts_with(&format!("wgsl/cooperative-{side}x{side}")), "{what}: {program:?}");
        workload.poison();
        assert!(!workload.check().passed(), "{what}: poison passed");
        workload.run(2).unwrap_or_else(|e| panic!("{what}: {e}"));
        let check = workload.check();
        assert!(check.passed(), "{what}: {check:?}");
        let canary = workload.canary().unwrap();
        assert!(canary.passed(), "{what}: {canary:?}");
    }
}

fn product([m, n, k]: [u64; 3], dtype: Dtype) -> Params {
    Params { dtype, ..counts(&[("m", m), ("n", n), ("k", k)]) }
}

/// Whether every adapter here can run the functions in place of matrices; says why not.
fn emulates(what: &str) -> bool {
    let Some(backend) = backend(what) else { return false };
    let fits = backend.devices().iter().all(|d| d.target.limits.subgroup.is_some_and(|(least, _)| least >= 8));
    if !fits {
        skip(what, "an adapter has no subgroups of eight threads");
    }
    fits
}

#[test]
fn products_by_emulated_matrices_match_the_reference() {
    if !emulates("gemm by emulated cooperative matrices") {
        return;
    }
    // One element, ragged in every direction, whole tiles, several of them.
    for shape in [[1, 1, 1], [53, 19, 37], [64, 64, 64], [68, 132, 36], [130, 67, 33]] {
        verify_emulated("gemm", &product(shape, Dtype::F32), 8, 8);
    }
    // A group with one subgroup, which takes all four patches in turn, and one with more of them than patches.
    verify_emulated("gemm", &product([70, 68, 20], Dtype::F32), 8, 2);
    verify_emulated("gemm", &product([70, 68, 20], Dtype::F32), 8, 64);
}

#[test]
fn products_of_halves_by_emulated_matrices_match_the_reference() {
    let what = "gemm in f16 by emulated cooperative matrices";
    if !emulates(what) {
        return;
    }
    if adapters::enumerate().iter().any(|a| !a.info.target.limits.half) {
        return skip(what, "an adapter has no numbers of 16 bits in programs");
    }
    verify_emulated("gemm", &product([131, 68, 40], Dtype::F16), 16, 8);
    verify_emulated("gemm", &product([70, 68, 20], Dtype::F16), 8, 8);
}

#[test]
fn products_by_cooperative_matrices_match_the_reference() {
    let what = "gemm by cooperative matrices";
    let Some(mut backend) = backend(what) else { return };
    for info in backend.devices() {
        let offered = info.target.limits.cooperative;
        for (dtype, side) in [(Dtype::F16, offered.half), (Dtype::F32, offered.single)] {
            let Some(side) = side else {
                skip(what, &format!("{} offers none in {dtype} that programs here use", info.name));
                continue;
            };
            for shape in [[1, 1, 1], [53, 19, 37], [64, 64, 64], [68, 132, 36], [257, 300, 129], [512, 256, 1024]] {
                let case = case("gemm", product(shape, dtype), &info.id);
                let mut workload = backend.prepare(&case, 7).unwrap_or_else(|e| panic!("{}: {e}", case.id));
                let program = workload.program();
                assert!(program.path.starts_with(&format!("wgsl/cooperative-{side}x{side}")), "{program:?}");
                workload.poison();
                assert!(!workload.check().passed(), "{}: poison passed", case.id);
                workload.run(2).unwrap();
                let check = workload.check();
                assert!(check.passed(), "{}: {check:?}", case.id);
                let canary = workload.canary().unwrap();
                assert!(canary.passed(), "{}: {canary:?}", case.id);
            }
        }
    }
}

#[test]
fn a_driver_that_fails_on_cooperative_matrices_leaves_the_other_program_and_the_reason() {
    let what = "a driver that fails on cooperative matrices";
    let Some(_) = backend(what) else { return };
    let mut backend = WgpuBackend::new(adapters::enumerate());
    let limits = &mut backend.members[0].adapter.info.target.limits;
    if limits.cooperative != Cooperative::default() || limits.subgroup.is_none() {
        return skip(what, "the adapter has them, or has no subgroups");
    }
    // Said to be there, and refused by everything below.
    limits.cooperative = Cooperative { half: Some(16), single: Some(8) };
    let id = backend.members[0].adapter.info.id.clone();
    let case = case("gemm", product([33, 20, 9], Dtype::F32), &id);
    let mut workload = backend.prepare(&case, 1).unwrap();
    let program = workload.program();
    assert_eq!(program.path, "wgsl/64x64-any");
    let reason = program.facts.iter().find(|(name, _)| name == "cooperative matrices").map(|(_, why)| why.clone());
    let reason = reason.unwrap();
    assert!(reason.starts_with("not used: ") && reason.contains("compiling `main`"), "{reason}");
    workload.poison();
    workload.run(1).unwrap();
    assert!(workload.check().passed() && workload.canary().unwrap().passed());
}

#[test]
fn what_the_matrices_need_besides_decides_when_the_plan_is_made() {
    let Some(backend) = backend("limits of cooperative matrices") else { return };
    let mut target = backend.devices().remove(0).target;
    target.limits.cooperative = Cooperative { half: Some(16), single: Some(8) };
    target.limits.half = true;
    target.limits.subgroup = Some((32, 32));
    target.limits.shared_bytes = 32 << 10;
    target.limits.block_threads = 1024;
    let gemm = kernels::find("gemm").unwrap();
    let path = |target: &Target, dtype| gemm.device_program(&product([500, 500, 500], dtype), target).unwrap().path;
    assert_eq!(path(&target, Dtype::F16), "wgsl/cooperative-16x16");
    assert_eq!(path(&target, Dtype::F32), "wgsl/cooperative-8x8");
    let with = |change: fn(&mut crate::kernels::Limits)| {
        let mut target = target.clone();
        change(&mut target.limits);
        path(&target, Dtype::F16)
    };
    for other in [
        with(|l| l.subgroup = None),
        with(|l| l.shared_bytes = 16 << 10),
        with(|l| l.block_threads = 64),
        with(|l| l.cooperative.half = None),
    ] {
        assert_eq!(other, "wgsl/64x64");
    }
}
