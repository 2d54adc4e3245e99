"""What an experiment needs before it can measure: runs, named, each known by all that decides it.

No result depends on the engine that carries a job out: a job's bits depend on the job alone.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from flatlab.data import Data
from flatlab.study import splits
from flatlab.training.store import Store
from flatlab.training.train import Recipe, Run, train
from flatlab.training.trainer import batch_sizes


@dataclass(frozen=True)
class Job:
    """One run: a net on a data set by a recipe from a seed.

    Parameters
    ----------
    net, data, seed, recipe
        As `flatlab.train` takes them; the data by its name.
    keep
        Epochs whose points the experiment wants.
    start
        (job, epoch): begin at the point where another job was after an epoch, which it keeps.
    subset
        Use a random part of the training set of that size.
    """

    net: str
    data: str
    seed: int
    recipe: Recipe
    keep: tuple[int, ...] = ()
    start: "tuple[Job, int] | None" = None
    subset: int | None = None

    def __str__(self) -> str:
        change = "" if self.recipe.update == "plain" else f" {self.recipe.update}"
        return (
            f"{self.net} on {self.data}, batch {self.recipe.batch_size}{change}, {self.recipe.epochs} epochs, seed "
            f"{self.seed}"
        )

    def load(self) -> Data:
        """The job's `Data`."""
        data = splits.loaded(self.data)
        return data if self.subset is None else data.subset(self.subset, seed=self.seed)


def carry_out(job: Job, store: Store, progress: bool = False) -> Run:
    """The job's `Run`, read from the store or trained through it."""
    x0 = None
    if job.start:
        before, epoch = job.start
        x0 = carry_out(before, store, progress).points[epoch]
    return train(job.net, job.load(), job.recipe, seed=job.seed, x0=x0, keep=job.keep, store=store, progress=progress)  # type: ignore[arg-type]


def merged(jobs: Iterable[Job]) -> list[Job]:
    """The jobs without repetition: of those that differ in what they keep alone, one that keeps it all."""
    kept: dict[Job, set[int]] = {}
    for job in jobs:
        kept.setdefault(replace(job, keep=()), set()).update(job.keep)
    return [replace(job, keep=tuple(sorted(epochs))) for job, epochs in kept.items()]


def count_updates(job: Job) -> int:
    """How many batches a job takes a step on."""
    count = len(job.load().train.y)
    return sum(len(batch_sizes(count, job.recipe.rows(count, epoch + 1))) for epoch in range(job.recipe.epochs))
