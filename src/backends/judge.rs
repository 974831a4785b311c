//! The processor's part of a case on another device: operands, reference and check.

use super::BackendError;
use crate::kernels::{Array, BuildContext, Canary, Correctness, DeviceCanary, Isa, Kernel, Params, Program, Team};
use crate::suite::Case;

/// Plain threads, started for each job: they make operands and references, and nothing of them is timed.
struct Helpers(usize);

impl Team for Helpers {
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

/// Judges the answers that a device gives to a case, with the definition that judges the processor's.
pub struct Judge {
    program: Box<dyn Program>,
    operands: Vec<Array>,
    canary: Option<DeviceCanary>,
}

impl Judge {
    /// Makes operands, reference and canary of a case.
    ///
    /// # Errors
    /// [`BackendError::Kernel`] when the parameters are invalid or memory does not suffice.
    pub fn new(kernel: &dyn Kernel, case: &Case, seed: u64) -> Result<Self, BackendError> {
        let team = Helpers(std::thread::available_parallelism().map_or(1, std::num::NonZero::get));
        let context = BuildContext { seed, isa: Isa::detect(), team: &team };
        let operands = kernel.device_operands(&case.params, &context)?;
        let program = kernel.build(&case.params, &context)?;
        Ok(Self { program, operands, canary: kernel.device_canary(&case.params)? })
    }

    /// The operands, which a device needs only once.
    #[must_use]
    pub fn take_operands(&mut self) -> Vec<Array> {
        std::mem::take(&mut self.operands)
    }

    /// The canary, which a device runs once.
    #[must_use]
    pub fn take_canary(&mut self) -> Option<DeviceCanary> {
        self.canary.take()
    }

    /// Makes the canary as large as the case of `params`, where it can be; whether it is now.
    pub fn enlarge_canary(&mut self, params: &Params) -> bool {
        let enlarged = self.canary.take().map(|canary| canary.enlarged(params));
        let is_large = matches!(enlarged, Some(Ok(_)));
        self.canary = enlarged.map(|canary| canary.unwrap_or_else(|small| small));
        is_large
    }

    /// Facts of the instance: stored elements and the like. What concerns the processor's memory is left out.
    #[must_use]
    pub fn facts(&self) -> Vec<(String, String)> {
        let facts = self.program.facts().into_iter().filter(|(name, _)| *name != "huge-pages" && *name != "index-bits");
        facts.map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// Compares an answer of the device with the reference. One of the wrong shape does not pass.
    pub fn check(&mut self, answer: &Array) -> Correctness {
        self.program.poison();
        // What is not accepted leaves the poison, and poison does not pass.
        let _ = self.program.accept(answer);
        self.program.check()
    }
}

/// A canary whose device failed has no error, so it does not pass, and its name says why.
#[must_use]
pub fn failed_canary(why: &BackendError) -> Canary {
    Canary { name: why.to_string(), error: None, limit: 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::{self, Dtype, ParamValue, Params, Values};
    use crate::suite::{CacheState, DeviceId, Threads};

    #[test]
    fn an_answer_is_judged_by_the_reference_and_a_wrong_one_fails() {
        let values = [("m", 5), ("n", 7), ("k", 9)].map(|(name, n)| (name.to_owned(), ParamValue::Integer(n)));
        let params = Params { dtype: Dtype::F32, values: values.into() };
        let device = DeviceId("wgpu:0".to_owned());
        let (threads, cache) = (Threads::Count(1), CacheState::Warm);
        let case = Case { id: "g".into(), kernel: "gemm".into(), params, threads, device, cache, line: 1 };
        let mut judge = Judge::new(kernels::find("gemm").unwrap(), &case, 3).unwrap();
        let operands = judge.take_operands();
        let (Values::F32(a), Values::F32(b)) = (&operands[0].values, &operands[1].values) else { panic!("f32") };
        let sum = |i: usize| (0..9).map(|q| a[i / 7 * 9 + q] * b[q * 7 + i % 7]).sum::<f32>();
        let mut answer: Vec<f32> = (0..35).map(sum).collect();
        let array = |values: &[f32]| Array { name: "C", shape: vec![5, 7], values: Values::F32(values.to_vec()) };
        assert!(judge.check(&array(&answer)).passed());
        assert!(!judge.check(&array(&answer[1..])).passed(), "an answer that is too short");
        answer[34] += 0.01;
        assert!(!judge.check(&array(&answer)).passed(), "a wrong element");
        answer[34] = f32::NAN;
        assert!(!judge.check(&array(&answer)).passed(), "an element that was never written");
    }
}
