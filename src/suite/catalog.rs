//! The kernels a suite may name.

use crate::kernels::{self, Kernel, KernelInfo, Role};

/// A set of kernels. Suites and plans are checked against it, so tests can bring their own.
#[derive(Clone)]
pub struct Catalog {
    kernels: Vec<&'static dyn Kernel>,
}

impl Catalog {
    /// Every kernel of the product.
    #[must_use]
    pub fn builtin() -> Self {
        Self { kernels: kernels::REGISTRY.to_vec() }
    }

    /// These kernels.
    #[must_use]
    pub fn new(kernels: Vec<&'static dyn Kernel>) -> Self {
        Self { kernels }
    }

    /// The kernel with this id, of any role.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<&'static dyn Kernel> {
        self.kernels.iter().copied().find(|k| k.info().id == id)
    }

    /// Descriptions of the kernels of one role, in the catalog's order.
    pub fn infos(&self, role: Role) -> impl Iterator<Item = &'static KernelInfo> + Clone + '_ {
        self.kernels.iter().map(|k| k.info()).filter(move |i| i.role == role)
    }
}
