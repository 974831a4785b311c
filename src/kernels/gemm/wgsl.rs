//! The product on other devices in WGSL.

use super::cooperative::Cooperating;
use super::short;
use crate::kernels::canary::{Cancelling, LENGTH};
use crate::kernels::short::Bf16;
use crate::kernels::{
    Api, Argument, Array, DeviceBuffer, DeviceCanary, DeviceProgram, Dtype, Format, KernelError, Launch, NoProgram,
    ParamValue, Params, Target, Values,
};

macro_rules! source {
    ($element:literal, $rows:literal, $fours:literal, $access:literal) => {
        concat!(
            $element,
            "const R: u32 = ",
            $rows,
            "u;\nconst Q: u32 = ",
            $fours,
            "u;\n",
            include_str!($access),
            include_str!("gemm.wgsl")
        )
    };
}

macro_rules! sources {
    ($element:literal, $rows:literal, $fours:literal) => {
        [source!($element, $rows, $fours, "any.wgsl"), source!($element, $rows, $fours, "fours.wgsl")]
    };
}

/// A tile of C that a group computes: its side, its sources for single precision and for 16 bits (any shape, fours), and
/// how the record names it.
struct Tile {
    side: u32,
    single: [&'static str; 2],
    half: [&'static str; 2],
    name: &'static str,
}

impl Tile {
    /// Bytes of the slices of A and B in shared memory, 16 deep.
    const fn shared(&self) -> u32 {
        2 * 16 * self.side * 4
    }
}

/// 64×64 results of a group, 4×4 of a thread.
const SMALL: Tile = Tile {
    side: 64,
    single: sources!("alias E = f32;\n", "4", "1"),
    half: sources!("enable f16;\nalias E = f16;\n", "4", "1"),
    name: "64x64",
};

/// 128×128 results of a group, 8×8 of a thread: half the traffic to shared memory for each product.
const LARGE: Tile = Tile {
    side: 128,
    single: sources!("alias E = f32;\n", "8", "2"),
    half: sources!("enable f16;\nalias E = f16;\n", "8", "2"),
    name: "128x128",
};

/// From this many large tiles on there is work for a whole card.
const MANY: u64 = 64;

/// Rows and columns of the canary's answer: no multiples of a tile.
const CANARY: usize = 92;

/// The program for a target.
///
/// # Errors
/// [`NoProgram`].
pub(super) fn program(params: &Params, target: &Target) -> Result<DeviceProgram, NoProgram> {
    match (target.api, params.dtype) {
        (Api::Wgsl, Dtype::F32) => {}
        (Api::Wgsl, Dtype::F16) if target.limits.half => {}
        (Api::Wgsl, Dtype::F16) => {
            return Err(NoProgram::Lacks(
                "it needs numbers of 16 bits in programs, which the device has not".to_owned(),
            ));
        }
        _ => return Err(NoProgram::Unwritten),
    }
    let [m, n, k] = [params.count("m")?, params.count("n")?, params.count("k")?];
    let large = (m as u64).div_ceil(128).saturating_mul((n as u64).div_ceil(128)) >= MANY;
    let cooperating = Cooperating::of(params.dtype, &target.limits);
    wgsl([m, n, k], params.dtype, if large { &LARGE } else { &SMALL }, cooperating)
}

/// The product by cooperative matrices where there are some, else by tiles.
fn wgsl(
    [m, n, k]: [usize; 3],
    dtype: Dtype,
    tile: &Tile,
    cooperating: Option<Cooperating>,
) -> Result<DeviceProgram, NoProgram> {
    let elements = [m.checked_mul(k), k.checked_mul(n), m.checked_mul(n)].map(|e| e.filter(|e| *e < 1 << 32));
    let [Some(a), Some(b), Some(c)] = elements else {
        return Err(NoProgram::Lacks("a matrix of 2³² elements or more needs longer indices".to_owned()));
    };
    let word = |x: usize| u32::try_from(x).unwrap_or(u32::MAX);
    let fours = n.is_multiple_of(4) && k.is_multiple_of(4);
    let (sources, format) = if dtype == Dtype::F16 { (tile.half, Format::F16) } else { (tile.single, Format::F32) };
    let index = usize::from(fours);
    let (name, side, launch) = match cooperating {
        Some(c) => {
            let launch = (c.sources[index], [c.threads, 1, 1], c.shared, vec![("THREADS", c.threads)]);
            (format!("cooperative-{}x{}", c.side, c.side), c.tile, launch)
        }
        None => (tile.name.to_owned(), tile.side, (sources[index], [16, 16, 1], tile.shared(), Vec::new())),
    };
    let (source, block, shared, constants) = launch;
    Ok(DeviceProgram {
        path: format!("wgsl/{name}{}", if fours { "" } else { "-any" }),
        buffers: vec![
            DeviceBuffer::operand("A", a, format),
            DeviceBuffer::operand("B", b, format),
            DeviceBuffer::output("C", c, Format::F32),
        ],
        steps: vec![Launch {
            source,
            entry: "main",
            grid: [word(n).div_ceil(side), word(m).div_ceil(side), 1],
            block,
            shared,
            buffers: vec![0, 1, 2],
            constants,
            arguments: [m, n, k].map(|x| Argument::U32(word(x))).into(),
        }],
        output: 2,
        shape: vec![m, n],
    })
}

/// Sums that cancel to their last bits, as a case.
///
/// # Errors
/// None.
pub(super) fn canary(params: &Params) -> Result<Option<DeviceCanary>, KernelError> {
    match params.dtype {
        Dtype::F32 | Dtype::Tf32 => Ok(Some(cancelling::<f32>(params.dtype, |values| match values {
            Values::F32(found) => Some(found),
            _ => None,
        }))),
        Dtype::F64 => Ok(Some(cancelling::<f64>(params.dtype, |values| match values {
            Values::F64(found) => Some(found),
            _ => None,
        }))),
        Dtype::Bf16 => Ok(Some(short::device_canary::<Bf16>(Dtype::Bf16))),
        // Operands with 8 significant bits are numbers of binary16 as well, and what their sums need is the same.
        Dtype::F16 => Ok(Some(short::device_canary::<Bf16>(Dtype::F16))),
        Dtype::I8 => Ok(Some(short::device_canary::<i8>(Dtype::I8))),
        Dtype::F8 => Ok(Some(super::eight::canary())),
    }
}

fn cancelling<T: crate::kernels::element::Element>(
    dtype: Dtype,
    found: fn(&Values) -> Option<&Vec<T>>,
) -> DeviceCanary {
    let operands = Cancelling::<T>::of(dtype, CANARY, CANARY, &|x| x);
    let sizes = [("m", CANARY), ("n", CANARY), ("k", LENGTH)];
    let values = sizes.map(|(name, n)| (name.to_owned(), ParamValue::Integer(n as u64)));
    DeviceCanary {
        params: Params { dtype, values: values.into() },
        operands: vec![
            Array::of("A", &[CANARY, LENGTH], &operands.left),
            Array::of("B", &[LENGTH, CANARY], &operands.right),
        ],
        judge: Box::new(move |answer| operands.judge(found(&answer.values).map_or(&[], Vec::as_slice))),
    }
}
