"""What a list of jobs costs on the device at hand: floating-point operations, counted, and seconds, timed on a few
updates."""

import functools
import time
from collections.abc import Sequence

import torch

from flatlab.nets import NetName, build
from flatlab.study import splits
from flatlab.study.jobs import Job, count_updates
from flatlab.training.recipe import Optimizer, Recipe
from flatlab.training.trainer import Trainer
from flatlab.training.updates import Update


def cost(jobs: Sequence[Job]) -> dict[str, float]:
    """What jobs cost on the device at hand: `{"runs", "flops", "seconds"}`.

    Notes
    -----
    The operations are counted on one batch forward, times three for the backward pass; the seconds are a few timed
    updates of each kind of job times its updates, one job after another. Updates that take several gradients are timed
    as they are. Batches beyond 256 rows are timed on 256 and multiplied, so that jobs for a large device can be costed
    on a small one.
    """
    flops, seconds = 0, 0.0
    for job in dict.fromkeys(jobs):
        rows = job.recipe.rows(len(job.load().train.y))
        each, step = cost_of_a_row(job.net, job.data, min(rows, 256), job.recipe.update, job.recipe.optimizer)
        flops, seconds = flops + each * rows * count_updates(job), seconds + step * rows * count_updates(job)
    return {"runs": len(set(jobs)), "flops": flops, "seconds": seconds}


@functools.cache
def cost_of_a_row(net: NetName, name: str, rows: int, update: Update, optimizer: Optimizer) -> tuple[int, float]:
    """(floating-point operations, seconds) of an update on a batch of `rows`, divided by them; timed once in a
    process."""
    from torch.utils.flop_counter import FlopCounterMode

    data = splits.loaded(name)
    trainer = Trainer(build(net, data), data, Recipe(batch_size=rows, update=update, optimizer=optimizer))
    batch = torch.arange(rows, device=trainer.point.device)
    with torch.random.fork_rng():
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            trainer.model(data.train.x[batch])
        step = _seconds(trainer, batch)
    return 3 * counter.get_total_flops() // rows, step / rows


def _seconds(trainer, batch):
    """The least time of up to five updates, as many as begin within a second."""
    times = []
    while len(times) < 5 and sum(times) < 1:
        began = time.perf_counter()
        trainer.step(batch)
        trainer.loss.item()  # waits for the device
        times.append(time.perf_counter() - began)
    return min(times)
