//! STREAM triad a = b + s·c: memory bandwidth with two reads and one write.

#![expect(unsafe_code, reason = "vector loads and streaming stores on disjoint parts")]

mod cuda;
mod wgsl;

use super::canary::{self, step};
use super::element::Element;
use super::params::{product, sum};
use super::random::SplitMix64;
use super::reference::{Worst, limit};
use super::simd::{Simd, paths};
use super::split::{Parts, even, fill_repeating, output_buffer};
use super::{
    Api, Array, Buffer, BuildContext, Canary, Correctness, Coverage, DeviceCanary, DeviceProgram, Dtype, Isa, Kernel,
    KernelError, KernelInfo, NoProgram, ParamError, ParamKind, ParamSpec, Params, Program, Role, Target, Team, Work,
};

/// The `triad` kernel.
pub(super) struct Triad;

/// From this size on the arrays are taken to lie out of cache, and stores bypass it.
pub(super) const STREAMING_FROM: u64 = 64 << 20;
/// The factor s of STREAM.
const FACTOR: f64 = 3.0;
/// Inputs repeat a block of this many normal numbers.
const BLOCK: usize = 1 << 16;

static INFO: KernelInfo = KernelInfo {
    id: "triad",
    title: "STREAM triad",
    summary: "a = b + 3·c on three arrays of n elements, together `bytes` long",
    role: Role::Workload,
    flops: "2·n",
    bytes: "3·e·n with streaming stores (from 64 MiB on) and on cards, else 4·e·n: the line of a is read before it is written",
    source: "McCalpin, STREAM: Sustainable Memory Bandwidth in High Performance Computers, 1991-2007",
    dtypes: &[Dtype::F32, Dtype::F64],
    params: &[ParamSpec {
        name: "bytes",
        meaning: "size of the three arrays together",
        kind: ParamKind::Size { min: 24, max: 1 << 44 },
        default: Some(super::ParamDefault::Integer(1 << 30)),
    }],
};

/// Elements of each array, and whether stores bypass the caches.
fn shape(params: &Params) -> Result<(u64, bool), ParamError> {
    INFO.check(params)?;
    let bytes = params.integer("bytes")?;
    Ok((bytes / (3 * params.dtype.size()), bytes >= STREAMING_FROM))
}

/// Elements of each array, as an index.
fn elements(params: &Params) -> Result<usize, ParamError> {
    let (n, _) = shape(params)?;
    usize::try_from(n).map_err(|_| ParamError::TooLarge(format!("{n} elements")))
}

/// b and c.
fn inputs<T: Element>(n: usize, context: &BuildContext<'_>) -> Result<[Buffer<T>; 2], KernelError> {
    let mut arrays = [Buffer::zeroed(n, "b")?, Buffer::zeroed(n, "c")?];
    let mut block = vec![T::ZERO; BLOCK];
    for (stream, array) in (1..).zip(&mut arrays) {
        SplitMix64::new(context.seed, stream).fill_normal(0, &mut block);
        fill_repeating(array, &block, context.team);
    }
    Ok(arrays)
}

/// b and c as arrays.
fn operands<T: Element>(n: usize, context: &BuildContext<'_>) -> Result<Vec<Array>, KernelError> {
    let [b, c] = inputs::<T>(n, context)?;
    Ok(vec![Array::of("b", &[n], &b), Array::of("c", &[n], &c)])
}

impl Kernel for Triad {
    fn info(&self) -> &'static KernelInfo {
        &INFO
    }

    fn work(&self, params: &Params) -> Result<Work, ParamError> {
        self.work_on(params, None)
    }

    /// Cards write whole sectors that they never read (the CUDA C++ Best Practices Guide on coalesced access): three arrays
    /// move, however small they are.
    fn work_on(&self, params: &Params, api: Option<Api>) -> Result<Work, ParamError> {
        let (n, streaming) = shape(params)?;
        let streaming = streaming || api.is_some();
        let e = params.dtype.size();
        let flops = product("2·n", &[2, n])?;
        let bytes = product("the traffic", &[if streaming { 3 } else { 4 }, e, n])?;
        let footprint = sum("the arrays", &[product("the arrays", &[3, e, n])?, e * BLOCK as u64])?;
        Work::new(flops, flops, bytes, footprint)
    }

    fn operands(&self, params: &Params, context: &BuildContext<'_>) -> Result<Vec<Array>, KernelError> {
        let n = elements(params)?;
        match params.dtype {
            Dtype::F32 => operands::<f32>(n, context),
            Dtype::F64 => operands::<f64>(n, context),
            other => Err(INFO.no_type(other).into()),
        }
    }

    fn device_program(&self, params: &Params, target: &Target) -> Result<DeviceProgram, NoProgram> {
        match target.api {
            Api::Cuda => cuda::program(elements(params)?, params.dtype),
            Api::Wgsl => wgsl::program(elements(params)?, params.dtype, target),
        }
    }

    fn device_canary(&self, params: &Params) -> Result<Option<DeviceCanary>, KernelError> {
        wgsl::canary(params.dtype)
    }

    fn build(&self, params: &Params, context: &BuildContext<'_>) -> Result<Box<dyn Program>, KernelError> {
        let (n, (_, streaming)) = (elements(params)?, shape(params)?);
        Ok(match params.dtype {
            Dtype::F32 => Box::new(Triadic::<f32>::build(n, streaming, context)?),
            Dtype::F64 => Box::new(Triadic::<f64>::build(n, streaming, context)?),
            other => return Err(INFO.no_type(other).into()),
        })
    }
}

/// What one thread computes.
struct Args<'a, T> {
    a: &'a Parts<'a, T>,
    b: &'a [T],
    c: &'a [T],
    range: std::ops::Range<usize>,
    streaming: bool,
}

/// a = b + s·c on a range.
///
/// # Safety
/// As for [`Simd`]; the range lies inside the arrays and no other thread writes it.
#[inline(always)]
unsafe fn triad<S: Simd, const R: usize>(args: &Args<'_, S::Elem>) {
    let range = args.range.clone();
    // SAFETY: every access lies in `range`, which lies inside the arrays by the caller's promise;
    // the streaming loop starts at an aligned element.
    unsafe {
        let (a, b, c) = (args.a.as_mut_ptr(), args.b.as_ptr(), args.c.as_ptr());
        let s = S::splat(S::Elem::from_f64(FACTOR));
        let mut i = range.start;
        if args.streaming {
            while i < range.end && a.add(i).align_offset(S::LANES * size_of::<S::Elem>()) != 0 {
                S::store_first(a.add(i), S::fma(s, S::load_first(c.add(i), 1), S::load_first(b.add(i), 1)), 1);
                i += 1;
            }
            while i + 4 * S::LANES <= range.end {
                for u in [0, 2] {
                    let j = i + u * S::LANES;
                    let first = S::fma(s, S::load(c.add(j)), S::load(b.add(j)));
                    let second = S::fma(s, S::load(c.add(j + S::LANES)), S::load(b.add(j + S::LANES)));
                    S::stream_pair(a.add(j), first, second);
                }
                i += 4 * S::LANES;
            }
            S::fence();
        } else {
            while i + 4 * S::LANES <= range.end {
                for u in 0..4 {
                    let j = i + u * S::LANES;
                    S::store(a.add(j), S::fma(s, S::load(c.add(j)), S::load(b.add(j))));
                }
                i += 4 * S::LANES;
            }
        }
        while i < range.end {
            S::store_first(a.add(i), S::fma(s, S::load_first(c.add(i), 1), S::load_first(b.add(i), 1)), 1);
            i += 1;
        }
    }
}
paths!(trait TriadPath: triad(Args), registers = [1, 1, 1], for f32, f64);

/// Runs the triad on whole arrays.
fn run<T: TriadPath>(a: &mut [T], b: &[T], c: &[T], streaming: bool, isa: Isa, team: &dyn Team) {
    assert!(a.len() == b.len() && b.len() == c.len(), "arrays differ in length");
    let ranges = even(a.len(), team.threads(), 1024);
    let (a, program) = (Parts::of(a), T::pick(isa));
    team.run(&|thread| {
        let args = Args { a: &a, b, c, range: ranges[thread].clone(), streaming };
        // SAFETY: the backend chose an available instruction set; ranges lie inside the arrays,
        // which have one length, and do not overlap.
        unsafe { program(&args) };
    });
}

/// A triad ready to run.
struct Triadic<T: Element> {
    a: Buffer<T>,
    b: Buffer<T>,
    c: Buffer<T>,
    streaming: bool,
    isa: Isa,
}

impl<T: TriadPath> Triadic<T> {
    fn build(n: usize, streaming: bool, context: &BuildContext<'_>) -> Result<Self, KernelError> {
        let BuildContext { team, isa, .. } = *context;
        let [b, c] = inputs(n, context)?;
        Ok(Self { a: output_buffer(n, "a", team)?, b, c, streaming, isa })
    }

    fn canary_with(&self, team: &dyn Team, operand: &dyn Fn(T) -> T) -> Canary {
        let [b, c, exact] = canary_numbers(T::DTYPE);
        let [b, c] = [b, c].map(|x| x.into_iter().map(|x| operand(T::from_f64(x))).collect::<Vec<T>>());
        let mut a = vec![T::NAN; CANARY];
        run(&mut a, &b, &c, self.streaming, self.isa, team);
        canary::judge(CANARY_NAME, &a, &exact)
    }
}

/// Elements of the canary.
const CANARY: usize = 1000;
const CANARY_NAME: &str = "3·(1 + δ) − 3";

/// b, c and the exact answer of the canary.
fn canary_numbers(dtype: Dtype) -> [Vec<f64>; 3] {
    let c: Vec<f64> = (0..CANARY).map(|i| 1.0 + (1 + i % 8) as f64 * step(dtype)).collect();
    let exact = c.iter().map(|c| FACTOR * c - FACTOR).collect();
    [vec![-FACTOR; CANARY], c, exact]
}

impl<T: TriadPath> Program for Triadic<T> {
    fn path(&self) -> String {
        format!("{}{}", self.isa, if self.streaming { "/streaming" } else { "" })
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        vec![("huge-pages", self.a.pages().name().to_owned())]
    }

    fn poison(&mut self) {
        self.a.fill(T::NAN);
    }

    fn run(&mut self, team: &dyn Team) {
        run(&mut self.a, &self.b, &self.c, self.streaming, self.isa, team);
    }

    /// The reference is computed here, from inputs that no iteration writes: storing it would need
    /// more memory than the case.
    fn check(&mut self) -> Correctness {
        let mut worst = Worst::default();
        for ((a, b), c) in self.a.iter().zip(self.b.iter()).zip(self.c.iter()) {
            let (b, term) = (b.to_f64(), FACTOR * c.to_f64());
            worst.see(a.to_f64(), b + term, b.abs() + term.abs());
        }
        Correctness { error: worst.error(), limit: limit(T::DTYPE), coverage: Coverage::Full }
    }

    fn output(&self) -> Option<Array> {
        Some(Array::of("a", &[self.a.len()], &self.a))
    }

    fn accept(&mut self, answer: &Array) -> Result<(), KernelError> {
        answer.write_to(&mut self.a, T::from_f64)
    }

    #[cfg(test)]
    fn corrupt(&mut self, index: usize) {
        super::verify::corrupt(&mut self.a, index);
    }

    fn canary(&mut self, team: &dyn Team) -> Option<Canary> {
        Some(self.canary_with(team, &|x| x))
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "exact numbers are compared exactly")]
mod tests {
    use super::*;
    use crate::kernels::canary::round_mantissa;
    use crate::kernels::verify::{Threads, counts, verify};

    #[test]
    fn every_size_matches_the_reference() {
        for dtype in INFO.dtypes {
            for bytes in [24, 12 * 17, 12 * 1021, 24 * 4099] {
                verify(&Triad, &counts(*dtype, &[("bytes", bytes)]));
            }
        }
    }

    #[test]
    fn streaming_stores_write_every_element_from_any_alignment() {
        for isa in Isa::available() {
            for n in [1, 63, 64, 1000, 5001] {
                let (b, c) = (vec![1.0_f32; n + 1], vec![2.0_f32; n + 1]);
                let mut a = vec![f32::NAN; n + 1];
                run(&mut a[1..], &b[1..], &c[1..], true, isa, &Threads(2));
                assert!(a[1..].iter().all(|x| *x == 7.0) && a[0].is_nan(), "{isa} {n}");
            }
        }
    }

    #[test]
    fn work_follows_the_formulas() {
        let small = Triad.work(&counts(Dtype::F64, &[("bytes", 2400)])).unwrap();
        assert_eq!((small.useful.get(), small.bytes.get()), (200.0, 3200.0));
        let large = Triad.work(&counts(Dtype::F32, &[("bytes", 120_000_000)])).unwrap();
        assert_eq!((large.useful.get(), large.bytes.get()), (2e7, 1.2e8));
        for api in Api::ALL {
            let card = Triad.work_on(&counts(Dtype::F64, &[("bytes", 2400)]), Some(*api)).unwrap();
            assert_eq!((card.useful.get(), card.bytes.get()), (200.0, 2400.0));
        }
    }

    #[test]
    fn rounded_inputs_fail_the_canary() {
        let team = Threads(1);
        let context = BuildContext { seed: 1, isa: Isa::detect(), team: &team };
        let single = Triadic::<f32>::build(8, true, &context).unwrap();
        assert_eq!(single.canary_with(&team, &|x| x).error, Some(0.0));
        assert!(!single.canary_with(&team, &|x| round_mantissa(x, 10)).passed());
        let double = Triadic::<f64>::build(8, false, &context).unwrap();
        assert_eq!(double.canary_with(&team, &|x| x).error, Some(0.0));
        assert!(!double.canary_with(&team, &|x| round_mantissa(x, 23)).passed());
    }
}
