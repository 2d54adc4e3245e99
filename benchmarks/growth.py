"""How time and memory grow with the rows N and the parameters n. Each size runs in a process of its own, so that its
memory's peak is its own; what the process held before it measured, the data among it, is subtracted.

    python -m benchmarks.growth WHAT ROWS WIDTH CHUNK DEVICE ROUNDS     one size, as JSON
"""

import json
import math
import resource
import subprocess
import sys
from pathlib import Path

import psutil
import torch

import flatlab
from benchmarks.timing import clock, spread
from benchmarks.workload import blobs, network
from flatlab.hessian import PRODUCT_METHODS

TITLE = "Growth"
DEPTH = 5
WAYS = {
    "loss": lambda f: f.value(f.x),
    "sharpness, 3 steps": lambda f: flatlab.sharpness(f, steps=3),
    **{
        f"Hessian product, {method}": lambda f, method=method: f.hessian(method=method) @ f.x
        for method in PRODUCT_METHODS
    },
}


def measure(
    rows=(2000, 8000, 32000),
    width=256,
    widths=(256, 512, 1024),
    few=1000,
    chunk=1000,
    device="cpu",
    ways=("loss", "sharpness, 3 steps", "Hessian product, reverse"),
    separate=True,
    rounds=3,
):
    """Time and memory of each way against N at one width, and against n at few rows."""
    seconds, ratios, found = {}, {}, {}
    for what in ways:
        for against, sizes in (("N", [(n, width) for n in rows]), ("n", [(few, w) for w in widths])):
            runs = [alone(what, n, w, chunk, device, rounds, separate) for n, w in sizes]
            measured = [run["rows" if against == "N" else "parameters"] for run in runs]
            label = f"{what} against {against}"
            seconds[label] = [run["seconds"] for run in runs]
            ratios[f"{label}: time's exponent"] = _exponent(measured, seconds[label])
            ratios[f"{label}: memory, largest / smallest"] = _one(runs[-1]["memory"] / runs[0]["memory"])
            found[label] = {
                against: measured,
                "seconds": seconds[label],
                "memory, MB": [run["memory"] / 1e6 for run in runs],
            }
    return {
        "title": TITLE,
        "setting": f"N = {_steps(rows)} at width {width}; widths {_steps(widths)} at N = {few:,}; chunks of "
        f"{chunk:,} rows; the exponent of time in size is 1 where it is linear",
        "seconds": seconds,
        "ratios": ratios,
        "found": found,
    }


def promises(case):
    made = []
    for against in ("N", "n"):
        worst = max(v["median"] for k, v in case["ratios"].items() if k.endswith(f"against {against}: time's exponent"))
        made.append((f"Time grows at most linearly with {against} (exponent of the fastest-growing)", worst, 1.1))
    flat = max(v["median"] for k, v in case["ratios"].items() if k.endswith("against N: memory, largest / smallest"))
    return [*made, ("Memory beside the data does not grow with N", flat, 1.1)]


def alone(what, rows, width, chunk, device, rounds, separate=True):
    """What `one` measures, in a process of its own; not `separate`: in this one, whose memory's peak may be older."""
    sizes = (rows, width, chunk, device, rounds)
    if not separate:
        return one(what, *sizes)
    command = [sys.executable, "-m", "benchmarks.growth", what, *map(str, sizes)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=Path(__file__).resolve().parent.parent
    )
    return json.loads(done.stdout)


def one(what, rows, width, chunk, device, rounds):
    """Median time and peak memory beside the data, in bytes, of one measurement in this process."""
    data = blobs(rows, device=device)
    before = torch.cuda.memory_allocated() if data.train.x.is_cuda else psutil.Process().memory_info().rss
    f = flatlab.Objective(network((width,) * DEPTH).to(device), data.train, chunk=chunk)
    seconds = spread([clock(WAYS[what], f)[0] for _ in range(rounds)])["median"]
    peak = torch.cuda.max_memory_allocated() if f.x.is_cuda else _peak()
    return {
        "rows": rows,
        "parameters": f.size,
        "seconds": seconds,
        "memory": max(1, peak - before),
    }  # so that ratios exist


def _peak():
    """The most memory this process has held, in bytes. On Linux getrusage would count its parent's as well."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # in bytes on macOS


def _exponent(sizes, seconds):
    """d log(time) / d log(size), between the ends, with the steps between them as the range."""
    slopes = [
        math.log(seconds[j] / seconds[i]) / math.log(sizes[j] / sizes[i])
        for i, j in zip(range(len(sizes)), range(1, len(sizes)))
    ]
    whole = math.log(seconds[-1] / seconds[0]) / math.log(sizes[-1] / sizes[0])
    return {"median": whole, "low": min(slopes), "high": max(slopes)}


def _one(value):
    return {"median": value, "low": value, "high": value}


def _steps(sizes):
    return ", ".join(str(size) for size in sizes)


if __name__ == "__main__":
    what, rows, width, chunk, device, rounds = sys.argv[1:]
    torch.set_num_threads(1)
    print(json.dumps(one(what, int(rows), int(width), int(chunk), device, int(rounds))))
