//! The CUDA programs of a mixture of experts (`moe.cu`), and what they want to know of the routing.

use super::routing::Routing;
use super::{Shape, Weights, arrays};
use crate::kernels::cuda::{cuda_source, needs_ampere, word};
use crate::kernels::products::{Left, Tile, Unit};
use crate::kernels::{
    Argument, Array, DeviceBuffer, DeviceProgram, Dtype, Format, Launch, NoProgram, ParamError, Target,
};

const SOURCE: &str = cuda_source!("products.cu", "moe/moe.cu");
/// Threads of a block that adds the outputs of slots.
const COMBINERS: u32 = 256;
/// The expert of a tile that is not there.
const NO_EXPERT: u32 = u32::MAX;

/// Rows of a tile, by the mean number of an expert's tokens: half a tile is wasted at most on one of mean size.
const fn rows(shape: Shape) -> u32 {
    match shape.tokens * shape.top / shape.experts {
        0..24 => 16,
        24..48 => 32,
        48..96 => 64,
        _ => 128,
    }
}

/// Places in the list of tiles: enough for any routing, for each expert with tokens has one tile at most that is not full.
const fn places(shape: Shape, rows: usize) -> usize {
    let slots = shape.tokens * shape.top;
    slots / rows + if shape.experts < slots { shape.experts } else { slots }
}

/// The operands as arrays, and beside them the list of tiles (pairs of expert and first slot) and the slots of each token.
pub(super) fn operands(shape: Shape, weights: &Weights, x: &[f32], routing: &Routing) -> Vec<Array> {
    let narrow = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let rows = rows(shape) as usize;
    let mut tiles = Vec::with_capacity(2 * places(shape, rows));
    for expert in 0..shape.experts {
        for first in routing.of_expert(expert).step_by(rows) {
            tiles.extend([narrow(expert), narrow(first)]);
        }
    }
    tiles.resize(2 * places(shape, rows), NO_EXPERT);
    let slots = (0..shape.tokens).flat_map(|token| routing.of_token(token).map(|(slot, _)| narrow(slot))).collect();
    let mut operands = arrays(shape, weights, x, routing);
    operands.extend([Array::of_indices("tiles", tiles), Array::of_indices("slots", slots)]);
    operands
}

/// The programs of a case: hidden units, outputs of slots, and their sum.
pub(super) fn program(shape: Shape, dtype: Dtype, target: &Target) -> Result<DeviceProgram, NoProgram> {
    needs_ampere(target)?;
    let Shape { tokens, d, f, experts, top } = shape;
    let (unit, format) = if dtype == Dtype::Bf16 { (Unit::Tensor, Format::Bf16) } else { (Unit::Fma(4), Format::F32) };
    let size = |what: &str, sizes: &[usize]| {
        let elements = sizes.iter().try_fold(1_usize, |all, n| all.checked_mul(*n));
        elements.ok_or_else(|| ParamError::TooLarge(what.to_owned()))
    };
    let slots = size("slots", &[tokens, top])?;
    let rows = rows(shape);
    let tiles = places(shape, rows as usize);
    // G and U take half of the columns each.
    let (up, down) = (Tile::new(unit, Left::Rows, rows, 2 * f), Tile::new(unit, Left::Rows, rows, d));
    let aligned = u32::from(d.is_multiple_of(8) && f.is_multiple_of(8));
    let grouped = |tile: Tile, is_up: bool, buffers: [usize; 6], [length, width]: [usize; 2]| {
        let mut constants = tile.constants();
        constants.extend([("UP", u32::from(is_up)), ("ALIGNED", aligned)]);
        let columns = tile.columns as usize / if is_up { 2 } else { 1 };
        Ok::<_, NoProgram>(Launch {
            source: SOURCE,
            entry: "grouped",
            grid: [word("the grid", size("the grid", &[tiles, width.div_ceil(columns)])?)?, 1, 1],
            block: [tile.threads(), 1, 1],
            shared: tile.shared(),
            buffers: buffers.into(),
            constants,
            arguments: [("tiles", tiles), ("d", length), ("f", width)]
                .into_iter()
                .map(|(name, n)| Ok(Argument::U32(word(name, n)?)))
                .collect::<Result<_, NoProgram>>()?,
        })
    };
    let mut constants = down.constants();
    constants.extend([("UP", 0), ("ALIGNED", aligned)]);
    let combine = Launch {
        source: SOURCE,
        entry: "combine",
        grid: [word("tokens", tokens)?, 1, 1],
        block: [COMBINERS, 1, 1],
        shared: 0,
        buffers: vec![8, 9, 5, 10],
        constants,
        arguments: [("d", d), ("top", top)]
            .into_iter()
            .map(|(name, n)| Ok(Argument::U32(word(name, n)?)))
            .collect::<Result<_, NoProgram>>()?,
    };
    Ok(DeviceProgram {
        path: up.name(),
        buffers: vec![
            DeviceBuffer::operand("X", size("X", &[tokens, d])?, format),
            DeviceBuffer::operand("up", size("G and U", &[experts, d, 2, f])?, format),
            DeviceBuffer::operand("down", size("D", &[experts, f, d])?, format),
            DeviceBuffer::operand("expert_ptr", experts + 1, Format::U32),
            DeviceBuffer::operand("tokens", slots, Format::U32),
            DeviceBuffer::operand("gates", slots, Format::F32),
            DeviceBuffer::operand("tiles", 2 * tiles, Format::U32),
            DeviceBuffer::output("hidden", size("hidden units", &[slots, f])?, format),
            DeviceBuffer::output("outputs of slots", size("outputs", &[slots, d])?, Format::F32),
            DeviceBuffer::operand("slots", slots, Format::U32),
            DeviceBuffer::output("Y", size("Y", &[tokens, d])?, format),
        ],
        steps: vec![
            grouped(up, true, [0, 1, 6, 3, 4, 7], [d, f])?,
            grouped(down, false, [7, 2, 6, 3, 4, 8], [f, d])?,
            combine,
        ],
        output: 10,
        shape: vec![tokens, d],
    })
}
