"""Where a large batch saves time: what an update costs, appendix C of the paper as it is printed, and the table of the
study notes with four GPUs, with its sums."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


def fitted_time(sizes: Sequence[float], seconds: Sequence[float]) -> tuple[float, float]:
    """What an update costs however few its rows, and what each row adds.

    Parameters
    ----------
    sizes, seconds
        Rows in a batch, and the seconds of an update of so many.

    Returns
    -------
    a, b : float
        Of `t(m) = a + b m`, neither below 0.

    Notes
    -----
    Least squares of the relative errors `(a + b m) / t - 1`, since the times range over decades.
    """
    from scipy.optimize import nnls  # here: flatlab itself needs no scipy

    m, t = np.asarray(sizes, float), np.asarray(seconds, float)
    (a, b), _ = nnls(np.stack([1 / t, m / t], 1), np.ones_like(t))
    return float(a), float(b)


def all_reduce_seconds(numbers: float, workers: int, latency: float, bandwidth: float) -> float:
    """Seconds until each of P workers in a ring has the sum of their gradients.

    Parameters
    ----------
    numbers
        n, in a gradient.
    workers
        P, their number.
    latency
        Seconds that a message takes however short it is.
    bandwidth
        Numbers per second from a worker to the next.

    Returns
    -------
    float
        The seconds that the formula below has.

    Notes
    -----
    With the latency t and the bandwidth b::

        2 (P - 1) (t + n / (P b))

    Each worker sends `2 (P - 1)` messages of `n / P` numbers, one after another: half of them add up the parts, half
    hand them on. So it sends `2 n (P - 1) / P` numbers, fewer than 2 n however many workers there are.
    """
    return 2 * (workers - 1) * (latency + numbers / (workers * bandwidth))


def parallel_efficiency(alone: float, together: float, workers: int) -> float:
    """How much of P workers' time is work.

    Parameters
    ----------
    alone, together
        Seconds of the same updates by one worker and by all of them.
    workers
        P, their number.

    Returns
    -------
    float
        `f(P) = T(1) / (P T(P))`: 1 where P workers take a P-th of the time, `1 / P` where they take as long as one.
    """
    return alone / (workers * together)


def allowed_updates_ratio(small: float, large: float, efficiency: float) -> float:
    """The ratio `I_l / I_s` of updates below which the large batch takes less time.

    Parameters
    ----------
    small, large
        Rows in a batch, B_s and B_l.
    efficiency
        `f_s(P)`, the small batch's on P workers.

    Returns
    -------
    float
        `B_s / (f_s(P) B_l)`.

    Notes
    -----
    Keskar et al. 2017, appendix C::

        I_l B_l / P < I_s B_s / (P f_s(P))

    A row costs the same in either batch, the large batch's efficiency is taken to be 1, and `P < B_l`.
    """
    return small / (efficiency * large)


def large_batch_pays(
    updates_large: float, updates_small: float, large: float, small: float, workers: int, efficiency: float
) -> bool:
    """Whether `I_l B_l / P < I_s B_s / (P f_s(P))`: appendix C of Keskar et al. 2017."""
    return updates_large * large / workers < updates_small * small / (workers * efficiency)


class Row(NamedTuple):
    """A batch size in the study notes with a TensorFlow experiment, as printed; None where nothing is.

    Attributes
    ----------
    seconds, epochs, loss, in_all
        Seconds per epoch on one GPU, epochs to the least validation loss, that loss, seconds in all.
    seconds_on_four, in_all_on_four
        The same seconds on four GPUs.
    """

    seconds: float
    epochs: int
    loss: float
    in_all: float
    seconds_on_four: float | None = None
    in_all_on_four: float | None = None


NOTES = {32: Row(12.4, 158, 0.344, 1915), 256: Row(7.70, 958, 0.395, 7377, 3.97, 3700)}
SIZES_IN_ITS_TEXT = (256, 256)  # where it speaks of both


def batches(rows: int, size: int, last: bool = True) -> int:
    """How many batches of a size make an epoch; `last`: a last one that is not full counts."""
    return math.ceil(rows / size) if last else rows // size
