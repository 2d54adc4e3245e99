"""What an experiment needs before it can measure: runs, named, each known by all that decides it.

A plan is a list of jobs. Engines carry it out through a store, so that a job that is done is read, one under way is resumed, and
experiments share what they have in common. No result depends on the engine: a job's bits depend on the job alone.
"""

import functools
import os
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_all_start_methods, get_context, parent_process

import torch

from flatlab.data import load
from flatlab.nets import build
from flatlab.problem import Problem, batch_sizes
from flatlab.store import Store
from flatlab.train import Recipe, progress_bar, train


@dataclass(frozen=True)
class Job:
    """One run: a net on a data set by a recipe from a seed.

    start   (job, epoch): begin at the point where another job was after an epoch, which it keeps
    keep    epochs whose points the experiment wants
    rows    use a random part of the training set of that size
    """

    net: str
    data: str
    seed: int
    recipe: Recipe
    keep: tuple = ()
    start: tuple | None = None
    rows: int | None = None

    def __str__(self):
        change = "" if self.recipe.update == "plain" else f" {self.recipe.update}"
        return f"{self.net} on {self.data}, batch {self.recipe.batch_size}{change}, {self.recipe.epochs} epochs, seed {self.seed}"

    def load(self):
        """The job's `Data`."""
        data = loaded(self.data)
        return data if self.rows is None else data.subset(self.rows, seed=self.seed)


@functools.lru_cache(maxsize=4)
def loaded(name):
    """A data set, read once in a process; "1000 rows of cifar10" has as many random rows of either split, or all of it."""
    rows, part, whole = name.partition(" rows of ")
    if not part:
        return load(name)
    data = loaded(whole)
    return replace(data.subset(int(rows)), test=data.test.subset(min(int(rows), len(data.test))))


def carry_out(job, store, progress=False):
    """The job's `Run`, read from the store or trained through it."""
    x0 = None
    if job.start:
        before, epoch = job.start
        x0 = carry_out(before, store, progress).points[epoch]
    return train(job.net, job.load(), job.recipe, seed=job.seed, x0=x0, keep=job.keep, store=store, progress=progress)


def carry_out_all(jobs, store, *, engine="local", workers=None, address=None, progress=True):
    """Carry out a plan; afterwards the store holds every run of it.

    engine      "local": `workers` processes side by side (default: one a core without a GPU, one with), one thread each
                "ray":   the tasks of a Ray cluster at `address`, which must see the store's directory
    progress    a bar over the whole plan's epochs with an estimate of the time left

    Raises ValueError for another engine, and what the first failing job raises, after the others under way were stopped; what is
    finished stays in the store.
    """
    if engine not in ("local", "ray"):
        raise ValueError(f"engine is {engine!r}: choose local or ray.")
    jobs = _merged(jobs)
    first = [job for job in jobs if job.start is None]
    then = [job for job in jobs if job.start is not None]
    with progress_bar(_epochs(jobs), "epoch", f"{len(jobs)} runs", progress) as bar:
        for wave in (first, then):                                # a warm start reads a run of the first wave
            missing = [job for job in wave if not _finished(job, store)]
            bar.update(_epochs(wave) - _epochs(missing))
            missing.sort(key=lambda job: -updates(job))           # the longest first, so that no core waits at the end
            if not missing:
                continue
            if engine == "ray":
                from flatlab.cluster import carry_out_on_ray      # an extra
                finished = carry_out_on_ray(missing, store, address)
            elif (workers := workers or _workers()) == 1:
                finished = _one_by_one(missing, store)
            else:
                finished = _side_by_side(missing, store, workers)
            for job in finished:
                bar.update(job.recipe.epochs)
                bar.set_postfix_str(str(job))


def _merged(jobs):
    """The jobs without repetition: of those that differ in what they keep alone, one that keeps it all."""
    kept = {}
    for job in jobs:
        kept.setdefault(replace(job, keep=()), set()).update(job.keep)
    return [replace(job, keep=tuple(sorted(epochs))) for job, epochs in kept.items()]


class _Unfinished(Exception):
    pass


class _Finished(Store):
    """The finished runs of a store alone: raises _Unfinished for any other."""

    def get(self, key, partial=False, device="cpu"):
        if partial:                                               # asked for last, when no finished run will do
            raise _Unfinished
        return super().get(key, partial, device)


def _finished(job, store):
    try:
        carry_out(job, _Finished(store.root))
    except _Unfinished:
        return False
    return True


def _workers():
    return 1 if torch.cuda.is_available() else os.cpu_count()


def _one_by_one(jobs, store):
    """The jobs as they finish, in this process."""
    for job in jobs:
        carry_out(job, store)
        yield job


def _side_by_side(jobs, store, workers):
    """The jobs as they finish, each on one of `workers` processes."""
    context = get_context("forkserver" if "forkserver" in get_all_start_methods() else "spawn")
    context.set_forkserver_preload(["flatlab.plan", "torch._dynamo"])    # imported once, not in each worker of each pool
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=end_with_parent)
    try:
        for job, done in [(job, pool.submit(carry_out_alone, job, store)) for job in jobs]:
            done.result()
            yield job
    finally:
        pool.shutdown(cancel_futures=True)


def end_with_parent():
    """Let a worker end when the process that started it is killed; it would train on, and then wait for ever with all that it has loaded."""
    def watch():
        parent_process().join()
        os._exit(1)
    threading.Thread(target=watch, daemon=True).start()


def carry_out_alone(job, store):
    """A job in a process of its own, on one thread: others run beside it. The run stays in the store."""
    torch.set_num_threads(1)
    carry_out(job, store)


def _epochs(jobs):
    return sum(job.recipe.epochs for job in jobs)


def updates(job):
    """The number of updates of a job."""
    count = len(job.load().train.y)
    rows = job.recipe.rows(count)
    return sum(len(batch_sizes(count, min(count, round(rows * job.recipe.growth ** epoch)))) for epoch in range(job.recipe.epochs))


def cost(jobs):
    """What a plan costs on the device at hand: runs, floating-point operations, seconds.

    The operations are counted on one batch forward, times three for the backward pass; the seconds are a few timed updates of each
    kind of job times its updates, one job after another. Updates that take several gradients are timed as they are. Batches beyond
    256 rows are timed on 256 and multiplied, so that a plan for a large device can be costed on a small one.
    """
    flops, seconds = 0, 0.0
    for job in dict.fromkeys(jobs):
        rows = job.recipe.rows(len(job.load().train.y))
        each, step = cost_of_a_row(job.net, job.data, min(rows, 256), job.recipe.update, job.recipe.optimizer)
        flops, seconds = flops + each * rows * updates(job), seconds + step * rows * updates(job)
    return {"runs": len(set(jobs)), "flops": flops, "seconds": seconds}


@functools.cache
def cost_of_a_row(net, name, rows, update, optimizer):
    """(floating-point operations, seconds) of an update on a batch of `rows`, divided by them; timed once in a process."""
    from torch.utils.flop_counter import FlopCounterMode
    data = loaded(name)
    problem = Problem(build(net, data), data, Recipe(batch_size=rows, update=update, optimizer=optimizer))
    batch = torch.arange(rows, device=problem.point.device)
    with torch.random.fork_rng():
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            problem.model(data.train.x[batch])
        step = _seconds(problem, batch)
    return 3 * counter.get_total_flops() // rows, step / rows


def _seconds(problem, batch):
    """The least time of up to five updates, as many as begin within a second."""
    times = []
    while len(times) < 5 and sum(times) < 1:
        began = time.perf_counter()
        problem.step(batch)
        problem.loss.item()                                       # waits for the device
        times.append(time.perf_counter() - began)
    return min(times)
