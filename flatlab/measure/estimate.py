"""A number with what is known of its error: a standard error from sampling, an interval over seeds."""

import math
from dataclasses import dataclass

import numpy as np
import torch


@dataclass(frozen=True)
class Estimate:
    """A number and its standard error. `float(estimate)` is the number; value +- 1.96 stderr covers the truth 95 times in 100
    where the samples are many."""

    value: float
    stderr: float
    samples: int

    def __float__(self):
        return self.value

    @staticmethod
    def mean(samples):
        """The mean of independent samples, with stderr = standard deviation / sqrt(count)."""
        samples = torch.as_tensor(samples, dtype=torch.float64)
        return Estimate(samples.mean().item(), (samples.std() / math.sqrt(len(samples))).item(), len(samples))


def interval(values):
    """(mean, half width) of the 95 % interval for the mean: t_{0.975, k-1} s / sqrt(k) for k values; nan for a single one.

    It assumes that the seeds' values scatter like a normal distribution.
    """
    from scipy.stats import t

    values = np.asarray(values, float)
    if len(values) < 2:
        return float(values.mean()), math.nan
    return float(values.mean()), float(t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values)))
