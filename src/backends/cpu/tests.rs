//! The backend end to end, on the real CPUs.

use super::*;
use crate::kernels::{Dtype, ParamValue, Params};
use crate::suite::{CacheState, DeviceId, Threads};
use std::sync::{Arc, Mutex};

fn case(kernel: &str, threads: Threads, values: &[(&str, u64)]) -> Case {
    let values = values.iter().map(|(name, n)| ((*name).to_owned(), ParamValue::Integer(*n))).collect();
    let params = Params { dtype: Dtype::F32, values };
    let (id, cache) = ("a-case".to_owned(), CacheState::Warm);
    Case { id, kernel: kernel.to_owned(), params, threads, device: DeviceId::cpu(), cache, line: 1 }
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
        programs: vec![Box::new(Broken)],
        rotation: Rotation::of(CacheState::Warm).unwrap(),
        facts: Vec::new(),
        failed: None,
        cpus: Vec::new(),
        isa: Isa::Portable,
        pool,
        caller: topology::thread_id(),
        _pin: None,
    };
    let error = workload.run(3).unwrap_err();
    assert_eq!(error.to_string(), "cpu failed: thread 0 panicked: the kernel broke");
}

/// A program that tells which copy it is whenever it runs.
struct Counted {
    turns: Arc<Mutex<Vec<usize>>>,
    copy: usize,
    written: bool,
    wrong: bool,
}

impl Program for Counted {
    fn path(&self) -> String {
        "counted".to_owned()
    }
    fn poison(&mut self) {
        self.written = false;
    }
    fn run(&mut self, _team: &dyn Team) {
        self.turns.lock().unwrap().push(self.copy);
        self.written = true;
    }
    fn check(&mut self) -> Correctness {
        let error = self.written.then_some(if self.wrong { 2.0 } else { 0.5 });
        Correctness { error, limit: 1.0, coverage: kernels::Coverage::Full }
    }
    fn canary(&mut self, _team: &dyn Team) -> Option<Canary> {
        None
    }
}

#[test]
fn copies_of_a_cold_case_take_turns_and_each_that_ran_is_judged() {
    let turns = Arc::new(Mutex::new(Vec::new()));
    let copies = |wrong: Option<usize>| {
        let copy = |copy| Counted { turns: Arc::clone(&turns), copy, written: false, wrong: wrong == Some(copy) };
        (0..3).map(|n| Box::new(copy(n)) as Box<dyn Program>).collect::<Vec<_>>()
    };
    let workload = |programs| CpuWorkload {
        programs,
        rotation: Rotation::of(CacheState::Cold { copies: Some(3) }).unwrap(),
        facts: Vec::new(),
        failed: None,
        cpus: Vec::new(),
        isa: Isa::Portable,
        pool: Rc::new(Pool::unpinned(1).unwrap()),
        caller: topology::thread_id(),
        _pin: None,
    };
    let mut cold = workload(copies(None));
    cold.poison();
    assert!(!cold.check().passed(), "poison must not pass, though a turn of all ran before it");
    cold.run(1).unwrap();
    assert!(cold.check().passed());
    cold.poison();
    cold.run(2).unwrap();
    // One turn of all before each window, none of them timed; then on from the copy that waited longest.
    assert_eq!(*turns.lock().unwrap(), [0, 1, 2, 0, 1, 2, 0, 1, 2]);
    let mut spoilt = workload(copies(Some(1)));
    spoilt.poison();
    spoilt.run(1).unwrap();
    assert!(spoilt.check().passed(), "the wrong copy did not run");
    spoilt.run(3).unwrap();
    assert!(!spoilt.check().passed());
}

#[test]
fn a_cold_case_runs_on_copies_with_the_same_answer_and_says_so() {
    let mut backend = CpuBackend::new(&Host::real());
    let warm = case("spmv-csr", Threads::Count(1), &[("m", 65), ("k", 300)]);
    let mut cold = Case { cache: CacheState::Cold { copies: Some(5) }, ..warm };
    cold.params.values.insert("density".to_owned(), ParamValue::Real(0.1));
    let mut workload = backend.prepare(&cold, 7).unwrap();
    let answers: Vec<Array> = (0..6)
        .map(|_| {
            workload.poison();
            workload.run(1).unwrap();
            assert!(workload.check().passed());
            workload.output().unwrap()
        })
        .collect();
    assert!(answers.iter().all(|a| *a == answers[0]), "copies of the same data");
    let facts = workload.program().facts;
    let fact = |name: &str| facts.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone());
    let work = kernels::find("spmv-csr").unwrap().work(&cold.params).unwrap();
    assert_eq!(fact("cache").as_deref(), Some("cold"));
    assert_eq!(fact("copies").as_deref(), Some("5"));
    assert_eq!(fact("rotated-bytes"), Some((5.0 * work.bytes.get()).to_string()));
    let unplanned = Case { cache: CacheState::Cold { copies: None }, ..cold };
    let error = backend.prepare(&unplanned, 7).err().unwrap().to_string();
    assert!(error.contains("needs a plan"), "{error}");
}
