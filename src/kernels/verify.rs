//! What every kernel's tests do: all shapes × types × paths × threads against the reference.

use super::*;

/// A team of this many plain threads, started for each job.
pub(crate) struct Threads(pub(crate) usize);

impl Team for Threads {
    fn threads(&self) -> usize {
        self.0
    }
    fn run(&self, job: &(dyn Fn(usize) + Sync)) {
        std::thread::scope(|scope| {
            for thread in 1..self.0 {
                scope.spawn(move || job(thread));
            }
            job(0);
        });
    }
}

/// Parameters from words and numbers.
pub(crate) fn params(dtype: Dtype, values: &[(&str, ParamValue)]) -> Params {
    Params { dtype, values: values.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect() }
}

/// Whole-number parameters.
pub(crate) fn counts(dtype: Dtype, values: &[(&str, u64)]) -> Params {
    let values: Vec<_> = values.iter().map(|(name, n)| (*name, ParamValue::Integer(*n))).collect();
    params(dtype, &values)
}

/// Runs a case on every available path with 1, 2 and 3 threads: the right answer passes; an output
/// that was never written, or in which one element is wrong, does not.
pub(crate) fn verify(kernel: &dyn Kernel, params: &Params) {
    for isa in Isa::available() {
        let what = format!("{} {params:?} {isa}", kernel.info().id);
        verify_program(&what, &|team| kernel.build(params, &BuildContext { seed: 20_260_407, isa, team }));
    }
}

/// What makes a program for a team.
type Build<'a> = &'a dyn Fn(&dyn Team) -> Result<Box<dyn Program>, KernelError>;

/// The same for one path, which `build` takes.
pub(crate) fn verify_program(what: &str, build: Build<'_>) {
    for threads in [1, 2, 3] {
        let team = Threads(threads);
        let what = format!("{what} with {threads} threads");
        let mut program = build(&team).unwrap_or_else(|e| panic!("{what}: {e}"));
        program.poison();
        assert!(!program.check().passed(), "{what}: poison passed");
        // Twice: an iteration must not build on the output of the one before.
        for _ in 0..2 {
            program.run(&team);
            let result = program.check();
            assert!(result.passed(), "{what}: {result:?}");
        }
        if let Some(answer) = program.output() {
            program.poison();
            program.accept(&answer).unwrap_or_else(|e| panic!("{what}: {e}"));
            assert!(program.check().passed(), "{what}: its own answer was not taken back");
            let longer = Array { values: Values::F32(vec![0.0; answer.values.len() + 1]), ..answer };
            assert!(program.accept(&longer).is_err(), "{what}: an answer of another length was taken");
        }
        for index in [0, 7, usize::MAX / 2] {
            program.corrupt(index);
            assert!(!program.check().passed(), "{what}: a wrong element {index} passed");
            program.run(&team);
            assert!(program.check().passed(), "{what}: not repaired");
        }
        if let Some(canary) = program.canary(&team) {
            assert!(canary.passed(), "{what}: {canary:?}");
        }
        assert!(program.check().passed(), "{what}: the canary spoilt the output");
    }
}

/// Changes `output[index % len]` by about a thousandth, enough for any limit.
pub(crate) fn corrupt<T: element::Element>(output: &mut [T], index: usize) {
    let index = index % output.len();
    let value = output[index].to_f64();
    output[index] = T::from_f64(value + value.abs().max(1.0) * 0.01);
}
