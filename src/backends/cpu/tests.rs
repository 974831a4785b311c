//! The backend end to end, on the real CPUs.

use super::*;
use crate::kernels::{Dtype, ParamValue, Params};
use crate::suite::{DeviceId, Threads};

fn case(kernel: &str, threads: Threads, values: &[(&str, u64)]) -> Case {
    let values = values.iter().map(|(name, n)| ((*name).to_owned(), ParamValue::Integer(*n))).collect();
    let params = Params { dtype: Dtype::F32, values };
    Case { id: "a-case".to_owned(), kernel: kernel.to_owned(), params, threads, device: DeviceId::cpu(), line: 1 }
}

#[test]
fn a_case_runs_and_its_own_answer_is_checked() {
    let mut backend = CpuBackend::new(&Host::real());
    let mut workload = backend.prepare(&case("gemm", Threads::All, &[("m", 33), ("n", 17), ("k", 65)]), 7).unwrap();
    workload.poison();
    assert!(!workload.check().passed(), "a poisoned output must not pass");
    workload.run(2).unwrap();
    assert!(workload.check().passed());
    assert!(workload.canary().unwrap().passed());
    let info = workload.program();
    assert_eq!(info.threads as usize, backend.topology().cpus());
    assert_eq!(workload.thread_ids().len(), info.threads as usize);
    assert!(info.path.ends_with("/nest"), "{}", info.path);
}

#[test]
fn one_pool_serves_every_case_with_its_threads_and_the_pin_ends_with_the_last_workload() {
    std::thread::spawn(|| {
        let before = topology::affinity(0);
        let mut backend = CpuBackend::new(&Host::real());
        let one = case("gemm", Threads::Count(1), &[("m", 4), ("n", 4), ("k", 4)]);
        let first = backend.prepare(&one, 1).unwrap();
        let second = backend.prepare(&one, 2).unwrap();
        assert_eq!(backend.pools.len(), 1);
        assert_eq!(topology::affinity(0).unwrap(), first.program().cpus);
        drop(first);
        assert_eq!(topology::affinity(0).unwrap(), second.program().cpus);
        drop(second);
        assert_eq!(topology::affinity(0), before);
    })
    .join()
    .unwrap();
}

#[test]
fn what_cannot_run_is_refused_with_a_reason() {
    let mut backend = CpuBackend::new(&Host::real());
    let shape: &[(&str, u64)] = &[("m", 4), ("n", 4), ("k", 4)];
    let unknown = backend.prepare(&case("gem", Threads::Count(1), shape), 1).err().unwrap();
    assert_eq!(unknown.to_string(), "no kernel is called `gem`");
    let many = backend.prepare(&case("gemm", Threads::Count(100_000), shape), 1).err().unwrap();
    assert!(many.to_string().contains("100000 threads asked for"), "{many}");
    let incomplete = backend.prepare(&case("gemm", Threads::Count(1), &[("m", 4)]), 1).err().unwrap();
    assert!(incomplete.to_string().contains("`n` is missing"), "{incomplete}");
}

#[test]
fn the_instruction_set_can_be_narrowed() {
    for isa in Isa::available() {
        let mut backend = CpuBackend::new(&Host::real()).with_isa(isa);
        let triad = case("triad", Threads::Count(1), &[("bytes", 12_000)]);
        let mut workload = backend.prepare(&triad, 3).unwrap();
        workload.run(1).unwrap();
        assert!(workload.check().passed());
        assert!(workload.program().path.contains(isa.name()), "{}", workload.program().path);
    }
}

/// A program that fails in the middle of a window.
struct Broken;

impl Program for Broken {
    fn path(&self) -> String {
        "broken".to_owned()
    }
    fn poison(&mut self) {}
    fn run(&mut self, team: &dyn Team) {
        team.run(&|thread| assert!(thread != 0, "the kernel broke"));
    }
    fn check(&mut self) -> Correctness {
        Correctness { error: None, limit: 0.0, coverage: kernels::Coverage::Full }
    }
    fn canary(&mut self, _team: &dyn Team) -> Option<Canary> {
        None
    }
}

#[test]
fn a_panicking_program_is_an_error_of_the_device() {
    let pool = Rc::new(Pool::unpinned(2).unwrap());
    let mut workload = CpuWorkload {
        program: Box::new(Broken),
        cpus: Vec::new(),
        isa: Isa::Portable,
        pool,
        caller: topology::thread_id(),
        _pin: None,
    };
    let error = workload.run(3).unwrap_err();
    assert_eq!(error.to_string(), "cpu failed: thread 0 panicked: the kernel broke");
}
