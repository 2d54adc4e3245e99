"""What a claim is: words, their source, an experiment, a measured effect and the bound that decides."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from flatlab.study.columns import EPOCHS, EPOCHS_IN_ALL, EVIDENCE, SECONDS, SECONDS_IN_ALL, accuracy, of, test

KESKAR = "Keskar et al. 2017"
AFTERWARDS = "written after a result"

# Where a margin of a point or two can be missed. The gap of F1 on MNIST is tenths of a point.
GAP_OF_POINTS = ("mlp", "mlp, half", "C1")


class Columns(dict):
    """A result's columns, each an array with one row per seed."""

    def __getitem__(self, name: str) -> np.ndarray:
        return np.array(super().__getitem__(name), float)


#: What a rule is about, a function that takes an experiment's `Columns` and returns one number for each seed.
Effect = Callable[[Columns], np.ndarray]


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
    nets
        The networks, or cases of a measurement, that it speaks of; empty: all.
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
    nets: tuple[str, ...] = ()
    remark: str = ""

    @property
    def bound(self) -> str:
        """The bound in words, such as "above 0 points", "within 1 point", "between 3 and 10"."""
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


def by_rule(**rule: Any) -> Callable[..., Claim]:
    """Claims of one rule: a function of name, words, source, experiment and, where a claim has one of its own, remark.
    `rule` are the other fields of a claim."""
    return lambda name, words, source, experiment, remark="": Claim(
        name=name, words=words, source=source, experiment=experiment, remark=remark, **rule
    )


def difference(first: str, second: str) -> Effect:
    """The first column minus the second."""
    return lambda c: c[first] - c[second]


def factor(first: str, second: str) -> Effect:
    """The decimal logarithm of the first column over the second."""
    return lambda c: np.log10(c[first] / c[second])


def least_factor(first: str, second: str, kinds: Iterable[str]) -> Effect:
    """The decimal logarithm of the first label's column over the second's, the least over kinds of measurement."""
    kinds = tuple(kinds)
    return lambda c: np.min([factor(of(first, kind), of(second, kind))(c) for kind in kinds], 0)


def drop(column: str) -> Effect:
    """The first entry of a column of lists minus the last."""
    return lambda c: c[column][:, 0] - c[column][:, -1]


def growth(column: str) -> Effect:
    """The decimal logarithm of the last entry of a column of lists over the first."""
    return lambda c: np.log10(c[column][:, -1] / c[column][:, 0])


def where(column: str, place: str, value: float) -> Effect:
    """What a column of lists has where the list of places beside it has a value."""

    def picked(c: Columns) -> np.ndarray:
        return np.array([values[places == value][0] for values, places in zip(c[column], c[place])])

    return picked


def fall(column: str) -> Effect:
    """The decimal logarithm of the first entry of a column of lists over the last."""
    return lambda c: -growth(column)(c)


def spread(column: str) -> Effect:
    """The largest entry of a column of lists minus the smallest."""
    return lambda c: np.ptp(c[column], axis=1)


def closes_half(label: str, small: str = "SB", large: str = "LB") -> Effect:
    """A run's test accuracy minus the mean of the small and the large batch's: above zero where it gives back more than
    half of the gap."""
    return lambda c: c[test(label)] - (c[test(small)] + c[test(large)]) / 2


def late(column: str) -> Effect:
    """The mean of the last third of a column of lists."""
    return lambda c: c[column][:, -(-2 * c[column].shape[1] // 3) :].mean(1)


def evidence_of_a_fall(c: Columns) -> np.ndarray:
    """How much better a level and then a line fits the accuracies than a line does; none where they rise, which a
    break fits as well as a fall."""
    return np.where(drop(accuracy("test"))(c) > 0, c[EVIDENCE], np.minimum(c[EVIDENCE], 0))


def last(column: str) -> Effect:
    """The last entry of a column of lists."""
    return lambda c: c[column][:, -1]


def halfway(values: np.ndarray) -> np.ndarray:
    """The middle entry of lists, one per seed."""
    return values[:, (values.shape[1] - 1) // 2]


def inside(values: np.ndarray) -> np.ndarray:
    """The most of the entries between the two ends minus the most of the ends."""
    return values[:, 1:-1].max(1) - np.maximum(values[:, 0], values[:, -1])


def inside_chosen(values: np.ndarray, validation: np.ndarray) -> np.ndarray:
    """The entry between the two ends that other numbers choose, minus the end that they choose: the highest of many
    entries that scatter is too high. What diverged, nan, is not chosen."""
    places, validation = np.arange(len(values)), np.nan_to_num(validation, nan=-np.inf)
    between = 1 + validation[:, 1:-1].argmax(1)
    end = np.where(validation[:, 0] >= validation[:, -1], 0, -1)
    return values[places, between] - values[places, end]


def to_goal(column: str, in_all: str) -> Effect:
    """What each batch size takes to the sweep's accuracy; where it was never reached, the whole run's, which is less
    than it takes."""
    return lambda c: np.where(np.isnan(c[column]), np.broadcast_to(_rows(c[in_all]), c[column].shape), c[column])


def _rows(values: np.ndarray) -> np.ndarray:
    """One number per seed as a column, a table as it is."""
    return values if values.ndim > 1 else values[:, None]


seconds_to_goal = to_goal(SECONDS, SECONDS_IN_ALL)
epochs_to_goal = to_goal(EPOCHS, EPOCHS_IN_ALL)


def epochs_of_the_ends(c: Columns) -> np.ndarray:
    """Decimal logarithm of the epochs to the sweep's accuracy at the largest batch over those at the least that reached
    it."""
    first = [int(np.argmin(np.isnan(row))) for row in c[EPOCHS]]
    epochs = epochs_to_goal(c)
    return np.log10([row[-1] / row[k] for row, k in zip(epochs, first)])
