"""Engines carry out a list of jobs through a store, so that a job that is done is read and one under way is resumed."""

import contextlib
import os
import sys
import threading
import types
import warnings
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_all_start_methods, get_context, parent_process
from pathlib import Path
from typing import Literal, get_args

import torch

from flatlab.measure import door
from flatlab.study.jobs import Job, carry_out, count_updates, merged
from flatlab.training.store import Store
from flatlab.training.train import progress_bar

#: By what runs are carried out, processes of this machine, or Ray.
Engine = Literal["local", "ray"]
ENGINES = get_args(Engine)


def carry_out_all(
    jobs: Iterable[Job],
    store: Store,
    *,
    engine: Engine = "local",
    workers: int | None = None,
    address: str | None = None,
    progress: bool = True,
) -> None:
    """Carry out jobs; afterwards the store holds every run of them whose loss stayed finite.

    Parameters
    ----------
    jobs
        In any order and with repetitions.
    store
        Where finished runs are read from and written to.
    engine
        "local": `workers` processes side by side, one thread each. "ray": the tasks of a Ray cluster at `address`,
        which must see the store's directory.
    workers
        Default: one per core without a GPU, one with.
    address
        Of the Ray cluster.
    progress
        Show a bar over all epochs with the time left.

    Raises
    ------
    ValueError
        For another engine, and for a number of workers that is none.
    Exception
        What the first failing job raises, after the others under way were stopped; what is finished stays in the store.

    Warns
    -----
    UserWarning
        For each job whose training loss is no longer finite: the others go on.
    """
    if engine not in ENGINES:
        raise ValueError(f"engine is {engine!r}: choose {' or '.join(ENGINES)}.")
    if workers is not None:
        workers = door.count("workers", workers, what="or None for one per core, or one with a GPU")
    jobs = merged(jobs)
    first = [job for job in jobs if job.start is None]
    then = [job for job in jobs if job.start is not None]
    with progress_bar(_epochs(jobs), "epoch", f"{len(jobs)} runs", progress) as bar:
        for wave in (first, then):  # a warm start reads a run of the first wave
            missing = [job for job in wave if not _finished(job, store)]
            bar.update(_epochs(wave) - _epochs(missing))
            missing.sort(key=lambda job: -count_updates(job))  # the longest first, so that no core waits at the end
            if not missing:
                continue
            if engine == "ray":
                finished = _on_ray(missing, store, address)
            elif (workers := workers or _workers()) == 1:
                finished = _one_by_one(missing, store)
            else:
                finished = _side_by_side(missing, store, workers)
            for job, diverged in finished:
                if diverged:
                    warnings.warn(f"{job}: {diverged}", stacklevel=2)
                bar.update(job.recipe.epochs)
                bar.set_postfix_str(str(job))


class _Unfinished(Exception):
    pass


class _Finished(Store):
    """The finished runs of a store alone: raises _Unfinished for any other."""

    def get(self, key, partial=False, device="cpu"):
        if partial:  # asked for last, when no finished run will do
            raise _Unfinished
        return super().get(key, partial, device)


def _finished(job, store):
    try:
        carry_out(job, _Finished(store.root))
    except _Unfinished:
        return False
    return True


def _divergence(job, store):
    """Carry a job out; what is said of its loss if that is no longer finite, else nothing."""
    try:
        carry_out(job, store)
    except FloatingPointError as error:
        return str(error)
    return ""


def _workers():
    return 1 if torch.cuda.is_available() else os.cpu_count()


def _one_by_one(jobs, store):
    """The jobs as they finish, in this process, each with its divergence."""
    for job in jobs:
        yield job, _divergence(job, store)


def _side_by_side(jobs, store, workers):
    """The same, each job on one of `workers` processes."""
    context = get_context("forkserver" if "forkserver" in get_all_start_methods() else "spawn")
    context.set_forkserver_preload(
        ["flatlab.study.engines", "torch._dynamo"]
    )  # imported once, not in each worker of each pool
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=end_with_parent)
    try:
        with _script_if_guarded():
            waiting = [(job, pool.submit(carry_out_alone, job, store)) for job in jobs]
        for job, done in waiting:
            yield job, done.result()
    finally:
        pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def _script_if_guarded():
    """Workers that start within do not see a script that never asks for __name__ == "__main__": each of them would run
    it again. A notebook or a terminal has none."""
    script = sys.modules["__main__"]
    path = getattr(script, "__file__", None)
    try:
        guarded = path is None or "__main__" in Path(path).read_text(encoding="utf8", errors="replace")
    except OSError:  # it was piped into Python, and a worker would look for a file that is not there
        guarded = False
    if not guarded:
        sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = script


def end_with_parent() -> None:
    """Let a worker end when the process that started it is killed; it would train on, and then wait endlessly with all
    that it has loaded."""

    def watch():
        parent_process().join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def carry_out_alone(job: Job, store: Store) -> str:
    """A job in a process of its own, on one thread: others run beside it. The run stays in the store; what is said of a
    loss that is not finite comes back."""
    torch.set_num_threads(1)
    return _divergence(job, store)


def _epochs(jobs):
    return sum(job.recipe.epochs for job in jobs)


def _on_ray(jobs, store, address=None):
    """The same, each job a task of one processor of the cluster, or of a quarter of a GPU where the nodes have one.

    A task whose node dies is tried again elsewhere and goes on from the store, which every node must see under the same
    path. Raises ImportError without ray, and what a job raises.
    """
    try:
        import ray
    except ImportError as error:
        raise ImportError("engine='ray' needs Ray: pip install 'flatlab[cluster]'.") from error
    if not ray.is_initialized():
        ray.init(address=address, log_to_driver=False)
    share = {"num_gpus": 0.25} if ray.cluster_resources().get("GPU") else {"num_cpus": 1}
    task = ray.remote(max_retries=5, **share)(carry_out_alone)
    waiting = {task.remote(job, store): job for job in jobs}
    try:
        while waiting:
            done, _ = ray.wait(list(waiting))
            for finished, diverged in zip(done, ray.get(done)):
                yield waiting.pop(finished), diverged
    finally:
        for unfinished in waiting:
            ray.cancel(unfinished)
