"""What Lab 7 asks of a student's functions."""

import copy
import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch

from flatlab.checks.answer import Student, Wrong, check, kind, match, normals, numbers, seeded, unchanged

PAIR = "the lower and the upper end, a pair of numbers"
LEAST_SEEDS = 5
WORDS = ("holds", "fails", "undecided")
Numbers = Sequence[float] | np.ndarray
Measure = Callable[[Numbers, Numbers], float]


def called(student: Student, **arguments: Any) -> Any:
    """What a function returns for these arguments, in this order; refused where it changes one of them in place."""
    copies = {name: copy.deepcopy(one) for name, one in arguments.items()}  # apart, where two are one object
    answer = student(*copies.values())
    for name, before in arguments.items():
        if isinstance(before, torch.Tensor):
            unchanged(name, copies[name], before)
        elif isinstance(before, list) and copies[name] != before:
            raise Wrong(f"it changes its argument {name} in place, so the next test gets another one: work on a copy.")
    return answer


def quantile(share: float, freedom: float) -> float:
    """Of Student's t; of the normal distribution where the degrees of freedom are infinite."""
    from scipy import stats  # here: flatlab itself needs no scipy

    return float(stats.norm.ppf(share) if math.isinf(freedom) else stats.t.ppf(share, freedom))


# Intervals and verdicts


def mean_interval(
    values: Numbers, level: float = 0.95, ddof: int = 1, power: float = 0.5, side: float = 2, freedom: float = 0
) -> tuple[float, float]:
    """The interval of a mean, mean -+ t s / n^power; with `side` 1 both ends are those of one-sided intervals, and
    freedom 0 stands for n - 1."""
    count, mean = len(values), float(np.mean(values))
    width = quantile(1 - (1 - level) / side, freedom or count - 1) * float(np.std(values, ddof=ddof)) / count**power
    return mean - width, mean + width


def unpaired(a: Numbers, b: Numbers, level: float, freedom: float) -> tuple[float, float]:
    """The interval of a difference of means that takes the two samples for independent ones of one size."""
    away = float(np.mean(a) - np.mean(b))
    width = quantile((1 + level) / 2, freedom) * math.sqrt((np.var(a, ddof=1) + np.var(b, ddof=1)) / len(a))
    return away - width, away + width


def welch(a: Numbers, b: Numbers) -> float:
    """The degrees of freedom of Welch's test, for two samples of one size."""
    first, second = np.var(a, ddof=1), np.var(b, ddof=1)
    return float((len(a) - 1) * (first + second) ** 2 / (first**2 + second**2))


@check
def paired_interval(student: Student) -> None:
    """paired_interval(a, b, level): the interval of the mean of `a - b` over pairs, by Student's t."""
    problems = []
    for count, level, seed in ((5, 0.95, 71), (8, 0.9, 72), (6, 0.99, 73)):
        draws = normals(3, count, seed=seed).double()
        first = 60 + 3 * draws[0] + 0.8 * draws[1]
        problems.append((first.tolist(), (59 + 3 * draws[0] + 0.5 * draws[2]).tolist(), level))

    def each(law: Callable[[list[float], list[float], float], Iterable[Any]]) -> torch.Tensor:
        return torch.tensor([float(end) for problem in problems for end in law(*problem)], dtype=torch.float64)

    def of_difference(**options: Any) -> torch.Tensor:
        return each(lambda a, b, level: mean_interval(np.subtract(a, b), **{"level": level, **options}))

    found = []
    for a, b, level in problems:
        answer = called(student, a=a, b=b, level=level)
        if isinstance(answer, float) or getattr(answer, "ndim", 1) == 0:
            numbers(answer, (), "one number")
            raise Wrong(f"it returns one number: return {PAIR}.")
        found.append(numbers(answer, (2,), PAIR))
    right = of_difference()
    lost = "the pairs are lost: subtract pair by pair first, and what the two runs of a seed share is gone."
    match(
        torch.cat(found),
        right,
        [
            (
                of_difference(freedom=math.inf),
                "a normal quantile is right for very many pairs: for a few, take Student's t with n - 1 degrees.",
            ),
            (each(lambda a, b, level: unpaired(a, b, level, 2 * len(a) - 2)), lost),
            (each(lambda a, b, level: unpaired(a, b, level, len(a) - 1)), lost),
            (each(lambda a, b, level: unpaired(a, b, level, welch(a, b))), lost),
            (each(lambda a, b, level: unpaired(a, b, level, math.inf)), lost),
            (of_difference(ddof=0), "that is the population's standard deviation: divide by n - 1 (ddof=1)."),
            (of_difference(power=0), "this is the spread of one difference: the mean of n is sqrt(n) times surer."),
            (of_difference(power=1), "you divided by n: a standard error is s / sqrt(n)."),
            (
                of_difference(side=1),
                "it leaves 1 - level on each side: an interval of 95 % leaves 2.5 % on either side.",
            ),
            (
                each(lambda a, b, level: mean_interval(np.subtract(a, b), 1 - level)),
                "level is the share that lies inside, 0.95, and not the share outside.",
            ),
            (of_difference(level=0.95), "level does not enter: the quantile belongs to the level that is asked for."),
            (
                each(lambda a, b, level: mean_interval(np.subtract(a, b), level, freedom=len(a))),
                "n differences have n - 1 degrees of freedom, since their mean is taken from them.",
            ),
            (-right.reshape(-1, 2).flip(1).flatten(), "the sign is the other way round: it is a - b."),
            (right.reshape(-1, 2).flip(1).flatten(), "the ends are exchanged: first the lower one."),
            (
                each(lambda *p: (np.mean(right_ends(*p)), np.ptp(right_ends(*p)) / 2)),
                "these are the mean and the half width: return the two ends, mean - width and mean + width.",
            ),
            (
                each(lambda a, b, level: mean_interval(a, level)),
                "b does not enter: the interval is of the differences a - b.",
            ),
        ],
        "these are not mean -+ t s / sqrt(n) of the n differences a - b.",
    )


def right_ends(a: Numbers, b: Numbers, level: float) -> tuple[float, float]:
    """The interval of the mean of a - b."""
    return mean_interval(np.subtract(a, b), level)


def word(answer: object) -> str:
    """One of the three words of a verdict, however it is written; a hint where the answer is none of them."""
    if answer is None:
        raise Wrong("it returns nothing (None): end it with `return` and the word.")
    if not isinstance(answer, str):
        nested = isinstance(answer, (list, tuple)) and any(isinstance(one, (list, tuple)) for one in answer)
        raise Wrong(f"it returns {'a list of lists' if nested else kind(answer)}, and should return one word, a text.")
    if answer.strip().lower() not in WORDS:
        raise Wrong(f"it returns {answer!r:.40}: the words are {', '.join(WORDS)}.")
    return answer.strip().lower()


def judged(
    values: Numbers, above: float, below: float, ends: Callable = mean_interval, least: int = LEAST_SEEDS
) -> str:
    """The verdict by the interval of the mean."""
    if len(values) < least:
        return "undecided"
    low, high = ends(values)
    if above < low and high < below:
        return "holds"
    return "fails" if high < above or low > below else "undecided"


FREE = math.inf
VERDICTS: tuple[tuple[list[float], float, float], ...] = (  # (values, above, below)
    ([1.2, 2.1, 1.7, 2.6, 1.9], 0, FREE),
    ([-1.0, 2.2, 0.4, 1.5, 0.1], 0, FREE),
    ([-1.2, -2.1, -1.7, -2.6, -1.9], 0, FREE),
    ([1.2, 2.1, 1.7, 2.6], 0, FREE),
    ([0.2, -0.1, 0.1, 0.3, 0.0, 0.1], -1, 1),
    ([1.9, -1.6, 0.9, -2.1, 0.4], -1, 1),
    ([1.2, 0.4, 1.3, 0.6, 0.8], -1, 1),
    ([2.2, 2.0, 2.9, 2.4, 2.3, 2.8], -FREE, 1),
    ([3.0], 0, FREE),
    ([0.1, 0.2, 0.1, 0.3, 3.0], 0, FREE),
    ([-0.6, 0.5, 1.4, 2.6, 3.35], 0, FREE),  # t = 2.0: a normal quantile would do
    ([-0.4, 0.5, 1.7, 2.7, 3.7], 0, FREE),  # t = 2.2: the level 0.9 would do
    ([-0.1, 0.8, 1.8, 3.0, 3.7], 0, FREE),  # t = 2.6: so would ddof=0
    ([0.6, 1.5, 2.6, 3.5, 4.5], 0, FREE),  # t = 3.6: it holds, and not at the level 0.99
    ([0.9, 0.2, 1.9, 0.1, 1.3, -0.3], 0, FREE),
    ([-0.4, 1.1, 1.6, 1.2, 1.4, 1.3, 1.5], 0, FREE),
    ([-2.2, -2.0, -2.9, -2.4, -2.3, -2.8], -FREE, 1),
    ([1.6, -2.3, 0.2, -1.9, 0.3], 0, FREE),
)


@check
def verdict(student: Student) -> None:
    """verdict(values, above, below): holds, fails or undecided, by the 95 % interval of the mean over seeds."""
    found = [word(called(student, values=values, above=a, below=b)) for values, a, b in VERDICTS]

    def each(rule: Callable[[list[float], float, float], str]) -> list[str]:
        return [rule(*problem) for problem in VERDICTS]

    def by_ends(ends: Callable, least: int = LEAST_SEEDS) -> list[str]:
        return each(lambda values, above, below: judged(values, above, below, ends, least))

    def by_mean(values: Numbers) -> tuple[float, float]:
        return float(np.mean(values)), float(np.mean(values))

    def wide(values: Numbers, **options: Any) -> tuple[float, float]:
        return mean_interval(values, **options) if len(values) > 1 else (-math.inf, math.inf)

    right = each(judged)
    if found == right:
        return
    mean = "it looks at the mean alone: the whole interval of the mean must lie on one side of a bound."
    few = f"fewer than {LEAST_SEEDS} values decide nothing: whatever they are, the answer is undecided."
    exchanged = {"holds": "fails", "fails": "holds", "undecided": "undecided"}
    mistakes = [
        (by_ends(by_mean), mean),
        (by_ends(by_mean, 1), f"{mean} And fewer than {LEAST_SEEDS} values decide nothing."),
        (by_ends(wide, 1), few),
        (by_ends(wide, 2), few),
        (
            each(lambda *p: "fails" if judged(*p) == "undecided" and len(p[0]) >= LEAST_SEEDS else judged(*p)),
            "what does not hold need not fail: an interval that lies across a bound is undecided.",
        ),
        (
            each(lambda *p: "fails" if judged(*p) == "undecided" else judged(*p)),
            "undecided never comes out: an interval across a bound, or fewer than five values, decide nothing.",
        ),
        (
            each(lambda *p: "undecided" if judged(*p) == "fails" else judged(*p)),
            "it never fails: an interval that lies wholly beyond a bound says that the claim fails.",
        ),
        (by_ends(wide, LEAST_SEEDS + 1), f"{LEAST_SEEDS} values are enough: fewer than {LEAST_SEEDS} decide nothing."),
        (
            by_ends(lambda values: (min(values), max(values))),
            "it asks every single seed: the claim is about the mean over seeds, and about its interval.",
        ),
        (
            each(lambda values, above, below: judged(values, above, FREE)),
            "below does not enter: a claim may have an upper bound as well.",
        ),
        (
            each(lambda values, above, below: judged(values, -FREE, below)),
            "above does not enter: a claim has a lower bound as well.",
        ),
        (by_ends(lambda values: wide(values, freedom=math.inf)), "it takes a normal quantile: take your own interval."),
        (
            by_ends(lambda values: wide(values, ddof=0)),
            "its standard deviation divides by n (ddof=0): divide by n - 1.",
        ),
        (by_ends(lambda values: wide(values, power=0)), "it takes the spread of one value: divide it by sqrt(n)."),
        (by_ends(lambda values: wide(values, side=1)), "its interval leaves 5 % on each side: take 2.5 %."),
        (by_ends(lambda values: wide(values, level=0.99)), "it takes the level 0.99: the rule says 0.95."),
        (
            each(lambda *p: "holds" if overlaps(*p) else judged(*p)),
            "an interval that only touches the claim's side does not hold: the whole of it must lie there.",
        ),
        (
            each(lambda *p: "holds" if p[1] > -FREE and p[2] < FREE and contains_zero(p[0]) else judged(*p)),
            "that zero lies inside the interval does not show that the effect is small: the interval may be wide.",
        ),
        (
            each(lambda values, above, below: judged(values, above, below) if above == 0 else by_zero(values)),
            "it compares with 0: compare with the bounds that are given.",
        ),
        ([exchanged[one] for one in right], "holds and fails are exchanged."),
    ]
    for words, hint in mistakes:
        if found == words:
            raise Wrong(hint)
    number = next(k for k, (ours, theirs) in enumerate(zip(right, found)) if ours != theirs)
    values, above, below = VERDICTS[number]
    raise Wrong(f"verdict({values}, {above}, {below}) gives {found[number]!r} and should give {right[number]!r}.")


def overlaps(values: Numbers, above: float, below: float) -> bool:
    """Whether a part of the interval lies between the bounds, for enough values."""
    if len(values) < LEAST_SEEDS:
        return False
    low, high = mean_interval(values)
    return high > above and low < below


def contains_zero(values: Numbers) -> bool:
    """Whether the interval does."""
    return len(values) >= LEAST_SEEDS and judged(values, 0, FREE) == "undecided"


def by_zero(values: Numbers) -> str:
    """The verdict on "above zero"."""
    return judged(values, 0, FREE)


# The number of seeds


def least_seeds(
    sd: float, effect: float, share: float = 0.975, power: float = 0.8, least: int = LEAST_SEEDS, root: float = 0.5
) -> int:
    """The least n >= `least` with (t_share + t_power) sd / n^root <= effect, each t with n - 1 degrees of freedom."""

    def visible(count: int) -> float:
        return (quantile(share, count - 1) + quantile(power, count - 1)) * sd / count**root

    high = least
    while visible(high) > effect:  # first a bound, then by halves: a million seeds would be as many quantiles
        high *= 2
    low = max(least, high // 2)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if visible(middle) <= effect else (middle + 1, high)
    return low


def exact_seeds(sd: float, effect: float) -> int:
    """The same by the power of the t test, from the noncentral t."""
    from scipy import stats

    count = LEAST_SEEDS
    while stats.nct.sf(quantile(0.975, count - 1), count - 1, effect * math.sqrt(count) / sd) < 0.8:
        count += 1
    return count


@check
def seeds_needed(student: Student) -> None:
    """seeds_needed(sd, effect): how many seeds show an effect in four of five experiments."""
    problems = ((1.0, 1.0), (2.0, 0.7), (0.3, 0.25), (1.0, 3.0), (0.5, 0.17), (3.0, 1.1))
    found = torch.stack([numbers(student(*problem), (), "a number of seeds") for problem in problems])

    def each(law: Callable[[float, float], float]) -> torch.Tensor:
        return torch.tensor([float(law(*problem)) for problem in problems], dtype=torch.float64)

    def normal(sd: float, effect: float) -> float:
        return ((quantile(0.975, math.inf) + quantile(0.8, math.inf)) * sd / effect) ** 2

    right, exact = each(least_seeds), each(exact_seeds)
    if bool(((found == right) | (found == exact)).all()):
        return
    if bool((found != found.round()).any()):
        raise Wrong("it returns a part of a seed: round up to the next whole number.")
    match(
        found,
        right,
        [
            (
                each(lambda *p: max(LEAST_SEEDS, math.ceil(normal(*p)))),
                "with normal quantiles it is too few: t is larger, and depends on n, so try 5, 6, 7 and so on.",
            ),
            (
                each(lambda sd, effect: least_seeds(sd, effect, least=2)),
                f"fewer than {LEAST_SEEDS} seeds decide nothing, however large the effect is: begin at {LEAST_SEEDS}.",
            ),
            (
                each(lambda sd, effect: least_seeds(sd, effect, root=1)),
                "a standard error falls as 1 / sqrt(n), not as 1 / n.",
            ),
            (
                each(lambda sd, effect: least_seeds(sd, effect, power=0.5)),
                "the power is left out: with the 0.975 quantile alone half of the experiments miss the effect.",
            ),
            (
                each(lambda sd, effect: least_seeds(sd, effect, share=0.95)),
                "the level is two-sided: its quantile is that of 0.975.",
            ),
            (
                each(lambda sd, effect: least_seeds(sd, effect, power=0.2)),
                "the quantile of 0.2 is negative: the power is 0.8, and its quantile is added.",
            ),
            (
                each(lambda sd, effect: least_seeds(sd, effect, power=0.9)),
                "that is a power of 0.9: asked for are four of five.",
            ),
            (
                each(lambda sd, effect: least_seeds(sd, effect, power=0.975)),
                "the quantile of 0.975 comes twice: the second one is that of 0.8.",
            ),
            (
                each(lambda sd, effect: least_seeds(math.sqrt(2) * sd, effect)),
                "sd is that of the paired differences already: it is not multiplied by sqrt(2).",
            ),
            (
                each(lambda sd, effect: least_seeds(sd**2, effect)),
                "sd is a standard deviation: do not square it again.",
            ),
            (
                each(lambda sd, effect: least_seeds(effect, sd)),
                "sd and effect are exchanged: a small effect needs more seeds.",
            ),
            (right - 1, "one too few: return the first n that is enough."),
            (right + 1, "one too many: return the first n that is enough."),
            (2 * right, "that counts the runs: asked for is the number of seeds, the pairs."),
        ],
        "this is not the first n from 5 on with (t_0.975 + t_0.8) sd / sqrt(n) <= effect.",
    )


# Orders


def counts(x: Numbers, y: Numbers) -> tuple[int, int, int, int, int]:
    """Of all pairs: concordant, discordant, those that differ in x, those that differ in y, and how many they are."""
    upper = np.triu_indices(len(x), 1)
    dx, dy = (np.sign(np.subtract.outer(one, one))[upper] for one in (np.array(x, float), np.array(y, float)))
    same = dx * dy
    return int((same > 0).sum()), int((same < 0).sum()), int((dx != 0).sum()), int((dy != 0).sum()), len(dx)


def tau(x: Numbers, y: Numbers) -> float:
    """Kendall's tau-b; 0 where one of the two does not vary."""
    concordant, discordant, in_x, in_y, _ = counts(x, y)
    return (concordant - discordant) / math.sqrt(in_x * in_y) if in_x * in_y else 0.0


@check
def kendall(student: Student) -> None:
    """kendall(x, y): Kendall's tau-b, 0 where one of the two does not vary."""
    from scipy import stats

    problems = (
        ([3.0, 1.0, 4.0, 1.5, 5.0, 9.0], [2.0, 7.0, 1.0, 8.0, 2.8, 1.8]),
        ([1.0, 2.0, 2.0, 3.0, 4.0, 4.0, 4.0], [10.0, 11.0, 30.0, 30.0, 20.0, 70.0, 90.0]),
        ([0.1, 0.1, 0.7, 0.9, 0.2], [5.0, 6.0, 6.0, 6.0, 4.0]),
    )
    found = torch.stack([numbers(called(student, x=x, y=y), (), "one number") for x, y in problems])

    def each(law: Callable[..., float]) -> torch.Tensor:
        return torch.tensor([float(law(*counts(*problem))) for problem in problems], dtype=torch.float64)

    def by_scipy(test: Callable) -> torch.Tensor:
        return torch.tensor([float(test(*problem).statistic) for problem in problems], dtype=torch.float64)

    right = each(lambda c, d, x, y, n: (c - d) / math.sqrt(x * y))
    match(
        found,
        right,
        [
            (by_scipy(stats.pearsonr), "that is Pearson's correlation: tau looks at the order alone, pair by pair."),
            (by_scipy(stats.spearmanr), "that is Spearman's, Pearson's correlation of ranks: tau counts pairs."),
            (2 * right, "each pair is counted twice above and once below: take i < j in both."),
            (
                each(lambda c, d, x, y, n: 2 * (c - d) / n),
                "each pair is counted twice, and pairs that are tied are among those below.",
            ),
            (right / 2, "each pair is counted once above and twice below: take i < j in both."),
            (
                each(lambda c, d, x, y, n: (c - d) / n),
                "right without ties (tau-a). With ties: a pair that is tied in x is not among those below.",
            ),
            (each(lambda c, d, x, y, n: (c - d) / (c + d)), "pairs that are tied in one of the two count below."),
            (each(lambda c, d, x, y, n: (2 * c - n) / n), "a tied pair is not discordant: it counts for neither."),
            (each(lambda c, d, x, y, n: (n - 2 * d) / n), "a tied pair is not concordant: it counts for neither."),
            (each(lambda c, d, x, y, n: (c - d) / x), "below stands the root of a product: ties in y count too."),
            (each(lambda c, d, x, y, n: (c - d) / y), "below stands the root of a product: ties in x count too."),
            (each(lambda c, d, x, y, n: (c - d) / (x * y)), "below stands the root of the product."),
            (-right, "the sign is the other way round: a pair is concordant where x and y rise together."),
            (each(lambda c, d, x, y, n: c / n), "that is the share of concordant pairs: subtract the discordant ones."),
            (each(lambda c, d, x, y, n: c - d), "divide by the number of pairs, so that tau lies between -1 and 1."),
        ],
        "this is not (concordant - discordant) / sqrt(pairs that differ in x times pairs that differ in y).",
    )
    still = student([2.0, 2.0, 2.0], [1.0, 3.0, 2.0])
    if isinstance(still, float) and math.isnan(still):
        raise Wrong("where x or y does not vary there is no order: return 0 there, and not nan.")
    if numbers(still, (), "one number") != 0:
        raise Wrong("where x or y does not vary there is no order: return 0 there.")


def groups(factors: Sequence[tuple], key: Callable[[tuple], Any], least: int = 2) -> list[list[int]]:
    """The numbers of the nets that have one key, for each key that at least so many have."""
    found: dict[Any, list[int]] = {}
    for number, values in enumerate(factors):
        found.setdefault(key(tuple(values)), []).append(number)
    return [group for group in found.values() if len(group) >= least]


def others(axis: int) -> Callable[[tuple], tuple]:
    """All factors of a net except one."""
    return lambda values: (*values[:axis], *values[axis + 1 :])


def itself(axis: int) -> Callable[[tuple], Any]:
    """One factor of a net."""
    return lambda values: values[axis]


def taus(x: Numbers, y: Numbers, chosen: Iterable[list[int]], measure: Measure = tau) -> list[float]:
    """Tau within each group; 0 for a group of one."""
    return [measure([x[k] for k in group], [y[k] for k in group]) if len(group) > 1 else 0.0 for group in chosen]


def axes_means(
    x: Numbers,
    y: Numbers,
    factors: Sequence[tuple],
    key: Callable[[int], Callable] = others,
    least: int = 2,
    measure: Measure = tau,
    weight: Callable[[int], float] = lambda size: 1.0,
) -> list[float]:
    """For each factor, the mean over its groups of tau within the group."""
    found = []
    for axis in range(len(factors[0])):
        chosen = groups(factors, key(axis), least)
        each = taus(x, y, chosen, measure)
        found.append(float(np.average(each, weights=[weight(len(group)) for group in chosen])))
    return found


def all_groups(x: Numbers, y: Numbers, factors: Sequence[tuple], key: Callable[[int], Callable]) -> list[float]:
    """Tau within every group of every factor."""
    return [each for axis in range(len(factors[0])) for each in taus(x, y, groups(factors, key(axis)))]


def grid(seed: int, axes: Sequence[Sequence[Any]], left_out: int) -> tuple[list[float], list[float], list[tuple]]:
    """(x, y, factors) of a grid of nets, of which some are missing. Every factor has a group of two or more."""
    factors = list(itertools.product(*axes))
    keep = sorted(torch.randperm(len(factors), generator=torch.Generator().manual_seed(seed))[left_out:].tolist())
    factors = [factors[k] for k in keep]
    noise = normals(2, len(factors), seed=seed + 1).double()
    place = torch.tensor([[list(axis).index(one) for axis, one in zip(axes, each)] for each in factors]).double()
    x = place[:, 0] * 2 - place[:, 1] + noise[0]
    y = place[:, 0] - place[:, 1] + place[:, -1] + 0.7 * noise[1]
    return x.tolist(), [round(value, 1) for value in y.tolist()], factors  # rounded: some are tied


AXES = ((32, 125, 500), (0.5, 2, 8), ("wide", "narrow"))


@check
def granulated(student: Student) -> None:
    """granulated(x, y, factors): the mean over factors of the mean tau of nets that differ in that factor alone."""
    x, y, factors = grid(78, AXES, 5)
    answer = numbers(called(student, x=x, y=y, factors=factors), (), "one number")
    along = axes_means(x, y, factors)
    by_pairs = axes_means(x, y, factors, weight=lambda size: size * (size - 1) / 2)
    match(
        answer,
        float(np.mean(along)),
        [
            (tau(x, y), "that is tau of all nets in one pool: form groups that differ in one factor alone."),
            (
                float(np.mean(axes_means(x, y, factors, itself))),
                "the nets of a group share this factor: a group shares all *other* factors, and this one varies.",
            ),
            (
                float(np.mean(axes_means(x, y, factors, least=1))),
                "a group of one net has no pair: leave it out, it is not a tau of 0.",
            ),
            (
                float(np.mean(all_groups(x, y, factors, others))),
                "you took one mean over all groups: first the mean within a factor, then over the factors.",
            ),
            (
                float(np.mean(axes_means(x, y, factors, weight=float))),
                "larger groups count more in your mean: each group counts once.",
            ),
            (float(np.mean(by_pairs)), "groups with more pairs count more in your mean: each group counts once."),
            (float(np.sum(along)), "that is a sum over the factors: take their mean."),
            (along[0], "that is the first factor alone: take the mean over all factors."),
            (along[-1], "that is the last factor alone: take the mean over all factors."),
            (max(along), "that is the largest over the factors: take their mean."),
            (
                float(np.mean(axes_means(x, y, factors, measure=pearson))),
                "within the groups it takes Pearson's correlation: take your kendall.",
            ),
            (-float(np.mean(along)), "the sign is the other way round."),
        ],
        "this is not the mean over factors of the mean tau of the groups that differ in this factor alone.",
    )


def pearson(x: Numbers, y: Numbers) -> float:
    """Pearson's correlation; 0 where one of the two does not vary."""
    return float(np.corrcoef(x, y)[0, 1]) if np.ptp(x) * np.ptp(y) > 0 else 0.0


@check
def held(student: Student) -> None:
    """held(x, y, factors): for each factor, the mean tau of groups of nets that share its value."""
    x, y, factors = grid(75, AXES, 5)
    factors = [(*values, "once") for values in factors]
    x, y, factors = [*x, 0.5], [*y, 2.5], [*factors, (*factors[0][:-1], "again")]  # a group of one
    meaning = "one mean of tau for each factor: a list"
    answer = numbers(called(student, x=x, y=y, factors=factors), (4,), meaning)
    right = axes_means(x, y, factors, itself)
    match(
        answer,
        right,
        [
            ([tau(x, y)] * 4, "that is tau of all nets in one pool: form the groups that share a factor's value."),
            (
                [float(np.mean(taus(x, y, groups(factors, others(axis))) or [0.0])) for axis in range(4)],
                "these groups differ in the factor alone, as in exercise 5: here they share its value.",
            ),
            (axes_means(x, y, factors, itself, least=1), "a group of one net has no pair: leave it out."),
            (
                axes_means(x, y, factors, itself, weight=float),
                "larger groups count more in your mean: each group counts once.",
            ),
            (
                [sum(taus(x, y, groups(factors, itself(axis)))) for axis in range(4)],
                "you summed the groups: take their mean.",
            ),
            (
                [taus(x, y, groups(factors, itself(axis)))[0] for axis in range(4)],
                "that is the first group of each factor: take the mean over its groups.",
            ),
            (right[::-1], "the factors are in the reverse order."),
            ([-one for one in right], "the sign is the other way round."),
        ],
        "these are not the means, over the groups of nets that share a factor's value, of tau within the group.",
    )


# Chance


def shuffled_share(x: Numbers, y: Numbers, counts_as: Callable[[float, float], bool]) -> float:
    """The share of all orders of y whose tau counts, compared with the tau that was found."""
    there = tau(x, y)
    found = [counts_as(tau(x, order), there) for order in itertools.permutations(y)]
    return sum(found) / len(found)


def at_least(shuffled: float, there: float) -> bool:
    """Whether a shuffled tau is as large as the one that was found."""
    return shuffled >= there - 1e-9


@check
def permutation_p(student: Student) -> None:
    """permutation_p(x, y, draws, seed): how often chance gives a tau as large, (1 + shuffles that do) / (1 + draws)."""
    x, y, draws = [1.0, 2.0, 3.0, 4.0, 5.0], [2.0, 3.0, 1.0, 5.0, 4.0], 1500
    ordered, three = [float(k * k) for k in range(10)], [1.0, 2.0, 3.0]

    def p(x: list[float], y: list[float], draws: int, seed: int) -> float:
        return float(numbers(called(student, x=x, y=y, draws=draws, seed=seed), (), "one number"))

    perfect = p(ordered, ordered, 99, 5)
    few = [p(x, y, 49, seed) for seed in range(8)]
    if perfect == 0:
        raise Wrong(
            "p = 0 says that chance can never do it, which no number of shuffles can show: add one above and below."
        )
    if all(abs(one - 1) < 1e-9 for one in few):
        raise Wrong("every shuffle gives the same tau, since x and y move together: shuffle one of the two alone.")
    if not {round(one, 6) for one in few} - {1.0, 0.02}:
        raise Wrong("all shuffles of a call are the same one: seed the generator once, before the loop.")
    if abs(perfect - 1 / 99) < 1e-9:
        raise Wrong("you added one above, and not below: the order that was found is one of draws + 1.")
    if abs(perfect - 0.02) < 1e-9:
        raise Wrong("that is twice the p: count, on one side, the shuffles whose tau is at least as large.")
    if abs(few[0] * 50 - round(few[0] * 50)) > 1e-3:
        raise Wrong("p is (1 + shuffles that are as large) / (1 + draws): with 49 draws a multiple of 1/50.")
    found = p(three, three, draws, 6)
    seeded("another p", [p(three, three, draws, 6) for _ in range(2)] == [found, found], len(set(few)) > 1)
    mistakes: list[tuple[float, str]] = [
        (
            shuffled_share(three, three, lambda shuffled, there: shuffled > there + 1e-9),
            "it counts the shuffles with a larger tau: those with the same tau count too.",
        ),
        (
            shuffled_share(three, three, lambda shuffled, there: abs(shuffled) >= there - 1e-9),
            "it counts shuffles of both signs: asked for is the share with a tau at least as large.",
        ),
        (
            shuffled_share(three, three, lambda shuffled, there: shuffled <= there + 1e-9),
            "it counts the shuffles with a smaller tau: chance has to be as good or better.",
        ),
        (drawn_again(three, three), "it draws with replacement: shuffle, so that each value comes once."),
    ]
    right = shuffled_share(three, three, at_least)
    if abs(found - right) > 0.045:
        value, hint = min(mistakes, key=lambda one: abs(found - one[0]))
        raise Wrong(
            hint
            if abs(found - value) < 0.045
            else f"of all orders of 3 nets a share of {right:.3f} is as large, and yours is {found:.3f}."
        )


def drawn_again(x: Numbers, y: Numbers) -> float:
    """The share of all samples of y with replacement whose tau is at least the one that was found."""
    there = tau(x, y)
    return float(np.mean([at_least(tau(x, sample), there) for sample in itertools.product(y, repeat=len(y))]))


# A bound


def divergence(n: int, square: float, sigma: float, sigma0: float, **change: float) -> float:
    """KL(N(x, sigma^2) || N(x0, sigma0^2)) in n dimensions; `change` replaces the factor of a term."""
    terms = {"ratio": n, "distance": 1, "minus": n, "logarithm": 2 * n, "half": 0.5, **change}
    inner = terms["ratio"] * (sigma / sigma0) ** 2 + terms["distance"] * square / sigma0**2 - terms["minus"]
    return terms["half"] * (inner + terms["logarithm"] * math.log(sigma0 / sigma))


@check
def kl_gauss(student: Student) -> None:
    """kl_gauss(x, x0, sigma, sigma0): `KL(N(x, sigma^2 I) || N(x0, sigma0^2 I))`."""
    x, x0 = normals(7, seed=76), normals(7, seed=77)
    widths = ((0.3, 0.3), (0.2, 0.5), (0.9, 0.6))
    square = float((x - x0).double().square().sum())
    meaning = "one number"
    found = torch.stack([numbers(called(student, x=x, x0=x0, sigma=s, sigma0=s0), (), meaning) for s, s0 in widths])

    def each(law: Callable[[float, float], float]) -> torch.Tensor:
        return torch.tensor([law(*pair) for pair in widths], dtype=torch.float64)

    def changed(square: float = square, **change: float) -> torch.Tensor:
        return each(lambda s, s0: divergence(7, square, s, s0, **change))

    right = changed()
    match(
        found,
        right,
        [
            (
                each(lambda s, s0: divergence(7, square, s0, s)),
                "the two are exchanged: the prior, at x0, comes second.",
            ),
            (
                each(lambda s, s0: square / (2 * s0**2)),
                "right where the widths are equal. Where they differ, every dimension adds its own terms.",
            ),
            (
                changed(ratio=1, minus=1, logarithm=2),
                "the terms with the widths are those of one dimension: there are n of them.",
            ),
            (each(lambda s, s0: square / (2 * s**2)), "right where the widths are equal: else sigma0^2 stands below."),
            (
                each(lambda s, s0: divergence(7, square * s0**2 / s**2, s, s0)),
                "the distance is divided by sigma^2: the prior is to cover it, so sigma0^2 is below.",
            ),
            (changed(half=1), "the factor 1/2 is missing."),
            (changed(minus=0), "- n is missing: two equal Gaussians have the divergence 0."),
            (changed(logarithm=7), "the logarithm is of the ratio of the variances, so it counts twice."),
            (changed(logarithm=-14), "the logarithm has the wrong sign: it is ln(sigma0^2 / sigma^2)."),
            (changed(logarithm=0), "the logarithm of the variances is missing."),
            (changed(square=square**0.5), "the distance is not squared."),
            (changed(distance=0), "the distance between x and x0 does not enter."),
            (right / 7, "that is the mean over the dimensions: the divergence is their sum."),
        ],
        "this is not 1/2 (n s^2/s0^2 + |x - x0|^2/s0^2 - n + n ln(s0^2/s^2)).",
    )


@check
def pac_bayes(student: Student) -> None:
    """pac_bayes(error, kl, N, delta): `error + sqrt((KL + ln(2 sqrt(N) / delta)) / (2 N))`."""
    problems = ((0.1, 20.0, 1000, 0.05), (0.02, 5e4, 1000, 0.05), (0.3, 4.0, 60, 0.01))
    found = torch.stack([numbers(student(*problem), (), "one number") for problem in problems])

    def each(law: Callable[[float, float, int, float], float]) -> torch.Tensor:
        return torch.tensor([float(law(*problem)) for problem in problems], dtype=torch.float64)

    def cost(kl: float, N: int, delta: float) -> float:
        return (kl + math.log(2 * math.sqrt(N) / delta)) / (2 * N)

    right = each(lambda error, *rest: error + cost(*rest) ** 0.5)
    match(
        found,
        right,
        [
            (each(lambda error, kl, N, d: error + (2 * cost(kl, N, d)) ** 0.5), "2N stands below, not N."),
            (each(lambda error, *rest: error + cost(*rest)), "the root is missing."),
            (
                each(lambda error, kl, N, d: error + cost(kl, N, 1) ** 0.5),
                "delta does not enter: it is the chance that the bound is wrong.",
            ),
            (each(lambda error, kl, N, d: error + cost(kl, N, 2 * d) ** 0.5), "the 2 within the logarithm is missing."),
            (
                each(lambda error, kl, N, d: error + cost(kl, N, d / N**0.5) ** 0.5),
                "within the logarithm stands sqrt(N), not N.",
            ),
            (
                each(lambda error, kl, N, d: error + cost(kl, N, d * N**0.5) ** 0.5),
                "the sqrt(N) within the logarithm is missing.",
            ),
            (
                each(lambda error, kl, N, d: error + cost(kl, N, 1 / d) ** 0.5),
                "delta stands above within the logarithm: a surer bound is a larger one.",
            ),
            (each(lambda error, *rest: cost(*rest) ** 0.5), "the training error is missing."),
            (each(lambda error, *rest: error - cost(*rest) ** 0.5), "that is below the training error: add the root."),
            (right.clamp(max=1), "a bound above 1 says nothing, and saying so is the point: return it as it is."),
            (
                each(lambda error, kl, N, d: error + (kl / (2 * N)) ** 0.5 + cost(0, N, d) ** 0.5),
                "one root is taken of the sum: KL and the logarithm stand under it together.",
            ),
            (each(lambda error, kl, N, d: error + cost(0, N, d) ** 0.5), "KL does not enter."),
            (100 * right, "a share, not percent: the error is a number from 0 to 1."),
        ],
        "this is not error + sqrt((KL + ln(2 sqrt(N) / delta)) / (2N)).",
    )
