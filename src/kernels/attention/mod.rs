//! Scaled dot-product attention, softmax(Q·Kᵀ/√d)·V, for several heads: dense, causal, within a sliding window,
//! and over blocks.
//!
//! The program ([`tiled`]) never stores the score matrix: scores of a tile of keys are turned into
//! weights at once, and sums made with an earlier maximum are rescaled (online softmax).

mod canary;
mod cuda;
mod exact;
mod hopper;
mod mask;
pub(super) mod registers;
mod tile;
mod tiled;
mod wgsl;

use super::params::{product, sum};
use super::random::SplitMix64;
use super::reference::Reference;
use super::short::rounded_limit;
use super::split::output_buffer;
use super::{
    Api, Array, Buffer, BuildContext, Canary, Correctness, DeviceCanary, DeviceProgram, Dtype, Kernel, KernelError,
    KernelInfo, NoProgram, ParamError, ParamKind, ParamSpec, Params, Program, Role, Target, Team, Work,
};
use mask::{BlockMask, Mask};
use tiled::Tiled;

/// The `attention` kernel.
pub(super) struct Attention;
/// The `attention-window` kernel.
pub(super) struct WindowAttention;
/// The `attention-block` kernel.
pub(super) struct BlockAttention;

const HEADS: ParamSpec = ParamSpec {
    name: "heads",
    meaning: "independent heads",
    kind: ParamKind::Count { min: 1, max: 1 << 16 },
    default: Some(super::ParamDefault::Integer(1)),
};
const SEQ: ParamSpec = ParamSpec {
    name: "seq",
    meaning: "queries, and keys, of each head",
    kind: ParamKind::Count { min: 1, max: 1 << 22 },
    default: None,
};
const DIM: ParamSpec = ParamSpec {
    name: "dim",
    meaning: "elements of a query, key or value",
    kind: ParamKind::Count { min: 4, max: 4096 },
    default: Some(super::ParamDefault::Integer(64)),
};

static INFO: KernelInfo = KernelInfo {
    id: "attention",
    title: "Attention",
    summary: "softmax(Q·Kᵀ/√dim)·V for each head; Q, K and V are seq×dim; causal: query i sees keys 0..=i",
    role: Role::Workload,
    flops: "dense 4·heads·seq²·dim, causal 2·heads·seq·(seq + 1)·dim; the softmax is not counted",
    bytes: "4·e·heads·seq·dim",
    source: "Vaswani et al., Attention Is All You Need, 2017; online softmax: Milakov and Gimelshein, 2018",
    dtypes: &[Dtype::F32, Dtype::Bf16],
    params: &[
        HEADS,
        SEQ,
        DIM,
        ParamSpec {
            name: "mask",
            meaning: "which keys a query sees",
            kind: ParamKind::Choice(&["dense", "causal"]),
            default: Some(super::ParamDefault::Word("dense")),
        },
    ],
};

static WINDOW_INFO: KernelInfo = KernelInfo {
    id: "attention-window",
    title: "Sliding-window attention",
    summary: "as attention; query i sees the `window` keys up to and with its own: i − window + 1 to i",
    role: Role::Workload,
    flops: "4·heads·dim·pairs, pairs = Σ min(i, window) for i = 1 to seq; the softmax is not counted",
    bytes: "4·e·heads·seq·dim",
    source: "Beltagy, Peters and Cohan, Longformer, 2020 (arXiv 2004.05150); causal window: Jiang et al., Mistral 7B, 2023",
    dtypes: &[Dtype::F32, Dtype::Bf16],
    params: &[
        HEADS,
        SEQ,
        DIM,
        ParamSpec {
            name: "window",
            meaning: "keys that a query sees, its own among them",
            kind: ParamKind::Count { min: 1, max: 1 << 22 },
            default: Some(super::ParamDefault::Integer(512)),
        },
    ],
};

static BLOCK_INFO: KernelInfo = KernelInfo {
    id: "attention-block",
    title: "Block-sparse attention",
    summary: "as attention; each block of queries sees `visible` blocks of keys: its own and others chosen by the seed",
    role: Role::Workload,
    flops: "4·heads·dim·seq·visible·block, visible = density·seq/block, rounded, at least 1; the softmax is not counted",
    bytes: "4·e·heads·seq·dim + 4·heads·(seq/block)·visible",
    source: "Child et al., Sparse Transformers, 2019 (arXiv 1904.10509); random blocks: Zaheer et al., Big Bird, 2020",
    dtypes: &[Dtype::F32, Dtype::Bf16],
    params: &[
        HEADS,
        ParamSpec { meaning: "queries, and keys, of each head, a multiple of block", ..SEQ },
        DIM,
        ParamSpec {
            name: "block",
            meaning: "queries, and keys, of a block",
            kind: ParamKind::Count { min: 8, max: 4096 },
            default: Some(super::ParamDefault::Integer(64)),
        },
        ParamSpec {
            name: "density",
            meaning: "visible blocks as a fraction of all blocks",
            kind: ParamKind::Fraction { min: 1e-6, max: 1.0 },
            default: Some(super::ParamDefault::Real(0.25)),
        },
    ],
};

/// Sizes of a case, and its mask.
#[derive(Debug, Clone)]
struct Shape {
    heads: usize,
    seq: usize,
    dim: usize,
    mask: Mask,
    /// Whether operands and output are in bfloat16.
    short: bool,
}

impl Shape {
    /// Elements of Q, of K, of V and of the output.
    const fn len(&self) -> usize {
        self.heads * self.seq * self.dim
    }
}

/// Work of a case whose heads have `pairs` of a query and a key that it sees, and `structure` bytes of mask.
fn work(params: &Params, pairs: u64, structure: u64) -> Result<Work, ParamError> {
    let [heads, seq, dim] = [params.integer("heads")?, params.integer("seq")?, params.integer("dim")?];
    let dense = product("4·heads·seq²·dim", &[4, heads, seq, seq, dim])?;
    let useful = product("4·heads·pairs·dim", &[4, heads, pairs, dim])?;
    let operands = product("Q, K, V and the output", &[4, params.dtype.size(), heads, seq, dim])?;
    let bytes = sum("the operands", &[operands, structure])?;
    let reference = Reference::bytes(heads.saturating_mul(seq), dim, row_cost(pairs / seq, dim)).unwrap_or(u64::MAX);
    Work::new(useful, dense, bytes, sum("all buffers", &[bytes, reference])?)
}

/// The program of a case under a mask with this many visible pairs a head.
fn build(params: &Params, pairs: u64, context: &BuildContext<'_>, mask: Mask) -> Result<Box<dyn Program>, KernelError> {
    let (heads, seq, dim) = (params.count("heads")?, params.count("seq")?, params.count("dim")?);
    let short = params.dtype == Dtype::Bf16;
    Ok(Box::new(AttentionProgram::build(Shape { heads, seq, dim, mask, short }, pairs, context)?))
}

/// Visible pairs of a head without a window or blocks.
fn pairs(params: &Params) -> Result<u64, ParamError> {
    let seq = params.integer("seq")?;
    Ok(if params.word("mask")? == "causal" { seq * (seq + 1) / 2 } else { seq * seq })
}

/// The mask that a case without a window or blocks names.
fn mask(params: &Params) -> Result<Mask, ParamError> {
    Ok(if params.word("mask")? == "causal" { Mask::Causal } else { Mask::Dense })
}

impl Kernel for Attention {
    fn info(&self) -> &'static KernelInfo {
        &INFO
    }

    fn work(&self, params: &Params) -> Result<Work, ParamError> {
        INFO.check(params)?;
        work(params, pairs(params)?, 0)
    }

    fn build(&self, params: &Params, context: &BuildContext<'_>) -> Result<Box<dyn Program>, KernelError> {
        self.work(params)?;
        build(params, pairs(params)?, context, mask(params)?)
    }

    fn operands(&self, params: &Params, context: &BuildContext<'_>) -> Result<Vec<Array>, KernelError> {
        self.work(params)?;
        operands(params, context)
    }

    fn device_program(&self, params: &Params, target: &Target) -> Result<DeviceProgram, NoProgram> {
        self.work(params)?;
        match target.api {
            Api::Cuda => {
                let causal = matches!(mask(params)?, Mask::Causal);
                cuda::program(params, target, if causal { cuda::Kind::Causal } else { cuda::Kind::Dense })
            }
            Api::Wgsl => wgsl::program(params, &mask(params)?, target),
        }
    }

    fn device_canary(&self, params: &Params) -> Result<Option<DeviceCanary>, KernelError> {
        canary::for_device(params, mask(params)?)
    }
}

/// Q, K and V of a case.
fn operands(params: &Params, context: &BuildContext<'_>) -> Result<Vec<Array>, KernelError> {
    let [heads, seq, dim] = [params.count("heads")?, params.count("seq")?, params.count("dim")?];
    let arrays = ["Q", "K", "V"].into_iter().zip(inputs(heads * seq * dim, params.dtype == Dtype::Bf16, context)?);
    Ok(arrays.map(|(name, values)| Array::of(name, &[heads, seq, dim], &values)).collect())
}

/// Q, K and V, of `len` elements each; `short` ones are numbers of bfloat16.
fn inputs(len: usize, short: bool, context: &BuildContext<'_>) -> Result<[Buffer<f32>; 3], KernelError> {
    super::short::normal_inputs(len, short, ["Q", "K", "V"], context)
}

/// Visible pairs of a head: the first queries see fewer than the window.
fn window_pairs(params: &Params) -> Result<u64, ParamError> {
    let seq = params.integer("seq")?;
    let window = params.integer("window")?.min(seq);
    Ok(window * (window + 1) / 2 + (seq - window) * window)
}

impl Kernel for WindowAttention {
    fn info(&self) -> &'static KernelInfo {
        &WINDOW_INFO
    }

    fn work(&self, params: &Params) -> Result<Work, ParamError> {
        WINDOW_INFO.check(params)?;
        work(params, window_pairs(params)?, 0)
    }

    fn build(&self, params: &Params, context: &BuildContext<'_>) -> Result<Box<dyn Program>, KernelError> {
        self.work(params)?;
        build(params, window_pairs(params)?, context, Mask::Window(params.count("window")?))
    }

    fn operands(&self, params: &Params, context: &BuildContext<'_>) -> Result<Vec<Array>, KernelError> {
        self.work(params)?;
        operands(params, context)
    }

    fn device_program(&self, params: &Params, target: &Target) -> Result<DeviceProgram, NoProgram> {
        self.work(params)?;
        match target.api {
            Api::Cuda => cuda::program(params, target, cuda::Kind::Window(params.count("window")?)),
            Api::Wgsl => wgsl::program(params, &Mask::Window(params.count("window")?), target),
        }
    }

    fn device_canary(&self, params: &Params) -> Result<Option<DeviceCanary>, KernelError> {
        canary::for_device(params, Mask::Window(params.count("window")?))
    }
}

/// Blocks on a side of the mask, and those that each block of queries sees.
fn blocks(params: &Params) -> Result<(u64, u64), ParamError> {
    BLOCK_INFO.check(params)?;
    let [seq, block] = [params.integer("seq")?, params.integer("block")?];
    if !seq.is_multiple_of(block) {
        let expected = format!("a multiple of {block}");
        return Err(ParamError::Invalid { name: "seq", found: seq.to_string(), expected });
    }
    let per_head = seq / block;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a fraction of a count of blocks")]
    let visible = (per_head as f64 * params.real("density")?).round() as u64;
    Ok((per_head, visible.clamp(1, per_head)))
}

impl Kernel for BlockAttention {
    fn info(&self) -> &'static KernelInfo {
        &BLOCK_INFO
    }

    fn work(&self, params: &Params) -> Result<Work, ParamError> {
        let (per_head, visible) = blocks(params)?;
        let [heads, seq, block] = [params.integer("heads")?, params.integer("seq")?, params.integer("block")?];
        let structure = product("the mask", &[4, heads, per_head, visible])?;
        work(params, product("visible pairs", &[seq, visible, block])?, structure)
    }

    fn build(&self, params: &Params, context: &BuildContext<'_>) -> Result<Box<dyn Program>, KernelError> {
        self.work(params)?;
        let (_, visible) = blocks(params)?;
        let pairs = params.integer("seq")? * visible * params.integer("block")?;
        build(params, pairs, context, Mask::Blocks(block_mask(params, context)?))
    }

    fn operands(&self, params: &Params, context: &BuildContext<'_>) -> Result<Vec<Array>, KernelError> {
        self.work(params)?;
        let mut arrays = operands(params, context)?;
        arrays.push(Array::of_indices("columns", block_mask(params, context)?.columns().to_vec()));
        Ok(arrays)
    }

    fn device_program(&self, params: &Params, target: &Target) -> Result<DeviceProgram, NoProgram> {
        self.work(params)?;
        let visible = blocks(params)?.1;
        let visible = usize::try_from(visible).map_err(|_| ParamError::TooLarge(format!("{visible} blocks")))?;
        match target.api {
            Api::Cuda => cuda::program(params, target, cuda::Kind::Blocks { side: params.count("block")?, visible }),
            Api::Wgsl => Err(NoProgram::Unwritten),
        }
    }

    fn device_canary(&self, params: &Params) -> Result<Option<DeviceCanary>, KernelError> {
        canary::for_device(params, Mask::Blocks(canary::blocks(params.count("block")?)?))
    }
}

/// The mask of a case over blocks.
fn block_mask(params: &Params, context: &BuildContext<'_>) -> Result<BlockMask, KernelError> {
    let (per_head, visible) = blocks(params)?;
    let count = |n: u64| usize::try_from(n).map_err(|_| ParamError::TooLarge(format!("{n} blocks")));
    let sizes = (params.count("heads")?, count(per_head)?);
    BlockMask::random(params.count("block")?, sizes, count(visible)?, SplitMix64::new(context.seed, 4))
}

/// Products behind one row of the reference: scores, their scale, and weights times values, for the keys that
/// a query sees on average.
const fn row_cost(keys: u64, dim: u64) -> u64 {
    keys.saturating_mul(dim).saturating_mul(4)
}

/// Attention ready to run.
struct AttentionProgram {
    shape: Shape,
    q: Buffer<f32>,
    k: Buffer<f32>,
    v: Buffer<f32>,
    output: Buffer<f32>,
    tiled: Tiled,
    reference: Reference,
}

impl AttentionProgram {
    fn build(shape: Shape, pairs: u64, context: &BuildContext<'_>) -> Result<Self, KernelError> {
        let BuildContext { seed, team, isa } = *context;
        let [q, k, v] = inputs(shape.len(), shape.short, context)?;
        let cost = row_cost(pairs / shape.seq as u64, shape.dim as u64);
        let rows = shape.heads * shape.seq;
        let reference = Reference::compute((rows, shape.dim), cost, seed, team, &|row, output, scale| {
            exact::row(&shape, [&q, &k, &v], row, output, scale);
        })?;
        let output = output_buffer(shape.len(), "the output", team)?;
        let tiled = Tiled::new(shape.clone(), isa, team.threads())?;
        Ok(Self { shape, q, k, v, output, tiled, reference })
    }
}

impl Program for AttentionProgram {
    fn path(&self) -> String {
        // In single precision, on operands that are widened outside of the window.
        self.tiled.path() + if self.shape.short { "-widened" } else { "" }
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        vec![("huge-pages", self.k.pages().name().to_owned())]
    }

    fn poison(&mut self) {
        self.output.fill(f32::NAN);
    }

    fn run(&mut self, team: &dyn Team) {
        self.tiled.run([&self.q, &self.k, &self.v], &mut self.output, team);
        if self.shape.short {
            super::short::round(&mut self.output, team);
        }
    }

    fn check(&mut self) -> Correctness {
        if self.shape.short {
            // Weights and outputs are rounded to bfloat16.
            return self.reference.compare_as(&self.output, f64::from, rounded_limit(2));
        }
        self.reference.compare(&self.output)
    }

    fn output(&self) -> Option<Array> {
        let Shape { heads, seq, dim, .. } = self.shape;
        Some(Array::of("O", &[heads, seq, dim], &self.output))
    }

    #[expect(clippy::cast_possible_truncation, reason = "answers are in single precision")]
    fn accept(&mut self, answer: &Array) -> Result<(), KernelError> {
        answer.write_to(&mut self.output, |x| x as f32)
    }

    #[cfg(test)]
    fn corrupt(&mut self, index: usize) {
        // In bfloat16 the limit is some hundredths.
        for _ in 0..if self.shape.short { 16 } else { 1 } {
            super::verify::corrupt(&mut self.output, index);
        }
    }

    fn canary(&mut self, team: &dyn Team) -> Option<Canary> {
        let inputs: Operands<'_> = [&|x| x; 3];
        Some(canary::run(&self.shape, self.tiled.isa(), team, inputs).unwrap_or_else(Canary::failed))
    }
}

/// What happens to the elements of Q, K and V before the kernel sees them: nothing, except where
/// a test imitates hardware that rounds its inputs.
type Operands<'a> = [&'a dyn Fn(f32) -> f32; 3];

#[cfg(test)]
mod tests;
