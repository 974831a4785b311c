//! Faults injected on purpose, to see that the harness notices. A record made with one is
//! `simulated` for ever.

use super::{Backend, BackendError, DeviceId, DeviceInfo, ProgramInfo, Workload};
use crate::kernels::{Canary, Correctness};
use crate::suite::Case;
use crate::units::Seconds;

/// What to spoil, and in which cases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    kind: Kind,
    pattern: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The kernel never writes its output.
    WrongAnswer,
    /// The device fails while it runs.
    DeviceFailure,
}

impl Fault {
    /// Parses `wrong-answer=PATTERN` or `device-failure=PATTERN`.
    ///
    /// # Errors
    /// A sentence that says what is accepted.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (kind, pattern) = text.split_once('=').ok_or("write wrong-answer=CASE or device-failure=CASE")?;
        let kind = match kind {
            "wrong-answer" => Kind::WrongAnswer,
            "device-failure" => Kind::DeviceFailure,
            other => return Err(format!("no fault is called `{other}`; use wrong-answer or device-failure")),
        };
        Ok(Self { kind, pattern: pattern.to_owned() })
    }

    fn hits(&self, case: &str) -> bool {
        match self.pattern.strip_suffix('*') {
            Some(prefix) => case.starts_with(prefix),
            None => case == self.pattern,
        }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = match self.kind {
            Kind::WrongAnswer => "wrong-answer",
            Kind::DeviceFailure => "device-failure",
        };
        write!(f, "{kind}={}", self.pattern)
    }
}

/// A backend some of whose cases are spoiled.
pub struct Spoiled {
    inner: Box<dyn Backend>,
    fault: Fault,
}

impl Spoiled {
    /// Spoils the cases of `inner` that `fault` names.
    #[must_use]
    pub fn new(inner: Box<dyn Backend>, fault: Fault) -> Self {
        Self { inner, fault }
    }
}

impl Backend for Spoiled {
    fn serves(&self, device: &DeviceId) -> bool {
        self.inner.serves(device)
    }

    fn devices(&self) -> Vec<DeviceInfo> {
        self.inner.devices()
    }

    fn prepare(&mut self, case: &Case, seed: u64) -> Result<Box<dyn Workload>, BackendError> {
        let inner = self.inner.prepare(case, seed)?;
        if !self.fault.hits(&case.id) {
            return Ok(inner);
        }
        Ok(Box::new(SpoiledWorkload { inner, kind: self.fault.kind, device: case.device.clone(), runs: 0 }))
    }
}

struct SpoiledWorkload {
    inner: Box<dyn Workload>,
    kind: Kind,
    device: DeviceId,
    runs: u64,
}

/// Runs that a failing device still does, so that the fault comes after the warm-up has begun.
const RUNS_BEFORE_FAILURE: u64 = 3;

impl Workload for SpoiledWorkload {
    fn program(&self) -> ProgramInfo {
        self.inner.program()
    }

    fn poison(&mut self) {
        self.inner.poison();
    }

    fn run(&mut self, iterations: u64) -> Result<(), BackendError> {
        self.runs += 1;
        if self.kind == Kind::DeviceFailure && self.runs > RUNS_BEFORE_FAILURE {
            return Err(BackendError::Device { device: self.device.clone(), detail: "injected failure".into() });
        }
        self.inner.run(iterations)
    }

    fn check(&mut self) -> Correctness {
        if self.kind == Kind::WrongAnswer {
            // Poisoned after the run: exactly what a kernel that skips its work leaves behind.
            self.inner.poison();
        }
        self.inner.check()
    }

    fn device_time(&mut self) -> Option<Seconds> {
        self.inner.device_time()
    }

    fn canary(&mut self) -> Option<Canary> {
        self.inner.canary()
    }

    fn thread_ids(&self) -> Vec<i32> {
        self.inner.thread_ids()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_parsed_and_matched() {
        let fault = Fault::parse("wrong-answer=gemm*").unwrap();
        assert!(fault.hits("gemm-f32") && !fault.hits("spmv"));
        assert_eq!(fault.to_string(), "wrong-answer=gemm*");
        assert!(Fault::parse("device-failure=x").unwrap().hits("x"));
        assert!(Fault::parse("melt=x").is_err() && Fault::parse("gemm").is_err());
    }
}
