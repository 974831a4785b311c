#![expect(clippy::float_cmp, reason = "exact numbers are compared exactly")]

use super::*;
use crate::kernels::ParamValue;
use crate::kernels::canary::round_mantissa;
use crate::kernels::verify::{Threads, params, verify};

fn case(dtype: Dtype, m: u64, k: u64, density: f64) -> Params {
    let values = [("m", ParamValue::Integer(m)), ("k", ParamValue::Integer(k)), ("density", ParamValue::Real(density))];
    params(dtype, &values)
}

#[test]
fn every_shape_matches_the_reference() {
    for dtype in INFO.dtypes {
        // One element, full rows, empty rows (ten elements in 503 rows), ragged, 32-bit indices.
        let shapes = [(1, 1, 1.0), (13, 67, 1.0), (503, 20, 0.001), (211, 997, 0.05), (31, 70_001, 0.001)];
        for (m, k, density) in shapes {
            verify(&Spmv, &case(*dtype, m, k, density));
        }
    }
}

#[test]
fn gathers_and_scalar_loads_agree_on_every_path() {
    let team = Threads(2);
    for isa in Isa::available() {
        for gather in [false, true] {
            let context = BuildContext { seed: 4, isa, team: &team };
            let mut program = SpmvProgram::<f64>::build(&case(Dtype::F64, 97, 301, 0.1), &context).unwrap();
            program.path.1 = gather;
            program.poison();
            program.run(&team);
            assert!(program.check().passed(), "{}", program.path());
        }
    }
}

#[test]
fn work_follows_the_formulas() {
    let work = Spmv.work(&case(Dtype::F32, 1000, 2000, 0.01)).unwrap();
    assert_eq!(work.useful.get(), 40_000.0);
    assert_eq!(work.dense_equivalent.get(), 4e6);
    assert_eq!(work.bytes.get(), 6.0 * 20_000.0 + 4.0 * 1001.0 + 4.0 * 3000.0);
    let wide = Spmv.work(&case(Dtype::F64, 10, 100_000, 0.01)).unwrap();
    assert_eq!(wide.bytes.get(), 12.0 * 10_000.0 + 4.0 * 11.0 + 8.0 * 100_010.0);
}

#[test]
fn rounded_inputs_fail_the_canary() {
    let team = Threads(2);
    for isa in Isa::available() {
        for gather in [false, true] {
            let path = (isa, gather);
            assert_eq!(canary::<f32>(path, &team, &|x| x).unwrap().error, Some(0.0));
            assert!(!canary::<f32>(path, &team, &|x| round_mantissa(x, 10)).unwrap().passed());
            assert!(!canary::<f64>(path, &team, &|x| round_mantissa(x, 23)).unwrap().passed());
        }
    }
}
