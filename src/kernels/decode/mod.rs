//! Decoding: one query token of every head attends to a cache of keys and values.
//!
//! Every byte of the cache is used once for each query head that shares it, so the formats of the cache are what
//! matters: one head of keys for each query head, one for four of them, bytes with scales, or one latent row for all.

mod cache;
mod cuda;
mod exact;
mod tiled;

use super::params::{product, sum};
use super::random::SplitMix64;
use super::reference::Reference;
use super::short::rounded_limit;
use super::split::{normal_buffer, output_buffer};
use super::{
    Api, Array, Buffer, BuildContext, Canary, Correctness, DeviceCanary, DeviceProgram, Dtype, Isa, Kernel,
    KernelError, KernelInfo, NoProgram, ParamError, ParamKind, ParamSpec, ParamValue, Params, Program, Role, Target,
    Team, Work,
};
use cache::{Cache, Format, Layout};
use tiled::Decoder;

/// The `kv-decode` kernel.
pub(super) struct KvDecode;

static INFO: KernelInfo = KernelInfo {
    id: "kv-decode",
    title: "Attention of one token to a cache",
    summary: "softmax(q·Kᵀ/√key)·V for one query of each head and `len` cached tokens. mha: keys and values of every head; \
              gqa-4: four heads share them; int8: of every head, as bytes with a scale for each key and value; mla: one \
              row of dim + dim/8 elements for all heads, whose first dim are the value too (absorbed form). In bf16 queries and \
              cache are of 16 bits (not the bytes of int8), sums and outputs of 32",
    role: Role::Workload,
    flops: "2·heads·len·(key + value), key = value = dim, of mla key = dim + dim/8; the softmax is not counted",
    bytes: "mha 2·e·heads·len·dim, gqa-4 a quarter of it, int8 2·heads·len·(dim + 4), mla e·len·(dim + dim/8); queries and \
            outputs besides, heads·(e·key + 4·value)",
    source: "gqa: Ainslie et al., 2023 (arXiv 2305.13245); mla: DeepSeek-V2, 2024 (arXiv 2405.04434); split decoding: Dao et \
             al., Flash-Decoding, 2023",
    dtypes: &[Dtype::F32, Dtype::Bf16],
    params: &[
        ParamSpec {
            name: "heads",
            meaning: "query heads, a multiple of 4 for gqa-4",
            kind: ParamKind::Count { min: 1, max: 1 << 12 },
            default: Some(super::ParamDefault::Integer(8)),
        },
        ParamSpec {
            name: "len",
            meaning: "cached tokens",
            kind: ParamKind::Count { min: 1, max: 1 << 26 },
            default: None,
        },
        ParamSpec {
            name: "dim",
            meaning: "elements of a value, of mla a multiple of 8",
            kind: ParamKind::Count { min: 16, max: 4096 },
            default: Some(super::ParamDefault::Integer(128)),
        },
        ParamSpec {
            name: "format",
            meaning: "how keys and values are stored",
            kind: ParamKind::Choice(&["mha", "gqa-4", "int8", "mla"]),
            default: Some(super::ParamDefault::Word("mha")),
        },
    ],
};

/// A case, checked.
struct Sizes {
    heads: u64,
    len: u64,
    key: u64,
    value: u64,
    groups: u64,
    format: Format,
}

impl Sizes {
    fn of(params: &Params) -> Result<Self, ParamError> {
        INFO.check(params)?;
        let [heads, len, dim] = [params.integer("heads")?, params.integer("len")?, params.integer("dim")?];
        let multiple = |name, found: u64, of: u64| {
            let expected = format!("a multiple of {of}");
            if found.is_multiple_of(of) {
                Ok(())
            } else {
                Err(ParamError::Invalid { name, found: found.to_string(), expected })
            }
        };
        let short = params.dtype == Dtype::Bf16;
        let rows = if short { Format::Short } else { Format::Float };
        let (groups, key, format) = match params.word("format")? {
            "gqa-4" => {
                multiple("heads", heads, 4)?;
                (heads / 4, dim, rows)
            }
            "int8" if short => {
                let expected = "mha, gqa-4 or mla: bytes with scales go with dtype f32".to_owned();
                return Err(ParamError::Invalid { name: "format", found: "int8".to_owned(), expected });
            }
            "int8" => (heads, dim, Format::Int8),
            "mla" => {
                multiple("dim", dim, 8)?;
                (1, dim + dim / 8, if short { Format::ShortLatent } else { Format::Latent })
            }
            _ => (heads, dim, rows),
        };
        Ok(Self { heads, len, key, value: dim, groups, format })
    }

    /// Bytes of the cache.
    fn cache(&self) -> Result<u64, ParamError> {
        let token = match self.format {
            Format::Float => 4 * (self.key + self.value),
            Format::Latent => 4 * self.key,
            Format::Short => 2 * (self.key + self.value),
            Format::ShortLatent => 2 * self.key,
            Format::Int8 => self.key + self.value + 8,
        };
        product("the cache", &[self.groups, self.len, token])
    }

    /// Products behind one head of the reference.
    const fn row_cost(&self) -> u64 {
        self.len.saturating_mul(2 * (self.key + self.value))
    }

    fn layout(&self) -> Result<Layout, ParamError> {
        let count = |n: u64| usize::try_from(n).map_err(|_| ParamError::TooLarge(format!("{n} elements")));
        let share = count(self.heads / self.groups)?;
        let (groups, len, key, value) = (count(self.groups)?, count(self.len)?, count(self.key)?, count(self.value)?);
        Ok(Layout { groups, share, len, key, value })
    }
}

impl Kernel for KvDecode {
    fn info(&self) -> &'static KernelInfo {
        &INFO
    }

    fn work(&self, params: &Params) -> Result<Work, ParamError> {
        let sizes = Sizes::of(params)?;
        let Sizes { heads, len, key, value, .. } = sizes;
        let flops = product("2·heads·len·(key + value)", &[2, heads, len, key + value])?;
        let queries = product("queries and outputs", &[heads, params.dtype.size() * key + 4 * value])?;
        let bytes = sum("cache, queries and outputs", &[sizes.cache()?, queries])?;
        let reference = Reference::bytes(heads, value, sizes.row_cost()).unwrap_or(u64::MAX);
        let scores = product("scores of the reference", &[16, len])?;
        Work::new(flops, flops, bytes, sum("all buffers", &[bytes, reference, scores])?)
    }

    fn build(&self, params: &Params, context: &BuildContext<'_>) -> Result<Box<dyn Program>, KernelError> {
        self.work(params)?;
        Ok(Box::new(DecodeProgram::build(&Sizes::of(params)?, context)?))
    }

    fn operands(&self, params: &Params, context: &BuildContext<'_>) -> Result<Vec<Array>, KernelError> {
        self.work(params)?;
        let sizes = Sizes::of(params)?;
        let (queries, cache) = inputs(sizes.layout()?, sizes.format, context)?;
        Ok(arrays(&queries, &cache))
    }

    fn device_program(&self, params: &Params, target: &Target) -> Result<DeviceProgram, NoProgram> {
        self.work(params)?;
        match target.api {
            Api::Cuda => cuda::program(&Sizes::of(params)?, target),
            Api::Wgsl => Err(NoProgram::Unwritten),
        }
    }

    fn device_canary(&self, params: &Params) -> Result<Option<DeviceCanary>, KernelError> {
        let sizes = Sizes::of(params)?;
        let (cache, queries) = exact::canary(sizes.layout()?, sizes.format, [&|x| x; 3])?;
        let Layout { len, .. } = cache.layout();
        let mut values = params.values.clone();
        let counts = [("heads", cache.layout().heads()), ("len", len)];
        values.extend(counts.map(|(name, n)| (name.to_owned(), ParamValue::Integer(n as u64))));
        Ok(Some(DeviceCanary {
            params: Params { dtype: params.dtype, values },
            operands: arrays(&queries, &cache),
            #[expect(clippy::cast_possible_truncation, reason = "answers are in single precision")]
            judge: Box::new(move |answer| {
                exact::judge(&cache, &queries, &answer.values.numbers().map(|x| x as f32).collect::<Vec<_>>())
            }),
        }))
    }
}

/// Queries and cache as arrays.
fn arrays(queries: &[f32], cache: &Cache) -> Vec<Array> {
    let layout = cache.layout();
    let mut arrays = vec![Array::of("Q", &[layout.heads(), layout.key], queries)];
    arrays.extend(cache.arrays());
    arrays
}

/// Queries and the cache.
fn inputs(layout: Layout, format: Format, context: &BuildContext<'_>) -> Result<(Buffer<f32>, Cache), KernelError> {
    let BuildContext { seed, team, .. } = *context;
    let mut queries = normal_buffer::<f32>(layout.heads() * layout.key, "queries", SplitMix64::new(seed, 1), team)?;
    if format.is_short() {
        super::short::round(&mut queries, team);
    }
    Ok((queries, Cache::random(layout, format, seed, team)?))
}

/// Decoding ready to run.
struct DecodeProgram {
    cache: Cache,
    format: Format,
    queries: Buffer<f32>,
    output: Buffer<f32>,
    decoder: Decoder,
    reference: Reference,
}

impl DecodeProgram {
    fn build(sizes: &Sizes, context: &BuildContext<'_>) -> Result<Self, KernelError> {
        let BuildContext { seed, team, isa } = *context;
        let layout = sizes.layout()?;
        let (queries, cache) = inputs(layout, sizes.format, context)?;
        let shape = (layout.heads(), layout.value);
        let reference = Reference::compute(shape, sizes.row_cost(), seed, team, &|head, output, scale| {
            exact::head(&cache, &queries, head, output, scale);
        })?;
        let output = output_buffer(layout.heads() * layout.value, "the output", team)?;
        let decoder = Decoder::new(layout, isa, team.threads())?;
        Ok(Self { cache, format: sizes.format, queries, output, decoder, reference })
    }
}

impl Program for DecodeProgram {
    fn path(&self) -> String {
        format!("{}/split{}", self.decoder.isa(), if self.format.is_short() { "-widened" } else { "" })
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        vec![("huge-pages", self.cache.pages().to_owned())]
    }

    fn poison(&mut self) {
        self.output.fill(f32::NAN);
    }

    fn run(&mut self, team: &dyn Team) {
        self.decoder.run(&self.cache, &self.queries, &mut self.output, team);
    }

    fn check(&mut self) -> Correctness {
        if self.format.is_short() {
            // Weights may be rounded like the values that they are multiplied by.
            return self.reference.compare_as(&self.output, f64::from, rounded_limit(1));
        }
        self.reference.compare(&self.output)
    }

    fn output(&self) -> Option<Array> {
        let layout = self.cache.layout();
        Some(Array::of("O", &[layout.heads(), layout.value], &self.output))
    }

    #[expect(clippy::cast_possible_truncation, reason = "answers are in single precision")]
    fn accept(&mut self, answer: &Array) -> Result<(), KernelError> {
        answer.write_to(&mut self.output, |x| x as f32)
    }

    #[cfg(test)]
    fn corrupt(&mut self, index: usize) {
        // In bfloat16 the limit is some hundredths.
        for _ in 0..if self.format.is_short() { 16 } else { 1 } {
            super::verify::corrupt(&mut self.output, index);
        }
    }

    fn canary(&mut self, team: &dyn Team) -> Option<Canary> {
        let (like, isa) = (self.cache.layout(), self.decoder.isa());
        Some(canary(like, self.format, isa, team, [&|x| x; 3]).unwrap_or_else(Canary::failed))
    }
}

/// Four heads and a small cache through the same code.
fn canary(
    like: Layout,
    format: Format,
    isa: Isa,
    team: &dyn Team,
    operands: exact::Operands<'_>,
) -> Result<Canary, KernelError> {
    let (cache, queries) = exact::canary(like, format, operands)?;
    let mut output = vec![f32::NAN; cache.layout().heads() * like.value];
    Decoder::new(cache.layout(), isa, team.threads())?.run(&cache, &queries, &mut output, team);
    let (unrounded, queries) = exact::canary(like, format, [&|x| x; 3])?;
    Ok(exact::judge(&unrounded, &queries, &output))
}

#[cfg(test)]
mod tests;
