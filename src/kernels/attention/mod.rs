//! Scaled dot-product attention, softmax(Q·Kᵀ/√d)·V, dense or causal, for several heads.
//!
//! The program ([`tiled`]) never stores the score matrix: scores of a tile of keys are turned into
//! weights at once, and sums made with an earlier maximum are rescaled (online softmax).

mod exact;
mod tiled;

use super::params::{product, sum};
use super::random::SplitMix64;
use super::reference::Reference;
use super::split::{normal_buffer, output_buffer};
use super::{
    Array, Buffer, BuildContext, Canary, Correctness, Dtype, Isa, Kernel, KernelError, KernelInfo, ParamError,
    ParamKind, ParamSpec, Params, Program, Role, Team, Work,
};
use tiled::Tiled;

/// The `attention` kernel.
pub(super) struct Attention;

static INFO: KernelInfo = KernelInfo {
    id: "attention",
    title: "Attention",
    summary: "softmax(Q·Kᵀ/√dim)·V for each head; Q, K and V are seq×dim; causal: query i sees keys 0..=i",
    role: Role::Workload,
    flops: "dense 4·heads·seq²·dim, causal 2·heads·seq·(seq + 1)·dim; the softmax is not counted",
    bytes: "4·e·heads·seq·dim",
    source: "Vaswani et al., Attention Is All You Need, 2017; online softmax: Milakov and Gimelshein, 2018",
    dtypes: &[Dtype::F32],
    params: &[
        ParamSpec {
            name: "heads",
            meaning: "independent heads",
            kind: ParamKind::Count { min: 1, max: 1 << 16 },
            default: Some(super::ParamDefault::Integer(1)),
        },
        ParamSpec {
            name: "seq",
            meaning: "queries, and keys, of each head",
            kind: ParamKind::Count { min: 1, max: 1 << 22 },
            default: None,
        },
        ParamSpec {
            name: "dim",
            meaning: "elements of a query, key or value",
            kind: ParamKind::Count { min: 4, max: 4096 },
            default: Some(super::ParamDefault::Integer(64)),
        },
        ParamSpec {
            name: "mask",
            meaning: "which keys a query sees",
            kind: ParamKind::Choice(&["dense", "causal"]),
            default: Some(super::ParamDefault::Word("dense")),
        },
    ],
};

/// Sizes of a case.
#[derive(Debug, Clone, Copy)]
struct Shape {
    heads: usize,
    seq: usize,
    dim: usize,
    causal: bool,
}

impl Shape {
    /// Elements of Q, of K, of V and of the output.
    const fn len(self) -> usize {
        self.heads * self.seq * self.dim
    }

    /// Keys that query `row` of a head sees.
    fn visible(self, row: usize) -> usize {
        if self.causal { (row + 1).min(self.seq) } else { self.seq }
    }
}

impl Kernel for Attention {
    fn info(&self) -> &'static KernelInfo {
        &INFO
    }

    fn work(&self, params: &Params) -> Result<Work, ParamError> {
        INFO.check(params)?;
        let [heads, seq, dim] = [params.integer("heads")?, params.integer("seq")?, params.integer("dim")?];
        let dense = product("4·heads·seq²·dim", &[4, heads, seq, seq, dim])?;
        let useful = match params.word("mask")? {
            "causal" => product("2·heads·seq·(seq + 1)·dim", &[2, heads, seq, seq + 1, dim])?,
            _ => dense,
        };
        let bytes = product("Q, K, V and the output", &[4, params.dtype.size(), heads, seq, dim])?;
        let reference = Reference::bytes(heads.saturating_mul(seq), dim, row_cost(seq, dim)).unwrap_or(u64::MAX);
        let packed = product("packed K and V", &[2, 4, heads, seq.next_multiple_of(32), dim.next_multiple_of(16)])?;
        Work::new(useful, dense, bytes, sum("all buffers", &[bytes, reference, packed])?)
    }

    fn build(&self, params: &Params, context: &BuildContext<'_>) -> Result<Box<dyn Program>, KernelError> {
        self.work(params)?;
        let (heads, seq, dim) = (params.count("heads")?, params.count("seq")?, params.count("dim")?);
        let shape = Shape { heads, seq, dim, causal: params.word("mask")? == "causal" };
        Ok(Box::new(AttentionProgram::build(shape, context)?))
    }

    fn operands(&self, params: &Params, context: &BuildContext<'_>) -> Result<Vec<Array>, KernelError> {
        self.work(params)?;
        let [heads, seq, dim] = [params.count("heads")?, params.count("seq")?, params.count("dim")?];
        let arrays = ["Q", "K", "V"].into_iter().zip(inputs(heads * seq * dim, context)?);
        Ok(arrays.map(|(name, values)| Array::of(name, &[heads, seq, dim], &values)).collect())
    }
}

/// Q, K and V, of `len` elements each.
fn inputs(len: usize, context: &BuildContext<'_>) -> Result<[Buffer<f32>; 3], KernelError> {
    let input = |name, stream| normal_buffer::<f32>(len, name, SplitMix64::new(context.seed, stream), context.team);
    Ok([input("Q", 1)?, input("K", 2)?, input("V", 3)?])
}

/// Products behind one row of the reference: scores, their scale, and weights times values.
const fn row_cost(seq: u64, dim: u64) -> u64 {
    seq.saturating_mul(dim).saturating_mul(4)
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
    fn build(shape: Shape, context: &BuildContext<'_>) -> Result<Self, KernelError> {
        let BuildContext { seed, team, isa } = *context;
        let [q, k, v] = inputs(shape.len(), context)?;
        let cost = row_cost(shape.seq as u64, shape.dim as u64);
        let rows = shape.heads * shape.seq;
        let reference = Reference::compute((rows, shape.dim), cost, seed, team, &|row, output, scale| {
            exact::row(shape, [&q, &k, &v], row, output, scale);
        })?;
        let tiled = Tiled::new(shape, isa, team.threads())?;
        Ok(Self { shape, q, k, v, output: output_buffer(shape.len(), "the output", team)?, tiled, reference })
    }
}

impl Program for AttentionProgram {
    fn path(&self) -> String {
        self.tiled.path()
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        vec![("huge-pages", self.k.pages().name().to_owned())]
    }

    fn poison(&mut self) {
        self.output.fill(f32::NAN);
    }

    fn run(&mut self, team: &dyn Team) {
        self.tiled.run([&self.q, &self.k, &self.v], &mut self.output, team);
    }

    fn check(&mut self) -> Correctness {
        self.reference.compare(&self.output)
    }

    fn output(&self) -> Option<Array> {
        let Shape { heads, seq, dim, .. } = self.shape;
        Some(Array::of("O", &[heads, seq, dim], &self.output))
    }

    #[cfg(test)]
    fn corrupt(&mut self, index: usize) {
        super::verify::corrupt(&mut self.output, index);
    }

    fn canary(&mut self, team: &dyn Team) -> Option<Canary> {
        let failed = |e: KernelError| Canary { name: e.to_string(), error: None, limit: 0.0 };
        let Shape { dim, causal, .. } = self.shape;
        Some(canary(dim, causal, self.tiled.isa(), team, [&|x| x; 3]).unwrap_or_else(failed))
    }
}

/// What happens to the elements of Q, K and V before the kernel sees them: nothing, except where
/// a test imitates hardware that rounds its inputs.
type Operands<'a> = [&'a dyn Fn(f32) -> f32; 3];

/// A small head through the same code.
fn canary(dim: usize, causal: bool, isa: Isa, team: &dyn Team, operands: Operands<'_>) -> Result<Canary, KernelError> {
    let shape = Shape { heads: 1, seq: exact::CANARY_KEYS, dim, causal };
    let inputs = exact::canary_inputs(dim);
    let [q, k, v] = &inputs;
    let mut reference = vec![0.0; shape.len()];
    let mut scale = vec![0.0; shape.len()];
    for (row, (output, scale)) in reference.chunks_mut(dim).zip(scale.chunks_mut(dim)).enumerate() {
        exact::row(shape, [q, k, v], row, output, scale);
    }
    let seen: Vec<Vec<f32>> =
        inputs.iter().zip(operands).map(|(input, operand)| input.iter().map(|x| operand(*x)).collect()).collect();
    let mut output = vec![f32::NAN; shape.len()];
    Tiled::new(shape, isa, team.threads())?.run([&seen[0], &seen[1], &seen[2]], &mut output, team);
    Ok(exact::judge_canary(dim, &output, &reference))
}

#[cfg(test)]
mod tests;
