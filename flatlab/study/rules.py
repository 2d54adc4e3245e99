"""What a claim is: words, their source, an experiment, a measured effect and the bound that decides."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from flatlab.study.columns import EPOCHS, SECONDS, SECONDS_IN_ALL, of


class Columns(dict):
    """A result's columns, each an array with one row per seed."""

    def __getitem__(self, name: str) -> np.ndarray:
        return np.array(super().__getitem__(name), float)


Effect = Callable[[Columns], Sequence[float]]


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One statement and the rule that decides it.

    Parameters
    ----------
    name
        Unique, in a few words.
    words, source
        What is claimed and where; words in “ ” are the source's own, others ours.
    experiment
        Whose result decides it.
    measure, unit
        The effect in words, and its unit.
    effect
        The columns of a net -> one number per seed.
    above, below
        The claim holds where the effect lies above the one and below the other.
    remark
        What a reader has to know of the rule's history.
    """

    name: str
    words: str
    source: str
    experiment: str
    measure: str
    effect: Effect
    unit: str = ""
    above: float = -math.inf
    below: float = math.inf
    remark: str = ""

    @property
    def bound(self) -> str:
        """The bound in words: "above 0 points", "within 1 point", "between 3 and 10"."""
        if self.above == -self.below:
            return f"within {self._amount(self.below)}"
        if math.isinf(self.below):
            return f"above {self._amount(self.above)}"
        if math.isinf(self.above):
            return f"below {self._amount(self.below)}"
        return f"between {self.above:g} and {self._amount(self.below)}"

    @property
    def rule(self) -> str:
        """The measure, its bound and the remark, as a reader sees them."""
        return f"{self.measure}, {self.bound}" + (f" ({self.remark})" if self.remark else "")

    def _amount(self, number: float) -> str:
        unit = self.unit.removesuffix("s") if abs(number) == 1 else self.unit
        return f"{number:g} {unit}".rstrip()


def difference(first: str, second: str) -> Effect:
    """The first column less the second."""
    return lambda c: c[first] - c[second]


def factor(first: str, second: str) -> Effect:
    """The decimal logarithm of the first column over the second."""
    return lambda c: np.log10(c[first] / c[second])


def least_factor(first: str, second: str, kinds: Iterable[str]) -> Effect:
    """The decimal logarithm of the first label's column over the second's, the least over kinds of measurement."""
    kinds = tuple(kinds)
    return lambda c: np.min([factor(of(first, kind), of(second, kind))(c) for kind in kinds], 0)


def drop(column: str) -> Effect:
    """The first entry of a column of lists less the last."""
    return lambda c: c[column][:, 0] - c[column][:, -1]


def growth(column: str) -> Effect:
    """The decimal logarithm of the last entry of a column of lists over the first."""
    return lambda c: np.log10(c[column][:, -1] / c[column][:, 0])


def last(column: str) -> Effect:
    """The last entry of a column of lists."""
    return lambda c: c[column][:, -1]


def inside(values: np.ndarray) -> np.ndarray:
    """The most of the entries between the two ends less the most of the ends."""
    return values[:, 1:-1].max(1) - np.maximum(values[:, 0], values[:, -1])


def seconds_to_goal(c: Columns) -> np.ndarray:
    """Seconds of each batch size to the sweep's accuracy; where it was never reached, those of the whole run, which are fewer."""
    return np.where(np.isnan(c[SECONDS]), c[SECONDS_IN_ALL], c[SECONDS])


def epochs_of_the_ends(c: Columns) -> np.ndarray:
    """Decimal logarithm of the epochs to the sweep's accuracy at the largest batch that reached it over those at the least."""
    reached = [row[~np.isnan(row)] for row in c[EPOCHS]]
    return np.log10([row[-1] / row[0] for row in reached])
