"""Record a tier, the most wanted first: `timeout 9m python results/record.py --tier paper --store RUNS --out RESULTS
--workers 4`.

Whatever ends it, the same command resumes: runs, half-finished ones too, and measurements are in the store. A result
file holds the nets that are done so far, so --nets adds to it. With a GPU the workers share it.
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


def place(net):
    """Where a network comes in the order of recording: the small ones, which take minutes, first."""
    net = paper.original(net)
    return NETS.index(net) if net in NETS else -1


def present(name, tier, only):
    """The networks of an experiment at a tier, of those in `only` where it is given."""
    nets = [setting.name for setting in EXPERIMENTS[name].settings.get(tier, ())]
    return [net for net in nets if only is None or net in only]


def stages(tier, names, only=None):
    """(experiment, its nets) in the order of recording; of the networks in `only` where it is given."""
    if not names:
        nets = sorted(present("table2", tier, only), key=place)
        yield from ((name, [net]) for net in nets for name in FIRST)
        done = FIRST if nets else ()
        names = [name for name in dict.fromkeys((*FIRST, *THEN, *EXPERIMENTS)) if name not in done]
    yield from ((name, nets) for name in names if (nets := present(name, tier, only)))


def record(tier, names, store, out, workers, only=None):
    """Record stage after stage. What is small enough to be wanted whole is trained at once, so that no process waits
    for another and no run is trained twice because a later experiment wants other points of it."""
    if tier == "smoke" or only:
        jobs = [jobs_of(name, tier, nets) for name in names or EXPERIMENTS if (nets := present(name, tier, only))]
        carry_out_all([job for own in jobs for job in own], Store(store), workers=workers)
    for name, nets in stages(tier, names, only):
        began = time.perf_counter()
        flatlab.reproduce(name, tier, nets=nets, store=store, workers=workers, progress=False).save(
            out / f"{name}-{tier}.json"
        )
        print(f"{name}, {', '.join(nets)}: {time.perf_counter() - began:.0f} s", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("experiments", nargs="*", help="default: all, in the order above")
    parser.add_argument("--tier", default="paper")
    parser.add_argument("--store", type=Path, help="directory of runs; default: the standard one")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    parser.add_argument("--nets", nargs="+", help="only these of the tier's networks; default: all")
    parser.add_argument("--workers", type=int, help="processes; default: as `flatlab reproduce`")
    options = parser.parse_args()
    known = {net for name in EXPERIMENTS for net in present(name, options.tier, None)}
    if unknown := set(options.nets or ()) - known:  # names behind --nets would be nets, and all experiments recorded
        parser.error(f"no experiment of the {options.tier} tier has the nets {', '.join(sorted(unknown))}.")
    record(options.tier, options.experiments, options.store, options.out, options.workers, options.nets)
