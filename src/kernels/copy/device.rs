//! The copy probe on cards.

use crate::kernels::cuda::{cuda_source, word};
use crate::kernels::{Api, Argument, DeviceBuffer, DeviceProgram, Dtype, Format, Launch, NoProgram, Target};

const CUDA: &str = cuda_source!("copy/copy.cu");
const ONE: &str = concat!("alias T = f32;\n", include_str!("copy.wgsl"));
const FOUR: &str = concat!("alias T = vec4<f32>;\n", include_str!("copy.wgsl"));
/// Threads of a block.
const THREADS: usize = 256;
/// Loads of 16 bytes that a CUDA thread has under way.
const UNDER_WAY: usize = 8;
/// Most groups in WGSL: each thread then copies more.
const GROUPS: usize = 16_384;

/// The program for arrays of `n` elements.
///
/// # Errors
/// [`NoProgram`].
pub(super) fn program(n: usize, dtype: Dtype, target: &Target) -> Result<DeviceProgram, NoProgram> {
    let format = match (target.api, dtype) {
        (Api::Cuda, Dtype::F64) => Format::F64,
        (_, Dtype::F32) => Format::F32,
        _ => return Err(NoProgram::Unwritten),
    };
    let (path, source, entry, blocks, arguments) = match target.api {
        Api::Cuda => {
            let words = n as u64 * (format.size() as u64 / 4);
            #[expect(clippy::cast_possible_truncation, reason = "the halves of a number of 64 bits")]
            let halves = vec![Argument::U32(words as u32), Argument::U32((words >> 32) as u32)];
            let per_block = THREADS * UNDER_WAY * (16 / format.size());
            ("cuda/16-bytes".to_owned(), CUDA, "copy_words", n.div_ceil(per_block), halves)
        }
        Api::Wgsl => {
            let (source, at_once) = if n.is_multiple_of(4) { (FOUR, 4) } else { (ONE, 1) };
            let items = word("the number of elements", n / at_once)?;
            let blocks = (n / at_once).div_ceil(THREADS).min(GROUPS);
            (format!("wgsl/{at_once}-at-once"), source, "main", blocks, vec![Argument::U32(items)])
        }
    };
    Ok(DeviceProgram {
        path,
        buffers: vec![DeviceBuffer::operand("x", n, format), DeviceBuffer::output("y", n, format)],
        steps: vec![Launch {
            source,
            entry,
            grid: [word("the grid", blocks.max(1))?, 1, 1],
            block: [word("a block", THREADS)?, 1, 1],
            shared: 0,
            buffers: vec![0, 1],
            constants: Vec::new(),
            arguments,
        }],
        output: 1,
        shape: vec![n],
    })
}
