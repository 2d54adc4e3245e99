"""`make bench`: every comparison, one table of ratios, what was promised and whether it holds; all of it to
results/bench.json.

    python -m benchmarks.run [CASE ...]      without names: all of them; with names: those, and nothing is written

On the CPU with one thread, so that processor seconds can be compared on a machine that others use too; on a GPU where
there is one.
"""

import json
import os
import platform
import sys
import time
import traceback
from importlib import metadata
from pathlib import Path

import torch

from benchmarks import eigenvalue, epoch, growth, plane, products, sharpness, spectrum
from flatlab.files import write_whole
from flatlab.measure import door
from flatlab.study.recorded import REPOSITORY, origin

CASES = {
    "sharpness": sharpness,
    "products": products,
    "eigenvalue": eigenvalue,
    "spectrum": spectrum,
    "plane": plane,
    "epoch": epoch,
    "growth": growth,
}
PEERS = ("PyHessian", "hessian-eigenthings", "curvlinops-for-pytorch", "loss-landscapes", "scipy")
RESULTS = REPOSITORY / "results" / "bench.json"


def run(names, **options):
    """{"cases": {name: what it measured}, "promises": [...]}; a case that fails says so in one line and stops no
    other."""
    cases = {}
    for name in names:
        began = time.perf_counter()
        print(f"{CASES[name].TITLE} ...", end=" ", flush=True, file=sys.stderr)
        try:
            cases[name] = CASES[name].measure(**options)
        except Exception as error:  # noqa: BLE001 - a peer may be missing, or not run on this device
            traceback.print_exc()
            cases[name] = {"title": CASES[name].TITLE, "failed": door.reason(error)}
        print(f"{time.perf_counter() - began:.0f} s", flush=True, file=sys.stderr)
    return {"cases": cases, "promises": promises(cases)}


def promises(cases):
    """What each case promised, what it measured, and whether that holds."""
    return [
        {"promise": text, "measured": measured, "limit": limit, "kept": measured <= limit}
        for name, case in cases.items()
        if "failed" not in case
        for text, measured, limit in CASES[name].promises(case)
    ]


def facts(device, began, load):
    """Where the numbers come from."""
    return {
        **origin(device, began),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load before": load,
        "load after": _load(),
        "peers": {name: metadata.version(name) for name in PEERS},
    }


def table(results):
    """The ratios and the promises, as text."""
    lines = [f"{'median':>9} {'range':>17}  ratio"]
    for case in results["cases"].values():
        lines += ["", f"{case['title']}: {case.get('setting') or case['failed']}"]
        for what, value in case.get("ratios", {}).items():
            lines.append(f"{value['median']:9.3g} {value['low']:8.3g}-{value['high']:<8.3g}  {what}")
    lines += ["", "Promises"]
    for promise in results["promises"]:
        lines.append(
            f"{'kept' if promise['kept'] else 'NOT KEPT':>9}  {promise['promise']}: "
            f"{promise['measured']:.3g} (at most {promise['limit']:g})"
        )
    return "\n".join(lines)


def _load():
    return [round(value, 2) for value in os.getloadavg()]


def _processor():
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def main():
    names = sys.argv[1:] or list(CASES)
    if unknown := set(names) - set(CASES):
        sys.exit(f"there is no case {min(unknown)!r}: choose among {', '.join(CASES)}.")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu":
        torch.set_num_threads(1)
    began, load = time.perf_counter(), _load()
    results = run(names, device=device)
    results = {"provenance": facts(device, began, load), **results}
    print(table(results))
    if len(names) == len(CASES):
        write_whole(RESULTS, (json.dumps(results, indent=1) + "\n").encode())
        print(f"\nwritten to {RESULTS.relative_to(REPOSITORY)}")
    if any("failed" in case for case in results["cases"].values()):
        sys.exit(1)


if __name__ == "__main__":
    main()
