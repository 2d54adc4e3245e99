"""The ledger: each claim with the verdict that the recorded results give.

A rule computes one number per seed, the effect, and asks where the 95 % interval of its mean lies: wholly on the
claim's side (holds), wholly on the other (fails), or on both (undecided). Fewer than five seeds decide nothing. A claim
with two bounds is a test of equivalence: the whole interval has to lie between them. Where the networks disagree the
claim's verdict is mixed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
from scipy import stats

from flatlab.measure.estimate import interval
from flatlab.study import paper
from flatlab.study.claims import CLAIMS
from flatlab.study.recorded import TIERS, Result, Tier, largest, recorded
from flatlab.study.rules import Claim, Columns

#: What a verdict says.
Word = Literal["holds", "fails", "undecided", "mixed", "not run"]
LEAST_SEEDS = 5  # fewer decide nothing: floating-point order alone changes a run as much as a seed does
DECIMALS = 12  # of an effect's mean and interval; beyond them lies rounding: 98.1 - 98.2 is a little below -0.1
POWER = 0.8


@dataclass(frozen=True)
class Judgement:
    """What a result says of a claim on one network.

    Attributes
    ----------
    claim, tier, net, data, seeds
        Which, and on what.
    effect, low, high
        The mean over seeds and its 95 % interval; infinite for one seed, or where a seed's effect is, which has no
        mean.
    word
        holds, fails or undecided.
    p
        Student's two-sided p-value at the bound that decides; 1 where there are too few seeds. Seeds that are all equal
        have no scatter and so no such test: 0 where they decide, else 1.
    q
        The same among all judgements of the ledger, by Benjamini and Hochberg: below 0.05 the word is among those of
        which at most one in twenty is expected to be wrong.
    visible
        The smallest distance from the bound that so many seeds see with probability 0.8, from the scatter that a pilot,
        the smoke tier, leaves likely (`scatter_at_most`), or from the seeds' own where that is larger; nan where there
        is none.
    """

    claim: str
    tier: str
    net: str
    data: str
    seeds: int
    effect: float
    low: float
    high: float
    word: Word
    p: float
    q: float = math.nan
    visible: float = math.nan

    @property
    def amount(self) -> str:
        """The effect and its interval, which one seed has not, as a text."""
        return self.beside()

    def beside(self, *bounds: float | None) -> str:
        """`amount`, in which no end is written as a bound that it does not meet: 0.3004 beside 0.3, not 0.300."""
        if not self.seeds:
            return "no seed has this number"
        if math.isnan(self.effect):
            return "infinite for a seed"

        def end(value):
            digits = (each for each in range(3, 9) if float(significant(value, each)) not in bounds)
            return significant(value, 3 if value in bounds else next(digits, 9))

        width = f" ({end(self.low)} to {end(self.high)})" if math.isfinite(self.low) else ""
        return f"{significant(self.effect)}{width}"


class Entry(NamedTuple):
    """A claim and what is known of it, one judgement for each network."""

    claim: Claim  # its words and its rule
    judgements: tuple[Judgement, ...]  # none where the claim was not run

    @property
    def word(self) -> Word:
        """holds or fails where every network that decides says so, mixed where they disagree, undecided where none
        decides."""
        decided = {judgement.word for judgement in self.judgements} - {"undecided"}
        if not self.judgements:
            return "not run"
        return "undecided" if not decided else "mixed" if len(decided) > 1 else decided.pop()


def ledger(tiers: Sequence[Tier] = TIERS) -> list[Entry]:
    """Every claim with its judgements, for each network from the largest of the tiers at which it is recorded."""
    entries = [
        Entry(claim, tuple(each for result in largest(claim.experiment, tiers) for each in judge(claim, result)))
        for claim in CLAIMS
    ]
    rates = iter(false_discovery_rates([each.p for entry in entries for each in entry.judgements]))
    return [
        Entry(
            entry.claim,
            tuple(replace(each, q=next(rates), visible=visible(entry.claim, each)) for each in entry.judgements),
        )
        for entry in entries
    ]


def judge(claim: Claim, result: Result) -> Iterator[Judgement]:
    """The claim's `Judgement` for each network of a result that it speaks of."""
    for net, columns in result.values.items():
        if claim.nets and net not in claim.nets:
            continue
        effects = effects_of(claim, columns)
        mean, low, high = bounds(effects)
        word = verdict(effects, claim.above, claim.below)
        p = p_value(claim, effects)
        yield Judgement(claim.name, result.tier, net, result.data[net], len(effects), mean, low, high, word, p)


def verdict(effects: Sequence[float] | np.ndarray, above: float = -math.inf, below: float = math.inf) -> Word:
    """holds where the 95 % interval of the effects' mean lies between the bounds, fails where it lies beyond one of
    them, else undecided; so are fewer than five effects."""
    _, low, high = bounds(effects)
    if len(effects) < LEAST_SEEDS:
        return "undecided"
    if above < low and high < below:
        return "holds"
    return "fails" if high < above or low > below else "undecided"


def together(words: Iterable[Word]) -> Word:
    """The verdict on a claim of several parts: holds or fails where all of them do, mixed where some hold and some
    fail, else undecided."""
    found = set(words)
    if len(found) == 1:
        return found.pop()
    return "mixed" if {"holds", "fails"} <= found else "undecided"


def judgements(results: Iterable[Result]) -> dict[tuple[str, str], Judgement]:
    """{(claim's name, network): its judgement} by results of any experiments."""
    return {
        (claim.name, found.net): found
        for result in results
        for claim in CLAIMS
        if claim.experiment == result.experiment
        for found in judge(claim, result)
    }


@dataclass(frozen=True)
class Agreement:
    """How the words of two sets of results agree.

    Attributes
    ----------
    pairs
        The judgements of each claim on each network that both sets speak of.
    """

    pairs: tuple[tuple[Judgement, Judgement], ...]

    @property
    def equal(self) -> float:
        """The share of the pairs with one word; nan without a pair."""
        return self._share(one.word == other.word for one, other in self.pairs)

    @property
    def decided(self) -> tuple[float, float]:
        """The share of the words of each set that are holds or fails; nan without a pair."""
        first, second = (self._share(pair[k].word != "undecided" for pair in self.pairs) for k in (0, 1))
        return first, second

    def _share(self, flags: Iterable[bool]) -> float:
        return sum(flags) / len(self.pairs) if self.pairs else math.nan


def agreement(before: Iterable[Result], after: Iterable[Result]) -> Agreement:
    """Compare the words that two sets of results give to the claims."""
    first, second = judgements(before), judgements(after)
    return Agreement(tuple((first[key], second[key]) for key in first if key in second))


def effects_of(claim: Claim, columns: dict[str, list]) -> np.ndarray:
    """The claim's effect, one number per seed; a seed that has none, since a target was never reached, is left out. One
    of which it is infinite, as the logarithm of a sharpness of 0, stays, since it may be the claim's strongest case or
    the strongest against it."""
    effects = np.array(claim.effect(Columns(columns)), float)
    return effects[~np.isnan(effects)]


def bounds(values: Sequence[float] | np.ndarray) -> tuple[float, float, float]:
    """(mean, low, high): the mean over seeds and its 95 % interval; infinite for one seed, or where one is infinite."""
    if not len(values) or not np.isfinite(values).all():
        return math.nan, -math.inf, math.inf
    mean, half = interval(values)
    half = math.inf if math.isnan(half) else half
    return round(mean, DECIMALS), round(mean - half, DECIMALS), round(mean + half, DECIMALS)


def significant(value: float, digits: int = 3) -> str:
    """A number with so many significant digits, zeros at the end too: both ends of 3.44 to 4.00 are as exact."""
    return f"{value:#.{digits}g}".removesuffix(".") if value else "0"


def p_value(claim: Claim, effects: Sequence[float] | np.ndarray) -> float:
    """The level at which the interval would just touch the bound that decides; below 0.05 exactly where it decides."""
    mean, low, high = bounds(effects)
    if len(effects) < LEAST_SEEDS or not math.isfinite(mean):
        return 1.0
    error = standard_error(low, high, len(effects))

    def beyond(distance):
        """P(the mean is that far beyond a bound by chance), one-sided."""
        if error == 0:
            return float(distance <= 0)
        return float(stats.t.sf(distance / error, len(effects) - 1))

    holds = max(beyond(mean - claim.above), beyond(claim.below - mean))
    fails = min(beyond(claim.above - mean), beyond(mean - claim.below))
    return min(1.0, 2 * min(holds, fails))


def false_discovery_rates(p_values: Sequence[float]) -> list[float]:
    """Benjamini and Hochberg's adjusted p-values over one family."""
    return list(map(float, stats.false_discovery_control(p_values))) if len(p_values) else []


def visible(claim: Claim, judgement: Judgement) -> float:
    """The distance from the bound that the judgement's seeds see with probability 0.8, from the scatter that a pilot of
    the same network leaves likely. From the seeds' own scatter where they scatter more, since no promise stands beside
    an interval that breaks it, and where the pilot has other networks only, which tell nothing of this one."""
    try:
        pilot = recorded(claim.experiment, "smoke").values if judgement.tier != "smoke" else {}
    except FileNotFoundError:
        pilot = {}
    effects = [effects_of(claim, pilot[net]) for net in (judgement.net, paper.original(judgement.net)) if net in pilot]
    told = bool(effects) and len(effects[0]) > 1 and np.isfinite(effects[0]).all()
    likely = scatter_at_most(effects[0]) if told else 0.0
    scatter = max(likely, own_scatter(judgement))  # two seeds of a pilot that agree tell no scatter
    return smallest_effect(scatter, judgement.seeds) if scatter else math.nan


def standard_error(low: float, high: float, seeds: int) -> float:
    """That of a mean over seeds, from its 95 % interval."""
    return float((high - low) / 2 / stats.t.ppf(0.975, seeds - 1))


def own_scatter(judgement: Judgement) -> float:
    """The standard deviation of a judgement's effects, from its interval; 0 where one seed has none."""
    if not math.isfinite(judgement.high - judgement.low):
        return 0.0
    return standard_error(judgement.low, judgement.high, judgement.seeds) * math.sqrt(judgement.seeds)


def scatter_at_most(pilot: Sequence[float] | np.ndarray) -> float:
    """The standard deviation that the true one stays below four times in five, from the seeds of a pilot.

    Notes
    -----
    From the deviation s of n seeds, with the 20 % point c of chi squared at n - 1 degrees of freedom (Browne 1995)::

        s sqrt((n - 1) / c)

    Two seeds that happen to lie close would promise what ten others do not see.
    """
    freedom = len(pilot) - 1
    return float(np.std(pilot, ddof=1) * math.sqrt(freedom / stats.chi2.ppf(1 - POWER, freedom)))


def smallest_effect(scatter: float, seeds: int) -> float:
    """What `seeds` values of standard deviation `scatter` tell from zero with probability 0.8, at the two-sided level
    of 0.05.

    Notes
    -----
    With n seeds of scatter s, and quantiles of Student's t of n - 1 degrees of freedom::

        (t_0.975 + t_0.8) s / sqrt(n)
    """
    if seeds < LEAST_SEEDS:
        return math.inf
    level, power = stats.t.ppf([0.975, POWER], seeds - 1)
    return float((level + power) * scatter / math.sqrt(seeds))
