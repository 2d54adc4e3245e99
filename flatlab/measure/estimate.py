"""A number with what is known of its error: a standard error from sampling, an interval over seeds."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike


@dataclass(frozen=True)
class Estimate:
    """A number and its standard error, as a measurement by sampling returns it.

    ``float(estimate)`` is the number. Where the samples are many, `value +- 1.96 stderr` covers the truth 95 times in
    100.
    """

    value: float  # in the units of what was measured
    stderr: float  # of the value, in the same units
    samples: int  # how many were drawn

    def __float__(self) -> float:
        return self.value

    @staticmethod
    def mean(samples: torch.Tensor | Sequence[float]) -> "Estimate":
        """The mean of independent samples, with their standard deviation over the root of their number as error."""
        samples = (
            samples if torch.is_tensor(samples) else torch.tensor(samples, dtype=torch.float64, device="cpu")
        ).double()
        return Estimate(samples.mean().item(), (samples.std() / math.sqrt(len(samples))).item(), len(samples))


def interval(values: ArrayLike) -> tuple[float, float]:
    """The 95 % interval for the mean of a few values, one for each seed.

    Parameters
    ----------
    values : array_like
        k numbers, which are taken to scatter like a normal distribution.

    Returns
    -------
    mean, half_width : float
        The half width is nan for a single value.

    Raises
    ------
    ImportError
        If scipy is not installed.

    Notes
    -----
    The half width, with the values' standard deviation s::

        t_{0.975, k-1} s / sqrt(k)

    where t is a quantile of Student's distribution.
    """
    try:
        from scipy.stats import t
    except ImportError as error:
        raise ImportError(f"an interval needs scipy ({error}): pip install 'flatlab[book]'.") from error

    values = np.asarray(values, float)
    if len(values) < 2:
        return float(values.mean()), math.nan
    return float(values.mean()), float(t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values)))
