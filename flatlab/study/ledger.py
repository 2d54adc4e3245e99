"""The ledger: each claim with the verdict that the recorded results give.

A rule computes one number per seed, the effect, and asks where the 95 % interval of its mean lies: wholly on the claim's side (holds),
wholly on the other (fails), or neither (partly). One seed has no interval: partly.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from flatlab.measure.estimate import interval
from flatlab.study.claims import CLAIMS
from flatlab.study.recorded import Result, largest
from flatlab.study.rules import Claim, Columns

Word = Literal["holds", "partly", "fails"]


@dataclass(frozen=True)
class Judgement:
    """What a result says of a claim on one net; word is the verdict."""

    claim: str
    tier: str
    net: str
    data: str
    seeds: int
    effect: float
    low: float
    high: float
    word: Word


def judge(claim: Claim, result: Result) -> Iterator[Judgement]:
    """The claim's `Judgement` for each net of a result."""
    for net, columns in result.values.items():
        effects = [float(value) for value in claim.effect(Columns(columns))]
        mean, low, high = bounds(effects)
        word: Word = "partly"
        if claim.above < low and high < claim.below:
            word = "holds"
        elif high < claim.above or low > claim.below:
            word = "fails"
        yield Judgement(claim.name, result.tier, net, result.data[net], len(effects), mean, low, high, word)


def bounds(values: Sequence[float]) -> tuple[float, float, float]:
    """(mean, low, high): the mean over seeds and its 95 % interval; infinite for one seed."""
    mean, half = interval(values)
    half = math.inf if math.isnan(half) else half
    return mean, mean - half, mean + half


def ledger() -> list[tuple[Claim, list[Judgement]]]:
    """Every claim with its judgements, for each net from the largest tier at which it is recorded; none: not run."""
    return [
        (claim, [judgement for result in largest(claim.experiment) for judgement in judge(claim, result)])
        for claim in CLAIMS
    ]
