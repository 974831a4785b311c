//! Attention on other devices in WGSL: dense, causal and within a window.

use super::mask::Mask;
use crate::kernels::{Api, Argument, DeviceBuffer, DeviceProgram, Dtype, Format, Launch, NoProgram, Params, Target};

macro_rules! source {
    ($chunks:literal, $rows:literal) => {
        concat!("const CHUNKS: u32 = ", $chunks, "u;\n", include_str!($rows), include_str!("attention.wgsl"))
    };
}

macro_rules! sources {
    ($chunks:literal) => {
        [source!($chunks, "alone.wgsl"), source!($chunks, "together.wgsl")]
    };
}

/// Largest dimension of each source, because a thread keeps so many sums, and the sources: for any adapter, and for subgroups.
const SOURCES: [(usize, [&str; 2]); 4] =
    [(32, sources!("1")), (64, sources!("2")), (128, sources!("4")), (256, sources!("8"))];

/// Threads that have a query between them.
const SHARING: u32 = 8;

/// Queries of a group.
const TILE: u32 = 32;

/// Shared memory of a group in bytes: 16 elements of 32 queries and of 32 keys, their scores, 32 elements of 32 values; rows
/// of the first three are one element longer.
const SHARED: u32 = (2 * TILE * 17 + TILE * 33 + TILE * 32) * 4;

/// The program for a target; `mask` is dense, causal or a window.
///
/// # Errors
/// [`NoProgram`].
pub(super) fn program(params: &Params, mask: &Mask, target: &Target) -> Result<DeviceProgram, NoProgram> {
    if (target.api, params.dtype) != (Api::Wgsl, Dtype::F32) {
        return Err(NoProgram::Unwritten);
    }
    let [heads, seq, dim] = [params.count("heads")?, params.count("seq")?, params.count("dim")?];
    let Some((_, sources)) = SOURCES.iter().find(|(most, _)| dim <= *most) else {
        let most = SOURCES[SOURCES.len() - 1].0;
        return Err(NoProgram::Lacks(format!("its program keeps at most {most} elements of a query; `dim` is {dim}")));
    };
    let Some(len) = heads.checked_mul(seq).and_then(|n| n.checked_mul(dim)).filter(|n| *n < 1 << 32) else {
        return Err(NoProgram::Lacks("operands of 2³² elements or more need longer indices".to_owned()));
    };
    let together = target.limits.subgroup.is_some_and(|(least, _)| least >= SHARING);
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
        path: if together { "wgsl/32x32-subgroup" } else { "wgsl/32x32" }.to_owned(),
        buffers: vec![input("Q"), input("K"), input("V"), DeviceBuffer::output("O", len, Format::F32)],
        steps: vec![Launch {
            source: sources[usize::from(together)],
            entry: "main",
            grid: [word(seq).div_ceil(TILE), word(heads), 1],
            // Places in subgroups are told to groups in one direction alone.
            block: if together { [256, 1, 1] } else { [16, 16, 1] },
            shared: SHARED,
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
