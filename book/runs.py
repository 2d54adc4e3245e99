"""Train and measure what the chapters share, one task a core, before their pages are executed: `python book/runs.py`.

The chapters say `flatlab.train(..., store=flatlab.Store())` and read from the store what is there already. Small nets
gain nothing from a second core, so many runs side by side take half the time of one after another. A run that is
missing here is trained by its chapter; one that no chapter asks for any longer costs time and does no harm.
"""

import os
from concurrent.futures import ProcessPoolExecutor

SEEDS = range(5)


def plan():
    """The arguments of every shared run, the longest first."""
    from flatlab.plots.plane_of_descent import KEPT

    for batch in (32, 2000, 400):  # the first two are those of the landing page's plane
        yield {"batch_size": batch, "seed": 0} | ({} if batch == 400 else {"keep": KEPT})
    for batch in (16, 250):
        yield from ({"data": "digits", "rows": 700, "batch_size": batch, "seed": seed, "epochs": 20} for seed in SEEDS)
    for batch in (32, 500):
        yield from ({"rows": 1000, "batch_size": batch, "seed": seed, "epochs": 30} for seed in SEEDS)
        for seed in range(3):
            yield {"rows": 1000, "batch_size": batch, "seed": seed, "epochs": 30, "running_averages": True}
    for batch in (32, 1000):  # the last points are those of which Cures since 2017 takes the mean
        yield {"rows": 2000, "batch_size": batch, "seed": 0, "epochs": 30, "keep": tuple(range(24, 31))}


def run(seed, data="mnist1d", rows=None, running_averages=False, **options):
    """One run of the plan."""
    import torch

    import flatlab

    torch.set_num_threads(1)
    data = flatlab.load(data).subset(rows) if rows else flatlab.load(data)
    net = flatlab.build("mlp", data, seed=seed, running_averages=True) if running_averages else "mlp"
    flatlab.train(net, data, seed=seed, store=flatlab.Store(), progress=False, **options)


def main():
    from flatlab.study.engines import end_with_parent

    with ProcessPoolExecutor(os.cpu_count(), initializer=end_with_parent) as pool:
        for done in [pool.submit(run, **arguments) for arguments in plan()]:
            done.result()


if __name__ == "__main__":
    main()
