//! The triad on other devices in WGSL.

use super::{CANARY, CANARY_NAME, canary_numbers};
use crate::kernels::canary::judge;
use crate::kernels::{
    Api, Argument, Array, DeviceBuffer, DeviceCanary, DeviceProgram, Dtype, Format, KernelError, Launch, NoProgram,
    ParamValue, Params, Target, Values,
};

const ONE: &str = concat!("alias T = f32;\n", include_str!("triad.wgsl"));
const FOUR: &str = concat!("alias T = vec4<f32>;\n", include_str!("triad.wgsl"));

/// Threads of a group.
const THREADS: u32 = 256;
/// Most groups: each thread then does several elements. Many times what any card runs at once.
const GROUPS: u32 = 16_384;

/// The program for `n` elements.
///
/// # Errors
/// [`NoProgram`].
pub(super) fn program(n: usize, dtype: Dtype, target: &Target) -> Result<DeviceProgram, NoProgram> {
    if (target.api, dtype) != (Api::Wgsl, Dtype::F32) {
        return Err(NoProgram::Unwritten);
    }
    let (source, at_once) = if n.is_multiple_of(4) { (FOUR, 4) } else { (ONE, 1) };
    let items =
        u32::try_from(n / at_once).map_err(|_| NoProgram::Lacks(format!("{n} elements need longer indices")))?;
    let groups = items.div_ceil(THREADS).clamp(1, GROUPS);
    let input = |name| DeviceBuffer::operand(name, n, Format::F32);
    Ok(DeviceProgram {
        path: format!("wgsl/{at_once}-at-once"),
        buffers: vec![input("b"), input("c"), DeviceBuffer::output("a", n, Format::F32)],
        steps: vec![Launch {
            source,
            entry: "main",
            grid: [groups, 1, 1],
            block: [THREADS, 1, 1],
            shared: 0,
            buffers: vec![0, 1, 2],
            constants: Vec::new(),
            arguments: vec![Argument::U32(items)],
        }],
        output: 2,
        shape: vec![n],
    })
}

/// 3·(1 + δ) − 3 as a case.
///
/// # Errors
/// None.
pub(super) fn canary(dtype: Dtype) -> Result<Option<DeviceCanary>, KernelError> {
    let [b, c, exact] = canary_numbers(dtype);
    let bytes = 3 * dtype.size() * CANARY as u64;
    let params = Params { dtype, values: [("bytes".to_owned(), ParamValue::Integer(bytes))].into() };
    let single = dtype == Dtype::F32;
    let array = |name, numbers: Vec<f64>| Array::of_numbers(name, &[CANARY], single, numbers.into_iter());
    Ok(Some(DeviceCanary {
        params,
        operands: vec![array("b", b), array("c", c)],
        judge: Box::new(move |answer| match &answer.values {
            Values::F32(found) => judge(CANARY_NAME, found, &exact),
            Values::F64(found) => judge(CANARY_NAME, found, &exact),
            Values::U32(_) => judge::<f32>(CANARY_NAME, &[], &exact),
        }),
    }))
}
