//! A catalog for tests of suites and plans: kernels with parameters and formulas, but no program.

use super::Catalog;
use crate::kernels::{
    BuildContext, Dtype, Kernel, KernelError, KernelInfo, ParamDefault, ParamError, ParamKind, ParamSpec, Params,
    Program, Role, Work,
};
use crate::units::{Bytes, Flops};

struct Sample {
    info: KernelInfo,
    /// FLOP, bytes and footprint.
    work: fn(&Params) -> Result<[f64; 3], ParamError>,
}

impl Kernel for Sample {
    fn info(&self) -> &'static KernelInfo {
        // The samples below are statics, so their descriptions live for ever.
        SAMPLES.iter().find(|s| s.info.id == self.info.id).map(|s| &s.info).expect("registered below")
    }

    fn work(&self, params: &Params) -> Result<Work, ParamError> {
        let [flops, bytes, footprint] = (self.work)(params)?;
        let large = |_| ParamError::TooLarge("the work is not finite".to_owned());
        let useful = Flops::new(flops).map_err(large)?;
        let (bytes, footprint) = (Bytes::new(bytes).map_err(large)?, Bytes::new(footprint).map_err(large)?);
        Ok(Work { useful, dense_equivalent: useful, bytes, footprint })
    }

    fn build(&self, _: &Params, _: &BuildContext<'_>) -> Result<Box<dyn Program>, KernelError> {
        Err(KernelError::Structure("a sample kernel has no program".to_owned()))
    }
}

const fn count(name: &'static str, default: Option<u64>) -> ParamSpec {
    let default = match default {
        Some(n) => Some(ParamDefault::Integer(n)),
        None => None,
    };
    ParamSpec { name, meaning: "a size", kind: ParamKind::Count { min: 1, max: 1 << 20 }, default }
}

const DENSITY: ParamSpec = ParamSpec {
    name: "density",
    meaning: "share of entries that are stored",
    kind: ParamKind::Fraction { min: 1e-6, max: 1.0 },
    default: None,
};
const BYTES: ParamSpec = ParamSpec {
    name: "bytes",
    meaning: "size of the buffers together",
    kind: ParamKind::Size { min: 16 << 10, max: 1 << 40 },
    default: None,
};
const MASK: ParamSpec = ParamSpec {
    name: "mask",
    meaning: "which positions see which",
    kind: ParamKind::Choice(&["dense", "causal"]),
    default: Some(ParamDefault::Word("dense")),
};
const WEIGHTS: ParamSpec = ParamSpec {
    name: "weights",
    meaning: "type of the weights",
    kind: ParamKind::Choice(&["int8", "int4"]),
    default: Some(ParamDefault::Word("int8")),
};
const FORMAT: ParamSpec = ParamSpec {
    name: "format",
    meaning: "how a cache is stored",
    kind: ParamKind::Choice(&["mha", "gqa-4", "int8", "mla"]),
    default: Some(ParamDefault::Word("mha")),
};
const BOTH: &[Dtype] = &[Dtype::F32, Dtype::F64];

const fn info(id: &'static str, role: Role, dtypes: &'static [Dtype], params: &'static [ParamSpec]) -> KernelInfo {
    KernelInfo { id, title: id, summary: "for tests", role, flops: "", bytes: "", source: "", dtypes, params }
}

/// Work of attention whose heads have so many pairs of a query and a key.
fn heads_by_pairs(p: &Params, pairs: f64) -> Result<[f64; 3], ParamError> {
    let (heads, dim) = (p.integer("heads")? as f64, p.integer("dim")? as f64);
    let bytes = 16.0 * heads * p.integer("seq")? as f64 * dim;
    Ok([4.0 * heads * pairs * dim, bytes, bytes])
}

static SAMPLES: &[Sample] = &[
    Sample {
        info: info("gemm", Role::Workload, Dtype::ALL, &[count("m", None), count("n", None), count("k", None)]),
        work: |p| {
            let (m, n, k) = (p.integer("m")? as f64, p.integer("n")? as f64, p.integer("k")? as f64);
            let bytes = p.dtype.size() as f64 * (m * k + k * n + m * n);
            if m * n * k > 1e17 {
                return Err(ParamError::TooLarge("the product of m, n and k is above 10^17".to_owned()));
            }
            Ok([2.0 * m * n * k, bytes, bytes])
        },
    },
    Sample {
        info: info(
            "spmm-csr",
            Role::Workload,
            &[Dtype::F32, Dtype::F64, Dtype::Bf16],
            &[count("m", None), count("k", None), count("n", None), DENSITY],
        ),
        work: |p| {
            let (m, k, n) = (p.integer("m")? as f64, p.integer("k")? as f64, p.integer("n")? as f64);
            let nnz = m * k * p.real("density")?;
            let bytes = 8.0 * nnz + 4.0 * n * (k + m);
            Ok([2.0 * nnz * n, bytes, bytes])
        },
    },
    Sample {
        info: info(
            "spmm-2-4",
            Role::Workload,
            &[Dtype::F32, Dtype::F64, Dtype::Bf16, Dtype::F16, Dtype::I8],
            &[count("m", None), count("k", None), count("n", None)],
        ),
        work: |p| {
            let (m, k, n) = (p.integer("m")? as f64, p.integer("k")? as f64, p.integer("n")? as f64);
            let bytes = 2.0 * m * k + 4.0 * n * (k + m);
            Ok([m * k * n, bytes, bytes])
        },
    },
    Sample {
        info: info(
            "spmm-bsr",
            Role::Workload,
            &[Dtype::F32, Dtype::F64, Dtype::Bf16],
            &[count("m", None), count("k", None), count("n", None), count("block", Some(16)), DENSITY],
        ),
        work: |p| {
            let (m, k, n) = (p.integer("m")? as f64, p.integer("k")? as f64, p.integer("n")? as f64);
            let nnz = m * k * p.real("density")?;
            let bytes = 4.0 * nnz + 4.0 * n * (k + m);
            Ok([2.0 * nnz * n, bytes, bytes])
        },
    },
    Sample {
        info: info(
            "gemv-quantized",
            Role::Workload,
            &[Dtype::Bf16],
            &[count("m", Some(1)), count("n", None), count("k", None), count("group", Some(128)), WEIGHTS],
        ),
        work: |p| {
            let (m, n, k) = (p.integer("m")? as f64, p.integer("n")? as f64, p.integer("k")? as f64);
            Ok([2.0 * m * n * k, n * k, n * k])
        },
    },
    Sample {
        info: info("spmv-csr", Role::Workload, BOTH, &[count("m", None), count("k", None), DENSITY]),
        work: |p| {
            let nnz = p.integer("m")? as f64 * p.integer("k")? as f64 * p.real("density")?;
            Ok([2.0 * nnz, 8.0 * nnz, 8.0 * nnz])
        },
    },
    Sample {
        info: info(
            "attention",
            Role::Workload,
            &[Dtype::F32, Dtype::Bf16],
            &[count("heads", Some(1)), count("seq", None), count("dim", Some(64)), MASK],
        ),
        work: |p| {
            let (h, s, d) = (p.integer("heads")? as f64, p.integer("seq")? as f64, p.integer("dim")? as f64);
            let half = if p.word("mask")? == "causal" { 0.5 } else { 1.0 };
            Ok([4.0 * h * s * s * d * half, 16.0 * h * s * d, 16.0 * h * s * d])
        },
    },
    Sample {
        info: info(
            "attention-window",
            Role::Workload,
            &[Dtype::F32, Dtype::Bf16],
            &[count("heads", Some(1)), count("seq", None), count("dim", Some(64)), count("window", Some(512))],
        ),
        work: |p| heads_by_pairs(p, p.integer("seq")? as f64 * p.integer("window")? as f64),
    },
    Sample {
        info: info(
            "attention-block",
            Role::Workload,
            &[Dtype::F32, Dtype::Bf16],
            &[count("heads", Some(1)), count("seq", None), count("dim", Some(64)), count("block", Some(64)), DENSITY],
        ),
        work: |p| heads_by_pairs(p, (p.integer("seq")? as f64).powi(2) * p.real("density")?),
    },
    Sample {
        info: info(
            "attention-linear",
            Role::Workload,
            &[Dtype::F32, Dtype::Bf16],
            &[count("heads", Some(1)), count("seq", None), count("dim", Some(64))],
        ),
        work: |p| heads_by_pairs(p, p.integer("seq")? as f64 * p.integer("dim")? as f64),
    },
    Sample {
        info: info(
            "kv-decode",
            Role::Workload,
            &[Dtype::F32, Dtype::Bf16],
            &[count("heads", Some(8)), count("len", None), count("dim", Some(128)), FORMAT],
        ),
        work: |p| {
            let pairs = p.integer("heads")? as f64 * p.integer("len")? as f64 * p.integer("dim")? as f64;
            Ok([4.0 * pairs, 8.0 * pairs, 8.0 * pairs])
        },
    },
    Sample {
        info: info(
            "moe",
            Role::Workload,
            &[Dtype::F32, Dtype::Bf16],
            &[
                count("tokens", None),
                count("d", None),
                count("f", None),
                count("experts", Some(8)),
                count("top", Some(2)),
            ],
        ),
        work: |p| {
            let weights = p.integer("d")? as f64 * p.integer("f")? as f64;
            let pairs = p.integer("tokens")? as f64 * p.integer("top")? as f64;
            let bytes = 12.0 * p.integer("experts")? as f64 * weights;
            Ok([6.0 * pairs * weights, bytes, bytes])
        },
    },
    Sample {
        info: info(
            "relu-skip",
            Role::Workload,
            &[Dtype::F32],
            &[count("d", None), count("f", None), DENSITY, count("rank", Some(0))],
        ),
        work: |p| {
            let weights = p.integer("d")? as f64 * p.integer("f")? as f64;
            let share = 1.0 + p.real("density")?;
            Ok([2.0 * weights * share, 4.0 * weights * share, 8.0 * weights])
        },
    },
    Sample {
        info: info("triad", Role::Workload, BOTH, &[BYTES]),
        work: |p| p.integer("bytes").map(|b| [b as f64 / 6.0, b as f64, b as f64]),
    },
    Sample { info: info("fma-peak", Role::ComputeCeiling, Dtype::ALL, &[]), work: |_| Ok([1e6, 0.0, 4096.0]) },
    Sample {
        info: info("read-bandwidth", Role::MemoryCeiling, &[Dtype::F32], &[BYTES]),
        work: |p| p.integer("bytes").map(|b| [b as f64 / 4.0, b as f64, b as f64]),
    },
    Sample {
        info: info("copy", Role::CopyCeiling, &[Dtype::F32], &[BYTES]),
        work: |p| p.integer("bytes").map(|b| [0.0, b as f64, b as f64]),
    },
];

/// Every family of workloads, and the ceiling probes.
pub(crate) fn catalog() -> Catalog {
    Catalog::new(SAMPLES.iter().map(|s| s as &dyn Kernel).collect())
}
