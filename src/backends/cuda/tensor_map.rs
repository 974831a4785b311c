//! Tensor maps: the descriptions of tensors that the tensor memory accelerator copies tiles by, encoded by the driver.
//!
//! Source: CUDA Driver API, "Tensor Map Object Management".

#![expect(unsafe_code, reason = "a function of the driver")]

use super::driver::{CudaError, call};
use crate::kernels::{Format, TensorMap};
use cudarc::driver::sys::{
    self, CUtensorMapDataType_enum as Element, CUtensorMapFloatOOBfill_enum as Outside,
    CUtensorMapInterleave_enum as Interleave, CUtensorMapL2promotion_enum as Promotion,
    CUtensorMapSwizzle_enum as Swizzle,
};

/// The map of a tensor of elements in `format` that begins at `address`.
///
/// # Errors
/// [`CudaError`] where the driver finds that no accelerator can read it so.
pub(super) fn encode(
    map: &TensorMap,
    format: Format,
    address: sys::CUdeviceptr,
) -> Result<sys::CUtensorMap, CudaError> {
    let bytes = format.size() as u64;
    let element = match format {
        Format::F64 => Element::CU_TENSOR_MAP_DATA_TYPE_FLOAT64,
        Format::F32 => Element::CU_TENSOR_MAP_DATA_TYPE_FLOAT32,
        Format::F16 => Element::CU_TENSOR_MAP_DATA_TYPE_FLOAT16,
        Format::Bf16 => Element::CU_TENSOR_MAP_DATA_TYPE_BFLOAT16,
        Format::I8 | Format::F8 => Element::CU_TENSOR_MAP_DATA_TYPE_UINT8,
        Format::I32 => Element::CU_TENSOR_MAP_DATA_TYPE_INT32,
        Format::U32 => Element::CU_TENSOR_MAP_DATA_TYPE_UINT32,
    };
    let row = map.sizes[0].saturating_mul(bytes);
    let pitches = [row, row.saturating_mul(map.sizes[1])];
    let every = [1_u32; 3];
    let mut made = sys::CUtensorMap { opaque: [0; 16] };
    call("cuTensorMapEncodeTiled", || {
        // SAFETY: the map is written, the arrays have as many elements as a tensor of three dimensions asks for, and all
        // outlive the call; the address is only written down.
        unsafe {
            sys::cuTensorMapEncodeTiled(
                &raw mut made,
                element,
                3,
                std::ptr::with_exposed_provenance_mut(usize::try_from(address).unwrap_or(0)),
                map.sizes.as_ptr(),
                pitches.as_ptr(),
                map.tile.as_ptr(),
                every.as_ptr(),
                Interleave::CU_TENSOR_MAP_INTERLEAVE_NONE,
                Swizzle::CU_TENSOR_MAP_SWIZZLE_128B,
                Promotion::CU_TENSOR_MAP_L2_PROMOTION_L2_128B,
                Outside::CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE,
            )
        }
        .result()
    })?;
    Ok(made)
}
