//! Any graphics card through Vulkan, Metal or DirectX 12.
//!
//! Nothing is linked: drivers are looked for when devices are. Cards come in the order of their PCI addresses; a
//! renderer that runs on the processor is `wgpu:software` and comes last.

mod adapters;
mod device;
mod loaded;
mod timing;
mod workload;

#[cfg(test)]
mod cooperative_tests;
#[cfg(test)]
mod program_tests;
#[cfg(test)]
mod tests;

use super::{Backend, BackendError, DeviceInfo, Judge, Probe, Workload};
use crate::kernels;
use crate::suite::{Case, DeviceId};
use adapters::Adapter;
use device::Opened;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use workload::WgpuWorkload;

/// Where a user may not open the cards of a Linux machine.
const REMEDY: &str = "let this user open the cards: `sudo usermod -aG render,video $USER`, then log in again";

/// Looks for adapters. A broken driver is an absent one.
#[must_use]
pub(super) fn probe() -> Probe {
    let adapters = match catch_unwind(adapters::enumerate) {
        Ok(adapters) => adapters,
        Err(_) => {
            return Probe::Absent { reason: "a graphics driver panicked while it was asked for its adapters".into() };
        }
    };
    if !adapters.is_empty() {
        return Probe::Ready(Box::new(WgpuBackend::new(adapters)));
    }
    match adapters::closed_node() {
        Some(node) => Probe::Denied { reason: format!("{node} may not be opened by this user"), remedy: REMEDY.into() },
        None => Probe::Absent { reason: adapters::NONE.into() },
    }
}

/// The adapters of this machine; each is opened when its first case is prepared.
struct WgpuBackend {
    members: Vec<Member>,
}

struct Member {
    adapter: Adapter,
    opened: Option<Rc<Opened>>,
}

impl WgpuBackend {
    fn new(adapters: Vec<Adapter>) -> Self {
        Self { members: adapters.into_iter().map(|adapter| Member { adapter, opened: None }).collect() }
    }
}

impl Member {
    /// The open device; a new one where the last was lost, because a driver that restarts gives new ones.
    fn open(&mut self) -> Result<Rc<Opened>, BackendError> {
        if let Some(opened) = self.opened.as_ref().filter(|o| o.lost().is_none()) {
            return Ok(Rc::clone(opened));
        }
        let opened = Rc::new(Opened::open(&self.adapter)?);
        self.opened = Some(Rc::clone(&opened));
        Ok(opened)
    }
}

impl Backend for WgpuBackend {
    fn serves(&self, device: &DeviceId) -> bool {
        self.members.iter().any(|m| m.adapter.info.id == *device)
    }

    fn devices(&self) -> Vec<DeviceInfo> {
        self.members.iter().map(|m| m.adapter.info.clone()).collect()
    }

    fn prepare(&mut self, case: &Case, seed: u64) -> Result<Box<dyn Workload>, BackendError> {
        let failed = |detail: String| BackendError::Device { device: case.device.clone(), detail };
        let member = self.members.iter_mut().find(|m| m.adapter.info.id == case.device);
        let member = member.ok_or_else(|| failed("no such adapter".into()))?;
        let kernel = kernels::find(&case.kernel).ok_or_else(|| BackendError::UnknownKernel(case.kernel.clone()))?;
        let opened = member.open()?;
        // Drivers are foreign code: a panic of one ends the case and not the run.
        let built = catch_unwind(AssertUnwindSafe(|| {
            let judge = Judge::new(kernel, case, seed)?;
            WgpuWorkload::new(opened, &member.adapter.info, kernel, case, judge)
        }));
        let workload = built.map_err(|_| failed(format!("preparing `{}` panicked", case.id)))??;
        Ok(Box::new(workload))
    }
}
