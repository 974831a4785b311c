//! The product on other devices in WGSL.

use crate::kernels::canary::{Cancelling, LENGTH};
use crate::kernels::{
    Api, Argument, Array, DeviceBuffer, DeviceCanary, DeviceProgram, Dtype, Format, KernelError, Launch, NoProgram,
    ParamValue, Params, Target, Values,
};

macro_rules! source {
    ($rows:literal, $fours:literal, $access:literal) => {
        concat!(
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

/// Sides of a tile, the sources for it (any shape, fours), and how the record names it.
struct Tile {
    rows: u32,
    columns: u32,
    any: &'static str,
    fours: &'static str,
    name: &'static str,
}

/// 64×64 results of a group, 4×4 of a thread.
const SMALL: Tile = Tile {
    rows: 64,
    columns: 64,
    any: source!("4", "1", "any.wgsl"),
    fours: source!("4", "1", "fours.wgsl"),
    name: "64x64",
};

/// 128×128 results of a group, 8×8 of a thread: half the traffic to shared memory for each product.
const LARGE: Tile = Tile {
    rows: 128,
    columns: 128,
    any: source!("8", "2", "any.wgsl"),
    fours: source!("8", "2", "fours.wgsl"),
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
    if (target.api, params.dtype) != (Api::Wgsl, Dtype::F32) {
        return Err(NoProgram::Unwritten);
    }
    let [m, n, k] = [params.count("m")?, params.count("n")?, params.count("k")?];
    let large = (m as u64).div_ceil(128).saturating_mul((n as u64).div_ceil(128)) >= MANY;
    wgsl([m, n, k], if large { &LARGE } else { &SMALL })
}

fn wgsl([m, n, k]: [usize; 3], tile: &Tile) -> Result<DeviceProgram, NoProgram> {
    let elements = [m.checked_mul(k), k.checked_mul(n), m.checked_mul(n)].map(|e| e.filter(|e| *e < 1 << 32));
    let [Some(a), Some(b), Some(c)] = elements else {
        return Err(NoProgram::Lacks("a matrix of 2³² elements or more needs longer indices".to_owned()));
    };
    let word = |x: usize| u32::try_from(x).unwrap_or(u32::MAX);
    let fours = n.is_multiple_of(4) && k.is_multiple_of(4);
    let source = if fours { tile.fours } else { tile.any };
    Ok(DeviceProgram {
        path: format!("wgsl/{}{}", tile.name, if fours { "" } else { "-any" }),
        buffers: vec![
            DeviceBuffer::operand("A", a, Format::F32),
            DeviceBuffer::operand("B", b, Format::F32),
            DeviceBuffer::output("C", c, Format::F32),
        ],
        steps: vec![Launch {
            source,
            entry: "main",
            grid: [word(n).div_ceil(tile.columns), word(m).div_ceil(tile.rows), 1],
            block: [16, 16, 1],
            shared: 0,
            buffers: vec![0, 1, 2],
            constants: Vec::new(),
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
        Dtype::F32 => Ok(Some(cancelling::<f32>(|values| match values {
            Values::F32(found) => Some(found),
            _ => None,
        }))),
        Dtype::F64 => Ok(Some(cancelling::<f64>(|values| match values {
            Values::F64(found) => Some(found),
            _ => None,
        }))),
        _ => Ok(None),
    }
}

fn cancelling<T: crate::kernels::element::Element>(found: fn(&Values) -> Option<&Vec<T>>) -> DeviceCanary {
    let operands = Cancelling::<T>::new(CANARY, CANARY, &|x| x);
    let sizes = [("m", CANARY), ("n", CANARY), ("k", LENGTH)];
    let values = sizes.map(|(name, n)| (name.to_owned(), ParamValue::Integer(n as u64)));
    DeviceCanary {
        params: Params { dtype: T::DTYPE, values: values.into() },
        operands: vec![
            Array::of("A", &[CANARY, LENGTH], &operands.left),
            Array::of("B", &[LENGTH, CANARY], &operands.right),
        ],
        judge: Box::new(move |answer| operands.judge(found(&answer.values).map_or(&[], Vec::as_slice))),
    }
}
