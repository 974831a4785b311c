"""Our kernels and other libraries in turns on the same operands; see peers.sh.

Each of them is a process of its own with the same requests: prepare a case, run it for so long, hand out the answer.
In every round all have their turn, in an order that moves on from round to round, so that a machine that gets slower
or faster hits all alike; the figure is the median over the rounds of the ratio within a round. A peer whose answer
differs from ours is not counted, and ours is compared with the double-precision reference by the product itself.

`compare` drives and prints, `render` writes the tables of the last run again, `serve` is the process of one peer.
"""

import argparse
import dataclasses
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

# Seconds of one turn: long against a look at the clock, short against the drift of a busy machine.
TURN_S = 0.06

# Each block is a table of the document.
BLOCKS = {
    "products": """
gemm f32 m=1024 n=1024 k=1024
gemm f32 m=2048 n=2048 k=2048
gemm f32 m=256 n=256 k=256
gemm f32 m=1024 n=256 k=1024
gemm f64 m=1024 n=1024 k=1024
gemm f64 m=2048 n=2048 k=2048
gemm f64 m=256 n=256 k=256
gemm bf16 m=1024 n=1024 k=1024
gemm bf16 m=2048 n=2048 k=2048
gemm bf16 m=256 n=256 k=256
gemm i8 m=1024 n=1024 k=1024
gemm i8 m=2048 n=2048 k=2048
gemm i8 m=256 n=256 k=256
spmv-csr f32 m=2048 k=2048 density=0.05
spmv-csr f64 m=2048 k=2048 density=0.05
spmv-csr f32 m=65536 k=65536 density=0.01
spmv-csr f64 m=65536 k=65536 density=0.01
spmm-csr f32 m=1024 k=1024 n=256 density=0.1
spmm-csr f32 m=2048 k=2048 n=512 density=0.1
spmm-csr f32 m=2048 k=2048 n=512 density=0.01
spmm-csr f64 m=1024 k=1024 n=256 density=0.1
spmm-bsr f32 m=1024 k=1024 n=256 block=16 density=0.1
spmm-bsr f32 m=1024 k=1024 n=256 block=32 density=0.1
spmm-bsr f32 m=1024 k=1024 n=256 block=64 density=0.1
spmm-bsr f64 m=1024 k=1024 n=256 block=32 density=0.1
spmm-2-4 f32 m=1024 k=1024 n=256
spmm-2-4 f32 m=2048 k=2048 n=512
attention f32 heads=2 seq=4096 dim=64 mask=dense
attention f32 heads=2 seq=4096 dim=64 mask=causal
attention f32 heads=8 seq=512 dim=64 mask=dense
""",
    "layers": """
kv-decode f32 heads=8 len=8192 dim=128 format=mha
kv-decode f32 heads=32 len=8192 dim=128 format=gqa-4
kv-decode f32 heads=8 len=8192 dim=128 format=int8
kv-decode f32 heads=16 len=8192 dim=512 format=mla
moe f32 tokens=512 d=1024 f=1024 experts=8 top=2
moe f32 tokens=64 d=1024 f=1024 experts=8 top=2
gemv-quantized bf16 m=1 n=11008 k=4096 group=128 weights=int8
gemv-quantized bf16 m=1 n=11008 k=4096 group=128 weights=int4
gemv-quantized bf16 m=8 n=11008 k=4096 group=128 weights=int8
relu-skip f32 d=4096 f=8192 density=0.1 rank=0
""",
}


@dataclasses.dataclass
class Case:
    kernel: str
    dtype: str
    parameters: dict

    @classmethod
    def of(cls, text):
        kernel, dtype, *rest = text.split()
        return cls(kernel, dtype, dict(word.split("=") for word in rest))

    def text(self):
        return " ".join([f"{self.kernel} {self.dtype}", *(f"{k}={v}" for k, v in self.parameters.items())])

    def request(self, threads):
        return " ".join([f"case {self.kernel} {self.dtype} {threads}", *(f"{k}={v}" for k, v in self.parameters.items())])


def arrays_of(folder):
    import numpy as np

    return {path.stem: np.load(path) for path in Path(folder).glob("*.npy")}


def peers():
    from peer_libraries import PEERS
    from peer_librsb import Librsb

    return [*PEERS, Librsb]


# The process of a peer.


def serve(args):
    """Answers the requests of kernel_server for one peer: `case`, `run`, `answer`."""
    import numpy as np

    peer = call = answer = None

    def run(seconds):
        start, cpu = time.perf_counter(), time.process_time()
        done, batch = 0, 1
        while True:
            for _ in range(batch):
                call()
            done += batch
            batch = done
            wall = time.perf_counter() - start
            if wall >= seconds:
                return {"wall_s": wall / done, "cpu_s": (time.process_time() - cpu) / done, "iterations": done}

    for line in sys.stdin:
        word, *rest = line.split()
        try:
            if word == "case":
                folder, *text = rest
                peer = peer or next(p for p in peers() if p.name == args.peer)(args.threads)
                call, answer = peer.prepare(Case.of(" ".join(text)), arrays_of(folder))
                reply = {}
            elif word == "run":
                reply = run(float(rest[0]))
            else:
                call()
                np.save(Path(rest[0]) / f"{args.peer}.npy", np.ascontiguousarray(answer()))
                reply = {}
        except Exception as error:  # whatever a library raises is its answer
            reply = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(reply), flush=True)


# The driver.


class Child:
    """A process that answers requests line by line."""

    def __init__(self, name, command, cpus, threads):
        self.name, self.times = name, []
        # Threads of a library spin a moment for the next call and then sleep, so that they do not take the
        # CPUs of the one whose turn comes next; within a turn calls follow at once.
        settings = {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
        settings |= {"MKL_DYNAMIC": "FALSE", "KMP_BLOCKTIME": "1", "OMP_PROC_BIND": "close", "OMP_PLACES": "cores"}
        settings |= {"MKL_INTERFACE_LAYER": "LP64", "MKL_THREADING_LAYER": "INTEL", "OPENBLAS_THREAD_TIMEOUT": "20"}
        settings["LD_LIBRARY_PATH"] = f"{sys.prefix}/lib"
        self.process = subprocess.Popen(
            [str(c) for c in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=os.environ | settings,
            preexec_fn=lambda: os.sched_setaffinity(0, cpus),
        )

    def ask(self, request):
        try:
            self.process.stdin.write(request + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        return json.loads(line) if line else {"error": "the process ended"}

    def end(self):
        self.process.stdin.close()
        self.process.wait()


def differs(ours, theirs, kernel, arrays):
    """Why an answer is not the same as ours; None where it is, within the rounding of both."""
    import numpy as np

    if ours.shape != theirs.shape:
        return f"its answer has the shape {theirs.shape}"
    unit = np.finfo(ours.dtype).eps / 2
    if kernel in ("attention", "kv-decode"):
        # Weights sum to one, so the answers are of the size of V; scores have errors of their own.
        scale = np.full((), 8.0)
    elif kernel == "gemv-quantized":
        group = arrays["W"].shape[1] // arrays["scales"].shape[1]
        scale = np.abs(arrays["W"] * np.repeat(arrays["scales"], group, axis=1)) @ np.abs(arrays["X"]).T
    elif kernel == "relu-skip":
        # As the kernel's own check has it.
        up, x, bias = (arrays[name].astype(np.float64) for name in ("U", "x", "b"))
        hidden = up @ x - bias
        scale = ((np.abs(up) @ np.abs(x) + np.abs(bias) + hidden) * (hidden > 0)) @ np.abs(arrays["D"])
    elif kernel == "moe":
        # Sums of sums; a layer that computed in fewer bits would be far off still.
        scale = 8 * np.abs(ours).max()
    elif "A" in arrays and "B" in arrays:
        scale = np.abs(arrays["A"]) @ np.abs(arrays["B"])
    else:
        # Of sparse sums the largest answer gives the scale.
        scale = np.abs(ours).max()
    worst = float(np.max(np.abs(ours.astype(np.float64) - theirs) / np.maximum(scale, unit)))
    # Both may be off by 17 u, the limit of the product's own check.
    return None if worst <= 34 * unit else f"its answer differs by {worst:.1e}"


def own(args, cpus, threads):
    return Child("wattproof", [args.server], cpus, threads)


def compete(args, case, threads, cpus):
    """All rounds of one case; a result or a reason why there is none."""
    folder = Path(args.folder) / "operands"
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.npy"):
        old.unlink()
    ours = own(args, cpus, threads)
    facts = ours.ask(case.request(threads))
    for request in ("operands", "answer"):
        reply = facts if "error" in facts else ours.ask(f"{request} {folder}")
        if "error" in reply:
            ours.end()
            return {"case": case.text(), "threads": threads, "skipped": reply["error"]}
        if request == "operands":
            arrays = arrays_of(folder)
    answer = next(v for k, v in arrays_of(folder).items() if k not in arrays)
    runners, left_out = [ours], {}
    probe = Child("fma-peak", [args.server], cpus, threads)
    # Activations in bf16 are multiplied in single precision.
    reply = probe.ask(f"case fma-peak {'f32' if case.kernel == 'gemv-quantized' else case.dtype} {threads}")
    if "error" not in reply:
        facts["probe_flops"] = reply["flops"]
        runners.append(probe)
    if case.kernel == "spmm-2-4":
        dense = Child("wattproof gemm", [args.server], cpus, threads)
        dense.ask(Case("gemm", case.dtype, case.parameters).request(threads))
        runners.append(dense)
    for peer in peers():
        if (case.kernel, case.dtype) not in peer.kernels:
            continue
        command = [sys.executable, __file__, "serve", "--peer", peer.name, "--threads", threads]
        child = Child(peer.name, command, cpus, threads)
        reply = child.ask(f"case {folder} {case.text()}")
        if "error" not in reply:
            reply = child.ask(f"answer {folder}")
        reason = reply.get("error") or differs(answer, arrays_of(folder)[peer.name], case.kernel, arrays)
        if reason:
            left_out[peer.name] = reason
            child.end()
        else:
            runners.append(child)
    # One thread is timed by the CPU time of its process, which other load disturbs little; several by the wall.
    key = "cpu_s" if threads == 1 else "wall_s"
    for round_number in range(args.rounds + 1):
        for index in range(len(runners)):
            runner = runners[(index + round_number) % len(runners)]
            reply = runner.ask(f"run {TURN_S}")
            if "error" in reply:
                left_out[runner.name] = reply["error"]
            # The first round warms up.
            elif round_number > 0:
                runner.times.append(reply[key])
            time.sleep(0.003)
    for runner in runners:
        runner.end()
    times = {runner.name: runner.times for runner in runners if len(runner.times) == args.rounds}
    load = os.getloadavg()[0]
    return {"case": case.text(), "threads": threads, "facts": facts, "times": times, "left_out": left_out, "load": load}


def quartiles(values):
    if len(values) < 2:
        return [values[0]] * 3
    return statistics.quantiles(values, n=4, method="inclusive")


def rows(result):
    """Lines of the table for one case."""
    times, facts = result["times"], result["facts"]
    ours = times["wattproof"]
    flops = facts["flops"]
    dense = result["case"].startswith("spmm-2-4")
    rate = flops / statistics.median(ours) / 1e9
    peak = "—"
    if "fma-peak" in times:
        of = [flops / t / (facts["probe_flops"] / p) for t, p in zip(ours, times["fma-peak"])]
        peak = f"{statistics.median(of):.2f}"
    theirs = {name: t for name, t in times.items() if name not in ("wattproof", "fma-peak")}
    ratios = {name: quartiles([b / a for a, b in zip(ours, t)]) for name, t in theirs.items()}
    lines = []
    # The best first: it is the one to beat.
    for name, (low, middle, high) in sorted(ratios.items(), key=lambda item: item[1][1]):
        mark = "" if lines else "**"
        lines.append(f"{mark}{name} {middle:.2f}{mark} ({low:.2f}–{high:.2f})")
    for name in result["left_out"]:
        lines.append(f"{name}: not counted")
    shown = result["case"] + (" (useful)" if dense else "")
    return f"| {shown} | {result['threads']} | {rate:.1f} | {peak} | {', '.join(lines) or '—'} |"


def machine():
    """The machine, in words that name no one."""
    fields = {}
    for line in Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines():
        name, _, value = line.partition(":")
        fields[name.strip()] = value.strip()
    caches = []
    for index in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        level, kind, size = ((index / name).read_text().strip() for name in ("level", "type", "size"))
        caches.append(f"L{level} {kind.lower()} {size}")
    extensions = [x for x in ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16") if x in fields["flags"].split()]
    virtual = ", virtual machine" if "hypervisor" in fields["flags"] else ""
    release = ".".join(os.uname().release.split(".")[:2])
    return (
        f"{fields['model name']} (family {fields['cpu family']}, model {fields['model']}, stepping {fields['stepping']}; "
        f"{', '.join(extensions)}), {os.cpu_count()} CPUs{virtual}; {'; '.join(caches)}; Linux {release}"
    )


# Libraries that are used where they are installed: this one is gigabytes, most of them for GPUs.
OPTIONAL = ["torch"]


def has(package):
    from importlib.util import find_spec

    return find_spec(package) is not None


def versions():
    from importlib.metadata import version

    names = ["onednn-cpu-gomp", "mkl", "scipy-openblas32", "blis", "scipy", "onnxruntime", "openvino"]
    found = [*(f"{name} {version(name)}" for name in names), *(f"{n} {version(n)}" for n in OPTIONAL if has(n))]
    # Debian's package, which lies where peers.sh put it.
    found += [f"librsb {path.name.split('_')[1]}" for path in sorted(Path(sys.prefix, "rsb").glob("librsb0_*.deb"))]
    return ", ".join(found)


def table(block, results, rounds):
    loads = [r["load"] for r in results if "load" in r]
    out = [f"Machine: {machine()}. Load average {min(loads):.1f} to {max(loads):.1f} while measuring.", ""]
    threads = sorted({r["threads"] for r in results})
    command = f"ci/peers.sh FOLDER --block {block} --rounds {rounds}" + ("" if threads == [1, 2] else f" --threads {','.join(map(str, threads))}")
    out += [f"Peers: {versions()}. {rounds} rounds of {TURN_S * 1000:.0f} ms a turn. Command: `{command}`.", ""]
    out += ["| case | threads | GFLOP/s | of FMA peak | time of each peer over ours: median (quartiles) |"]
    out += ["|---|---|---|---|---|"]
    out += [rows(r) for r in results if "times" in r]
    skipped = [f"- not run: `{r['case']}`, {r['threads']} threads: {r['skipped']}" for r in results if "skipped" in r]
    reasons = sorted({(name, why) for r in results for name, why in r.get("left_out", {}).items()})
    notes = [f"- not counted: {name}: {why}" for name, why in reasons]
    return "\n".join(out + ([""] + skipped + notes if skipped or notes else []))


def write_docs(path, block, text):
    begin, end = (f"<!-- {word}: ci/peers.sh, {block} -->" for word in ("begin", "end"))
    before, found, rest = Path(path).read_text(encoding="utf-8").partition(begin)
    if not found:
        sys.exit(f"{path} has no line `{begin}`")
    _, _, after = rest.partition(end)
    Path(path).write_text(f"{before}{begin}\n{text}\n{end}{after}", encoding="utf-8")


def render(args):
    """The tables of the last run once more."""
    for block in BLOCKS:
        results = Path(args.folder, f"{block}.json")
        if results.exists():
            results = json.loads(results.read_text())
            rounds = max(len(times) for r in results for times in r.get("times", {}).values())
            write_docs(args.docs, block, table(block, results, rounds))


def compare(args):
    args.folder, args.server = os.path.abspath(args.folder), os.path.abspath(args.server)
    if args.case:
        run(args, "own", args.case)
        return
    for block in [args.block] if args.block else BLOCKS:
        cases = [text for text in BLOCKS[block].strip().splitlines() if any(word in text for word in args.only.split(","))]
        results = run(args, block, cases)
        if args.docs and not args.only:
            write_docs(args.docs, block, table(block, results, args.rounds))


def run(args, block, cases):
    """Results of some cases, which are kept in the folder as they come."""
    usable = sorted(os.sched_getaffinity(0))
    results = []
    for text in cases:
        for threads in [int(t) for t in args.threads.split(",")]:
            if threads > len(usable):
                results.append({"case": text, "threads": threads, "skipped": f"{len(usable)} CPUs are usable"})
                continue
            # One thread runs on the last CPU, which serves fewer interrupts.
            cpus = set(usable[-threads:])
            result = compete(args, Case.of(text), threads, cpus)
            results.append(result)
            print(rows(result) if "times" in result else f"- not run: {text}: {result['skipped']}", flush=True)
            for name, why in result.get("left_out", {}).items():
                print(f"  not counted: {name}: {why}", flush=True)
            Path(args.folder, f"{block}.json").write_text(json.dumps(results, indent=1))
    return results


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["compare", "render", "serve"])
    parser.add_argument("--folder", help="where operands and results lie")
    parser.add_argument("--server", help="the example kernel_server")
    parser.add_argument("--docs", help="document whose generated block is replaced, when all cases run")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--only", default="", help="cases that contain one of these words, with commas between")
    parser.add_argument("--block", choices=list(BLOCKS), help="one table instead of all")
    parser.add_argument("--case", action="append", help="instead of the list: 'gemm f32 m=64 n=64 k=64'")
    parser.add_argument("--peer")
    args = parser.parse_args()
    if args.what == "serve":
        args.threads = int(args.threads)
        serve(args)
    elif args.what == "render":
        render(args)
    else:
        compare(args)


if __name__ == "__main__":
    main()
