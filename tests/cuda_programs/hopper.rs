//! Mistakes in the programs for Hopper, and what has to notice each of them.

use super::Small;
use super::cases::{gemm, typed, window};
use wattproof::kernels::Dtype;

/// What notices a mistake.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Notice {
    /// The check of the answer.
    Answer,
    /// The emulator, with these words.
    Emulator(&'static str),
}

/// A mistake: the text, and what is there instead of it.
pub(crate) type Mistake = (&'static str, &'static str, Notice);

const NEVER: Notice = Notice::Emulator("threads wait for others that never come");

/// The case that shows mistakes in the product: several tiles a block, edges on both sides, more slices than stages.
pub(crate) fn product() -> Small {
    gemm(260, 264, 328)
}

/// Mistakes in gemm/hopper.cu, and in hopper.cu as the product uses it.
pub(crate) const PRODUCT: &[Mistake] = &[
    // Parities.
    ("barrier_wait(full + stage, round);", "barrier_wait(full + stage, round ^ 1);", Notice::Emulator("more arrivals")),
    ("barrier_wait(empty + stage, round ^ 1);", "barrier_wait(empty + stage, round);", NEVER),
    // Waits, fences and arrivals that are missing.
    ("                barrier_wait(full + stage, round);\n", "", Notice::Emulator("more arrivals")),
    ("                    barrier_wait(empty + stage, round ^ 1);\n", "", Notice::Emulator("more arrivals")),
    ("                products_fence();\n", "", Notice::Emulator("without wgmma.fence")),
    ("                products_commit();\n", "", Notice::Emulator("while a product is under way")),
    ("            products_wait<0>();\n", "", Notice::Emulator("while a product is under way")),
    ("products_wait<1>();", "products_wait<2>();", Notice::Answer),
    ("        barriers_known();\n", "", Notice::Emulator("not yet known to copies")),
    ("barrier_prepare(empty + stage, 8);", "barrier_prepare(empty + stage, 9);", NEVER),
    (
        "                    barrier_arrive(empty + (stage == 0 ? STAGES : stage) - 1);\n",
        "                    barrier_arrive(empty + stage);\n",
        NEVER,
    ),
    // Bytes.
    ("LEFT_BYTES + RIGHT_BYTES);", "LEFT_BYTES + RIGHT_BYTES + 16);", NEVER),
    ("LEFT_BYTES + RIGHT_BYTES);", "LEFT_BYTES + RIGHT_BYTES - 16);", Notice::Emulator("more bytes came")),
    // Descriptors: leading and stride exchanged, other swizzles, other steps.
    ("PART_BYTES, PATTERN_BYTES);", "PATTERN_BYTES, PART_BYTES);", Notice::Answer),
    ("static_cast<u64_t>(1) << 62;", "static_cast<u64_t>(3) << 62;", Notice::Emulator("outside of the shared memory")),
    ("static_cast<u64_t>(1) << 62;", "0;", Notice::Emulator("outside of the shared memory")),
    ("(LEFT_BYTES / 2), 0, PATTERN_BYTES);", "(LEFT_BYTES / 2), 0, PATTERN_BYTES / 2);", Notice::Answer),
    ("further(left, step * 32)", "further(left, step * 16)", Notice::Answer),
    ("step * 2 * PATTERN_BYTES", "step * PATTERN_BYTES", Notice::Answer),
    // The first product of a tile, the last rows of tiles, registers that are not there.
    ("slice > 0 || step > 0);", "true);", Notice::Answer),
    ("place % height", "place % BAND", Notice::Answer),
    ("claim_registers<232>();", "claim_registers<240>();", NEVER),
];

/// The case that shows mistakes in products whose right operand is transposed before: two tiles of columns, several slices.
pub(crate) fn turned(bytes: usize) -> Small {
    if bytes == 1 { typed(Dtype::I8, 20, 272, 208) } else { typed(Dtype::Tf32, 20, 260, 52) }
}

/// Mistakes in products whose right operand is transposed before, by the size of elements in bytes: what they break is the answer.
pub(crate) const TURNED: &[(usize, &str, &str)] = &[
    (1, "__byte_perm(given[2], given[3], 0x5140)};", "__byte_perm(given[3], given[2], 0x5140)};"),
    (1, "tile[word * 4 + 3][at] = __byte_perm(upper[0], upper[1], 0x7632);", ""),
    (1, "further(right, step * 32)", "further(right, step * 16)"),
    (1, "slice * DEPTH, place.column, 0);", "slice * DEPTH, 0, 0);"),
    (4, "column + at < n && row", "column + at + 1 < n && row"),
    (4, "= round_tf32(__int_as_float(static_cast<int>(given[0])));", "= given[0] & 0xff800000u;"),
    (4, "#define DEPTH (LINE_BYTES / 4)", "#define DEPTH (LINE_BYTES / 2)"),
];

/// The case that shows mistakes in attention: a tail of queries and keys, and tiles that are cut on both sides.
pub(crate) fn attention() -> Small {
    window(450, 128, 200)
}

const OPEN: Notice = Notice::Emulator("nobody waits for it");

/// Mistakes in attention/hopper.cu.
pub(crate) const ATTENTION: &[Mistake] = &[
    // Waits that are missing, too early or too few.
    ("            barrier_wait(queries_full, round % 2);\n", "", OPEN),
    ("                await_tile(values_full, number - 1);\n", "", OPEN),
    (
        "if (number + 1 < end) {\n                    await_tile(keys_full, number + 1);",
        "if (number + 1 < end) {\n                    await_tile(keys_full, number);",
        Notice::Emulator("more arrivals"),
    ),
    ("                products_wait<1>();\n", "", Notice::Emulator("sums were touched")),
    (
        "                if (number + 1 < end) {\n",
        "                pack(weights, scores);\n                if (number + 1 < end) {\n",
        Notice::Emulator("registers of an operand changed"),
    ),
    ("                    barrier_wait(values_empty + stage, phase ^ 1);\n", "", Notice::Emulator("more arrivals")),
    ("                    barrier_wait(queries_empty, round % 2 ^ 1);\n", "", Notice::Answer),
    ("barrier_prepare(values_empty + stage, 4 * WARPGROUPS);", "barrier_prepare(values_empty + stage, 4);", NEVER),
    // Turns: one that nobody gives, one too many, to oneself.
    ("        if (group == WARPGROUPS) {\n            turn_pass(1, 2 * GROUP);\n        }\n", "", NEVER),
    ("if (!last || group < WARPGROUPS) {", "{", Notice::Emulator("expected at a numbered barrier")),
    ("next = 1 + group % WARPGROUPS", "next = 1 + own", NEVER),
    // From one tile of queries to the next.
    ("const bool ends = work_of(round + 1) >= works;", "const bool ends = true;", NEVER),
    ("gridDim.x - 1 - blockIdx.x", "gridDim.x - blockIdx.x", Notice::Answer),
    // Descriptors.
    ("operand(keys, 0, PATTERN_BYTES)", "operand(keys, PATTERN_BYTES, 0)", Notice::Answer),
    ("operand(values, TILE_PART, PATTERN_BYTES)", "operand(values, PATTERN_BYTES, TILE_PART)", Notice::Answer),
    ("line * TILE_PART + within", "line * QUERY_PART + within", Notice::Answer),
    // Sums and their scale.
    ("output[e] *= shrink[e % 4 / 2];", "output[e] *= shrink[e % 2];", Notice::Answer),
    ("step * 2 * PATTERN_BYTES), true);", "step * 2 * PATTERN_BYTES), step > 0);", Notice::Answer),
    ("total[half] * shrink[half] + sum", "total[half] + sum", Notice::Answer),
];
