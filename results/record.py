"""Record a tier, the most wanted first: `timeout 9m python results/record.py --tier paper --store RUNS --out RESULTS --workers 4`.

Whatever ends it, the same command goes on: runs, half-finished ones too, and measurements are in the store. A result file holds the
nets that are done so far. With a GPU the workers share it.
"""

import argparse
import time
from pathlib import Path

import flatlab
from flatlab.study import paper
from flatlab.study.engines import carry_out_all
from flatlab.study.experiments import EXPERIMENTS, jobs_of
from flatlab.training.store import Store

# First what all the rest is compared with, net by net; then what asks for runs of its own.
FIRST = ("table2", "table3", "table4", "fig3", "fig7", "fig2", "distances")
THEN = ("fig4", "fig5", "fig6", "table6", "table7")
NETS = ("C1", "F1", "C3", "C2", "C4", "F2")


def stages(tier, names, only=None):
    """(experiment, its nets so far or None for all) in the order of recording; of the networks in `only` where it is given."""
    if names:
        yield from ((name, only) for name in names)
        return
    here = {paper.original(setting.net): setting.net for setting in EXPERIMENTS["table2"].settings[tier]}
    nets = [here[net] for net in NETS if net in here and (only is None or here[net] in only)]
    for count in range(1, len(nets) + 1):
        yield from ((name, nets[:count]) for name in FIRST)
    done = FIRST if nets else ()
    rest = [name for name in dict.fromkeys((*FIRST, *THEN, *EXPERIMENTS)) if name not in done]
    yield from ((name, only) for name in rest if tier in EXPERIMENTS[name].settings)


def record(tier, names, store, out, workers, only=None):
    """Record stage after stage. What is small enough to be wanted whole is trained at once, so that no process waits for another."""
    if tier == "smoke":
        carry_out_all(
            [job for name in names or EXPERIMENTS for job in jobs_of(name, tier)], Store(store), workers=workers
        )
    for name, nets in stages(tier, names, only):
        began = time.perf_counter()
        flatlab.reproduce(name, tier, nets=nets, store=store, workers=workers, progress=False).save(
            out / f"{name}-{tier}.json"
        )
        print(f"{name}, {', '.join(nets) if nets else 'all nets'}: {time.perf_counter() - began:.0f} s", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("experiments", nargs="*", help="default: all, in the order above")
    parser.add_argument("--tier", default="paper")
    parser.add_argument("--store", type=Path, help="directory of runs; default: the standard one")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    parser.add_argument("--nets", nargs="+", help="only these of the tier's networks; default: all")
    parser.add_argument("--workers", type=int, help="processes; default: as `flatlab reproduce`")
    options = parser.parse_args()
    record(options.tier, options.experiments, options.store, options.out, options.workers, options.nets)
