//! All backends of a run: each case goes to the one that has its device.

use super::cpu::Home;
use super::{Backend, BackendError, DeviceInfo, Workload};
use crate::suite::{Case, DeviceId};

/// Backends, of which each has devices of its own.
pub struct Fleet {
    members: Vec<Box<dyn Backend>>,
    home: Home,
}

impl Default for Fleet {
    /// None yet; the calling thread is the one that will prepare cases.
    fn default() -> Self {
        Self { members: Vec::new(), home: Home::here() }
    }
}

impl Fleet {
    /// Adds a backend.
    #[must_use]
    pub fn with(mut self, backend: Box<dyn Backend>) -> Self {
        self.members.push(backend);
        self
    }
}

impl Backend for Fleet {
    fn serves(&self, device: &DeviceId) -> bool {
        self.members.iter().any(|m| m.serves(device))
    }

    fn devices(&self) -> Vec<DeviceInfo> {
        self.members.iter().flat_map(|m| m.devices()).collect()
    }

    fn prepare(&mut self, case: &Case, seed: u64) -> Result<Box<dyn Workload>, BackendError> {
        // A workload of the processor may hold this thread on one CPU, and drivers start threads of their own.
        let _home = (!case.device.is_cpu()).then(|| self.home.enter());
        match self.members.iter_mut().find(|m| m.serves(&case.device)) {
            Some(member) => member.prepare(case, seed),
            None => Err(BackendError::Device {
                device: case.device.clone(),
                detail: "no such device answered when the run began; `wattproof list devices` shows them".to_owned(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backends::cpu::CpuBackend;
    use crate::host::Host;
    use crate::kernels::{Dtype, ParamValue, Params};
    use crate::suite::Threads;

    #[test]
    fn a_case_goes_to_its_device_and_nowhere_else() {
        let values = [("m", 4), ("n", 4), ("k", 4)].map(|(name, n)| (name.to_owned(), ParamValue::Integer(n)));
        let params = Params { dtype: Dtype::F32, values: values.into() };
        let case = |device: &str| Case {
            id: "g".into(),
            kernel: "gemm".into(),
            params: params.clone(),
            threads: Threads::Count(1),
            device: DeviceId(device.to_owned()),
            cache: crate::suite::CacheState::Warm,
            line: 1,
        };
        let mut fleet = Fleet::default().with(Box::new(CpuBackend::new(&Host::real())));
        assert!(fleet.prepare(&case("cpu"), 1).is_ok());
        let error = fleet.prepare(&case("cuda:0"), 1).err().unwrap().to_string();
        assert!(error.starts_with("cuda:0 failed: no such device"), "{error}");
    }
}
