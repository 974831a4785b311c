//! Copy bandwidth: y = x, one read and one write.
//!
//! Memory has to turn around between reading and writing, so a copy moves fewer bytes a second than a sum reads. A kernel that
//! writes as much as it reads can come to no more than this.

#![expect(unsafe_code, reason = "vector loads and streaming stores on disjoint parts")]

mod device;

use super::element::Element;
use super::params::{product, sum};
use super::random::SplitMix64;
use super::reference::Worst;
use super::simd::{Simd, paths};
use super::split::{Parts, even, fill_repeating, output_buffer};
use super::triad::STREAMING_FROM;
use super::{
    Api, Array, Buffer, BuildContext, Canary, Correctness, Coverage, DeviceProgram, Dtype, Isa, Kernel, KernelError,
    KernelInfo, NoProgram, ParamError, ParamKind, ParamSpec, Params, Program, Role, Target, Team, Work,
};

/// The `copy` probe.
pub(super) struct Copying;

/// Inputs repeat a block of this many normal numbers.
const BLOCK: usize = 1 << 16;

static INFO: KernelInfo = KernelInfo {
    id: "copy",
    title: "Copy bandwidth",
    summary: "y = x on two arrays of n elements, together `bytes` long",
    role: Role::CopyCeiling,
    flops: "0",
    bytes: "2·e·n with streaming stores (from 64 MiB on) and on cards, else 3·e·n: the line of y is read before it is written",
    source: "McCalpin, STREAM: Sustainable Memory Bandwidth in High Performance Computers, 1991-2007 (Copy)",
    dtypes: &[Dtype::F32, Dtype::F64],
    params: &[ParamSpec {
        name: "bytes",
        meaning: "size of the two arrays together",
        kind: ParamKind::Size { min: 16, max: 1 << 44 },
        default: Some(super::ParamDefault::Integer(1 << 30)),
    }],
};

/// Elements of each array, and whether stores bypass the caches.
fn shape(params: &Params) -> Result<(u64, bool), ParamError> {
    INFO.check(params)?;
    let bytes = params.integer("bytes")?;
    Ok((bytes / (2 * params.dtype.size()), bytes >= STREAMING_FROM))
}

/// Elements of each array, as an index.
fn elements(params: &Params) -> Result<usize, ParamError> {
    let (n, _) = shape(params)?;
    usize::try_from(n).map_err(|_| ParamError::TooLarge(format!("{n} elements")))
}

/// x: a block of normal numbers, again and again.
fn input<T: Element>(n: usize, context: &BuildContext<'_>) -> Result<Buffer<T>, KernelError> {
    let mut x = Buffer::zeroed(n, "x")?;
    let mut block = vec![T::ZERO; BLOCK];
    SplitMix64::new(context.seed, 1).fill_normal(0, &mut block);
    fill_repeating(&mut x, &block, context.team);
    Ok(x)
}

impl Kernel for Copying {
    fn info(&self) -> &'static KernelInfo {
        &INFO
    }

    fn work(&self, params: &Params) -> Result<Work, ParamError> {
        self.work_on(params, None)
    }

    /// Cards write whole sectors that they never read, as in `triad`.
    fn work_on(&self, params: &Params, api: Option<Api>) -> Result<Work, ParamError> {
        let (n, streaming) = shape(params)?;
        let moved = if streaming || api.is_some() { 2 } else { 3 };
        let e = params.dtype.size();
        let footprint = sum("the arrays", &[product("the arrays", &[2, e, n])?, e * BLOCK as u64])?;
        Work::new(0, 0, product("the traffic", &[moved, e, n])?, footprint)
    }

    fn operands(&self, params: &Params, context: &BuildContext<'_>) -> Result<Vec<Array>, KernelError> {
        let n = elements(params)?;
        Ok(vec![match params.dtype {
            Dtype::F32 => Array::of("x", &[n], &input::<f32>(n, context)?),
            Dtype::F64 => Array::of("x", &[n], &input::<f64>(n, context)?),
            other => return Err(INFO.no_type(other).into()),
        }])
    }

    fn device_program(&self, params: &Params, target: &Target) -> Result<DeviceProgram, NoProgram> {
        device::program(elements(params)?, params.dtype, target)
    }

    fn build(&self, params: &Params, context: &BuildContext<'_>) -> Result<Box<dyn Program>, KernelError> {
        let (n, (_, streaming)) = (elements(params)?, shape(params)?);
        Ok(match params.dtype {
            Dtype::F32 => Box::new(Copied::<f32>::build(n, streaming, context)?),
            Dtype::F64 => Box::new(Copied::<f64>::build(n, streaming, context)?),
            other => return Err(INFO.no_type(other).into()),
        })
    }
}

/// What one thread copies.
struct Args<'a, T> {
    y: &'a Parts<'a, T>,
    x: &'a [T],
    range: std::ops::Range<usize>,
    streaming: bool,
}

/// y = x on a range.
///
/// # Safety
/// As for [`Simd`]; the range lies inside the arrays and no other thread writes it.
#[inline(always)]
unsafe fn copy<S: Simd, const R: usize>(args: &Args<'_, S::Elem>) {
    let range = args.range.clone();
    // SAFETY: every access lies in `range`, which lies inside the arrays by the caller's promise;
    // the streaming loop starts at an aligned element.
    unsafe {
        let (y, x) = (args.y.as_mut_ptr(), args.x.as_ptr());
        let mut i = range.start;
        if args.streaming {
            while i < range.end && y.add(i).align_offset(S::LANES * size_of::<S::Elem>()) != 0 {
                S::store_first(y.add(i), S::load_first(x.add(i), 1), 1);
                i += 1;
            }
            while i + 4 * S::LANES <= range.end {
                for u in [0, 2] {
                    let j = i + u * S::LANES;
                    S::stream_pair(y.add(j), S::load(x.add(j)), S::load(x.add(j + S::LANES)));
                }
                i += 4 * S::LANES;
            }
            S::fence();
        } else {
            while i + 4 * S::LANES <= range.end {
                for u in 0..4 {
                    S::store(y.add(i + u * S::LANES), S::load(x.add(i + u * S::LANES)));
                }
                i += 4 * S::LANES;
            }
        }
        while i < range.end {
            S::store_first(y.add(i), S::load_first(x.add(i), 1), 1);
            i += 1;
        }
    }
}
paths!(trait CopyPath: copy(Args), registers = [1, 1, 1], for f32, f64);

/// Copies whole arrays.
fn run<T: CopyPath>(y: &mut [T], x: &[T], streaming: bool, isa: Isa, team: &dyn Team) {
    assert!(y.len() == x.len(), "arrays differ in length");
    let ranges = even(y.len(), team.threads(), 1024);
    let (y, program) = (Parts::of(y), T::pick(isa));
    team.run(&|thread| {
        let args = Args { y: &y, x, range: ranges[thread].clone(), streaming };
        // SAFETY: the backend chose an available instruction set; ranges lie inside the arrays,
        // which have one length, and do not overlap.
        unsafe { program(&args) };
    });
}

/// A copy ready to run.
struct Copied<T: Element> {
    y: Buffer<T>,
    x: Buffer<T>,
    streaming: bool,
    isa: Isa,
}

impl<T: CopyPath> Copied<T> {
    fn build(n: usize, streaming: bool, context: &BuildContext<'_>) -> Result<Self, KernelError> {
        let BuildContext { team, isa, .. } = *context;
        Ok(Self { y: output_buffer(n, "y", team)?, x: input(n, context)?, streaming, isa })
    }
}

impl<T: CopyPath> Program for Copied<T> {
    fn path(&self) -> String {
        format!("{}{}", self.isa, if self.streaming { "/streaming" } else { "" })
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        vec![("huge-pages", self.y.pages().name().to_owned())]
    }

    fn poison(&mut self) {
        self.y.fill(T::NAN);
    }

    fn run(&mut self, team: &dyn Team) {
        run(&mut self.y, &self.x, self.streaming, self.isa, team);
    }

    /// Nothing but the very same numbers passes; they use every bit of their type.
    fn check(&mut self) -> Correctness {
        let mut worst = Worst::default();
        for (y, x) in self.y.iter().zip(self.x.iter()) {
            worst.see(y.to_f64(), x.to_f64(), x.to_f64().abs());
        }
        Correctness { error: worst.error(), limit: 0.0, coverage: Coverage::Full }
    }

    fn output(&self) -> Option<Array> {
        Some(Array::of("y", &[self.y.len()], &self.y))
    }

    fn accept(&mut self, answer: &Array) -> Result<(), KernelError> {
        answer.write_to(&mut self.y, T::from_f64)
    }

    #[cfg(test)]
    fn corrupt(&mut self, index: usize) {
        super::verify::corrupt(&mut self.y, index);
    }

    /// None: the check itself is exact, so it sees every bit that a program in another type would lose.
    fn canary(&mut self, _team: &dyn Team) -> Option<Canary> {
        None
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "exact numbers are compared exactly")]
mod tests {
    use super::*;
    use crate::kernels::canary::round_mantissa;
    use crate::kernels::verify::{Threads, counts, verify};

    #[test]
    fn every_size_is_copied() {
        for dtype in INFO.dtypes {
            for bytes in [16, 8 * 17, 8 * 1021, 16 * 4099] {
                verify(&Copying, &counts(*dtype, &[("bytes", bytes)]));
            }
        }
    }

    #[test]
    fn streaming_stores_write_every_element_from_any_alignment() {
        for isa in Isa::available() {
            for n in [1, 63, 64, 1000, 5001] {
                let x: Vec<f32> = (0..=n).map(|i| i as f32).collect();
                let mut y = vec![f32::NAN; n + 1];
                run(&mut y[1..], &x[1..], true, isa, &Threads(2));
                assert!(y[1..] == x[1..] && y[0].is_nan(), "{isa} {n}");
            }
        }
    }

    #[test]
    fn numbers_that_lost_bits_on_the_way_do_not_pass() {
        let team = Threads(1);
        let context = BuildContext { seed: 3, isa: Isa::detect(), team: &team };
        let mut single = Copied::<f32>::build(1000, false, &context).unwrap();
        let mut double = Copied::<f64>::build(1000, true, &context).unwrap();
        single.run(&team);
        double.run(&team);
        assert!(single.check().passed() && double.check().passed());
        // As TF32 and binary32 would leave them.
        single.y.iter_mut().for_each(|y| *y = round_mantissa(*y, 10));
        double.y.iter_mut().for_each(|y| *y = round_mantissa(*y, 23));
        assert!(!single.check().passed() && !double.check().passed());
    }

    #[test]
    fn work_follows_the_formulas() {
        let small = Copying.work(&counts(Dtype::F64, &[("bytes", 1600)])).unwrap();
        assert_eq!((small.useful.get(), small.bytes.get()), (0.0, 2400.0));
        let large = Copying.work(&counts(Dtype::F32, &[("bytes", 80_000_000)])).unwrap();
        assert_eq!(large.bytes.get(), 8e7);
        for api in Api::ALL {
            let card = Copying.work_on(&counts(Dtype::F64, &[("bytes", 1600)]), Some(*api)).unwrap();
            assert_eq!(card.bytes.get(), 1600.0);
        }
    }
}
