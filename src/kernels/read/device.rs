//! The read probe on cards: each block answers with its part of the sum, as two numbers of 32 bits.

use crate::kernels::cuda::{cuda_source, word};
use crate::kernels::{Api, Argument, DeviceBuffer, DeviceProgram, Format, Launch, NoProgram, Target};

const CUDA: &str = cuda_source!("read/read.cu");
const WGSL: &str = include_str!("read.wgsl");
/// Threads of a block.
const THREADS: usize = 256;
/// Words that a thread reads, where the array is large: a few rounds of several loads under way.
const EACH: usize = 64;
/// Most groups in WGSL: each thread then reads more.
const GROUPS: usize = 16_384;

/// The program for so many words.
///
/// # Errors
/// [`NoProgram::Lacks`] for more than its indices can count.
pub(super) fn program(words: usize, target: &Target) -> Result<DeviceProgram, NoProgram> {
    let blocks = words.div_ceil(THREADS * EACH).max(1);
    let numbers = words.checked_mul(2).ok_or_else(|| NoProgram::Lacks(format!("{words} words")))?;
    #[expect(clippy::cast_possible_truncation, reason = "the halves of a number of 64 bits")]
    let halves = vec![Argument::U32(words as u32), Argument::U32((words as u64 >> 32) as u32)];
    // In WGSL a part of the sum of each thread lies in shared memory; the text of CUDA declares its own.
    let (path, source, entry, blocks, shared, arguments) = match target.api {
        Api::Cuda => ("cuda/16-bytes", CUDA, "read_words", blocks, 0, halves),
        Api::Wgsl => {
            let count = word("half of the words", numbers).map(|n| Argument::U32(n / 2))?;
            ("wgsl/8-bytes", WGSL, "main", blocks.min(GROUPS), word("shared memory", 8 * THREADS)?, vec![count])
        }
    };
    Ok(DeviceProgram {
        path: path.to_owned(),
        buffers: vec![
            DeviceBuffer::operand("array", numbers, Format::U32),
            DeviceBuffer::output("sums", 2 * blocks, Format::U32),
        ],
        steps: vec![Launch {
            source,
            entry,
            grid: [word("the grid", blocks)?, 1, 1],
            block: [word("a block", THREADS)?, 1, 1],
            shared,
            buffers: vec![0, 1],
            constants: Vec::new(),
            arguments,
        }],
        output: 1,
        shape: vec![2 * blocks],
    })
}
