#!/usr/bin/env python3
"""CUDA programs of wattproof beside PyTorch on the same card, in rounds that take turns.

Each round runs the same small suite with wattproof (time of the device per iteration, from its record) and then the same work
with PyTorch (events). The table shows medians over the rounds and their ratio: above 1, wattproof is faster. Bandwidths are
relative to a copy that PyTorch makes in the same round; sparse products and experts also to its dense product at equal FLOP. `ci/gpu.sh` calls this.
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

HEADS, SEQ, DIM = 32, 16384, 128
SIDE = 8192
GIB = 1 << 30
SPARSE, DENSITY = 8192, 0.1
TOKENS, MODEL, HIDDEN, EXPERTS = 8192, 4096, 14336, 8
SUITE = f"""version: 1
suite: gpu-peers
title: Beside PyTorch
profile: quick
settings: {{ repeats: 1, window_floor: 500 ms, idle: 0 s, warm_up_min: 300 ms, warm_up_max: 1 s }}
devices: ["cuda:0"]
cases:
  - {{ kernel: gemm, matrix: {{ dtype: bf16, shape: {SIDE}x{SIDE}x{SIDE}, program: [library, own] }} }}
  - {{ kernel: gemm, matrix: {{ dtype: [f32, tf32, f64, f16, i8, f8], shape: {SIDE}x{SIDE}x{SIDE}, program: library }} }}
  - {{ kernel: gemm, matrix: {{ dtype: [f32, tf32, f64, f16, i8, f8], shape: {SIDE}x{SIDE}x{SIDE}, program: own }} }}
  - {{ kernel: spmm-csr, matrix: {{ dtype: f32, shape: {SIDE}x{SIDE}x{SIDE}, density: [0.22, 0.05], program: [library, own] }} }}
  - {{ kernel: spmm-bsr, matrix: {{ dtype: f32, shape: {SIDE}x{SIDE}x{SIDE}, block: 64, density: 0.22, program: library }} }}
  - {{ kernel: spmm-2-4, matrix: {{ dtype: [bf16, f16, i8], shape: {SIDE}x{SIDE}x{SIDE}, program: library }} }}
  - {{ kernel: spmm-2-4, matrix: {{ dtype: [bf16, f16, i8], shape: {SIDE}x{SIDE}x{SIDE}, program: own }} }}
  - {{ kernel: spmm-csr, matrix: {{ dtype: bf16, shape: {SIDE}x{SIDE}x{SIDE}, density: 0.05, program: [library, own] }} }}
  - {{ kernel: spmm-bsr, matrix: {{ dtype: bf16, shape: {SPARSE}x{SPARSE}x{SPARSE}, block: [64, 128], density: {DENSITY} }} }}
  - {{ kernel: moe, matrix: {{ dtype: bf16, tokens: {TOKENS}, d: {MODEL}, f: {HIDDEN}, experts: {EXPERTS}, top: 1 }} }}
  - {{ kernel: attention, matrix: {{ dtype: bf16, heads: {HEADS}, seq: {SEQ}, dim: {DIM}, mask: [dense, causal] }} }}
  - {{ kernel: triad, matrix: {{ bytes: 6 GiB }} }}
  - {{ kernel: gemv-quantized, matrix: {{ dtype: bf16, n: 65536, k: 16384, weights: [int8, int4] }} }}
  - {{ kernel: kv-decode, matrix: {{ heads: {HEADS}, len: 65536, dim: {DIM}, format: [mha, gqa-4, int8] }} }}
"""


def own(binary, folder, number):
    """Seconds an iteration and the work of each case: {id: (seconds, flops, bytes)}."""
    suite, out = folder / "peers.yaml", folder / f"round-{number}"
    suite.write_text(SUITE)
    # A void case ends with a code of its own; the others count all the same.
    subprocess.run([binary, "run", str(suite), "--out", str(out)], check=False, stdout=subprocess.DEVNULL)
    if not (out / "samples.jsonl").exists():
        sys.exit(f"{binary} left no record in {out}")
    found, work = {}, {}
    for line in (out / "samples.jsonl").read_text().splitlines():
        event = json.loads(line)
        if event["event"] == "prepared":
            work[event["case"]] = (event["work"]["flops"], event["work"]["bytes"])
        elif event["event"] == "sample" and not event.get("flags"):
            found[event["case"]] = event.get("device_s", event["wall_s"]) / event["iterations"]
        elif event["event"] == "void":
            print(f"void: {event['case']}: {event['reason']}", file=sys.stderr)
    return {case: (seconds, *work[case]) for case, seconds in found.items()}


def timed(torch, work):
    """Median seconds of one call, by events."""
    for _ in range(3):
        work()
    times = []
    for _ in range(20):
        first, last = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        first.record()
        work()
        last.record()
        last.synchronize()
        times.append(first.elapsed_time(last) / 1e3)
    return statistics.median(times)


def attempt(work):
    """What `work` gives, or None with a word where this PyTorch cannot do it."""
    try:
        return work()
    except (RuntimeError, NotImplementedError, AttributeError, ImportError) as error:
        print(f"PyTorch cannot do it: {error}", file=sys.stderr)
        return None


def block_sparse(torch, side):
    """Seconds of a product with blocks of this side in PyTorch's BSR."""
    blocks = SPARSE // side
    kept = torch.rand((blocks, blocks), device="cuda") < DENSITY
    dense = torch.randn((SPARSE, SPARSE), device="cuda", dtype=torch.bfloat16)
    dense *= kept.repeat_interleave(side, 0).repeat_interleave(side, 1)
    sparse = dense.to_sparse_bsr((side, side))
    right = torch.randn((SPARSE, SPARSE), device="cuda", dtype=torch.bfloat16)
    return timed(torch, lambda: sparse @ right)


def experts(torch):
    """Seconds of SwiGLU experts as two grouped products, with equal loads and tokens that already lie expert by expert."""
    make = lambda *shape: torch.randn(shape, device="cuda", dtype=torch.bfloat16)
    x, up, down = make(TOKENS, MODEL), make(EXPERTS, MODEL, 2 * HIDDEN), make(EXPERTS, HIDDEN, MODEL)
    ends = torch.arange(1, EXPERTS + 1, device="cuda", dtype=torch.int32) * (TOKENS // EXPERTS)

    def layer():
        gate, value = torch._grouped_mm(x, up, offs=ends).chunk(2, dim=-1)
        return torch._grouped_mm(torch.nn.functional.silu(gate) * value, down, offs=ends)

    return timed(torch, layer)


def normal(torch, dtype):
    """A square matrix of normal numbers, as wattproof makes them."""
    return torch.randn((SIDE, SIDE), device="cuda", dtype=torch.float32).to(dtype)


def small(torch):
    """A square matrix of 8-bit integers, 32 steps to a standard deviation."""
    return (normal(torch, torch.float32) * 32).round().clamp(-127, 127).to(torch.int8)


def dense(torch, dtype, tf32=False):
    """Seconds of a matmul in this type."""
    torch.backends.cuda.matmul.allow_tf32 = tf32
    a, b = normal(torch, dtype), normal(torch, dtype)
    return timed(torch, lambda: a @ b)


def scaled(torch):
    """Seconds of a matmul in e4m3, whose right operand lies column by column."""
    a, b = normal(torch, torch.float8_e4m3fn), normal(torch, torch.float8_e4m3fn).t()
    one = torch.ones((), device="cuda")
    return timed(torch, lambda: torch._scaled_mm(a, b, scale_a=one, scale_b=one, out_dtype=torch.float32))


def integers(torch):
    """Seconds of a matmul of 8-bit integers."""
    a, b = small(torch), small(torch).t()
    return timed(torch, lambda: torch._int_mm(a, b))


def sparse(torch, density, block=1, dtype=None):
    """Seconds of a product with a matrix in CSR, or in BSR, of which this fraction is stored; in binary32 if no type is named."""
    dtype = dtype or torch.float32
    kept = (torch.rand((SIDE // block, SIDE // block), device="cuda") < density).float()
    weights = normal(torch, dtype) * kept.repeat_interleave(block, 0).repeat_interleave(block, 1).to(dtype)
    a = weights.to_sparse_csr() if block == 1 else weights.to_sparse_bsr((block, block))
    b = normal(torch, dtype)
    return timed(torch, lambda: a @ b)


def semi(torch, weights, b):
    """Seconds of a product with two of every four weights."""
    places = torch.rand((SIDE, SIDE // 4, 4), device="cuda").argsort(-1) < 2
    a = torch.sparse.to_sparse_semi_structured(weights * places.reshape(SIDE, SIDE).to(weights.dtype))
    return timed(torch, lambda: torch.mm(a, b))


def products(torch):
    """Seconds of PyTorch's products, by the front of the case they are beside. What this PyTorch lacks is left out, and said."""
    work = {
        "gemm-bf16": lambda: dense(torch, torch.bfloat16),
        "gemm-f16": lambda: dense(torch, torch.float16),
        "gemm-f32": lambda: dense(torch, torch.float32),
        "gemm-tf32": lambda: dense(torch, torch.float32, tf32=True),
        "gemm-f64": lambda: dense(torch, torch.float64),
        "gemm-i8": lambda: integers(torch),
        "gemm-f8": lambda: scaled(torch),
        "spmm-csr-f32-m8192-k8192-n8192-density0.22": lambda: sparse(torch, 0.22),
        "spmm-csr-f32-m8192-k8192-n8192-density0.05": lambda: sparse(torch, 0.05),
        "spmm-csr-bf16": lambda: sparse(torch, 0.05, dtype=torch.bfloat16),
        "spmm-bsr-f32": lambda: sparse(torch, 0.22, block=64),
        "spmm-2-4-bf16": lambda: semi(torch, normal(torch, torch.bfloat16), normal(torch, torch.bfloat16)),
        "spmm-2-4-f16": lambda: semi(torch, normal(torch, torch.float16), normal(torch, torch.float16)),
        "spmm-2-4-i8": lambda: semi(torch, small(torch), small(torch).t()),
    }
    seconds = {}
    for name, measure in work.items():
        try:
            seconds[name] = measure()
        except (RuntimeError, NotImplementedError, AttributeError, TypeError) as error:
            print(f"no peer of {name}: {str(error).splitlines()[0]}", file=sys.stderr)
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.cuda.empty_cache()
    return seconds


def peers(torch):
    """Seconds of PyTorch's attention by mask and of its products, and bytes a second of its copy."""
    shape = (1, HEADS, SEQ, DIM)
    q, k, v = (torch.randn(shape, device="cuda", dtype=torch.bfloat16) for _ in range(3))
    attention = torch.nn.functional.scaled_dot_product_attention
    seconds = {mask: timed(torch, lambda c=mask == "causal": attention(q, k, v, is_causal=c)) for mask in ("dense", "causal")}
    del q, k, v
    seconds.update(products(torch))
    for side in (64, 128):
        seconds[f"spmm-bsr-{side}"] = attempt(lambda s=side: block_sparse(torch, s))
    seconds["moe"] = attempt(lambda: experts(torch))
    source = torch.randn(2 * GIB // 4, device="cuda")
    target = torch.empty_like(source)
    copied = 2 * source.numel() * 4 / timed(torch, lambda: target.copy_(source))
    del source, target
    torch.cuda.empty_cache()
    return seconds, copied


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", required=True)
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    try:
        import torch
    except ImportError:
        sys.exit("PyTorch is not installed: there is nothing to compare with")
    if not torch.cuda.is_available():
        sys.exit("PyTorch sees no CUDA device")
    args.out.mkdir(parents=True, exist_ok=True)
    table = {}
    for number in range(args.rounds):
        mine = own(args.binary, args.out, number)
        seconds, copied = peers(torch)
        for case, (time, flops, moved) in mine.items():
            row = table.setdefault(case, {"figures": [], "ratios": []})
            if case.startswith(("spmm-bsr-bf16", "moe")):
                row["figures"].append(f"{flops / time / 1e12:.0f} TFLOP/s")
                row["peer"] = "matmul at equal FLOP"
                row["ratios"].append(flops / time / (2 * SIDE**3 / seconds["gemm-bf16"]))
                peer = seconds["moe" if case.startswith("moe") else f"spmm-bsr-{128 if 'block128' in case else 64}"]
                if peer is not None:
                    row.setdefault("own", []).append(peer / time)
            elif case.startswith(("attention", "gemm-", "spmm-")):
                if case.startswith("attention"):
                    word, row["peer"] = "causal" if "causal" in case else "dense", "SDPA"
                else:
                    word = next((name for name in seconds if case.startswith(name + "-")), None)
                    row["peer"] = "matmul" if case.startswith("gemm") else "torch.sparse"
                if word is None:
                    del table[case]
                    continue
                row["figures"].append(f"{flops / time / 1e12:.0f} TFLOP/s")
                row["ratios"].append(seconds[word] / time)
                full = f"gemm-{case.split('-')[3]}" if case.startswith("spmm-2-4-") else None
                if full in seconds:
                    row.setdefault("dense", []).append(seconds[full] / time)
            else:
                row["peer"] = "copy"
                row["figures"].append(f"{moved / time / 1e9:.0f} GB/s")
                row["ratios"].append(moved / time / copied)
    card = torch.cuda.get_device_name(0)
    print(f"{card}, PyTorch {torch.__version__}, {args.rounds} rounds; ratio above 1: wattproof is faster")
    for case, row in table.items():
        low, high = min(row["ratios"]), max(row["ratios"])
        print(f"{case:56} {statistics.median(row['ratios']):6.3f} of {row['peer']} ({low:.3f} to {high:.3f}), {row['figures'][-1]}")
        if "dense" in row:
            low, high = min(row["dense"]), max(row["dense"])
            print(f"{'':56} {statistics.median(row['dense']):6.3f} of PyTorch's dense product ({low:.3f} to {high:.3f})")
        if "own" in row:
            print(f"{'':56} {statistics.median(row['own']):6.3f} of PyTorch's own ({min(row['own']):.3f} to {max(row['own']):.3f})")
    (args.out / "peers.json").write_text(json.dumps({"card": card, "torch": torch.__version__, "cases": table}, indent=2))


if __name__ == "__main__":
    main()
