"""Runs energy meters over the counters of examples/rig and compares what they say with the truth.

`all` runs every curve with every tool and prints the table; `tool` runs one tool inside a rig and is
called by `all`. See energy_peers.sh.
"""

import argparse
import concurrent.futures
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

TOOLS = ["wattproof", "joule-profiler", "zeus", "codecarbon"]
WINDOW_S = 2.0
# A figure that is further off than this is a wrong result, not a rough one.
WRONG = 0.02

PACKAGE = "zone intel-rapl/intel-rapl:0 package-0\n"
SINE = "power sine 65 40 0.37\n"
TWIN = "intel-rapl/intel-rapl:0"
POLLED = "GPU power, 25 % sampled"
# Script, and the domains whose energy is asked for: a piece of silicon that is listed twice counts once.
CURVES = {
    "constant": (PACKAGE + "power constant 65\n", [TWIN]),
    "steps": (PACKAGE + "power steps 20 120 80 each 0.3\nrepeat\n", [TWIN]),
    "ramp": (PACKAGE + "power ramp 20 120 for 0.7\npower ramp 120 20 for 0.7\nrepeat\n", [TWIN]),
    "sine": (PACKAGE + SINE, [TWIN]),
    "wrap": (PACKAGE + "power constant 1000\nrange 2500000000\n", [TWIN]),
    "reset": (PACKAGE + SINE + "start 200000000000\nat 3 every 5 reset\n", [TWIN]),
    "listed twice (mmio)": (
        PACKAGE + SINE + f"zone intel-rapl-mmio/intel-rapl-mmio:0 package-0\ncopy-of {TWIN}\n",
        [TWIN],
    ),
    "listed once a die (AMD)": (
        f"zone {TWIN} package-0-die-0\n" + SINE + f"zone intel-rapl/intel-rapl:1 package-0-die-1\ncopy-of {TWIN}\n",
        [TWIN],
    ),
    "package and psys": (
        PACKAGE + SINE + "zone intel-rapl/intel-rapl:1 psys\npower constant 120\n",
        [TWIN],
    ),
    "12 packages (hex zones)": (
        "".join(f"zone intel-rapl/intel-rapl:{i:x} package-{i}\npower constant {10 + i}\n" for i in range(12)),
        [f"intel-rapl/intel-rapl:{i:x}" for i in range(12)],
    ),
    "GPU counter, 20 ms": ("gpu NVIDIA H200\npower sine 300 200 0.7\ncounter-ms 20\n", ["gpu:0"]),
    POLLED: (
        "gpu Tesla P100\npower steps 500 100 each 0.05\nrepeat\non-trigger 100\nwithout energy\nsampled 25 100\n",
        ["gpu:0"],
    ),
}


def is_gpu(curve):
    return CURVES[curve][1] == ["gpu:0"]


def trigger():
    with open(os.environ["RIG_TRIGGERS"], "a", encoding="ascii") as file:
        file.write(f"{time.monotonic_ns()}\n")


def work():
    """What the windows of the Python tools hold."""
    trigger()
    time.sleep(WINDOW_S)


def run_command(args, number, wrap):
    """A window of a tool that wraps a command: its result and the command's own window."""
    nap, out = Path(f"{args.out}.nap"), Path(f"{args.out}.result")
    for path in (nap, out):
        path.unlink(missing_ok=True)
    rig = f"{args.release}/examples/rig"
    command = [rig, "nap", str(WINDOW_S), str(nap)]
    ended = subprocess.run(wrap(str(out)) + command, capture_output=True, text=True, check=False)
    own = [int(n) for n in nap.read_text().split()] if nap.exists() else None
    if not out.exists() or ended.returncode != 0:
        last = (ended.stderr.strip().splitlines() or ["no result"])[0]
        return None, own, f"exit {ended.returncode}: {last}"
    return json.loads(out.read_text()), own, None


def wattproof(args, number):
    sensors = "nvml" if is_gpu(args.curve) else "rapl"
    binary = f"{args.release}/wattproof"
    wrap = lambda out: [binary, "measure", "--sensors", sensors, "--format", "json", "--output", out, "--"]
    result, own, error = run_command(args, number, wrap)
    if error:
        return [dict(tool="wattproof", window=own, error=error)]
    prefix = "gpu-" if is_gpu(args.curve) else "package-"
    mine = [d for d in result["domains"] if d["domain"].startswith(prefix)]
    reasons = [d.get("reason") for d in mine if d["energy_j"] is None]
    if reasons or not mine:
        return [dict(tool="wattproof", window=result["window_ns"], error=(reasons or ["no domain"])[0])]
    joules = sum(d["energy_j"] for d in mine)
    rows = [
        dict(tool="wattproof", window=result["window_ns"], joules=joules, u=sum(d["u_j"] for d in mine)),
        dict(tool="wattproof, the command's own window", window=own, joules=joules),
    ]
    return rows + ([phases(args, number, wrap)] if args.curve == POLLED else [])


def phases(args, number, wrap):
    """The mean of four runs, which begin in four phases of the sensor."""
    name = "wattproof, mean of four runs"
    several = lambda out: wrap(out)[:-1] + ["--repeat", "4", "--"]
    result, _, error = run_command(args, number, several)
    if error:
        return dict(tool=name, windows=[], error=error)
    joules = sum(d["energy_j"] for d in result["domains"] if d["domain"].startswith("gpu-"))
    return dict(tool=name, windows=[run["window_ns"] for run in result["runs"]], joules=joules)


def joule_profiler(args, number):
    binary = f"{args.folder}/jp/bin/joule-profiler"
    source = "nvml" if is_gpu(args.curve) else "rapl"
    wrap = lambda out: [
        binary, "--output-format", "json", "-o", out, "--sources", source,
        "-D", 'profiler.rapl_backend="powercap"', "profile", "--use-root", "--",
    ]  # fmt: skip
    result, own, error = run_command(args, number, wrap)
    if error:
        return [dict(tool="joule-profiler", window=own, error=error)]
    scale = {"µJ": 1e-6, "mJ": 1e-3, "J": 1.0}
    prefix = ("GPU-",) if is_gpu(args.curve) else ("PACKAGE-",)
    metrics = [m for phase in result["phases"] for m in phase["metrics"]]
    found = [m["value"] * scale[m["unit"]] for m in metrics if m["name"].startswith(prefix) and m["unit"] in scale]
    if not found:
        return [dict(tool="joule-profiler", window=own, error=f"no such metric; it shows {[m['name'] for m in metrics]}")]
    return [dict(tool="joule-profiler", window=own, joules=sum(found))]


def windows_of(tool, begin, end):
    """One window of a library: the moments between its two calls."""
    try:
        begin()
        start = time.monotonic_ns()
        work()
        stop = time.monotonic_ns()
        joules = end()
    except Exception as error:  # whatever it raises is its answer
        return [dict(tool=tool, error=f"{type(error).__name__}: {error}")]
    if joules is None:
        return [dict(tool=tool, window=[start, stop], error="no figure")]
    return [dict(tool=tool, window=[start, stop], joules=joules)]


def zeus_runner(args):
    from zeus.monitor import ZeusMonitor

    monitor = ZeusMonitor()

    def end():
        used = monitor.end_window("w", sync_execution=False)
        figures = used.gpu_energy if is_gpu(args.curve) else used.cpu_energy
        return sum(figures.values()) if figures else None

    def begin():
        try:
            monitor.begin_window("w", sync_execution=False)
        except ValueError:
            monitor.begin_window("w", sync_execution=False, restart=True)

    windows_of("warm-up", begin, end)
    return lambda args, number: windows_of("zeus", begin, end)


def codecarbon_runner(args):
    from codecarbon import OfflineEmissionsTracker

    tracker = OfflineEmissionsTracker(
        country_iso_code="USA", save_to_file=False, log_level="critical", measure_power_secs=1, tracking_mode="machine"
    )

    def end():
        used = tracker.stop_task()
        joules = (used.gpu_energy if is_gpu(args.curve) else used.cpu_energy) * 3.6e6
        return joules

    windows_of("warm-up", lambda: tracker.start_task(), end)
    return lambda args, number: windows_of("codecarbon", lambda: tracker.start_task(), end)


def tool(args):
    """Inside the rig: RUNS windows of one tool, a JSON line each."""
    makers = {
        "wattproof": lambda _: wattproof,
        "joule-profiler": lambda _: joule_profiler,
        "zeus": zeus_runner,
        "codecarbon": codecarbon_runner,
    }
    with open(args.out, "w", encoding="utf-8") as out:
        try:
            run = makers[args.tool](args)
        except Exception as error:  # it does not even start
            for _ in range(args.runs):
                out.write(json.dumps(dict(tool=args.tool, error=f"{type(error).__name__}: {error}")) + "\n")
            return
        for number in range(args.runs):
            for window in run(args, number):
                out.write(json.dumps(window) + "\n")
            # Windows begin anywhere in the curve and in the counter's period.
            time.sleep(0.05 + 0.0371 * (number % 7))


def session(args, curve, name):
    """One tool on one curve in a rig of its own; its windows with the truth."""
    folder = Path(args.folder) / "runs" / "".join(c if c.isalnum() else "-" for c in f"{curve} {name}")
    folder.mkdir(parents=True, exist_ok=True)
    script, out, truth = folder / "script", folder / "windows", folder / "truth"
    script.write_text(CURVES[curve][0])
    out.unlink(missing_ok=True)
    smi = Path(args.folder) / "bin" / "nvidia-smi"  # codecarbon asks for no GPU without it
    smi.parent.mkdir(exist_ok=True)
    smi.write_text("#!/bin/sh\nexit 0\n")
    smi.chmod(0o755)
    rig = f"{args.release}/examples/rig"
    environment = os.environ | {"PATH": f"{smi.parent}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}
    command = [rig, script, "--real", "--truth", truth, "--", sys.executable, __file__, "tool", "--tool", name]
    command += ["--curve", curve, "--out", out, "--runs", str(args.runs), "--folder", args.folder]
    command += ["--release", args.release]
    ended = subprocess.run([str(c) for c in command], capture_output=True, text=True, check=False, env=environment)
    (folder / "log").write_text(ended.stdout + ended.stderr)
    if not out.exists():
        raise RuntimeError(f"{curve}, {name}: {ended.stderr}")
    head = json.loads(truth.read_text().splitlines()[0])
    windows = [json.loads(line) for line in out.read_text().splitlines()]
    spans = [(w, span) for w in windows for span in w.get("windows", [w.get("window")]) if span]
    asked = [(w, span, d) for w, span in spans for d in CURVES[curve][1]]
    lines = "".join(f"{d} {span[0]} {span[1]}\n" for _, span, d in asked)
    question = [rig, "truth", script, "--origin", head["origin_ns"], "--triggers", f"{truth}.triggers"]
    answers = subprocess.run([str(q) for q in question], input=lines, capture_output=True, text=True, check=True)
    for (window, _, _), line in zip(asked, answers.stdout.splitlines()):
        answer = json.loads(line)
        # Of several windows the tool states the mean.
        window["truth"] = window.get("truth", 0.0) + answer["energy_j"] / len(window.get("windows", [1]))
        window["events"] = answer["events"]
    return curve, windows, head["driver"]


def percent(value):
    return f"{value * 100:.3f} %" if value < 0.1 else f"{value * 100:.1f} %"


def row(curve, tool_name, windows):
    """One line of the table: an answer is right, wrong, or withheld."""
    known = [w for w in windows if w.get("joules") is not None and "truth" in w]
    errors = [abs(w["joules"] / w["truth"] - 1.0) for w in known]
    wrong = sum(e > WRONG for e in errors)
    right = [e for e in errors if e <= WRONG]
    withheld = len(windows) - len(known)
    shown = errors if not right else right
    median = percent(statistics.median(shown)) if shown else "—"
    worst = percent(max(shown)) if shown else "—"
    return f"| {curve} | {tool_name} | {len(windows)} | {median} | {worst} | {wrong} | {withheld} |"


def everything(args):
    args.folder = os.path.abspath(args.folder)
    jobs = [(c, t) for c in CURVES if args.only in c for t in TOOLS]
    with concurrent.futures.ThreadPoolExecutor(args.parallel) as pool:
        results = list(pool.map(lambda job: session(args, *job), jobs))
    print("| curve | tool | windows | median error | worst error | wrong | withheld |")
    print("|---|---|---|---|---|---|---|")
    lateness = [driver for _, _, driver in results]
    reasons = set()
    for curve, windows, _ in results:
        for name in dict.fromkeys(w["tool"] for w in windows):
            mine = [w for w in windows if w["tool"] == name]
            print(row(curve, name, mine))
            reasons |= {(curve, name, w["error"][:160]) for w in mine if w.get("error")}
    print()
    for reason in sorted(reasons):
        print("- withheld:", ": ".join(reason))
    print(f"- worst lateness of a write: {max(d['worst_us'] for d in lateness)} µs; 99 % below "
          f"{max(d['p99_below_us'] for d in lateness)} µs; real-time priority: {all(d['real_time'] for d in lateness)}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["all", "tool"])
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--folder", required=True)
    parser.add_argument("--release", required=True)
    parser.add_argument("--only", default="", help="curves whose name has this in it")
    parser.add_argument("--parallel", type=int, default=4)
    parser.add_argument("--tool", choices=TOOLS)
    parser.add_argument("--curve", choices=CURVES)
    parser.add_argument("--out")
    args = parser.parse_args()
    (tool if args.what == "tool" else everything)(args)


if __name__ == "__main__":
    main()
