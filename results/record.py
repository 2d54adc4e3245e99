"""Record a tier, the most wanted first: `timeout 9m python results/record.py --tier paper --store RUNS --out RESULTS --workers 4`.

Whatever ends it, the same command goes on: runs, half-finished ones too, and measurements are in the store. A result file holds the
nets that are done so far. With a GPU the workers share it.
"""

import argparse
import time
from pathlib import Path

import flatlab
from flatlab.experiments import EXPERIMENTS, plan
from flatlab.plan import carry_out_all
from flatlab.store import Store

# First what all the rest is compared with, net by net; then what asks for runs of its own.
FIRST = ("table2", "table3", "table4", "fig3", "fig7", "fig2", "distances")
THEN = ("fig4", "fig5", "fig6", "table6", "table7")
NETS = ("C1", "F1", "C3", "C2", "C4", "F2")


def stages(tier, names):
    """(experiments, nets so far, the net to add) in the order of recording."""
    if names:
        yield from (((name,), None) for name in names)
        return
    nets = [net for net in NETS if any(setting.net == net for setting in EXPERIMENTS["table2"].settings[tier])] or [None]
    for count in range(1, len(nets) + 1):
        yield FIRST, None if nets == [None] else nets[:count]
    yield from (((name,), None) for name in (*THEN, *(name for name in EXPERIMENTS if name not in FIRST + THEN)))


def record(tier, names, store, out, workers):
    """Record stage after stage."""
    for experiments, nets in stages(tier, names):
        began = time.perf_counter()
        known = [name for name in experiments if tier in EXPERIMENTS[name].settings]
        carry_out_all([job for name in known for job in plan(name, tier, nets)], Store(store), workers=workers, progress=False)
        print(f"{', '.join(known)}: trained in {time.perf_counter() - began:.0f} s", flush=True)
        for name in known:
            began = time.perf_counter()
            flatlab.reproduce(name, tier, nets=nets, store=store, workers=workers, progress=False).save(out / f"{name}-{tier}.json")
            print(f"{name}: measured in {time.perf_counter() - began:.0f} s", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("experiments", nargs="*", help="default: all, in the order above")
    parser.add_argument("--tier", default="paper")
    parser.add_argument("--store", type=Path, help="directory of runs; default: the standard one")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    parser.add_argument("--workers", type=int, help="processes; default: as `flatlab reproduce`")
    options = parser.parse_args()
    record(options.tier, options.experiments, options.store, options.out, options.workers)
