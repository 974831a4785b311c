//! Mistakes planted in the programs, each of which a check has to notice.

use super::cases::{Small, cases};
use super::hopper::{self, Mistake, Notice};
use super::{Group, emulator, program, program_for};
use std::cell::Cell;
use wattproof::backends::Judge;
use wattproof::kernels;

/// A mistake: the kernel whose program it is in, with the type whose cases show it where others have the same text, the text, and
/// what is there instead.
const MISTAKES: &[(&str, &str, &str)] = &[
    ("gemm", "copy_wait<STAGES - 2>();", "copy_wait<STAGES - 1>();"),
    ("gemm", "place % height", "place % BAND"),
    ("gemm f64", "multiply_f64(sums[i][j], a[i], b[j]);", "multiply_f64(sums[i][j], a[i], b[0]);"),
    ("gemm i8", "lane % 8 / 2 * 4 + lane % 2 + lane / 8 % 2 * 2", "lane % 8 + lane / 8 % 2 * 8"),
    ("gemm f8", "0x7531", "0x6420"),
    ("gemm tf32", "half * 4 + lane % 4", "half * 2 + lane % 4"),
    ("gemm tf32", "= round_tf32(__int_as_float(static_cast<int>(a[i][part])));", "= a[i][part];"),
    ("gemm f16", "multiply_f16(sums[i][j], a[i], b[j / 2][j % 2 * 2],", "multiply_f16(sums[i][j], a[i], b[j / 2][0],"),
    ("gemm f32", "spread<Number>(down, part, Rows)", "(down * SIDE_OF_THREAD + part)"),
    (
        "spmm-bsr",
        "products = (row_ptr[row / SIDE + 1] - first) * SIDE",
        "products = (row_ptr[row / SIDE + 1] - first) * SIDE - 16",
    ),
    ("spmm-bsr", "columns[first + product / SIDE]", "columns[first]"),
    ("spmm-bsr", "place % width", "place % BAND"),
    ("spmm-bsr", "lane / 8 % 2));", "lane / 8 % 2 ^ 1));"),
    ("spmm-bsr", "first + step) * Rows + row", "first + step) * Rows + down * lanes"),
    ("spmm-bsr", "copy_wait<STAGES - 2>();", "copy_wait<STAGES - 1>();"),
    ("spmv-csr", "element >= first && element < end", "element < end"),
    ("spmv-csr", "int distance = LANES / 2;", "int distance = LANES / 4;"),
    ("spmv-csr", "first += static_cast<unsigned>(length * blockIdx.y / PARTS);", ""),
    ("spmv-csr", "(at + e) % 2 * 16", "0"),
    ("spmm-2-4", "lane / 4 * 2 + lane % 2", "lane / 4 * 2"),
    ("spmm-2-4", "depth + 16 + lane % 16", "depth + lane % 16"),
    ("spmm-2-4", "(k + WIDTH - 1) / WIDTH", "k / WIDTH"),
    ("spmm-2-4 i8", "KIND == 2 ? lane : lane", "KIND == 2 ? lane ^ 1 : lane"),
    ("spmm-2-4 i8", "depth + part * 32 + row", "depth + part * 16 + row"),
    ("spmm-2-4 f16", "pack_f16(sums[i][j]", "pack_bf16(sums[i][j]"),
    ("spmm-2-4", "copy_wait<STAGES - 2>();", "copy_wait<STAGES - 1>();"),
    ("spmm-csr", "(panel + 1) % 2 * PANEL_SIZE, b", "panel % 2 * PANEL_SIZE, b"),
    ("spmm-csr", "        begin = end;\n", ""),
    ("spmm-csr", "copy_wait<0>();", ""),
    ("spmm-csr bf16", "i % 2 == 0 ? words[i / 2] << 16", "i % 2 == 0 ? words[i / 2]"),
    ("spmm-csr bf16", "i += each)", "i += 2 * each)"),
    ("spmm-csr", "unsigned q = starts[row];", "unsigned q = starts[row] + 1;"),
    ("moe", "UP ? tokens[slot] : slot", "slot"),
    ("moe", "static_cast<u64_t>(expert) * length", "static_cast<u64_t>(0) * length"),
    ("moe", "(j * 4 >= ColumnTiles ? jump : 0)", "(j * 4 > ColumnTiles ? jump : 0)"),
    ("moe", "= row < slots;", "= row + 1 < slots;"),
    ("moe", "sums[i][j + e + SIDE_OF_THREAD / 2]", "sums[i][j + e]"),
    ("moe", "const float gate = gates[slot];", "const float gate = gates[token * top + choice];"),
    ("attention", "key <= query : true", "key < query + 2 : true"),
    ("attention", "total[m][half] * shrink + sum", "total[m][half] + sum"),
    ("attention", "        copy_wait<0>();\n        __syncthreads();", "        __syncthreads();"),
    ("attention", "lane / 8 % 2));", "lane / 8 % 2 ^ 1));"),
    ("attention-window", "key + limit > query", "key + limit >= query"),
    ("gemv-quantized", "chunk * CHUNK / group", "0"),
    ("gemv-quantized", "const unsigned first_token = blockIdx.y * TOKEN_TILES * 8;", "const unsigned first_token = 0;"),
    ("attention-linear", "at >= seq ? 0u : left[m][part] & 0xffffu", "left[m][part]"),
    ("kv-decode", "score = own < len ? score : NEGATIVE_INFINITY;", ""),
    ("kv-decode", "if (EARLY && token + stride < len)", "if (EARLY && token + 2 * stride < len)"),
    ("kv-decode", "(blockIdx.x % bundles * HEAD_WARPS", "(blockIdx.x % 1 * HEAD_WARPS"),
    ("kv-decode", "token + 1 < len ? score[1]", "token < len ? score[1]"),
    ("kv-decode", "min(warp + group * WARPS, static", "min(warp + group * WARPS + 1, static"),
    ("kv-decode", "exchange[row].tops[other]);", "exchange[row].tops[warp]);"),
    ("kv-decode", "total[half] * shrink +", "total[half] +"),
    ("kv-decode", "tiles + (stage ^ 1) * tile, rows", "tiles + stage * tile, rows"),
    ("kv-decode", "for (int other = 1;", "for (int other = 2;"),
    ("relu-skip", "active &= active - 1;", "active &= active - 1; active &= active - 1;"),
    ("triad", "vectors * LANES + first", "vectors * LANES + first + 1"),
];

#[test]
fn a_program_with_a_mistake_does_not_pass() {
    mistakes(Group::Others);
}

#[test]
fn a_program_of_blocks_with_a_mistake_does_not_pass() {
    mistakes(Group::Blocks);
}

#[test]
fn a_program_of_sparse_rows_with_a_mistake_does_not_pass() {
    mistakes(Group::Rows);
}

#[test]
fn a_program_of_dense_products_with_a_mistake_does_not_pass() {
    mistakes(Group::Products);
}

#[test]
fn a_program_of_experts_with_a_mistake_does_not_pass() {
    mistakes(Group::Experts);
}

fn mistakes(group: Group) {
    let Some(emulator) = emulator("mistakes in the CUDA programs") else { return };
    for (what, right, wrong) in MISTAKES {
        let (kernel, dtype) = what.split_once(' ').map_or((*what, None), |(kernel, dtype)| (kernel, Some(dtype)));
        if Group::of(kernel) != group {
            continue;
        }
        let made = Cell::new(false);
        let shows = |c: &Small| c.kernel == kernel && dtype.is_none_or(|dtype| c.params.dtype.name() == dtype);
        let caught = cases().into_iter().filter(shows).any(|case| {
            let program = program(&case);
            if !program.steps.iter().any(|step| step.source.contains(right)) {
                return false;
            }
            made.set(true);
            let mut judge = Judge::new(kernels::find(kernel).unwrap(), &case.planned(), 11).unwrap();
            let operands = judge.take_operands();
            let answer = emulator.run(&program, &operands, 1, |text| text.replacen(right, wrong, 1));
            answer.is_err() || !judge.check(&answer.unwrap()).passed()
        });
        assert!(made.get(), "{what} has no `{right}`");
        assert!(caught, "{what}: `{wrong}` instead of `{right}` was not noticed");
    }
}

/// Plants each mistake in the program of a case for Hopper: in one of a few orders, what has to notice it does. All texts with
/// their mistakes are compiled together, each in a namespace of its own: compiling takes longer than running.
fn plant(what: &str, case: &Small, mistakes: &[Mistake]) {
    let Some(emulator) = emulator(what) else { return };
    let mut program = program_for(case, (9, 0));
    let [text, entry] = [program.steps[0].source, program.steps[0].entry];
    let planted = |(index, (right, wrong, _)): (usize, &Mistake)| {
        assert_eq!(text.matches(right).count(), 1, "`{right}` is not in the text once");
        let text = text.replacen(right, wrong, 1).replacen(&format!(" {entry}("), &format!(" {entry}_{index}("), 1);
        format!("namespace mistake_{index} {{\n{text}\n}}\nusing namespace mistake_{index};\n")
    };
    let all: String = mistakes.iter().enumerate().map(planted).collect();
    let mut judge = Judge::new(kernels::find(case.kernel).unwrap(), &case.planned(), 11).unwrap();
    let operands = judge.take_operands();
    for (index, (right, wrong, notice)) in mistakes.iter().enumerate() {
        program.steps[0].entry = Box::leak(format!("{entry}_{index}").into_boxed_str());
        let run = |seed: u32| match emulator.run(&program, &operands, seed, |_| all.clone()) {
            Ok(answer) if judge.check(&answer).passed() => "nothing".to_owned(),
            Ok(_) => "the answer".to_owned(),
            Err(words) => words,
        };
        let expected = match notice {
            Notice::Answer => "the answer",
            Notice::Emulator(words) => words,
        };
        let mut found = Vec::new();
        let noticed = (1..=4).map(run).any(|words| {
            found.push(words);
            found.last().is_some_and(|words| words.contains(expected))
        });
        assert!(noticed, "`{wrong}` instead of `{right}` was noticed by {found:?}");
    }
}

#[test]
fn mistakes_in_the_product_for_hopper_are_noticed_by_what_they_break() {
    plant("mistakes in the product for Hopper", &hopper::product(), hopper::PRODUCT);
}

#[test]
fn mistakes_in_transposed_products_for_hopper_are_noticed() {
    let Some(emulator) = emulator("mistakes in transposed products for Hopper") else { return };
    for (bytes, right, wrong) in hopper::TURNED {
        let case = hopper::turned(*bytes);
        let program = program_for(&case, (9, 0));
        assert!(program.steps.iter().any(|step| step.source.contains(right)), "`{right}` is in no text");
        let mut judge = Judge::new(kernels::find(case.kernel).unwrap(), &case.planned(), 11).unwrap();
        let operands = judge.take_operands();
        let answer = emulator.run(&program, &operands, 1, |text| text.replacen(right, wrong, 1));
        assert!(
            answer.is_err() || !judge.check(&answer.unwrap()).passed(),
            "`{wrong}` instead of `{right}` was not noticed"
        );
    }
}

#[test]
fn mistakes_in_attention_for_hopper_are_noticed_by_what_they_break() {
    plant("mistakes in attention for Hopper", &hopper::attention(), hopper::ATTENTION);
}
