//! Attention on other devices in WGSL: dense, causal and within a window.

use super::exact::{self, CANARY_KEYS};
use super::mask::Mask;
use super::{Shape, inputs};
use crate::kernels::{
    Api, Argument, Array, BuildContext, DeviceBuffer, DeviceCanary, DeviceProgram, Dtype, Format, KernelError, Launch,
    NoProgram, ParamValue, Params, Target, Values,
};

macro_rules! source {
    ($chunks:literal) => {
        concat!("const CHUNKS: u32 = ", $chunks, "u;\n", include_str!("attention.wgsl"))
    };
}

/// Largest dimension of each source, and the source: a thread keeps so many sums.
const SOURCES: [(usize, &str); 4] = [(32, source!("1")), (64, source!("2")), (128, source!("4")), (256, source!("8"))];

/// Queries of a group.
const TILE: u32 = 32;

/// The program for a target; `mask` is dense, causal or a window.
///
/// # Errors
/// [`NoProgram`].
pub(super) fn program(params: &Params, mask: &Mask, target: &Target) -> Result<DeviceProgram, NoProgram> {
    if (target.api, params.dtype) != (Api::Wgsl, Dtype::F32) {
        return Err(NoProgram::Unwritten);
    }
    let [heads, seq, dim] = [params.count("heads")?, params.count("seq")?, params.count("dim")?];
    let Some((_, source)) = SOURCES.iter().find(|(most, _)| dim <= *most) else {
        let most = SOURCES[SOURCES.len() - 1].0;
        return Err(NoProgram::Lacks(format!("its program keeps at most {most} elements of a query; `dim` is {dim}")));
    };
    let Some(len) = heads.checked_mul(seq).and_then(|n| n.checked_mul(dim)).filter(|n| *n < 1 << 32) else {
        return Err(NoProgram::Lacks("operands of 2³² elements or more need longer indices".to_owned()));
    };
    let word = |x: usize| u32::try_from(x).unwrap_or(u32::MAX);
    let (causal, window) = match mask {
        Mask::Dense => (0, u32::MAX),
        Mask::Causal => (1, u32::MAX),
        Mask::Window(window) => (1, word(*window)),
        Mask::Blocks(_) => return Err(NoProgram::Unwritten),
    };
    #[expect(clippy::cast_possible_truncation, reason = "the program computes in single precision")]
    let scale = (1.0 / (dim as f64).sqrt()) as f32;
    let input = |name| DeviceBuffer::operand(name, len, Format::F32);
    Ok(DeviceProgram {
        path: "wgsl/32x32".to_owned(),
        buffers: vec![input("Q"), input("K"), input("V"), DeviceBuffer::output("O", len, Format::F32)],
        steps: vec![Launch {
            source,
            entry: "main",
            grid: [word(seq).div_ceil(TILE), word(heads), 1],
            block: [16, 16, 1],
            shared: 0,
            buffers: vec![0, 1, 2, 3],
            constants: Vec::new(),
            arguments: vec![
                Argument::U32(word(seq)),
                Argument::U32(word(dim)),
                Argument::U32(causal),
                Argument::U32(window),
                Argument::F32(scale),
            ],
        }],
        output: 3,
        shape: vec![heads, seq, dim],
    })
}

/// Q, K and V of a case as arrays.
///
/// # Errors
/// [`KernelError`].
pub(super) fn operands(params: &Params, context: &BuildContext<'_>) -> Result<Vec<Array>, KernelError> {
    let [heads, seq, dim] = [params.count("heads")?, params.count("seq")?, params.count("dim")?];
    let arrays = ["Q", "K", "V"].into_iter().zip(inputs(heads * seq * dim, context)?);
    Ok(arrays.map(|(name, values)| Array::of(name, &[heads, seq, dim], &values)).collect())
}

/// A small head under a mask of the same kind, as a case.
///
/// # Errors
/// [`KernelError`] when the parameters are no case.
pub(super) fn canary(params: &Params, mask: &Mask) -> Result<Option<DeviceCanary>, KernelError> {
    let dim = params.count("dim")?;
    let mut small = params.clone();
    let mask = match mask {
        Mask::Window(_) => {
            small.values.insert("window".to_owned(), ParamValue::Integer(CANARY_KEYS as u64 / 2));
            Mask::Window(CANARY_KEYS / 2)
        }
        Mask::Blocks(_) => return Ok(None),
        mask => mask.clone(),
    };
    for (name, n) in [("heads", 1), ("seq", CANARY_KEYS)] {
        small.values.insert(name.to_owned(), ParamValue::Integer(n as u64));
    }
    let shape = Shape { heads: 1, seq: CANARY_KEYS, dim, mask };
    let (inputs, reference) = super::canary_case(&shape);
    let operands = ["Q", "K", "V"].into_iter().zip(&inputs);
    Ok(Some(DeviceCanary {
        params: small,
        operands: operands.map(|(name, values)| Array::of(name, &[1, CANARY_KEYS, dim], values)).collect(),
        judge: Box::new(move |answer| match &answer.values {
            Values::F32(found) => exact::judge_canary(dim, found, &reference),
            _ => exact::judge_canary(dim, &[], &reference),
        }),
    }))
}
