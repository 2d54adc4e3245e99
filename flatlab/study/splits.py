"""The splits that an experiment stands on: training rows, test rows, and validation rows on which rates and doses are
chosen.

MNIST-1D is generated, so the study gives it 10,000 fresh test rows and 10,000 validation rows of its own; the thousand
test rows that it comes with have a standard error of 1.6 points. Any other validation split is made of training rows
that the experiment leaves out.
"""

import functools
import io
from dataclasses import replace

import numpy as np
import torch

from flatlab.data import Data, Split, load
from flatlab.files import cache_directory, write_whole

FRESH = 10_000  # rows of each fresh split
FRESH_SEED = 43  # the data set itself is made with 42


def part_of(name: str) -> tuple[int | None, str]:
    """(1000, "cifar10") of "1000 rows of cifar10", and (None, "cifar10") of all of it."""
    rows, _, whole = name.rpartition(" rows of ")
    return (int(rows) if rows else None), whole


@functools.lru_cache(maxsize=4)
def loaded(name: str) -> Data:
    """A data set, read once in a process; "1000 rows of cifar10" has as many random rows of either split, or all of
    it.

    The test rows are in random order. BatchNorm normalises a chunk of them by its own statistics, and MNIST's come from
    two groups of writers, one after the other: in that order a test accuracy depends on where a chunk ends.
    """
    rows, whole = part_of(name)
    if rows is not None:
        data = loaded(whole)
        return replace(data.subset(rows), test=data.test.subset(rows) if rows < len(data.test) else data.test)
    data = load(name)  # type: ignore[arg-type]
    if name == "mnist1d":
        return replace(data, test=_fresh_mnist1d()[0].to(data.test.x.device))
    return replace(data, train=_laid_out(data.train), test=_laid_out(data.test.subset(len(data.test))))


def _laid_out(split: Split) -> Split:
    """The same rows; on a processor, pixel after pixel where they are images of several channels, because its
    convolutions take a third less time so. `flatlab.load` leaves that to the reader, since `x.view` refuses such a
    tensor."""
    if split.x.dim() != 4 or split.x.device.type != "cpu":
        return split
    return Split(split.x.contiguous(memory_format=torch.channels_last), split.y)


@functools.lru_cache(maxsize=4)
def validation(name: str) -> Split:
    """Rows that are neither trained nor tested on, as many as the training split has and 10,000 at most.

    Raises
    ------
    ValueError
        Where the data set has no row left for it.
    """
    rows, whole = part_of(name)
    count = FRESH if rows is None else min(rows, FRESH)
    if whole == "mnist1d":
        return _fresh_mnist1d()[1].subset(count).to(loaded(name).train.x.device)
    data = loaded(whole)
    left = 0 if rows is None else len(data.train) - rows
    if left < 1:
        raise ValueError(f"{name} has no training row left for validation: train on a part, as '50000 rows of mnist'.")
    order = data.train.subset(len(data.train))  # the rows of a smaller subset come first
    kept = slice(len(order) - left, len(order) - left + min(count, left))
    return Split(order.x[kept], order.y[kept])


@functools.cache
def _fresh_mnist1d() -> tuple[Split, Split]:
    """(test, validation) of MNIST-1D, made with another seed and kept, since that takes some seconds."""
    path = cache_directory() / f"mnist1d-fresh-{FRESH_SEED}.npz"
    if not path.exists():
        content = io.BytesIO()
        np.savez(content, **_generate())  # type: ignore[arg-type]
        write_whole(path, content.getvalue())
    with np.load(path) as arrays:
        x, y = torch.tensor(arrays["x"]), torch.tensor(arrays["y"])
    return Split(x[:FRESH], y[:FRESH]), Split(x[FRESH:], y[FRESH:])


def _generate() -> dict[str, np.ndarray]:
    import random

    from mnist1d.data import get_dataset_args, make_dataset

    arguments = get_dataset_args()
    arguments.seed, arguments.num_samples = FRESH_SEED, 2 * FRESH
    before = random.getstate(), np.random.get_state(legacy=False)  # mnist1d seeds both global generators
    try:
        made = make_dataset(arguments)
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
    x, y = (np.concatenate([made[key], made[f"{key}_test"]]) for key in ("x", "y"))
    return {"x": x.astype(np.float32), "y": y.astype(np.int64)}
