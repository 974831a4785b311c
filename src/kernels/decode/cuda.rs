//! The CUDA program of decoding (`decode.cu`): shares of the tokens, then all shares of a head together.

use super::Sizes;
use super::cache::{Format as Stored, Layout};
use crate::kernels::cuda::{WARP, cuda_source, needs_ampere, tile_bytes, unused, word};
use crate::kernels::{Argument, DeviceBuffer, DeviceProgram, Format, Launch, NoProgram, ParamError, Target};

const SOURCE: &str = cuda_source!("decode/decode.cu");
const LATENT: &str = cuda_source!("decode/latent.cu");
const JOIN: &str = cuda_source!("decode/join.cu");
/// Elements of a key that lie across a warp.
const PART: usize = 128;
/// Tokens that a warp takes at a time.
const STEP: usize = 4;
/// Warps that keep the memory of a large device busy.
const BUSY: usize = 4096;
/// Heads that are the rows of a tile of the latent program.
const HEADS: u32 = 16;
/// Blocks of the latent program for each multiprocessor, which one of them fills: a few rounds even out.
const ROUNDS: usize = 4;
/// Multiprocessors where the device does not say: those of a large one.
const MULTIPROCESSORS: u32 = 132;
/// Columns that a block puts together, and its threads.
const COLUMNS: usize = 128;
const JOINING: u32 = 512;
/// Steps that are worth a warp of their own.
const WORTH: usize = 8;

/// The program of a case.
pub(super) fn program(sizes: &Sizes, target: &Target) -> Result<DeviceProgram, NoProgram> {
    if target.limits.capability.is_none() {
        return Err(NoProgram::Unwritten);
    }
    if sizes.format == Stored::ShortLatent {
        return latent(sizes, target);
    }
    let layout = sizes.layout()?;
    let Layout { groups, share, len, key, value } = layout;
    let (key_parts, value_parts) = (key.div_ceil(PART), value.div_ceil(PART));
    // Queries, sums and four tokens have to fit the registers.
    let heads = match key_parts {
        1 => share.min(4),
        2 => share.min(2),
        3..=5 => share.min(2),
        6..=8 => 1,
        _ => return Err(NoProgram::Lacks(format!("keys of {key} elements: its program holds {} at most", 8 * PART))),
    };
    // Warps that read the same tokens for other heads find them in the first cache.
    let head_warps = share.div_ceil(heads).min(4);
    let token_warps = 4 / head_warps;
    let bundles = share.div_ceil(heads * head_warps);
    let useful = len.div_ceil(STEP * WORTH * token_warps);
    let splits = BUSY.div_ceil(groups * bundles * 4).clamp(1, useful.max(1));
    let shares = splits * token_warps;
    let (format, name) = match sizes.format {
        Stored::Float if share > 1 => (0, "shared"),
        Stored::Float => (0, "float"),
        Stored::Latent | Stored::ShortLatent => (1, "latent"),
        Stored::Int8 => (2, "int8"),
        Stored::Short if share > 1 => (3, "shared-bf16"),
        Stored::Short => (3, "bf16"),
    };
    let element = match sizes.format {
        Stored::Int8 => Format::I8,
        Stored::Short | Stored::ShortLatent => Format::Bf16,
        Stored::Float | Stored::Latent => Format::F32,
    };
    let rows = groups * len;
    let values = match sizes.format {
        Stored::Latent => unused("V", Format::F32),
        _ => DeviceBuffer::operand("V", rows * value, element),
    };
    let scales = |name| {
        if sizes.format == Stored::Int8 {
            DeviceBuffer::operand(name, rows, Format::F32)
        } else {
            unused(name, Format::F32)
        }
    };
    #[expect(clippy::cast_possible_truncation, reason = "the program scales in single precision")]
    let scale = Argument::F32((1.0 / (key as f64).sqrt()) as f32);
    let counted = |name, n| Ok::<_, NoProgram>(Argument::U32(word(name, n)?));
    let constants = vec![
        ("FORMAT", format),
        ("HEADS", word("heads", heads)?),
        ("HEAD_WARPS", word("heads", head_warps)?),
        ("TOKEN_WARPS", word("tokens", token_warps)?),
        ("KEY_PARTS", word("key", key_parts)?),
        ("VALUE_PARTS", word("value", value_parts)?),
        ("ALIGNED", u32::from(key.is_multiple_of(4) && value.is_multiple_of(4))),
    ];
    let parts = layout.heads().checked_mul(shares * (value + 2));
    let parts = parts.ok_or_else(|| ParamError::TooLarge("the shares".to_owned()))?;
    Ok(DeviceProgram {
        path: format!("cuda/split-{name}"),
        buffers: vec![
            DeviceBuffer::operand("K", rows * key, element),
            values,
            scales("key_scales"),
            scales("value_scales"),
            DeviceBuffer::operand("Q", layout.heads() * key, Format::F32),
            DeviceBuffer::output("shares", parts, Format::F32),
            DeviceBuffer::output("O", layout.heads() * value, Format::F32),
        ],
        steps: vec![
            Launch {
                source: SOURCE,
                entry: "part",
                grid: [word("the grid", splits * bundles)?, word("the grid", groups)?, 1],
                block: [word("the block", head_warps * token_warps)? * WARP, 1, 1],
                shared: 0,
                buffers: vec![0, 1, 2, 3, 4, 5],
                constants,
                arguments: vec![
                    counted("heads", share)?,
                    counted("len", len)?,
                    counted("key", key)?,
                    counted("value", value)?,
                    scale,
                ],
            },
            join((5, 6), layout, shares, scale)?,
        ],
        output: 6,
        shape: vec![layout.heads(), value],
    })
}

/// The program of latent rows in bfloat16.
fn latent(sizes: &Sizes, target: &Target) -> Result<DeviceProgram, NoProgram> {
    needs_ampere(target)?;
    let layout = sizes.layout()?;
    let Layout { len, key, value, .. } = layout;
    let heads = layout.heads();
    let (wide, columns) = (key.next_multiple_of(32), word("a value", value.next_multiple_of(16))?);
    let width = word("a key", wide)?;
    // As many tokens as fit shared memory, and sums that fit the registers: a warp has 8 tokens and 4 words of sums a group
    // of 8 columns.
    let shared = |tokens: u32| tile_bytes(HEADS, width) + tile_bytes(HEADS, tokens) + 2 * tile_bytes(tokens, width);
    let sums = |tokens: u32| (columns / 16).div_ceil(tokens / 8) * 8;
    let fits = |tokens: &u32| shared(*tokens) + 2048 <= target.limits.shared_bytes && sums(*tokens) <= 128;
    let Some(tokens) = [64, 32, 16].into_iter().find(fits) else {
        let most = target.limits.shared_bytes;
        return Err(NoProgram::Lacks(format!(
            "rows of {key} elements: its program holds two tiles of them in shared memory, of which the device has {most} bytes"
        )));
    };
    // Four registers for 16 elements of the queries.
    let keep = width / 4 + sums(tokens) <= 184;
    let bundles = heads.div_ceil(HEADS as usize);
    let blocks = ROUNDS * target.limits.multiprocessors.unwrap_or(MULTIPROCESSORS) as usize;
    let shares = (blocks / bundles).clamp(1, len.div_ceil(tokens as usize));
    #[expect(clippy::cast_possible_truncation, reason = "the program scales in single precision")]
    let scale = Argument::F32((1.0 / (key as f64).sqrt()) as f32);
    let counted = |name, n| Ok::<_, NoProgram>(Argument::U32(word(name, n)?));
    let parts = heads.checked_mul(shares * (value + 2)).ok_or_else(|| ParamError::TooLarge("the shares".to_owned()))?;
    let launch = Launch {
        source: LATENT,
        entry: "latent",
        grid: [word("the grid", shares * bundles)?, 1, 1],
        block: [tokens / 8 * WARP, 1, 1],
        shared: shared(tokens),
        buffers: vec![0, 1, 2],
        constants: vec![
            ("KEY", width),
            ("VALUE", columns),
            ("TOKENS", tokens),
            ("KEEP", u32::from(keep)),
            ("ALIGNED", u32::from(key.is_multiple_of(8))),
        ],
        arguments: vec![
            counted("heads", heads)?,
            counted("len", len)?,
            counted("key", key)?,
            counted("value", value)?,
            scale,
        ],
    };
    Ok(DeviceProgram {
        path: format!("cuda/mma-latent-{tokens}"),
        buffers: vec![
            DeviceBuffer::operand("K", len * key, Format::Bf16),
            DeviceBuffer::operand("Q", heads * key, Format::Bf16),
            DeviceBuffer::output("shares", parts, Format::F32),
            DeviceBuffer::output("O", heads * value, Format::F32),
        ],
        steps: vec![launch, join((2, 3), layout, shares, scale)?],
        output: 3,
        shape: vec![heads, value],
    })
}

/// The launch that puts the shares of all heads, in the first buffer, together in the second.
fn join((parts, output): (usize, usize), layout: Layout, shares: usize, scale: Argument) -> Result<Launch, NoProgram> {
    Ok(Launch {
        source: JOIN,
        entry: "join",
        grid: [word("heads", layout.heads())?, word("the grid", layout.value.div_ceil(COLUMNS))?, 1],
        block: [JOINING, 1, 1],
        shared: 0,
        buffers: vec![parts, output],
        constants: Vec::new(),
        arguments: vec![Argument::U32(word("shares", shares)?), Argument::U32(word("value", layout.value)?), scale],
    })
}
